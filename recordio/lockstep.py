"""Lockstep: records with one order of fields but lengths of their own, parsed all at once, a step of each at a time.

Sparse records are so, and integers, whose varints differ in length. What is read here is what the writers of the
SageMaker SDK and of protobuf make; all else is left to `protobuf`, and so are errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from recordio.batch import Batch
from recordio.limits import Limits
from recordio.protobuf import DTYPES, FEATURES, KEY, LABEL, TENSORS
from recordio.rows import cast, labels_of
from recordio.wire import DELIMITED

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
LENGTH_BYTES = 4  # of a varint that says a length: records are shorter than 2**28 bytes
VARINT_BYTES = 10


def read(data: bytes, spans: Sequence[tuple[int, int]], dtype: DTypeLike, limits: Limits) -> Batch | None:
    """The first of the records data[start:end], as many as are plain and of one kind, or None when the first isn't.

    Plain: one entry "values" in features and at most one in label, fields in order and packed, sparse keys rising.
    """
    if not spans:
        return None
    table = np.array(spans, np.int64)
    steps = _Steps(np.frombuffer(data, np.uint8), table[:, 0].copy())
    features = steps.tensor(FEATURES, table[:, 1])
    label = steps.tensor(LABEL, table[:, 1]) if steps.at[0] < table[0, 1] else None
    steps.check(steps.at == table[:, 1])
    if not steps.good.all():
        return read(data, spans[: int(steps.good.argmin())], dtype, limits)

    values, counts = _numbers(data, features.values, features.kind, steps)
    keys, key_counts = _numbers(data, features.keys, "keys", steps)
    shapes, shape_counts = _numbers(data, features.shape, "shape", steps)
    sparse = bool(key_counts[0] or not counts[0])
    if sparse:
        steps.check(shape_counts == 1)
        steps.check(key_counts == counts)
    else:
        steps.check(key_counts + shape_counts == 0)
        steps.check((counts == counts[0]) & (counts > 0))
    steps.check(counts <= limits.dense_width)
    targets = None
    if label is not None:
        targets, target_counts = _numbers(data, label.values, label.kind, steps)
        steps.check((target_counts == target_counts[0]) & (label.keys.size == 0) & (label.shape.size == 0))
    if steps.good.all() and sparse:
        rows = np.repeat(np.arange(len(spans)), counts)
        steps.check((shapes == shapes[0]) & (shapes > 0) & (shapes <= limits.sparse_width))
        wrong = keys >= shapes[0]
        wrong[1:] |= (keys[1:] <= keys[:-1]) & (rows[1:] == rows[:-1])
        steps.good[rows[wrong]] = False
    if not steps.good.all():
        return read(data, spans[: int(steps.good.argmin())], dtype, limits)

    numbers = np.empty(len(values), dtype)
    cast(values, numbers)
    found = None
    if targets is not None:
        found = np.empty((len(spans), len(targets) // len(spans)), dtype)
        cast(targets.reshape(found.shape), found)
        found = labels_of(found)
    if not sparse:
        return Batch(numbers.reshape(len(spans), counts[0]), found)
    from scipy.sparse import csr_array

    ends = np.concatenate([[0], counts.cumsum()])
    index = np.int32 if ends[-1] < 2**31 else np.int64
    shape = (len(spans), int(shapes[0]))
    return Batch(csr_array((numbers, keys.astype(index), ends.astype(index)), shape=shape), found)


class _Spans(NamedTuple):
    """Bytes from start to stop in each record."""

    start: Integers
    stop: Integers

    @property
    def size(self) -> Integers:
        return self.stop - self.start


class _Tensor(NamedTuple):
    """The packed fields of each record's tensor; a field that isn't there is empty."""

    kind: str
    values: _Spans
    keys: _Spans
    shape: _Spans


class _Steps:
    """A cursor in each record.

    at     byte that each cursor is at; anywhere once a record is not good
    good   whether each record has been plain so far
    """

    def __init__(self, data: NDArray[np.uint8], at: Integers) -> None:
        self.data = data
        self.at = at
        self.good: Mask = np.ones(len(at), np.bool_)

    def check(self, passed: Mask) -> None:
        self.good &= passed

    def field(self, number: int, end: Integers, *, optional: bool = False) -> _Spans:
        """Step over tag and length of a delimited field. Whether it ends in time shows where the next ones end."""
        there = (self._byte() == (number << 3 | DELIMITED)) & (self.at < end)
        if not optional:
            self.check(there)
        length = np.zeros(len(self.at), np.int64)
        self.at = self.at + there
        more = there
        for place in range(LENGTH_BYTES):
            byte = self._byte().astype(np.int64)
            length |= ((byte & 0x7F) << 7 * place) * more
            self.at = self.at + more
            more = more & (byte > 0x7F)
            if not more.any():
                break
        self.check(~more)
        return _Spans(self.at, self.at + length)

    def tensor(self, number: int, end: Integers) -> _Tensor:
        """Step over a map entry and the tensor that it ends with."""
        entry = self.field(number, end)
        key = self.field(1, entry.stop)
        name = self.data.take(self.at[:, np.newaxis] + np.arange(len(KEY)), mode="clip")
        self.check((key.size == len(KEY)) & (name == np.frombuffer(KEY.encode(), np.uint8)).all(axis=1))
        self.at = key.stop
        value = self.field(2, entry.stop)
        # The first record's kind is the kind.
        first = int(self._byte()[0]) >> 3
        kind = next((kind for kind, number in TENSORS.items() if number == first), "float32_tensor")
        tensor = self.field(TENSORS[kind], value.stop)
        parts = []
        for part in (1, 2, 3):
            parts.append(self.field(part, tensor.stop, optional=True))
            self.at = parts[-1].stop
        self.check((self.at == tensor.stop) & (self.at == value.stop) & (self.at == entry.stop))
        return _Tensor(kind, *parts)

    def _byte(self) -> NDArray[np.uint8]:
        return self.data.take(self.at, mode="clip")


def _numbers(data: bytes, spans: _Spans, kind: str, steps: _Steps) -> tuple[NDArray[Any], Integers]:
    """The numbers of a packed field, all records' in a row, and how many each record has."""
    joined = b"".join([data[start:stop] for start, stop in zip(spans.start.tolist(), spans.stop.tolist(), strict=True)])
    if kind in ("float32_tensor", "float64_tensor"):
        dtype = DTYPES[kind]
        whole = len(joined) // dtype.itemsize
        steps.check(spans.size % dtype.itemsize == 0)
        return np.frombuffer(joined, dtype, whole), spans.size // dtype.itemsize

    codes = np.frombuffer(joined, np.uint8)
    last = np.flatnonzero(codes <= 0x7F)  # of each varint
    ends = spans.size.cumsum()
    counts = np.diff(np.searchsorted(last, ends), prepend=0)
    steps.check((spans.size == 0) | (codes.take(ends - 1, mode="clip") <= 0x7F if len(codes) else True))
    first = np.concatenate([[0], last[:-1] + 1])[: len(last)]
    length = last - first + 1
    numbers = (codes[first] & 0x7F).astype(np.uint64)
    for place in range(1, min(int(length.max(initial=0)), VARINT_BYTES)):
        long = np.flatnonzero(length > place)
        numbers[long] |= (codes[first[long] + place] & np.uint64(0x7F)) << np.uint64(7 * place)
    steps.good[np.searchsorted(ends, last[length > VARINT_BYTES], side="right")] = False
    return (numbers.astype(np.uint32).view(np.int32) if kind == "int32_tensor" else numbers), counts
