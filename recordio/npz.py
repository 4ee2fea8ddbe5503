"""NumPy's .npz archives to batches, a group of rows at a time: dense ones, and the sparse ones of scipy.

Dense (`numpy.savez`): `features`, or else the only array beside `labels`. Sparse (`scipy.sparse.save_npz`): csr.
In both, an array `labels` holds the labels, (records,) or (records, labels).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import DTypeLike, NDArray

from recordio.batch import Batch
from recordio.errors import DataError
from recordio.files import held, opened, seekable
from recordio.limits import Limits
from recordio.npy import Rows, cast_to, dense, read_header, rows_of
from recordio.rows import labels_of
from recordio.streams import Source
from recordio.window import Window

GROUP_ENTRIES = 2**18  # of a sparse batch, unless one record has more
WORD_BYTES = 64
ENCRYPTED = 0x1  # flag of a member
ZIP_ERRORS = (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError)


def blocks(source: Source, *, label_size: int, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of the rows of the one matrix in an archive. Only what is read is unpacked, piece by piece.

    label_size   columns of a dense matrix that are labels, when there is no array of labels
    """
    with opened(source) as stream:
        file = seekable(stream) or held(stream, limits.record_bytes, ".npz")
        careful = _Careful(file, limits.overhead_bytes)
        try:
            with ZipFile(careful) as archive:
                careful.limit = None
                arrays = _Arrays(archive, limits)
                if {"format", "indptr"} <= arrays.members.keys():
                    yield from _sparse(arrays, dtype, limits)
                else:
                    yield from _dense(arrays, label_size, dtype)
        except ZIP_ERRORS as error:
            raise DataError(f"got a .npz archive that can't be read: {str(error)[:200]}") from None


class _Careful:
    """A file for zipfile, which reads the list of all members at once when it opens it, however long that is.

    limit   bytes given to one read, or None
    """

    def __init__(self, file: Any, limit: int) -> None:
        self._file = file
        self.limit: int | None = limit
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        if self.limit is None:
            return self._file.read(size)  # type: ignore[no-any-return]
        data: bytes = self._file.read(self.limit + 1 if size < 0 else min(size, self.limit + 1))
        if len(data) > self.limit:
            raise DataError(f"got a .npz archive whose list of members has more than {self.limit} bytes, the limit")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0 and offset < 0:
            raise BadZipFile("offset before the start of the file")
        return int(self._file.seek(offset, whence))


class _Arrays:
    """The arrays of an archive, by name. Members other than .npy files are passed over."""

    def __init__(self, archive: ZipFile, limits: Limits) -> None:
        self._archive = archive
        self._limits = limits
        self.empty = not archive.infolist()
        self.members: dict[str, ZipInfo] = {}
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                name = info.filename.removesuffix(".npy")
                if name in self.members:
                    raise DataError(f"got array {name[:40]!r} twice, expected it once")
                self.members[name] = info

    def rows(self, name: str, *, upright: bool = False) -> Rows:
        """The rows of an array. One of a single axis is a column when `upright`, else one record."""
        window = self._open(name)
        header = read_header(window, name)
        if upright and len(header.shape) == 1:
            header = header._replace(shape=(*header.shape, 1))
        return rows_of(window, header, header.matrix(self._limits, name), self._limits, name)

    def column(self, name: str, kinds: str = "biuf") -> Rows:
        """The numbers of an array of one axis."""
        rows = self.rows(name, upright=True)
        if rows.columns > 1 or rows.dtype.kind not in kinds:
            expected = "one axis of integers" if kinds == "iu" else "one axis of numbers"
            raise DataError(f"{name}: got {rows.columns} columns of type {rows.dtype}, expected {expected}")
        return rows

    def labels(self, records: int) -> Rows | None:
        """The labels of so many records, if there are any."""
        if "labels" not in self.members:
            return None
        labels = self.rows("labels", upright=True)
        if labels.count != records:
            raise DataError(f"labels: got labels of {labels.count} records, expected {records}")
        return labels

    def word(self, name: str) -> bytes:
        """A short text without an axis, of bytes or of characters."""
        window = self._open(name)
        header = read_header(window, name)
        size = header.dtype.itemsize
        if header.shape or header.dtype.kind not in "SU" or size > WORD_BYTES or window.fill(size) < size:
            raise DataError(f"{name}: got type {str(header.dtype)[:40]}, expected a word such as csr")
        return bytes(window.data[window.start : window.start + size]).replace(b"\0", b"")

    def _open(self, name: str) -> Window:
        if name not in self.members:
            raise DataError(f"got an archive without {name}.npy")
        info = self.members[name]
        if info.flag_bits & ENCRYPTED:
            raise DataError(f"{name}: got an encrypted array, expected a plain one")
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise DataError(f"{name}: got compression method {info.compress_type}, expected none or deflate")
        return Window(self._archive.open(info))


