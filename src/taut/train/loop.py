"""How steps are run: many per compiled call, or one by one from the host."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from .memory import check_memory
from .sharding import known_mesh
from .step import Recipe, train_step


class AbstractLoop(eqx.Module):
    """Runs steps; `steps_per_call` is how many at most before the host looks."""

    steps_per_call: eqx.AbstractVar[int]

    @abc.abstractmethod
    def advance(self, step: Callable, state, epoch, orders, stop):
        """Traced: the state after one compiled call, `stop` steps or fewer."""

    @abc.abstractmethod
    def calls(self, count: int) -> int:
        """How many compiled calls make `count` steps."""


class CompiledLoop(AbstractLoop):
    """Many steps in one compiled call, with no host round trip between them.

    The number of steps is an argument of the compiled code (a `while_loop`), not part
    of it, so one compilation serves every chunk and the numbers do not depend on the
    chunk size, bit for bit; under `lax.scan` each length is its own program.
    """

    steps_per_call: int = eqx.field(static=True, default=100)

    def advance(self, step, state, epoch, orders, stop):
        more = lambda now: (now.step < stop) & (now.bad == 0)
        return jax.lax.while_loop(more, lambda now: step(now, epoch, orders), state)

    def calls(self, count: int) -> int:
        return 1


class HostLoop(AbstractLoop):
    """One compiled call per step, dispatched without waiting for its result.

    On the CPU backend XLA runs its own convolutions inside a compiled loop tens of
    times slower than outside one: train such networks with this loop there.
    """

    steps_per_call: int = eqx.field(static=True, default=100)

    def advance(self, step, state, epoch, orders, stop):
        return step(state, epoch, orders)

    def calls(self, count: int) -> int:
        return count


def compile_loop(
    loop: AbstractLoop, recipe: Recipe, source, state, epoch, orders, memory_limit
) -> Callable:
    """`run(state, epoch, orders, stop) -> state`, compiled, its memory checked; the
    buffers of the state it is given are reused for the one it returns."""
    arrays, static = eqx.partition(state, eqx.is_array)
    source_arrays, source_static = eqx.partition(source, eqx.is_array)

    def call(arrays, source_arrays, epoch, orders, stop):
        source = eqx.combine(source_arrays, source_static)

        def step(arrays, epoch, orders):
            state = eqx.combine(arrays, static)
            state = train_step(recipe, source, state, epoch, orders)
            return eqx.filter(state, eqx.is_array)

        return loop.advance(step, arrays, epoch, orders, stop)

    replicated = (
        None if recipe.mesh is None else NamedSharding(recipe.mesh, PartitionSpec())
    )
    stop = jnp.int32(0)
    program = jax.jit(call, donate_argnums=0, out_shardings=replicated)
    with known_mesh(recipe.mesh):
        lowered = program.lower(arrays, source_arrays, epoch, orders, stop)
    compiled = lowered.compile()
    check_memory(compiled, memory_limit)

    def run(state, epoch, orders, stop):
        arrays = eqx.filter(state, eqx.is_array)
        for _ in range(loop.calls(stop - int(state.step))):
            arrays = compiled(arrays, source_arrays, epoch, orders, jnp.int32(stop))
        return eqx.combine(arrays, static)

    return run
