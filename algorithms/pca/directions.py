"""Frequent directions: a few rows that stand for all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays
from algorithms.numerics.device import Device
from algorithms.numerics.products import Doubles, gram
from algorithms.numerics.threads import few_threads

SHRUNK = 0.2  # of the rows
PIECE_FEATURES = 2048  # that are stacked and turned at once, in the cache


class Directions:
    """Rows whose products x'x sum up to nearly those of all rows seen (Liberty 2013).

    When there are too many, they are turned to their principal axes, so that the last can go. Squared lengths of the
    last fifth then shrink by that of the longest that went (Desai, Ghashami and Phillips 2016, section 3, with alpha
    0.2): a direction that returns again and again grows, if slowly, and takes the place of one that was strong once.
    The others are not shrunk, unlike in the first method, which lost half of their length on flat spectra. Components
    come from the first half.

    rows    in double precision, since each is turned thousands of times   (kept, features)
    rank    kept at most
    total   sum of squares of all rows seen
    """

    def __init__(self, features: int, rank: int, device: Device) -> None:
        self.rows = np.empty((0, features))
        self.rank = rank
        self.total = 0.0
        self.device = device

    @property
    def rows_at_once(self) -> int:
        return self.rank

    @property
    def reach(self) -> int:
        """Most components that can be told: rows that never shrink, and some to spare."""
        return self.rank // 2

    def add(self, rows: NDArray[np.float32]) -> None:
        """rows   finite   (rows, features)"""
        self.total += float(np.einsum("ij,ij->i", rows, rows, dtype=np.float64).sum())
        self._add(rows)

    def merge(self, other: Directions) -> None:
        self.total += other.total
        self._add(other.rows)

    def _add(self, rows: NDArray[Any]) -> None:
        if len(self.rows) + len(rows) <= self.rank:
            self.rows = np.concatenate((self.rows, rows), dtype=np.float64)
            return
        features = self.rows.shape[1]
        pieces = [slice(start, start + PIECE_FEATURES) for start in range(0, features, PIECE_FEATURES)]
        kept = np.empty((self.rank, features))
        with few_threads((len(self.rows) + len(rows)) ** 2 * features):
            products = sum(gram(self._stacked(rows, piece), device=self.device) for piece in pieces)
            turn = self.device.put(turned(np.asarray(products), self.rank))
            for piece in pieces:
                kept[:, piece] = self.device.get(turn @ self.device.put(self._stacked(rows, piece)))
        self.rows = kept

    def _stacked(self, rows: NDArray[Any], piece: slice) -> Doubles:
        return np.concatenate((self.rows[:, piece], rows[:, piece]), dtype=np.float64)

    def components(self, count: int) -> tuple[Doubles, Doubles]:
        """Singular values and right singular vectors of the rows, largest last   (count,) and (features, count)"""
        missing = np.zeros((max(count - len(self.rows), 0), self.rows.shape[1]))
        basis, triangle = np.linalg.qr(np.concatenate((self.rows, missing)).T)  # orthonormal whatever the rows are
        turn, lengths, _ = np.linalg.svd(triangle)
        return lengths[:count][::-1], (basis @ turn[:, :count])[:, ::-1]

    def arrays(self) -> Arrays:
        return {"directions": self.rows}

    def values(self) -> dict[str, Any]:
        return {"rank": self.rank, "total": self.total}

    @classmethod
    def restore(cls, arrays: Arrays, values: dict[str, Any], device: Device) -> Directions:
        directions = cls(0, values["rank"], device)
        directions.rows, directions.total = arrays["directions"].copy(), values["total"]
        return directions


def turned(products: Doubles, rank: int) -> Doubles:
    """What turns rows to their first principal axes, and shrinks the last of those.

    products   of the rows by one another   (rows, rows)
    returns    (rank, rows)
    """
    squares, vectors = np.linalg.eigh(products)
    squares, vectors = np.maximum(squares[::-1], 0), vectors[:, ::-1]
    kept, gone = squares[:rank], squares[rank]
    shrunk = kept - np.where(np.arange(rank) < (1 - SHRUNK) * rank, 0, gone)
    shares = np.sqrt(np.divide(shrunk, kept, out=np.zeros(rank), where=kept > 0))
    return np.ascontiguousarray((vectors[:, :rank] * shares).T)
