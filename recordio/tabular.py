"""RecordIO of Record messages to batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from recordio import lockstep
from recordio.batch import Batch
from recordio.errors import DataError
from recordio.framing import RecordStream
from recordio.layouts import Layout, Numbers, layout
from recordio.limits import Limits
from recordio.protobuf import parse_record
from recordio.rows import Row, batches, cast, labels_of

SHORTEST_RUN = 4096  # bytes of equal layout; below it, parsing one by one is as quick
GROUP = 256  # records parsed one by one before looking for a layout again
MOST_AT_ONCE = 2**16  # records parsed in lockstep


def blocks(stream: Iterator[bytes], *, width: int | None, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of neighbours of one kind, as the bytes come. Dense features may be views of those bytes."""
    longest = limits.dense_width * 20 + limits.overhead_bytes  # a value and its key, varints of at most ten bytes
    records = RecordStream(stream, min(limits.record_bytes, longest))
    known: Layout | None = None
    while records.ready():
        if len(records.data) - records.position < SHORTEST_RUN:
            yield from batches(_rows(records, width, limits), dtype)
            continue
        frames = _run(known, records)
        if not len(frames):
            spans = records.spans(1)
            known = layout(records.data, *spans[0], limits) if spans else None
            frames = _run(known, records)
        if known is not None and frames.size >= SHORTEST_RUN:
            labels = None if known.labels is None else labels_of(_numbers(known.labels, frames, dtype))
            yield Batch(_numbers(known.features, frames, dtype), labels)
            records.skip(len(frames), records.position + frames.size)
            continue
        spans = records.spans(MOST_AT_ONCE)
        # A large record is left to the parser, which knows how to keep it small in memory.
        large = not spans or spans[0][1] - spans[0][0] > limits.overhead_bytes
        batch = None if large else lockstep.read(records.data, spans, dtype, limits)
        if batch is not None:
            yield batch
            records.skip(len(batch), spans[len(batch) - 1][1])
        else:
            yield from batches(_rows(records, width, limits), dtype)


def _run(known: Layout | None, records: RecordStream) -> NDArray[np.uint8]:
    if known is None:
        return np.empty((0, 0), np.uint8)
    return known.run(records.data, records.position)


def _rows(records: RecordStream, width: int | None, limits: Limits) -> Iterator[Row]:
    """The rows of the records that are there, at most GROUP; of a record in parts, that one."""
    spans = records.spans(GROUP)
    if not spans:
        place = records.place
        if (payload := records.read()) is not None:
            yield _row(payload, place, width, limits)
    for start, end in spans:
        yield _row(records.data[start:end], records.place, width, limits)
        records.skip(1, end)


def _row(payload: bytes, place: str, width: int | None, limits: Limits) -> Row:
    try:
        return parse_record(payload, width=width, limits=limits)
    except DataError as error:
        raise DataError(f"{place}: {error}") from None


def _numbers(numbers: Numbers, frames: NDArray[np.uint8], dtype: DTypeLike) -> NDArray[Any]:
    there = numbers.view(frames)
    if there.dtype == dtype:
        return there
    out = np.empty(there.shape, dtype)
    cast(there, out)
    return out
