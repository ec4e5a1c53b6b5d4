"""The toy as presets: how close each kind of proposals comes to `log Z = 3.30983`."""

from dataclasses import replace

from ..experiment import Preset
from .toy import Bound, ChiSquare, Rooted, Toy, Variance, Walking, Weighed

_KINDS = {
    "h-iwae-a0": ("H-IWAE, power 0", Rooted(3, 0.0), Bound()),
    "h-iwae-a1": ("H-IWAE, power 1", Rooted(3, 1.0), Bound()),
    "h-iwae-a1-independent": (
        "H-IWAE, power 1, a root each",
        Rooted(3, 1.0, independent=True),
        Bound(),
    ),
    "h-iwae-a1-published": (
        "H-IWAE, power 1, published gradient",
        Rooted(3, 1.0, published_gradient=True),
        Bound(),
    ),
    "h-iwae-learned": ("H-IWAE, learned weights", Weighed(3), Bound()),
    "markov": ("Markov chain of proposals", Walking(3), Bound()),
    "h-iwae-a1-variance": ("Var(log w) minimised", Rooted(3, 1.0), Variance()),
    "h-iwae-a1-chi-square": ("chi-square minimised", Rooted(3, 1.0), ChiSquare()),
}


def _row(name: str) -> Preset:
    row, proposals, objective = _KINDS[name]
    full = Toy(
        proposals=proposals,
        objective=objective,
        steps=5000,
        batch_size=64,
        test_images=100,
        samples=1000,
        simulated=0,
    )
    budgets = {"quick": replace(full, steps=2000), "medium": full, "full": full}
    what = f"{row}, K = 3"
    return Preset(f"ring-{name}", "hierarchical", "toy", what, "ring", budgets)


TOYS: tuple[Preset, ...] = tuple(map(_row, _KINDS))
