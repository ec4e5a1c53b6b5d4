"""Are the files there, and are they the right ones?"""

import enum
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from .cards import Layout, Source
from .errors import WrongChecksum
from .folder import folder_of
from .layouts import nearest, needed
from .registry import dataset

MANIFEST = "taut.json"
_CHUNK = 1 << 20


class State(enum.Enum):
    """What is known of one file."""

    GOOD = "checksum as published"
    ACCEPTED = "other content, accepted at import"
    UNKNOWN = "present; no published checksum"
    WRONG = "wrong checksum"
    MISSING = "missing"
    ABSENT = "absent (optional)"


@dataclass(frozen=True)
class FileReport:
    """The state of one file of a dataset."""

    path: Path
    state: State
    expected: str | None
    found: str | None

    @property
    def ok(self) -> bool:
        return self.state not in (State.WRONG, State.MISSING)


@dataclass(frozen=True)
class Verification:
    """The state of all files of the layout in use, or of the one nearest to it."""

    name: str
    folder: Path
    layout: str
    files: tuple[FileReport, ...]

    @property
    def ok(self) -> bool:
        return all(file.ok for file in self.files)


def checksum(path: Path, algorithm: str) -> str:
    """`algorithm:hex` of a file, remembered while the file does not change."""
    status = path.stat()
    return _checksum(path, algorithm, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _checksum(path: Path, algorithm: str, size: int, _changed: int) -> str:
    if algorithm == "git-blob":
        # Git's name of a file's content: SHA-1 over a header and the bytes.
        running = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    else:
        running = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            running.update(chunk)
    return f"{algorithm}:{running.hexdigest()}"


def matches(path: Path, source: Source) -> bool:
    """Whether a file has the published size and checksum, so far as known."""
    if source.folder:
        return path.is_dir()
    if source.size is not None and path.stat().st_size != source.size:
        return False
    if source.checksum is None:
        return True
    return checksum(path, source.checksum.split(":")[0]) == source.checksum


def accepted(folder: Path) -> dict[str, str]:
    """Checksums of files with other content that the user accepted at import."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text())["accepted"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged; delete it and import the files again"
        ) from error


def accept(folder: Path, file: str) -> None:
    """Record that this file's content is meant, whatever the card says."""
    known = accepted(folder) | {file: checksum(folder / file, "sha256")}
    partial = folder / f"{MANIFEST}.part"
    partial.write_text(json.dumps({"accepted": known}, indent=1) + "\n")
    partial.replace(folder / MANIFEST)


def inspect(source: Source, folder: Path) -> FileReport:
    """The state of one file."""
    path = folder / source.file
    if not (path.is_dir() if source.folder else path.is_file()):
        state = State.ABSENT if source.optional else State.MISSING
        return FileReport(path, state, source.checksum, None)
    if source.folder:
        return FileReport(path, State.UNKNOWN, None, None)
    algorithm = (source.checksum or "sha256").split(":")[0]
    found = checksum(path, algorithm)
    if source.checksum is None:
        state = State.UNKNOWN
    elif found == source.checksum:
        state = State.GOOD
    elif accepted(folder).get(source.file) == checksum(path, "sha256"):
        state = State.ACCEPTED
    else:
        state = State.WRONG
    return FileReport(path, state, source.checksum, found)


def verify(name: str, *, root: Path | None = None) -> Verification:
    """Check every file of a dataset against its card."""
    card = dataset(name).card
    folder = folder_of(card, root)
    if not card.layouts:
        return Verification(name, folder, "drawn; no files", ())
    layout = nearest(card, folder)
    files = tuple(inspect(source, folder) for source in layout.files)
    return Verification(name, folder, layout.title, files)


def require(name: str, layout: Layout, folder: Path, part: str) -> None:
    """Raise unless the files that a part is read from are the right ones."""
    for source in needed(layout, (part,)):
        report = inspect(source, folder)
        if report.state is State.WRONG:
            raise WrongChecksum(wrong_message(name, report))


def wrong_message(name: str, report: FileReport) -> str:
    """What was expected, what came, what to do."""
    return (
        f"{name}: {report.path} is not the published file: expected "
        f"{report.expected}, found {report.found}. Delete it and run `taut data "
        f"fetch {name}`, or, if this content is meant, import it with "
        "`--accept-other`."
    )
