"""An evaluation that was killed goes on: blocks that are done stay in the run's folder.

Every example has its own key, so a block's numbers do not depend on when it is made.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree

from ..rundir import environment, write_json

Arrays = Mapping[str, Any]  # by name, the examples on the leading axis
FROM = ("versions", "backend", "device", "x64", "xla_flags", "revision")


class Partial:
    """The finished blocks of one evaluation, by section and first example.

    `settings` is all that decides its numbers; blocks of another one are removed.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        self.folder = folder
        now = json.loads(json.dumps({**settings, "environment": _made_by()}))
        if self._settings() != now:
            self.remove()
            folder.mkdir(parents=True)
            write_json(folder / "settings.json", now)

    def _settings(self) -> Any:
        try:
            return json.loads((self.folder / "settings.json").read_text())
        except (OSError, ValueError):
            return None

    def blocks(
        self, name: str, total: int, made: Callable[[int], Iterator[Arrays]]
    ) -> Iterator[dict[str, np.ndarray]]:
        """All blocks of a section: those kept, then `made(start)` from there on."""
        start = 0
        while start < total and (block := self._read(name, start)) is not None:
            yield block
            start += _size(block)
        if start == total:
            return
        for block in made(start):
            kept = {field: np.asarray(value) for field, value in block.items()}
            self._write(name, start, kept)
            yield kept
            start += _size(kept)

    def remove(self) -> None:
        """The evaluation is done."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _path(self, name: str, start: int) -> Path:
        return self.folder / f"{name}-{start:08d}.npz"

    def _read(self, name: str, start: int) -> dict[str, np.ndarray] | None:
        try:
            with np.load(self._path(name, start)) as file:
                return {field: file[field] for field in file.files}
        except (OSError, ValueError, EOFError, BadZipFile):
            return None  # not there, or not all of it

    def _write(self, name: str, start: int, block: Mapping[str, np.ndarray]) -> None:
        path = self._path(name, start)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, **block)  # pyright: ignore[reportArgumentType]
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)


def _size(block: Arrays) -> int:
    return len(next(iter(block.values())))


def _made_by() -> dict[str, Any]:
    now = environment()
    return {name: now[name] for name in FROM}


def digest(tree: PyTree) -> str:
    """Of every array: what is evaluated, whatever checkpoint it came from."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array)):
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        bits = np.asarray(jr.key_data(leaf) if key else leaf)
        found.update(f"{bits.shape} {bits.dtype}".encode() + bits.tobytes())
    return found.hexdigest()
