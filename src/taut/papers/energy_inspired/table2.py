"""Table 2: continuous images."""

from collections.abc import Mapping
from dataclasses import replace

from ..experiment import Preset
from .continuous import MAF, ContinuousEnergy
from .laws import HIS, LARS, SNIS, Law, Proposal
from .rows import FULL, NAMES, Told, preset

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
    """The same steps for every law on one network, so that they can be compared."""
    slow = (4 if large else 1) * (16 if data == "celeba" else 1)
    lars = (
        {"law": replace(law, evaluation_draws=10**5)} if isinstance(law, LARS) else {}
    )
    cheap = {"test_images": 200, "samples": 100, "simulated": 20}
    quick = cheap | {"steps": 6000 // slow, "simulated_samples": 100}
    medium = {
        "steps": 80_000 // slow,
        "test_images": 1000,
        "simulated": 50,
        "simulated_samples": 500,
    }
    return quick | lars, medium | lars


def table2() -> list[Preset]:
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
                    preset(name, "table2", row, CONTINUOUS[data], full, *budgets, told)
                )
        if data == "mnist":
            flow = MAF(steps=FULL, dataset=data)
            budgets = _continuous_budgets(data, HIS(), large=True)
            name = "continuous-mnist-maf"
            rows.append(preset(name, "table2", "MAF", "MNIST", flow, *budgets, -1027.0))
    return rows
