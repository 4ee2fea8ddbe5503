"""Nearest centres and sums by centre: the two products that clustering is made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.numerics.device import CPU, Array, Device
from recordio.errors import UserError

TILE_VALUES = 1 << 21  # scores held at once: 8 MiB, and as quick as more
PAIR_VALUES = 1 << 20  # doubles held at once where pairs are compared exactly: 8 MiB
ROUNDING = 1e-6  # of a squared norm: a squared distance that may be none
LARGEST_NORM = 1e36  # squared distances up to 4 times this fit into float32


@dataclass(frozen=True)
class Rows:
    """Rows less a common shift, as the products below take them.

    Squared distances come from |x|^2 - 2 x.c + |c|^2, which cancels where data lie far from zero; less their mean
    they don't. The column of ones lets one product give x.c - |c|^2 / 2, and a sum by centre its count.

    shift   (features,)
    ones    rows less the shift, then a column of ones   (rows, features + 1), on the device
    norms   squared norms of the rows less the shift     (rows,)
    """

    device: Device
    shift: NDArray[Any]
    ones: Array
    norms: NDArray[Any]

    @classmethod
    def of(cls, x: NDArray[Any], device: Device = CPU, shift: NDArray[Any] | None = None) -> Rows:
        """Prepare rows in float32, or in float64 where their squares are too large for it.

        Raises UserError when a value is nan, infinite, or so large that its square is.
        """
        if shift is None:
            with np.errstate(all="ignore"):  # what overflows is told below
                shift = np.ones(len(x), x.dtype) @ x / max(len(x), 1)
        for dtype, largest in ((np.float32, LARGEST_NORM), (np.float64, np.inf)):
            ones = np.empty((x.shape[0], x.shape[1] + 1), dtype)
            ones[:, -1] = 1
            with np.errstate(all="ignore"):
                np.subtract(x, shift, out=ones[:, :-1], casting="same_kind")
                norms = np.einsum("ij,ij->i", ones[:, :-1], ones[:, :-1])
            if norms.max(initial=0) < largest:
                return cls(device, shift, device.put(ones), norms)
        raise UserError("got a value that is nan, infinite or too large to square, expected finite numbers")

    def __len__(self) -> int:
        return len(self.norms)

    @property
    def shifted(self) -> Array:
        return self.ones[:, :-1]

    def at(self, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Some rows, in place again."""
        return self.shift + self.device.get(self.shifted[self.device.put(chosen)]).astype(np.float64)


def nearest(rows: Rows, centres: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The nearest centre of each row and the squared distance to it.

    One product of (rows, features) by (features, centres), 2 * rows * centres * features operations. Distances are
    good to rounding of the squared norms: near-ties may go either way, and coinciding points are not quite at 0.

    centres   (centres, features)
    returns   (rows,) and (rows,)
    """
    device = rows.device
    ones, weights = products(rows, centres)
    labels = np.empty(len(rows), np.int64)
    best = np.empty(len(rows), rows.norms.dtype)
    for tile in tiles(len(rows), len(centres)):
        scores = ones[tile] @ weights
        labels[tile] = found = device.get(device.xp.argmax(scores, axis=1))
        best[tile] = device.get(scores[device.xp.arange(len(found)), device.put(found)])
    return labels, np.maximum(rows.norms - 2 * best, 0)


def closest(x: NDArray[Any], centres: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """As `nearest`, but good to double precision, ties to the first centre, and the same for any batching.

    A product of matrices rounds differently for another shape, so it only names candidates: centres whose score may
    be the best within its rounding, which (features + 3) * epsilon * (|x| |c| + |c|^2 / 2) bounds.

    x         (rows, features)
    centres   (centres, features)
    returns   (rows,) and (rows,)
    """
    rows = Rows.of(x, shift=centres.mean(axis=0, dtype=np.float64))
    ones, factor = products(rows, centres)
    rounding = (len(factor) + 2) * np.finfo(factor.dtype).eps
    lengths = np.sqrt(-2 * factor[-1])  # (centres,)
    labels, squares = np.empty(len(x), np.int64), np.empty(len(x))
    for tile in tiles(len(x), len(centres)):
        scores = ones[tile] @ factor
        slack = rounding * lengths * (np.sqrt(rows.norms[tile])[:, None] + lengths)
        lowest = (scores - slack).max(axis=1, keepdims=True)
        row, centre = np.nonzero(scores + slack >= lowest)  # at least one for each row, in order
        gaps = _squared_gaps(x[tile], centres, row, centre)
        starts = np.searchsorted(row, np.arange(len(scores)))
        squares[tile] = np.minimum.reduceat(gaps, starts)
        labels[tile] = np.minimum.reduceat(np.where(gaps == squares[tile][row], centre, len(centres)), starts)
    return labels, squares


def _squared_gaps(
    x: NDArray[Any], centres: NDArray[Any], row: NDArray[np.int64], centre: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Squared distance of each pair of a row and a centre, summed in the same order for any number of pairs."""
    squares = np.empty(len(row))
    step = max(1, PAIR_VALUES // x.shape[1])
    for start in range(0, len(row), step):
        some = slice(start, start + step)
        gaps = x[row[some]].astype(np.float64) - centres[centre[some]]
        squares[some] = np.square(gaps).sum(axis=1)
    return squares


def products(rows: Rows, centres: NDArray[Any]) -> tuple[Array, Array]:
    """Factors of the scores x.c - |c|^2 / 2, largest where the centre is nearest.

    returns   (rows, features + 1) and (features + 1, centres), on the device
    """
    shifted = centres.astype(np.float64) - rows.shift
    halves = np.einsum("ij,ij->i", shifted, shifted) / 2
    factor = np.concatenate((shifted.T, -halves[None]))
    if rows.norms.dtype == np.float32 and halves.max() < LARGEST_NORM:
        return rows.ones, rows.device.put(factor.astype(np.float32))
    xp = rows.device.xp
    return xp.astype(rows.ones, xp.float64), rows.device.put(factor)


def tiles(rows: int, centres: int) -> list[slice]:
    """Even cuts of the rows, each with at most TILE_VALUES scores."""
    count = -(-rows * centres // TILE_VALUES)
    cuts = [rows * i // count for i in range(count + 1)] if count else []
    return [slice(start, stop) for start, stop in pairwise(cuts)]


def sums_by(labels: NDArray[np.int64], weights: NDArray[Any], rows: Array, groups: int, device: Device) -> NDArray[Any]:
    """Weighted sums of the rows that carry each label, in the rows' own precision.

    weights   (rows,)
    rows      (rows, features), on the device
    returns   (groups, features)
    """
    if device is CPU:
        from scipy.sparse import csc_array

        starts = np.arange(len(labels) + 1, dtype=np.int32)
        chosen = csc_array((weights.astype(rows.dtype), labels.astype(np.int32), starts), shape=(groups, len(labels)))
        return chosen @ rows  # type: ignore[no-any-return]
    xp = device.xp
    chosen = xp.arange(groups, device=device.where)[:, None] == device.put(labels)  # a product adds in a fixed order
    return device.get((xp.astype(chosen, rows.dtype) * xp.astype(device.put(weights), rows.dtype)) @ rows)
