"""Encoding: named columns of a reply to bytes of any content type.

Libraries are imported where they are used: protobuf and orjson are for the types that need them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recordio.content_types import CSV, JSON, JSON_LINES, RECORDIO, ContentType, UnsupportedContentType
from recordio.errors import AlgorithmError

REPLIES = (JSON, JSON_LINES, CSV, RECORDIO)
PIECE_RECORDS = 8192


@dataclass(frozen=True)
class CsvForm:
    """How CSV is written.

    lists   several values of one column: as `cells` of their own, as one `quoted` cell that holds a JSON list,
            "[0.5, 0.5]", or the same `bare`. Integers are then integers, as in JSON
    ended   whether there is a newline after the last line
    """

    lists: Literal["cells", "quoted", "bare"] = "cells"
    ended: bool = False


CELLS = CsvForm()


def encode(
    columns: Mapping[str, NDArray[Any]],
    content_type: ContentType | str,
    envelope: str = "predictions",
    csv: CsvForm = CELLS,
) -> bytes:
    """A reply, one entry for each record, in order.

    Integers are integers in JSON; all else is written as floats, a float32 as the float64 it equals.

    columns    name to (records,) or (records, n, …), as many records each: numbers, or of type object texts that UTF-8
               can hold; of None, where a column has no values: NaN
    returns    JSON: {envelope: [{name: value or list}]}; JSON Lines: those objects, one a line; CSV: all values of a
               record joined by commas, one record a line, no names; RecordIO: a Record whose label maps name to a
               float32 tensor, or to bytes, one for each text. Lines have no newline after the last: AssembleWith=Line
               adds it.
    Raises UnsupportedContentType for other types, and AlgorithmError when a number is nan or infinite.
    """
    kind = ContentType.parse(content_type).type
    if kind not in REPLIES:
        raise UnsupportedContentType(f"content-type {kind[:100]} not supported")
    dtype = np.float32 if kind == RECORDIO else np.float64
    whole = kind in (JSON, JSON_LINES) or (kind == CSV and csv.lists != "cells")
    with np.errstate(over="ignore"):
        tables = {
            name: column if _texts(column) or (whole and column.dtype.kind in "iu") else column.astype(dtype)
            for name, column in columns.items()
        }
    for name, table in tables.items():
        if columns[name].dtype != object and not (finite := np.isfinite(table)).all():
            raise AlgorithmError(f"{name} of record {np.argwhere(~finite)[0, 0]} is not a finite {np.dtype(dtype)}")

    if kind == RECORDIO:
        from recordio.writing import write_labels

        body = BytesIO()
        write_labels(body, {name: _two_axes(table) for name, table in tables.items()})
        return body.getvalue()
    if kind == CSV:
        text = "\n".join(_cells(tables) if csv.lists == "cells" else _lists(tables, csv.lists))
        return (text + "\n" if csv.ended and text else text).encode()

    import orjson

    nothing = {name for name, column in columns.items() if column.dtype == object and not _texts(column)}

    def objects(*piece: NDArray[Any]) -> list[dict[str, Any]]:
        lists = (
            [orjson.Fragment(b"NaN")] * len(part) if name in nothing else part.tolist()
            for name, part in zip(tables, piece, strict=True)
        )
        return [dict(zip(tables, record, strict=True)) for record in zip(*lists, strict=True)]

    some = map(objects, *map(_pieces, tables.values()))
    if kind == JSON:
        return b"{%s:[%s]}" % (orjson.dumps(envelope), b",".join(orjson.dumps(piece)[1:-1] for piece in some))
    return b"\n".join(b"\n".join(map(orjson.dumps, piece)) for piece in some)


def _cells(tables: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """Lines, many at once."""
    matrix = np.concatenate([_two_axes(table) for table in tables.values()], axis=1)
    cell = _cell if matrix.dtype == object else repr
    return ("\n".join(",".join(map(cell, record)) for record in piece.tolist()) for piece in _pieces(matrix))


def _lists(tables: Mapping[str, NDArray[Any]], lists: str) -> Iterator[str]:
    some_texts = any(table.dtype == object for table in tables.values())
    listed = json.JSONEncoder(ensure_ascii=False).encode if some_texts else str  # the same for numbers, but quicker

    def text(value: object) -> str:
        if not isinstance(value, list):
            return _cell(value)
        return _quoted(listed(value)) if lists == "quoted" else listed(value)

    for pieces in zip(*map(_pieces, tables.values()), strict=True):
        records = zip(*(piece.tolist() for piece in pieces), strict=True)
        yield "\n".join(",".join(map(text, record)) for record in records)


def _cell(value: object) -> str:
    if not isinstance(value, str):
        return repr(value)
    return _quoted(value) if set(',"\r\n') & set(value) else value


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _texts(column: NDArray[Any]) -> bool:
    return column.dtype == object and column.size > 0 and column.flat[0] is not None


def _pieces(table: NDArray[Any]) -> list[NDArray[Any]]:
    """A few thousand records each: a large reply does not need all its numbers as Python objects at once."""
    return [table[start : start + PIECE_RECORDS] for start in range(0, len(table), PIECE_RECORDS)]


def _two_axes(table: NDArray[Any]) -> NDArray[Any]:
    return table.reshape(len(table), math.prod(table.shape[1:]))
