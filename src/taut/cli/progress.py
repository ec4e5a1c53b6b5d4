"""Progress on a terminal, silence elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Update = Callable[[int, str], None]
console = Console(stderr=True)  # what is said
results = Console()  # what was asked for


@contextmanager
def progress(what: str, total: int, *, quiet: bool = False) -> Iterator[Update]:
    """A bar with ETA; `update(done, note)` moves it. Nothing where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, note: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(what, total=total, note="")
        yield lambda done, note: bars.update(task, completed=done, note=note)
