"""Replies of the server: scores, selectable inference for each objective and key, outputs by name, ensembles."""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal

import recordio
from algorithms.xgboost import ALGORITHM
from algorithms.xgboost.answers import KEYS, OFFERED
from algorithms.xgboost.model import XGBoostModel, load
from recordio.errors import UserError
from recordio.protobuf import Record
from serving.inference import Inference
from serving.settings import Settings
from tests.unit.algorithms.boosters import CLASSES, FEATURES, records, trained

JSON, LINES, CSV, RECORDIO = "application/json", "application/jsonlines", "text/csv", "application/x-recordio-protobuf"
ROWS = records(7, 6)
KINDS = {"multi:softprob": "classes", "multi:softmax": "softmax"}


def body() -> bytes:
    """CSV, an empty cell where a value is missing."""
    lines = (",".join("" if np.isnan(value) else repr(float(value)) for value in row) for row in ROWS)
    return "\n".join(lines).encode()


def model(folder: Path, *kinds: str) -> XGBoostModel:
    XGBoostModel(tuple(trained(KINDS.get(kind, kind)) for kind in kinds)).save(folder, "algo-1")
    return load(folder)


def ask(
    served: XGBoostModel, accept: str | None = None, sent: bytes | None = None, kind: str = CSV, **variables: str
) -> Any:
    """The reply: as text, or as the columns of its records."""
    inference = Inference.of(ALGORITHM, Settings(variables=variables))
    reply = inference.reply(served, body() if sent is None else sent, kind, accept)
    if reply.content_type == CSV:
        return reply.body.decode()
    if reply.content_type == RECORDIO:
        labels = [Record.FromString(payload).label for payload in recordio.records(reply.body)]
        return [{name: list(one[name].float32_tensor.values) for name in one} for one in labels]
    if reply.content_type == LINES:
        return [json.loads(line) for line in reply.body.decode().split("\n")]
    return json.loads(reply.body)["predictions"]


def predicted(kind: str, **what: bool) -> Any:
    return trained(KINDS.get(kind, kind)).predict(xgboost.DMatrix(ROWS), validate_features=False, **what)


def test_scores_in_every_form(tmp_path: Path) -> None:
    served, expected = model(tmp_path, "binary:logistic"), predicted("binary:logistic")
    assert ask(served) == "".join(f"{score!r}\n" for score in expected.tolist())
    assert ask(served, JSON) == ask(served, LINES) == [{"score": score} for score in expected.tolist()]
    assert ask(served, RECORDIO) == [{"score": [score]} for score in expected.tolist()]
    assert ask(served, "*/*") == ask(served, "text/csv; charset=utf-8") == ask(served)


def test_probabilities_of_classes(tmp_path: Path) -> None:
    served, expected = model(tmp_path, "multi:softprob"), predicted("multi:softprob")
    assert ask(served) == "".join(",".join(map(repr, row)) + "\n" for row in expected.tolist())
    assert ask(served, JSON) == [{"score": row} for row in expected.tolist()]
    lines = "".join(f"{row}\n" for row in expected.tolist())
    for accept in (None, JSON, LINES):
        assert ask(served, accept, SAGEMAKER_BATCH="true") == lines


def test_a_recordio_reply_grows_with_its_records_only(tmp_path: Path) -> None:
    """The original's frames hold all earlier records, too."""
    inference, served = Inference.of(ALGORITHM, Settings()), model(tmp_path, "trees")
    one = len(inference.reply(served, b"1,2,3,4,5", CSV, RECORDIO).body)
    assert len(inference.reply(served, b"1,2,3,4,5\n" * 50, CSV, RECORDIO).body) == 50 * one


@pytest.mark.parametrize("kind", [CSV, "text/libsvm", JSON, LINES, RECORDIO])
def test_missing_values_of_every_request(tmp_path: Path, kind: str) -> None:
    served, expected = model(tmp_path, "trees"), predicted("trees")
    null = [[None if np.isnan(value) else float(value) for value in row] for row in ROWS]
    dense, instances = io.BytesIO(), [{"features": row} for row in null]
    recordio.write_dense(dense, ROWS)
    entries = (" ".join(f"{at}:{value!r}" for at, value in enumerate(row) if value is not None) for row in null)
    sent = {
        CSV: body(),
        "text/libsvm": "\n".join(f"1 {row}" for row in entries).encode(),
        JSON: json.dumps({"instances": instances}).encode(),
        LINES: "\n".join(map(json.dumps, instances)).encode(),
        RECORDIO: dense.getvalue(),
    }
    assert [one["score"] for one in ask(served, JSON, sent[kind], kind)] == expected.tolist()


