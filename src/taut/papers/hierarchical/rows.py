"""One preset for every line of Tables 1 to 11, and the guides beyond the paper."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..experiment import Preset, Published
from .further import HVAE, IWHVI, SIVI, WithCompanions
from .images import HierarchicalVAE
from .joint import JIWAE, FlowJIWAE
from .moving import LangevinGuide, RefinedHIWAE
from .published import TABLES, Line
from .settings import HIWAE, IWAE, IWAEH, Sizes

TITLES = {
    "static_mnist": ("static-mnist", "table1", "static MNIST"),
    "omniglot": ("omniglot", "table2", "Omniglot"),
    "caltech101_silhouettes": ("caltech101", "table3", "Caltech101 silhouettes"),
}
TRAINING = {"static_mnist": 50_000, "omniglot": 23_000, "caltech101_silhouettes": 4100}
WHAT = "test log-likelihood with 2000 K samples, nats"


def paper(dataset: str, guide: Any, *, updates: int = 1) -> HierarchicalVAE:
    """The published settings: at most 400 epochs, patience 25."""
    epoch = TRAINING[dataset] // 64
    full = HierarchicalVAE(
        guide=guide,
        dataset=dataset,
        steps=400 * epoch,
        batch_size=64,
        polyak=0.998,
        validate_every=epoch,
        patience=25,
        validation_images=10_000,
        samples=2000,
        encoder_updates=updates,
    )
    if dataset != "caltech101_silhouettes":
        return full
    # One point of the paper's grid; `grid` has all of them.
    return replace(
        full,
        sizes=Sizes(hidden=500),
        learning_rate=3e-4,
        polyak=0.99,
        free_bits=0.01,
        anneal=0,
    )


def grid(settings: HierarchicalVAE) -> list[HierarchicalVAE]:
    """The 40 settings among which the paper chooses by validation log-likelihood, on
    Caltech101. It prints 0.0003 twice; the second is taken to be 0.00003.
    """
    return [
        replace(
            settings,
            learning_rate=rate,
            polyak=polyak,
            free_bits=bits,
            sizes=replace(settings.sizes, hidden=hidden),
        )
        for rate in (3e-4, 1e-4, 5e-5, 3e-5, 1e-5)
        for polyak in (0.95, 0.99)
        for bits in (0.0, 0.01)
        for hidden in (500, 1024)
    ]


def budgets(full: HierarchicalVAE, cost: float = 1.0) -> Mapping[str, HierarchicalVAE]:
    """Smaller networks, a higher rate and fewer steps where time is short."""
    pace = cost * (STEP * full.guide.num + BASE)
    steps = lambda seconds: max(50, int(seconds / pace))
    quick = replace(
        full,
        sizes=Sizes(latent=32, context=128, hidden=128),
        steps=steps(200),
        learning_rate=1e-3,
        polyak=0.95,
        anneal=0,
        validate_every=None,
        patience=None,
        test_images=100,
        samples=50,
        simulated=20,
        simulated_samples=50,
    )
    medium = replace(
        full,
        sizes=replace(full.sizes, hidden=500),
        steps=steps(2800),
        learning_rate=3e-4,
        polyak=0.99,
        anneal=min(full.anneal, 1000),
        validate_every=max(1, steps(2800) // 5),
        patience=None,
        validation_images=500,
        test_images=300,
        samples=200,
        simulated=20,
        simulated_samples=200,
    )
    return {"quick": quick, "medium": medium, "full": full}


# Seconds of one step on two cores: for each of K decoders, and for all the rest.
STEP, BASE = 0.08, 0.1


def _preset(dataset: str, line: Line) -> Preset:
    short, table, title = TITLES[dataset]
    power, starred = line.model.rstrip("*"), line.model.endswith("*")
    if line.model == "iwae":
        guide, row, name = IWAE(line.num), "IWAE", "iwae"
    elif line.model == "iwae-h":
        guide, row, name = IWAEH(line.num), "IWAE (h)", "iwae-h"
    else:
        guide = HIWAE(line.num, float(power))
        row, name = f"H-IWAE, power {power}", f"h-iwae-a{power}"
    if starred:
        row, name = f"{row}, two encoder updates", f"{name}-twice"
    full = paper(dataset, guide, updates=2 if starred else 1)
    told = Published(-line.nll_test.mean, line.nll_test.spread, WHAT)
    name, row = f"{short}-{name}-k{line.num}", f"{row}, K = {line.num}"
    choices = grid if short == "caltech101" else None
    settings = budgets(full)  # two encoder updates: as many steps as the other rows
    where = ("hierarchical", table, row, title)
    return Preset(name, *where, settings, told, grid=choices)


# Name, what the table calls it, guide, and its cost beside H-IWAE's.
FURTHER = (
    (
        "h-iwae-a0-independent-k5",
        "H-IWAE, power 0, a root for every draw",
        HIWAE(5, 0.0, independent=True),
        1.0,
    ),
    (
        "h-iwae-a0-published-k5",
        "H-IWAE, power 0, published gradient",
        HIWAE(5, 0.0, published_gradient=True),
        1.0,
    ),
    (
        "h-iwae-a1-published-k5",
        "H-IWAE, power 1, published gradient",
        HIWAE(5, 1.0, published_gradient=True),
        1.0,
    ),
    ("sivi-k5", "SIVI", SIVI(5), 1.0),
    ("iwhvi-k5", "importance-weighted hierarchical guide", IWHVI(5), 1.0),
    ("companions-k5", "IWAE with companions", WithCompanions(5), 1.0),
    ("hvae-k5", "Hamiltonian guide", HVAE(5), 8.0),
    ("j-iwae-k5", "J-IWAE, one multivariate normal", JIWAE(5), 1.0),
    ("j-iwae-flow-k5", "J-IWAE, a flow for every marginal", FlowJIWAE(5), 1.5),
    ("langevin-k5", "Langevin guide", LangevinGuide(5), 8.0),
    ("h-iwae-refined-k5", "H-IWAE, power 0, every draw refined", RefinedHIWAE(5), 6.0),
)


def _further(name: str, row: str, guide: Any, cost: float) -> Preset:
    dataset = "caltech101_silhouettes"
    short, _, title = TITLES[dataset]
    where = ("hierarchical", "further", f"{row}, K = {guide.num}", title)
    return Preset(f"{short}-{name}", *where, budgets(paper(dataset, guide), cost))


IMAGES: tuple[Preset, ...] = (
    *(_preset(name, line) for name, lines in TABLES.items() for line in lines),
    *(_further(*line) for line in FURTHER),
)
