"""Spool: records written once to a scratch file, in the order in which they came, and read back in blocks."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from recordio.batch import Batch
from recordio.errors import PlatformError

BLOCK_BYTES = 32 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def scratch_folder() -> str:
    """Raises PlatformError when no folder can be written, as in a container that is read-only."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise PlatformError(
            "No folder for scratch files can be written: set the variable TMPDIR to one, or mount one at /tmp"
        ) from error


@dataclass(frozen=True)
class _Part:
    """A batch in the file: rows of cells, or values, columns and ends of rows.

    entries   given values of sparse records; None where all are given
    """

    offset: int
    first: int
    records: int
    width: int
    entries: int | None

    @property
    def bytes(self) -> int:
        return 4 * self.records * self.width if self.entries is None else 8 * (self.entries + self.records)


class Spool:
    """Records outside memory.

    The file has no name, so nothing is left of it however the job ends. Labels, weights and groups stay in memory,
    where the engine holds several times as much for each record.

    width    of the widest record; features that are absent from a narrower one are missing
    bounds   whether labels are the lower and upper bound of what is to be predicted
    values   given in all, missing ones of dense records included
    """

    def __init__(self, *, bounds: bool = False) -> None:
        self.bounds = bounds
        self.width = 0
        self.values = 0
        self.sparse = False
        self._records = 0
        self._bytes = 0
        self._parts: list[_Part] = []
        self._columns: dict[str, list[NDArray[Any]]] = {"labels": [], "weights": [], "groups": []}
        self._room = np.empty(0, np.float32)
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return self._records

    def append(self, batch: Batch) -> None:
        """Raises PlatformError when the disk is full."""
        features: Any = batch.features
        offset, entries = self._bytes, None
        if isinstance(features, np.ndarray):
            self._write(features, np.float32)
            self.sparse |= bool(self._parts) and batch.width != self.width
        else:
            features.sort_indices()
            ends = features.indptr.astype(np.int64)
            entries = int(ends[-1] - ends[0])
            for array, kind in ((features.data, np.float32), (features.indices, np.int32)):
                self._write(array[ends[0] : ends[-1]], kind)
            self._write(ends[1:] - ends[0], np.int64)
            self.sparse = True
        self._parts.append(_Part(offset, self._records, len(batch), batch.width, entries))
        for name, kept in self._columns.items():
            column = getattr(batch, name)
            if column is not None:
                kept.append(np.array(column, np.int64 if name == "groups" else np.float32))
        self._records += len(batch)
        self.width = max(self.width, batch.width)
        self.values += len(batch) * batch.width if entries is None else entries

    @property
    def labels(self) -> NDArray[np.float32] | None:
        """(records,) or (records, labels)"""
        return self._column("labels")

    @property
    def weights(self) -> NDArray[np.float32] | None:
        return self._column("weights")

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """Query that each record answers."""
        return self._column("groups")

    def blocks(self, cuts: NDArray[np.int64] | None = None) -> Iterator[slice]:
        """All records, as many at once as a block holds.

        cuts   the records that blocks may begin with, or any
        """
        each = max(1, BLOCK_BYTES * self._records // max(1, self._bytes))
        start = 0
        while start < self._records:
            end = min(start + each, self._records)
            if cuts is not None and end < self._records:
                later = cuts[np.searchsorted(cuts, end) :]
                end = int(later[0]) if len(later) else self._records
            yield slice(start, end)
            start = end

    def features(self, rows: slice, width: int) -> Any:
        """(records, width) float32: dense, with nan for what is absent, where all came dense; or sparse.

        The next call may overwrite it.
        """
        parts = [part for part in self._parts if part.first < rows.stop and part.first + part.records > rows.start]
        dense = all(part.entries is None for part in parts)
        found = self._given_room((rows.stop - rows.start, width)) if dense else None
        pieces = []
        for part in parts:
            start, stop = max(rows.start - part.first, 0), min(rows.stop - part.first, part.records)
            if found is None:
                pieces.append(self._sparse(part, start, stop, width))
                continue
            into = found[part.first + start - rows.start : part.first + stop - rows.start]
            if part.width == width:
                self._read(into, part.offset + 4 * width * start)
            else:
                into[:, : part.width] = self._cells(part, start, stop)
                into[:, part.width :] = np.nan
        if found is not None:
            return found
        from scipy.sparse import vstack

        return vstack(pieces, format="csr") if len(pieces) > 1 else pieces[0]

    def forget(self) -> None:
        """Let the memory go that `features` keeps for its next call."""
        self._room = np.empty(0, np.float32)

    def _cells(self, part: _Part, start: int, stop: int) -> NDArray[np.float32]:
        cells = np.empty((stop - start, part.width), np.float32)
        self._read(cells, part.offset + 4 * part.width * start)
        return cells

    def _sparse(self, part: _Part, start: int, stop: int, width: int) -> Any:
        from scipy.sparse import csr_array

        if part.entries is None:  # zeros are values
            ends = part.width * np.arange(stop - start + 1)
            columns = np.tile(np.arange(part.width, dtype=np.int32), stop - start)
            return csr_array((self._cells(part, start, stop).ravel(), columns, ends), shape=(stop - start, width))
        ends = np.zeros(part.records + 1, np.int64)
        self._read(ends[1:], part.offset + 8 * part.entries)
        first, last = int(ends[start]), int(ends[stop])
        values, columns = np.empty(last - first, np.float32), np.empty(last - first, np.int32)
        self._read(values, part.offset + 4 * first)
        self._read(columns, part.offset + 4 * part.entries + 4 * first)
        return csr_array((values, columns, ends[start : stop + 1] - first), shape=(stop - start, width))

    def _column(self, name: str) -> NDArray[Any] | None:
        kept = self._columns[name]
        if len(kept) > 1:
            kept[:] = [np.concatenate(kept)]
        return kept[0] if kept else None

    def _given_room(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        if self._room.size < shape[0] * shape[1]:
            self._room = np.empty(shape[0] * shape[1], np.float32)
        return self._room[: shape[0] * shape[1]].reshape(shape)

    def _write(self, array: NDArray[Any], kind: type[np.generic]) -> None:
        content = np.ascontiguousarray(array, kind).reshape(-1).view(np.uint8).data
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=scratch_folder())  # noqa: SIM115 - closed with the job
            while content:
                written = os.write(self._file.fileno(), content)
                self._bytes, content = self._bytes + written, content[written:]
        except OSError as error:
            if error.errno not in FULL:
                raise
            folder = tempfile.gettempdir()
            raise PlatformError(
                f"The records so far take {self._bytes / 2**20:,.0f} MiB of scratch space, and {folder}, where "
                f"{shutil.disk_usage(folder).free / 2**20:,.0f} MiB are free, has no room for more: {error.strerror}. "
                "Free some space, or set the variable TMPDIR to a folder of a larger disk"
            ) from error

    def _read(self, into: NDArray[Any], offset: int) -> None:
        room = into.reshape(-1).view(np.uint8).data
        while room:
            assert self._file is not None
            count = os.preadv(self._file.fileno(), [room], offset)
            assert count, "the scratch file was cut short"
            room, offset = room[count:], offset + count
