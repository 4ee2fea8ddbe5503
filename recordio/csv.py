"""CSV of numbers to batches: comma, no header, labels first.

Records and columns are counted from 0, blank lines not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from numpy.typing import DTypeLike

from recordio import csv_cells
from recordio.batch import Batch
from recordio.errors import DataError
from recordio.limits import Limits
from recordio.rows import labels_of
from recordio.streams import Text, lines


def blocks(stream: Iterator[bytes], *, label_size: int, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of the lines that each piece of the stream completes. An empty cell is nan."""
    first = columns = 0
    for text in lines(stream, limits.line_bytes, ends=b"\n\r"):
        start = 0
        if not columns:
            start, columns = csv_cells.layout(text)
            if columns > limits.dense_width + label_size:
                raise DataError(f"record 0: got {columns} columns, the limit is {limits.dense_width}")
            if 0 < columns <= label_size:
                raise DataError(f"record 0: got {columns} columns, expected features after {label_size} label columns")
        while start < len(text) and columns:
            table, start, stopped = csv_cells.read(text, start, columns, dtype)
            if len(table):
                yield Batch(table[:, label_size:], labels_of(table[:, :label_size]))
            first += len(table)
            if stopped >= 0:
                raise _fault(text, start, first, stopped, columns, label_size)


LINE_END = re.compile(rb"[\r\n]|\Z")
CELL = re.compile(rb'(?:"([^"]*+(?:""[^"]*+)*+)"?+)?([^,]*+)')
# Without going back, so that a cell of a million digits or spaces takes no longer than it must.
NUMBER = re.compile(
    rb"[ \t]*+((?:[+-]?(?:(?:\d++(?:\.\d*+)?+|\.\d++)(?:e[+-]?\d++)?+|inf(?:inity)?+|nan))?+)[ \t]*+",
    re.IGNORECASE,
)


def _fault(text: Text, start: int, record: int, stopped: int, columns: int, label_size: int) -> DataError:
    """What is wrong with a line: its cells before `start`, in column `stopped`, are numbers."""
    end = LINE_END.search(text, start).start()  # type: ignore[union-attr]
    column = stopped
    for column, cell in enumerate(_cells(text, start, end), start=stopped):
        if not NUMBER.fullmatch(cell):
            header = column == 0 and not any(map(NUMBER.fullmatch, _cells(text, start, end)))
            hint = "; is this a header? CSV must not have one" if header else ""
            return _not_a_number(record, column, cell, hint)
    if column + 1 != columns:
        return DataError(f"record {record}: got {column + 1 - label_size} features, expected {columns - label_size}")
    return _not_a_number(record, stopped, CELL.match(text, start, end)[0])  # type: ignore[index]


def _cells(text: Text, start: int, end: int) -> Iterator[bytes]:
    """The cells of text[start:end], without their quotes."""
    while match := CELL.match(text, start, end):
        quoted, rest = match.groups()
        yield rest if quoted is None else quoted.replace(b'""', b'"') + rest
        if match.end() == end:
            return
        start = match.end() + 1


def _not_a_number(record: int, column: int, cell: bytes, hint: str = "") -> DataError:
    shown = cell[:160].decode("utf-8", "replace")[:40]
    return DataError(f"record {record}, column {column}: got {shown!r}, expected a number{hint}")
