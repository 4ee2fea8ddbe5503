"""Checks: what is told of records that are not such as the algorithm takes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy.sparse import csr_array

import recordio
from tests.unit.entrypoint.conftest import Base, record_bytes
from tests.unit.entrypoint.reading import LABELLED, channel, dense, error_of, rows

RECORDIO = "application/x-recordio-protobuf"
NO_NUMBERS = "Unable to read data channel 'train'. "


def test_another_width(base: Base) -> None:
    base.file("train/a", b"1,2,3\n")
    assert error_of(lambda: rows(channel(base))) == (
        "Incorrect configuration or train dataset provided. The value of feature_dim hyperparameter '2' doesn't match "
        "train data dimensionality '3'. Please set feature_dim to the number of features in train dataset. "
        "The first 0 columns were read as labels; text/csv;label_size=N says another number. | None"
    )
    base.file("train/a", b"1,2\n")
    base.file("train/b", b"1,2,3\n")
    assert "record 1: got 3 features, expected 2" in error_of(lambda: rows(channel(base)))
    (base.data / "train/a").unlink()
    assert rows(channel(base, width=None)) == [[1, 2, 3]]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "missing (NaN)"), (np.inf, "infinite floating point"), (-np.inf, "infinite")]
)
def test_values_that_are_no_numbers(base: Base, value: float, what: str, sparse: bool) -> None:
    table = np.ones((50, 2), np.float32)
    table[37, 1] = value
    file = io.BytesIO()
    if sparse:
        recordio.write_sparse(file, csr_array(table))
    else:
        recordio.write_dense(file, table)
    base.file("train/a", file.getvalue())
    text = error_of(lambda: rows(channel(base, RECORDIO)))
    assert text.startswith(f"{NO_NUMBERS}Found {what}") and "Please remove any" in text
    assert "The first is at record 37, feature 1." in text


def test_missing_values_where_they_are_welcome(base: Base) -> None:
    base.file("train/a", b"1,\n")
    (row,) = rows(channel(base, missing=True))
    assert row[0] == 1 and np.isnan(row[1])
    base.file("train/a", b",inf\n")
    assert "Found infinite" in error_of(lambda: rows(channel(base, missing=True)))


@pytest.mark.parametrize("value", [3e38, -3e38, 1e-45])
def test_large_values_whose_sum_overflows_are_numbers(base: Base, value: float) -> None:
    table = np.full((100, 2), value, np.float32)
    table[::3] *= -1
    base.file("train/a", record_bytes(table))
    (batch,) = channel(base, RECORDIO).batches(100)
    assert np.array_equal(dense(batch), table)


def test_sparse_records(base: Base) -> None:
    table = np.array([[0, 2], [3, 0]], np.float32)
    file = io.BytesIO()
    recordio.write_sparse(file, csr_array(table))
    base.file("train/a", file.getvalue())
    (kept,) = channel(base, RECORDIO, sparse=True).batches(9)
    assert not isinstance(kept.features, np.ndarray)
    assert rows(channel(base, RECORDIO)) == kept.features.toarray().tolist() == table.tolist()


def test_dense_batches_keep_what_stands_beside(base: Base) -> None:
    base.file("train/a", b"1:0.5 qid:7 1:1\n")
    (batch,) = channel(base, "text/libsvm", **{**LABELLED, "sparse": False}).batches(10)
    assert (dense(batch).tolist(), batch.labels, batch.weights, batch.groups) == ([[0, 1]], [1], [0.5], [7])


@pytest.mark.parametrize("weight", [b"-1", b"nan", b"", b"inf"])
def test_weights_that_are_none(base: Base, weight: bytes) -> None:
    base.file("train/a", b"1,0,7,8\n2," + weight + b",9,1\n")
    found = error_of(lambda: list(channel(base, "text/csv", weighted=True, **LABELLED).batches(1)))
    value = weight.decode() or "nan"
    assert f"Got weight {value} of record 1, expected a finite number of at least 0." in found


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("text/csv", b"1,7,8\n,9,1\n"), (RECORDIO, record_bytes(np.ones((2, 2)))), ("text/libsvm", b"1 0:1\nnan 0:1\n")],
)
def test_labels_that_are_missing(base: Base, content_type: str, body: bytes) -> None:
    base.file("train/a", body)
    found = error_of(lambda: list(channel(base, content_type, **LABELLED).batches(1)))
    record = 0 if content_type == RECORDIO else 1
    assert (
        f"Got input data without labels. Each record needs a label; the first one without is record {record}." in found
    )
    assert ("The label stands before the features." in found) == (content_type == "text/csv")
