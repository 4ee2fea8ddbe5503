"""Layouts: dense records that differ in nothing but their numbers, read as one strided array."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordio.errors import DataError
from recordio.limits import Limits
from recordio.protobuf import DTYPES, FEATURES, KEY, LABEL, TENSORS
from recordio.wire import DELIMITED, Field, fields

Bytes = NDArray[np.uint8]
MOST_FIELDS = 3  # looked at in a message: one more than a plain one has
ONE_BYTE = 0x7F  # number that a varint holds in one byte


@dataclass(frozen=True)
class Numbers:
    """Where a frame holds numbers: `count` of `dtype` from byte `start` on."""

    start: int
    dtype: np.dtype[Any]
    count: int

    @property
    def end(self) -> int:
        return self.start + self.count * self.dtype.itemsize

    def view(self, frames: Bytes) -> NDArray[Any]:
        """The numbers of each frame, (records, count), not aligned."""
        return frames[:, self.start : self.end].view(self.dtype)


@dataclass(frozen=True)
class Layout:
    """A frame of which every byte but the numbers is fixed. It ends with numbers.

    frame      a record's frame
    features   its feature values
    labels     its label values, or None
    """

    frame: Bytes
    features: Numbers
    labels: Numbers | None

    def run(self, data: bytes, start: int) -> Bytes:
        """The frames of this layout that follow one another from data[start] on, (records, bytes of a frame)."""
        stride = len(self.frame)
        head = self.features.start
        if data[start : start + head] != self.frame[:head].tobytes():
            return self.frame[np.newaxis][:0]
        count = (len(data) - start) // stride
        frames = np.frombuffer(data, np.uint8, count * stride, start).reshape(count, stride)
        for fixed in self._fixed():
            differs = frames[:, fixed] != self.frame[fixed]
            if differs.any():
                frames = frames[: differs.any(axis=1).argmax()]
        if self.labels is not None and self.labels.dtype == np.uint8:
            long = self.labels.view(frames) > ONE_BYTE
            if long.any():
                frames = frames[: long.any(axis=1).argmax()]
        return frames

    def _fixed(self) -> list[slice]:
        """All but the numbers and, behind them, the padding."""
        if self.labels is None:
            return [slice(0, self.features.start)]
        first, second = sorted((self.features, self.labels), key=lambda numbers: numbers.start)
        return [slice(0, first.start), slice(first.end, second.start)]


def layout(data: bytes, start: int, end: int, limits: Limits) -> Layout | None:
    """The layout of the frame whose payload is data[start:end], or None when it is not dense and plain.

    Plain: one entry "values" in features and at most one in label, each one packed float tensor. A label may also be
    an Int32 tensor of one-byte numbers, 0 to 127. All else is left to `protobuf`, and so are errors.
    """
    try:
        entries = list(islice(fields(data, start, end), MOST_FIELDS))
        numbers = [_numbers(data, entry) for entry in entries]
    except (_NotPlain, DataError):
        return None
    if sorted(entry.number for entry in entries) not in ([FEATURES], [FEATURES, LABEL]):
        return None
    found = dict(zip((entry.number for entry in entries), numbers, strict=True))
    features, labels = found[FEATURES], found.get(LABEL)
    if features.dtype == np.uint8 or features.count > limits.dense_width:
        return None
    frame = np.frombuffer(data, np.uint8, end + -(end - start) % 4 - (start - 8), start - 8)
    shift = 8 - start

    def moved(numbers: Numbers) -> Numbers:
        return Numbers(numbers.start + shift, numbers.dtype, numbers.count)

    return Layout(frame.copy(), moved(features), None if labels is None else moved(labels))


class _NotPlain(Exception):
    """The record needs a protobuf parser."""


def _only(data: bytes, outer: Field, *numbers: int) -> list[Field]:
    """The fields of a message that holds exactly these, delimited, in this order."""
    if outer.wire_type != DELIMITED:
        raise _NotPlain
    inner = list(islice(fields(data, outer.start, outer.end), MOST_FIELDS))
    if [(field.number, field.wire_type) for field in inner] != [(number, DELIMITED) for number in numbers]:
        raise _NotPlain
    return inner


def _numbers(data: bytes, entry: Field) -> Numbers:
    """The numbers of one map entry."""
    key, value = _only(data, entry, 1, 2)
    if data[key.start : key.end] != KEY.encode():
        raise _NotPlain
    for name, number in TENSORS.items():
        if data[value.start : value.start + 1] == bytes([number << 3 | DELIMITED]):
            (tensor,) = _only(data, value, number)
            (values,) = _only(data, tensor, 1)
            # An int32 up to ONE_BYTE is one byte; `run` checks that the others are.
            dtype: np.dtype[Any] = np.dtype(np.uint8) if name == "int32_tensor" else DTYPES[name]
            count, rest = divmod(values.end - values.start, dtype.itemsize)
            if rest or not count:
                raise _NotPlain
            return Numbers(values.start, dtype, count)
    raise _NotPlain
