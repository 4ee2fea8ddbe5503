"""libsvm: what is read, how its width is found, and what is refused with which words."""

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array, random_array
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from recordio import Batch, DataError, Limits, batches, blocks, decode

LIBSVM = "text/libsvm"


def read(body: bytes, **options: Any) -> Batch:
    batch = decode(body, LIBSVM, **options)
    assert isinstance(batch.features, csr_array)
    return batch


@pytest.mark.parametrize(
    ("body", "labels", "expected"),
    [
        (b"1 0:1 2:3\n-1 1:.5", [1, -1], [[1, 0, 3], [0, 0.5, 0]]),
        (b"1 0:1 2:3\r\n\r\n-1\t1:5e-1 \r\n", [1, -1], [[1, 0, 3], [0, 0.5, 0]]),
        (b"# a file\n1 0:1 2:3 # first 9:9\n  # none\n-1 1:.5#last", [1, -1], [[1, 0, 3], [0, 0.5, 0]]),
        (b"1 qid:3 0:1 2:3\n-1 qid:4 1:.5", [1, -1], [[1, 0, 3], [0, 0.5, 0]]),
        (b"1 2:3 0:1\n-1 1:.5\n", [1, -1], [[1, 0, 3], [0, 0.5, 0]]),
        (b"1\n2 1:4\n3", [1, 2, 3], [[0, 0], [0, 4], [0, 0]]),
        (b"1,0 0:7\n3,4 1:7", [[1, 0], [3, 4]], [[7, 0], [0, 7]]),
        (b"0:1 2:3\n1:.5\n", None, [[1, 0, 3], [0, 0.5, 0]]),
        (b"qid:1 2:3 0:1\nqid:1\n", None, [[1, 0, 3], [0, 0, 0]]),
        (b"\xef\xbb\xbf1 0:nan 1:-inf 2:+1e9", [1], [[np.nan, -np.inf, 1e9]]),
        (b"1 0:0 0000000001:2", [1], [[0, 2]]),
    ],
)
def test_records(body: bytes, labels: object, expected: list[list[float]]) -> None:
    batch = read(body)
    assert batch.features.dtype == np.float32
    assert_array_equal(batch.features.toarray(), np.array(expected, np.float32))  # type: ignore[union-attr]
    assert batch.features.has_canonical_format  # type: ignore[union-attr]
    if labels is None:
        assert batch.labels is None
    else:
        assert_array_equal(batch.labels, np.array(labels, np.float32))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"comment": "made by us"}, {"query_id": np.arange(300)}])
def test_what_scikit_learn_writes(dtype: Any, options: dict[str, Any], tmp_path: Path) -> None:
    features = random_array((300, 40), density=0.2, format="csr", rng=np.random.default_rng(5)).astype(dtype)
    labels = np.arange(300) % 7 - 3
    path = tmp_path / "part-0"
    dump_svmlight_file(features, labels, str(path), zero_based=True, **options)
    expected, expected_labels = load_svmlight_file(str(path), zero_based=True, dtype=np.float64)
    (batch,) = batches(path, LIBSVM, 1000, dtype=np.float64)
    assert_array_equal(batch.features.toarray(), expected.toarray())  # type: ignore[union-attr]
    assert_array_equal(batch.labels, expected_labels)  # type: ignore[arg-type]


def test_several_labels_of_scikit_learn() -> None:
    features, labels = np.eye(4), np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 1, 0]])
    file = BytesIO()
    dump_svmlight_file(features, labels, file, zero_based=True, multilabel=True)
    batch = read(file.getvalue())
    assert_array_equal(batch.labels, [[0, 2], [1, 2], [0, 1], [0, 1]])  # type: ignore[arg-type]


def test_the_width_of_the_caller() -> None:
    assert read(b"1 2:3", width=10).features.shape == (1, 10)
    assert [block.width for block in blocks(b"1\n", LIBSVM, width=10)] == [10]


def test_the_width_is_the_same_from_the_first_batch_on(tmp_path: Path) -> None:
    body = b"1 0:1\n" * 400_000 + b"1 6:1"  # more than one piece
    path = tmp_path / "part-0"
    path.write_bytes(body)
    for source in (body, path, BytesIO(body)):
        assert {batch.width for batch in batches(source, LIBSVM, 1000)} == {7}


