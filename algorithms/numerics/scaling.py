"""Scaling: what a stream's first records tell about the range of each column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Vector = NDArray[np.float64]


class Moments:
    """Mean and deviation of columns, kept so that they add (Chan, Golub and LeVeque 1983, eq. 2.1).

    count    records
    means    (columns,)
    scatter  sums of squared distances to the mean   (columns,)
    """

    def __init__(self, columns: int) -> None:
        self.count = 0
        self.means = np.zeros(columns)
        self.scatter = np.zeros(columns)

    def update(self, x: NDArray[Any]) -> None:
        """x   (records, columns)"""
        if not len(x):
            return
        means = x.mean(axis=0, dtype=np.float64)
        self._add(len(x), means, np.square(x - means).sum(axis=0))

    def merge(self, other: Moments) -> None:
        if other.count:
            self._add(other.count, other.means, other.scatter)

    @property
    def size(self) -> int:
        return len(self.means)

    @property
    def deviations(self) -> Vector:
        """Of the records seen, not of a population they are drawn from; 1 for columns that never differ."""
        return np.where(self.constant, 1.0, self._deviations)

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Columns that never differ by more than what rounding leaves of them   (columns,)"""
        return self._deviations <= 1e-7 * np.abs(self.means)

    @property
    def _deviations(self) -> Vector:
        return np.sqrt(self.scatter / max(self.count, 1))

    def arrays(self) -> Arrays:
        return {"count": np.array(self.count), "means": self.means.copy(), "scatter": self.scatter.copy()}

    def restore(self, arrays: Arrays) -> None:
        self.count, self.means, self.scatter = int(arrays["count"]), arrays["means"].copy(), arrays["scatter"].copy()

    def _add(self, count: int, means: Vector, scatter: Vector) -> None:
        total = self.count + count
        shift = means - self.means
        self.scatter += scatter + shift**2 * (self.count * count / total)
        self.means += shift * (count / total)
        self.count = total


class Sizes:
    """Root mean square of the values that are there, for sparse columns.

    A deviation would count the zeros too, and a column with one value in a thousand records would be scaled up
    thirtyfold: rare columns would take enormous steps. Columns not seen take the size of all values together.

    counts    values that are not 0   (columns,)
    squares   their sums of squares   (columns,)
    """

    def __init__(self, columns: int) -> None:
        self.counts = np.zeros(columns)
        self.squares = np.zeros(columns)

    def update(self, x: csr_array[Any]) -> None:
        values = x.data.astype(np.float64)
        columns = len(self.counts)
        self.counts += np.bincount(x.indices, weights=values != 0, minlength=columns)
        self.squares += np.bincount(x.indices, weights=values * values, minlength=columns)

    def merge(self, other: Sizes) -> None:
        self.counts += other.counts
        self.squares += other.squares

    @property
    def size(self) -> int:
        return len(self.counts)

    @property
    def deviations(self) -> Vector:
        whole = np.sqrt(self.squares.sum() / max(self.counts.sum(), 1)) or 1.0
        squares = np.full(len(self.counts), whole**2)
        np.divide(self.squares, self.counts, out=squares, where=self.counts > 0)
        return np.asarray(np.sqrt(squares))

    def arrays(self) -> Arrays:
        return {"counts": self.counts.copy(), "squares": self.squares.copy()}

    def restore(self, arrays: Arrays) -> None:
        self.counts, self.squares = arrays["counts"].copy(), arrays["squares"].copy()
