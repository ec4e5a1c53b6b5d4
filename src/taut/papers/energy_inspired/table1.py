"""Table 1 of both papers: binary images."""

from collections.abc import Mapping
from dataclasses import replace

from ..experiment import Preset
from .binary import LatentEnergy, PixelEnergy
from .laws import HIS, LARS, SNIS, TRS, Law, Proposal
from .networks import VAE, ConvHVAE
from .rows import FULL, NAMES, TITLES, Told, preset

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
        "simulated_samples": 500,
    }
    medium = {
        "steps": 100_000 // slow,
        "warm_up": 10_000 // slow,
        "test_images": 2000 if slow == 1 else 500,
        "simulated": 100 if slow == 1 else 50,
        "simulated_samples": 500,
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
    return preset(name, table, row, TITLES[data], full, *budgets, told)


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
    return preset(name, table, row, TITLES[data], full, *budgets, told)


def table1() -> list[Preset]:
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


def earlier() -> list[Preset]:
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
