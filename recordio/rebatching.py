"""Rebatching: blocks of any length to batches of exactly so many records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordio.batch import Batch
from recordio.errors import DataError

COLUMNS = ("labels", "weights", "query ids")
ROOM_BYTES = 2**24  # made for a batch before its records are there; beyond it, memory grows with them


def rebatch(some: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Batches of exactly `size` records, the last one shorter, each as soon as its records are there.

    A batch is sparse when one of its records came sparse. Its arrays are contiguous, aligned and writable, and stay
    valid after the next one is asked for. Raises DataError when the width changes, from one source to the next too.
    """
    pending = _Pending(size)
    for block in consistent(some):
        if len(block) == pending.missing == size and _is_plain(block):
            yield block
            continue
        start = 0
        while len(block) - start >= pending.missing:
            end = start + pending.missing
            pending.add(block, start, end)
            yield pending.batch()
            pending, start = _Pending(size), end
        if start < len(block):
            pending.add(block, start, len(block))
    if pending.missing < size:
        yield pending.batch()


def consistent(some: Iterable[Batch], width: int | None = None) -> Iterator[Batch]:
    """The same batches. Raises DataError at the first record of another width, or with more or fewer columns beside."""
    first = None
    record = 0
    for block in some:
        width = block.width if width is None else width
        if block.width != width:
            raise DataError(f"record {record}: got {block.width} features, expected {width}")
        first = _kinds(block) if first is None else first
        for name, count, expected in zip(COLUMNS, _kinds(block), first, strict=True):
            if count != expected:
                raise DataError(f"record {record}: got {count} {name}, expected {expected}")
        record += len(block)
        yield block


def _is_plain(block: Batch) -> bool:
    """Whether a block is a batch as it is. Blocks belong to whoever asked for them: no decoder keeps one."""
    features = block.features
    return not isinstance(features, np.ndarray) or all(
        array.flags.c_contiguous and array.flags.aligned and array.flags.writeable
        for array in (features, *block.columns)
        if array is not None
    )


def _kinds(batch: Batch) -> list[int]:
    """How many labels, weights and groups a record has."""
    return [0 if column is None else 1 if column.ndim == 1 else int(column.shape[1]) for column in batch.columns]


class _Pending:
    """The records of one batch that have come.

    They are copied where they belong at once, while they are in the processor's cache, so that the memory of their
    block can be used again for the next one.
    """

    def __init__(self, size: int) -> None:
        self.missing = size
        self._features: list[_Dense | _Sparse] = []  # one, unless dense and sparse records alternate
        self._columns: list[_Growing | None] = [None, None, None]
        self._names: tuple[str, ...] | None = None

    def add(self, block: Batch, start: int, end: int) -> None:
        kind = _Dense if isinstance(block.features, np.ndarray) else _Sparse
        if not self._features or not isinstance(self._features[-1], kind):
            self._features.append(kind())
        times = self.missing / (end - start)  # so much of the like fills the batch
        self._features[-1].add(block.features, start, end, times)
        for place, column in enumerate(block.columns):
            if column is not None:
                growing = self._columns[place] = self._columns[place] or _Growing()
                growing.add(column[start:end], times)
        self._names = block.names  # of the last one
        self.missing -= end - start

    def batch(self) -> Batch:
        parts = [features.matrix() for features in self._features]
        if len(parts) > 1:
            from scipy.sparse import csr_array, vstack

            parts = [vstack([csr_array(part) for part in parts], format="csr")]
        labels, weights, groups = (None if column is None else column.array() for column in self._columns)
        return Batch(parts[0], labels, weights, groups, self._names)


class _Dense:
    def __init__(self) -> None:
        self._rows = _Growing()

    def add(self, features: Any, start: int, end: int, times: float) -> None:
        self._rows.add(features[start:end], times)

    def matrix(self) -> Any:
        return self._rows.array()


class _Sparse:
    def __init__(self) -> None:
        self._width = 0
        self._values, self._columns, self._ends = _Growing(), _Growing(), _Growing()

    def add(self, features: Any, start: int, end: int, times: float) -> None:
        self._width = features.shape[1]
        ends = features.indptr[start : end + 1].astype(np.int64)
        entries = slice(ends[0], ends[-1])
        self._ends.add(ends[1:] - ends[0] + len(self._values), times)
        self._values.add(features.data[entries], times)
        self._columns.add(features.indices[entries], times)

    def matrix(self) -> Any:
        from scipy.sparse import csr_array

        ends = np.concatenate([[0], self._ends.array()])
        index = np.int32 if ends[-1] < 2**31 else np.int64
        columns = self._columns.array().astype(index, copy=False)
        return csr_array((self._values.array(), columns, ends.astype(index)), shape=(len(ends) - 1, self._width))


class _Growing:
    """An array that takes more rows at its end."""

    def __init__(self) -> None:
        self._room: NDArray[Any] | None = None
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, rows: NDArray[Any], times: float) -> None:
        """Copy rows to the end; `times` as many are likely to come in all, when these are the first."""
        length = self._length + len(rows)
        if self._room is None:
            likely = min(len(rows) * times, ROOM_BYTES * len(rows) / max(rows.nbytes, 1))
            self._room = np.empty((max(length, round(likely)), *rows.shape[1:]), rows.dtype)
        elif length > len(self._room):
            room = np.empty((max(length, 2 * len(self._room)), *rows.shape[1:]), self._room.dtype)
            room[: self._length] = self._room[: self._length]
            self._room = room
        self._room[self._length : length] = rows
        self._length = length

    def array(self) -> NDArray[Any]:
        assert self._room is not None
        found = self._room[: self._length]
        return found.copy() if found.nbytes < self._room.nbytes // 2 else found
