"""Programs that run for less time than it takes to compile them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx


def brief(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`jit` without XLA's later optimisations, which take longer than they save."""
    level: dict[str, Any] = {"xla_backend_optimization_level": 0}
    jit: Any = eqx.filter_jit
    return jit(fn, compiler_options=level)
