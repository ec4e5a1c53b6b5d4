"""Every row of the papers' tables, and the curves of their figures, as presets."""

from collections.abc import Mapping
from dataclasses import replace

from ..experiment import Preset, Published
from .binary import LatentEnergy, PixelEnergy
from .continuous import MAF, ContinuousEnergy
from .laws import (
    HIS,
    LARS,
    SNIS,
    TRS,
    AnnealedLangevin,
    Law,
    Proposal,
    PublishedTRS,
    ShortRunLangevin,
)
from .networks import VAE, ConvHVAE
from .plane import Plane
from .settings import AbstractEnergyExperiment

PAPER = "energy-inspired"
FULL = 10_000_000  # steps on images
TITLES = {
    "static_mnist": "static MNIST",
    "mnist": "dynamic MNIST",
    "fashion_mnist": "Fashion-MNIST",
}
NAMES = {
    "static_mnist": "static-mnist",
    "mnist": "dynamic-mnist",
    "fashion_mnist": "fashion-mnist",
    "celeba": "celeba",
}
Told = tuple[float, float] | float | None


def _published(told: Told) -> Published | None:
    if told is None:
        return None
    value, spread = told if isinstance(told, tuple) else (told, None)
    return Published(value, spread)


def _preset(
    name: str,
    table: str,
    row: str,
    data: str,
    full: AbstractEnergyExperiment,
    quick: Mapping,
    medium: Mapping,
    told: Told = None,
) -> Preset:
    budgets = {
        "quick": replace(full, **quick),
        "medium": replace(full, **medium),
        "full": full,
    }
    bound = not isinstance(full.law, LARS)
    return Preset(name, PAPER, table, row, data, budgets, _published(told), bound)


# Table 1 -----------------------------------------------------------------------------

# How much longer a step takes than that of the VAE with a Gaussian prior, about.
SLOW_VAE, SLOW_CONV, SLOW_PIXELS = 1, 12, 5


def _image_budgets(slow: int, law: Law) -> tuple[Mapping, Mapping]:
    """Quick: under five minutes on two cores; medium: under an hour."""
    lars = (
        {"law": replace(law, evaluation_draws=10**6)} if isinstance(law, LARS) else {}
    )
    quick = {
        "steps": 6000 // slow,
        "warm_up": 1000 // slow,
        "test_images": 500 if slow == 1 else 100,
        "samples": 100,
        "simulated": 50 if slow == 1 else 20,
        "simulated_samples": 50,
    }
    medium = {
        "steps": 100_000 // slow,
        "warm_up": 10_000 // slow,
        "test_images": 2000 if slow == 1 else 500,
        "simulated": 100 if slow == 1 else 50,
    }
    return quick | lars, medium | lars


VAE_ROWS: tuple[tuple[str, str, Law], ...] = (
    ("", "Gaussian", Proposal()),
    ("-trs", "TRS", TRS()),
    ("-snis", "SNIS", SNIS()),
    ("-his", "HIS", HIS()),
    ("-lars", "LARS", LARS(num=100)),
)
VAE_TOLD: Mapping[str, tuple[Told, ...]] = {
    "static_mnist": (
        (-89.20, 0.08), (-86.81, 0.06), (-86.28, 0.14), (-86.00, 0.05), -86.53,
    ),
    "mnist": (
        (-84.82, 0.12), (-82.74, 0.10), (-82.52, 0.03), (-82.43, 0.05), -83.03,
    ),
    "fashion_mnist": (
        (-228.70, 0.09), (-227.66, 0.14), (-227.51, 0.09), (-227.63, 0.04), -227.45,
    ),
}  # fmt: skip
CONV_TOLD: Mapping[str, tuple[Told, ...]] = {
    "static_mnist": (
        (-82.43, 0.07), (-81.62, 0.03), (-81.51, 0.06), (-81.89, 0.02), -81.70,
    ),
    "mnist": (
        (-81.14, 0.04), (-80.31, 0.04), (-80.19, 0.07), (-80.51, 0.07), -80.30,
    ),
    "fashion_mnist": (
        (-226.39, 0.12), (-226.04, 0.19), (-225.83, 0.04), (-226.12, 0.13), -225.92,
    ),
}  # fmt: skip
PIXEL_TOLD: Mapping[str, tuple[Told, ...]] = {
    "static_mnist": ((-87.65, 0.07), (-81.65, 0.05), None),
    "mnist": ((-83.43, 0.07), (-79.91, 0.05), -83.63),
    "fashion_mnist": ((-227.63, 0.06), (-225.35, 0.07), None),
}
PIXEL_ROWS: tuple[tuple[str, str, Law, VAE | ConvHVAE], ...] = (
    ("snis-on-vae", "SNIS w/ VAE proposal", SNIS(), VAE()),
    ("snis-on-conv-hvae", "SNIS w/ ConvHVAE proposal", SNIS(), ConvHVAE()),
    ("lars-on-vae", "LARS w/ VAE proposal", LARS(num=100), VAE()),
)


