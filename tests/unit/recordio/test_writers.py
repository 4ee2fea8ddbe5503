"""Writers: what independent readers make of the files, and what has no form there."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from pyarrow import parquet
from scipy.sparse import csr_array, csr_matrix, load_npz, random_array
from sklearn.datasets import load_svmlight_file

from recordio import (
    Batch,
    DataError,
    UnsupportedContentType,
    UserError,
    batches,
    number_lines,
    parquet_writers,
    writer,
    writers,
)
from recordio.content_types import CSV, JSON_LINES, LIBSVM, NPY, NPZ, PARQUET, RECORDIO

TYPES = (CSV, JSON_LINES, LIBSVM, NPY, NPZ, PARQUET, RECORDIO)
AWKWARD = [0.1, -0.0, 1.0, 1e-45, 3.4028235e38, 16777217, 1e10, 1.5e-7, 123456.7, -2.5, 1 / 3]
DENSE = np.array([AWKWARD, AWKWARD[::-1], [0.0] * len(AWKWARD)])
SPARSE = random_array((7, 2000), density=0.01, format="csr", rng=np.random.default_rng(1), dtype=np.float32)
ONE, TWO = [1.5, 2, 3], [[1, 2], [3, 4], [0.1, 5]]


def written(content_type: str, *some: Batch, **options: Any) -> bytes:
    file = io.BytesIO()
    with writer(file, content_type, **options) as out:
        for one in some:
            out.write(one)
    return file.getvalue()


def same(found: Any, expected: Any) -> None:
    """Equal to the bit, signs of zeros too."""
    assert_array_equal(found, expected)
    assert_array_equal(np.signbit(found) & ~np.isnan(expected), np.signbit(expected) & ~np.isnan(expected))


@pytest.fixture(params=["f4", "f8", ">f4", ">f8"])
def features(request: pytest.FixtureRequest) -> Any:
    return np.asfortranarray(DENSE.astype(request.param))


def parts(features: Any, labels: Any) -> tuple[Any, list[Batch]]:
    """The labels as columns, and the records in two batches."""
    targets = None if labels is None else np.array(labels, features.dtype)
    whole = Batch(features, targets)
    return np.empty((3, 0)) if targets is None else targets.reshape(3, -1), [whole[:2], whole[2:]]


@pytest.mark.parametrize("labels", [None, ONE, TWO])
def test_dense_csv(features: Any, labels: Any) -> None:
    columns, some = parts(features, labels)
    rows = list(csv.reader(written(CSV, *some).decode().splitlines()))
    same(np.array(rows, features.dtype), np.concatenate([columns, features], axis=1))


@pytest.mark.parametrize("labels", [None, ONE, TWO])
def test_dense_json_lines(features: Any, labels: Any) -> None:
    records = [json.loads(line) for line in written(JSON_LINES, *parts(features, labels)[1]).splitlines()]
    same(np.array([record.pop("features") for record in records], features.dtype), features)
    assert records == ([{}] * 3 if labels is None else [{"label": label} for label in labels])


@pytest.mark.parametrize("labels", [None, ONE, TWO])
def test_npy(features: Any, labels: Any) -> None:
    columns, some = parts(features, labels)
    found = np.load(io.BytesIO(written(NPY, *some)), allow_pickle=False)
    same(found, np.concatenate([columns, features], axis=1))
    assert found.dtype.name == features.dtype.name


@pytest.mark.parametrize("labels", [None, ONE, TWO])
def test_dense_npz(features: Any, labels: Any) -> None:
    with np.load(io.BytesIO(written(NPZ, *parts(features, labels)[1])), allow_pickle=False) as found:
        assert set(found) == ({"features"} if labels is None else {"features", "labels"})
        same(found["features"], features)
        if labels is not None:
            same(found["labels"], np.array(labels, features.dtype))


@pytest.mark.parametrize(("labels", "names"), [(None, []), (ONE, ["label"]), (TWO, ["label_0", "label_1"])])
@pytest.mark.parametrize("held_bytes", [1, 2**20])
def test_parquet(features: Any, labels: Any, names: list[str], held_bytes: int) -> None:
    columns, some = parts(features, labels)
    file = parquet.ParquetFile(io.BytesIO(written(PARQUET, *some, held_bytes=held_bytes)))
    assert file.num_row_groups == (3 if held_bytes == 1 else 1)
    table = file.read()
    assert table.column_names == names + [f"feature_{column}" for column in range(features.shape[1])]
    found = np.stack([column.combine_chunks().to_numpy() for column in table.columns], axis=1)
    assert found.dtype.name == features.dtype.name
    same(found, np.concatenate([columns, features], axis=1))


@pytest.mark.parametrize("labels", [ONE, TWO])
def test_dense_libsvm(features: Any, labels: Any) -> None:
    columns, some = parts(features, labels)
    text = written(LIBSVM, *some)
    found, targets = load_svmlight_file(io.BytesIO(text), n_features=len(AWKWARD), zero_based=True, multilabel=True)
    assert_array_equal(found.toarray().astype(features.dtype), features)
    assert found.nnz == np.count_nonzero(features)
    assert_array_equal(np.array(targets, features.dtype), columns)


def test_libsvm_without_labels() -> None:
    table = np.array([[0, 1.5, 0, 2], [0, 0, 0, 0], [3, 0, 0, 0]], np.float32)
    for features in (table, csr_array(table)):
        assert written(LIBSVM, Batch(features)) == b"1:1.5 3:2\n0:0\n0:3\n"


@pytest.mark.parametrize("kind", [csr_array, csr_matrix])
@pytest.mark.parametrize("labels", [None, np.arange(7, dtype=np.float32)])
def test_sparse_npz(kind: Any, labels: Any) -> None:
    whole = Batch(kind(SPARSE), labels)
    content = written(NPZ, whole[:3], whole[3:])
    found = load_npz(io.BytesIO(content))
    assert found.shape == SPARSE.shape
    assert found.dtype == np.float32
    assert_array_equal(found.toarray(), SPARSE.toarray())
    with np.load(io.BytesIO(content), allow_pickle=False) as members:
        assert ("labels" in members) == (labels is not None)
        assert labels is None or (members["labels"] == labels).all()


def test_sparse_json_lines() -> None:
    whole = Batch(SPARSE, np.arange(7, dtype=np.float32))
    for row, line in enumerate(written(JSON_LINES, whole[:3], whole[3:]).splitlines()):
        record = json.loads(line)
        found = record["data"]["features"]
        expected = SPARSE[[row]]
        assert (found["keys"], found["shape"], record["label"]) == (expected.indices.tolist(), [2000], row)
        assert_array_equal(np.array(found["values"], np.float32), expected.data)


def test_sparse_libsvm() -> None:
    content = written(LIBSVM, Batch(SPARSE, np.arange(7, dtype=np.float32)))
    found, labels = load_svmlight_file(io.BytesIO(content), n_features=2000, dtype=np.float32, zero_based=True)
    assert_array_equal(found.toarray(), SPARSE.toarray())
    assert_array_equal(labels, np.arange(7))


@pytest.mark.parametrize("content_type", [LIBSVM, JSON_LINES])
def test_keys_rise_and_stand_once(content_type: str) -> None:
    some = csr_array((np.array([1.0, 2, 4], np.float32), [5, 2, 5], [0, 3]), shape=(1, 8))
    text = written(content_type, Batch(some))
    assert text in (b"2:2 5:5\n", b'{"data":{"features":{"keys":[2,5],"shape":[8],"values":[2.0,5.0]}}}\n')
    assert some.indices.tolist() == [5, 2, 5]  # the caller's own


@pytest.mark.parametrize("content_type", [CSV, NPY, PARQUET])
def test_sparse_becomes_dense_where_there_is_no_sparse_form(content_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "PIECE_NUMBERS", 4000)  # two records at once
    assert written(content_type, Batch(SPARSE)) == written(content_type, Batch(SPARSE.toarray()))


@pytest.mark.parametrize(("content_type", "sparse_first"), [(NPZ, True), (NPZ, False), (RECORDIO, True)])
def test_dense_and_sparse_may_alternate(content_type: str, sparse_first: bool) -> None:
    dense = SPARSE.toarray()
    some = [Batch(SPARSE[:2]), Batch(dense[2:4]), Batch(SPARSE[4:])]
    some = some if sparse_first else [Batch(dense[:1]), Batch(SPARSE[1:4]), Batch(dense[4:])]
    content = written(content_type, *some)
    if content_type == RECORDIO:
        (read,) = batches(content, RECORDIO, 7)
        found: Any = read.features
    else:
        found = load_npz(io.BytesIO(content)) if sparse_first else np.load(io.BytesIO(content))["features"]
    assert_array_equal(found if isinstance(found, np.ndarray) else found.toarray(), dense)


@pytest.mark.parametrize("content_type", [CSV, LIBSVM])
def test_missing_and_infinite_numbers(content_type: str) -> None:
    table = np.array([[np.nan, 1, np.inf], [-np.inf, 2.5, 3], [np.nan, np.nan, np.nan]], np.float32)
    text = written(content_type, Batch(table))
    if content_type == CSV:
        assert text == b"nan,1,inf\n-inf,2.5,3\nnan,nan,nan\n"
    else:
        assert text == b"0:nan 1:1 2:inf\n0:-inf 1:2.5 2:3\n0:nan 1:nan 2:nan\n"


def test_numbers_have_as_few_digits_as_can_be() -> None:
    table = np.array([[0, 0.1, 16777216, 1e20, 1e-7], [1, 255, -3, -0.0, 1 / 3]], np.float32)
    assert written(CSV, Batch(table[:1])) == b"0,0.1,16777216,1e+20,1e-07\n"
    assert written(CSV, Batch(table[1:], np.array([7], np.float32))) == b"7,1,255,-3,-0.0,0.33333334\n"
    assert written(CSV, Batch(np.array([[1 / 3, 1e300]]))) == b"0.3333333333333333,1e+300\n"


def test_labels_keep_a_type_of_their_own() -> None:
    some = Batch(np.array([[0.1]], np.float32), np.array([2**53 - 1]))
    assert written(CSV, some) == b"9007199254740991,0.1\n"
    assert written(JSON_LINES, some) == b'{"features":[0.1],"label":9007199254740991}\n'
    assert written(LIBSVM, some) == b"9007199254740991 0:0.1\n"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_compiled_lines_check_their_arrays(count: int) -> None:
    values, indices = np.arange(4, dtype=np.float32), np.arange(4, dtype=np.int32)
    labels = np.zeros((2, count), np.float64)
    for ends in ([0, 2], [0, 5, 4], [0, 3, 2], [-1, 2, 4], [0, 2, 5]):
        with pytest.raises(IndexError, match="got"):
            number_lines.entries(labels, values, indices, np.array(ends))
    with pytest.raises(IndexError, match="2 rows, 3 ends, 3 indices, 4 values"):
        number_lines.entries(labels, values, indices[:3], np.array([0, 1, 2]))
    with pytest.raises(IndexError, match="got 2 and 1 rows"):
        number_lines.tables(labels, labels[:1], b"", b"", b"")


def test_the_longest_numbers_have_room() -> None:
    longest = float("-2.2250738585072014e-308")
    assert written(CSV, Batch(np.full((50, 40), longest))) == (b",".join([repr(longest).encode()] * 40) + b"\n") * 50
    text = written(LIBSVM, Batch(csr_array(np.full((50, 40), longest)), np.full((50, 3), longest)))
    assert text.count(repr(longest).encode()) == 50 * 43


@given(
    arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
        elements=st.floats(width=32) | st.sampled_from([0.0, 1.0, -7.0]),
    )
)
def test_csv_gives_back_every_number(table: Any) -> None:
    rows = list(csv.reader(written(CSV, Batch(table)).decode().splitlines()))
    same(np.array(rows, table.dtype), table)


REFUSED = {
    "width": (CSV, Batch(np.ones((2, 3))), "record 2: got 3 features, expected 2"),
    "labels": (RECORDIO, Batch(np.ones((2, 2)), np.ones(2)), "record 2: got 1 labels, expected 0"),
    "type": (NPY, Batch(np.ones((2, 2), np.float32)), "record 2: got float32 numbers, expected float64"),
    "nan": (JSON_LINES, Batch(np.array([[1, 2], [3, np.nan]])), "record 3: got nan, for which JSON has no form"),
    "sparse infinity": (
        JSON_LINES,
        Batch(csr_array(np.array([[0, 2], [0, 0], [0, -np.inf]]))),
        "record 4: got -inf, for which JSON has no form",
    ),
    "weights": (PARQUET, Batch(np.ones((2, 2)), weights=np.ones(2)), "record 2: got a weight, which would be lost"),
    "queries": (
        LIBSVM,
        Batch(np.ones((2, 2)), groups=np.ones(2, np.int64)),
        "record 2: got a query id, which would be lost",
    ),
    "nothing": (CSV, Batch(np.ones((2, 0))), "record 2: got no features"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_form_is_refused_with_its_place(case: str) -> None:
    content_type, some, text = REFUSED[case]
    with pytest.raises(DataError) as caught:
        written(content_type, Batch(np.ones((2, 2))), some)
    assert text in str(caught.value)


def test_nan_among_labels_has_no_form_in_json() -> None:
    with pytest.raises(DataError, match="record 1: got nan"):
        written(JSON_LINES, Batch(np.ones((2, 2)), np.array([[1, 2], [3, np.nan]])))


@pytest.mark.parametrize(
    ("content_type", "limit"), [(PARQUET, parquet_writers.MOST_COLUMNS), (CSV, 10_000_000), (NPY, 10_000_000)]
)
def test_very_wide_records_are_refused_with_a_hint(content_type: str, limit: int) -> None:
    wide = Batch(csr_array(([1.0], ([0], [limit])), shape=(1, limit + 1)))
    with pytest.raises(DataError, match=f"got records of {limit + 1} features, .* {limit} at most: write RecordIO"):
        written(content_type, wide)


@pytest.mark.parametrize("content_type", TYPES)
def test_a_file_without_records_is_whole(content_type: str) -> None:
    content = written(content_type, Batch(np.empty((0, 3), np.float32)))
    if content_type == NPY:
        assert len(np.load(io.BytesIO(content))) == 0
    elif content_type == NPZ:
        assert list(np.load(io.BytesIO(content))) == []
    elif content_type == PARQUET:
        assert parquet.read_table(io.BytesIO(content)).num_rows == 0
    else:
        assert content == b""


@pytest.mark.parametrize("content_type", TYPES)
def test_an_exception_leaves_the_file_unfinished(content_type: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(ZeroDivisionError), path.open("wb") as file, writer(file, content_type) as out:
        out.write(Batch(np.ones((2, 2))))
        raise ZeroDivisionError
    del out
    assert list(tmp_path.iterdir()) == [path]
    if content_type == PARQUET:
        with pytest.raises(ValueError, match="smaller than the minimum file footer"):
            parquet.read_table(path)
    elif content_type == NPZ:
        assert path.read_bytes() == b""
    elif content_type == NPY:
        assert len(np.load(path)) == 0


@pytest.mark.parametrize("content_type", [kind for kind in TYPES if kind != NPY])
def test_a_pipe_will_do(content_type: str) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file, writer(file, content_type) as out:
        out.write(Batch(np.ones((2, 2))))
    with os.fdopen(reading, "rb") as end:
        content = end.read()
    if content_type == PARQUET:
        assert parquet.read_table(io.BytesIO(content)).num_rows == 2
    elif content_type == NPZ:
        assert np.load(io.BytesIO(content))["features"].tolist() == [[1, 1], [1, 1]]
    else:
        assert content == written(content_type, Batch(np.ones((2, 2))))


def test_npz_grows_beside_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with (tmp_path / "a.npz").open("wb") as file, writer(file, NPZ) as out:
        out.write(Batch(np.ones((2, 2))))
    assert list(tmp_path.iterdir()) == [tmp_path / "a.npz"]
    with pytest.raises(FileNotFoundError):
        written(NPZ, Batch(np.ones((2, 2))))


def test_npy_asks_for_a_file() -> None:
    reading, writing = os.pipe()
    with (
        os.fdopen(reading),
        os.fdopen(writing, "wb") as file,
        pytest.raises(UserError, match="needs a file, not a pipe"),
    ):
        writer(file, NPY)


def test_npy_begins_where_the_file_stands() -> None:
    file = io.BytesIO(b"before")
    file.seek(6)
    with writer(file, NPY) as out:
        out.write(Batch(np.ones((2, 2))))
    file.seek(6)
    assert np.load(file).shape == (2, 2)
    assert file.getvalue().startswith(b"before")


def test_other_types_are_refused() -> None:
    with pytest.raises(UnsupportedContentType, match="content-type image/png not supported"):
        writer(io.BytesIO(), "image/png")
