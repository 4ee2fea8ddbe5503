"""PCA: laws of its state in both modes, and edge cases of a stream."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from algorithms.numerics.device import Device
from algorithms.pca import ALGORITHM
from algorithms.pca.directions import Directions
from algorithms.pca.hyperparameters import PCAHyperparameters
from algorithms.pca.model import PCAModel
from algorithms.pca.scatter import Scatter
from algorithms.pca.state import PCAState
from recordio.batch import Batch
from recordio.errors import UserError
from tests.contract import laws
from tests.contract.cases import Case, Records
from tests.contract.test_laws import apply
from tests.unit.devices import torch_devices

WIDTH = 90  # more than twice the 32 rows of a small sketch


@pytest.fixture(params=["regular", "randomized"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Sketches begin at small widths here; few records are enough to fill the tiles of the other mode."""
    monkeypatch.setattr("algorithms.pca.hyperparameters.PAIRED_FEATURES", 0)
    monkeypatch.setattr("algorithms.pca.scatter.LEAST_TILE", 64)
    monkeypatch.setattr("algorithms.pca.scatter.EXACT_RECORDS", 200)
    yield request.param


def hyper(mode: str = "regular", components: int = 4, features: int = WIDTH, **more: object) -> PCAHyperparameters:
    given = {"num_components": components, "feature_dim": features, "mini_batch_size": 50, "algorithm_mode": mode}
    return PCAHyperparameters.from_strings({name: str(value) for name, value in {**given, **more}.items()})


def falling(records: int, seed: int = 0, features: int = WIDTH, offset: float = 10) -> np.ndarray:
    """Standard deviations 1, 1/2, 1/3 and so on in a turned basis."""
    turn, _ = np.linalg.qr(np.random.default_rng(99).normal(size=(features, features)))
    rows = np.random.default_rng(seed).normal(size=(records, features)) / np.arange(1, features + 1)
    return (offset + rows @ turn).astype(np.float32)


def seen(x: np.ndarray, given: PCAHyperparameters, batch: int = 50) -> PCAState:
    state = PCAState(given)
    for start in range(0, len(x), batch):
        state.update(Batch(x[start : start + batch]))
    return state