def latent_row(
    data: str,
    name: str,
    table: str,
    row: str,
    law: Law,
    network: VAE | ConvHVAE,
    told: Told = None,
) -> Preset:
    """A law as the prior of a VAE."""
    full = LatentEnergy(steps=FULL, law=law, network=network, dataset=data)
    slow = SLOW_CONV if isinstance(network, ConvHVAE) else SLOW_VAE
    budgets = _image_budgets(slow, law)
    return _preset(name, table, row, TITLES[data], full, *budgets, told)


def _pixel_row(
    data: str,
    name: str,
    table: str,
    row: str,
    law: Law,
    network: VAE | ConvHVAE,
    told: Told,
) -> Preset:
    full = PixelEnergy(steps=FULL, law=law, network=network, dataset=data)
    slow = 60 if isinstance(network, ConvHVAE) else SLOW_PIXELS
    budgets = _image_budgets(slow, law)
    return _preset(name, table, row, TITLES[data], full, *budgets, told)


def _table1() -> list[Preset]:
    rows = []
    for data in VAE_TOLD:
        start = NAMES[data]
        for (end, prior, law), told in zip(VAE_ROWS, VAE_TOLD[data]):
            row = f"VAE w/ {prior} prior"
            rows.append(
                latent_row(data, f"{start}-vae{end}", "table1", row, law, VAE(), told)
            )
        for (end, prior, law), told in zip(VAE_ROWS, CONV_TOLD[data]):
            row, name = f"ConvHVAE w/ {prior} prior", f"{start}-conv-hvae{end}"
            rows.append(latent_row(data, name, "table1", row, law, ConvHVAE(), told))
        for (end, row, law, net), told in zip(PIXEL_ROWS, PIXEL_TOLD[data]):
            rows.append(
                _pixel_row(data, f"{start}-{end}", "table1", row, law, net, told)
            )
    return rows


def _earlier() -> list[Preset]:
    """Table 1 of "Revisiting Auxiliary Latent Variables". Its K leaves the datum out,
    so ours is one larger; it evaluated SNIS with pooled sets, we do not.
    """
    told: Mapping[str, tuple[Told, ...]] = {
        "static_mnist": ((-89.13, 0.06), (-86.41, 0.05), -86.53, (-87.53, 0.04), None),
        "mnist": ((-84.84, 0.03), (-82.67, 0.02), -83.03, (-83.40, 0.02), -83.63),
    }
    rows, table = [], "earlier-table1"
    for data, numbers in told.items():
        start = f"earlier-{NAMES[data]}"
        for (end, prior, law), number in zip(
            (
                ("", "Gaussian", Proposal()),
                ("-snis", "SNIS", SNIS(1025)),
                ("-lars", "LARS", LARS(num=100)),
            ),
            numbers[:3],
        ):
            row, name = f"VAE w/ {prior} prior", f"{start}-vae{end}"
            rows.append(latent_row(data, name, table, row, law, VAE(), number))
        for (end, row, law), number in zip(
            (
                ("snis-on-vae", "SNIS w/ VAE proposal", SNIS(1025)),
                ("lars-on-vae", "LARS w/ VAE proposal", LARS(num=100)),
            ),
            numbers[3:],
        ):
            rows.append(
                _pixel_row(data, f"{start}-{end}", table, row, law, VAE(), number)
            )
    return rows


# Table 2 -----------------------------------------------------------------------------

