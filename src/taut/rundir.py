"""A run's folder: config.json, metrics.jsonl, summary.json, environment.json and
checkpoints/. Written by the first process of a job only."""

import datetime
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import Checkpoints

PACKAGES = ("taut", "jax", "jaxlib", "equinox", "optax", "numpyro", "orbax-checkpoint")


class RunError(ValueError):
    """The folder cannot serve as this run's."""


class Run:
    """Record of one training run. Its methods fit `taut.train.fit`:

    fit(..., checkpoints=run.checkpoints, on_start=run.start, on_report=run.report)
    """

    def __init__(self, folder: str | Path, keep_last: int = 2):
        self.folder = Path(folder).absolute()
        self.checkpoints = Checkpoints(self.folder / "checkpoints", keep_last)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        config: Mapping[str, Any],
        data_digest: str | None = None,
        keep_last: int = 2,
    ) -> "Run":
        """Begin a run in a new or empty folder."""
        run = cls(folder, keep_last)
        if not _first_process():
            return run  # the first one looks, and may have begun already
        if run.folder.is_file():
            raise RunError(f"{run.folder} is a file; a run needs a folder.")
        if run.folder.exists() and any(run.folder.iterdir()):
            what = (
                "already holds a run: resume it, or"
                if run.exists()
                else "is not empty and not a run (it has no config.json):"
            )
            raise RunError(f"{run.folder} {what} choose another folder.")
        run.folder.mkdir(parents=True, exist_ok=True)
        write_json(run.folder / "environment.json", environment(data_digest))
        # Last, because a folder is a run once it has one.
        write_json(run.folder / "config.json", config)
        return run

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        config: Mapping[str, Any],
        data_digest: str | None = None,
        free: Iterable[str] = ("steps",),
        keep_last: int = 2,
    ) -> "Run":
        """Go on with the run in `folder`, made with the same `config` except for the
        settings named in `free` (dots lead into nested ones)."""
        run = cls.open(folder, keep_last)
        old, new = flatten(run.config()), flatten(_plain(config))
        changed = [
            f"  {name}: {old.get(name, 'absent')} there, {new.get(name, 'absent')} now"
            for name in [*old, *(name for name in new if name not in old)]
            if old.get(name) != new.get(name) and name not in free
        ]
        before = run.environment()
        if data_digest != before.get("data_digest"):
            changed.append(
                f"  data digest: {before.get('data_digest')} there, {data_digest} now"
            )
        if changed:
            raise RunError(
                f"The run in {run.folder} was made with other settings:\n"
                + "\n".join(changed)
                + "\nResume it with its own, or start a new one in another folder."
            )
        if _first_process():
            now = environment(data_digest)
            before["resumed"] = [*before.get("resumed", []), now]
            write_json(run.folder / "environment.json", before)
            write_json(run.folder / "config.json", config)
        return run

    @classmethod
    def open(cls, folder: str | Path, keep_last: int = 2) -> "Run":
        """A run that is there, for reading."""
        run = cls(folder, keep_last)
        if not run.folder.is_dir():
            raise RunError(f"There is no run in {run.folder}: no such folder.")
        if not run.exists():
            raise RunError(f"{run.folder} is not a run: it has no config.json.")
        return run

    def exists(self) -> bool:
        """Whether the folder is a run."""
        return (self.folder / "config.json").is_file()

    def config(self) -> dict[str, Any]:
        """Every resolved setting."""
        return _read_json(self.folder / "config.json")

    def environment(self) -> dict[str, Any]:
        """What the run was made with."""
        path = self.folder / "environment.json"
        return _read_json(path) if path.exists() else {}

    def summary(self) -> dict[str, Any]:
        """The results so far; empty before there are any."""
        path = self.folder / "summary.json"
        return _read_json(path) if path.exists() else {}

    def metrics(self) -> list[dict[str, Any]]:
        """All reports, oldest first; a last line cut short by a kill is left out."""
        return _rows(self.folder / "metrics.jsonl")

    def validations(self) -> list[dict[str, Any]]:
        """All validations, step and score, oldest first."""
        return _rows(self.folder / "validations.jsonl")

    def start(self, step: int) -> None:
        """Drop what was reported after the checkpoint that training goes on from."""
        for name in ("metrics.jsonl", "validations.jsonl"):
            path = self.folder / name
            if _first_process() and path.exists():
                kept = [json.dumps(r) for r in _rows(path) if r["step"] <= step]
                _replace(path, "".join(f"{row}\n" for row in kept))

    def report(self, step: int, metrics: Mapping[str, Any], rate: float) -> None:
        """Add one line to metrics.jsonl."""
        _add(self.folder / "metrics.jsonl", {"step": step, "rate": rate, **metrics})

    def validated(self, step: int, score: Any) -> None:
        """Add one line to validations.jsonl."""
        _add(self.folder / "validations.jsonl", {"step": step, "score": score})

    def seconds(self) -> float:
        """How long the steps of the reports took, compilation left out."""
        ends = [(row["step"], row["rate"]) for row in self.metrics() if row.get("rate")]
        starts = [0, *(step for step, _ in ends)]
        return sum((end - s) / rate for s, (end, rate) in zip(starts, ends))

    def summarise(self, values: Mapping[str, Any]) -> None:
        """Write `values` into summary.json, beside those already there."""
        if _first_process():
            values = self.summary() | _plain(values)
            write_json(self.folder / "summary.json", values)


def environment(data_digest: str | None = None) -> dict[str, Any]:
    """Versions, devices, threads, data and revision: what a number depends on."""
    import jax

    devices = jax.devices()
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in PACKAGES},
        "device": devices[0].device_kind,
        "backend": devices[0].platform,
        "device_count": len(devices),
        "process_count": jax.process_count(),
        "threads": len(affinity(0)) if affinity else os.cpu_count(),
        "x64": bool(jax.config.read("jax_enable_x64")),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "data_digest": data_digest,
        "revision": revision(),
    }


def revision() -> str | None:
    """The git revision of this package's source, `-dirty` where it was changed."""
    here = Path(__file__).parent
    git = lambda *words: subprocess.run(
        ["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10
    )
    try:
        # An installed package inside somebody else's repository is not ours.
        if git("ls-files", "--error-unmatch", __file__).returncode:
            return None
        commit = git("rev-parse", "HEAD").stdout.strip()
        dirty = git("status", "--porcelain", "--", str(here)).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return commit + ("-dirty" if dirty else "") if commit else None


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def write_json(path: Path, value: Any) -> None:
    """Write all of a JSON file or nothing."""
    _replace(path, as_json(value) + "\n")


def as_json(value: Any) -> str:
    """Strict JSON: arrays become lists, and what is not a finite number null."""
    return json.dumps(_plain(value), indent=2, allow_nan=False)


def _rows(path: Path) -> list[dict[str, Any]]:
    # A last line cut short by a kill is left out.
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _add(path: Path, row: Mapping[str, Any]) -> None:
    if _first_process():
        with path.open("a") as file:
            file.write(json.dumps(_plain(row), allow_nan=False) + "\n")


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise RunError(f"{path} is not readable JSON: {error}.") from error


def _plain(value: Any) -> Any:
    # What JSON can hold; what is not a finite number is null there.
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(f"Cannot write {value!r} as JSON: use numbers and text.")
    return _plain(array.tolist())


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_process() -> bool:
    import jax

    return jax.process_index() == 0
