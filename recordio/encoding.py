"""Encoding: named columns of a reply to bytes of any content type.

Libraries are imported where they are used: protobuf and orjson are for the types that need them.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordio.content_types import CSV, JSON, JSON_LINES, RECORDIO, ContentType, UnsupportedContentType
from recordio.errors import AlgorithmError

REPLIES = (JSON, JSON_LINES, CSV, RECORDIO)
PIECE_RECORDS = 8192


def encode(
    columns: Mapping[str, NDArray[Any]], content_type: ContentType | str, envelope: str = "predictions"
) -> bytes:
    """A reply, one entry for each record, in order.

    Integers are integers in JSON; all else is written as floats, a float32 as the float64 it equals.

    columns    name to (records,) or (records, n), as many records each
    returns    JSON: {envelope: [{name: number or list}]}; JSON Lines: those objects, one a line; CSV: all numbers of a
               record joined by commas, one record a line, no names; RecordIO: a Record whose label maps name to a
               float32 tensor. Lines have no newline after the last: AssembleWith=Line adds it.
    Raises UnsupportedContentType for other types, and AlgorithmError when a number is nan or infinite.
    """
    kind = ContentType.parse(content_type).type
    if kind not in REPLIES:
        raise UnsupportedContentType(f"content-type {kind[:100]} not supported")
    dtype = np.float32 if kind == RECORDIO else np.float64
    with np.errstate(over="ignore"):
        tables = {
            name: column if column.dtype.kind in "iu" and kind in (JSON, JSON_LINES) else column.astype(dtype)
            for name, column in columns.items()
        }
    for name, table in tables.items():
        if not (finite := np.isfinite(table)).all():
            raise AlgorithmError(f"{name} of record {np.argwhere(~finite)[0, 0]} is not a finite {np.dtype(dtype)}")

    if kind == RECORDIO:
        from recordio.writing import write_labels

        body = BytesIO()
        write_labels(body, {name: _two_axes(table) for name, table in tables.items()})
        return body.getvalue()
    if kind == CSV:
        matrix = np.concatenate([_two_axes(table) for table in tables.values()], axis=1)
        lines = ("\n".join(",".join(map(repr, record)) for record in piece.tolist()) for piece in _pieces(matrix))
        return "\n".join(lines).encode()

    import orjson

    def objects(*piece: NDArray[Any]) -> list[dict[str, Any]]:
        values = zip(*(part.tolist() for part in piece), strict=True)
        return [dict(zip(tables, record, strict=True)) for record in values]

    some = map(objects, *map(_pieces, tables.values()))
    if kind == JSON:
        return b"{%s:[%s]}" % (orjson.dumps(envelope), b",".join(orjson.dumps(piece)[1:-1] for piece in some))
    return b"\n".join(b"\n".join(map(orjson.dumps, piece)) for piece in some)


def _pieces(table: NDArray[Any]) -> list[NDArray[Any]]:
    """A few thousand records each: a large reply does not need all its numbers as Python objects at once."""
    return [table[start : start + PIECE_RECORDS] for start in range(0, len(table), PIECE_RECORDS)]


def _two_axes(table: NDArray[Any]) -> NDArray[Any]:
    return table[:, np.newaxis] if table.ndim == 1 else table
