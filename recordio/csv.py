"""CSV of numbers to batches: no header, labels first.

Cells are parted by commas, or by another character of DELIMITED if the first line has no comma and is numbers so.
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


def blocks(
    stream: Iterator[bytes], *, label_size: int, dtype: DTypeLike, limits: Limits, weighted: bool = False
) -> Iterator[Batch]:
    """Batches of the lines that each piece of the stream completes. An empty cell is nan.

    weighted   whether the column after the labels is the records' weight
    """
    first = columns = 0
    leading = label_size + weighted
    commas: bytes | None = None  # what makes it plain CSV, where it is parted by others
    for text in lines(stream, limits.line_bytes, ends=b"\n\r"):
        start = 0
        if not columns:
            commas = _translation(text, csv_cells.layout(text)[0])
        if commas is not None:
            text = text.translate(commas)  # noqa: PLW2901
        if not columns:
            start, columns = csv_cells.layout(text)
            if columns > limits.dense_width + leading:
                raise DataError(f"record 0: got {columns} columns, the limit is {limits.dense_width}")
            if 0 < columns <= leading:
                raise DataError(
                    f"record 0: got {columns} columns, expected features after {_named(label_size, weighted)}"
                )
        while start < len(text) and columns:
            table, start, stopped = csv_cells.read(text, start, columns, dtype)
            if len(table):
                weights = table[:, label_size] if weighted else None
                yield Batch(table[:, leading:], labels_of(table[:, :label_size]), weights)
            first += len(table)
            if stopped >= 0:
                fault = _fault(text, start, first, stopped, columns, leading)
                raise fault if commas is None else DataError(str(fault).replace(r"\x00", ","))


def _named(label_size: int, weighted: bool) -> str:
    return f"{label_size} label columns{' and one of weights' * weighted}"


def _translation(text: Text, start: int) -> bytes | None:
    """A table of bytes that makes commas of what parts the numbers of the first line, and NUL of commas; or None."""
    end = LINE_END.search(text, start).start()  # type: ignore[union-attr]
    if text.find(b",", start, end) >= 0:
        return None
    for delimiter, line in DELIMITED.items():
        if line.fullmatch(text, start, end):
            return bytes.maketrans(delimiter + b",", b",\0")
    return None


LINE_END = re.compile(rb"[\r\n]|\Z")
CELL = re.compile(rb'(?:"([^"]*+(?:""[^"]*+)*+)"?+)?([^,]*+)')
# Without going back, so that a cell of a million digits or spaces takes no longer than it must.
NUMBER = re.compile(
    rb"[ \t]*+((?:[+-]?(?:(?:\d++(?:\.\d*+)?+|\.\d++)(?:e[+-]?\d++)?+|inf(?:inity)?+|nan))?+)[ \t]*+",
    re.IGNORECASE,
)
CELLS = rb"[ ]*+(?:%b)?+[ ]*+(?:[%b][ ]*+(?:%b)?+[ ]*+)++"
SIMPLE = rb"[+-]?(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?\d++)?+"
DELIMITED = {mark: re.compile(CELLS % (SIMPLE, mark, SIMPLE)) for mark in (b";", b"\t", b"|")} | {
    b" ": re.compile(rb"%b(?: %b)++" % (SIMPLE, SIMPLE))
}


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
