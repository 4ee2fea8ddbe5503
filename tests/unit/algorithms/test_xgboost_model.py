"""Predictions are the library's own to the bit, however records come, of one booster or several."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from algorithms.xgboost.model import XGBoostModel, averaged, load, voted
from recordio import decode
from recordio.batch import Batch
from recordio.errors import UserError
from tests.unit.algorithms.boosters import CLASSES, FEATURES, KINDS, OBJECTIVES, records, trained

ROOT = Path(__file__).parents[3]
Told = Callable[[XGBoostModel, Batch], Any]


def saved(folder: Path, *boosters: xgboost.Booster) -> XGBoostModel:
    XGBoostModel(boosters).save(folder, "algo-1")
    return load(folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sparse(rows: Any) -> csr_array[Any]:
    """With no entry where a value is missing."""
    there = ~np.isnan(rows)
    ends = np.cumsum([0, *there.sum(axis=1)])
    return csr_array((rows[there], np.nonzero(there)[1].astype(np.int32), ends), shape=rows.shape)


def test_the_public_files(tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    second.mkdir()
    XGBoostModel((trained("trees"),)).save(first, "algo-1")
    assert names(first) == [".model.json", "xgboost-model"]
    XGBoostModel((trained("trees"), trained("trees"))).save(second, "algo-1")
    assert names(second) == [".model.json", "xgboost-model-0", "xgboost-model-1"]
    opened = xgboost.Booster()
    opened.load_model(first / "xgboost-model")
    assert opened.get_dump() == trained("trees").get_dump()


@pytest.mark.parametrize("kind", [*KINDS, *OBJECTIVES])
def test_predictions_are_the_librarys(tmp_path: Path, kind: str) -> None:
    rows = records(7)
    if kind == "categories":
        rows[:, 1] = np.random.default_rng(7).integers(8, size=len(rows))  # two that training never met
    expected = trained(kind).predict(xgboost.DMatrix(rows), validate_features=False)
    model = saved(tmp_path, trained(kind))
    for table in (rows, rows.astype(np.float64), sparse(rows), rows[:, ::-1].copy()[:, ::-1]):
        for size in (1, 7, 64, 65, len(rows)):
            parts = [model.predict(Batch(table[start : start + size]))["score"] for start in range(0, len(rows), size)]
            assert_array_equal(np.concatenate(parts), expected)
    assert expected.dtype == model.predict(Batch(rows))["score"].dtype == np.float32
    assert model.predict(Batch(rows[:0]))["score"].shape == (0, *expected.shape[1:])


@pytest.mark.parametrize("kind", ["trees", "names", "classes", "dart", "linear", "forest", "targets"])
def test_what_else_is_told_of_a_record(tmp_path: Path, kind: str) -> None:
    """SHAP values and pairs of them add up to the margin, which is the library's."""
    rows = Batch(records(7, 40))
    model = saved(tmp_path, trained(kind))
    margin = model.margin(rows)
    matrix = xgboost.DMatrix(rows.features)
    assert_array_equal(margin, trained(kind).predict(matrix, output_margin=True, validate_features=False))
    shape = (40, FEATURES + 1) if model.outputs == 1 else (40, model.outputs, FEATURES + 1)
    contributions = model.contributions(rows)
    assert contributions.shape == shape
    assert_allclose(contributions.sum(axis=-1), margin, atol=1e-5)  # sums of single floats, of a size of one
    if kind == "linear":
        for tell in (XGBoostModel.interactions, XGBoostModel.leaves):
            with pytest.raises(UserError, match="gblinear"):
                tell(model, rows)
        return
    interactions = model.interactions(rows)
    assert interactions.shape == (*shape, FEATURES + 1)
    assert_allclose(interactions.sum(axis=-1), contributions, atol=1e-5)
    leaves = model.leaves(rows)
    assert leaves.dtype == np.int32
    assert leaves.shape == (40, model.trees) == (40, len(trained(kind).get_dump()))


def test_the_best_rounds_predict(tmp_path: Path) -> None:
    rows = records(7)
    booster = trained("trees").copy()
    booster.set_attr(best_iteration="1")
    expected = booster.predict(xgboost.DMatrix(rows), iteration_range=(0, 2))
    assert_array_equal(saved(tmp_path, booster).predict(Batch(rows))["score"], expected)
    for other in ("7", "-1", "x", ""):
        booster.set_attr(best_iteration=other)
        model = saved(tmp_path, booster)
        assert_array_equal(model.predict(Batch(rows))["score"], trained("trees").predict(xgboost.DMatrix(rows)))


def other(kind: str, seed: int) -> xgboost.Booster:
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES if "num_class" in KINDS.get(kind, {}) else 2, size=300)
    settings = {"nthread": 1, **KINDS.get(kind, {"objective": kind})}
    return xgboost.train(settings, xgboost.DMatrix(records(seed), labels), 2)


