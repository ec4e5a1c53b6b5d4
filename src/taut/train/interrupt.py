"""Ctrl-C and SIGTERM: finish the chunk first."""

import signal
import threading

import jax
import numpy as np


class Interrupts:
    """Within `with`, the first SIGINT or SIGTERM is remembered instead of raised;
    a second one acts at once."""

    def __init__(self):
        self.asked = False
        self._before = {}

    def _remember(self, number, frame):
        self.asked = True
        signal.signal(number, self._before[number])

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.getsignal(number)
                signal.signal(number, self._remember)
        return self

    def __exit__(self, *error):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def agreed(self) -> bool:
        """Whether any of the job's processes was asked to stop: all stop together."""
        if jax.process_count() == 1:
            return self.asked
        from jax.experimental import multihost_utils

        return bool(multihost_utils.process_allgather(np.array(self.asked)).any())
