"""Products of all pairs of features: what exact components need."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays
from algorithms.numerics.device import Device
from algorithms.numerics.products import Doubles, gram
from algorithms.numerics.threads import one_thread

# A sum of 2,048 products in single precision is off by about 3e-7 of its size, at random. That alone would drown
# components whose s is below 5e-4 of the largest. After 8 tiles in doubles, which take twice as long, T more are off by
# 3e-7 * sqrt(T) / (T + 8) of the total: 5e-8 at most, and less and less after 8. Where records fade, sums that
# stay at just 8 tiles are off by 8e-8.
EXACT_RECORDS = 1 << 14
LEAST_TILE = 2048
LEAST_TOTAL = 1e-20  # of squares: 1e-18 of it is the least that single precision holds


class Scatter:
    """Sum of x'x over rows that have no mean any more.

    sums      (features, features)
    records   rows seen, of this state and of those it was merged with; faded ones in part
    """

    def __init__(self, features: int, device: Device) -> None:
        self.sums = np.zeros((features, features))
        self.records = 0.0
        self.device = device

    @property
    def rows_at_once(self) -> int:
        """Enough that the products, not the adding of sums, take the time."""
        return max(LEAST_TILE, len(self.sums) // 2)

    @property
    def reach(self) -> int:
        """Most components that can be told."""
        return len(self.sums)

    @property
    def total(self) -> float:
        """Sum of squares of all rows."""
        return float(np.trace(self.sums))

    def add(self, rows: NDArray[np.float32]) -> None:
        """rows   finite; the last may be far longer than the others   (rows, features)"""
        usual = len(rows) * self.total / max(self.records, 1)
        if np.square(rows[-1], dtype=np.float64).sum() > usual:  # its squares would drown the others
            self.sums += gram(rows[-1:].T, np.float64, self.device)
            rows = rows[:-1]
        single = self.records >= EXACT_RECORDS
        with np.errstate(over="ignore", invalid="ignore"):  # then doubles are taken
            products = gram(rows.T, np.float32 if single else np.float64, self.device)
        if single and not LEAST_TOTAL < np.trace(products) < np.inf:
            products = gram(rows.T, np.float64, self.device)
        self.sums += products
        self.records += len(rows)

    def fade(self, share: float) -> None:
        """Let all that was seen count for a share of what it did."""
        self.sums *= share
        self.records *= share

    def merge(self, other: Scatter) -> None:
        self.sums += other.sums
        self.records += other.records

    def components(self, count: int) -> tuple[Doubles, Doubles]:
        """Singular values and right singular vectors of the rows, largest last   (count,) and (features, count)"""
        from scipy.linalg import eigh  # 0.15 s to import

        features = len(self.sums)
        with one_thread():
            squares, vectors = eigh(self.sums, subset_by_index=[features - count, features - 1])
        return np.sqrt(np.maximum(squares, 0)), vectors

    def arrays(self) -> Arrays:
        return {"scatter": self.sums}

    def values(self) -> dict[str, Any]:
        return {"scatter_records": self.records}

    @classmethod
    def restore(cls, arrays: Arrays, values: dict[str, Any], device: Device) -> Scatter:
        scatter = cls(0, device)
        scatter.sums, scatter.records = arrays["scatter"].copy(), values["scatter_records"]
        return scatter
