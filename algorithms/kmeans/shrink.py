"""The final stage: what was kept of the stream, to k centres."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.kmeans.cells import Cells
from algorithms.kmeans.hyperparameters import KMeansHyperparameters
from algorithms.kmeans.lloyd import Stop, exchanged, first_centres, lloyd
from algorithms.numerics.device import Device
from algorithms.numerics.distances import Rows, nearest, sums_by

log = logging.getLogger(__name__)

BRIEF_ITERATIONS = 4  # on the sample, before and between exchanges
MOST_STRETCH = 2.0  # the spread of two or three rows says little


def shrink(
    cells: Cells, sample: NDArray[Any], settings: KMeansHyperparameters, generator: np.random.Generator, device: Device
) -> tuple[NDArray[np.float64], float]:
    """k centres of the records that cells and a sample stand for, and their mean squared distance.

    Trials run on the cells: few points, and no record is left out. But a cell goes to one cluster as a whole, even if
    a border cuts it; so the best trial is refined on the sample, in which cells can split.

    With no more cells than k, centres are the cells, the heaviest of them several times.

    sample    (sampled, features)
    returns   (k, features), and squared units of the features
    """
    k, stop = settings.k, Stop(settings.local_lloyd_max_iter, settings.local_lloyd_tol)
    brief = Stop(min(BRIEF_ITERATIONS, stop.iterations), stop.tolerance)
    total, inside = cells.weights.sum(), cells.scatters.sum()
    if len(cells) <= k:
        again = np.resize(np.argsort(-cells.weights, kind="stable"), k - len(cells))
        return np.concatenate((cells.means, cells.means[again])), float(inside / total)
    log.info("shrinking %d centers into %d", len(cells), k)
    points = Rows.of(cells.means, device)
    best, centres = np.inf, cells.means[:k]
    for trial in range(settings.trials):
        first = first_centres(points, cells.weights, k, settings.local_lloyd_init_method, generator)
        candidate, loss = lloyd(points, cells.weights, cells.means[first], stop)
        log.info("local kmeans attempt #%d. Current mean square distance %f", trial, (loss + inside) / total)
        if loss < best:
            best, centres = loss, candidate
    centres = exchanged(points, cells.weights, centres, stop, generator)
    origin = cells.weights @ cells.means / total
    rows, weights = calibrated(sample, cells, origin, device)
    points = Rows.of(rows, device)
    centres = exchanged(points, weights, centres - origin, brief, generator)
    centres, loss = lloyd(points, weights, centres, stop)
    msd = float(loss / weights.sum())
    log.info("finished shrinking process. Mean Square Distance = %.0f", msd)
    return centres + origin, msd


def calibrated(
    sample: NDArray[Any], cells: Cells, origin: NDArray[Any], device: Device
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The sample, moved and weighted so that in each cell it has the weight, mean and spread of all its records.

    What clusters take as whole cells is then exact, and chance enters only where a border cuts a cell. Cells that
    the sample missed are points of their own.

    origin    (features,)
    returns   points less the origin (points, features), and their weights (points,)
    """
    rows = Rows.of(sample, device, shift=origin)
    labels, _ = nearest(rows, cells.means)
    counts = np.bincount(labels, minlength=len(cells))
    sums = sums_by(labels, np.ones(len(sample)), rows.ones, len(cells), device)[:, :-1]
    means = sums / np.maximum(counts, 1)[:, None]
    points = device.get(rows.shifted)  # ours to change, and the largest array of the final stage
    points -= means.astype(points.dtype)[labels]
    spreads = np.bincount(labels, weights=np.einsum("ij,ij->i", points, points), minlength=len(cells))
    stretch = np.ones(len(cells))
    np.divide(cells.scatters / cells.weights * counts, spreads, out=stretch, where=spreads > 0)
    points *= np.minimum(np.sqrt(stretch), MOST_STRETCH).astype(points.dtype)[labels, None]
    shifted = (cells.means - origin).astype(points.dtype)
    points += shifted[labels]
    missed = counts == 0
    weights = (cells.weights / np.maximum(counts, 1))[labels]
    return np.concatenate((points, shifted[missed])), np.concatenate((weights, cells.weights[missed]))
