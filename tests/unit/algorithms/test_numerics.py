"""Shared kernels against plain formulas in double precision."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from algorithms.numerics import distances
from algorithms.numerics.device import CPU, Device
from algorithms.numerics.distances import Rows, closest, nearest, sums_by
from algorithms.numerics.products import gram, steady
from algorithms.numerics.randomness import freeze, thaw
from algorithms.numerics.sample import Sample, draw
from algorithms.numerics.threads import one_thread
from recordio.errors import UserError
from tests.unit.devices import every_device


def squared(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((x[:, None].astype(np.float64) - centres[None]) ** 2).sum(axis=2)


def problem(records: int, centres: int, features: int, offset: float = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(records + centres)
    x = rng.normal(size=(records, features)) + offset
    return x.astype(np.float32), (rng.normal(size=(centres, features)) + offset).astype(np.float32)


@pytest.mark.parametrize("device", every_device())
@pytest.mark.parametrize("offset", [0, 1e4, -1e6])
def test_nearest_keeps_its_precision_far_from_zero(device: Device, offset: float) -> None:
    x, centres = problem(500, 40, 8, offset)
    labels, gaps = nearest(Rows.of(x, device), centres)
    truth = squared(x, centres)
    # float32 rounds norms of about 10 to 1e-6; the difference of two scores is twice that.
    np.testing.assert_allclose(truth[np.arange(500), labels], truth.min(axis=1), atol=2e-5)
    np.testing.assert_allclose(gaps, truth.min(axis=1), atol=2e-5)


def test_nearest_would_lose_it_without_the_shift() -> None:
    x, centres = problem(500, 40, 8, 1e4)
    _, gaps = nearest(Rows.of(x, CPU, shift=np.zeros(8)), centres)
    assert np.abs(gaps - squared(x, centres).min(axis=1)).max() > 1


@pytest.mark.parametrize("scale", [1e-30, 1e19, 1e30])
def test_nearest_at_the_ends_of_the_range(scale: float) -> None:
    x, centres = problem(50, 7, 3)
    labels, gaps = nearest(Rows.of((x * scale).astype(np.float32)), (centres * scale).astype(np.float32))
    assert np.isfinite(gaps).all()
    if scale > 1:  # squares of the smallest vanish in any precision of 32 bits
        np.testing.assert_array_equal(labels, squared(x, centres).argmin(axis=1))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e200])
def test_refuses_what_has_no_distance(wrong: float) -> None:
    with pytest.raises(UserError, match="nan, infinite or too large to square"):
        Rows.of(np.array([[0.0, 1.0], [wrong, 0.0]]))


def test_tiles_cover_all_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, centres = problem(100, 9, 4)
    whole = nearest(Rows.of(x), centres)
    monkeypatch.setattr(distances, "TILE_VALUES", 9 * 7)
    np.testing.assert_array_equal(nearest(Rows.of(x), centres)[0], whole[0])


@pytest.mark.parametrize("device", every_device())
def test_sums_by_label(device: Device) -> None:
    rng = np.random.default_rng(0)
    rows, labels, weights = rng.normal(size=(300, 5)).astype(np.float32), rng.integers(0, 6, 300), rng.random(300)
    found = sums_by(labels, weights, device.put(rows), 8, device)
    truth = np.array([(weights[labels == group, None] * rows[labels == group]).sum(axis=0) for group in range(8)])
    np.testing.assert_allclose(found, truth, atol=1e-4)  # 50 terms near 1 in float32
    assert not found[6:].any()


@given(st.data())
@settings(max_examples=30)
def test_closest_does_not_depend_on_batching(data: st.DataObject) -> None:
    features = data.draw(st.sampled_from([1, 3, 64, 129]))
    x, centres = problem(64, data.draw(st.sampled_from([1, 5, 200])), features, data.draw(st.sampled_from([0, 1e4])))
    centres = np.concatenate((centres, centres[:3]))  # ties
    whole = closest(x, centres)
    cuts = [0, *sorted(data.draw(st.lists(st.integers(1, 63), max_size=5, unique=True))), 64]
    parts = [closest(x[start:stop], centres) for start, stop in pairwise(cuts)]
    np.testing.assert_array_equal(whole[0], np.concatenate([labels for labels, _ in parts]))
    np.testing.assert_array_equal(whole[1], np.concatenate([squares for _, squares in parts]))
    np.testing.assert_array_equal(whole[0], squared(x, centres).argmin(axis=1))


def test_closest_decides_near_ties_exactly() -> None:
    centres = np.array([[0, 0], [1, 0], [1, 0], [1e6, 0]], np.float32)
    x = np.array([[0.5, 0], [0.5 + 2**-24, 0], [np.nextafter(np.float32(0.5), 0), 3000]], np.float32)
    np.testing.assert_array_equal(closest(x, centres)[0], [0, 1, 0])


@given(st.integers(1, 40), st.lists(st.integers(0, 60), max_size=6))
@settings(max_examples=50)
def test_a_sample_holds_the_smallest_keys(size: int, batches: list[int]) -> None:
    sample, generator = Sample(size), np.random.default_rng(3)
    keys = np.log(np.random.default_rng(3).standard_exponential(sum(batches)))
    rows = np.arange(sum(batches), dtype=np.float32)[:, None]
    for stop, count in zip(np.cumsum(batches), batches, strict=True):
        sample.update(rows[stop - count : stop], generator)
    sample.settle()
    np.testing.assert_array_equal(np.sort(sample.rows.ravel()), np.sort(np.argsort(keys)[:size]))


def test_a_sample_is_uniform_over_a_merge_of_unequal_streams() -> None:
    seen = np.zeros(60)
    for seed in range(300):
        generator = np.random.default_rng(seed)
        left, right = Sample(15), Sample(15)
        left.update(np.arange(50, dtype=np.float32)[:, None], generator)
        right.update(np.arange(50, 60, dtype=np.float32)[:, None], generator)
        left.merge(right)
        seen[left.rows.ravel().astype(int)] += 1
    assert seen.sum() == 300 * 15
    assert abs(seen[50:].sum() - 300 * 15 / 6) < 4 * np.sqrt(300 * 15 * 5 / 36)  # four standard deviations


def test_a_fading_sample_prefers_late_rows() -> None:
    generator = np.random.default_rng(0)
    sample = Sample(1000)
    for row in range(10):
        sample.clock += 1
        sample.update(np.full((1000, 1), row, np.float32), generator)
    sample.settle()
    # Each thousand weighs half of the next, so that more than half of the draws come from the last one.
    assert 450 < np.count_nonzero(sample.rows == 9) < 750
    assert np.count_nonzero(sample.rows == 9) > np.count_nonzero(sample.rows == 8) > np.count_nonzero(sample.rows == 6)


def test_draw_follows_the_chances_and_never_takes_what_has_none() -> None:
    chances = np.array([0, 1, 2, 0, 4.0])
    generator = np.random.default_rng(1)
    firsts = np.bincount([draw(chances, 1, generator)[0] for _ in range(3000)], minlength=5) / 3000
    np.testing.assert_allclose(firsts, chances / 7, atol=0.04)  # four standard deviations
    assert sorted(draw(chances, 5, generator)) == [1, 2, 4]


def test_a_generator_goes_on_where_it_was_frozen() -> None:
    generator = np.random.default_rng(5)
    generator.random(3)
    twin = thaw(freeze(generator))
    np.testing.assert_array_equal(generator.random(9), twin.random(9))


@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 6), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_steady_products_ignore_batching(records: int, features: int, columns: int, sparse: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(records, features)).astype(np.float32) * (rng.random((records, features)) < 0.5)
    factor = rng.normal(size=(columns, features))
    rows = csr_array(x) if sparse else x
    whole = steady(rows, factor)
    np.testing.assert_allclose(whole, x.astype(np.float64) @ factor.T, rtol=1e-12, atol=1e-12)  # order of sums
    for size in (1, 3):
        parts = [steady(rows[start : start + size], factor) for start in range(0, records, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_steady_products_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    x, factor = problem(50, 3, 8)
    whole = steady(x, factor.astype(np.float64))
    monkeypatch.setattr("algorithms.numerics.products.TILE_VALUES", 25)
    np.testing.assert_array_equal(steady(x, factor.astype(np.float64)), whole)


@pytest.mark.parametrize("device", every_device())
@pytest.mark.parametrize("shape", [(0, 5), (3, 1), (7, 300), (300, 7)])
def test_gram(device: Device, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("algorithms.numerics.products.LEAST_PIECE", 64)
    monkeypatch.setattr("algorithms.numerics.products.PIECE_VALUES", 64)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32) + np.float32(100)
    for rows in (x, x.T):
        exact = rows.astype(np.float64) @ rows.astype(np.float64).T
        np.testing.assert_allclose(gram(rows, device=device), exact, rtol=1e-13)  # rounding of sums in doubles
        # 300 terms of one sign: half an ulp each at most, and far less by chance.
        np.testing.assert_allclose(gram(rows, np.float32, device), exact, rtol=1e-5)


def test_one_thread_for_every_library() -> None:
    import scipy.linalg  # noqa: F401 - brings a BLAS of its own
    from threadpoolctl import threadpool_info

    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = threads()
    with one_thread():
        assert len(threads()) == len(before) and set(threads()) == {1}
    assert threads() == before
