"""Parquet files to batches, a row group at a time and each in parts.

The reading is pyarrow's. How much memory that takes is up to the file: `pages` looks before it happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray
from pyarrow import compute, parquet, types

from recordio.batch import Batch
from recordio.errors import DataError
from recordio.files import held, opened, seekable
from recordio.limits import LIMITS, Limits
from recordio.pages import Chunk, cost, groups
from recordio.rows import labels_of
from recordio.streams import Readable, Source, pieces

BATCH_BYTES = 2**22  # of numbers in one batch, unless one record has more
BUFFER_BYTES = 2**24  # read ahead of all columns together
LEAST_BUFFER_BYTES = 2**12  # of one column
LIST_VALUE_BYTES = 8  # of a number in a list, with what says where lists begin
MAGIC = b"PAR1"
PANDAS_INDEX = "__index_level_"  # begins the names of columns that hold row labels of pandas, not data


def blocks(source: Source, *, label_size: int, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of numeric and boolean columns, of which the first `label_size` are labels. A null is nan.

    One column of lists may hold all features. A stream is held in memory, up to `limits.record_bytes`. So much is the
    limit for what reading takes, too: a row group whose pages need more is read a few columns at a time.
    """
    with opened(source) as stream:
        file = seekable(stream) or held(stream, limits.record_bytes, "Parquet")
        try:
            whole = _Table(file, label_size, np.dtype(dtype), limits)
            for table in whole.parts():
                yield Batch(table[:, label_size:], labels_of(table[:, :label_size]), names=whole.names(label_size))
        except OSError as error:
            if error.errno is not None:  # the disk's, not pyarrow's
                raise
            raise _unreadable(error) from None
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise _unreadable(error) from None


def files(stream: Readable, limit: int = LIMITS.record_bytes) -> Iterator[bytes]:
    """The files that follow one another in a stream, as a pipe brings them. Raises DataError for one beyond the limit.

    A file begins and ends with PAR1, before which stands the length of its metadata: that tells an end from bytes that
    look like one.
    """
    body = bytearray()
    at = 0
    for piece in pieces(stream):
        body += piece
        while (end := body.find(MAGIC + MAGIC, at) + len(MAGIC)) >= len(MAGIC):
            at = end
            length = int.from_bytes(body[end - 2 * len(MAGIC) : end - len(MAGIC)], "little")
            if 0 < length <= end - 3 * len(MAGIC):
                yield bytes(body[:end])
                del body[:end]
                at = 0
        at = max(at, len(body) - 2 * len(MAGIC) + 1)
        if len(body) > limit:
            raise DataError(f"got a stream of more than {limit} bytes of Parquet, which must seek; read it from a file")
    if body:
        yield bytes(body)


def _unreadable(error: Exception) -> DataError:
    return DataError(f"got a Parquet file that can't be read: {' '.join(str(error).split())[:200]}")


class _Column(NamedTuple):
    place: int  # in the file
    name: str
    lists: bool


class _Group(NamedTuple):
    number: int
    first: int  # record of the file
    rows: int
    width: int  # numbers of a record, about


