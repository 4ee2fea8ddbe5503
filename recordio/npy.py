"""NumPy's .npy files to batches, a group of rows at a time.

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Objects are never loaded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from io import BytesIO
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import DTypeLike, NDArray

from recordio.batch import Batch
from recordio.errors import DataError
from recordio.files import opened, seekable
from recordio.limits import Limits
from recordio.rows import cast, labels_of
from recordio.streams import Source
from recordio.window import Window

HEADER_BYTES = 10_000  # what NumPy, whose parser is Python's, deems safe
GROUP_BYTES = 2**24  # of rows gathered from the columns of an array in Fortran order
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object of Python, in the text of an error
COLUMN_BYTES = 2**12  # read from each such column at once, as far as limits allow


class Header(NamedTuple):
    """What a .npy file says of its array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    def matrix(self, limits: Limits, name: str = "") -> tuple[int, int]:
        """Records and columns; an array of one axis is one record. Raises DataError for what is no matrix of numbers.

        name   of the array, for error texts
        """
        where = f"{name}: " if name else ""
        if self.dtype.hasobject:
            raise DataError(f"{where}got an array of Python objects, which are never loaded; expected numbers")
        if self.dtype.kind not in "biuf" or self.dtype.itemsize > 8:
            kind = str(self.dtype)[:40]
            raise DataError(f"{where}got an array of type {kind}, expected booleans, integers or floats up to 64 bits")
        if len(self.shape) not in (1, 2) or min(self.shape) < 0:
            raise DataError(f"{where}got shape {str(self.shape)[:80]}, expected (records, columns)")
        records, columns = (1, *self.shape)[-2:]
        if records and not columns:
            raise DataError(f"{where}got shape {self.shape}, expected one column or more")
        if columns > limits.dense_width:
            raise DataError(f"{where}got {columns} columns, the limit is {limits.dense_width}")
        return records, columns


