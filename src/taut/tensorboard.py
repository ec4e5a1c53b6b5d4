"""Curves for TensorBoard, beside the record of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class TensorBoard:
    """Reports for TensorBoard: `on_report=TensorBoard(folder).report`. Needs
    tensorboardX (`pip install taut[tensorboard]`)."""

    def __init__(self, folder: str | Path):
        from tensorboardX import SummaryWriter  # pyright: ignore

        self.writer = SummaryWriter(str(folder))

    def report(self, step: int, metrics: Mapping[str, Any], rate: float) -> None:
        """One point on each curve; one curve per seed."""
        for name, value in (dict(metrics) | {"rate": rate}).items():
            numbers = np.atleast_1d(np.asarray(value))
            for i, number in enumerate(numbers):
                label = name if numbers.size == 1 else f"{name}/seed{i}"
                self.writer.add_scalar(label, float(number), step)
        self.writer.flush()
