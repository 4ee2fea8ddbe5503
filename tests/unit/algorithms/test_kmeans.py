"""K-Means: laws of its state, edge cases of a stream, and its artifact."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.artifacts import ndarrays
from algorithms.kmeans import ALGORITHM
from algorithms.kmeans.cells import Cells, merge_costs
from algorithms.kmeans.hyperparameters import KMeansHyperparameters
from algorithms.kmeans.lloyd import Stop, first_centres, lloyd
from algorithms.kmeans.model import KMeansModel, load
from algorithms.kmeans.shrink import calibrated
from algorithms.kmeans.state import KMeansState
from algorithms.numerics.device import CPU, Device
from algorithms.numerics.distances import Rows
from recordio.batch import Batch
from recordio.errors import UserError
from tests.unit.devices import torch_devices


def hyper(k: int = 4, feature_dim: int = 3, **more: object) -> KMeansHyperparameters:
    given = {"k": k, "feature_dim": feature_dim, "mini_batch_size": 100, **more}
    return KMeansHyperparameters.from_strings({name: str(value) for name, value in given.items()})


def blobs(records: int, k: int = 4, features: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(scale=20, size=(k, features))
    return (centres[rng.integers(k, size=records)] + rng.normal(size=(records, features))).astype(np.float32)


def seen(x: np.ndarray, given: KMeansHyperparameters | None = None, seed: int = 0, batch: int = 100) -> KMeansState:
    state = KMeansState(given or hyper(feature_dim=x.shape[1]), np.random.default_rng(seed))
    for start in range(0, len(x), batch):
        state.update(Batch(x[start : start + batch]))
    return state


def msd(x: np.ndarray, centroids: np.ndarray) -> float:
    return float(((x[:, None].astype(np.float64) - centroids) ** 2).sum(axis=2).min(axis=1).mean())


def assert_same(left: KMeansState, right: KMeansState) -> None:
    (arrays, values), (other_arrays, other_values) = left.snapshot(), right.snapshot()
    assert values == other_values
    assert arrays.keys() == other_arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], other_arrays[name], err_msg=name)


# Cells


def test_cells_keep_weight_mean_and_scatter_of_all_rows() -> None:
    x = blobs(1000) + 1e4
    state = seen(x)
    assert state.cells.weights.sum() == 1000
    np.testing.assert_allclose(
        state.cells.weights @ state.cells.means / 1000, x.mean(axis=0, dtype=np.float64), rtol=1e-6
    )
    # Spread within and between the cells add up to the spread of the data, however cells were merged.
    between = state.cells.weights @ ((state.cells.means - x.mean(axis=0, dtype=np.float64)) ** 2).sum(axis=1)
    total = ((x - x.mean(axis=0, dtype=np.float64)) ** 2).sum()
    np.testing.assert_allclose(state.cells.scatters.sum() + between, total, rtol=1e-5)


def merged_one_by_one(cells: Cells, size: int) -> tuple[Cells, float]:
    costs = [0.0]
    while len(cells) > size:
        pairs = np.array([(i, j) for i in range(len(cells)) for j in range(i)])
        cheapest = merge_costs(cells[pairs[:, 0]], cells[pairs[:, 1]])
        costs.append(cheapest.min())
        i, j = pairs[np.argmin(cheapest)]
        union = cells[np.array([i])]
        union.absorb(cells[np.array([j])])
        cells[np.array([i])] = union
        cells = cells[np.arange(len(cells)) != j]
    return cells, max(costs)


@given(st.integers(2, 30), st.integers(1, 29), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_reducing_takes_the_cheapest_merges(count: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = Cells(rng.random(count) + 0.1, rng.normal(size=(count, 2)), np.zeros(count))
    expected, expected_dearest = merged_one_by_one(cells[np.arange(count)], size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("algorithms.kmeans.cells.SHARE", 1e-9)  # one merge a round
        found, dearest = cells.reduced(size)
    np.testing.assert_allclose(np.sort(found.weights), np.sort(expected.weights))
    np.testing.assert_allclose(np.sort(found.scatters), np.sort(expected.scatters), atol=1e-9)
    assert dearest == pytest.approx(expected_dearest)


def test_reducing_several_pairs_a_round_costs_little() -> None:
    cells = Cells.at(np.random.default_rng(0).normal(size=(400, 5)))
    cells.weights += 1
    expected, _ = merged_one_by_one(cells[np.arange(400)], 300)
    # Both are greedy; a round takes some pairs before cheaper ones that its own merges would have made possible.
    assert cells.reduced(300)[0].scatters.sum() <= 1.1 * expected.scatters.sum()


def test_reducing_coinciding_cells_costs_nothing() -> None:
    found, dearest = Cells(np.ones(50), np.ones((50, 3)), np.zeros(50)).reduced(7)
    assert (len(found), dearest, found.scatters.sum()) == (7, 0, 0)


# Laws of the state


@given(st.integers(0, 900), st.sampled_from(["random", "kmeans++"]), st.sampled_from([0, 150]))
@settings(max_examples=15)
def test_a_restored_state_goes_on_exactly(cut: int, init_method: str, half_life: int) -> None:
    x, given = blobs(1000), hyper(init_method=init_method, half_life_time_size=half_life)
    whole = KMeansState(given, np.random.default_rng(1))
    state = KMeansState(given, np.random.default_rng(1))
    for start in range(0, 1000, 100):
        if start <= cut < start + 100:
            arrays, values = state.snapshot()
            state = ALGORITHM.restore(given, arrays, json.loads(json.dumps(values)))
        state.update(Batch(x[start : start + 100]))
        whole.update(Batch(x[start : start + 100]))
    assert_same(state, whole)
    np.testing.assert_array_equal(state.finalise().centroids, whole.finalise().centroids)


@given(st.integers(0, 400))
@settings(max_examples=15)
def test_merging_with_an_empty_state_changes_nothing(records: int) -> None:
    x = blobs(records)
    state, empty = seen(x), seen(x[:0], seed=7)
    state.merge(empty)
    assert_same(state, seen(x))
    generator = np.random.default_rng(7)
    empty = KMeansState(hyper(), generator)
    empty.merge(seen(x))
    arrays, _ = empty.snapshot()
    for name, array in seen(x).snapshot()[0].items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_merge_order_hardly_matters(order: tuple[int, ...]) -> None:
    parts = [blobs(n, seed=n) for n in (700, 50, 1000)]
    x = np.concatenate(parts)
    merged = KMeansState(hyper(), np.random.default_rng(0))
    for part in order:
        merged.merge(seen(parts[part], seed=part))
    assert merged.cells.weights.sum() == len(x)
    # Separated clusters: every order finds the same ones, up to what a border record moves.
    assert msd(x, merged.finalise().centroids) <= 1.001 * msd(x, seen(x).finalise().centroids)


def test_finalising_changes_nothing() -> None:
    state = seen(blobs(500))
    first = state.finalise()
    assert_same(state, seen(blobs(500)))
    np.testing.assert_array_equal(first.centroids, state.finalise().centroids)


def test_updates_keep_no_reference() -> None:
    x = blobs(300)
    state = seen(x)
    before = state.snapshot()[0]
    x[:] = 0
    for name, array in state.snapshot()[0].items():
        np.testing.assert_array_equal(array, before[name])


def test_the_size_of_a_state_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("algorithms.kmeans.state.SAMPLE_ROWS", 1)

    def size(records: int) -> int:
        return sum(array.nbytes for array in seen(blobs(records)).snapshot()[0].values())

    assert size(2000) == pytest.approx(size(8000), rel=0.13)  # the slack of the sample


@pytest.mark.parametrize("device", torch_devices(), ids=str)
def test_torch_computes_the_same(device: Device) -> None:
    x = blobs(1000)
    state = KMeansState(hyper(), np.random.default_rng(0), device)
    for start in range(0, 1000, 100):
        state.update(Batch(x[start : start + 100]))
    np.testing.assert_allclose(state.finalise().centroids, seen(x).finalise().centroids, rtol=1e-4)


# Streams that are hard


@pytest.mark.parametrize("init_method", ["random", "kmeans++"])
def test_ordered_streams(init_method: str) -> None:
    x = blobs(4000, k=8)
    x = x[np.argsort(x[:, 0], kind="stable")]
    model = seen(x, hyper(k=8, init_method=init_method)).finalise()
    shuffled = np.random.default_rng(0).permutation(x)
    assert msd(x, model.centroids) <= 1.05 * msd(x, seen(shuffled, hyper(k=8)).finalise().centroids)


def test_outliers_get_centres_of_their_own() -> None:
    x = blobs(2000)
    x[[500, 1500]] = [[3e4, 0, 0], [0, -3e4, 0]]
    model = seen(x, hyper(k=6)).finalise()
    assert msd(x, model.centroids) < 4  # unit noise in three dimensions; one outlier left over would cost 4e5


@pytest.mark.parametrize("init_method", ["random", "kmeans++"])
@pytest.mark.parametrize("final", ["random", "kmeans++"])
@pytest.mark.parametrize(
    "x",
    [
        np.ones((1, 3), np.float32),
        np.ones((250, 3), np.float32),
        blobs(3),
        blobs(4),
        blobs(30),
        np.repeat(blobs(5), 100, axis=0),
        np.full((150, 3), 1e30, np.float32) * blobs(150),
    ],
    ids=["one", "constant", "fewer than k", "k", "fewer than working centres", "few distinct", "huge"],
)
def test_poor_data(x: np.ndarray, init_method: str, final: str) -> None:
    state = seen(x, hyper(init_method=init_method, local_lloyd_init_method=final))
    model = state.finalise()
    assert model.centroids.shape == (4, 3)
    assert np.isfinite(model.centroids).all()
    assert np.isfinite(model.metrics["msd"])
    distinct = len(np.unique(x, axis=0))
    if distinct <= 4:
        assert msd(x, model.centroids) == pytest.approx(0, abs=1e-5)
        assert len(np.unique(model.centroids, axis=0)) == distinct


def test_small_batches_fill_the_working_centres() -> None:
    x = blobs(500)
    assert msd(x, seen(x, batch=7).finalise().centroids) <= 1.05 * msd(x, seen(x).finalise().centroids)


def test_without_records_there_is_no_model() -> None:
    state = seen(blobs(0))
    with pytest.raises(UserError, match="holds no records"):
        state.finalise()


def test_wrong_records() -> None:
    state = seen(blobs(100))
    with pytest.raises(UserError, match=r"got 5 features, expected 3 \(hyperparameter feature_dim\)"):
        state.update(Batch(np.zeros((2, 5), np.float32)))
    with pytest.raises(UserError, match="nan"):
        state.update(Batch(np.array([[1, np.nan, 2]], np.float32)))
    assert_same(state, seen(blobs(100)))


def test_half_life_follows_the_data() -> None:
    early, late = blobs(2000), blobs(2000, seed=1) + 500
    faded = seen(np.concatenate((early, late)), hyper(half_life_time_size=100)).finalise()
    assert msd(late, faded.centroids) < 4
    # 20 half-lives later a record weighs 1e-6; without decay half of the centres would stay.
    assert faded.centroids.min() > 400
    assert seen(np.concatenate((early, late)), hyper()).finalise().centroids.min() < 400


# Final stage


def test_lloyd_agrees_with_the_plain_method() -> None:
    x, weights = blobs(200), np.random.default_rng(1).random(200) + 0.1
    centres = x[:4].astype(np.float64)
    found, loss = lloyd(Rows.of(x), weights, centres, Stop(5, 0.0))
    for _ in range(5):
        squares = ((x[:, None] - centres) ** 2).sum(axis=2)
        labels, expected = squares.argmin(axis=1), weights @ squares.min(axis=1)
        centres = np.array([np.average(x[labels == j], axis=0, weights=weights[labels == j]) for j in range(4)])
    np.testing.assert_allclose(found, centres, rtol=1e-4)
    assert loss == pytest.approx(expected, rel=1e-4)


def test_lloyd_moves_empty_centres_to_where_they_help() -> None:
    x = np.array([[0.0], [1], [10], [11]], np.float32)
    found, _ = lloyd(Rows.of(x), np.ones(4), np.array([[0.5], [1e6]]), Stop(10, 0.0))
    np.testing.assert_allclose(np.sort(found.ravel()), [0.5, 10.5], atol=1e-5)


@pytest.mark.parametrize("method", ["random", "kmeans++"])
def test_first_centres_differ(method: Any) -> None:
    x = np.repeat(blobs(3), 5, axis=0)
    assert len(set(first_centres(Rows.of(x), np.ones(15), 10, method, np.random.default_rng(0)))) == 10


def test_a_calibrated_sample_has_the_moments_of_the_cells() -> None:
    x = blobs(5000)
    state = seen(x, hyper(extra_center_factor=5))
    points, weights = calibrated(x[:400], state.cells, np.zeros(3), CPU)
    cells = state.cells
    np.testing.assert_allclose(weights.sum(), cells.weights.sum())
    np.testing.assert_allclose(weights @ points, cells.weights @ cells.means, rtol=1e-3)
    within = weights @ (points**2).sum(axis=1) - cells.weights @ (cells.means**2).sum(axis=1)
    assert within == pytest.approx(cells.scatters.sum(), rel=0.05)  # cells of one sampled row have no spread to stretch


def test_train_msd_is_honest() -> None:
    x = np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float32)
    model = seen(x, hyper(k=20, feature_dim=8, mini_batch_size=500), batch=500).finalise()
    # 8000 sampled rows, 400 for each centre: their own msd is too small by about one part in 400, and chance.
    assert model.metrics["msd"] == pytest.approx(msd(x, model.centroids), rel=0.01)


def test_more_from_one_state() -> None:
    x = blobs(3000, k=12)
    arrays, values = seen(x, hyper(k=4)).snapshot()
    losses = [ALGORITHM.restore(hyper(k=k), arrays, values).finalise().metrics["msd"] for k in (4, 8, 12, 40)]
    assert losses == sorted(losses, reverse=True)
    assert losses[2] < 4  # the twelve clusters that are there
    with pytest.raises(UserError, match="got k=41, expected at most 40"):
        ALGORITHM.restore(hyper(k=41), arrays, values)


@pytest.mark.parametrize(
    ("k", "factor"), [(1, 10), (8, 10), (10, 10), (100, 10), (400, 10), (500, 8), (1000, 4), (5000, 4)]
)
def test_automatic_center_factor(k: int, factor: int) -> None:
    assert hyper(k=k).center_factor == factor
    assert hyper(k=k, extra_center_factor=3).center_factor == 3


def test_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    state = ALGORITHM.create(hyper(k=10, mini_batch_size=5000), np.random.default_rng(0))
    state.update(Batch(blobs(3218)))
    state.finalise()
    for line in (
        "'extra_center_factor' was set to 'auto', evaluated to 10.",
        "Batch size 5000 is bigger than the first batch data. Effective batch size used to initialize is 3218",
        "shrinking 100 centers into 10",
        "local kmeans attempt #0. Current mean square distance ",
        "local kmeans attempt #9. Current mean square distance ",
        "finished shrinking process. Mean Square Distance = ",
    ):
        assert any(message.startswith(line) for message in caplog.messages), line


# Model


def model(rows: Iterable[Iterable[float]] = ((0, 0), (3, 4))) -> KMeansModel:
    return KMeansModel(np.array(list(rows), np.float32), {"msd": 2.5}, {"k": 2})


def test_replies() -> None:
    found = model().predict(Batch(np.array([[0, 0], [3, 5], [-3, -4]], np.float32)))
    assert {name: column.dtype for name, column in found.items()} == {
        "closest_cluster": np.float32,
        "distance_to_cluster": np.float32,
    }
    np.testing.assert_array_equal(found["closest_cluster"], [0, 1, 0])
    np.testing.assert_array_equal(found["distance_to_cluster"], [0, 1, 5])
    assert [len(column) for column in model().predict(Batch(np.empty((0, 2), np.float32))).values()] == [0, 0]


def test_artifact_round_trip(tmp_path: Path) -> None:
    model().save(tmp_path, "algo-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model_algo-1"]
    np.testing.assert_array_equal(ndarrays.decode((tmp_path / "model_algo-1").read_bytes())[0][0], model().centroids)
    facts = json.loads((tmp_path / "model.json").read_text())
    assert (facts["algorithm"], facts["k"], facts["feature_dim"], facts["metrics"]) == ("kmeans", 2, 2, {"msd": 2.5})
    np.testing.assert_array_equal(load(tmp_path).centroids, model().centroids)


def test_an_artifact_made_elsewhere_needs_one_file(tmp_path: Path) -> None:
    (tmp_path / "model_algo-3").write_bytes(ndarrays.encode([model().centroids.astype(np.float64)]))
    for other in (".model_algo-1", "model.tar.gz", "model_algo-1.tar.gz", "state_1", "model.json"):
        (tmp_path / other).write_bytes(b"something else")
    assert load(tmp_path).feature_dim == 2
    assert load(tmp_path).centroids.dtype == np.float32


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "has no file model_<host>"),
        (b"PK", "model_algo-1: MXNet NDArray list: ends after 2 bytes"),
        (ndarrays.encode([]), r"got arrays of shapes \[\], expected one of \(k, feature_dim\)"),
        (ndarrays.encode([np.ones(3, np.float32)]), r"got arrays of shapes \[\(3,\)\]"),
        (ndarrays.encode([np.ones((0, 3), np.float32)]), "expected one of"),
        (ndarrays.encode([np.full((2, 3), np.nan, np.float32)]), "holds nan"),
        (ndarrays.encode([np.full((2, 3), 1e300)]), "nan or an infinite"),
    ],
)
def test_hostile_artifacts(tmp_path: Path, content: bytes | None, text: str) -> None:
    if content is not None:
        (tmp_path / "model_algo-1").write_bytes(content)
    with pytest.raises(UserError, match=text):
        load(tmp_path)


def test_evaluation() -> None:
    x = blobs(500, features=2)
    scores = ALGORITHM.evaluate(model(), hyper(feature_dim=2, eval_metrics='["msd","ssd"]'))
    other = ALGORITHM.evaluate(model(), hyper(feature_dim=2, eval_metrics='["msd","ssd"]'))
    assert np.isnan(scores.finalise()["msd"])
    scores.update(Batch(x[:123]))
    other.update(Batch(x[123:]))
    scores.merge(other)
    expected = msd(x, model().centroids)
    assert scores.finalise() == {"msd": pytest.approx(expected), "ssd": pytest.approx(500 * expected)}
    assert list(ALGORITHM.evaluate(model(), hyper(feature_dim=2)).finalise()) == ["msd"]


def test_every_hyperparameter_with_its_default() -> None:
    assert hyper().defaults() == {
        "mini_batch_size": "5000",
        "epochs": "1",
        "init_method": "random",
        "extra_center_factor": "auto",
        "half_life_time_size": "0",
        "local_lloyd_init_method": "kmeans++",
        "local_lloyd_max_iter": "300",
        "local_lloyd_num_trials": "auto",
        "local_lloyd_tol": "0.0001",
        "eval_metrics": '["msd"]',
        "force_dense": "true",
    }
