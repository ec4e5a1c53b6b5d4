"""Every row of Tables 4 to 6. The other tables are read off the same runs: 1 to 3 are
rows of 4 to 6; 7 to 9 (training images) and 10 to 12 (estimators) are in the report
of each evaluation.
"""

from collections.abc import Mapping
from dataclasses import replace

from ..experiment import Preset, Published
from .evaluation import Examination
from .further import AdaptedBSVI, IterativeBSVI, NaturalBSVI, SemiAmortised
from .inference import BSVI, SVI, Amortised
from .model import Grey, Network
from .published import TEST
from .settings import BufferedVAE

EPOCH = 447  # steps between validations: 22,345 images in batches of 50

REDUCED = Network(encoder=16, decoder=8, kernels=(5, 3, 3))
FULL = {
    "omniglot": BufferedVAE(steps=200_000, inference=Amortised(), warm_up=5000),
    "svhn": BufferedVAE(
        steps=200_000,
        inference=Amortised(),
        dataset="svhn",
        pixels=Grey(),
        network=Network(latent=64),
    ),
    "fashion_mnist": BufferedVAE(
        steps=200_000,
        inference=Amortised(),
        dataset="fashion_mnist",
        pixels=Grey(),
    ),
}
FIRST = ("vae", "iwae", "svi", "bsvi-sir")  # Tables 1 to 3
TITLES = {"omniglot": "Omniglot", "svhn": "SVHN", "fashion_mnist": "Fashion-MNIST"}

# Row, as it is named on the command line, what the paper calls it, and how it trains:
# k = 9 steps and k + 1 samples against k' = 10.
ROWS = {
    "vae": ("VAE", Amortised()),
    "iwae": ("IWAE-k'", Amortised(10)),
    "svi": ("SVI-k'", SVI(10)),
    "bsvi-ds": ("BSVI-k-DS", BSVI(double=True)),
    "bsvi": ("BSVI-k", BSVI()),
    "bsvi-pi": ("BSVI-k-pi", BSVI(learned=True)),
    "bsvi-sir": ("BSVI-k-SIR", BSVI(indices=1)),
    "bsvi-sir-pi": ("BSVI-k-SIR-pi", BSVI(learned=True, indices=1)),
}
OURS = {"svi-scratch": ("SVI-k' from scratch", SVI(10, scratch=True))}
# Beyond the paper, on Omniglot.
FURTHER = {
    "bsvi-natural": ("BSVI-k-SIR, natural steps", NaturalBSVI()),
    "bsvi-iterative": ("BSVI-3-SIR, learned update", IterativeBSVI()),
    "bsvi-adapted": ("BSVI-k-SIR, learned step sizes", AdaptedBSVI()),
    "semi-amortised": ("SVI-k', through the steps", SemiAmortised()),
}


def _budgets(full: BufferedVAE) -> Mapping[str, BufferedVAE]:
    network = replace(REDUCED, latent=full.network.latent)
    small = replace(full, network=network, simulated_samples=1, samples=1)
    quick = replace(
        small,
        steps=200,
        warm_up=100 if full.warm_up else 0,
        validate_every=100,
        validation_images=50,
        test_images=50,
        simulated=10,
        examination=Examination(50, (50, 250), 50, train_images=0),
    )
    medium = replace(
        small,
        steps=2500,
        warm_up=600 if full.warm_up else 0,
        validate_every=EPOCH,
        validation_images=200,
        test_images=200,
        simulated=20,
        examination=Examination(100, (100, 200, 500), 50, train_images=50),
    )
    paper = replace(
        full,
        validate_every=EPOCH,
        validation_images=2000,
        samples=1,
        simulated=100,
        simulated_samples=1,
    )
    return {"quick": quick, "medium": medium, "full": paper}


def _rows(dataset: str) -> list[Preset]:
    made = []
    place = tuple(TITLES).index(dataset) + 1
    further = FURTHER if dataset == "omniglot" else {}
    for key, (row, inference) in (ROWS | OURS | further).items():
        full = replace(FULL[dataset], inference=inference)
        table, also, told = "ours", (), None
        if key in ROWS:
            value, spread = TEST[dataset][key][0]
            what = "test log-likelihood by BSVI-500, nats"
            told = Published(value, spread, what)
            table = f"table{3 + place}"
            offsets = (0, 6, 9) if key in FIRST else (6, 9)
            also = tuple(f"table{offset + place}" for offset in offsets)
        label = f"{row}; reduced network below `full`"
        name = f"buffered-{dataset.replace('_', '-')}-{key}"
        title, budgets = TITLES[dataset], _budgets(full)
        made.append(
            Preset(name, "buffered", table, label, title, budgets, told, also=also)
        )
    return made


PRESETS: tuple[Preset, ...] = (
    *_rows("omniglot"),
    *_rows("svhn"),
    *_rows("fashion_mnist"),
)
