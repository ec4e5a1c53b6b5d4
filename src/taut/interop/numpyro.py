"""NumPyro models, with their guides and MCMC runs."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Array
from numpyro import handlers
from numpyro.distributions import Distribution, ImproperUniform, Unit
from numpyro.infer import MCMC
from numpyro.infer.autoguide import AutoGuide
from numpyro.infer.util import compute_log_probs, log_density
from numpyro.primitives import Messenger

from ..evidence import Evidence, Problem, sandwich

_GUIDE_DRAWS = 2000
Site = dict[str, Any]


def evidence(
    model: Callable[..., Any],
    *args: Any,
    guide: tuple[AutoGuide, Mapping[str, Array]] | None = None,
    mcmc: MCMC | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Evidence:
    """Bound the log evidence of `model(*args)`, whose data are its observed sites.

    `mcmc`: a finished run, whose draws start the upper end; without it, our own NUTS.
    `guide`: a fitted autoguide and its parameters, to fit the proposal to. `settings`
    are those of `taut.evidence.sandwich`.
    """
    question = problem(model, *args, model_kwargs=model_kwargs)
    if mcmc is not None:
        drawn = mcmc.get_samples(group_by_chain=True)
        settings["draws"] = {name: drawn[name] for name in question.example}
    if guide is not None:
        law, params = guide
        shape = (_GUIDE_DRAWS,)
        drawn = law.sample_posterior(jr.key(0), dict(params), sample_shape=shape)
        settings["guide"] = {name: drawn[name] for name in question.example}
    return sandwich(question, **settings)


def problem(
    model: Callable[..., Any],
    *args: Any,
    model_kwargs: Mapping[str, Any] | None = None,
) -> Problem:
    """The log joint of a model's latent sites, constants included."""
    kwargs = dict(model_kwargs or {})
    sites = _trace(model, args, kwargs, seed=0)
    for name, site in sites.items():
        _check_site(name, site)
    latent = {n: s for n, s in sites.items() if _sampled(s) and not s["is_observed"]}
    observed = {n: s for n, s in sites.items() if _sampled(s) and s["is_observed"]}
    if not latent:
        raise ValueError(
            f"The model has no latent sites, only {sorted(sites)}: its evidence is its "
            "log density."
        )
    _check_supports(latent, _trace(model, args, kwargs, seed=1))

    factors = [n for n, s in observed.items() if isinstance(s["fn"], Unit)]
    data = {n: s["value"] for n, s in observed.items() if n not in factors}
    kinds = [observed[n]["fn"].support.is_discrete for n in data]
    notes = ()
    if factors:
        notes = (
            f"{factors} are factors, taken as they are: constants they leave out are "
            "missing from the evidence",
        )

    def log_joint(params):
        return jnp.asarray(log_density(model, args, kwargs, params)[0])

    def simulate(key, params):
        free = handlers.uncondition(handlers.seed(model, key))
        trace = handlers.trace(handlers.substitute(free, params))
        drawn = trace.get_trace(*args, **kwargs)
        return {name: drawn[name]["value"] for name in data}

    def log_likelihood(params, simulated):
        given = handlers.condition(handlers.uncondition(model), simulated)
        terms = compute_log_probs(given, args, kwargs, params)[0]
        return jnp.asarray(sum(terms[name] for name in simulated))

    known = not factors  # what a factor stands for cannot be simulated
    return Problem(
        log_joint,
        {name: jnp.asarray(site["value"]) for name, site in latent.items()},
        {name: site["fn"].support for name, site in latent.items()},
        data=data,
        counting=bool(kinds) and all(kinds) and not factors,
        simulate=simulate if known else None,
        log_likelihood=log_likelihood if known else None,
        notes=notes,
    )


class _Refusing(Messenger):
    """Sees every site before it is sampled."""

    def process_message(self, msg):
        if msg["type"] != "sample" or msg["is_observed"]:
            return
        if isinstance(_base(msg["fn"]), ImproperUniform):
            raise ValueError(
                f"Site {msg['name']!r} has an improper prior, so the evidence is not "
                "defined: it would change with the prior's arbitrary constant. Give it "
                "a proper one."
            )


def _trace(model, args, kwargs, seed: int) -> dict[str, Site]:
    seeded = handlers.seed(_Refusing(model), jr.key(seed))
    return dict(handlers.trace(seeded).get_trace(*args, **kwargs))


def _base(law: Distribution) -> Distribution:
    """Without the wrappers that expand, mask or reinterpret it."""
    base = getattr(law, "base_dist", None)
    return law if base is None else _base(base)


def _sampled(site: Site) -> bool:
    return site["type"] == "sample"


def _check_site(name: str, site: Site) -> None:
    """Refuse what has no evidence, or not this one."""
    if site["type"] == "plate":
        size, subsample = site["args"]
        if subsample is not None and size != subsample:
            raise ValueError(
                f"Plate {name!r} uses {subsample} of {size} data: an estimate on a "
                "subsample bounds nothing. Remove `subsample_size`."
            )
    if site["type"] == "param":
        raise ValueError(
            f"{name!r} is a `param` of the model, without a prior. Sample it, or fix "
            "it with `numpyro.handlers.substitute`."
        )
    if not _sampled(site):
        return
    if not site["is_observed"] and site["fn"].support.is_discrete:
        raise ValueError(
            f"Site {name!r} is a discrete latent, which no method here moves. Sum it "
            "out of the model: a `MixtureSameFamily`, or a forward algorithm in a "
            "`numpyro.factor`."
        )
    if site.get("scale") is not None and not np.all(np.asarray(site["scale"]) == 1):
        raise ValueError(
            f"Site {name!r} is scaled by {site['scale']}: a tempered or subsampled "
            "density has another evidence. Remove `handlers.scale`."
        )


def _check_supports(first: Mapping[str, Site], other: Mapping[str, Site]) -> None:
    """The same model with other draws must have the same sites and supports."""
    second = {n: s for n, s in other.items() if _sampled(s) and not s["is_observed"]}
    if set(first) != set(second):
        raise ValueError(
            f"The model's sites depend on what it draws: {sorted(first)} in one run, "
            f"{sorted(second)} in another. An evidence needs fixed parameters."
        )
    for name, site in first.items():
        one, two = (jtu.tree_leaves(s["fn"].support) for s in (site, second[name]))
        same = len(one) == len(two) and all(
            np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one, two)
        )
        if not same:
            raise ValueError(
                f"The support of site {name!r} depends on other parameters. Write it "
                "as a fixed one, shifted and scaled (`low + (high - low) * unit`)."
            )
