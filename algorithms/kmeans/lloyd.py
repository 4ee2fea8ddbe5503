"""Lloyd's method over weighted points: first centres, iterations, and a way out of local minima."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from algorithms.kmeans.cells import Cells
from algorithms.numerics.distances import ROUNDING, Rows, nearest
from algorithms.numerics.sample import draw

EXCHANGES = 5  # at most
EXCHANGE_SHARE = 0.2  # of the centres
EXCHANGE_GAIN = 2e-3  # of the loss; an exchange that gains less is not kept, and is the last


@dataclass(frozen=True)
class Stop:
    """When Lloyd's method ends: after so many iterations, or when one improves the loss by less than this part."""

    iterations: int
    tolerance: float


def first_centres(
    points: Rows,
    weights: NDArray[np.float64],
    k: int,
    method: Literal["random", "kmeans++"],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """k different points: weighted at random, or by greedy k-means++ (Arthur and Vassilvitskii 2007, section 5).

    returns   positions of the points   (k,)
    """
    if method == "random":
        return draw(weights, k, generator)
    x = points.device.get(points.shifted)
    tries = 2 + int(math.log(k))
    gaps = np.full(len(x), np.inf, x.dtype)  # squared distances to the nearest chosen point
    picks = draw(weights, 1, generator)
    chosen: list[int] = []
    while True:
        squares = points.norms - 2 * (x[picks] @ x.T) + points.norms[picks, None]  # (picks, points)
        squares = np.clip(squares, 0, gaps)
        best = int(np.argmin(squares @ weights))
        chosen.append(int(picks[best]))
        if len(chosen) == k:
            return np.array(chosen)
        gaps = squares[best]
        gaps[chosen] = 0
        mass = np.cumsum(gaps * weights)
        if mass[-1] > 0:
            picks = np.searchsorted(mass, generator.random(tries) * mass[-1], side="right")
        else:  # all others coincide with chosen points
            picks = np.setdiff1d(np.arange(len(x)), chosen)[:1]


def lloyd(
    points: Rows, weights: NDArray[np.float64], centres: NDArray[Any], stop: Stop
) -> tuple[NDArray[np.float64], float]:
    """Move centres to the means of their points, until told to stop.

    A centre without points moves to the point that costs most.

    returns   centres (k, features), and the weighted sum of squared distances before their last move
    """
    last = np.inf
    for _ in range(stop.iterations):
        labels, gaps = nearest(points, centres)
        costs = weights * gaps
        loss = float(costs.sum())
        cells = Cells.of(points, labels, weights, len(centres))
        centres = cells.means
        empty = np.flatnonzero(cells.weights == 0)
        if len(empty):
            centres[empty] = points.at(np.argsort(-costs, kind="stable")[: len(empty)])
        elif last - loss <= stop.tolerance * loss:
            break
        last = loss
    return centres, loss


def exchanged(
    points: Rows,
    weights: NDArray[np.float64],
    centres: NDArray[Any],
    stop: Stop,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Run Lloyd's method, and leave its local minima: points far from all centres become centres, the pairs that are
    cheapest to merge make room for them, Lloyd's method goes on; kept while it pays.
    """
    centres, loss = lloyd(points, weights, centres, stop)
    for _ in range(EXCHANGES):
        labels, gaps = nearest(points, centres)
        open_gaps = np.where(gaps > ROUNDING * points.norms, gaps, 0)
        founders = draw(open_gaps * weights, math.ceil(EXCHANGE_SHARE * len(centres)), generator)
        if not len(founders):
            break
        nearer, new_gaps = nearest(points, points.at(founders))
        labels = np.where(new_gaps < gaps, len(centres) + nearer, labels)
        cells = Cells.of(points, labels, weights, len(centres) + len(founders)).seen()
        if len(cells) < len(centres):
            break
        candidate, its_loss = lloyd(points, weights, cells.reduced(len(centres))[0].means, stop)
        if its_loss > (1 - EXCHANGE_GAIN) * loss:
            break
        centres, loss = candidate, its_loss
    return centres
