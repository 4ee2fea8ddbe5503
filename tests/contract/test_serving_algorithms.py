"""Every algorithm behind a real server: each content type in and out tells what the model itself predicts."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import recordio
from algorithms.contract import Arrays
from recordio.batch import Batch
from tests.contract.cases import CASES, Case, learn
from tests.contract.served import Served

RECORDS = 7
JSON, LINES, CSV, RECORDIO = "application/json", "application/jsonlines", "text/csv", "application/x-recordio-protobuf"


@dataclass(frozen=True)
class Subject:
    case: Case
    server: Served
    features: NDArray[Any]
    expected: Arrays


@pytest.fixture(scope="module", params=CASES, ids=str)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    case: Case = request.param
    algorithm = case.algorithm
    state = algorithm.create(algorithm.hyperparameters.from_strings(case.hyperparameters), np.random.default_rng(0))
    learn(state, [Batch(*case.records(500, 1))])
    folder = tmp_path_factory.mktemp(case.name) / "model"
    folder.mkdir()
    state.finalise().save(folder, "algo-1")
    # What local clients leave beside a model.
    (folder / "model.tar.gz").write_bytes(b"no archive")
    (folder / ".DS_Store").write_bytes(b"")
    features, _ = case.records(RECORDS, 2)
    expected = algorithm.load(folder).predict(Batch(features))
    with Served(case.name, folder, {"MODEL_SERVER_WORKERS": "1"}) as server:
        yield Subject(case, server, features, expected)


def requests(features: NDArray[Any]) -> dict[str, bytes]:
    rows = features.tolist()
    keys = list(range(features.shape[1]))
    framed = io.BytesIO()
    recordio.write_dense(framed, features)
    return {
        CSV: "\n".join(",".join(map(repr, row)) for row in rows).encode(),
        JSON: json.dumps({"instances": [{"features": row} for row in rows]}).encode(),
        LINES: "\n".join(json.dumps({"data": {"features": {"keys": keys, "values": row}}}) for row in rows).encode(),
        RECORDIO: framed.getvalue(),
    }


def columns(body: bytes, accept: str, subject: Subject) -> Arrays:
    """A reply as the columns it was made of."""
    names = list(subject.expected)
    if accept == CSV:
        widths = [column[0].size for column in subject.expected.values()]
        table = np.array([line.split(",") for line in body.decode().removesuffix("\n").split("\n")], np.float64)
        parts = np.split(table, np.cumsum(widths)[:-1], axis=1)
        return dict(zip(names, parts, strict=True))
    if accept == JSON:
        records = json.loads(body)[subject.case.algorithm.envelope]
    else:
        records = [json.loads(line) for line in body.decode().split("\n")]
    assert all(list(record) == names for record in records)
    return {name: np.array([record[name] for record in records]) for name in names}


@pytest.mark.parametrize("accept", [JSON, LINES, CSV])
@pytest.mark.parametrize("content_type", [CSV, JSON, LINES, RECORDIO])
def test_every_type_in_and_out(subject: Subject, content_type: str, accept: str) -> None:
    if accept not in subject.case.algorithm.reply_types:
        pytest.skip("not a reply of this algorithm")
    body = requests(subject.features)[content_type]
    reply = subject.server.invoke(body, content_type, Accept=accept)
    if content_type not in subject.case.algorithm.request_types:
        assert (reply.status, reply.error) == (415, f"content-type {content_type} not supported")
        return
    assert (reply.status, reply.headers["content-type"]) == (200, accept)
    for name, column in columns(reply.body, accept, subject).items():
        np.testing.assert_array_equal(column.reshape(RECORDS, -1), subject.expected[name].reshape(RECORDS, -1))


def test_recordio_reply(subject: Subject) -> None:
    reply = subject.server.invoke(requests(subject.features)[RECORDIO], RECORDIO, Accept=RECORDIO)
    assert (reply.status, reply.headers["content-type"]) == (200, RECORDIO)
    payloads = list(recordio.records(reply.body))
    assert len(payloads) == RECORDS
    for record, payload in enumerate(payloads):
        for name, column in subject.expected.items():
            assert name.encode() in payload
            assert column[record].astype("<f4").tobytes() in payload


def test_one_record_at_a_time_is_predicted_as_all_together(subject: Subject) -> None:
    together = subject.server.invoke(requests(subject.features)[JSON], JSON, Accept=LINES).body.split(b"\n")
    alone = [
        subject.server.invoke(requests(row[np.newaxis])[JSON], JSON, Accept=LINES).body for row in subject.features
    ]
    for one, other in zip(alone, together, strict=True):
        left, right = json.loads(one), json.loads(other)
        for name in left:
            # The order of a sum differs with the shape of the product.
            np.testing.assert_allclose(left[name], right[name], rtol=1e-5)


def test_wrong_width(subject: Subject) -> None:
    width = subject.case.width
    reply = subject.server.invoke(requests(np.ones((1, width + 1)))[RECORDIO], RECORDIO)
    expected = f"Unable to evaluate payload provided: record 0: got {width + 1} features, expected {width}"
    assert (reply.status, reply.error) == (400, expected)


def test_missing_values(subject: Subject) -> None:
    reply = subject.server.invoke(requests(np.full((1, subject.case.width), np.nan))[RECORDIO], RECORDIO)
    assert reply.status == (200 if subject.case.algorithm.missing else 400)
