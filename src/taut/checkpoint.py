"""Checkpoints that survive `kill -9`: complete and proven, or not there at all.

A checkpoint is a folder named by its step, holding the arrays as Orbax writes them and
`manifest.json`: path, shape and type of every array, and the SHA-256 of every file. It
is written under another name and renamed when all of it is on the disk.
"""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree

log = logging.getLogger("taut")
FORMAT = 1


class CheckpointError(OSError):
    """A checkpoint could not be written, or none can be read."""


class Checkpoints:
    """A folder with the last `keep_last` checkpoints and the best by score."""

    def __init__(self, folder: str | Path, keep_last: int = 2):
        if keep_last < 1:
            raise ValueError(f"keep_last must be at least 1, got {keep_last}.")
        self.folder, self.keep_last = Path(folder).absolute(), keep_last

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, in order."""
        if not self.folder.is_dir():
            return []
        names = (entry.name for entry in self.folder.iterdir() if entry.is_dir())
        return sorted(int(name) for name in names if name.isdigit())

    def best_step(self) -> int | None:
        """The step with the highest score, if any has one."""
        scores = {step: self._score(step) for step in self.steps()}
        scored = {step: score for step, score in scores.items() if score is not None}
        return max(scored, key=lambda step: (scored[step], step), default=None)

    def describe(self) -> str:
        """For messages: where the newest checkpoint is."""
        steps = self.steps()
        if not steps:
            return f"no checkpoint has been written to {self.folder} yet"
        return f"the last checkpoint is of step {steps[-1]}, in {self.folder}"

    def save(self, step: int, tree: PyTree, score: float | None = None) -> None:
        """Write the arrays of `tree`; only the first process of a job does."""
        if jax.process_index() != 0:
            return
        partial = self.folder / f".partial-{step}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            _write(partial, step, tree, score)
            _put(partial, self._path(step))
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointError(
                f"The checkpoint of step {step} could not be written to {self.folder}: "
                f"{error}. Earlier checkpoints are as they were ({self.describe()}). "
                "If the disk is full, free some space; then resume."
            ) from error
        self._forget(step)

    def restore(self, like: PyTree, step: int | None = None) -> PyTree | None:
        """The newest good checkpoint (or the one of `step`), in the form of `like`;
        `None` where there are no checkpoints at all."""
        steps = self.steps() if step is None else [step]
        for candidate in reversed(steps):
            try:
                return _read(self._path(candidate), like)
            except _Damaged as error:
                log.warning(
                    "The checkpoint of step %d in %s is damaged (%s) and is skipped.",
                    candidate,
                    self.folder,
                    error,
                )
        if steps:
            raise CheckpointError(
                f"None of the checkpoints in {self.folder} (steps {steps}) can be "
                "read. Remove them to start from the beginning."
            )
        return None

    def _path(self, step: int) -> Path:
        return self.folder / f"{step:010d}"

    def _score(self, step: int) -> float | None:
        try:
            return json.loads((self._path(step) / "manifest.json").read_text())["score"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _forget(self, saved: int) -> None:
        # Those of later steps were damaged, and skipped by the run that saves now:
        # they must not push out a good one.
        steps = self.steps()
        last = [step for step in steps if step <= saved][-self.keep_last :]
        for step in set(steps) - {*last, self.best_step()}:
            # Renamed first, so that what is being removed is never taken for whole.
            gone = self.folder / f".removed-{step}"
            os.rename(self._path(step), gone)
            shutil.rmtree(gone, ignore_errors=True)
        for left in self.folder.glob(".*-*"):
            shutil.rmtree(left, ignore_errors=True)


class _Damaged(Exception):
    """Not all of a checkpoint is there as it was written."""


def _arrays(tree: PyTree) -> dict[str, np.ndarray]:
    # Keys are saved as their bits, single numbers as arrays of one.
    found = {}
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(tree, eqx.is_array))[0]
    for path, leaf in leaves:
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        found[jax.tree_util.keystr(path)] = np.asarray(
            jr.key_data(leaf) if key else leaf
        )
    return found


def _types(tree: PyTree) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(eqx.filter(tree, eqx.is_array))[0]
    return {
        jax.tree_util.keystr(path): [list(leaf.shape), str(leaf.dtype)]
        for path, leaf in leaves
    }


def _checkpointer():
    import orbax.checkpoint as ocp

    options = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=options)


def _write(folder: Path, step: int, tree: PyTree, score: float | None) -> None:
    arrays = list(_arrays(tree).values())
    named = {str(i): np.atleast_1d(a) for i, a in enumerate(arrays) if a.size}
    folder.mkdir()
    with _checkpointer() as checkpointer:
        checkpointer.save(folder / "arrays", named)
    manifest = {
        "format": FORMAT,
        "step": step,
        "score": score,
        "arrays": _types(tree),
        "files": _digests(folder),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    for path in [*folder.rglob("*"), folder]:
        _flush(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put(partial: Path, final: Path) -> None:
    # A damaged checkpoint of the same step gives way.
    if final.exists():
        old = final.parent / f".removed-{final.name}"
        shutil.rmtree(old, ignore_errors=True)
        os.rename(final, old)
    os.rename(partial, final)
    _flush(final.parent)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files
        if p.name != "manifest.json"
    }


def _read(folder: Path, like: PyTree) -> PyTree:
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        files, types = manifest["files"], manifest["arrays"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _Damaged(f"no readable manifest: {error}") from error
    if manifest.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder} has format {manifest.get('format')}; this version of taut reads "
            f"format {FORMAT}. Use the version that wrote it."
        )
    try:
        found = _digests(folder)
    except OSError as error:
        raise _Damaged(f"not readable: {error}") from error
    wrong = [n for n in files if found.get(n) != files[n]]
    if wrong:
        raise _Damaged(f"{len(wrong)} of {len(files)} files, such as {wrong[0]}")
    _check_same(folder, types, _types(like))
    with _checkpointer() as checkpointer:
        named = checkpointer.restore(folder / "arrays")
    return _fill(like, named)


def _check_same(folder: Path, saved: dict, wanted: dict) -> None:
    if saved == wanted:
        return
    names = [*wanted, *(name for name in saved if name not in wanted)]
    say = lambda types: "absent" if types is None else f"{types[1]}{types[0]}"
    lines = [
        f"  {name}: {say(saved.get(name))} there, {say(wanted.get(name))} here"
        for name in names
        if saved.get(name) != wanted.get(name)
    ]
    more = f"\n  and {len(lines) - 8} more" if len(lines) > 8 else ""
    raise ValueError(
        f"{folder} is a checkpoint of another model or training setup:\n"
        + "\n".join(lines[:8])
        + more
        + "\nUse the settings it was made with, or another folder."
    )


def _fill(like: PyTree, named: dict[str, Any]) -> PyTree:
    arrays, static = eqx.partition(like, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    filled = []
    for i, leaf in enumerate(leaves):
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        bits = jr.key_data(leaf) if key else leaf
        value = jnp.asarray(
            np.asarray(named[str(i)]).reshape(bits.shape) if bits.size else bits,
            dtype=bits.dtype,
        )
        filled.append(jr.wrap_key_data(value, impl=jr.key_impl(leaf)) if key else value)
    return eqx.combine(jax.tree.unflatten(structure, filled), static)
