"""Early stopping: when passes no longer make a loss smaller."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Stopping:
    """Watches one value, smaller is better.

    patience    passes in a row that may bring no improvement
    tolerance   part of the smallest value so far by which the next must be smaller to count as an improvement
    least       the smallest value so far, also by gains below the tolerance
    """

    patience: int
    tolerance: float
    least: float = math.inf
    idle: int = 0

    @property
    def done(self) -> bool:
        return self.idle > self.patience

    def improved(self, value: float) -> bool:
        """Take the value of another pass, and tell whether it counts."""
        better = value < self.least and (
            math.isinf(self.least) or (self.least - value) >= self.tolerance * abs(self.least)
        )
        self.idle = 0 if better else self.idle + 1
        self.least = min(self.least, value) if not math.isnan(value) else self.least
        return better