def test_libsvm_stands_for_text_that_names_no_type(tmp_path: Path) -> None:
    served = model(tmp_path, "trees")
    inference = Inference.of(ALGORITHM, Settings())
    for kind in (None, "libsvm", "text/x-libsvm", "text/libsvm"):
        reply = inference.reply(served, b"1 0:0.5 2:1\n0 1:3\n", kind, None)
        row = np.array([[0.5, np.nan, 1, np.nan, np.nan], [np.nan, 3, np.nan, np.nan, np.nan]], np.float32)
        assert reply.body.decode().split() == list(map(repr, trained("trees").predict(xgboost.DMatrix(row)).tolist()))
    with pytest.raises(UserError, match="record 0: got '5:1', expected an index of 0 to 4"):
        inference.reply(served, b"1 5:1\n", None, None)


WANTED = {  # by the public interface, from predictions of the library
    "predicted_label": {
        "binary:logistic": lambda p: int(p > 0.5),
        "binary:logitraw": lambda p: int(p > 0),
        "binary:hinge": lambda p: p,
        "multi:softmax": lambda p: p,
        "multi:softprob": lambda p: int(np.argmax(p)),
    },
    "labels": {
        **dict.fromkeys(("binary:logistic", "binary:logitraw", "binary:hinge"), lambda p: [0, 1]),
        **dict.fromkeys(("multi:softmax", "multi:softprob"), lambda p: list(range(CLASSES))),
    },
    "probability": {"binary:logistic": lambda p: p, "multi:softprob": max},
    "probabilities": {"binary:logistic": lambda p: [1 - p, p], "multi:softprob": lambda p: p},
    "raw_score": {
        **dict.fromkeys(("binary:logistic", "binary:logitraw", "binary:hinge", "multi:softmax"), lambda p: p),
        "multi:softprob": max,
    },
    "raw_scores": {
        **dict.fromkeys(("binary:logistic", "binary:logitraw", "binary:hinge", "multi:softmax"), lambda p: [1 - p, p]),
        "multi:softprob": lambda p: p,
    },
    "predicted_score": dict.fromkeys(
        ("reg:squarederror", "reg:logistic", "reg:gamma", "reg:absoluteerror", "reg:tweedie"), lambda p: p
    ),
}


@pytest.mark.parametrize("objective", OFFERED)
def test_selectable_inference(tmp_path: Path, objective: str) -> None:
    served = model(tmp_path, objective)
    keys = ("nonsense", *reversed(KEYS))
    asked = {"SAGEMAKER_INFERENCE_OUTPUT": f" {', '.join(keys).upper()},,nonsense"}
    wanted = [
        {key: WANTED[key][objective](score) if objective in WANTED.get(key, {}) else None for key in keys}
        for score in predicted(objective).tolist()
    ]
    for accept in (JSON, LINES):
        got = ask(served, accept, **asked)
        assert [list(one) for one in got] == [[*KEYS, "nonsense"]] * len(ROWS)
        for one, other in zip(got, wanted, strict=True):
            assert {
                key: None if isinstance(value, float) and np.isnan(value) else value for key, value in one.items()
            } == other
    for line, other in zip(csv.reader(io.StringIO(ask(served, CSV, **asked))), wanted, strict=True):
        assert line == ["nan" if other[key] is None else str(other[key]) for key in keys]
    for one, other in zip(ask(served, RECORDIO, **asked), wanted, strict=True):
        for key in keys:
            assert_allclose(one[key], np.ravel(np.nan if other[key] is None else other[key]), rtol=1e-6)  # float32