def _dense(arrays: _Arrays, label_size: int, dtype: DTypeLike) -> Iterator[Batch]:
    if arrays.empty:
        return
    names = [name for name in arrays.members if name != "labels"]
    if "features" in names:
        names = ["features"]
    if len(names) != 1:
        listed = ", ".join(sorted(names))[:80] or "none"
        raise DataError(f"got arrays {listed}, expected one named features (and one named labels, if there are labels)")
    rows = arrays.rows(names[0])
    yield from dense(rows, arrays.labels(rows.count), label_size, dtype)


def _sparse(arrays: _Arrays, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of a csr matrix, read along its four arrays."""
    if (form := arrays.word("format")) != b"csr":
        raise DataError(f"got a sparse matrix in format {form.decode('ascii', 'replace')!r}, expected csr; use tocsr()")
    shape = arrays.column("shape", "iu")
    records, width = shape.take(2)[:, 0].tolist() if shape.count == 2 else (-1, -1)
    if records < 0 or not 0 < width <= limits.sparse_width:
        raise DataError(f"shape: got {records} records of {width} columns, the limit is {limits.sparse_width} columns")
    ends, columns, values = arrays.column("indptr", "iu"), arrays.column("indices", "iu"), arrays.column("data")
    if (ends.count, columns.count) != (records + 1, values.count):
        raise DataError(
            f"got {ends.count} indptr, {columns.count} indices and {values.count} data, "
            f"expected {records + 1} indptr and as many indices as data"
        )
    labels = arrays.labels(records)
    last = int(ends.take(1)[0, 0])
    if last != 0:
        raise DataError(f"indptr: got {last} first, expected 0")
    while count := ends.ready():
        first = ends.taken - 1
        some = _rising(ends.take(count)[:, 0], last, values.count, first, limits)
        start = 0
        while start < count:
            end = max(start + 1, int(np.searchsorted(some, some[start] + GROUP_ENTRIES, side="right")) - 1)
            features = _csr(columns, values, some[start : end + 1], width, dtype, first + start)
            yield Batch(features, None if labels is None else labels_of(cast_to(labels.take(end - start), dtype)))
            start = end
        last = int(some[-1])
    if last != values.count:
        raise DataError(f"indptr: got {last} last, expected {values.count}, the number of entries")
    for rows in (ends, columns, values, labels):
        if rows is not None:
            rows.finish()


def _rising(ends: NDArray[Any], last: int, entries: int, first: int, limits: Limits) -> NDArray[np.int64]:
    """`last`, then where the entries of each record end. Raises DataError unless that rises up to `entries`."""
    wrong = (ends < 0) | (ends > entries)
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(f"record {first + at}: got indptr {ends[at]}, expected 0 to {entries}")
    found = np.concatenate([[last], ends.astype(np.int64)])
    counts = np.diff(found)
    if (counts < 0).any():
        at = int((counts < 0).argmax())
        raise DataError(f"record {first + at}: got indptr {found[at + 1]} after {found[at]}, expected it to rise")
    if (counts > limits.dense_width).any():
        at = int(counts.argmax())
        raise DataError(f"record {first + at}: got {counts[at]} values, the limit is {limits.dense_width}")
    return found


def _csr(columns: Rows, values: Rows, ends: NDArray[np.int64], width: int, dtype: DTypeLike, first: int) -> Any:
    """The records whose entries end so, with the columns of each rising; the first is record `first`."""
    from scipy.sparse import csr_array

    ends = ends - ends[0]
    count = int(ends[-1])
    keys = columns.take(count)[:, 0]
    wrong = (keys < 0) | (keys >= width)
    if wrong.any():
        at = int(wrong.argmax())
        raise DataError(f"record {first + _record(ends, at)}: got column {keys[at]}, expected 0 to {width - 1}")
    numbers = cast_to(values.take(count)[:, 0], dtype)
    features = csr_array((numbers, keys.astype(np.int32), ends.astype(np.int32)), shape=(len(ends) - 1, width))
    if _falling(features.indices, ends).any():
        features.sort_indices()
        if (twice := _falling(features.indices, ends)).any():
            at = int(twice.argmax()) + 1
            raise DataError(
                f"record {first + _record(ends, at)}: got column {features.indices[at]} twice, expected once"
            )
    return features


def _falling(keys: NDArray[Any], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each key but the first is no larger than the one before it in the same record."""
    falling: NDArray[np.bool_] = keys[1:] <= keys[:-1]
    starts = ends[(ends > 0) & (ends < len(keys))]
    falling[starts - 1] = False
    return falling


def _record(ends: NDArray[np.int64], at: int) -> int:
    """The record that entry `at` belongs to."""
    return int(np.searchsorted(ends, at, side="right")) - 1
