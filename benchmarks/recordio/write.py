"""Writing RecordIO, against one protobuf message a record as version 2 of the SageMaker SDK does it.

Roofline: each number is read once and written once among the bytes around it; a file costs one more copy.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

import recordio
from benchmarks.recordio.data import SPARSE_WIDTH, WIDTHS, Matrix, as_recordio, dense, sparse
from benchmarks.recordio.tables import Rate, Ratio, Work, header, table
from recordio.protobuf import Record

SIZE = 100e6
PEER_RECORDS = 2000
PROTOBUF, COPY = "protobuf, per record", "copying the numbers"
AIM = 1  # GB/s


def run(rounds: int) -> None:
    header("GB/s")
    for width in WIDTHS:
        _case(f"dense, {width} features", *dense(width, SIZE), recordio.write_dense, write_dense_records, rounds)
    _case("sparse, 30 of 100,000", *sparse(SIZE), recordio.write_sparse, write_sparse_records, rounds)


def _case(name: str, features: Any, labels: Matrix, write: Any, peer: Any, rounds: int) -> None:
    size = len(as_recordio(features, labels))
    some, their_labels = features[:PEER_RECORDS], labels[:PEER_RECORDS]
    numbers = features if isinstance(features, np.ndarray) else features.data
    copy = np.empty_like(numbers)
    with tempfile.TemporaryDirectory() as folder, Path("/dev/null").open("wb", buffering=0) as nothing:
        path = Path(folder) / "data.pbr"

        def to_file() -> None:
            with path.open("wb", buffering=0) as file:
                write(file, features, labels)

        works = {
            "to nothing": Work(lambda: write(nothing, features, labels), size),
            "to a file": Work(to_file, size),
            PROTOBUF: Work(lambda: peer(nothing, some, their_labels), len(as_recordio(some, their_labels))),
            COPY: Work(lambda: np.copyto(copy, numbers), numbers.nbytes),
        }
        judged: list[Ratio | Rate] = [Rate("to nothing", AIM), Ratio("to nothing", PROTOBUF), Ratio("to nothing", COPY)]
        table(name, works, [*judged, Rate("to a file", AIM)], rounds)


def write_dense_records(file: Any, features: Matrix, labels: Matrix) -> None:
    for row, label in zip(features, labels, strict=True):
        record = Record()
        record.features["values"].float32_tensor.values.extend(row)
        _write(file, record, label)


def write_sparse_records(file: Any, features: csr_array[Any], labels: Matrix) -> None:
    for start, end, label in zip(features.indptr, features.indptr[1:], labels, strict=False):
        record = Record()
        tensor = record.features["values"].float32_tensor
        tensor.values.extend(features.data[start:end])
        tensor.keys.extend(features.indices[start:end])
        tensor.shape.append(SPARSE_WIDTH)
        _write(file, record, label)


def _write(file: Any, record: Any, label: float) -> None:
    record.label["values"].float32_tensor.values.append(label)
    payload = record.SerializeToString()
    file.write(struct.pack("<II", 0xCED7230A, len(payload)))
    file.write(payload)
    file.write(bytes(-len(payload) % 4))
