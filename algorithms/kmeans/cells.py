"""Working centres with what each has seen: a partition of all records, kept as sums."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.numerics.distances import Rows, sums_by

PAIR_TILE = 512  # working centres compared with all others at once
SHARE = 0.5  # of the merges still needed that one round makes


@dataclass
class Cells:
    """Clustering features (Zhang, Ramakrishnan, Livny 1996): they add, and they give the spread of any union.

    weights    records in each cell, faded ones in part   (cells,)
    means      (cells, features)
    scatters   sum of squared distances to the mean   (cells,)
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    scatters: NDArray[np.float64]

    @classmethod
    def at(cls, points: NDArray[Any]) -> Cells:
        """Cells that have seen nothing yet."""
        return cls(np.zeros(len(points)), points.astype(np.float64), np.zeros(len(points)))

    @classmethod
    def of(cls, rows: Rows, labels: NDArray[np.int64], weights: NDArray[np.float64], count: int) -> Cells:
        """Cells of the rows that carry each label, empty ones at the origin of the rows."""
        totals = np.bincount(labels, weights, count).astype(np.float64)
        sums = sums_by(labels, weights, rows.ones, count, rows.device)[:, :-1].astype(np.float64)
        means = sums / np.where(totals > 0, totals, 1)[:, None]
        squares = np.bincount(labels, weights=weights * rows.norms, minlength=count)
        scatters = squares - totals * np.einsum("ij,ij->i", means, means)
        return cls(totals, means + rows.shift, np.maximum(scatters, 0))

    def __len__(self) -> int:
        return len(self.weights)

    def __add__(self, other: Cells) -> Cells:
        return Cells(
            np.concatenate((self.weights, other.weights)),
            np.concatenate((self.means, other.means)),
            np.concatenate((self.scatters, other.scatters)),
        )

    def __getitem__(self, chosen: NDArray[Any]) -> Cells:
        return Cells(self.weights[chosen], self.means[chosen], self.scatters[chosen])

    def __setitem__(self, chosen: NDArray[Any], other: Cells) -> None:
        self.weights[chosen], self.means[chosen], self.scatters[chosen] = other.weights, other.means, other.scatters

    def seen(self, least: float = 0) -> Cells:
        """Without those of at most that weight."""
        return self if self.weights.min(initial=np.inf) > least else self[self.weights > least]

    def absorb(self, other: Cells) -> None:
        """Merge cell by cell; in the order of Welford, so that spread is never a difference of large squares."""
        weights = self.weights + other.weights
        share = np.divide(other.weights, weights, out=np.zeros(len(self)), where=weights > 0)
        shift = other.means - self.means
        self.scatters += other.scatters + self.weights * share * np.einsum("ij,ij->i", shift, shift)
        shift *= share[:, None]
        self.means += shift
        self.weights = weights

    def reduced(self, size: int) -> tuple[Cells, float]:
        """Merge pairs, cheapest first, until `size` are left; also the cost of the dearest merge.

        A merge costs the spread that it adds: n m / (n + m) * |c - d|^2 (Ward 1963, eq. 2). Costs never fall through
        the merge of others, so pairs that are each other's cheapest can be merged together, and only cells whose
        partner went need to look again. About cells^2 * features operations for each round.
        """
        cells = self[np.arange(len(self))]
        shifted = cells.means - cells.weights @ cells.means / cells.weights.sum()
        shifted = (shifted / max(np.abs(shifted).max(), np.finfo(float).tiny)).astype(np.float32)  # squares fit
        norms = np.einsum("ij,ij->i", shifted, shifted)
        partners = np.zeros(len(cells), np.int64)
        costs = np.full(len(cells), np.inf)
        alive = np.ones(len(cells), bool)
        stale = np.arange(len(cells))
        dearest = 0.0
        while (merges := np.count_nonzero(alive) - size) > 0:
            for start in range(0, len(stale), PAIR_TILE):
                some = stale[start : start + PAIR_TILE]
                partners[some] = _cheapest(some, shifted, norms, cells.weights)
                costs[some] = merge_costs(cells[some], cells[partners[some]])
            mutual = np.flatnonzero(alive & (partners[partners] == np.arange(len(cells))))
            left = mutual[mutual < partners[mutual]]
            if not len(left):  # rounding can close a longer ring of partners
                left = np.array([np.argmin(costs)])
            left = left[np.argsort(costs[left], kind="stable")][: math.ceil(merges * SHARE)]
            right = partners[left]
            dearest = max(dearest, float(costs[left[-1]]))
            union = cells[left]
            union.absorb(cells[right])
            cells[left] = union
            shifted[left] += (cells.weights[right] / union.weights)[:, None] * (shifted[right] - shifted[left])
            norms[left] = np.einsum("ij,ij->i", shifted[left], shifted[left])
            alive[right], norms[right], costs[right] = False, np.inf, np.inf
            changed = np.zeros(len(cells), bool)
            changed[left] = changed[right] = True
            stale = np.flatnonzero(alive & (changed | changed[partners]))
        return cells[alive], dearest


def merge_costs(left: Cells, right: Cells) -> NDArray[np.float64]:
    """Spread added by merging cell by cell: n m / (n + m) * |c - d|^2 (Ward 1963)."""
    gaps = left.means - right.means
    costs: NDArray[np.float64] = np.einsum("ij,ij->i", gaps, gaps)
    return costs * (left.weights / (left.weights + right.weights) * right.weights)


def _cheapest(
    some: NDArray[np.int64], points: NDArray[np.float32], norms: NDArray[np.float32], weights: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The other cell with which each of some cells merges at the least cost, in single precision."""
    inverse = (1 / weights).astype(np.float32)
    pairs = points[some] @ (-2 * points.T)  # (some, cells)
    pairs += norms
    pairs += norms[some, None]
    np.maximum(pairs, 0, out=pairs)
    pairs /= inverse[some, None] + inverse
    pairs[np.arange(len(some)), some] = np.inf
    partners: NDArray[np.int64] = np.argmin(pairs, axis=1)
    return partners
