"""The wire format of protobuf, where we look at bytes ourselves.

https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from recordio.errors import DataError

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message; data[start:end] is its content, without tag and length."""

    number: int
    wire_type: int
    start: int
    end: int


def fields(data: bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of the message data[start:end], in order.

    Raises DataError when they do not fill it exactly, and for groups, which no writer of Records makes.
    """
    while start < end:
        tag, start = varint(data, start)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == DELIMITED:
            length, start = varint(data, start)
        elif wire_type == VARINT:
            length = varint(data, start)[1] - start
        elif wire_type in (FIXED32, FIXED64):
            length = 4 if wire_type == FIXED32 else 8
        else:
            raise DataError("got bytes that are not a protobuf Record")
        if number == 0 or start + length > end:
            raise DataError("got bytes that are not a protobuf Record")
        yield Field(number, wire_type, start, start + length)
        start += length


def varint(data: bytes, start: int) -> tuple[int, int]:
    """The number at data[start], and where the next byte is."""
    value = 0
    for shift, byte in enumerate(data[start : start + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, start + shift + 1
    raise DataError("got bytes that are not a protobuf Record")


def encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def opening(number: int, length: int) -> bytes:
    """Tag and length of a field whose content of `length` bytes follows."""
    return encode_varint(number << 3 | DELIMITED) + encode_varint(length)
