"""Problems whose evidence is known, and how it is known."""

import difflib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..problem import Problem
from . import conjugate, hierarchical, posteriordb, regressions, synthetic

PROBLEMS: dict[str, Callable[[], Problem]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        conjugate.conjugate_gaussian,
        conjugate.linear_regression,
        conjugate.linear_regression_nig,
        conjugate.probabilistic_pca,
        conjugate.kalman,
        conjugate.beta_binomial,
        conjugate.gamma_poisson,
        conjugate.dirichlet_multinomial,
        hierarchical.hidden_markov,
        hierarchical.eight_schools,
        hierarchical.eight_schools_half_normal,
        hierarchical.eight_schools_log_normal,
        hierarchical.brownian_motion,
        synthetic.funnel,
        synthetic.gaussian_mixture,
        synthetic.student_mixture,
        synthetic.many_well_pair,
        synthetic.many_well,
        regressions.ionosphere,
        regressions.german_credit,
        regressions.cox_process_32,
        regressions.cox_process_40,
        posteriordb.kidscore_momiq,
        posteriordb.ar_k,
        posteriordb.low_dim_gauss_mix,
    )
}


def load(name: str) -> Problem:
    """One problem, with its exact sampler and value where there are any."""
    if name not in PROBLEMS:
        near = difflib.get_close_matches(name, PROBLEMS, n=3, cutoff=0.4)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        raise ValueError(f"There is no reference problem {name!r}.{hint}")
    return replace(PROBLEMS[name](), name=name)


def table() -> dict[str, dict[str, Any]]:
    """The certified values: per problem `log_z`, its kind, and how it was obtained."""
    text = (Path(__file__).parent / "references.json").read_text()
    return json.loads(text)


def describe(name: str) -> str:
    """The model in one line."""
    return (PROBLEMS[name].__doc__ or "").splitlines()[0].rstrip(".")
