"""Frequent directions: a few rows that stand for all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays
from algorithms.numerics.device import Device
from algorithms.numerics.products import Doubles, gram
from algorithms.numerics.threads import few_threads, one_thread

SHRUNK = 0.2  # of the rows
PIECE_FEATURES = 2048  # that are stacked and turned at once, in the cache


class Directions:
    """Rows whose products x'x sum up to nearly those of all rows seen (Liberty 2013).

    When there are too many, they are turned to their principal axes, so that the last can go. Squared lengths of the
    last fifth then shrink by that of the longest that went (Desai, Ghashami and Phillips 2016, with alpha 0.2): a
    direction that returns again and again grows, if slowly, and takes the place of one that was strong once. The others
    are not shrunk, unlike in the first method, which lost half of their length on flat spectra. Components come from
    the first half.

    rows    (kept, features)
    rank    kept at most
    total   sum of squares of all rows seen
    """

    def __init__(self, features: int, rank: int, device: Device) -> None:
        self.rows = np.empty((0, features), np.float32)
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

    def fade(self, share: float) -> None:
        """Let all that was seen count for a share of what it did."""
        self.rows *= np.float32(math.sqrt(share))
        self.total *= share

    def merge(self, other: Directions) -> None:
        self.total += other.total
        self._add(other.rows)

    def _add(self, rows: NDArray[np.float32]) -> None:
        count = len(self.rows) + len(rows)
        if count <= self.rank:
            self.rows = np.concatenate((self.rows, rows))
            return
        kept = self.rows if len(self.rows) == self.rank else np.empty((self.rank, rows.shape[1]), np.float32)
        with few_threads(count * count * PIECE_FEATURES):
            turn = self.device.put(turned(self._products(rows), self.rank))
            for piece in self._pieces():
                kept[:, piece] = self.device.get(turn @ self.device.put(self._stacked(rows, piece)))
        self.rows = kept

    def _products(self, rows: NDArray[np.float32]) -> Doubles:
        """Of all rows, these too, by one another; in doubles, or they would drown rows below 3e-4 of the longest."""
        count = len(self.rows) + len(rows)
        sums = np.zeros((count, count))
        for piece in self._pieces():
            sums += gram(self._stacked(rows, piece), np.float64, self.device)
        return sums

    def _pieces(self) -> list[slice]:
        return [slice(start, start + PIECE_FEATURES) for start in range(0, self.rows.shape[1], PIECE_FEATURES)]

    def _stacked(self, rows: NDArray[np.float32], piece: slice) -> Doubles:
        return np.concatenate((self.rows[:, piece], rows[:, piece]), dtype=np.float64)

    def components(self, count: int) -> tuple[Doubles, Doubles]:
        """Singular values and right singular vectors of the rows, largest last   (count,) and (features, count)"""
        features = self.rows.shape[1]
        axes = np.zeros((features, count))
        found = min(count, len(self.rows))
        with one_thread():
            _, vectors = np.linalg.eigh(self._products(np.empty((0, features), np.float32)))
            for piece in self._pieces():
                axes[piece, :found] = self.rows[:, piece].T @ vectors[:, : -found - 1 : -1]
            basis, triangle = np.linalg.qr(axes)  # orthonormal also where rows are fewer than components
        return np.abs(np.diag(triangle))[::-1], basis[:, ::-1]

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
