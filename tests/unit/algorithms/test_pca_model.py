"""PCA: projections, artifact and scores."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from algorithms.artifacts import ndarrays
from algorithms.pca import ALGORITHM
from algorithms.pca.model import PCAModel, load
from recordio.batch import Batch
from recordio.encoding import encode
from recordio.errors import UserError

MEAN = np.array([1, 2, 3], np.float32)
SINGULAR = np.array([3, 4], np.float32)
VECTORS = np.array([[0, 0.6], [1, 0], [0, 0.8]], np.float32)


def model(mean: np.ndarray | None = MEAN) -> PCAModel:
    return PCAModel(mean, SINGULAR, VECTORS, {"reconstruction_error": 0.5}, {"num_components": 2})


def test_projections() -> None:
    x = np.array([[1, 2, 3], [2, 4, 3], [1, 2, 8]], np.float32)
    (found,) = model().predict(Batch(x)).values()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0, 0], [2, 0.6], [0, 4]], atol=1e-6)
    (found,) = model(None).predict(Batch(x)).values()
    np.testing.assert_allclose(found, x @ VECTORS, rtol=1e-6)
    assert model().predict(Batch(np.empty((0, 3), np.float32)))["projection"].shape == (0, 2)


def test_one_component_gives_a_list_of_one() -> None:
    one = PCAModel(None, SINGULAR[1:], VECTORS[:, 1:])
    columns = one.predict(Batch(np.array([[5, 0, 0]], np.float32)))
    assert json.loads(encode(columns, "application/json", ALGORITHM.envelope)) == {
        "projections": [{"projection": [3.0]}]
    }
    assert encode(columns, "application/jsonlines") == b'{"projection":[3.0]}'


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_a_record_is_projected_the_same_in_any_company(features: int, components: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = PCAModel(
        rng.normal(100, 1, features).astype(np.float32),
        np.ones(components, np.float32),
        rng.normal(size=(features, components)).astype(np.float32),
    )
    x = (rng.normal(100, 1, (50, features)) * (rng.random((50, features)) < 0.5)).astype(np.float32)
    whole = known.predict(Batch(x))["projection"]
    for size in (1, 7):
        parts = [known.predict(Batch(x[start : start + size]))["projection"] for start in range(0, 50, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    # Sparse rows are summed in another order.
    np.testing.assert_allclose(known.predict(Batch(csr_array(x)))["projection"], whole, rtol=1e-5, atol=1e-4)


def test_the_mean_does_not_cancel_what_is_left() -> None:
    x = np.array([[1e6 + 1, 2e6, 3e6]], np.float32)
    far = PCAModel(np.array([1e6, 2e6, 3e6], np.float32), SINGULAR, VECTORS)
    np.testing.assert_allclose(far.predict(Batch(x))["projection"], [[0, 0.6]], atol=1e-6)


def test_artifact_round_trip(tmp_path: Path) -> None:
    model().save(tmp_path, "algo-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model_algo-1"]
    arrays, names = ndarrays.decode((tmp_path / "model_algo-1").read_bytes())
    assert [(name, array.shape, array.dtype) for name, array in zip(names, arrays, strict=True)] == [
        ("mean", (1, 3), np.float32),
        ("s", (2,), np.float32),
        ("v", (3, 2), np.float32),
    ]
    facts = json.loads((tmp_path / "model.json").read_text())
    assert (facts["algorithm"], facts["num_components"], facts["feature_dim"]) == ("pca", 2, 3)
    found = load(tmp_path)
    assert found.mean is not None
    np.testing.assert_array_equal(found.mean, MEAN)
    np.testing.assert_array_equal(found.singular, SINGULAR)
    np.testing.assert_array_equal(found.vectors, VECTORS)


def test_without_a_mean_there_is_none_in_the_artifact(tmp_path: Path) -> None:
    model(None).save(tmp_path, "algo-1")
    assert ndarrays.decode((tmp_path / "model_algo-1").read_bytes())[1] == ["s", "v"]
    assert load(tmp_path).mean is None


def test_an_artifact_made_elsewhere_needs_one_file(tmp_path: Path) -> None:
    arrays = [VECTORS.astype(np.float64), MEAN, SINGULAR]
    (tmp_path / "model_algo-3").write_bytes(ndarrays.encode(arrays, ["v", "mean", "s"]))
    for other in (".model_algo-1", "model.tar.gz", "model_algo-1.tar.gz", "state_1", "model.json"):
        (tmp_path / other).write_bytes(b"something else")
    found = load(tmp_path)
    assert (found.feature_dim, found.num_components, found.vectors.dtype) == (3, 2, np.float32)
    np.testing.assert_array_equal(found.mean, MEAN)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        (None, "has no file model_<host>"),
        ({}, r"model_algo-1: got arrays \{\}, expected v \(feature_dim, num_components\) and s"),
        ({"v": VECTORS}, r"got arrays \{'v': \(3, 2\)\}, expected v"),
        ({"v": MEAN, "s": SINGULAR}, r"got arrays \{'v': \(3,\), 's': \(2,\)\}, expected v"),
        ({"v": np.ones((0, 2), np.float32), "s": SINGULAR}, "expected v"),
        ({"v": VECTORS, "s": MEAN}, r"expected s \(num_components,\) and mean \(1, feature_dim\) as v has them"),
        ({"v": VECTORS, "s": SINGULAR, "mean": SINGULAR}, "expected s"),
        ({"v": VECTORS, "s": SINGULAR, "mean": np.full(3, np.nan, np.float32)}, "nan or an infinite value"),
        ({"v": np.full((3, 2), 1e300), "s": SINGULAR}, "nan or an infinite value"),
    ],
)
def test_hostile_artifacts(tmp_path: Path, arrays: dict[str, np.ndarray] | None, text: str) -> None:
    if arrays is not None:
        (tmp_path / "model_algo-1").write_bytes(ndarrays.encode(list(arrays.values()), list(arrays)))
    with pytest.raises(UserError, match=text):
        load(tmp_path)


def test_arrays_without_names(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").write_bytes(ndarrays.encode([MEAN, SINGULAR, VECTORS]))
    with pytest.raises(UserError, match="model_algo-1: got arrays"):
        load(tmp_path)


@pytest.mark.parametrize("mean", [MEAN, None], ids=["mean", "no mean"])
def test_evaluation(mean: np.ndarray | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("algorithms.pca.model.TILE_VALUES", 100)
    x = np.random.default_rng(0).normal(1, 2, (500, 3)).astype(np.float32)
    settings = ALGORITHM.hyperparameters.from_strings({"feature_dim": 3, "num_components": 2, "mini_batch_size": 9})
    one, other = ALGORITHM.evaluate(model(mean), settings), ALGORITHM.evaluate(model(mean), settings)
    assert all(np.isnan(value) for value in one.finalise().values())
    one.update(Batch(x[:123]))
    other.update(Batch(csr_array(x[123:])))
    one.merge(other)
    rows = x.astype(np.float64) - (0 if mean is None else mean)
    lost = rows - rows @ VECTORS @ VECTORS.T
    assert one.finalise() == {
        "explained_variance_ratio": pytest.approx(1 - np.square(lost).sum() / np.square(rows).sum()),
        "reconstruction_error": pytest.approx(np.square(lost).sum() / 500),
    }
