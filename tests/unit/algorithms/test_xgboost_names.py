"""Names of features: from the columns of Parquet to the booster, and on to those that go on from it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import recordio
from algorithms.xgboost import ALGORITHM
from algorithms.xgboost.model import XGBoostModel, load
from recordio.batch import Batch
from tests.contract.cases import learn

ROWS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
LABELS = ROWS[:, 0] * 2


def batches(*names: str, size: int = 25) -> list[Batch]:
    """Records as a channel reads them from a file with such columns."""
    columns = dict(zip(("y", *names), (LABELS, *ROWS.T), strict=True))
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file, row_group_size=20)
    return list(recordio.batches(file.getvalue(), "application/x-parquet", size, label_size=1))


def learned(some: list[Batch], earlier: XGBoostModel | None = None) -> XGBoostModel:
    settings = ALGORITHM.hyperparameters.from_strings({"num_round": "2", "nthread": "1"})
    assert ALGORITHM.adopt is not None
    state: Any = (
        ALGORITHM.create(settings, np.random.default_rng(0)) if earlier is None else ALGORITHM.adopt(settings, earlier)
    )
    learn(state, some)
    model = state.finalise()
    assert isinstance(model, XGBoostModel)
    return model


def test_columns_give_their_names_to_batches_of_any_size() -> None:
    for size in (7, 20, 25, 100):
        found = batches("a", "b", "c", size=size)
        assert {batch.names for batch in found} == {("a", "b", "c")}
        assert found[0][2:5].names == ("a", "b", "c")
    lists = pa.table({"y": LABELS, "x": pa.array(ROWS.tolist())})
    file = io.BytesIO()
    parquet.write_table(lists, file)
    found = list(recordio.batches(file.getvalue(), "application/x-parquet", 10, label_size=1))
    assert {batch.names for batch in found} == {None}


def test_a_booster_has_the_names_of_its_columns(tmp_path: Path) -> None:
    learned(batches("a", "b", "c")).save(tmp_path, "algo-1")
    model = load(tmp_path)
    assert model.boosters[0].feature_names == ["a", "b", "c"]
    assert "a" in model.boosters[0].get_score()
    nameless = learned([Batch(ROWS, LABELS)])
    assert nameless.boosters[0].feature_names is None
    np.testing.assert_array_equal(model.predict(Batch(ROWS))["score"], nameless.predict(Batch(ROWS))["score"])


@pytest.mark.parametrize("then", [("a", "b", "c"), None, ("d", "e", "f")])
def test_names_of_a_model_that_goes_on(then: tuple[str, ...] | None) -> None:
    some = [Batch(ROWS, LABELS)] if then is None else batches(*then)
    model = learned(some, learned(batches("a", "b", "c")))
    assert model.boosters[0].num_boosted_rounds() == 4
    assert model.boosters[0].feature_names == list(then or ("a", "b", "c"))


def test_names_that_records_do_not_agree_on() -> None:
    model = learned([*batches("a", "b", "c"), *batches("a", "c", "b")])
    assert model.boosters[0].feature_names is None


def test_names_that_the_library_has_no_place_for() -> None:
    assert learned(batches("a", "b[0]", "c")).boosters[0].feature_names is None
