"""Rows that hosts ask of each other, and sums of what they give for them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from algorithms.contract import Alone
from algorithms.numerics.keys import different, homes
from algorithms.numerics.shards import Asked
from tests.unit.pools import Hosts, Seat

WIDTH, COLUMNS = 1000, 3


def table() -> np.ndarray:
    """A row for each key, of numbers whose sums depend on their order."""
    return np.random.default_rng(0).normal(size=(WIDTH, COLUMNS)).astype(np.float32)


def keys_of(rank: int) -> np.ndarray:
    """Key 7 on all hosts, none but that on the second, nothing on the third."""
    many = np.random.default_rng(rank).choice(WIDTH, 200, replace=False)
    own = [many, [], [], many][rank]
    return np.unique(np.concatenate([own, [] if rank == 2 else [7]])).astype(np.int32)[::-1].copy()


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_hosts_get_the_rows_they_need_and_sums_in_the_order_of_ranks(hosts: int) -> None:
    rows = table()
    gradients = [np.random.default_rng(9 + rank).normal(size=(WIDTH, COLUMNS)).astype(np.float32) for rank in range(4)]

    def one(seat: Seat | Alone, rank: int) -> tuple[np.ndarray, np.ndarray]:
        keys = keys_of(rank)
        asked = Asked(seat, keys, WIDTH)
        assert (homes(asked.keys, WIDTH, hosts)[0] == rank).all()
        assert_array_equal(asked.answered(rows[asked.keys]), rows[keys])
        own, places = different(asked.keys)
        return own, asked.sums(gradients[rank][keys], places, len(own))

    found = [one(Alone(), 0)] if hosts == 1 else Hosts(hosts).run(one)
    expected = np.zeros((WIDTH, COLUMNS), np.float32)
    for rank in range(hosts):
        expected[keys_of(rank)] += gradients[rank][keys_of(rank)]
    touched = np.concatenate([own for own, _ in found])
    assert sorted(touched) == sorted({*np.concatenate([keys_of(rank) for rank in range(hosts)])})
    for own, sums in found:
        assert_array_equal(sums, expected[own])  # to the bit


def test_batches_of_nothing() -> None:
    def one(seat: Seat, rank: int) -> None:
        asked = Asked(seat, np.empty(0, np.int32), WIDTH)
        assert asked.answered(np.empty((0, COLUMNS), np.float32)).shape == (0, COLUMNS)
        assert asked.sums(np.empty((0, COLUMNS), np.float32), np.empty(0, np.int32), 0).shape == (0, COLUMNS)

    Hosts(3).run(one)
