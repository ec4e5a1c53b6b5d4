"""Datasets: arrays in, arrays out. JAX is needed by `taut.data.transforms` only."""

from . import (
    caltech101_silhouettes as caltech101_silhouettes,
    celeba as celeba,
    digits as digits,
    fashion_mnist as fashion_mnist,
    freyfaces as freyfaces,
    mnist as mnist,
    omniglot as omniglot,
    static_mnist as static_mnist,
    svhn as svhn,
)
from .cards import (
    Card as Card,
    Convention as Convention,
    Layout as Layout,
    Piece as Piece,
    Source as Source,
)
from .checking import (
    FileReport as FileReport,
    State as State,
    Verification as Verification,
    verify as verify,
)
from .drawn import synthetic as synthetic
from .errors import (
    FetchFailed as FetchFailed,
    MissingData as MissingData,
    WrongChecksum as WrongChecksum,
)
from .examples import Examples as Examples, data_digest as data_digest, subset as subset
from .fetching import fetch as fetch
from .folder import data_home as data_home, folder_of as folder_of
from .importing import import_files as import_files
from .loading import Listing as Listing, listing as listing, load as load
from .registry import (
    Dataset as Dataset,
    card as card,
    names as names,
    register as register,
)
