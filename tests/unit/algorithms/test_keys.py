"""Keys and their homes: one to one, even however ids come, and the different ones of a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.testing import assert_array_equal

from algorithms.numerics.keys import different, homes
from algorithms.numerics.shards import owned


@given(width=st.integers(1, 5000), hosts=st.integers(1, 9))
def test_every_key_has_a_place_of_its_own(width: int, hosts: int) -> None:
    """Hosts share all keys, to within one, and their places are 0, 1, 2 and so on: no dictionary is needed."""
    owners, places = homes(np.arange(width, dtype=np.int32), width, hosts)
    for host in range(hosts):
        assert_array_equal(np.sort(places[owners == host]), np.arange(owned(width, hosts, host)))
    assert sum(owned(width, hosts, host) for host in range(hosts)) == width


@pytest.mark.parametrize("step", [1, 2, 3, 4, 10, 64, 1000, 1024, 65_536])
@pytest.mark.parametrize("width", [2**26, 10**8])
def test_runs_and_steps_of_ids_are_spread_evenly(width: int, step: int) -> None:
    """Fields of one-hot ids lie side by side, or in steps where ids are made of two numbers."""
    keys = np.arange(0, 1000 * step, step, dtype=np.int32)
    shares = np.bincount(homes(keys, width, 4)[0], minlength=4)
    # A quarter of 1,000 has a deviation of 13.7 where hosts are drawn at random; five of them.
    assert np.abs(shares - 250).max() < 70


def test_homes_do_not_depend_on_the_company() -> None:
    keys = np.random.default_rng(0).integers(10**8, size=1000).astype(np.int32)
    owners, places = homes(keys, 10**8, 3)
    for number in (0, 17, 999):
        assert [int(each[0]) for each in homes(keys[number : number + 1], 10**8, 3)] == [owners[number], places[number]]


@given(arrays_of.arrays(np.int32, st.integers(0, 300), elements=st.integers(0, 40) | st.integers(2**31 - 9, 2**31 - 1)))
def test_different_ones_come_in_order_of_first_sight(keys: np.ndarray) -> None:
    found, places = different(keys)
    assert found.tolist() == list(dict.fromkeys(keys.tolist()))
    assert_array_equal(found[places], keys)


@pytest.mark.parametrize(
    ("width", "hosts", "keys"), [(5, 2, [5]), (5, 2, [-1]), (0, 2, []), (5, 0, [1]), (2**31, 2, [])]
)
def test_keys_that_have_no_home_are_refused(width: int, hosts: int, keys: list[int]) -> None:
    with pytest.raises(ValueError, match="got"):
        homes(np.array(keys, np.int32), width, hosts)


def test_negative_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="got the key -7"):
        different(np.array([3, 3, -7, 4], np.int32))
