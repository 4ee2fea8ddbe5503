"""RecordIO from memory to batches, against protobuf record by record and against copying the same bytes.

Roofline: each byte is read once and written once into a block, which stays in the cache; `batches` writes it once more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_array

import recordio
from benchmarks.recordio.data import BATCH, RECORDIO, SPARSE_WIDTH, WIDTHS, Matrix, as_recordio, dense, sparse
from benchmarks.recordio.tables import Rate, Ratio, Work, header, table
from recordio.protobuf import Record

SIZE = 200e6  # bytes of numbers, several times any cache of a core
PIECE = 2**19
PROTOBUF = "protobuf, per record"
ONCE, TWICE = "copying, once", "copying, into batches"


def run(rounds: int) -> None:
    header("GB/s")
    for width, times in zip(WIDTHS, (60, 8), strict=True):
        _case(f"dense, {width} features", as_recordio(*dense(width, SIZE)), dense_rows, 4 * width, 5, times, rounds)
    _case("sparse, 30 of 100,000", as_recordio(*sparse(SIZE)), sparse_rows, 8 * 30, 2, 50, rounds)
    features, labels = dense(784, SIZE)
    pixels = np.clip(64 * features + 96, 0, 255).astype(np.int32)
    _case("integers 0 to 255, 784 features", as_recordio(pixels, labels), dense_rows, 2 * 784, None, None, rounds)


def _case(
    name: str, data: bytes, peer: Any, row_bytes: int, rate: float | None, times: float | None, rounds: int
) -> None:
    part = first_records(data, max(200, 10_000_000 // row_bytes))  # the peer's rate does not depend on the length
    room, batch = np.empty(PIECE, np.uint8), BATCH * row_bytes
    works = {
        "blocks": Work.through(lambda: recordio.blocks(data, RECORDIO), len(data)),
        "batches": Work.through(lambda: recordio.batches(data, RECORDIO, BATCH), len(data)),
        PROTOBUF: Work(lambda: peer(part), len(part)),
        ONCE: Work(lambda: copied(data, PIECE, room), len(data)),
        TWICE: Work(lambda: copied(data, batch, None), len(data)),
    }
    judged: list[Ratio | Rate] = []
    for ours, bound in (("blocks", ONCE), ("batches", TWICE)):
        judged += [] if rate is None else [Rate(ours, rate)]
        judged += [Ratio(ours, PROTOBUF, times), Ratio(ours, bound)]
    table(name, works, judged, rounds)


def copied(data: bytes, piece: int, room: Any) -> None:
    """Copy bytes piece by piece, into one room or into new memory each time."""
    source = np.frombuffer(data, np.uint8)
    for start in range(0, len(source), piece):
        some = source[start : start + piece]
        if room is None:
            some.copy()
        else:
            np.copyto(room[: len(some)], some)


def payloads(data: bytes) -> Iterator[bytes]:
    """Payloads of frames that are whole."""
    at = 0
    while at < len(data):
        _, length = struct.unpack_from("<II", data, at)
        yield data[at + 8 : at + 8 + length]
        at += 8 + length + -length % 4


def first_records(data: bytes, count: int) -> bytes:
    at = 0
    for _ in range(count):
        if at >= len(data):
            break
        _, length = struct.unpack_from("<II", data, at)
        at += 8 + length + -length % 4
    return data[:at]


def parsed(data: bytes) -> Iterator[tuple[Any, float]]:
    """Tensor of the features, and the label, of each record."""
    for payload in payloads(data):
        record = Record()
        record.ParseFromString(payload)
        value = record.features["values"]
        yield getattr(value, value.WhichOneof("value")), record.label["values"].float32_tensor.values[0]


def dense_rows(data: bytes) -> tuple[Matrix, Matrix]:
    rows, labels = [], []
    for tensor, label in parsed(data):
        rows.append(np.array(tensor.values, np.float32))  # the quickest of four ways at 784 features
        labels.append(label)
    return np.stack(rows), np.array(labels, np.float32)


def sparse_rows(data: bytes) -> tuple[csr_array[Any], Matrix]:
    values, keys, labels = [], [], []
    for tensor, label in parsed(data):
        values.append(np.array(tensor.values, np.float32))
        keys.append(np.array(tensor.keys, np.int32))
        labels.append(label)
    ends = np.cumsum([0, *map(len, keys)])
    matrix = csr_array((np.concatenate(values), np.concatenate(keys), ends), shape=(len(keys), SPARSE_WIDTH))
    return matrix, np.array(labels, np.float32)
