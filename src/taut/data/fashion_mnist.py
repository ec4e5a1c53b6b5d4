"""Fashion-MNIST, in MNIST's file format."""

from .cards import Card, Convention, Layout, Piece
from .mnist import TEST, TRAIN, idx_source, read_idx_part
from .registry import Dataset, register

_MIRRORS = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)

FASHION_MNIST = Dataset(
    Card(
        name="fashion_mnist",
        title="Fashion-MNIST",
        shape=(28, 28),
        levels=256,
        about="Pictures of clothes, 60,000 for training and 10,000 for testing.",
        treatment=(
            "Binary and continuous readings as for mnist; the buffered paper models "
            "the 256 grey levels themselves."
        ),
        licence="MIT",
        reference="Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747",
        page="https://github.com/zalandoresearch/fashion-mnist",
        conventions=(
            Convention(
                "energy-inspired",
                (
                    ("train", TRAIN),
                    ("valid", Piece(("train",), start=-10_000)),
                    ("test", TEST),
                ),
                (("train", 60_000), ("valid", 10_000), ("test", 10_000)),
                "All 60,000 for training. `valid` monitors only: it is the last "
                "10,000 of the training images (the paper validates on all 60,000).",
            ),
            Convention(
                "buffered",
                (
                    ("train", Piece(("train",), stop=-2_000, seed=0)),
                    ("valid", Piece(("train",), start=-2_000, seed=0)),
                    ("test", TEST),
                ),
                (("train", 58_000), ("valid", 2_000), ("test", 10_000)),
                "2,000 random training images for validation (seed 0, ours); grey "
                "levels, not binarised.",
            ),
        ),
        layouts=(
            Layout(
                "Fashion-MNIST",
                (
                    idx_source(
                        "train-images-idx3-ubyte.gz",
                        26_421_880,
                        "3aede38d61863908ad78613f6a32ed27"
                        "1626dd12800ba2636569512369268a84",
                        _MIRRORS,
                    ),
                    idx_source(
                        "train-labels-idx1-ubyte.gz",
                        29_515,
                        "a04f17134ac03560a47e3764e11b92fc"
                        "97de4d1bfaf8ba1a3aa29af54cc90845",
                        _MIRRORS,
                    ),
                    idx_source(
                        "t10k-images-idx3-ubyte.gz",
                        4_422_102,
                        "346e55b948d973a97e58d2351dde16a4"
                        "84bd415d4595297633bb08f03db6a073",
                        _MIRRORS,
                    ),
                    idx_source(
                        "t10k-labels-idx1-ubyte.gz",
                        5_148,
                        "67da17c76eaffca5446c3361aaab5c3c"
                        "d6d1c2608764d35dfb1850b086bf8dd5",
                        _MIRRORS,
                    ),
                ),
            ),
        ),
    ),
    read_idx_part,
)
register(FASHION_MNIST)
