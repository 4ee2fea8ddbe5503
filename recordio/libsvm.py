"""libsvm (svmlight) to sparse batches: `label index:value index:value …`, one record a line.

Indices count from 0, and are never shifted. A record may have several labels (`1,2,3`), or none: then it starts with
an entry. After the labels may stand the record's weight (`label:weight`), then its query id (`qid:7`). A weight is only
read where records must have labels: elsewhere it looks like the first entry of a record without any, and is refused
unless it is the lowest index. Blank lines and comments after `#` are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from recordio import libsvm_lines
from recordio.batch import Batch
from recordio.errors import DataError
from recordio.limits import LIMITS, Limits
from recordio.rows import labels_of
from recordio.streams import Source, Text, as_utf8, lines, pieces

if TYPE_CHECKING:
    from scipy.sparse import csr_array

EXPECTED = {
    "label": "a label such as 1 or 0,1",
    "entry": "index:value",
    "order": "a label, or the record's lowest index (weights, as in label:weight, are not read here)",
    "query": "a query id such as qid:7",
}
TOKEN = re.compile(rb"[^ \t\r\n]{1,160}")


def blocks(
    source: Source,
    *,
    width: int | None,
    dtype: DTypeLike,
    limits: Limits,
    encoding: str = "utf-8",
    labelled: bool = False,
) -> Iterator[Batch]:
    """Sparse batches of the lines that each piece of the source completes.

    width     features of each record; when it is not known, the source is read twice, first for its largest index
    labelled  whether each record has a label, and with it perhaps a weight
    Raises DataError when the width is not known and the source can only be read once.
    """
    if width is None:
        width = min(_largest_index(source, limits, encoding, labelled) + 1, limits.sparse_width)
    first = 0
    for text in lines(as_utf8(pieces(source), encoding), limits.line_bytes):
        start = 0
        while start < len(text):
            found = libsvm_lines.read(text, start, max(width, 1), limits.dense_width, dtype, labelled)
            labels, weights, groups, values, indices, ends, rising, start, fault = found
            if len(labels) and not width:
                raise DataError("got no index:value in any record, expected some, or the width from elsewhere")
            if len(labels):
                features = _sparse(values, indices, ends, width)
                doubled = None if rising else _sort(features)
                batch = Batch(features, labels_of(labels), weights, groups)
                if doubled is None:
                    yield batch
                else:
                    record, index = doubled
                    if record:
                        yield batch[:record]
                    raise DataError(f"record {first + record}: got index {index} twice, expected each index once")
            first += len(labels)
            if fault:
                raise _fault(text, start, first, fault, width, limits)


def largest_index(source: Source, limits: Limits = LIMITS, encoding: str = "utf-8", labelled: bool = False) -> int:
    """The largest index in any record, -1 when there is none. Reads to the end of the source."""
    some = lines(as_utf8(pieces(source), encoding), limits.line_bytes)
    return max((libsvm_lines.largest_index(text, labelled) for text in some), default=-1)


def _largest_index(source: Any, limits: Limits, encoding: str, labelled: bool) -> int:
    if isinstance(source, str | PathLike):
        with Path(source).open("rb", buffering=0) as file:
            return _largest_index(file, limits, encoding, labelled)
    if isinstance(source, bytes | bytearray | memoryview):
        start = None
    elif hasattr(source, "seekable") and source.seekable():
        start = source.tell()
    else:
        raise DataError("got a stream of libsvm, which does not say how many features there are: give the width")
    largest = largest_index(source, limits, encoding, labelled)
    if start is not None:
        source.seek(start)
    return largest


def _sparse(*arrays: Any) -> csr_array[Any]:
    from scipy.sparse import csr_array

    values, indices, ends, width = arrays
    return csr_array((values, indices, ends), shape=(len(ends) - 1, width))


def _sort(features: csr_array[Any]) -> tuple[int, int] | None:
    """Let the indices of each record rise; returns the first record that has one twice, and the index."""
    features.sort_indices()
    twice = features.indices[1:] == features.indices[:-1]
    starts = features.indptr[1:-1]
    twice[starts[(starts > 0) & (starts <= len(twice))] - 1] = False
    if not twice.any():
        return None
    place = int(twice.argmax())
    return int(np.searchsorted(features.indptr, place, side="right")) - 1, int(features.indices[place])


def _fault(text: Text, start: int, record: int, fault: str, width: int, limits: Limits) -> DataError:
    if fault == "count":
        return DataError(f"record {record}: got more than {limits.dense_width} entries, the limit")
    token = TOKEN.match(text, start)[0].decode("utf-8", "replace")[:40]  # type: ignore[index]
    expected = EXPECTED.get(fault, f"an index of 0 to {width - 1}")
    return DataError(f"record {record}: got {token!r}, expected {expected}")
