"""Boosters behind a real server: workers that fork after the library was loaded, several models, refused files."""

from __future__ import annotations

import csv
import io
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal

from algorithms.xgboost.model import XGBoostModel
from recordio import records as records_of
from recordio.protobuf import Record
from tests.contract.served import Reply, Served
from tests.unit.algorithms.boosters import records, trained

JSON = "application/json"
ROWS = np.nan_to_num(records(7, 200))
BODY = "\n".join(",".join(map(repr, row)) for row in ROWS.tolist()).encode()


def saved(folder: Path, *kinds: str) -> Path:
    folder.mkdir(parents=True)
    XGBoostModel(tuple(trained(kind) for kind in kinds)).save(folder, "algo-1")
    return folder


def scores(reply: Reply, name: str = "score") -> list[object]:
    assert reply.status == 200, reply
    return [one[name] for one in json.loads(reply.body)["predictions"]]


@pytest.mark.parametrize("kind", ["classes", "dart", "linear"])
def test_workers_that_forked_answer_at_once(tmp_path: Path, kind: str) -> None:
    expected = trained(kind).predict(xgboost.DMatrix(ROWS))
    contributions = trained(kind).predict(xgboost.DMatrix(ROWS), pred_contribs=True)
    workers = {"MODEL_SERVER_WORKERS": "2"}
    with Served("xgboost", saved(tmp_path / "model", kind), workers) as server, ThreadPoolExecutor(8) as clients:

        def ask(number: int) -> list[object]:
            output = "; output=contributions" if number % 2 else ""
            return scores(server.invoke(BODY, Accept=JSON + output), "contributions" if number % 2 else "score")

        for number, found in enumerate(clients.map(ask, range(32))):
            assert_array_equal(found, contributions if number % 2 else expected)


def test_several_models(tmp_path: Path) -> None:
    saved(tmp_path / "models" / "one" / "model", "binary:logistic")
    saved(tmp_path / "models" / "three" / "model", "binary:logistic", "names", "binary:logistic")
    each = {kind: trained(kind).predict(xgboost.DMatrix(ROWS), validate_features=False) for kind in
            ("binary:logistic", "names")}  # fmt: skip
    mean = (2 * each["binary:logistic"] + each["names"]) / 3
    with Served("xgboost", tmp_path / "models", {"SAGEMAKER_MULTI_MODEL": "true"}) as server:
        for name in ("one", "three"):
            url = str(tmp_path / "models" / name / "model")
            assert server.ask("POST", "/models", json.dumps({"model_name": name, "url": url})).status == 200
        for name, expected in (("one", each["binary:logistic"]), ("three", mean)):
            reply = server.invoke(BODY, path=f"/models/{name}/invoke", Accept=JSON)
            assert_allclose(scores(reply), expected, atol=1e-7)
        assert server.ask("DELETE", "/models/one").status == 200
        assert server.invoke(BODY, path="/models/one/invoke").status == 404


def test_classes_with_names(tmp_path: Path) -> None:
    booster, names = trained("classes").copy(), ["setosa, wild", 'the "blue" one', "鳶尾\nrosa"]
    booster.set_attr(class_names=json.dumps(names))
    (tmp_path / "model").mkdir()
    booster.save_model(tmp_path / "model" / "xgboost-model.json")
    expected = [names[best] for best in booster.predict(xgboost.DMatrix(ROWS)).argmax(axis=1)]
    assert set(expected) == set(names)
    asked = {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label,labels"}
    with Served("xgboost", tmp_path / "model", asked) as server:
        reply = server.invoke(BODY, Accept=JSON)
        assert (scores(reply, "predicted_label"), scores(reply, "labels")) == (expected, [names] * len(ROWS))
        lines = server.invoke(BODY, Accept="application/jsonlines").body.split(b"\n")
        assert [json.loads(line) for line in lines] == json.loads(reply.body)["predictions"]
        cells = csv.reader(io.StringIO(server.invoke(BODY, Accept="text/csv").body.decode(), newline=""))
        assert [(name, json.loads(all_names)) for name, all_names in cells] == [(name, names) for name in expected]
        body = server.invoke(BODY, Accept="application/x-recordio-protobuf").body
        found = [Record.FromString(payload).label["predicted_label"].bytes.value for payload in records_of(body)]
        assert [name.decode() for (name,) in found] == expected


def test_a_pickle_is_told_by_ping(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "xgboost-model").write_bytes(pickle.dumps(trained("trees")))
    with Served("xgboost", tmp_path / "model") as server:
        reply = server.get("/ping")
        assert reply.status == 503
        assert reply.error.startswith("unable to load model: xgboost-model: is a Python pickle")
        assert "onepass convert-model --trust" in server.invoke(BODY).error


def test_a_batch_transform(tmp_path: Path) -> None:
    expected = trained("names").predict(xgboost.DMatrix(ROWS), validate_features=False)
    with Served("xgboost", saved(tmp_path / "model", "names"), {"SAGEMAKER_BATCH": "true"}) as server:
        reply = server.invoke(BODY, Accept=JSON)
        assert (reply.status, reply.headers["content-type"]) == (200, "text/csv")
        assert reply.body.decode() == "".join(f"{score!r}\n" for score in expected.tolist())
