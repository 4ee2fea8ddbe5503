"""Products of matrices in double precision: records by columns, and rows by one another."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.numerics.device import CPU, Device
from algorithms.numerics.threads import few_threads

TILE_VALUES = 1 << 20  # features in double precision at once: 8 MiB
PIECE_VALUES, LEAST_PIECE = 1 << 17, 1024  # of the inner axis, that are multiplied at once: 1 MiB stays in the cache

Doubles = NDArray[np.float64]


def steady(features: Any, columns: Doubles) -> Doubles:
    """Each record times each column, to the bit the same for any batching of the records.

    A product of matrices rounds differently for another shape, so each value is summed for itself: by einsum, which
    calls no BLAS here, or over the entries of a sparse row.

    features   dense or csr_array   (records, features)
    columns    contiguous           (columns, features)
    returns    (records, columns)
    """
    if not isinstance(features, np.ndarray):
        doubles = features.astype(np.float64)
        return np.stack([doubles @ column for column in columns], axis=1)
    sums = np.empty((len(features), len(columns)))
    step = max(1, TILE_VALUES // max(features.shape[1], 1))
    for start in range(0, len(features), step):
        some = np.ascontiguousarray(features[start : start + step], np.float64)
        np.einsum("ij,kj->ik", some, columns, out=sums[start : start + step])
    return sums


def gram(rows: NDArray[Any], dtype: type[np.floating[Any]] = np.float64, device: Device = CPU) -> NDArray[Any]:
    """rows @ rows.T, multiplied and summed in a precision; NumPy computes one half and mirrors it (SYRK).

    rows      (rows, features), of any memory order
    returns   (rows, rows), of that precision
    """
    xp, features = device.xp, rows.shape[1]
    # What must be converted goes in pieces that stay in the cache.
    least = features if rows.dtype == dtype else max(LEAST_PIECE, PIECE_VALUES // max(len(rows), 1))
    pieces = max(1, features // max(least, 1))
    cuts = [features * piece // pieces for piece in range(pieces + 1)]
    sums: Any = 0
    with few_threads(len(rows) * len(rows) * -(-features // pieces)):
        for start, stop in pairwise(cuts):
            some = xp.astype(device.put(rows[:, start:stop]), getattr(xp, dtype.__name__), copy=False)
            product = some @ some.T
            sums = sums + product if start else product
    return device.get(sums)
