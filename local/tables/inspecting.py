"""Inspection: what a file holds, told from its bytes, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from local.tables import formats
from local.tables.findings import MOST_FAULTS, Report
from local.tables.inputs import Input, Stream, inputs, opened, skip_header
from local.tables.meters import metered
from recordio import LIMITS, Batch, DataError, UserError, blocks
from recordio.content_types import CSV, JSON_LINES, LIBSVM
from recordio.streams import as_utf8, lines, pieces

LINES = (CSV, JSON_LINES, LIBSVM)  # which can be read on after a fault
STOPPED = "the rest can't be read"


class _Enough(Exception):
    """So many faults tell that the rest is no better."""


def inspect(given: str) -> Report:
    """Look at a file, the files of a folder, or `-`. Raises UserError when there is nothing to look at."""
    found = inputs(given)
    report = Report(given, len(found))
    sizes = [one.size_bytes for one in found]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with metered(given, total) as advance:
        for one in found:
            try:
                _inspect(one, report, advance)
            except _Enough:
                report.whole = False
                break
    if not report.size_bytes:
        raise UserError(f"{given} is empty")
    return report


def _inspect(one: Input, report: Report, advance: Callable[[int], None]) -> None:
    before = report.size_bytes
    place = f"{one.name}, " if report.files > 1 else ""
    try:
        with opened(one) as (stream, file):
            try:
                report.gzip |= stream is not file
                for _ in _read(one, stream, report, place):
                    advance(before + file.count)
            finally:
                report.size_bytes = before + (one.size_bytes or file.count)
    except DataError as error:
        _fault(report, f"{place}{str(error).removeprefix(place)}; {STOPPED}")
        report.whole = False


def _read(one: Input, stream: Stream, report: Report, place: str) -> Iterator[None]:
    """Take in the records; yields now and then."""
    start = stream.peek(formats.LOOKED_AT)
    content_type = formats.by_content(start)
    if content_type in (None, CSV):  # a text of numbers may be more than one thing
        content_type = formats.by_ending(one.name) or content_type
    if not start:
        return
    if content_type is None:
        raise DataError(f"got bytes that begin with {start[:16]!r}, which is no format that we know")
    report.found[formats.name(content_type)] += 1
    if content_type == formats.IMAGES:
        yield from _read_images(stream, report)
        return
    if content_type == CSV:
        report.header = skip_header(stream) or report.header
    width = report.tally.width or None
    if content_type in LINES:
        some = _Lines(report, content_type, place).batches(stream)
    else:
        some = blocks(stream, content_type, width=width, dtype=np.float64)
    for batch in some:
        report.tally.add(batch)
        yield


def _read_images(stream: Stream, report: Report) -> Iterator[None]:
    from recordio.image_records import images

    for image in images(stream):
        report.tally.records += 1
        report.tally.add_labels(image.labels[np.newaxis] if len(image.labels) > 1 else image.labels)
        report.images[formats.image_kind(image.content)] += 1
        yield


class _Lines:
    """Records in lines, some of which may be faulty: those are looked for by halves."""

    def __init__(self, report: Report, content_type: str, place: str) -> None:
        self._report = report
        self._type = content_type
        self._place = place
        self._width = report.tally.width or None
        self._record = 0
        self._labels: int | None = None
        self._largest = -1

    def batches(self, stream: Stream) -> Iterator[Batch]:
        for text in lines(as_utf8(pieces(stream), "utf-8"), LIMITS.line_bytes):
            for batch in self._examined(bytes(text)):
                self._record += len(batch)
                yield self._narrowed(batch)

    def _narrowed(self, batch: Batch) -> Batch:
        """As wide as its largest key so far says, when the format has no width of its own."""
        if self._type != LIBSVM:
            return batch
        from scipy.sparse import csr_array

        features: Any = batch.features
        self._largest = max(self._largest, int(features.indices.max(initial=-1)))
        arrays = features.data, features.indices, features.indptr
        return Batch(csr_array(arrays, shape=(len(batch), self._largest + 1)), batch.labels)

    def _examined(self, text: bytes) -> Iterator[Batch]:
        width = LIMITS.sparse_width if self._type == LIBSVM else self._width
        try:
            found = list(map(self._labelled, blocks(text, self._type, width=width, dtype=np.float64)))
        except DataError as error:
            cut = text.find(b"\n", len(text) // 2, -1) + 1 or text.rfind(b"\n", 0, len(text) // 2) + 1
            if cut:
                yield from self._examined(text[:cut])
                yield from self._examined(text[cut:])
                return
            where = f"{self._place}record {self._record}"
            self._record += 1
            _fault(self._report, re.sub("^(record 0)?", where, str(error), count=1))
            return
        for batch in found:
            self._width, self._labels = batch.width, _label_count(batch)
            yield batch

    def _labelled(self, batch: Batch) -> Batch:
        if self._labels not in (None, _label_count(batch)):
            raise DataError(f"record 0: got {_label_count(batch)} labels, expected {self._labels}")
        return batch


def _label_count(batch: Batch) -> int:
    return 0 if batch.labels is None else batch.labels[:1].size


def _fault(report: Report, text: str) -> None:
    report.faults.append(text)
    if len(report.faults) == MOST_FAULTS:
        raise _Enough