def test_an_open_file_is_read_from_where_it_is() -> None:
    file = BytesIO(b"1 99:1\n2 3:1\n")
    file.readline()
    (batch,) = batches(file, LIBSVM, 10)
    assert (batch.width, batch.labels) == (4, [2])


def test_a_pipe_needs_the_width(tmp_path: Path) -> None:
    path = tmp_path / "train_0"
    os.mkfifo(path)

    def read_pipe(**options: Any) -> list[Batch]:
        writer = Thread(target=feed)
        writer.start()
        try:
            return list(batches(path, LIBSVM, 10, **options))
        finally:
            writer.join()

    def feed() -> None:
        with suppress(BrokenPipeError):
            path.write_bytes(b"1 2:3\n")

    with pytest.raises(DataError) as error:
        read_pipe()
    assert str(error.value) == (
        "got a stream of libsvm, which does not say how many features there are: give the width"
    )
    (batch,) = read_pipe(width=4)
    assert_array_equal(batch.features.toarray(), [[0, 0, 3, 0]])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"cat 0:1", "got 'cat', expected a label such as 1 or 0,1"),
        (b"1,x 0:1", "got '1,x', expected a label such as 1 or 0,1"),
        (b"1, 0:1", "got '1,', expected a label such as 1 or 0,1"),
        (b"\x00", "got '\\x00', expected a label such as 1 or 0,1"),
        (b"\x0b", "got '\\x0b', expected a label such as 1 or 0,1"),
        (b"\xff\xfe 0:1", "got '\ufffd\ufffd', expected a label such as 1 or 0,1"),
        (b"1 0:1 a:2", "got 'a:2', expected index:value"),
        (b"1 0:1 2", "got '2', expected index:value"),
        (b"1 0:1 2:", "got '2:', expected index:value"),
        (b"1 0:1 2: 3", "got '2:', expected index:value"),
        (b"1 0:1 2:3:4", "got '2:3:4', expected index:value"),
        (b"1 0:1 2:x", "got '2:x', expected index:value"),
        (b"1 0:1 -1:3", "got '-1:3', expected index:value"),
        (b"1 0:1 1.5:3", "got '1.5:3', expected index:value"),
        (b"1 qid:x 0:1", "got 'qid:x', expected a query id such as qid:7"),
        (b"1 qid:1000000000000000000 0:1", "got 'qid:1000000000000000000', expected a query id such as qid:7"),
        (b"1 qid:3 0:1", "got 1 query ids, expected 0"),
        (b"1 0:1 qid:3", "got 'qid:3', expected index:value"),
        (b"1 0:1 4:3", "got '4:3', expected an index of 0 to 3"),
        (b"1 18446744073709551616:3", "got '18446744073709551616:3', expected an index of 0 to 3"),
        (b"1 1:1 0:2 1:3", "got index 1 twice, expected each index once"),
        (b"1 0:1 1:2 2:3 3:4 0:5", "got index 0 twice, expected each index once"),
        (b"1,2 0:1", "got 2 labels, expected 1"),
        (b"0:1", "got 0 labels, expected 1"),
    ],
)
def test_fault_says_where_and_what(line: bytes, text: str) -> None:
    for body in (b"1 0:1\n\n0 1:1\n" + line, b"1 0:1\n0 1:1\n" + line + b"\n1 oh:no\n"):
        with pytest.raises(DataError) as error:
            list(blocks(body, LIBSVM, width=4, name="part-0"))
        assert str(error.value) == f"part-0, record 2: {text}"


def test_weights_are_not_taken_for_entries() -> None:
    with pytest.raises(DataError) as error:
        read(b"0:0.5 1:3 2:4\n1:0.5 1:3 2:4\n")
    expected = "a label, or the record's lowest index (weights, as in label:weight, are not read here)"
    assert str(error.value) == f"record 1: got '1:0.5', expected {expected}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 10])
