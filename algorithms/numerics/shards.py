"""Rows of a table that lies on several hosts, each row on one of them: what a batch moves between hosts, and no more.

The hosts ask each other for the rows that their batches touch, get them, and give back what is to be added to each. So
a host needs memory for its own rows and for those of a batch. What hosts give for the same row is added up in the order
of their ranks, whichever comes first: sums have the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Pool
from algorithms.numerics.keys import homes

Keys = NDArray[np.int32]
Rows = NDArray[np.float32]


def owned(width: int, hosts: int, rank: int) -> int:
    """How many of the keys from 0 to width - 1 have their rows on a host."""
    return len(range(rank, width, hosts))


class Asked:
    """What the hosts ask of each other for one batch. All make one at the same time, and call its methods in one order.

    keys   of rows that lie here, as they are asked for: by one host after another, the same by several
    """

    def __init__(self, pool: Pool, keys: Keys, width: int) -> None:
        """keys   different ones, of which this host needs rows, from 0 to width - 1   (keys,)"""
        owners, _ = homes(keys, width, pool.hosts)
        self._pool = pool
        self._order = np.argsort(owners, kind="stable")
        self._needed = np.bincount(owners, minlength=pool.hosts).tolist()
        asked = pool.exchanged(_parts(keys[self._order], self._needed))
        self._asked = [len(part) for part in asked]
        self.keys: Keys = np.concatenate(asked)

    def answered(self, rows: Rows) -> Rows:
        """The rows that this host needs, for those that were asked of it   (own keys, columns) for (keys, columns)"""
        found = self._pool.exchanged(_parts(rows, self._asked), self._needed)
        mine = np.empty((len(self._order), rows.shape[1]), rows.dtype)
        mine[self._order] = np.concatenate(found)
        return mine

    def sums(self, values: Rows, places: NDArray[np.int32], count: int) -> Rows:
        """What all hosts give for the rows that lie here.

        values    for what this host needed                              (own keys, columns)
        places    of `keys` among the different ones of them, of which there are `count`
        returns   (count, columns)
        """
        found = self._pool.exchanged(_parts(values[self._order], self._needed), self._asked)
        total = np.zeros((count, values.shape[1]), values.dtype)
        for part, at in zip(found, _parts(places, self._asked), strict=True):
            total[at] += part  # a host asks for a row but once
        return total


def _parts(array: NDArray[Any], lengths: Sequence[int]) -> list[NDArray[Any]]:
    return np.split(array, np.cumsum(lengths)[:-1])
