"""Download what can be downloaded: resumed, verified, then renamed."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO, cast

from .cards import Card, Layout, Source
from .checking import State, Verification, inspect, matches, verify, wrong_message
from .errors import FetchFailed, WrongChecksum
from .folder import folder_of, writable_folder
from .layouts import complete, present
from .registry import Progress, dataset

_CHUNK = 1 << 18
_TRIES = 5
_NETWORK = (urllib.error.URLError, http.client.HTTPException, OSError)


def fetch(
    name: str,
    *,
    root: Path | None = None,
    progress: Progress | None = None,
    timeout: float = 30.0,
) -> Verification:
    """Download what is missing of a dataset; what is there is checked and kept."""
    data = dataset(name)
    card = data.card
    if card.packaged or not card.layouts:
        return verify(name, root=root)
    folder = folder_of(card, root)
    there = [one for one in card.layouts if one.whole and complete(one, folder)]
    layout = there[0] if there else _fetchable(card, folder)
    if not there:
        folder = writable_folder(card, root)
    for source in layout.files:
        report = inspect(source, folder)
        if report.state is State.WRONG:
            raise WrongChecksum(wrong_message(name, report))
        if not there and not present(source, folder):
            _download(card, source, folder, progress, timeout)
    if not there and data.prepare is not None:
        data.prepare(folder, layout, progress)
    return verify(name, root=root)


def _fetchable(card: Card, folder: Path) -> Layout:
    for layout in card.layouts:
        if layout.fetchable:
            return layout
    raise FetchFailed(
        f"{card.name} cannot be fetched by a program: its owners give it out by hand "
        f"at {card.page}. {_by_hand(card, folder)}"
    )


def _by_hand(card: Card, folder: Path) -> str:
    return (
        f"Get the files on any machine, put them into {folder}, or run `taut data "
        f"import {card.name} --from DIR`."
    )


def _download(
    card: Card, source: Source, folder: Path, progress: Progress | None, timeout: float
) -> None:
    """Try the mirrors in turn; keep what came as `.part` for the next try."""
    partial = folder / f"{source.file}.part"
    trouble: list[str] = []
    for url in source.urls:
        for _ in range(_TRIES):
            before = partial.stat().st_size if partial.exists() else 0
            try:
                _receive(url, partial, source, progress, timeout)
            except FetchFailed:
                raise
            except _NETWORK as error:
                trouble.append(f"  {url}: {error}")
                after = partial.stat().st_size if partial.exists() else 0
                if after > before:
                    continue
                break
            if matches(partial, source):
                partial.replace(folder / source.file)
                return
            trouble.append(f"  {url}: what came is not the published file")
            partial.unlink()
            if before == 0:
                break
    said = "\n".join(dict.fromkeys(trouble))
    raise FetchFailed(
        f"{card.name}: {source.file} could not be fetched:\n{said}\n"
        "If there is a network, run the same command again: it goes on where it "
        f"stopped. If there is none: {_by_hand(card, folder)}"
    )


def _receive(
    url: str, partial: Path, source: Source, progress: Progress | None, timeout: float
) -> None:
    """Append to the partial file what is still missing of it."""
    have = partial.stat().st_size if partial.exists() else 0
    if source.size is not None and have >= source.size:
        if have == source.size:
            return
        have = 0
    headers = {"User-Agent": "taut"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            # Nothing lies beyond what we have: it is complete, or of another file.
            return
        raise
    with answer:
        # 206: the rest comes; anything else: the whole file comes.
        done = have if answer.status == 206 else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length is not None else source.size
        with _opened(partial, "ab" if done else "wb") as file:
            while chunk := answer.read(_CHUNK):
                _write(file, chunk, partial)
                done += len(chunk)
                if progress is not None:
                    progress(source.file, done, total)
    if total is not None and done < total:
        raise ConnectionError(f"connection ended after {done} of {total} bytes")


def _opened(partial: Path, mode: str) -> BinaryIO:
    try:
        return cast(BinaryIO, partial.open(mode))
    except OSError as error:
        raise FetchFailed(f"{partial} cannot be written: {error}") from error


def _write(file: BinaryIO, chunk: bytes, partial: Path) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise FetchFailed(
            f"{partial} cannot be written: {error}. What was received is kept; make "
            "room and run the same command again."
        ) from error