def exact(x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and vectors of the centred records, largest last, by NumPy in double precision."""
    _, singular, vectors = np.linalg.svd(x - x.mean(axis=0, dtype=np.float64), full_matrices=False)
    return singular[:count][::-1], vectors[:count].T[:, ::-1]


def assert_alike(one: PCAModel, other: PCAModel, tolerance: float) -> None:
    assert one.mean is not None and other.mean is not None
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-6)
    np.testing.assert_allclose(one.singular, other.singular, rtol=tolerance)
    np.testing.assert_allclose(one.vectors, other.vectors, atol=tolerance)
    for name, value in one.metrics.items():
        assert other.metrics[name] == pytest.approx(value, rel=tolerance)


def assert_same(left: PCAState, right: PCAState) -> None:
    (arrays, values), (other_arrays, other_values) = left.snapshot(), right.snapshot()
    assert values == other_values
    assert arrays.keys() == other_arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], other_arrays[name], err_msg=name)


# Laws of the state


def records(count: int, seed: int) -> Records:
    return falling(count, seed), None


@pytest.mark.parametrize(
    "law",
    [
        laws.any_chunking_gives_the_same_model,
        laws.memory_follows_the_settings,
        laws.resuming_changes_nothing,
        laws.finalising_changes_nothing,
        laws.a_model_can_be_continued,
        laws.an_empty_state_adds_nothing,
        laws.merge_order_hardly_matters,
        laws.predictions_ignore_batching,
        laws.hostile_artifacts_are_refused,
    ],
    ids=lambda law: law.__name__,
)
def test_law_holds(law: object, mode: str, tmp_path: Path) -> None:
    given = {"num_components": "4", "feature_dim": str(WIDTH), "mini_batch_size": "97", "algorithm_mode": mode}
    # A sketch lets go of other rows in another order: of what 32 rows of 90 can't hold, a twentieth is left.
    case = Case("pca", given, records, merge_tolerance=1e-6 if mode == "regular" else 1e-3)
    assert isinstance(case.algorithm.create(hyper(mode), np.random.default_rng(0)).sketch, kind(mode))
    apply(law, laws.Subject(case, case.algorithm), tmp_path)


def kind(mode: str) -> type[Scatter] | type[Directions]:
    return Scatter if mode == "regular" else Directions


@given(st.integers(0, 400), st.booleans())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_restored_state_goes_on_exactly(mode: str, cut: int, subtract_mean: bool) -> None:
    x, given = falling(400), hyper(mode, subtract_mean=subtract_mean)
    whole, state = PCAState(given), PCAState(given)
    for start in range(0, 400, 50):
        if start <= cut < start + 50:
            arrays, values = state.snapshot()
            state = ALGORITHM.restore(given, arrays, json.loads(json.dumps(values)))
        state.update(Batch(x[start : start + 50]))
        whole.update(Batch(x[start : start + 50]))
    assert_same(state, whole)


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_mini_batches_hardly_matter(mode: str, batch: int) -> None:
    x, given = falling(1000), hyper(mode)
    # Rows wait until there are enough, so only sums for the mean are cut differently.
    assert_alike(seen(x, given, batch).finalise(), seen(x, given).finalise(), 1e-5)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_merging_shards_that_lie_far_apart(mode: str, order: tuple[int, ...]) -> None:
    parts = [falling(count, seed=count, offset=count) for count in (700, 30, 1000)]
    x = np.concatenate(parts)
    state = PCAState(hyper(mode))
    for part in order:
        state.merge(seen(parts[part], hyper(mode)))
    assert state.count == len(x)
    singular, vectors = exact(x, 4)
    model = state.finalise()
    np.testing.assert_allclose(model.singular, singular, rtol=1e-3)
    np.testing.assert_allclose(np.abs(np.sum(model.vectors * vectors, axis=0)), 1, atol=1e-3)


def test_updates_keep_no_reference(mode: str) -> None:
    x = falling(300)
    state = seen(x, hyper(mode))
    before = state.snapshot()[0]
    x[:] = 0
    for name, array in state.snapshot()[0].items():
        np.testing.assert_array_equal(array, before[name])


def test_a_state_is_not_a_part_of_what_it_was_merged_into(mode: str) -> None:
    other, empty = seen(falling(300), hyper(mode)), PCAState(hyper(mode))
    empty.merge(other)
    empty.update(Batch(falling(200, seed=1)))
    assert_same(other, seen(falling(300), hyper(mode)))


def test_the_size_of_a_state_does_not_grow(mode: str) -> None:
    def size(records: int) -> int:
        return sum(array.nbytes for array in seen(falling(records), hyper(mode)).snapshot()[0].values())

    assert size(5760) == size(2880)  # multiples of 64, and of 32: no row waits


@pytest.mark.parametrize("device", torch_devices(), ids=str)
def test_torch_computes_the_same(mode: str, device: Device) -> None:
    x = falling(1000)
    state = PCAState(hyper(mode), device)
    state.update(Batch(x))
    assert_alike(state.finalise(), seen(x, hyper(mode)).finalise(), 1e-5)


@pytest.mark.parametrize("subtract_mean", [True, False])
def test_sparse_records_are_learned_as_dense_ones(mode: str, subtract_mean: bool) -> None:
    x = falling(500) * (np.random.default_rng(1).random((500, WIDTH)) < 0.2)
    dense, sparse = (PCAState(hyper(mode, subtract_mean=subtract_mean)) for _ in range(2))
    for start in range(0, 500, 50):
        dense.update(Batch(x[start : start + 50]))
        sparse.update(Batch(csr_array(x[start : start + 50])))
    assert_same(dense, sparse)


# Answers


def test_regular_is_exact() -> None:
    x = falling(3000)
    singular, vectors = exact(x, WIDTH)
    model = seen(x, hyper(components=WIDTH)).finalise()
    np.testing.assert_allclose(model.singular, singular, rtol=1e-6)  # float32
    np.testing.assert_allclose(np.abs(np.sum(model.vectors * vectors, axis=0)), 1, atol=1e-6)
    assert model.metrics["explained_variance_ratio"] == pytest.approx(1)
    assert model.metrics["reconstruction_error"] == pytest.approx(0, abs=1e-6)


def test_without_subtracting_the_mean(mode: str) -> None:
    x = falling(500)
    _, singular, vectors = np.linalg.svd(x.astype(np.float64), full_matrices=False)
    state = seen(x, hyper(mode, subtract_mean="False"))
    model = state.finalise()
    assert model.mean is None
    # It is all the same to the state.
    assert_same(state, seen(x, hyper(mode)))
    np.testing.assert_allclose(model.singular, singular[:4][::-1], rtol=1e-3)  # what a sketch lets go; see quality
    np.testing.assert_allclose(np.abs(model.vectors[:, -1] @ vectors[0]), 1, atol=1e-6)


def test_train_metrics_tell_the_truth(mode: str) -> None:
    x = falling(2000)
    model = seen(x, hyper(mode)).finalise()
    scores = ALGORITHM.evaluate(model, hyper(mode))
    scores.update(Batch(x))
    for name, value in scores.finalise().items():
        # Squares of singular values, which the sketch tells within 1e-3 here.
        assert model.metrics[name] == pytest.approx(value, rel=1e-6 if mode == "regular" else 2e-3)


def test_a_direction_that_returns_takes_the_place_of_those_that_went() -> None:
    """Forty strong directions once; then one that in each turn of the sketch is weaker than all of them."""
    rng = np.random.default_rng(0)
    sketch = Directions(200, 32, PCAState(hyper()).sketch.device)
    sketch.add((10 * np.eye(40, 200)).astype(np.float32))
    for _ in range(100):
        rows = np.zeros((32, 200))
        rows[:, 150] = rng.normal(size=32)
        sketch.add(rows.astype(np.float32))
    lengths, vectors = sketch.components(1)
    assert abs(vectors[150, 0]) > 0.99
    assert lengths[0] ** 2 > 0.8 * 3200  # its own squares, less what went before it had a place


def test_more_from_one_state(mode: str) -> None:
    x = falling(500)
    arrays, values = seen(x, hyper(mode)).snapshot()
    reach = WIDTH if mode == "regular" else 16
    for count in (1, 3, reach):
        model = ALGORITHM.restore(hyper(mode, count), arrays, values).finalise()
        assert isinstance(model, PCAModel)
        assert model.vectors.shape == (WIDTH, count)
        np.testing.assert_allclose(model.singular[-4:], exact(x, count)[0][-4:], rtol=1e-3)
    if mode == "randomized":
        with pytest.raises(UserError, match="got num_components 17, expected at most 16, which the state reaches"):
            ALGORITHM.restore(hyper(mode, 17), arrays, values)


def test_a_state_goes_on_only_as_it_was_trained(mode: str) -> None:
    arrays, values = seen(falling(100), hyper(mode)).snapshot()
    if mode == "randomized":
        with pytest.raises(UserError, match="got algorithm_mode 'stable' for a sketch, expected 'randomized'"):
            ALGORITHM.restore(hyper("stable"), arrays, values)
        with pytest.raises(UserError, match="a sketch on one host and products of all pairs on another"):
            seen(falling(100), hyper("regular")).merge(seen(falling(100), hyper(mode)))
    else:  # what is exact stays so
        ALGORITHM.restore(hyper("randomized"), arrays, values)


# Streams that are hard


@pytest.mark.parametrize(
    "x",
    [
        np.ones((1, WIDTH), np.float32),
        np.full((250, WIDTH), 1e5, np.float32),
        falling(3),
        np.repeat(falling(5), 100, axis=0),
        np.full((250, WIDTH), 1e30, np.float32) * falling(250),
        np.full((250, WIDTH), 1e-30, np.float32) * falling(250),
    ],
    ids=["one", "constant", "fewer than components", "few distinct", "huge", "tiny"],
)
def test_poor_data(x: np.ndarray, mode: str) -> None:
    model = seen(x, hyper(mode)).finalise()
    singular, _ = exact(x, 4)
    singular = np.concatenate((np.zeros(4 - len(singular)), singular))
    # Where there is nothing, the eigenvalue is a rounding of the largest: its root is 1e-7 of it.
    np.testing.assert_allclose(model.singular, singular, rtol=1e-3, atol=1e-6 * singular[-1])
    np.testing.assert_allclose(model.vectors.T @ model.vectors, np.eye(4), atol=1e-6)
    assert all(np.isfinite(value) for value in model.metrics.values())


def test_tiny_and_huge_values_beyond_the_exact_records(mode: str) -> None:
    for scale in (1e-30, 1e30):
        x = (scale * falling(1000)).astype(np.float32)
        np.testing.assert_allclose(seen(x, hyper(mode)).finalise().singular, exact(x, 4)[0], rtol=1e-3)


# Records that fade


def flat(count: int, seed: int, axes: int = 12) -> np.ndarray:
    """Records of so few directions that a sketch loses nothing, which drift, and change their directions."""
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(axes, WIDTH))
    scales = np.linspace(1, 4, axes) * (1 + np.arange(count)[:, None] / count * np.linspace(3, 0, axes))
    return (10 + rng.normal(size=(count, axes)) * scales @ basis + 5 * np.arange(count)[:, None] / count).astype(
        np.float32
    )


def faded(parts: list[np.ndarray], half_life: int, components: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, singular values and vectors where a record of a part counts half for each half-life of those after it."""
    x = np.concatenate(parts).astype(float)
    weights = np.concatenate([2.0 ** (-np.arange(len(part))[::-1] / half_life) for part in parts])
    mean = weights @ x / weights.sum()
    _, singular, vectors = np.linalg.svd(np.sqrt(weights)[:, None] * (x - mean), full_matrices=False)
    return mean, singular[:components][::-1], vectors[:components][::-1]


def assert_faded(model: PCAModel, parts: list[np.ndarray], half_life: int) -> None:
    mean, singular, vectors = faded(parts, half_life, model.num_components)
    assert model.mean is not None
    np.testing.assert_allclose(model.mean, mean, rtol=1e-5, atol=1e-5)  # values of 10 in single precision
    np.testing.assert_allclose(model.singular, singular, rtol=1e-4)  # rows are in single precision
    # The space, not its axes: those of neighbouring lengths may turn.
    basis = np.linalg.qr(model.vectors.astype(float))[0]
    assert np.linalg.norm(vectors.T - basis @ (basis.T @ vectors.T), 2) < 1e-3


@given(st.integers(1, 2000), st.integers(20, 700), st.integers(1, 300), st.integers(0, 9))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_fade_by_those_after_them(mode: str, half_life: int, count: int, batch: int, seed: int) -> None:
    """Whatever the batches, and wherever the stream is cut: weights of 2^(-age / half-life), in closed form."""
    x, given = flat(count, seed), hyper(mode, half_life_time_size=half_life)
    state = seen(x[: count // 2], given, batch)
    state = ALGORITHM.restore(given, *state.snapshot())
    for start in range(count // 2, count, batch):
        state.update(Batch(x[start : start + batch]))
    assert_faded(state.finalise(), [x], half_life)
    assert state._settled().count == pytest.approx((2.0 ** (-np.arange(count) / half_life)).sum(), rel=1e-9)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_each_host_lets_its_own_records_fade(mode: str, order: tuple[int, ...]) -> None:
    """The last records of all hosts count in full."""
    parts, given = [flat(count, 7) for count in (500, 90, 333)], hyper(mode, half_life_time_size=60)
    state, *others = (seen(parts[number], given) for number in order)
    for other in others:
        state.merge(other)
    assert_faded(state.finalise(), parts, 60)


def test_an_endless_stream_stays_in_bounds(mode: str) -> None:
    """After thousands of half-lives, with values that drift by as much again: like the last records alone."""
    given, x = hyper(mode, half_life_time_size=40), flat(4000, 3)
    state = PCAState(given)
    for _ in range(40):
        state.update(Batch(x))
        x = x + 5
    assert_faded(state.finalise(), [x[-2000:] - 5], 40)
    assert state._settled().count == pytest.approx(1 / (1 - 2 ** (-1 / 40)), rel=1e-9)


def test_a_half_life_may_begin_with_a_new_job(mode: str) -> None:
    first, second = flat(400, 1), flat(300, 1)
    state = ALGORITHM.restore(hyper(mode, half_life_time_size=50), *seen(first, hyper(mode)).snapshot())
    for start in range(0, 300, 50):
        state.update(Batch(second[start : start + 50]))
    # Both ways settle 384 of the first records in whole tiles, and 16 still wait.
    expected = (2.0 ** (-np.arange(316) / 50)).sum() + 384 * 2 ** (-316 / 50)
    assert state._settled().count == pytest.approx(expected, rel=1e-9)


def test_without_records_there_is_no_model(mode: str) -> None:
    state = PCAState(hyper(mode))
    state.update(Batch(falling(0)))
    with pytest.raises(UserError, match="holds no records"):
        state.finalise()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
def test_wrong_records_change_nothing(mode: str, wrong: float) -> None:
    state, x = seen(falling(100), hyper(mode)), falling(2).astype(np.float64)
    x[1, 3] = wrong
    with pytest.raises(UserError, match="nan, infinite or too large"):
        state.update(Batch(x))
    with pytest.raises(UserError, match=rf"got 5 features, expected {WIDTH} \(hyperparameter feature_dim\)"):
        state.update(Batch(np.zeros((2, 5), np.float32)))
    assert_same(state, seen(falling(100), hyper(mode)))


# Hyperparameters


def test_every_hyperparameter_with_its_default() -> None:
    assert hyper().defaults() == {
        "algorithm_mode": "regular",
        "extra_components": "-1",
        "subtract_mean": "true",
        "epochs": "1",
        "half_life_time_size": "0",
        "force_dense": "true",
    }
    with pytest.raises(UserError, match="for 'feature_dim', 'num_components', 'mini_batch_size' which are req"):
        PCAHyperparameters.from_strings({})


def test_more_components_than_features() -> None:
    with pytest.raises(UserError, match="got num_components 7, expected at most 6, the feature_dim"):
        hyper(components=7, features=6)


@pytest.mark.parametrize(
    ("components", "extra", "rank"),
    [(1, -1, 32), (10, -1, 40), (50, -1, 200), (10, 0, 32), (100, 0, 200), (5, 95, 200)],
)
def test_rows_of_a_sketch(components: int, extra: int, rank: int) -> None:
    assert hyper("randomized", components, 50_000, extra_components=extra).rank == rank


def test_few_features_need_no_sketch() -> None:
    assert [hyper("randomized", 10, width).sketched for width in (1024, 1025)] == [False, True]
    assert [hyper("randomized", 500, width).sketched for width in (4000, 4001)] == [False, True]
    assert not hyper("regular", 10, 5000).sketched


def test_a_large_state_is_told_beforehand(caplog: pytest.LogCaptureFixture) -> None:
    ALGORITHM.create(hyper("regular", 10, 11_000), np.random.default_rng(0))
    assert caplog.messages == [
        "Products of all pairs of 11000 features take 923 MiB; algorithm_mode randomized would take less."
    ]
    caplog.clear()
    caplog.set_level(logging.INFO)
    ALGORITHM.create(hyper("randomized", 10, 11_000), np.random.default_rng(0))
    assert not caplog.messages