CONTINUOUS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "celeba": "CelebA"}
TABLE2: Mapping[str, Mapping[str, tuple[Told, ...]]] = {
    "mnist": {
        "small-vae": (
            (-1258.81, 0.49), (-1254.27, 0.62), (-1253.67, 0.29), (-1186.06, 6.12),
        ),
        "vae": ((-991.46, 0.39), (-987.62, 0.16), (-988.29, 0.20), (-990.68, 0.41)),
    },
    "fashion_mnist": {
        "small-vae": (
            (-2467.91, 0.68), (-2463.71, 0.24), (-2463.60, 0.31), (-2419.83, 2.47),
        ),
        "vae": (
            (-2242.50, 0.70), (-2236.87, 1.36), (-2238.04, 0.43), (-2244.66, 1.47),
        ),
    },
    "celeba": {
        "small-vae": (
            (-60130.94, 34.15), (-60116.65, 1.14), (-60115.99, 19.75),
            (-59711.30, 53.08),
        ),
        "vae": (
            (-57471.48, 11.65), (-57488.21, 18.41), (-57470.42, 6.54),
            (-56643.64, 8.78),
        ),
    },
}  # fmt: skip


def _continuous_budgets(data: str, law: Law, *, large: bool) -> tuple[Mapping, Mapping]:
    slow = {HIS: 6, Proposal: 1}.get(type(law), 2) * (4 if large else 1)
    slow *= 16 if data == "celeba" else 1
    lars = (
        {"law": replace(law, evaluation_draws=10**5)} if isinstance(law, LARS) else {}
    )
    cheap = {"test_images": 200, "samples": 100, "simulated": 20}
    quick = cheap | {"steps": 20_000 // slow, "simulated_samples": 50}
    medium = {"steps": 400_000 // slow, "test_images": 1000, "simulated": 50}
    return quick | lars, medium | lars


def _table2() -> list[Preset]:
    rows = []
    for data, sizes in TABLE2.items():
        size = 64 * 64 * 3 if data == "celeba" else 28 * 28
        laws = (
            ("", Proposal()),
            ("lars-on-", LARS(num=100, draws=128)),
            ("snis-on-", SNIS(128)),
            ("his-on-", HIS(size)),
        )
        for net, numbers in sizes.items():
            title = {"small-vae": "small VAE", "vae": "VAE"}[net]
            large = net == "vae"
            for (start, law), told in zip(laws, numbers):
                kind = start.split("-")[0].upper()
                row = f"{kind} w/ {title} proposal" if kind else title
                full = ContinuousEnergy(steps=FULL, law=law, dataset=data, large=large)
                budgets = _continuous_budgets(data, law, large=large)
                name = f"continuous-{NAMES[data].replace('dynamic-', '')}-{start}{net}"
                rows.append(
                    _preset(name, "table2", row, CONTINUOUS[data], full, *budgets, told)
                )
        if data == "mnist":
            flow = MAF(steps=FULL, dataset=data)
            budgets = _continuous_budgets(data, HIS(), large=True)
            name = "continuous-mnist-maf"
            rows.append(
                _preset(name, "table2", "MAF", "MNIST", flow, *budgets, -1027.0)
            )
    return rows


# Figures -----------------------------------------------------------------------------

PLANE_LAWS: Mapping[str, Law] = {
    "snis": SNIS(),
    "trs": TRS(),
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
    quick = few | {"steps": 20_000 // slow, "test_images": 1000}
    medium = few | {"steps": 400_000 // slow, "test_images": 2000}
    return _preset(name, "figure1", row, full.dataset, full, quick, medium)


def _figure1() -> list[Preset]:
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


def _figure3() -> list[Preset]:
    laws = [(f"snis-k{k}", f"SNIS prior, K = {k}", SNIS(k)) for k in SWEEP_K]
    laws += [(f"his-t{t}", f"HIS prior, T = {t}", HIS(steps=t)) for t in SWEEP_T]
    return [
        latent_row("static_mnist", f"sweep-{name}", "figure3", row, law, VAE())
        for name, row, law in laws
    ]


PRESETS: tuple[Preset, ...] = (
    *_table1(),
    *_table2(),
    *_earlier(),
    *_figure1(),
    *_figure3(),
)
