"""One Record: every form that the schema allows, and hostile ones."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from recordio import DataError, Limits
from recordio.protobuf import Record, parse_record
from recordio.wire import encode_varint, opening


def dense(kind: str = "float32_tensor", values: tuple[float, ...] = (1, 2), label: tuple[float, ...] = ()) -> Any:
    record = Record()
    getattr(record.features["values"], kind).values.extend(values)
    if label:
        getattr(record.label["values"], kind).values.extend(label)
    return record


def sparse(values: list[float], keys: list[int], shape: list[int]) -> Any:
    record = Record()
    tensor = record.features["values"].float32_tensor
    tensor.SetInParent()
    tensor.values.extend(values)
    tensor.keys.extend(keys)
    tensor.shape.extend(shape)
    return record


def delimited(number: int, body: bytes) -> bytes:
    return opening(number, len(body)) + body


def features(tensor: bytes, kind: int = 2, key: bytes = b"values") -> bytes:
    return delimited(1, delimited(1, key) + delimited(2, delimited(kind, tensor)))


@pytest.mark.parametrize("kind", ["float32_tensor", "float64_tensor", "int32_tensor"])
def test_tensor_types(kind: str) -> None:
    row = parse_record(dense(kind, (-3, 2**20), (7,)).SerializeToString())
    assert row.keys is None
    assert (row.values.tolist(), row.width, row.labels.tolist()) == ([-3, 2**20], 2, [7])


def test_sparse_keys_are_sorted() -> None:
    row = parse_record(sparse([1, 2, 3], [9, 0, 4], [10]).SerializeToString())
    assert row.keys is not None
    assert (row.values.tolist(), row.keys.tolist(), row.width) == ([2, 3, 1], [0, 4, 9], 10)


def test_all_zero_sparse_row() -> None:
    row = parse_record(sparse([], [], [10]).SerializeToString())
    assert row.keys is not None
    assert (len(row.values), len(row.keys), row.width) == (0, 0, 10)


def test_matrix_shape_counts_its_product() -> None:
    assert parse_record(sparse([1], [11], [3, 4]).SerializeToString()).width == 12


def test_missing_shape_is_the_known_width() -> None:
    assert parse_record(sparse([1], [11], []).SerializeToString(), width=12).width == 12


def test_unpacked_fields() -> None:
    floats = b"".join(b"\x0d" + np.float32(value).tobytes() for value in (1.5, -2))
    keys = b"".join(b"\x10" + encode_varint(key) for key in (3, 300))
    row = parse_record(features(floats + keys + b"\x18" + encode_varint(400)))
    assert row.keys is not None
    assert (row.values.tolist(), row.keys.tolist(), row.width) == ([1.5, -2], [3, 300], 400)


def test_unknown_fields_are_skipped() -> None:
    unknown = delimited(99, b"what") + b"\xa0\x06\x01" + b"\xa5\x06abcd" + b"\xa1\x06abcdefgh"
    tensor = delimited(1, np.array([1, 2], "<f4").tobytes())
    payload = unknown + features(unknown + tensor + unknown) + unknown
    assert_array_equal(parse_record(payload).values, [1, 2])


def test_uid_and_metadata_are_skipped() -> None:
    record = dense()
    record.uid, record.metadata, record.configuration = "u", "{}", "{}"
    assert_array_equal(parse_record(record.SerializeToString()).values, [1, 2])


def test_repeated_tensor_fields_are_joined() -> None:
    part = delimited(1, np.array([1, 2], "<f4").tobytes())
    assert_array_equal(parse_record(features(part + part)).values, [1, 2, 1, 2])


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "got no features, expected values"),
        (features(b""), "got no features, expected values"),
        (features(b"", key=b"pixels"), "got features named 'pixels', expected \"values\""),
        (features(b"", kind=9), "got features of type bytes, expected one of float32_tensor, float64_tensor"),
        (features(b"", kind=5), "got features of type unknown, expected one of float32_tensor"),
        (delimited(2, b"") + dense().SerializeToString(), "got label named '', expected \"values\""),
        (features(delimited(1, b"12345")), "got bytes that are not a protobuf Record"),
        (b"\x0a\xff\xff\xff\xff\x0f", "got bytes that are not a protobuf Record"),
        (b"\x0a" + b"\xff" * 20, "got bytes that are not a protobuf Record"),
        (b"\x0b" * 100_000, "got bytes that are not a protobuf Record"),
        (dense().SerializeToString()[:-1], "got bytes that are not a protobuf Record"),
        (sparse([1], [10], [10]).SerializeToString(), "got key 10, expected 0 to 9"),
        (sparse([1], [2**64 - 1], [10]).SerializeToString(), "got key 18446744073709551615, expected 0 to 9"),
        (sparse([1, 2], [3], [10]).SerializeToString(), "got 1 keys and 2 values, expected as many of both"),
        (sparse([], [3], [10]).SerializeToString(), "got 1 keys and 0 values, expected as many of both"),
        (sparse([1, 2, 3], [3, 1, 3], [10]).SerializeToString(), "got key 3 twice, expected each key once"),
        (sparse([1, 2, 3], [1, 3, 3], [10]).SerializeToString(), "got key 3 twice, expected each key once"),
        (sparse([1], [0], []).SerializeToString(), "got keys without a shape, expected the number of columns in shape"),
        (sparse([1], [0], [2**31]).SerializeToString(), "got shape [2147483648], expected 1 to 2147483647 columns"),
        (sparse([1], [0], [0]).SerializeToString(), "got shape [0], expected 1 to 2147483647 columns"),
        (sparse([1], [0], [2**63] * 5000).SerializeToString(), "got a shape of 1000 numbers, expected"),
        (sparse([1, 2], [], [3]).SerializeToString(), "got 2 values, expected 3 (shape [3]) or keys"),
    ],
)
def test_fault_says_what(payload: bytes, text: str) -> None:
    with pytest.raises(DataError) as error:
        parse_record(payload)
    assert str(error.value).startswith(text)


def test_sparse_label_is_refused() -> None:
    record = dense(label=(1,))
    record.label["values"].float32_tensor.keys.append(0)
    with pytest.raises(DataError, match=r"got a sparse label, expected values without keys"):
        parse_record(record.SerializeToString())


def test_width_limits() -> None:
    limits = Limits(dense_width=2, sparse_width=10)
    assert parse_record(sparse([1], [3], [10]).SerializeToString(), limits=limits).width == 10
    with pytest.raises(DataError, match=r"got shape \[11\], expected 1 to 10 columns"):
        parse_record(sparse([1], [3], [11]).SerializeToString(), limits=limits)
    with pytest.raises(DataError, match=r"got 3 values, the limit is 2"):
        parse_record(dense(values=(1, 2, 3)).SerializeToString(), limits=limits)


def test_small_fields_that_would_fill_the_memory_are_refused() -> None:
    entries = b"".join(delimited(1, delimited(1, str(name).encode())) for name in range(200_000))
    with pytest.raises(DataError, match=r"got more than 1048576 bytes around the values of one record"):
        parse_record(entries)


@pytest.mark.parametrize(("field", "kind"), [(1, 7), (2, 2), (3, 3)])
def test_one_byte_numbers_that_would_fill_the_memory_are_refused(field: int, kind: int) -> None:
    with pytest.raises(DataError, match=r"got 2000000 numbers in one record, the limit is 1000000"):
        parse_record(features(delimited(field, bytes(2_000_000)), kind), limits=Limits(dense_width=1_000_000))


def test_many_values_are_no_overhead() -> None:
    values = np.arange(300_000, dtype="<f4")
    assert_array_equal(parse_record(features(delimited(1, values.tobytes()))).values, values)
    unpacked = b"".join(b"\x0d" + value.tobytes() for value in values)
    assert_array_equal(parse_record(features(unpacked)).values, values)
