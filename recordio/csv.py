"""CSV of numbers to batches: comma, no header, labels first.

Records and columns are counted from 0, blank lines not at all.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray
from pyarrow import csv as arrow

from recordio.batch import Batch
from recordio.errors import DataError
from recordio.limits import Limits
from recordio.rows import labels_of
from recordio.streams import lines

NOT_SEPARATORS = bytes(set(range(256)) - set(b",\n"))


def blocks(stream: Iterator[bytes], *, label_size: int, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of the lines that each piece of the stream completes. An empty cell is nan."""
    first = 0
    columns = None
    for some in lines(stream, limits.line_bytes):
        text = some.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in some else some
        text = text if text.endswith(b"\n") else text + b"\n"
        start = len(text) - len(text.lstrip(b"\n"))
        if start == len(text):
            continue
        columns = columns or text.count(b",", start, text.index(b"\n", start)) + 1
        if columns > limits.dense_width + label_size:
            raise DataError(f"record {first}: got {columns} columns, the limit is {limits.dense_width}")
        # Looking for blank lines costs as much as counting commas, so it waits until these don't fit.
        if columns == 1 or not _is_rectangular(text, columns):
            text = re.sub(rb"\n+", b"\n", text).lstrip(b"\n")
        if columns <= label_size or not _is_rectangular(text, columns):
            raise _fault(text, first, columns, label_size)
        table = _table(text, columns, dtype)
        if table is None:
            raise _fault(text, first, columns, label_size)
        yield Batch(table[:, label_size:], labels_of(table[:, :label_size]))
        first += len(table)


def _is_rectangular(text: bytes, columns: int) -> bool:
    """Whether each line has so many columns."""
    separators = text.translate(None, NOT_SEPARATORS)
    rows, rest = divmod(len(separators), columns)
    return not rest and separators == (b"," * (columns - 1) + b"\n") * rows


def _table(text: bytes, columns: int, dtype: DTypeLike) -> NDArray[Any] | None:
    """The cells of lines that are rectangular, (records, columns); None when a cell is not a number.

    Read as one long column, which then is the matrix row by row: wide rows cost no more than narrow ones, and nothing
    is transposed.
    """
    column = text.replace(b",", b"\n")
    try:
        cells = arrow.read_csv(
            pa.BufferReader(column),
            arrow.ReadOptions(column_names=["cell"], use_threads=False, block_size=len(column) + 1),
            arrow.ParseOptions(ignore_empty_lines=False),
            arrow.ConvertOptions(column_types={"cell": pa.from_numpy_dtype(np.dtype(dtype))}, null_values=[""]),
        )["cell"]
    except pa.ArrowInvalid:
        return None
    if len(cells) != column.count(b"\n"):  # a quoted cell held a newline, or the comma that we replaced by one
        return None
    return cells.to_numpy().reshape(-1, columns)  # type: ignore[no-any-return]


def _fault(text: bytes, first: int, columns: int, label_size: int) -> DataError:
    """What is wrong with the text, found again at leisure."""
    if columns <= label_size:
        return DataError(f"record {first}: got {columns} columns, expected features after {label_size} label columns")
    decoded = text.decode("utf-8", "replace")
    for record, line in enumerate(decoded.split("\n")[:-1], start=first):
        cells = next(csv.reader([line]), [])
        for column, cell in enumerate(cells):
            if not _is_number(cell):
                header = "; is this a header? CSV must not have one" if not any(map(_is_number, cells)) else ""
                return DataError(f"record {record}, column {column}: got {cell[:40]!r}, expected a number{header}")
        if len(cells) != columns:
            got, expected = len(cells) - label_size, columns - label_size
            return DataError(f"record {record}: got {got} features, expected {expected}")
    return DataError(f"record {first} or after it: got text that is not CSV of numbers")


NUMBER = re.compile(
    r"\s*([+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf(inity)?|nan))?\s*", re.IGNORECASE | re.ASCII
)


def _is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell) is not None
