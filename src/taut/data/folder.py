"""Where data lie: one folder per dataset under `TAUT_DATA` or the cache folder."""

import os
import sys
from pathlib import Path

from .cards import Card


def data_home() -> Path:
    """`TAUT_DATA` if set, otherwise `taut/data` in the platform's cache folder."""
    chosen = os.environ.get("TAUT_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local"))
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "taut" / "data"


def folder_of(card: Card, root: Path | None = None) -> Path:
    """The folder of one dataset, under `root` or `data_home()`."""
    if card.packaged:
        return Path(__file__).parent / "builtin"
    return (data_home() if root is None else Path(root)) / card.name


def writable_folder(card: Card, root: Path | None = None) -> Path:
    """The same folder, made if need be."""
    folder = folder_of(card, root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PermissionError(
            f"{folder} cannot be made ({error.strerror}). Set TAUT_DATA to a folder "
            "that you may write to."
        ) from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"{folder} may not be written to. Set TAUT_DATA to a folder that you "
            "may write to."
        )
    return folder
