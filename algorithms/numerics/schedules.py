"""Learning rates and penalties of many models side by side, and how rates fall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Schedule:
    """One entry for each column of weights: all are (columns,), float32 but for the whole `steps`.

    rates       learning rates of the first update
    factors     what a rate is multiplied with after every `steps` updates; 1 for a constant rate
    least       no rate falls below it
    decay       wd: half of it times the squared weights is added to the loss
    shrinkage   l1: times the absolute weights, likewise
    """

    rates: Row
    factors: Row
    steps: NDArray[np.int64]
    least: Row
    decay: Row
    shrinkage: Row

    def at(self, update: int) -> Row:
        """Learning rates of an update; the first one is 1."""
        fallen = self.rates * self.factors ** ((update - 1) // self.steps)
        return np.maximum(fallen, np.minimum(self.least, self.rates)).astype(np.float32)
