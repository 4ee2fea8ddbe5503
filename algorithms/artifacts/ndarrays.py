"""MXNet's NDArray list files, without MXNet: little-endian, arrays one after another, then their names.

    uint64 0x112, uint64 0, uint64 count
    for each array:  uint32 0xF993FAC9, int32 storage (0 dense), uint32 ndim, int64 * ndim shape,
                     int32 device type (1 CPU), int32 device id, int32 element type, data
    uint64 names, for each: uint64 length, UTF-8 bytes

Older files write no storage (0xF993FAC8), and the oldest have ndim in place of the magic and a uint32 shape.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordio.errors import UserError

LIST_MAGIC = 0x112
DENSE_MAGIC = 0xF993FAC9
NUMPY_MAGIC = 0xF993FACA  # the same, of arrays that may have no axes
OLDER_MAGIC = 0xF993FAC8
PIECE_BYTES = 2**24  # of an array on its way to a file
MOST_AXES = 32  # as in NumPy
MOST_VALUES = 2**48  # empty arrays too have a shape that NumPy must hold
TYPES = [np.dtype(name) for name in ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8")]


def encode(arrays: Sequence[NDArray[Any]], names: Sequence[str] = ()) -> bytes:
    """A list of arrays, with names for all of them or none."""
    return b"".join(pieces(arrays, names))


def pieces(arrays: Sequence[NDArray[Any]], names: Sequence[str] = ()) -> Iterator[bytes | memoryview]:
    """What `encode` joins, without a copy of any large array."""
    assert len(names) in (0, len(arrays))
    yield struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays))
    for array in arrays:
        code = TYPES.index(array.dtype.newbyteorder("<"))
        yield struct.pack(f"<IiI{array.ndim}q", DENSE_MAGIC, 0, array.ndim, *array.shape)
        yield struct.pack("<iii", 1, 0, code)
        rows = max(1, PIECE_BYTES // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            some = array[start : start + rows].astype(TYPES[code], order="C", copy=False)
            yield some.reshape(-1).view(np.uint8).data
    yield struct.pack("<Q", len(names))
    for name in names:
        yield struct.pack("<Q", len(name.encode())) + name.encode()


def size(arrays: Sequence[NDArray[Any]], names: Sequence[str] = ()) -> int:
    """Bytes that `encode` gives."""
    empty = [np.empty((0, *array.shape[1:]), array.dtype) for array in arrays]
    return len(encode(empty, names)) + sum(array.nbytes for array in arrays)


def decode(content: bytes) -> tuple[list[NDArray[Any]], list[str]]:
    """Arrays and their names; no names where the file has none.

    Nothing is allocated on the word of the file: arrays are cut from the bytes at hand.

    Raises UserError when the bytes are not such a list, are cut off, or hold sparse arrays.
    """
    reader = _Reader(content)
    magic, _, count = reader.numbers("QQQ")
    if magic != LIST_MAGIC:
        raise UserError(f"not an MXNet NDArray list: starts with {magic:#x}, expected {LIST_MAGIC:#x}")
    arrays = [_array(reader) for _ in range(count)]
    (named,) = reader.numbers("Q")
    if named not in (0, count):
        raise UserError(f"MXNet NDArray list: {named} names for {count} arrays")
    names = [reader.take(*reader.numbers("Q")).decode(errors="replace") for _ in range(named)]
    if reader.left:
        raise UserError(f"MXNet NDArray list: {reader.left} bytes after its end")
    return arrays, names


def _array(reader: _Reader) -> NDArray[Any]:
    (magic,) = reader.numbers("I")
    if magic in (DENSE_MAGIC, NUMPY_MAGIC):
        (storage,) = reader.numbers("i")
        if storage:
            raise UserError(f"MXNet NDArray list: storage type {storage} is sparse, expected dense arrays")
    oldest = magic not in (DENSE_MAGIC, NUMPY_MAGIC, OLDER_MAGIC)
    axes = magic if oldest else reader.numbers("I")[0]
    if axes > MOST_AXES:
        raise UserError(f"MXNet NDArray list: {axes:#x} where an array should start")
    shape = reader.numbers(f"{axes}{'I' if oldest else 'q'}")
    if min(shape, default=0) < 0 or math.prod(max(length, 1) for length in shape) > MOST_VALUES:
        raise UserError(f"MXNet NDArray list: an array of shape {shape}")
    if not axes and magic != NUMPY_MAGIC:  # an array never filled; nothing follows
        return np.empty(0, np.float32)
    _, _, code = reader.numbers("iii")
    if not 0 <= code < len(TYPES):
        raise UserError(f"MXNet NDArray list: element type {code}, expected 0 to {len(TYPES) - 1}")
    data = reader.take(math.prod(shape) * TYPES[code].itemsize)
    return np.frombuffer(data, TYPES[code]).reshape(shape)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = memoryview(content)
        self.at = 0

    @property
    def left(self) -> int:
        return len(self.content) - self.at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise UserError(f"MXNet NDArray list: ends after {len(self.content)} bytes, {size - self.left} too few")
        self.at += size
        return bytes(self.content[self.at - size : self.at])

    def numbers(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))
