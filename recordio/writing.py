"""Writing: matrices to RecordIO of Record messages, as the SageMaker SDK's writers do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recordio.errors import DataError
from recordio.frames import Column, frames
from recordio.framing import Writable, write_record
from recordio.schema import FEATURES, KEY, LABEL

Table = NDArray[Any]
GROUP_BYTES = 2**19  # of numbers written at once, so that they stay in the processor's cache


def write_dense(file: Writable, array: ArrayLike, labels: ArrayLike | None = None) -> None:
    """Write a Record for each row.

    array    (records, width), or (width,) for one record; float32, float64 or integers, and no digit is lost
    labels   (records,) or (records, labels), of a type of its own
    Raises DataError for other types, and for integers outside 32 bits.
    """
    features = np.atleast_2d(_numbers(array, "array"))
    if features.ndim != 2 or not features.shape[1]:
        raise DataError(f"array: got shape {features.shape}, expected (records, width)")
    tables = [(FEATURES, KEY, features)]
    if labels is not None:
        tables.append((LABEL, KEY, _labels(labels, len(features))))
    _write_tables(file, tables)


def write_sparse(file: Writable, csr: Any, labels: ArrayLike | None = None) -> None:
    """Write a Record with keys and shape for each row of a sparse matrix; see `write_dense`."""
    csr = csr.tocsr()
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    values = _numbers(csr.data, "csr")
    targets = None if labels is None else _labels(labels, csr.shape[0])
    ends = csr.indptr.astype(np.int64)
    start = 0
    while start < csr.shape[0]:
        # As many rows as hold the numbers of a group, and one at least.
        most = ends[start] + GROUP_BYTES // values.itemsize
        stop = max(start + 1, min(int(np.searchsorted(ends, most, side="right")) - 1, start + GROUP_BYTES // 64))
        entries = slice(ends[start], ends[stop])
        keys = csr.indices[entries].astype(np.int64)
        columns = [
            Column(FEATURES, KEY, _plain(values[entries]), ends[start : stop + 1] - ends[start], keys, csr.shape[1])
        ]
        if targets is not None:
            columns.append(_column(LABEL, KEY, targets[start:stop]))
        _write(file, columns, stop - start)
        start = stop


def write_labels(file: Writable, columns: Mapping[str, Table]) -> None:
    """Write a Record for each row of a reply, with the columns (records, n) under their names in label.

    Numbers are float32 tensors; texts, of type object, are bytes.
    """
    if any(column.dtype == object for column in columns.values()):
        _write_texts(file, columns)
        return
    _write_tables(file, [(LABEL, name, np.asarray(column, np.float32)) for name, column in columns.items()])


def _write_tables(file: Writable, tables: list[tuple[int, str, Table]]) -> None:
    """Write Records of dense tensors: (number of the map, key, values of each record)."""
    for rows in _groups(len(tables[0][2]), sum(table.shape[1] * table.itemsize for _, _, table in tables)):
        some = [_column(number, name, table[rows]) for number, name, table in tables]
        _write(file, some, rows.stop - rows.start)


def _write_texts(file: Writable, columns: Mapping[str, Table]) -> None:
    from recordio.protobuf import Record

    for rows in zip(*columns.values(), strict=True):
        record = Record()
        for name, row in zip(columns, rows, strict=True):
            if row.dtype == object:
                record.label[name].bytes.value.extend(text.encode() for text in row)
            else:
                record.label[name].float32_tensor.values.extend(row)
        write_record(file, record.SerializeToString())


def _groups(records: int, record_bytes: int) -> Iterator[slice]:
    size = max(1, GROUP_BYTES // max(record_bytes, 64))
    for start in range(0, records, size):
        yield slice(start, min(records, start + size))


def _write(file: Writable, columns: list[Column], records: int) -> None:
    try:
        file.write(frames(columns, records))
    except ValueError as error:
        raise DataError(str(error)) from None


def _column(number: int, name: str, table: Table) -> Column:
    ends = np.arange(len(table) + 1, dtype=np.int64) * table.shape[1]
    return Column(number, name, _plain(table).reshape(-1), ends)


def _plain(numbers: Table) -> Table:
    """The numbers as they lie in a tensor, little-endian and in one piece."""
    kind = numbers.dtype.newbyteorder("<") if numbers.dtype.kind == "f" else "<i4"
    return np.ascontiguousarray(numbers, kind)


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