class Rows:
    """The rows of an array in C order, taken from the front.

    count, columns   of the whole array
    taken            rows so far
    dtype            of its numbers, any that `Header.matrix` allows
    """

    def __init__(self, window: Window, shape: tuple[int, int], dtype: np.dtype[Any], name: str = "") -> None:
        self.count, self.columns = shape
        self.taken = 0
        self._window = window
        self.dtype = dtype
        self._row_bytes = self.columns * dtype.itemsize
        self._where = f"{name}, " if name else ""

    def ready(self) -> int:
        """How many rows have come, at least one; 0 at the end of the array."""
        if self.taken == self.count:
            return 0
        return max(1, min(self._window.fill(self._row_bytes) // self._row_bytes, self.count - self.taken))

    def take(self, rows: int) -> NDArray[Any]:
        """The next rows, (rows, columns), in the array's own type; valid until more are taken."""
        size = rows * self._row_bytes
        if (there := self._window.fill(size)) < size:
            record = self.taken + there // self._row_bytes
            raise DataError(f"{self._where}record {record}: got the end of the data, expected {self.count} records")
        start = self._window.start
        self._window.start += size
        self.taken += rows
        return _view(self._window.data[start : start + size], self.dtype).reshape(rows, self.columns)

    def finish(self) -> None:
        """Raise DataError when something follows the array."""
        if self._window.fill(1):
            raise DataError(f"{self._where}got bytes after the last of {self.count} records, expected the end")


class Columns(Rows):
    """The rows of an array in Fortran order, gathered from a file that can be read anywhere.

    start   of the array in the file
    """

    def __init__(
        self, file: Any, start: int, shape: tuple[int, int], dtype: np.dtype[Any], limits: Limits, name: str = ""
    ) -> None:
        self.count, self.columns = shape
        self.taken = 0
        self._file, self._start = file, start
        self.dtype = dtype
        self._where = f"{name}, " if name else ""
        self._surplus = file.seek(0, 2) - start - prod(shape) * dtype.itemsize
        if self._surplus < 0:
            raise DataError(f"{self._where}got an array cut short by {-self._surplus} bytes (shape {shape})")
        size = max(GROUP_BYTES, min(self.columns * COLUMN_BYTES, limits.record_bytes))
        self._group = max(1, size // (self.columns * 8))  # 8: what a number may take when it is cast

    def ready(self) -> int:
        return min(self._group, self.count - self.taken)

    def take(self, rows: int) -> NDArray[Any]:
        size = self.dtype.itemsize
        gathered = bytearray(rows * self.columns * size)
        room = memoryview(gathered)
        for column in range(self.columns):
            self._file.seek(self._start + (column * self.count + self.taken) * size)
            there = self._file.readinto(room[column * rows * size : (column + 1) * rows * size])
            if there != rows * size:
                raise DataError(f"{self._where}record {self.taken}: got the end of the data in column {column}")
        self.taken += rows
        return _view(gathered, self.dtype).reshape(self.columns, rows).T

    def finish(self) -> None:
        if self._surplus:
            raise DataError(f"{self._where}got bytes after the last of {self.count} records, expected the end")


def blocks(source: Source, *, label_size: int, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of the rows that have come.

    In Fortran order a file is read here and there; a stream is held in memory, up to `limits.record_bytes`.
    """
    with opened(source) as file:
        anywhere = seekable(file)
        base = anywhere.tell() if anywhere else 0
        window = Window(file)
        header = read_header(window)
        shape = header.matrix(limits)
        if anywhere and header.fortran and min(shape) > 1:
            rows: Rows = Columns(anywhere, base + window.offset + window.start, shape, header.dtype, limits)
        else:
            rows = rows_of(window, header, shape, limits)
        yield from dense(rows, None, label_size, dtype)


def dense(rows: Rows, labels: Rows | None, label_size: int, dtype: DTypeLike) -> Iterator[Batch]:
    """Batches of all rows; labels are an array of their own, or else the first `label_size` columns.

    Raises DataError when there are no features beside the labels.
    """
    if labels is not None:
        label_size = 0
    if rows.count and rows.columns <= label_size:
        raise DataError(f"record 0: got {rows.columns} columns, expected features after {label_size} label columns")
    while count := rows.ready():
        table = cast_to(rows.take(count), dtype)
        found = table[:, :label_size] if labels is None else cast_to(labels.take(count), dtype)
        yield Batch(table[:, label_size:], labels_of(found))
    rows.finish()
    if labels is not None:
        labels.finish()


def rows_of(window: Window, header: Header, shape: tuple[int, int], limits: Limits, name: str = "") -> Rows:
    """The rows that follow a header in a stream."""
    if not header.fortran or min(shape) <= 1:
        return Rows(window, shape, header.dtype, name)
    size = prod(shape) * header.dtype.itemsize
    if size > limits.record_bytes:
        where = f"{name}: " if name else ""
        raise DataError(
            f"{where}got {size} bytes in Fortran order in a stream, the limit is {limits.record_bytes}; "
            "read it from a .npy file, or save it in C order"
        )
    body = BytesIO()
    while body.tell() <= size and window.fill(1):
        body.write(window.data[window.start : window.end])
        window.start = window.end
    return Columns(body, 0, shape, header.dtype, limits, name)


def cast_to(numbers: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """A copy in C order and of another type."""
    out = np.empty(numbers.shape, dtype)
    cast(numbers, out)
    return out


def read_header(window: Window, name: str = "") -> Header:
    """The header that the window starts with; the window then starts with the array.

    Raises DataError, with the name of the file before its text.
    """
    where = f"{name}: " if name else ""
    there = window.fill(12)
    start = bytes(window.data[window.start : window.start + min(there, 12)])
    if not start.startswith(npy_format.MAGIC_PREFIX):
        raise DataError(f"{where}got bytes that begin with {start[:6]!r}, expected a .npy file")
    version = tuple(start[6:8])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise DataError(f"{where}got .npy version {'.'.join(map(str, version))}, expected 1.0, 2.0 or 3.0")
    code = struct.Struct("<H" if version == (1, 0) else "<I")
    if there < 8 + code.size:
        raise DataError(f"{where}got {there} bytes, expected a .npy header")
    (length,) = code.unpack_from(start, 8)
    if length > HEADER_BYTES:
        raise DataError(f"{where}got a .npy header of {length} bytes, the limit is {HEADER_BYTES}")
    length += 8 + code.size
    if (there := window.fill(length)) < length:
        raise DataError(f"{where}got {there} bytes, expected a .npy header of {length}")
    text = BytesIO(window.data[window.start + 8 : window.start + length])
    # Version 3.0 differs from 2.0 in how the names of fields are spelt, which arrays of numbers have not.
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(text, HEADER_BYTES)
    except Exception as error:  # the header is a Python literal, which can be wrong in as many ways as Python
        fault = ADDRESS.sub("", str(error))[:200]
        raise DataError(f"{where}got a .npy header that can't be read: {fault}") from None
    if any(isinstance(size, bool) for size in shape):  # whole numbers to NumPy's parser, not to its arrays
        raise DataError(f"{where}got shape {shape}, expected numbers")
    window.start += length
    return Header(shape, fortran, dtype)


def _view(data: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "b":
        return np.not_equal(np.frombuffer(data, np.uint8), 0)  # bytes other than 0 and 1 confuse NumPy
    return np.frombuffer(data, dtype)
