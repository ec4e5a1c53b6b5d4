"""`taut doctor`: what numbers from this machine depend on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..data import data_home, listing
from ..rundir import environment
from .options import parse


@dataclass(frozen=True)
class Options:
    """Print versions, devices, threads and data."""

    json: bool = False
    """An object for machines."""


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut doctor")
    found = environment()
    found.pop("command")
    found["data_folder"] = str(data_home())
    found["data"] = {row.card.name: row.ready for row in listing()}
    if options.json:
        print(json.dumps(found, indent=2))
        return
    versions = found.pop("versions")
    data = found.pop("data")
    width = max(map(len, [*found, *versions]))
    for name, value in {**versions, **found}.items():
        print(f"{name:<{width}}  {value}")
    ready = [name for name, there in data.items() if there]
    missing = [name for name, there in data.items() if not there]
    print(f"{'data here':<{width}}  {', '.join(ready)}")
    if missing:
        print(f"{'not here':<{width}}  {', '.join(missing)} (`taut data fetch NAME`)")
