"""Writing: matrices to RecordIO of Record messages, as the SageMaker SDK's writers do."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recordio.errors import DataError
from recordio.framing import HEAD, LENGTH_BITS, MAGIC, Writable, write_record
from recordio.protobuf import FEATURES, KEY, LABEL, TENSORS, Record
from recordio.wire import opening

Table = NDArray[Any]
GROUP_BYTES = 4 * 2**20  # frames written at once


def write_dense(file: Writable, array: ArrayLike, labels: ArrayLike | None = None) -> None:
    """Write a Record for each row.

    array    (records, width), or (width,) for one record; float32, float64 or integers, and no digit is lost
    labels   (records,) or (records, labels), of a type of its own
    Raises DataError for other types, and for integers outside 32 bits.
    """
    features = np.atleast_2d(_numbers(array, "array"))
    if features.ndim != 2 or not features.shape[1]:
        raise DataError(f"array: got shape {features.shape}, expected (records, width)")
    columns = [(FEATURES, KEY, features)]
    if labels is not None:
        columns.append((LABEL, KEY, _labels(labels, len(features))))
    _write(file, columns)


def write_sparse(file: Writable, csr: Any, labels: ArrayLike | None = None) -> None:
    """Write a Record with keys and shape for each row of a sparse matrix; see `write_dense`."""
    csr = csr.tocsr()
    values = _numbers(csr.data, "csr")
    targets = None if labels is None else _labels(labels, csr.shape[0])
    for row, (start, end) in enumerate(pairwise(csr.indptr.tolist())):
        record = Record()
        tensor = _fill(record.features[KEY], values[start:end])
        tensor.keys.extend(csr.indices[start:end].tolist())
        tensor.shape.append(csr.shape[1])
        if targets is not None:
            _fill(record.label[KEY], targets[row])
        write_record(file, record.SerializeToString())


def write_labels(file: Writable, columns: Mapping[str, Table]) -> None:
    """Write a Record for each row of a reply: columns (records, n) as float32 tensors in label, under their names."""
    _write(file, [(LABEL, name, np.asarray(column, np.float32)) for name, column in columns.items()])


def _write(file: Writable, columns: list[tuple[int, str, Table]]) -> None:
    """Write Records of dense tensors: (number of the map, key, values of each record)."""
    parts = []
    for number, name, table in columns:
        if (packed := _packed(table)) is None:
            return _write_each(file, columns)
        parts.append((_opening(number, name, table, packed.shape[1]), packed))

    # All frames have one layout: bytes that are the same in each, with the numbers between them.
    length = sum(len(before) + packed.shape[1] for before, packed in parts)
    if length >> LENGTH_BITS:
        raise DataError(f"got a record of {length} bytes, expected fewer than {1 << LENGTH_BITS}")
    template = bytearray(HEAD.pack(MAGIC, length))
    places = []
    for before, packed in parts:
        template += before
        places.append(slice(len(template), len(template) + packed.shape[1]))
        template += bytes(packed.shape[1])
    template += bytes(-length % 4)
    records, group = len(columns[0][2]), max(1, GROUP_BYTES // len(template))
    frames = np.tile(np.frombuffer(template, np.uint8), (min(group, records), 1))
    for start in range(0, records, group):
        some = frames[: records - start]
        for place, (_, packed) in zip(places, parts, strict=True):
            some[:, place] = packed[start : start + group]
        file.write(some.tobytes())
    return None


def _write_each(file: Writable, columns: list[tuple[int, str, Table]]) -> None:
    for row in range(len(columns[0][2])):
        record = Record()
        for number, name, table in columns:
            _fill((record.features if number == FEATURES else record.label)[name], table[row])
        write_record(file, record.SerializeToString())


def _fill(value: Any, numbers: Table) -> Any:
    tensor = getattr(value, _kind(numbers))
    tensor.SetInParent()  # also when there is no number: the shape may follow
    tensor.values.extend(numbers.tolist())
    return tensor


def _opening(number: int, name: str, table: Table, size: int) -> bytes:
    """The bytes of a map entry up to the packed values, `size` bytes, that end it."""
    values = opening(1, size)
    tensor = opening(TENSORS[_kind(table)], len(values) + size) + values
    key = opening(1, len(name.encode())) + name.encode()
    entry = key + opening(2, len(tensor) + size) + tensor
    return opening(number, len(entry) + size) + entry


def _packed(table: Table) -> NDArray[np.uint8] | None:
    """The values of each record as a packed field holds them, (records, bytes); None when lengths differ."""
    if table.dtype.kind == "f":
        size = table.shape[1] * table.dtype.itemsize
        return np.ascontiguousarray(table, table.dtype.newbyteorder("<")).view(np.uint8).reshape(len(table), size)
    if ((table < 0) | (table > 0x7F)).any():
        return None  # varints of more than one byte
    return table.astype(np.uint8)


def _kind(numbers: Table) -> str:
    return {"f4": "float32_tensor", "f8": "float64_tensor"}.get(numbers.dtype.str[1:], "int32_tensor")


def _numbers(array: ArrayLike, name: str) -> Table:
    numbers = np.asarray(array)
    if numbers.dtype.kind in "iu":
        if numbers.size and not -(2**31) <= int(numbers.min()) <= int(numbers.max()) < 2**31:
            raise DataError(f"{name}: got integers outside 32 bits; make it float64")
    elif numbers.dtype.str[1:] not in ("f4", "f8"):
        raise DataError(f"{name}: got type {numbers.dtype}, expected float32, float64 or integers")
    return numbers


def _labels(labels: ArrayLike, records: int) -> Table:
    numbers = _numbers(labels, "labels")
    if numbers.ndim not in (1, 2) or len(numbers) != records:
        raise DataError(f"labels: got shape {numbers.shape}, expected ({records},) or ({records}, labels)")
    return numbers.reshape(records, 1) if numbers.ndim == 1 else numbers
