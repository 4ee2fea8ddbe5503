"""Sums over hosts that learn one model in step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Pool

Rows = NDArray[np.int32]


def row_sums(pool: Pool, rows: Rows, values: NDArray[Any]) -> tuple[Rows, NDArray[Any]]:
    """Sums of rows that a batch touches, where each host touches rows of its own; as given where there is one host.

    rows      different numbers   (rows,)
    values    (rows, columns)
    returns   the rows that any host touches, and their sums
    """
    if pool.hosts == 1:
        return rows, values
    parts = [arrays for arrays, _ in pool.gathered({"rows": rows, "values": values}, {})]
    every = np.unique(np.concatenate([part["rows"] for part in parts]))
    total = np.zeros((len(every), values.shape[1]), values.dtype)
    for part in parts:
        total[np.searchsorted(every, part["rows"])] += part["values"]
    return every, total
