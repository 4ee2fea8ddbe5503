"""Matrices to Records: types, labels, refusals."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import coo_array, csr_matrix

from recordio import DataError, records, write_dense, write_sparse
from recordio.protobuf import Record


def written(write: Any, *arguments: Any) -> list[Any]:
    file = BytesIO()
    write(file, *arguments)
    return [Record.FromString(payload) for payload in records(file.getvalue())]


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("f4", "float32_tensor"),
        (">f4", "float32_tensor"),
        ("f8", "float64_tensor"),
        ("i8", "int32_tensor"),
        ("u1", "int32_tensor"),
        ("u8", "int32_tensor"),
    ],
)
@pytest.mark.parametrize("largest", [1, 100, 127, 128, 200])
def test_dtype_decides_the_tensor(dtype: str, kind: str, largest: int) -> None:
    array = np.array([[1, 2], [3, largest]], dtype)
    for row, record in enumerate(written(write_dense, array, array[:, 1])):
        for value, expected in ((record.features["values"], array[row]), (record.label["values"], array[row, 1:])):
            assert value.WhichOneof("value") == kind
            assert_array_equal(getattr(value, kind).values, expected)
            assert not getattr(value, kind).shape


def test_one_record() -> None:
    (record,) = written(write_dense, np.array([1.0, 2]))
    assert record.features["values"].float64_tensor.values == [1, 2]
    assert not record.label


def test_no_digit_is_lost() -> None:
    (record,) = written(write_dense, np.array([[0.1, 1e300, np.nan]]))
    assert_array_equal(record.features["values"].float64_tensor.values, [0.1, 1e300, np.nan])
    (record,) = written(write_dense, np.array([[-(2**31), 2**31 - 1]]))
    assert record.features["values"].int32_tensor.values == [-(2**31), 2**31 - 1]


def test_arrays_in_any_order() -> None:
    array = np.arange(12.0).reshape(3, 4)
    for some in (np.asfortranarray(array), array[:, ::-1], array[::2]):
        found = [record.features["values"].float64_tensor.values for record in written(write_dense, some)]
        assert_array_equal(found, some)


def test_more_than_one_group() -> None:
    array = np.arange(3_000_000, dtype=np.float32).reshape(3, -1)
    found = written(write_dense, array, [1, 2, 3])
    assert_array_equal([record.features["values"].float32_tensor.values[-1] for record in found], array[:, -1])
    assert [record.label["values"].int32_tensor.values for record in found] == [[1], [2], [3]]


@pytest.mark.parametrize("matrix", [csr_matrix, coo_array])
def test_sparse(matrix: Any) -> None:
    array = np.array([[0, 0, 2.5, 0], [0, 0, 0, 0], [1, 0, 0, -1]], np.float32)
    for row, record in enumerate(written(write_sparse, matrix(array), np.array([[1, 2]] * 3))):
        tensor = record.features["values"].float32_tensor
        (keys,) = array[row].nonzero()
        assert tensor.keys == keys.tolist()
        assert tensor.values == array[row, keys].tolist()
        assert tensor.shape == [4]
        assert record.label["values"].int32_tensor.values == [1, 2]


@pytest.mark.parametrize(
    ("array", "labels", "text"),
    [
        (np.array([[2**31]]), None, "array: got integers outside 32 bits; make it float64"),
        (np.array([[-(2**31) - 1]]), None, "array: got integers outside 32 bits; make it float64"),
        (np.array([[True]]), None, "array: got type bool, expected float32, float64 or integers"),
        (np.array([["1"]]), None, "array: got type <U1, expected float32, float64 or integers"),
        (np.ones((1, 2), np.float16), None, "array: got type float16, expected float32, float64 or integers"),
        (np.ones((1, 2, 3)), None, "array: got shape (1, 2, 3), expected (records, width)"),
        (np.ones((2, 0)), None, "array: got shape (2, 0), expected (records, width)"),
        (np.ones((2, 2)), np.ones(3), "labels: got shape (3,), expected (2,) or (2, labels)"),
        (np.ones((2, 2)), np.array([1, 2**40]), "labels: got integers outside 32 bits; make it float64"),
    ],
)
def test_refusals(array: Any, labels: Any, text: str) -> None:
    file = BytesIO()
    with pytest.raises(DataError) as error:
        write_dense(file, array, labels)
    assert str(error.value) == text
    assert not file.getvalue()


def test_a_file_needs_only_write() -> None:
    class File:
        data = b""

        def write(self, data: bytes) -> None:
            self.data += data

    file = File()
    write_dense(file, np.ones((2, 2)))
    write_sparse(file, csr_matrix(np.eye(2)))
    assert len(list(records(file.data))) == 4