def test_the_csv_of_selectable_inference(tmp_path: Path) -> None:
    served, keys = model(tmp_path, "binary:logistic"), {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label,probabilities"}
    lines = [f'{int(p > 0.5)},"[{1 - p!r}, {p!r}]"' for p in predicted("binary:logistic").tolist()]
    assert ask(served, None, **keys) == "\n".join(lines)
    assert ask(served, None, **keys, SAGEMAKER_BATCH="true") == "\n".join(lines) + "\n"


def test_keys_that_are_none_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Inference.of(ALGORITHM, Settings(variables={"SAGEMAKER_INFERENCE_OUTPUT": "labels,sense"}))
    assert "SAGEMAKER_INFERENCE_OUTPUT: sense will be NaN" in caplog.text


@pytest.mark.parametrize("objective", ["count:poisson", "rank:ndcg", "survival:cox"])
def test_other_objectives_have_no_selectable_inference(tmp_path: Path, objective: str) -> None:
    with pytest.raises(UserError, match=f"^Objective `{objective}` unsupported for selectable inference predictions"):
        ask(model(tmp_path, objective), SAGEMAKER_INFERENCE_OUTPUT="predicted_score")


@pytest.mark.parametrize("accept", [CSV, JSON, LINES, RECORDIO])
@pytest.mark.parametrize(
    ("output", "what"),
    [
        ("margin", {"output_margin": True}),
        ("contributions", {"pred_contribs": True}),
        ("interactions", {"pred_interactions": True}),
        ("leaf", {"pred_leaf": True}),
    ],
)
def test_outputs_by_name(tmp_path: Path, output: str, what: dict[str, bool], accept: str) -> None:
    served, expected = model(tmp_path, "multi:softprob"), predicted("multi:softprob", **what)
    got = ask(served, f"{accept}; output={output}")
    if accept == CSV:
        assert got.endswith("\n")
        found: Any = [list(map(float, line.split(","))) for line in got.splitlines()]
    else:
        found = [one[output] for one in got]
    assert_array_equal(found, expected if accept in (JSON, LINES) else expected.reshape(len(ROWS), -1))


def test_an_output_of_an_ensemble_or_its_first(tmp_path: Path) -> None:
    served = model(tmp_path, "binary:logistic", "names")
    each = [predicted(kind, pred_contribs=True) for kind in ("binary:logistic", "names")]
    accept = f"{JSON}; output=contributions"
    got = [one["contributions"] for one in ask(served, accept)]
    assert_allclose(got, np.mean(each, axis=0), atol=1e-6)  # ours are summed in doubles
    first = [one["contributions"] for one in ask(served, accept, SAGEMAKER_INFERENCE_ENSEMBLE="False")]
    assert_array_equal(first, each[0])


def test_an_ensemble_or_its_first(tmp_path: Path) -> None:
    served = model(tmp_path, "binary:logistic", "names")
    each = [predicted(kind) for kind in ("binary:logistic", "names")]
    for variables, expected in (({}, np.mean(each, axis=0)), ({"SAGEMAKER_INFERENCE_ENSEMBLE": "false"}, each[0])):
        assert_allclose([one["score"] for one in ask(served, JSON, **variables)], expected, atol=1e-7)
    with pytest.raises(UserError, match="SAGEMAKER_INFERENCE_ENSEMBLE: got 'maybe', expected true or false"):
        ask(served, SAGEMAKER_INFERENCE_ENSEMBLE="maybe")


@pytest.mark.parametrize("output", ["interactions", "leaf"])
def test_outputs_that_a_linear_booster_has_not(tmp_path: Path, output: str) -> None:
    served = model(tmp_path, "linear")
    with pytest.raises(UserError, match="gblinear"):
        ask(served, f"{JSON}; output={output}")
    assert len(ask(served, f"{JSON}; output=contributions")[0]["contributions"]) == CLASSES


def test_no_records_have_all_columns(tmp_path: Path) -> None:
    served = model(tmp_path, "multi:softprob")
    for accept in (JSON, f"{JSON}; output=leaf", f"{JSON}; output=interactions"):
        assert ask(served, accept, b'{"instances":[]}', JSON) == []
    assert ask(served, JSON, b'{"instances":[]}', JSON, SAGEMAKER_INFERENCE_OUTPUT="labels,probability") == []
    assert served.feature_dim == FEATURES
