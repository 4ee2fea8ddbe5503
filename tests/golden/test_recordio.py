"""Bytes of the original formats: what the SageMaker SDK writes, what protoc makes of the published schema."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from recordio import decode, encode, records, write_dense, write_record, write_sparse

# record.desc is what protoc made of record.proto: --descriptor_set_out=record.desc
DESCRIPTORS = descriptor_pb2.FileDescriptorSet.FromString(
    Path(__file__).with_name("recordio").joinpath("record.desc").read_bytes()
)
POOL = descriptor_pool.DescriptorPool()
POOL.Add(DESCRIPTORS.file[0])
Record: Any = message_factory.GetMessageClass(POOL.FindMessageTypeByName("aialgs.data.Record"))

# Written by sagemaker 2.257.7, serializer_utils.write_numpy_to_dense_tensor and write_spmatrix_to_sparse_tensor.
DENSE = {
    "float32": (
        "0a23d7ce300000000a1a0a0676616c7565731210120e0a0c0000c03f000000c00000000012120a0676616c756573120812060a0400"
        "00803f0a23d7ce300000000a1a0a0676616c7565731210120e0a0c00004040000080400ad7a33b12120a0676616c75657312081206"
        "0a0400000000",
        np.array([[1.5, -2, 0], [3, 4, 5e-3]], np.float32),
        np.array([1, 0], np.float32),
    ),
    "float64": (
        "0a23d7ce280000000a260a0676616c756573121c1a1a0a18000000000000f83f00000000000000c000000000000000000a23d7ce28"
        "0000000a260a0676616c756573121c1a1a0a180000000000000840000000000000104059f3f8c21f6ea501",
        np.array([[1.5, -2, 0], [3, 4, 1e-300]]),
        None,
    ),
    "int64": (
        "0a23d7ce2e0000000a1b0a0676616c75657312113a0f0a0d01feffffffffffffffff01ac02120f0a0676616c75657312053a030a01"
        "0700000a23d7ce3a0000000a1e0a0676616c75657312143a120a1000ffffffff0780808080f8ffffffff0112180a0676616c756573"
        "120e3a0c0a0af9ffffffffffffffff010000",
        np.array([[1, -2, 300], [0, 2**31 - 1, -(2**31)]]),
        np.array([7, -7]),
    ),
}
SPARSE = (
    "0a23d7ce320000000a180a0676616c756573120e120c0a04000020401201021a010412160a0676616c756573120c1a0a0a080000000000"
    "00f03f00000a23d7ce290000000a0f0a0676616c756573120512031a010412160a0676616c756573120c1a0a0a08000000000000004000"
    "00000a23d7ce370000000a1d0a0676616c756573121312110a080000803f000080bf120200031a010412160a0676616c756573120c1a0a"
    "0a08000000000000084000"
)
MATRIX = np.array([[0, 0, 2.5, 0], [0, 0, 0, 0], [1, 0, 0, -1]], np.float32)


@pytest.mark.parametrize("kind", DENSE)
def test_dense_bytes_of_the_sdk(kind: str) -> None:
    code, array, labels = DENSE[kind]
    batch = decode(bytes.fromhex(code), "application/x-recordio-protobuf", dtype=np.float64)
    assert_array_equal(batch.features, array)
    assert_array_equal(batch.labels, labels)  # type: ignore[arg-type]
    file = BytesIO()
    write_dense(file, array, labels)
    assert file.getvalue().hex() == code


def test_sparse_bytes_of_the_sdk() -> None:
    batch = decode(bytes.fromhex(SPARSE), "application/x-recordio-protobuf")
    assert isinstance(batch.features, csr_array)
    assert_array_equal(batch.features.toarray(), MATRIX)
    assert_array_equal(batch.labels, [1, 2, 3])  # type: ignore[arg-type]
    file = BytesIO()
    write_sparse(file, csr_array(MATRIX), np.array([1.0, 2, 3]))
    assert file.getvalue().hex() == SPARSE


def test_records_of_the_published_schema_are_read() -> None:
    file = BytesIO()
    for value in range(200):
        record = Record(uid=str(value), metadata="{}")
        record.features["values"].float64_tensor.values.extend([value, -value, 0.1])
        record.label["values"].int32_tensor.values.append(value)
        write_record(file, record.SerializeToString())
    batch = decode(file.getvalue(), None, dtype=np.float64)
    assert_array_equal(batch.features, [[value, -value, 0.1] for value in range(200)])
    assert_array_equal(batch.labels, np.arange(200))  # type: ignore[arg-type]


def test_replies_are_records_of_the_published_schema() -> None:
    body = encode({"score": np.array([0.5, 2]), "projection": np.eye(2)}, "application/x-recordio-protobuf")
    first, second = map(Record.FromString, records(body))
    assert first.label["score"].float32_tensor.values == [0.5]
    assert second.label["projection"].float32_tensor.values == [0, 1]
    assert not first.features
