"""Frames of Records, made in one compiled pass: the bytes that protobuf and the SageMaker SDK's writers make."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from recordio.framing import HEAD, LENGTH_BITS, MAGIC
from recordio.schema import KEYS, SHAPE, TENSORS, VALUES
from recordio.wire import DELIMITED

cdef enum:
    LONGEST_VARINT = 10
    MOST_AROUND = 80  # bytes of tags, lengths and shape around the numbers of a tensor, with room to spare

cdef unsigned char VALUES_TAG = VALUES << 3 | DELIMITED
cdef unsigned char KEYS_TAG = KEYS << 3 | DELIMITED
cdef unsigned char SHAPE_TAG = SHAPE << 3 | DELIMITED
cdef unsigned char FLOAT32 = TENSORS["float32_tensor"] << 3 | DELIMITED
cdef unsigned char FLOAT64 = TENSORS["float64_tensor"] << 3 | DELIMITED
cdef unsigned char INT32 = TENSORS["int32_tensor"] << 3 | DELIMITED
cdef int64_t HEAD_BYTES = HEAD.size
cdef uint32_t MAGIC_WORD = MAGIC
cdef int64_t TOO_LONG = 1 << LENGTH_BITS


cdef class Column:
    """One tensor of each record.

    number   of the map in Record
    name     of its entry
    values   numbers of all records in a row, float32, float64 or int32
    ends     where each record's numbers end, after a 0     (records + 1,)
    keys     columns of the numbers, or None when they are dense
    width    columns of a sparse record
    """

    cdef unsigned char tag, kind
    cdef bytes name
    cdef const unsigned char[::1] values
    cdef const int64_t[::1] ends
    cdef const int64_t[::1] keys
    cdef int64_t count, item_bytes, width

    def __init__(self, int number, str name, values, const int64_t[::1] ends not None, keys=None, int64_t width=0):
        kinds = {"f4": FLOAT32, "f8": FLOAT64, "i4": INT32}
        self.tag = number << 3 | <int>DELIMITED
        self.kind = kinds[values.dtype.str[1:]]
        self.name = name.encode()
        self.count = len(values)
        self.item_bytes = values.itemsize
        self.values = values.view(np.uint8)
        self.ends = ends
        self.keys = keys
        self.width = width
        if keys is not None and len(keys) != self.count:
            raise ValueError(f"got {len(keys)} keys, expected one for each of {self.count} values")
        rises = np.diff(ends) >= 0
        if ends[0] != 0 or ends[ends.shape[0] - 1] != self.count or not rises.all():
            raise ValueError(f"got ends that do not rise from 0 to {self.count}")

    cdef int64_t room(self):
        """Bytes that all records take at most."""
        cdef int64_t number = self.item_bytes if self.kind != INT32 else LONGEST_VARINT
        if self.keys is not None:
            number += LONGEST_VARINT
        return self.count * number + (self.ends.shape[0] - 1) * (MOST_AROUND + len(self.name))


def frames(list columns, Py_ssize_t records):
    """One frame for each record, with a tensor of each column.

    Raises ValueError when a record is too long for a frame.
    """
    cdef Column column
    cdef int64_t room = 0
    for column in columns:
        if column.ends.shape[0] != records + 1:
            raise ValueError(f"got {column.ends.shape[0] - 1} records in a column, expected {records}")
        room += column.room()
    frame_bytes = np.empty(room + records * (HEAD_BYTES + 3), np.uint8)
    cdef unsigned char[::1] out = frame_bytes
    cdef unsigned char *start
    cdef unsigned char *at = &out[0] if records else NULL
    cdef uint32_t head[2]
    cdef int64_t length
    for record in range(records):
        start = at
        at += HEAD_BYTES
        for column in columns:
            at = _write(at, column, record)
        length = at - start - HEAD_BYTES
        if length >= TOO_LONG:
            raise ValueError(f"got a record of {length} bytes, expected fewer than {TOO_LONG}")
        head[0] = MAGIC_WORD
        head[1] = <uint32_t>length
        memcpy(start, head, sizeof(head))
        while length & 3:
            at[0] = 0
            at += 1
            length += 1
    return frame_bytes[: at - &out[0]].tobytes() if records else b""


cdef unsigned char *_write(unsigned char *at, Column column, Py_ssize_t record):
    """Write the map entry of one record; returns where it ends. `Column` has checked what is read here."""
    cdef int64_t begin = column.ends[record], end = column.ends[record + 1]
    cdef int64_t numbers = end - begin, bytes_of_values, bytes_of_keys = 0, tensor, value, entry
    cdef int64_t index
    cdef const unsigned char *values = &column.values[0] + begin * column.item_bytes if numbers else NULL
    cdef const int64_t *keys = NULL
    bytes_of_values = numbers * column.item_bytes
    if column.kind == INT32:
        bytes_of_values = 0
        for index in range(numbers):
            bytes_of_values += _size(_integer(values, index))
    tensor = _field(bytes_of_values) if numbers else 0
    if column.keys is not None:
        if numbers:
            keys = &column.keys[begin]
            for index in range(numbers):
                bytes_of_keys += _size(<uint64_t>keys[index])
            tensor += _field(bytes_of_keys)
        tensor += _field(_size(column.width))
    value = _field(tensor)
    entry = _field(len(column.name)) + _field(value)

    at = _open(at, column.tag, entry)
    at = _open(at, 1 << 3 | 2, len(column.name))
    memcpy(at, <const unsigned char *>column.name, len(column.name))
    at = _open(at + len(column.name), 2 << 3 | 2, value)
    at = _open(at, column.kind, tensor)
    if numbers:
        at = _open(at, VALUES_TAG, bytes_of_values)
        if column.kind == INT32:
            for index in range(numbers):
                at = _varint(at, _integer(values, index))
        else:
            memcpy(at, values, bytes_of_values)
            at += bytes_of_values
    if column.keys is not None:
        if numbers:
            at = _open(at, KEYS_TAG, bytes_of_keys)
            for index in range(numbers):
                at = _varint(at, <uint64_t>keys[index])
        at = _open(at, SHAPE_TAG, _size(column.width))
        at = _varint(at, column.width)
    return at


cdef inline uint64_t _integer(const unsigned char *values, int64_t index) noexcept:
    """A negative number takes ten bytes: protobuf extends its sign."""
    cdef int32_t value
    memcpy(&value, values + 4 * index, 4)
    return <uint64_t><int64_t>value


cdef inline int64_t _field(int64_t length) noexcept:
    """Bytes of a field with `length` bytes of content."""
    return 1 + _size(length) + length


cdef inline int64_t _size(uint64_t value) noexcept:
    cdef int64_t size = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size


cdef inline unsigned char *_open(unsigned char *at, unsigned char tag, int64_t length) noexcept:
    at[0] = tag
    return _varint(at + 1, length)


cdef inline unsigned char *_varint(unsigned char *at, uint64_t value) noexcept:
    while value > 0x7F:
        at[0] = value & 0x7F | 0x80
        value >>= 7
        at += 1
    at[0] = <unsigned char>value
    return at + 1
