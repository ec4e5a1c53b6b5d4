"""`taut demo`: small models from nothing, bounded from both sides, reported."""

import functools
import json
import os
import time
from collections.abc import Callable, Sequence

from ..options import parse
from ..progress import progress
from .common import PRIOR_NUM, Options, Trained
from .digits import digit_model
from .page import report, show, summarise
from .plane import PLANE, plane_model


def run(argv: Sequence[str]) -> None:
    options = parse(Options, argv, "taut demo")
    # Models as small as these take longer to compile than to train. XLA reads this at
    # its first program, and a level that is given already comes later and wins.
    given = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=1 {given}"
    start = time.monotonic()
    makers: dict[str, Callable[[], Trained]] = {
        name: functools.partial(plane_model, options, name, make)
        for name, make in PLANE.items()
    }
    makers |= {
        name: functools.partial(digit_model, options, name, num)
        for name, num in (("VAE, Gaussian prior", None), ("VAE, SNIS prior", PRIOR_NUM))
    }
    found: dict[str, Trained] = {}
    with progress("taut demo", len(makers), quiet=options.quiet) as update:
        for name, make in makers.items():
            update(len(found), name)
            found[name] = make()
    seconds = time.monotonic() - start
    page = report(found, options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "index.html").write_text(page)
    record = summarise(found, seconds)
    (options.out / "summary.json").write_text(json.dumps(record, indent=2) + "\n")
    if options.json:
        print(json.dumps(record, indent=2))
    elif not options.quiet:
        show(found, seconds, options.out / "index.html")