class _Table:
    """An open file."""

    def __init__(self, file: Any, label_size: int, dtype: np.dtype[Any], limits: Limits) -> None:
        # Asked of pyarrow, metadata that contradicts itself can end the process.
        self._groups = groups(file)
        self._file, self._dtype, self._limits = file, dtype, limits
        self._most = limits.record_bytes // 2  # for pages, and again for what is made of them
        source = pa.PythonFile(file, mode="r")
        opened = parquet.ParquetFile(source, pre_buffer=False)
        if not any(group.rows for group in self._groups):
            self._groups = []
            return
        self._columns = _columns(opened.schema_arrow, opened.metadata.num_columns, label_size)
        buffer = max(LEAST_BUFFER_BYTES, min(BUFFER_BYTES // len(self._columns), BUFFER_BYTES // 16))
        self._parquet = parquet.ParquetFile(source, metadata=opened.metadata, pre_buffer=False, buffer_size=buffer)

    def names(self, label_size: int) -> tuple[str, ...] | None:
        """Of the features, where each has a column of its own."""
        columns = self._columns[label_size:]
        return None if any(column.lists for column in columns) else tuple(column.name for column in columns)

    def parts(self) -> Iterator[NDArray[Any]]:
        """All records, a few at a time."""
        first = 0
        for number, (rows, chunks) in enumerate(self._groups):
            if len(chunks) < len(self._columns):
                raise DataError(f"row group {number}: got {len(chunks)} columns, expected {len(self._columns)}")
            some, width = self._together(number, rows, chunks)
            group = _Group(number, first, rows, width)
            if len(some) == 1:
                yield from (numbers for _, numbers in self._read(group, self._columns))
            else:
                yield from self._read_apart(group, some)
            first += rows

    def _together(self, number: int, rows: int, chunks: Sequence[Chunk]) -> tuple[list[list[_Column]], int]:
        """Columns that can be read together within half of the limit, and how many numbers a record has.

        Raises DataError for a column that needs more alone.
        """
        some: list[list[_Column]] = [[]]
        size = width = 0
        for column in self._columns:
            try:
                need = cost(self._file, chunks[column.place])
            except DataError as error:
                raise DataError(f"row group {number}, column {column.name!r}: {error}") from None
            taken = need.size + (need.values * LIST_VALUE_BYTES if column.lists else 0)
            if taken > self._most or (column.lists and size + taken > self._most):
                what = f"{need.values} numbers in lists" if column.lists else f"pages of {need.size} bytes"
                raise DataError(
                    f"row group {number}, column {column.name!r}: got {what}, which take {taken} bytes, "
                    f"the limit is {self._most}; write smaller row groups"
                )
            if size + taken > self._most:
                some.append([])
                size = 0
            some[-1].append(column)
            size += taken
            width += max(1, need.values // max(rows, 1)) if column.lists else 1
        return some, width

    def _read(self, group: _Group, columns: Sequence[_Column], start: int = 0) -> Iterator[tuple[int, NDArray[Any]]]:
        """The numbers of some columns, (records, numbers), a few records at a time, with the first one's place.

        start   record of the group that the first numbers shall hold, somewhere
        """
        at = 0
        width = group.width if any(column.lists for column in columns) else len(columns)
        size = max(1, BATCH_BYTES // (width * self._dtype.itemsize))
        for batch in self._parquet.iter_batches(size, [group.number], [column.name for column in columns]):
            if at + len(batch) > start:
                yield at, self._numbers(batch, columns, group.first + at)
            at += len(batch)
        if at != group.rows:
            raise DataError(f"row group {group.number}: got {at} records, expected {group.rows}")

    def _read_apart(self, group: _Group, some: list[list[_Column]]) -> Iterator[NDArray[Any]]:
        """The numbers of all columns, whose pages do not fit into memory together.

        As many records as fit are put together from a few columns at a time; for the next ones, all is read again.
        """
        row_bytes = group.width * self._dtype.itemsize
        room = np.empty((min(group.rows, max(1, self._most // row_bytes)), group.width), self._dtype)
        piece = max(1, BATCH_BYTES // row_bytes)
        for start in range(0, group.rows, len(room)):
            end = min(start + len(room), group.rows)
            left = 0
            for columns in some:
                right = left + len(columns)
                for at, numbers in self._read(group, columns, start):
                    found = numbers[max(start - at, 0) : end - at]
                    place = max(at - start, 0)
                    room[place : place + len(found), left:right] = found
                    if at + len(numbers) >= end:
                        break
                left = right
            for at in range(0, end - start, piece):
                yield room[at : min(at + piece, end - start)].copy()

    def _numbers(self, batch: Any, columns: Sequence[_Column], first: int) -> NDArray[Any]:
        parts = []
        for column in columns:
            values = batch.column(column.name)
            width = 1
            if column.lists:
                values, width = _flat(values, column.name, first, self._limits)
            # A cast beyond float32 gives infinity, which the caller judges; a null then is nan.
            numbers = values.cast(pa.from_numpy_dtype(self._dtype), safe=False).to_numpy(zero_copy_only=False)
            parts.append(numbers.reshape(len(batch), width))
        return np.concatenate(parts, axis=1)


def _columns(schema: Any, leaves: int, label_size: int) -> list[_Column]:
    """The columns that hold numbers. Raises DataError for any other, but row labels of pandas are passed over."""
    columns = []
    for place, field in enumerate(schema):
        if field.name.startswith(PANDAS_INDEX):
            continue
        lists = types.is_list(field.type) or types.is_large_list(field.type) or types.is_fixed_size_list(field.type)
        kind = field.type.value_type if lists else field.type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            raise DataError(f"column {place} ({field.name!r}): got type {str(field.type)[:80]}, expected numbers")
        columns.append(_Column(place, field.name, lists))
    if len(columns) <= label_size:
        raise DataError(f"got {len(columns)} columns, expected features after {label_size} label columns")
    for column in columns[:-1] if len(columns) == label_size + 1 else columns:
        if column.lists:
            raise DataError(
                f"column {column.place} ({column.name!r}): got lists, expected numbers; "
                f"only a single column after {label_size} label columns may hold lists"
            )
    if leaves != len(schema):
        raise DataError(f"got {leaves} columns for {len(schema)} names, expected a flat table")
    if len(names := {column.name for column in columns}) < len(columns):
        raise DataError(f"got {len(names)} names for {len(columns)} columns, expected each name once")
    return columns


def _flat(lists: Any, name: str, first: int, limits: Limits) -> tuple[Any, int]:
    """The numbers of all lists, which must be of one length, and that length."""
    if lists.null_count:
        at = int(np.flatnonzero(lists.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"record {first + at}: got null in column {name!r}, expected a list of numbers")
    lengths = compute.list_value_length(lists).to_numpy(zero_copy_only=False)
    width = int(lengths[0])
    if not 0 < width <= limits.dense_width:
        raise DataError(f"record {first}: got {width} features, expected 1 to {limits.dense_width}")
    if (differs := lengths != width).any():
        at = int(differs.argmax())
        raise DataError(f"record {first + at}: got {lengths[at]} features, expected {width}")
    return lists.flatten(), width
