"""Moments and sizes against NumPy over the whole stream."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from algorithms.numerics.scaling import Moments, Sizes


@given(st.integers(0, 3), st.lists(st.integers(0, 50), max_size=4), st.sampled_from([0.0, 1e4, -1e6]))
def test_moments_of_any_split(seed: int, cuts: list[int], offset: float) -> None:
    x = (np.random.default_rng(seed).normal(size=(50, 3)) * [1, 10, 0.1] + offset).astype(np.float32)
    edges = [0, *sorted(cuts), 50]
    whole, left, right = Moments(3), Moments(3), Moments(3)
    for number, (start, stop) in enumerate(pairwise(edges)):
        whole.update(x[start:stop])
        (left if number % 2 else right).update(x[start:stop])
    left.merge(right)
    for found in (whole, left):
        assert found.count == 50
        np.testing.assert_allclose(found.means, x.mean(axis=0, dtype=np.float64), rtol=1e-12)
        expected = x.std(axis=0, dtype=np.float64)
        # A million from zero, single precision holds steps of 0.06, as large as the third column's deviation.
        np.testing.assert_allclose(
            found.deviations, np.where(expected > 0.1 * (offset == -1e6), expected, 1), rtol=1e-6
        )


@pytest.mark.parametrize("constant", [0.0, 3.7, 1e9, -1e-20])
def test_a_constant_column_has_deviation_one(constant: float) -> None:
    found = Moments(1)
    for size in (3, 5, 7):
        found.update(np.full((size, 1), constant, np.float32))
    assert found.deviations.tolist() == [1.0]


def test_moments_of_nothing() -> None:
    empty, seen = Moments(2), Moments(2)
    empty.update(np.empty((0, 2), np.float32))
    assert empty.deviations.tolist() == [1, 1]
    seen.update(np.array([[1, 2], [3, 6]], np.float32))
    before = {name: array.copy() for name, array in seen.arrays().items()}
    seen.merge(empty)
    for name, array in seen.arrays().items():
        np.testing.assert_array_equal(array, before[name])
    again = Moments(2)
    again.restore(seen.arrays())
    np.testing.assert_array_equal(again.deviations, [1, 2])


def test_sizes_look_at_what_is_there() -> None:
    x = np.array([[0, 3, 0, 0], [2, 0, 0, 0], [0, -4, 0, 0]], np.float32)
    whole, left, right = Sizes(4), Sizes(4), Sizes(4)
    whole.update(csr_array(x))
    left.update(csr_array(x[:1]))
    right.update(csr_array(x[1:]))
    left.merge(right)
    everything = np.sqrt((4 + 9 + 16) / 3)  # for columns never seen
    for found in (whole, left):
        np.testing.assert_allclose(found.deviations, [2, np.sqrt(12.5), everything, everything])


def test_stored_zeros_are_zeros() -> None:
    found = Sizes(2)
    found.update(csr_array((np.array([0, 5], np.float32), np.array([0, 1]), np.array([0, 2])), shape=(1, 2)))
    np.testing.assert_allclose(found.deviations, [5, 5])


def test_sizes_of_nothing() -> None:
    empty = Sizes(3)
    empty.update(csr_array((5, 3), dtype=np.float32))
    assert empty.deviations.tolist() == [1, 1, 1]
    again = Sizes(3)
    again.restore(empty.arrays())
    assert again.deviations.tolist() == [1, 1, 1]
