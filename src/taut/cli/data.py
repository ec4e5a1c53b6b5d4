"""`taut data`: list, fetch, verify, import."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from .. import data
from .exits import Misuse
from .options import nearest, parse

USAGE = """usage: taut data list [--json]
           every data set, and whether its files are here
       taut data fetch NAME
           download what is missing; stopped, it goes on where it was
       taut data verify NAME
           hold every file against its published checksum
       taut data import NAME --from DIR [--accept-other]
           take files that you have, from DIR or below it"""


@dataclass(frozen=True)
class List:
    """Every data set, and whether its files are here."""

    json: bool = False
    """Objects for machines."""


@dataclass(frozen=True)
class Named:
    """One data set."""

    name: Annotated[str, Positional, arg(metavar="NAME")]
    """As in `taut data list`."""


@dataclass(frozen=True)
class Import:
    """Take the files of one data set from a folder."""

    name: Annotated[str, Positional, arg(metavar="NAME")]
    """As in `taut data list`."""
    source: Annotated[Path, arg(name="from")]
    """Where the files lie."""
    accept_other: bool = False
    """Accept content whose checksum is not the published one, and remember it."""


def run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    verb, *rest = argv
    verbs = {"list": show, "fetch": fetch, "verify": verify, "import": take}
    if verb not in verbs:
        raise Misuse(f"`taut data` has no {verb!r}.\n{USAGE}")
    return verbs[verb](rest)


def show(argv: Sequence[str]) -> int:
    options = parse(List, argv, "taut data list")
    rows = data.listing()
    if options.json:
        told = [
            {"name": r.card.name, "shape": r.card.shape, "here": r.ready} for r in rows
        ]
        print(json.dumps(told, indent=2))
        return 0
    for row in rows:
        mark = "here" if row.ready else "-"
        shape = "x".join(map(str, row.card.shape))
        print(f"{row.card.name:<24}{shape:<10}{mark:<6}{row.card.title}")
    print(f"\nFiles live in {data.data_home()} (TAUT_DATA moves them).")
    return 0


def fetch(argv: Sequence[str]) -> int:
    name = known(parse(Named, argv, "taut data fetch").name)
    return told(data.fetch(name, progress=moved))


def verify(argv: Sequence[str]) -> int:
    name = known(parse(Named, argv, "taut data verify").name)
    return told(data.verify(name))


def take(argv: Sequence[str]) -> int:
    options = parse(Import, argv, "taut data import")
    done = data.import_files(
        known(options.name),
        options.source,
        accept_other=options.accept_other,
        progress=moved,
    )
    return told(done)


def known(name: str) -> str:
    """The name, if a data set has it."""
    if name not in data.names():
        raise nearest("data set", name, data.names(), "taut data list")
    return name


def moved(file: str, done: int, total: int | None) -> None:
    """One line that rewrites itself."""
    if not sys.stderr.isatty():
        return
    share = f"{done / total:4.0%}" if total else ""
    print(f"\r{file}  {done / 1e6:,.1f} MB {share}", end="", file=sys.stderr)
    if done == total:
        print(file=sys.stderr)


def told(found: data.Verification) -> int:
    """A line per file; 1 where one is missing or wrong."""
    for file in found.files:
        print(f"{file.path}: {file.state.value}")
    if found.ok:
        return 0
    print(
        f"`taut data fetch {found.name}` gets what is missing, `taut data import "
        f"{found.name} --from DIR` takes files that you have.",
        file=sys.stderr,
    )
    return 1
