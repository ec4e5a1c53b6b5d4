"""Image data as the papers read them."""

import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .. import data
from ..data import transforms
from .experiment import Splits


def _splits(name: str, convention: str) -> dict[str, data.Examples]:
    pieces = {}
    for split in ("train", "valid", "test"):
        try:
            pieces[split] = data.load(name, split, convention=convention)
        except ValueError:
            if split != "valid":  # some papers keep no validation split
                raise
    return pieces


@functools.cache
def binary(name: str, convention: str) -> Splits:
    """Black and white: as stored, or drawn afresh at every read in training and once,
    from a fixed seed, in validation and test.
    """
    pieces = _splits(name, convention)
    train = pieces["train"]
    held_out = {
        k: transforms.fixed_binarisation(v) for k, v in pieces.items() if v is not train
    }
    levels = train.card.levels
    prepare = None
    if levels != 2:
        prepare = lambda key, x: transforms.binarise(
            key, transforms.intensity(x, levels).astype(jnp.float32)
        )
    images = train.images if prepare else train.images.astype(np.float32)
    return Splits(
        train=images,
        valid=held_out.get("valid"),
        test=held_out["test"],
        digest=data.data_digest(*pieces.values()),
        prepare=prepare,
        mean=train.mean(),
    )


@functools.cache
def continuous(name: str, convention: str) -> Splits:
    """Grey values with uniform noise, on [0, 256): fresh noise at every read in
    training, fixed noise in validation and test.
    """
    pieces = _splits(name, convention)
    levels = pieces["train"].card.levels
    if levels != 256:
        raise ValueError(
            f"{name}: expected images of 256 grey levels, to add noise to; got {levels}"
            " levels. Take a model of binary images."
        )
    noisy = lambda key, x: transforms.dequantise(key, x.astype(jnp.float32))

    def fixed(examples: data.Examples) -> np.ndarray:
        keys = jax.vmap(jr.fold_in, (None, 0))(
            jr.key(examples.card.seed), jnp.arange(len(examples))
        )
        return np.asarray(jax.jit(jax.vmap(noisy))(keys, examples.images))

    train = pieces["train"]
    return Splits(
        train=train.images,
        valid=fixed(pieces["valid"]) if "valid" in pieces else None,
        test=fixed(pieces["test"]),
        digest=data.data_digest(*pieces.values()),
        prepare=noisy,
        mean=255 * train.mean() + 0.5,  # of the noisy values
    )


@functools.cache
def grey(name: str, convention: str) -> Splits:
    """Grey levels as stored, `0 .. levels - 1`, as floats."""
    pieces = _splits(name, convention)
    train, floats = pieces["train"], lambda e: e.images.astype(np.float32)
    return Splits(
        train=train.images,
        valid=floats(pieces["valid"]) if "valid" in pieces else None,
        test=floats(pieces["test"]),
        digest=data.data_digest(*pieces.values()),
        prepare=lambda key, x: x.astype(jnp.float32),
        mean=train.mean(),
    )
