"""From exceptions to exit codes and one plain sentence."""

import os
import sys
from collections.abc import Callable


class Misuse(Exception):
    """The command was asked for something that is not there; exit code 2."""


def guarded(command: Callable[[], int | None]) -> int:
    """Run, and turn errors a user can act on into a message without a traceback."""
    try:
        return command() or 0
    except Misuse as problem:
        return _say(problem, 2)
    except KeyboardInterrupt as stop:
        print(f"\n{stop}" if str(stop) else "\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    # ArithmeticError: a loss of NaN; MemoryError: more particles than fit.
    except (
        ValueError,
        TypeError,
        OSError,
        RuntimeError,
        ArithmeticError,
        MemoryError,
    ) as problem:
        if os.environ.get("TAUT_TRACEBACK"):
            raise
        return _say(problem, 1)


def _say(problem: Exception, code: int) -> int:
    print(f"taut: {problem}", file=sys.stderr)
    if "RESOURCE_EXHAUSTED" in str(problem):  # XLA's own word
        print(
            "More than the memory holds: a smaller `taut evaluate --chunk` gives the "
            "same numbers; in training, a smaller --batch-size or fewer samples.",
            file=sys.stderr,
        )
    if code == 1:
        print("(TAUT_TRACEBACK=1 shows where this came from.)", file=sys.stderr)
    return code