def test_weights_and_queries_of_records_with_labels(dtype: Any, size: int) -> None:
    body = b"1:0.5 qid:7 0:1\n-2:1e1 QID:7\n3:0 qid:8 1:3 0:4 # 9:9\n"
    found = list(batches(body, LIBSVM, size, label_size=1, dtype=dtype))
    assert_array_equal(np.concatenate([batch.labels for batch in found]), [1, -2, 3])  # type: ignore[misc]
    assert_array_equal(np.concatenate([batch.weights for batch in found]), [0.5, 10, 0])  # type: ignore[misc]
    assert_array_equal(np.concatenate([batch.groups for batch in found]), [7, 7, 8])  # type: ignore[misc]
    assert_array_equal(
        np.concatenate([batch.features.toarray() for batch in found]),  # type: ignore[union-attr]
        [[1, 0], [0, 0], [4, 3]],
    )
    assert found[0].weights.dtype == dtype and found[0].groups.dtype == np.int64  # type: ignore[union-attr]


def test_a_label_is_no_index() -> None:
    """The largest index says the width, and what begins a record with a label is none."""
    assert [block.width for block in blocks(b" 9:2 1:3\r\n# 8:8\n7:1\n", LIBSVM, label_size=1)] == [2]
    with pytest.raises(DataError, match=r"^got no index:value in any record"):
        list(blocks(b"9:2\n", LIBSVM, label_size=1))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"1 0:1", "got 0 weights, expected 1"),
        (b"1:2 qid:1 0:1", "got 1 query ids, expected 0"),
        (b"1: 0:1", "got '1:', expected a label such as 1 or 0,1"),
        (b"1:2:3 0:1", "got '1:2:3', expected a label such as 1 or 0,1"),
        (b"1:x 0:1", "got '1:x', expected a label such as 1 or 0,1"),
        (b"qid:1 0:1", "got 'qid:1', expected a label such as 1 or 0,1"),
    ],
)
def test_faults_of_records_with_labels(line: bytes, text: str) -> None:
    with pytest.raises(DataError) as error:
        list(blocks(b"1:2 0:1\n" + line, LIBSVM, label_size=1, width=4))
    assert str(error.value) == f"record 1: {text}"


def test_slices_and_batches_keep_what_stands_beside_the_features() -> None:
    whole = next(blocks(b"1:2 qid:3 0:1\n4:5 qid:6 0:7\n", LIBSVM, label_size=1))
    part = whole[1:]
    assert (part.labels, part.weights, part.groups) == ([4], [5], [6])
    assert whole.nbytes - Batch(whole.features).nbytes == 2 * (4 + 4 + 8)


def test_no_entries_at_all() -> None:
    assert decode(b"# nothing\n", LIBSVM, width=3).width == 3
    assert list(blocks(b"\n# 4:4\n", LIBSVM)) == []
    with pytest.raises(DataError, match=r"^got no index:value in any record, expected some, or the width from"):
        read(b"1\n2\n")


def test_limits() -> None:
    with pytest.raises(DataError, match=r"^record 1: got more than 2 entries, the limit$"):
        read(b"1 0:1 1:1\n1 0:1 1:1 2:1", limits=Limits(dense_width=2))
    with pytest.raises(DataError, match=r"^record 0: got '9:1', expected an index of 0 to 8$"):
        read(b"1 9:1", limits=Limits(sparse_width=9))
    with pytest.raises(
        DataError, match=r"^record 0: got '99999999999999999999:1', expected an index of 0 to 2147483646$"
    ):
        read(b"1 99999999999999999999:1")
    with pytest.raises(DataError, match=r"got a line of more than 10 bytes; is this text?"):
        read(b"1 0:1 1:1 2:1", width=9, limits=Limits(line_bytes=10))


def test_many_labels_and_many_lines_take_little_memory() -> None:
    body = b",".join([b"1"] * 100_000) + b" 0:1\n" + b"\n" * 10**6
    assert read(body, width=1).labels.shape == (1, 100_000)  # type: ignore[union-attr]


def test_other_charsets() -> None:
    body = "1 0:1\n2 1:1".encode("utf-16")
    assert_array_equal(decode(body, "text/libsvm; charset=utf-16").features.toarray(), np.eye(2))  # type: ignore[union-attr]
