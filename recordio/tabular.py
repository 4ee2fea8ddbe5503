"""RecordIO of Record messages to batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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


def blocks(source: Source, *, width: int | None, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of neighbours of one form, as the bytes come."""
    longest = limits.dense_width * 20 + limits.overhead_bytes  # a value and its key, varints of at most ten bytes
    with Window(source) as window:
        records = RecordStream(window, min(limits.record_bytes, longest))
        while frame := records.ready():
            # A source in memory is all there: a part of it at a time, so that blocks stay small.
            stop = min(window.end, window.start + max(frame, ROOM_BYTES))
            found = tensors.read(window.data, window.start, stop, dtype=dtype, width=width, limits=limits)
            if found is None:
                yield from batches(_rows(records, width, limits), dtype)
            else:
                end, features, labels = found
                block = Batch(_features(features), labels_of(labels))
                yield block
                records.skip(len(block), end)


def _features(found: Any) -> Any:
    if not isinstance(found, tuple):
        return found
    from scipy.sparse import csr_array

    values, keys, ends, width = found
    return csr_array((values, keys, ends), shape=(len(ends) - 1, width))


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
