"""Take over files that the user has."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from .cards import Card, Layout, Source
from .checking import Verification, accept, checksum, matches, verify
from .errors import MissingData, WrongChecksum
from .folder import writable_folder
from .layouts import missing_message
from .registry import Progress, dataset


def import_files(
    name: str,
    source_dir: Path | str,
    *,
    root: Path | None = None,
    accept_other: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Find a dataset's files in a folder, check them and copy them to their place.

    `accept_other` takes files of the right names whose content is not the published
    one, and records their checksums, so that `load` and `verify` take them too.
    """
    data = dataset(name)
    card = data.card
    if card.packaged or not card.layouts:
        raise ValueError(f"{name} needs no files; there is nothing to import")
    source_dir = Path(source_dir).expanduser()
    if not source_dir.is_dir():
        raise NotADirectoryError(f"{source_dir} is not a folder")
    layout, found = _find(card, source_dir, accept_other=accept_other)
    folder = writable_folder(card, root)
    for source, path in found.items():
        _copy(source, path, folder, progress)
        if not source.folder and not matches(folder / source.file, source):
            accept(folder, source.file)
    if data.prepare is not None:
        data.prepare(folder, layout, progress)
    return verify(name, root=root)


def _find(
    card: Card, source_dir: Path, *, accept_other: bool
) -> tuple[Layout, dict[Source, Path]]:
    """The first layout of which everything is there."""
    wrong: WrongChecksum | None = None
    for layout in card.layouts:
        found: dict[Source, Path] = {}
        try:
            for source in layout.files:
                path = _choose(card, source, source_dir, accept_other=accept_other)
                if path is not None:
                    found[source] = path
        except WrongChecksum as error:
            wrong = wrong or error
            continue
        if all(source in found or source.optional for source in layout.files):
            return layout, found
    if wrong is not None:
        raise wrong
    names = "; or ".join(
        ", ".join(source.file for source in layout.files if not source.optional)
        for layout in card.layouts
    )
    raise MissingData(
        f"{card.name}: {source_dir} holds none of these sets of files: {names}.\n"
        + missing_message(card, source_dir)
    )


def _choose(
    card: Card, source: Source, source_dir: Path, *, accept_other: bool
) -> Path | None:
    """The file with the right content; by name, then, renamed, by size and sum."""
    named = list(_named(card, source, source_dir))
    for path in named:
        if matches(path, source):
            return path
    if source.checksum is not None and source.size is not None:
        for path in source_dir.iterdir():
            if path.is_file() and matches(path, source):
                return path
    if not named:
        return None
    if accept_other:
        return named[0]
    algorithm = (source.checksum or "sha256").split(":")[0]
    raise WrongChecksum(
        f"{card.name}: {named[0]} is not the published file: expected "
        f"{source.checksum}, found {checksum(named[0], algorithm)}. Get it again from "
        f"{source.urls[0] if source.urls else card.page}, or, if this content is "
        "meant, import it with `--accept-other`."
    )


def _named(card: Card, source: Source, source_dir: Path) -> Iterator[Path]:
    """Files of that name: in the dataset's own folder first, then anywhere below."""
    first = (source_dir / card.name / source.file, source_dir / source.file)
    rest = sorted(source_dir.rglob(source.file))
    for path in dict.fromkeys((*first, *rest)):
        if path.is_dir() if source.folder else path.is_file():
            yield path


def _copy(source: Source, path: Path, folder: Path, progress: Progress | None) -> None:
    """Copy under another name first, so that no half file ever has the final one."""
    target = folder / source.file
    if target.exists() and target.samefile(path):
        return
    partial = folder / f"{source.file}.part"
    if source.folder:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(path, partial)
        shutil.rmtree(target, ignore_errors=True)
    else:
        shutil.copyfile(path, partial)
        if checksum(partial, "sha256") != checksum(path, "sha256"):
            raise OSError(f"{path} changed or was damaged while it was copied")
    partial.replace(target)
    if progress is not None and not source.folder:
        size = target.stat().st_size
        progress(source.file, size, size)
