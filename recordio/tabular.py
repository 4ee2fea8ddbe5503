"""RecordIO of Record messages to batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from recordio import tensors
from recordio.batch import Batch
from recordio.errors import DataError
from recordio.framing import RecordStream
from recordio.limits import Limits
from recordio.rows import Row, batches, labels_of
from recordio.streams import Source
from recordio.window import ROOM_BYTES, Window

GROUP = 256  # records parsed one by one before the compiled pass is tried again


def blocks(source: Source, *, rows: int | None, width: int | None, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of neighbours of one form, as the bytes come, or of `rows` as soon as they are there."""
    longest = limits.dense_width * 20 + limits.overhead_bytes  # a value and its key, varints of at most ten bytes
    limits = replace(limits, record_bytes=min(limits.record_bytes, longest))
    block: tensors.Block | None = None
    faults: list[DataError] = []
    with Window(source) as window:
        records = RecordStream(window, limits.record_bytes)
        while frame := _ready(records, faults):
            # A source in memory is all there: a part of it at a time, so that it is decoded while in the cache.
            data, stop = window.data, min(window.end, window.start + max(frame, ROOM_BYTES))
            if block is None:
                block = tensors.block(
                    data, window.start, stop, rows=rows, dtype=np.dtype(dtype), width=width, limits=limits
                )
            before = 0
            if block is not None:
                before = block.rows
                end = block.extend(data, window.start, stop)
                records.skip(block.rows - before, end)
            if block is None or not block.rows:
                block = None
                yield from batches(_rows(records, width, limits), dtype)
            elif rows is None or block.rows in (before, block.room):  # full, or the next record is of another form
                yield _batch(block)
                block = None
    if block is not None:
        yield _batch(block)
    if faults:
        raise faults[0]


def _ready(records: RecordStream, faults: list[DataError]) -> int:
    """As `records.ready`, but a fault is kept for later: the records before it come first."""
    try:
        return records.ready()
    except DataError as fault:
        faults.append(fault)
        return 0


def _batch(block: tensors.Block) -> Batch:
    features: Any
    features, labels = block.arrays()
    if isinstance(features, tuple):
        from scipy.sparse import csr_array

        values, keys, ends, width = features
        features = csr_array((values, keys, ends), shape=(len(ends) - 1, width))
    return Batch(features, labels_of(labels))


def _rows(records: RecordStream, width: int | None, limits: Limits) -> Iterator[Row]:
    """The next record's row, and those of records that are already there, at most GROUP."""
    from recordio.protobuf import parse_record

    for _ in range(GROUP):
        place = records.place
        payload = records.read()
        try:
            if payload is not None:
                yield parse_record(payload, width=width, limits=limits)
        except DataError as error:
            raise DataError(f"{place}: {error}") from None
        if not records.arrived():
            return