@pytest.mark.parametrize("kind", ["trees", "classes", "dart", "names"])
def test_several_boosters_are_averaged(tmp_path: Path, kind: str) -> None:
    rows = records(7)
    boosters = [trained(kind), other(kind, 3), other(kind, 4)]
    model = saved(tmp_path, *boosters)
    each = [booster.predict(xgboost.DMatrix(rows), validate_features=False) for booster in boosters]
    assert_allclose(
        model.predict(Batch(rows))["score"], np.mean(each, axis=0), rtol=1e-6, atol=1e-7
    )  # ours are summed in doubles
    assert_array_equal(model.first.predict(Batch(rows))["score"], each[0])
    assert_allclose(model.contributions(Batch(rows)).sum(axis=-1), model.margin(Batch(rows)), atol=1e-5)
    assert model.leaves(Batch(rows)).shape == (len(rows), model.trees)


@pytest.mark.parametrize("kind", ["softmax", "binary:hinge"])
def test_classes_are_voted_record_by_record(tmp_path: Path, kind: str) -> None:
    rows = records(7)
    boosters = [trained(kind), other(kind, 3), other(kind, 4)]
    each = np.stack([booster.predict(xgboost.DMatrix(rows)) for booster in boosters]).astype(int)
    expected = [np.bincount(votes).argmax() for votes in each.T]
    score = saved(tmp_path, *boosters).predict(Batch(rows))["score"]
    assert score.shape == (len(rows),) and len(set(score)) > 1
    assert_array_equal(score, expected)


def test_equal_votes_go_to_the_smallest_class() -> None:
    votes = np.array([[2, 0, 1], [1, 0, 2], [0, 2, 1], [1, 2, 2]], np.float32)
    assert_array_equal(voted(list(votes)), [1, 0, 1])
    assert_array_equal(averaged([votes[0]]), votes[0])


def test_libsvm_is_read_as_in_training(tmp_path: Path) -> None:
    """Zero-based and never shifted, also where no record has feature 0; last features may be absent."""
    model = saved(tmp_path, trained("trees"))
    rows = np.full((2, FEATURES), np.nan, np.float32)
    rows[0, 1:3], rows[1, 2] = (0.5, -1), 2
    batch = decode(b"1:0.5 2:-1\n2:2\n", "text/libsvm", width=model.feature_dim)
    assert_array_equal(model.predict(batch)["score"], trained("trees").predict(xgboost.DMatrix(rows)))
    with pytest.raises(UserError, match="got '5:1', expected an index of 0 to 4"):
        decode(b"5:1\n", "text/libsvm", width=model.feature_dim)


@pytest.mark.parametrize("form", ["ubj", "json"])
def test_models_of_other_sources(tmp_path: Path, form: str) -> None:
    trained("classes").save_model(tmp_path / f"model.{form}")
    (tmp_path / f"model.{form}").rename(tmp_path / "any-name")
    (tmp_path / "model.tar.gz").write_bytes(b"no archive")
    (tmp_path / ".hidden").write_bytes(b"no model")
    (tmp_path / "code").mkdir()
    assert load(tmp_path).predict(Batch(records(7)))["score"].shape == (300, CLASSES)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="The model has no file xgboost-model"):
        load(tmp_path)
    (tmp_path / "xgboost-model").write_bytes(pickle.dumps(trained("trees")))
    with pytest.raises(
        UserError, match=r"^xgboost-model: is a Python pickle, which .*: `onepass convert-model --trust"
    ):
        load(tmp_path)
    XGBoostModel((trained("trees"),)).save(tmp_path, "algo-1")
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(UserError, match=r"^report.json: the model: has no learner"):
        load(tmp_path)
    (tmp_path / "report.json").write_bytes(trained("classes").save_raw("json"))
    with pytest.raises(UserError, match=r"xgboost-model and report.json can't be served together"):
        load(tmp_path)


def test_a_sentence_of_the_library_without_its_stack(tmp_path: Path) -> None:
    text = bytes(trained("trees").save_raw("json")).replace(b"reg:squarederror", b"reg:nothing")
    (tmp_path / "xgboost-model").write_bytes(text)
    with pytest.raises(UserError, match=r"^xgboost-model: Unknown objective function: `reg:nothing`") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value) and ".cc" not in str(caught.value)


def test_a_pickle_is_never_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "sprung"),)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "xgboost-model").write_bytes(pickle.dumps(Trap(), protocol))
        with pytest.raises(UserError):
            load(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_threads_ask_at_once(tmp_path: Path) -> None:
    model = saved(tmp_path, trained("classes"))
    rows = Batch(records(7))
    expected, margin = model.predict(rows)["score"], model.contributions(rows)
    found: list[bool] = []

    def ask() -> None:
        for _ in range(20):
            found.append(np.array_equal(model.predict(rows)["score"], expected))
            found.append(np.array_equal(model.contributions(rows), margin))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found) and len(found) == 160


def test_loading_leaves_no_threads_for_forks_to_lose(tmp_path: Path) -> None:
    saved(tmp_path, trained("forest"))
    program = f"""
import os, pathlib, xgboost
from algorithms.xgboost.model import load
before = len(os.listdir("/proc/self/task"))
load(pathlib.Path({str(tmp_path)!r}))
print(len(os.listdir("/proc/self/task")) - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "0"
