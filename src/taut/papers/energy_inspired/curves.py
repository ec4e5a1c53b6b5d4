"""The curves of the figures: points in the plane, and sweeps of K and T."""

from collections.abc import Mapping

from ..experiment import Preset
from .laws import (
    HIS,
    LARS,
    SNIS,
    TRS,
    AnnealedLangevin,
    Law,
    PublishedTRS,
    ShortRunLangevin,
)
from .networks import VAE
from .plane import Plane
from .rows import preset
from .table1 import latent_row

PLANE_LAWS: Mapping[str, Law] = {
    "snis": SNIS(),
    "trs": TRS(),
    "trs-raised": TRS(raised=3.0),
    "trs-published": PublishedTRS(),
    "his": HIS(2, alpha=0.995),
    "lars": LARS(evaluation_draws=1_000_000),
    "annealed-langevin": AnnealedLangevin(),
    "short-run-langevin": ShortRunLangevin(),
}
MISMATCHED = ("snis", "trs", "his", "lars")
VARIANCES = {"narrow": 0.1, "narrower": 0.01}  # the text's, the script's
PANELS = ("nine-gaussians", "checkerboard", "rings-radial")
SWEEP_K = (16, 64, 256, 1024, 4096)
SWEEP_T = (2, 5, 10, 15)


def _plane(name: str, row: str, full: Plane) -> Preset:
    slow = 4 if isinstance(full.law, AnnealedLangevin | ShortRunLangevin) else 1
    few = {"samples": 100, "simulated": 500, "simulated_samples": 20}
    # Seven times the papers' rate, to see something in minutes.
    quick = few | {"steps": 20_000 // slow, "test_images": 1000, "learning_rate": 2e-3}
    medium = few | {"steps": 400_000 // slow, "test_images": 2000}
    return preset(name, "figure1", row, full.dataset, full, quick, medium)


def figure1() -> list[Preset]:
    rows = []
    for data in (*PANELS, "checkerboard-unit", "rings"):
        for name, law in PLANE_LAWS.items():
            full = Plane(steps=1_000_000, law=law, dataset=data)
            rows.append(_plane(f"{data}-{name}", name, full))
    for word, variance in VARIANCES.items():
        for name in MISMATCHED:
            law = PLANE_LAWS[name]
            full = Plane(steps=1_000_000, law=law, variance=variance)
            row = f"{name}, proposal variance {variance}"
            rows.append(_plane(f"nine-gaussians-{word}-{name}", row, full))
    # The earlier paper's Figure 1.
    for name, law in (("snis", SNIS(129)), ("lars", LARS(num=128, draws=128))):
        full = Plane(steps=1_000_000, law=law)
        row = f"{name}, K = 128 (earlier paper)"
        rows.append(_plane(f"earlier-nine-gaussians-{name}", row, full))
    return rows


def figure3() -> list[Preset]:
    laws = [(f"snis-k{k}", f"SNIS prior, K = {k}", SNIS(k)) for k in SWEEP_K]
    laws += [(f"his-t{t}", f"HIS prior, T = {t}", HIS(steps=t)) for t in SWEEP_T]
    return [
        latent_row("static_mnist", f"sweep-{name}", "figure3", row, law, VAE())
        for name, row, law in laws
    ]
