"""Decoding: bytes of any content type to batches, for training and for requests alike.

Error texts say where: the name, if one was given, then the record, counted from 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from recordio.batch import Batch
from recordio.content_types import (
    CSV,
    JSON,
    JSON_LINES,
    LIBSVM,
    NPY,
    NPZ,
    PARQUET,
    RECORDIO,
    ContentType,
    UnsupportedContentType,
    sniff,
)
from recordio.errors import DataError, UserError
from recordio.framing import MAGIC_BYTES
from recordio.limits import LIMITS, Limits
from recordio.rebatching import consistent, rebatch
from recordio.streams import Source, as_utf8, pieces


def batches(
    source: Source,
    content_type: ContentType | str,
    size: int,
    *,
    label_size: int = 0,
    width: int | None = None,
    dtype: DTypeLike = np.float32,
    name: str = "",
    limits: Limits = LIMITS,
) -> Iterator[Batch]:
    """Batches of exactly `size` records, the last one shorter; see `blocks` and `rebatch`."""
    some = blocks(
        source, content_type, rows=size, label_size=label_size, width=width, dtype=dtype, name=name, limits=limits
    )
    return rebatch(some, size)


def blocks(
    source: Source,
    content_type: ContentType | str,
    *,
    rows: int | None = None,
    label_size: int = 0,
    width: int | None = None,
    dtype: DTypeLike = np.float32,
    name: str = "",
    limits: Limits = LIMITS,
    weighted: bool = False,
) -> Iterator[Batch]:
    """Decoded pieces of any number of records, each as soon as its bytes are there, dense or sparse as they came.

    source       bytes, a path, or a file object whose `read` may return less than it is asked for
    rows         of the batches that will be made of the blocks: decoders that can wait until a block has so many
    label_size   leading columns of a dense table that are labels, when the content type doesn't say; libsvm has labels
                 where it is not 0, with or without weights, and may have some where it is
    width        features of each record, when the caller knows: others are refused, and sparse ones may lack a shape
    dtype        of features and labels, float32 or float64
    name         of the source, such as a file's, for error texts
    weighted     whether the column of CSV that follows the labels is the records' weight
    Raises DataError when the bytes are not what the content type promises, or the width changes; nan is the caller's.
    """
    content_type = ContentType.parse(content_type)
    if (stated := content_type.label_size) is not None:
        label_size = stated
    decoded: Iterator[Batch]
    # Each decoder brings modules, and some a library, that the others need not wait for.
    if content_type.type == RECORDIO:
        from recordio import tabular

        decoded = tabular.blocks(source, rows=rows, width=width, dtype=dtype, limits=limits)
    elif content_type.type == CSV:
        from recordio import csv

        text = as_utf8(pieces(source), content_type.encoding)
        decoded = csv.blocks(text, label_size=label_size, dtype=dtype, limits=limits, weighted=weighted)
    elif content_type.type in (JSON, JSON_LINES):
        from recordio import json_records

        decode_json = json_records.document_blocks if content_type.type == JSON else json_records.line_blocks
        text = as_utf8(pieces(source), content_type.encoding)
        decoded = decode_json(text, width=width, dtype=dtype, limits=limits)
    elif content_type.type == LIBSVM:
        from recordio import libsvm

        encoding = content_type.encoding
        decoded = libsvm.blocks(
            source, width=width, dtype=dtype, limits=limits, encoding=encoding, labelled=label_size > 0
        )
    elif content_type.type in (NPY, NPZ):
        from recordio import npy, npz

        decode_arrays = npy.blocks if content_type.type == NPY else npz.blocks
        decoded = decode_arrays(source, label_size=label_size, dtype=dtype, limits=limits)
    elif content_type.type == PARQUET:
        from recordio import parquet

        decoded = parquet.blocks(source, label_size=label_size, dtype=dtype, limits=limits)
    else:
        raise UnsupportedContentType(f"content-type {content_type.type[:100]} not supported")
    return _named(consistent(decoded, width), name)


def decode(
    body: bytes,
    content_type: ContentType | str | None,
    *,
    width: int | None = None,
    max_records: int | None = None,
    dtype: DTypeLike = np.float32,
    limits: Limits = LIMITS,
) -> Batch:
    """All records of a request, in one batch; without a content type, of what the body looks like.

    A RecordIO body that doesn't begin with the magic is one bare Record: batch transform cuts frames so.
    Raises DataError as `blocks` does, UserError when there are more than `max_records`.
    """
    content_type = ContentType.parse(content_type or sniff(body))
    if content_type.type == RECORDIO and body and not body.startswith(MAGIC_BYTES):
        some = _bare_record(body, width, dtype, limits)
    else:
        some = blocks(body, content_type, width=width, dtype=dtype, limits=limits)
    found: list[Batch] = []
    records = 0
    for block in some:
        records += len(block)
        if max_records is not None and records > max_records:
            raise UserError(f"got more than {max_records} records in one request, the limit")
        found.append(block)
    return next(rebatch(found, records), None) or Batch(np.empty((0, width or 0), dtype))


def _bare_record(body: bytes, width: int | None, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    from recordio import protobuf, rows

    try:
        row = protobuf.parse_record(body, width=width, limits=limits)
    except DataError as error:
        raise DataError(f"record 0, without a RecordIO frame: {error}") from None
    return consistent(rows.batches([row], dtype), width)


def _named(some: Iterator[Batch], name: str) -> Iterator[Batch]:
    try:
        yield from some
    except DataError as error:
        text = f"{name}, {error}" if name else str(error)
        # Bytes from outside may be in it, and what reaches a terminal must not command it.
        raise DataError("".join(code if code.isprintable() else "?" for code in text)) from None
