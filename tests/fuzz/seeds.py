"""Bodies to start from, one or more of each decoder, most of them made by our writers."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
from scipy.sparse import csr_array, save_npz

from recordio import Batch, write_dense, write_record, write_sparse, writer
from recordio.content_types import LIBSVM, NPY, NPZ, PARQUET
from recordio.framing import MAGIC_BYTES, write_parts
from recordio.image_records import ImageRecord, write_images
from recordio.protobuf import Record

TABLE = np.array([[1, -2.5, 3], [0, 1e-3, 5]], np.float32)
LABELS = np.array([1, 0], np.float32)


def bodies(name: str) -> list[bytes]:
    """Valid bodies of a decoder."""
    return list(SEEDS[name]())


def _recordio_protobuf() -> Iterable[bytes]:
    integers = np.array([[1, -2, 300], [2**31 - 1, 0, 5]])
    for array in (TABLE, TABLE.astype(np.float64), integers):
        yield _written(lambda file, array=array: write_dense(file, array, LABELS))
        yield _written(lambda file, array=array: write_sparse(file, csr_array(array), LABELS))
    yield _written(lambda file: write_dense(file, np.repeat(TABLE, 3, axis=0)))
    yield _written(lambda file: write_sparse(file, csr_array((2, 3), dtype=np.float32)))
    yield _written(lambda file: write_dense(file, TABLE, np.array([[1, 2], [3, 4]])))
    odd = Record()
    odd.features["values"].float32_tensor.values.extend([1, 2])
    odd.features["values"].float32_tensor.keys.extend([2, 1])
    odd.features["values"].float32_tensor.shape.extend([2, 2])
    odd.uid = "7"
    yield _written(lambda file: write_record(file, odd.SerializeToString()))


def _recordio() -> Iterable[bytes]:
    yield _written(lambda file: [write_record(file, bytes(size)) for size in range(6)])
    for payload in (MAGIC_BYTES * 3, b"abcd" + MAGIC_BYTES + b"ef"):
        yield _written(lambda file, payload=payload: [write_parts(file, payload), write_record(file, b"next")])


def _csv() -> Iterable[bytes]:
    yield b"1,2,3\n4.5,-6e-1,.7\n"
    yield b"1;2; 3\n4.5;;.7\n"
    yield b"1\t2\n\r3\t\n"
    yield b"1 2\n3 \n"
    yield b'\xef\xbb\xbf"1", 2 ,""\r\n\r\n,nan,-inf\r+4,5.,Infinity'
    yield b"16777217,340282356779733661637539395458142568448,1e-46\n1.00000017881393432617187499,1e400,0\n"


def _json_lines() -> Iterable[bytes]:
    yield b"\n".join(json.dumps(instance).encode() for instance in _INSTANCES)
    for instance in _INSTANCES:
        yield json.dumps(instance).encode() + b"\n\n"
    yield b'{"features":[1,2],"features":[3.5e2,-0],"note":"\\ud83d\\ude00[{"}\r\n{"features" : [ 1E-2 , 4 ] }'


_INSTANCES = (
    {"features": [1.5, 16]},
    {"data": {"features": {"values": [1.5, -16]}}, "configuration": {"a": [True, None]}},
    {"data": {"features": {"values": [1.5, 16], "keys": [], "shape": [2]}}},
    {"data": {"features": {"keys": [26, 3], "shape": [200], "values": [1, 4]}}},
)


def _json() -> Iterable[bytes]:
    for instances in ([], [_INSTANCES[0]] * 3, _INSTANCES):
        yield json.dumps({"instances": instances}).encode()


def _libsvm() -> Iterable[bytes]:
    yield b"1 0:1.5 2:-3e2 # comment\n\n0 1:4\r\n-1\n"
    yield b"1,2 5:1 3:2\n3,4 0:nan\n"
    yield b"0:1 7:2\n1:1\n# 9:9\n"
    yield b"1 qid:7 1:4\n2 qid:7\n"
    yield b"1:0.5 qid:7 1:4\r\n-2:3 qid:7\n"
    yield _through_writer(LIBSVM, csr_array(TABLE))


def _npy() -> Iterable[bytes]:
    yield _through_writer(NPY, TABLE)
    for array in (
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(4, dtype=">i2"),
        np.array([[True, False]]),
        np.zeros((0, 3), np.uint8),
        np.ones((3, 2), np.float16),
    ):
        yield _written(lambda file, array=array: np.save(file, array))
    for version in (2, 3):
        text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n"
        yield b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<I", len(text)) + text + TABLE.tobytes()


def _npz() -> Iterable[bytes]:
    yield _through_writer(NPZ, TABLE)
    yield _through_writer(NPZ, csr_array(TABLE))
    yield _written(lambda file: np.savez_compressed(file, features=np.asfortranarray(TABLE)))
    yield _written(lambda file: save_npz(file, csr_array(TABLE), compressed=False))


def _images() -> Iterable[bytes]:
    some = [
        ImageRecord(b"\xff\xd8\xff" + MAGIC_BYTES, np.array([3], np.float32), 7),
        ImageRecord(b"", np.array([1, 2.5], np.float32), 2**64 - 1, 1),
    ]
    yield _written(lambda file: write_images(file, some))


def _parquet() -> Iterable[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    yield _through_writer(PARQUET, TABLE[:, :1], labels=None)
    for column in ([1, None, 3], [[1.0, 2.0], [3.0, 4.0]], [True, False]):
        for page in ("1.0", "2.0"):
            table = pa.table({"a": column})
            yield _written(
                lambda file, table=table, page=page: parquet.write_table(
                    table, file, data_page_version=page, store_schema=False, write_statistics=False
                )
            )


def _written(write: Any) -> bytes:
    file = BytesIO()
    write(file)
    return file.getvalue()


def _through_writer(kind: str, features: Any, labels: Any = LABELS) -> bytes:
    file = BytesIO()
    with writer(file, kind) as out:
        out.write(Batch(features, labels))
    return file.getvalue()


SEEDS = {
    "recordio-protobuf": _recordio_protobuf,
    "recordio": _recordio,
    "csv": _csv,
    "jsonlines": _json_lines,
    "libsvm": _libsvm,
    "npy": _npy,
    "npz": _npz,
    "images": _images,
    "json": _json,
    "parquet": _parquet,
}
