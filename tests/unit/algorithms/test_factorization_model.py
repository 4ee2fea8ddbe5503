"""The artifact of Factorization Machines, in both layouts, and its replies."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from algorithms.artifacts import ndarrays
from algorithms.factorization_machines.model import FactorizationMachine, load
from algorithms.factorization_machines.network import Network
from recordio.batch import Batch
from recordio.errors import UserError

FEATURES, FACTORS = 7, 3
META = {"training_parameters": {"feature_dim": FEATURES, "predictor_type": "regressor"}}


def model(network: Network = "sparse", task: str = "regressor", **changed: Any) -> FactorizationMachine:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(FEATURES, FACTORS)).astype(np.float32)
    linear = rng.normal(size=FEATURES).astype(np.float32)
    parts = {"factors": factors, "linear": linear, "bias": 0.25, "predictor_type": task, "network": network}
    return FactorizationMachine(**{**parts, **changed})


def some_records() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(20, FEATURES)).astype(np.float32)


def by_pairs(one: FactorizationMachine, x: np.ndarray) -> np.ndarray:
    """The definition, in double precision."""
    products = one.factors.astype(np.float64) @ one.factors.T
    x = x.astype(np.float64)
    pairs = np.einsum("ri,ij,rj->r", x, np.triu(products, 1), x)
    return (one.bias or 0) + x @ (np.zeros(FEATURES) if one.linear is None else one.linear) + pairs


def artifact(folder: Path, meta: Any = META, symbol: Any = None, **arrays: np.ndarray) -> Path:
    """What the original leaves, written with the standard library."""
    names = [f"arg:{name}" for name in arrays]
    with zipfile.ZipFile(folder / "model_algo-1", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("symbol.json", json.dumps(symbol or {}))
        archive.writestr("params", ndarrays.encode([np.float32(array) for array in arrays.values()], names))
        archive.writestr("meta.json", meta if isinstance(meta, bytes) else json.dumps(meta))
    return folder


def sparse_arrays() -> dict[str, np.ndarray]:
    one = model()
    return {"v": one.factors, "w1_weight": one.linear[:, None], "w0_weight": np.array([one.bias])}  # type: ignore[index]


def dense_arrays() -> dict[str, np.ndarray]:
    one = model()
    return {
        "v": one.factors.T,
        "Linear_Plus_Bias_weight": one.linear[None],  # type: ignore[index]
        "Linear_Plus_Bias_bias": np.array([one.bias]),
    }


@pytest.mark.parametrize("arrays", [sparse_arrays, dense_arrays])
def test_both_layouts_of_the_original_are_served(arrays: Any, tmp_path: Path) -> None:
    one, x = load(artifact(tmp_path, **arrays())), some_records()
    assert one.network == arrays.__name__.partition("_")[0]
    assert_allclose(one.predict(Batch(x))["score"], by_pairs(model(), x), rtol=1e-5, atol=1e-5)
    assert_array_equal(one.predict(Batch(csr_array(x)))["score"], one.predict(Batch(x))["score"])


@pytest.mark.parametrize("lacking", [{}, {"linear": None}, {"bias": None}, {"linear": None, "bias": None}], ids=str)
@pytest.mark.parametrize("network", ["sparse", "dense"])
def test_a_saved_model_gives_the_same_replies(network: Network, lacking: dict[str, Any], tmp_path: Path) -> None:
    one = model(network, "binary_classifier", **lacking)
    one.save(tmp_path, "algo-1")
    again, x = load(tmp_path), some_records()
    assert (again.network, again.feature_dim, again.num_factors) == (network, FEATURES, FACTORS)
    for name, column in one.predict(Batch(x)).items():
        assert_array_equal(again.predict(Batch(x))[name], column)


@pytest.mark.parametrize("network", ["sparse", "dense"])
def test_names_and_shapes_are_those_of_the_original(network: Network, tmp_path: Path) -> None:
    model(network).save(tmp_path, "algo-1")
    with zipfile.ZipFile(tmp_path / "model_algo-1") as archive:
        assert archive.namelist() == ["symbol.json", "params", "meta.json"]
        arrays, names = ndarrays.decode(archive.read("params"))
        training = json.loads(archive.read("meta.json"))["training_parameters"]
    expected = sparse_arrays() if network == "sparse" else dense_arrays()
    assert names == [f"arg:{name}" for name in expected]
    for array, other in zip(arrays, expected.values(), strict=True):
        assert_array_equal(array, other.astype(np.float32))
    assert (training["feature_dim"], training["predictor_type"]) == (FEATURES, "regressor")


def test_replies_of_a_classifier() -> None:
    one, x = model(task="binary_classifier"), some_records()
    margins = by_pairs(one, x)
    found = one.predict(Batch(x))
    assert list(found) == ["score", "predicted_label"]
    assert_allclose(found["score"], 1 / (1 + np.exp(-margins)), rtol=1e-4)
    assert_array_equal(found["predicted_label"], found["score"] >= 0.5)
    assert {0, 1} == set(found["predicted_label"].tolist())
    nothing = one.predict(Batch(np.zeros((1, FEATURES), np.float32)))
    assert one.bias and nothing["score"] > 0.5
    even = model(task="binary_classifier", bias=None).predict(Batch(np.zeros((1, FEATURES), np.float32)))
    assert (even["score"].tolist(), even["predicted_label"].tolist()) == ([0.5], [1])


def test_the_network_tells_the_task_where_the_meta_data_do_not(tmp_path: Path) -> None:
    symbol = {"nodes": [{"op": "null", "name": "data"}, {"op": "LogisticRegressionOutput", "name": "out"}]}
    one = load(artifact(tmp_path, {}, symbol, **sparse_arrays()))
    assert one.predictor_type == "binary_classifier"


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no factors": (META, {"v": None}, "params: expected an array arg:v"),
    "flat factors": (META, {"v": np.ones(5)}, "expected an array arg:v with features and factors"),
    "few weights": (META, {"w1_weight": np.ones((3, 1))}, r"got weights of shape \(3, 1\) with 7 features, expected 7"),
    "two biases": (META, {"w0_weight": np.ones(2)}, r"got bias of shape \(2,\) with 7 features, expected 1"),
    "nan": (META, {"v": np.full((7, 3), np.nan)}, "a weight is nan or infinite"),
    "infinite bias": (META, {"w0_weight": np.array([np.inf])}, "a weight is nan or infinite"),
    "no task": ({}, {}, "meta.json: got predictor_type 'None', expected one of binary_classifier, regressor"),
    "odd task": ({"training_parameters": {"predictor_type": ["x"]}}, {}, "meta.json: got predictor_type"),
    "a list": ([], {}, "meta.json: got a list, expected an object"),
    "no JSON": (b"{", {}, "meta.json is no JSON"),
    "deep": (b"[" * 100_000, {}, "meta.json is no JSON"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_artifacts_that_are_none(fault: str, tmp_path: Path) -> None:
    meta, changed, message = WRONG[fault]
    arrays = {name: array for name, array in (sparse_arrays() | changed).items() if array is not None}
    with pytest.raises(UserError, match=f"model_algo-1: .*{message}"):
        load(artifact(tmp_path, meta, **arrays))
