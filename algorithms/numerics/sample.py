"""Drawing without replacement, from arrays and from streams."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SLACK = 8  # rows are sorted out when an eighth too many are held


class Sample:
    """Every row draws a key; the rows with the smallest keys stay.

    Keys make samples mergeable: the smallest keys of two workers are a sample of what both saw. Rows may fade:
    Efraimidis and Spirakis 2006 in logarithms, key = log(exponential) - log(weight), so that later rows need only
    smaller keys.

    size    rows kept
    clock   times that the weight of a row has halved against the next one's
    limit   keys above it have lost already; infinite while every row seen is held
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.clock = 0.0
        self.limit = np.inf
        self.held = 0
        self._rows = np.empty((0, 0), np.float32)
        self._keys = np.empty(0)

    @property
    def rows(self) -> NDArray[np.float32]:
        """(held, features)"""
        return self._rows[: self.held]

    @property
    def keys(self) -> NDArray[np.float64]:
        """(held,)"""
        return self._keys[: self.held]

    def update(self, rows: NDArray[Any], generator: np.random.Generator) -> None:
        keys = np.log(generator.standard_exponential(len(rows))) - self.clock * np.log(2)
        stay = np.flatnonzero(keys < self.limit)
        self._add(rows[stay], keys[stay])

    def merge(self, other: Sample) -> None:
        lag = (other.clock - self.clock) * np.log(2)  # the last rows of both weigh the same
        self.limit = min(self.limit, other.limit + lag)
        self._add(other.rows, other.keys + lag)
        self.settle()

    def settle(self) -> None:
        """Let go of rows beyond the size."""
        if self.held > self.size:
            order = np.argpartition(self.keys, self.size - 1)
            lost, kept = order[self.size :], order[: self.size]
            places, moved = lost[lost < self.size], kept[kept >= self.size]
            self._rows[places], self._keys[places] = self._rows[moved], self._keys[moved]
            self.held = self.size
            self.limit = min(self.limit, float(self.keys.max()))

    @classmethod
    def of(cls, size: int, clock: float, limit: float, rows: NDArray[Any], keys: NDArray[Any]) -> Sample:
        sample = cls(size)
        sample.clock, sample.limit = clock, limit
        sample._add(rows, keys)
        return sample

    def _add(self, rows: NDArray[Any], keys: NDArray[np.float64]) -> None:
        if not len(keys):
            return
        room, held = self.size + self.size // SLACK, self.held + len(keys)
        if len(self._keys) < held:  # only address space until rows come
            old_rows, old_keys = self.rows, self.keys
            self._rows = np.empty((max(room, held), rows.shape[1]), np.float32)
            self._keys = np.empty(max(room, held))
            if self.held:
                self._rows[: self.held], self._keys[: self.held] = old_rows, old_keys
        self._rows[self.held : held], self._keys[self.held : held] = rows, keys
        self.held = held
        if held > room:
            self.settle()


def draw(chances: NDArray[Any], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Different positions in proportion to their chances; fewer where fewer chances are above 0."""
    keys = np.full(len(chances), np.inf)
    np.divide(generator.standard_exponential(len(chances)), chances, out=keys, where=chances > 0)
    drawn = np.argpartition(keys, count)[:count] if count < len(keys) else np.arange(len(keys))
    possible: NDArray[np.int64] = drawn[np.isfinite(keys[drawn])]
    return possible
