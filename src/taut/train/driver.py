"""The host's part of training: what happens between compiled calls."""

import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PyTree

from .interrupt import Interrupts
from .loop import compile_loop
from .sharding import replicate
from .state import Best, TrainState, averaged, owned
from .step import VALIDATION, order_keys
from .trouble import Interrupted, NonFiniteError, diagnose, lost_peer

# Seconds between looks at the signals: so long may Ctrl-C wait, or one step.
RESPONSE = 2.0


class FitResult(eqx.Module):
    """What training left: the last parameters, their Polyak average (the last where
    there is none), the best ones by validation (or `None`), and the metrics reported.
    """

    params: Any
    averaged: Any
    state: PyTree
    best: Best | None
    step: int
    stopped_early: bool
    history: list[dict[str, Any]]
    train_state: TrainState


class Driver:
    """One call of `fit`, from its first compilation to its result."""

    def __init__(
        self, recipe, source, loop, checkpoints, validation, every, memory_limit
    ):
        self.recipe, self.source, self.loop = recipe, source, loop
        self.checkpoints, self.validation, self.every = checkpoints, validation, every
        self.memory_limit = memory_limit
        self.history, self.saved = [], -1
        self.epoch, self.orders = None, None
        # Steps per call so far: begins small, see `_advance`.
        self.stride = 1 if jax.process_count() == 1 else loop.steps_per_call

    def __call__(
        self, now: TrainState, steps: int, on_report, on_validation
    ) -> FitResult:
        try:
            return self._train(now, steps, on_report, on_validation)
        except (RuntimeError, ValueError) as error:
            # XLA raises either, by the status code it met.
            lost = lost_peer(error, self._where())
            if lost is None:
                raise
            raise lost from error

    def _train(
        self, now: TrainState, steps: int, on_report, on_validation
    ) -> FitResult:
        step, stopped = int(now.step), False
        self.saved = step
        if step < steps:
            self.compiled = self._compile(now)
        clock, start = time.monotonic(), step
        with Interrupts() as interrupts:
            stopped = self._exhausted(now)
            while step < steps and not stopped:
                now = self._advance(now, self._next_stop(step, steps))
                step = int(now.step)
                if int(now.bad):
                    self._raise_bad(now)
                if step % self.every["report"] == 0 or step == steps:
                    rate = (step - start) / max(time.monotonic() - clock, 1e-9)
                    now = self._report(now, rate, on_report)
                    clock, start = time.monotonic(), step
                if self._due("validate", step):
                    now, improved = self._validate(now, on_validation)
                    stopped = self._exhausted(now)
                    if improved:
                        self._save(now)
                if self._due("save", step):
                    self._save(now)
                if interrupts.agreed() and step < steps and not stopped:
                    self._save(now)
                    where = self._where()
                    raise Interrupted(
                        f"Interrupted after step {step} of {steps}; {where}.",
                        self._result(now, stopped=False),
                    )
            self._save(now)
        return self._result(now, stopped=stopped)

    def _due(self, what: str, step: int) -> bool:
        every = self.every[what]
        return every is not None and step % every == 0

    def _next_stop(self, step: int, steps: int) -> int:
        marks = [every for every in self.every.values() if every is not None]
        marks = [(step // every + 1) * every for every in marks]
        return min(step + self.stride, steps, *marks)

    def _advance(self, now: TrainState, stop: int) -> TrainState:
        """Steps up to `stop`, and how many next time: what takes `RESPONSE` seconds,
        or all that the loop allows where processes must agree on the number."""
        count, clock = stop - int(now.step), time.monotonic()
        now = self.compiled(now, *self._where_in_data(now), stop)
        jax.block_until_ready(now.step)
        if jax.process_count() == 1:
            pace = (time.monotonic() - clock) / count
            fitting = min(RESPONSE / max(pace, 1e-9), 8 * self.stride)
            self.stride = max(1, min(int(fitting), self.loop.steps_per_call))
        return now

    def _where_in_data(self, now: TrainState):
        epoch = self.source.epoch(int(now.step))
        if self.epoch != epoch:
            orders = self.source.orders(
                order_keys(now.key), jnp.int32(epoch), self.loop.steps_per_call
            )
            self.epoch, self.orders = epoch, replicate(orders, self.recipe.mesh)
        return jnp.int32(epoch), self.orders

    def _compile(self, now: TrainState):
        where = self._where_in_data(now)
        return compile_loop(
            self.loop, self.recipe, self.source, now, *where, self.memory_limit
        )

    def _report(self, now: TrainState, rate: float, on_report) -> TrainState:
        sums, count = jax.device_get((now.sums, now.count))
        if count == 0:
            return now
        means = {name: total / count for name, total in sums.items()}
        if self.recipe.seeds is None:
            means = {name: float(mean) for name, mean in means.items()}
        self.history.append({"step": int(now.step)} | means)
        if on_report is not None:
            on_report(int(now.step), means, rate)
        empty = replicate(
            jax.tree.map(jnp.zeros_like, (sums, now.count)), self.recipe.mesh
        )
        return eqx.tree_at(lambda s: (s.sums, s.count), now, empty)

    def _validate(self, now: TrainState, on_validation) -> tuple[TrainState, bool]:
        params, best = averaged(now, self.recipe.polyak), now.best
        assert best is not None
        seeds = range(self.recipe.seeds or 1)
        scores = []
        for seed in seeds:
            pick = lambda tree, i=seed: jax.tree.map(
                lambda a: a[i] if eqx.is_array(a) and self.recipe.seeds else a, tree
            )
            key = jr.fold_in(pick(now.key), VALIDATION)
            scores.append(float(self.validation.score(key, *pick((params, now.state)))))
        score = np.asarray(scores if self.recipe.seeds else scores[0], np.float32)
        better = score > np.asarray(best.score)
        new = Best(jnp.asarray(score), now.step, params, now.state)

        def choose(new, old):
            if not eqx.is_array(old):
                return old
            mask = better.reshape(better.shape + (1,) * (old.ndim - better.ndim))
            return jnp.where(mask, new, old)

        best = replicate(owned(jax.tree.map(choose, new, best)), self.recipe.mesh)
        now = eqx.tree_at(
            lambda s: s.best, now, best, is_leaf=lambda leaf: leaf is None
        )
        self.history.append({"step": int(now.step), "score": score})
        if on_validation is not None:
            on_validation(int(now.step), score)
        return now, bool(better.any())

    def _exhausted(self, now: TrainState) -> bool:
        if self.validation is None or now.best is None:
            return False
        newest = int(np.max(np.asarray(now.best.step)))
        return self.validation.exhausted(int(now.step), newest)

    def _save(self, now: TrainState) -> None:
        step = int(now.step)
        if self.checkpoints is None or step == self.saved:
            return
        score = None
        if now.best is not None and np.max(np.asarray(now.best.step)) == step:
            score = float(np.mean(np.asarray(now.best.score)))
        self.checkpoints.save(step, now, score)
        self.saved = step

    def _where(self) -> str:
        if self.checkpoints is None:
            return "there are no checkpoints, so nothing was saved"
        return self.checkpoints.describe()

    def _raise_bad(self, now: TrainState) -> None:
        where = (jnp.int32(self.epoch), self.orders)
        seed, phase, path, sentence = diagnose(self.recipe, self.source, now, *where)
        step = int(now.step)
        of_seed = "" if seed is None else f" (seed {seed})"
        raise NonFiniteError(
            f"Training stopped at step {step}{of_seed}: {sentence}. The parameters "
            f"are those before this step; {self._where()}. A smaller learning rate, "
            "optax.clip_by_global_norm or a higher precision may help.",
            step,
            phase,
            path,
            self._result(now, stopped=False),
        )

    def _result(self, now: TrainState, *, stopped: bool) -> FitResult:
        return FitResult(
            now.params,
            averaged(now, self.recipe.polyak),
            now.state,
            now.best,
            int(now.step),
            stopped,
            self.history,
            now,
        )
