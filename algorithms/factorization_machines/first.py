"""First values of weights: a function of the feature, so that nothing is kept of features that have not come up.

Every host begins alike, too: factors that were learned apart mean the same, and can be averaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from algorithms.factorization_machines.hyperparameters import Weights

BIAS = np.array([-1])  # the number of no feature
COLUMN_BITS = 32  # of a counter: features above, columns and which of two draws below

Features = NDArray[np.int32] | NDArray[np.int64]


def first_values(features: Features, columns: NDArray[np.int64], weights: Weights) -> NDArray[np.float32]:
    """Those of some columns of some features   (features, columns)"""
    shape = (len(features), len(columns))
    if weights.method == "constant":
        return np.full(shape, weights.spread, np.float32)
    if weights.method == "uniform":
        return ((2 * _draws(features, columns, 0) - 1) * weights.spread).astype(np.float32)
    # Box and Muller 1958.
    distance = np.sqrt(-2 * np.log(_draws(features, columns, 0)))
    values: NDArray[np.float64] = weights.spread * distance * np.cos(2 * np.pi * _draws(features, columns, 1))
    return values.astype(np.float32)


def _draws(features: Features, columns: NDArray[np.int64], which: int) -> NDArray[np.float64]:
    """Uniform numbers above 0 and up to 1, from counters by SplitMix64 (Steele, Lea and Flood 2014)."""
    counters = (features.astype(np.int64)[:, None] << COLUMN_BITS) + 2 * columns + which
    z = counters.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # the step between states
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)).astype(np.float64) + 1) * 2.0**-53
