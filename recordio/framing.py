"""RecordIO frames, after dmlc-core's recordio.h.

A frame is the magic, a word with flag and length, the payload, and zeros up to a multiple of four. A writer of dmlc
cuts a payload wherever it holds the magic at a multiple of four and leaves those four bytes out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol

from recordio.errors import DataError
from recordio.limits import LIMITS
from recordio.streams import Source, pieces

MAGIC = 0xCED7230A
MAGIC_BYTES = MAGIC.to_bytes(4, "little")
HEAD = struct.Struct("<II")
LENGTH_BITS = 29
WHOLE, FIRST, MIDDLE, LAST = range(4)  # flags


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


def records(source: Source, *, limit: int = LIMITS.record_bytes) -> Iterator[bytes]:
    """The payload of each record, parts joined.

    Raises DataError with the record's index (from 0) and byte offset when the bytes are not RecordIO, or when a record
    is longer than `limit` bytes.
    """
    stream = RecordStream(pieces(source), limit)
    while (payload := stream.read()) is not None:
        yield payload


def write_record(file: Writable, payload: bytes) -> None:
    """Write one frame. Never cut in parts: the SageMaker SDK cannot read those, and dmlc reads this."""
    if len(payload) >> LENGTH_BITS:
        raise DataError(f"got a record of {len(payload)} bytes, expected fewer than {1 << LENGTH_BITS}")
    file.write(HEAD.pack(MAGIC, len(payload)) + payload + bytes(-len(payload) % 4))


class RecordStream:
    """A cursor over the records of one stream.

    index      of the next record, from 0
    data       bytes that have come; those before `position` are done with
    """

    def __init__(self, stream: Iterator[bytes], limit: int) -> None:
        self.index = 0
        self.data = b""
        self.position = 0
        self._stream = stream
        self._limit = limit
        self._offset = 0  # of data[0] in the stream

    @property
    def place(self) -> str:
        """Where the next record is, for error texts."""
        return f"record {self.index} (byte {self._offset + self.position})"

    def ready(self) -> bool:
        """Read until the next frame is there as a whole; False at the end of the stream."""
        return self._head() is not None

    def spans(self, count: int) -> list[tuple[int, int]]:
        """Start and end, in `data`, of up to `count` payloads that are there already.

        Stops before a frame that is cut short, a part of a record, or not a frame: `read` deals with those.
        """
        data, position, limit = self.data, self.position, min(self._limit, (1 << LENGTH_BITS) - 1)
        found: list[tuple[int, int]] = []
        unpack, there = HEAD.unpack_from, len(data)  # looked up once: this loop bounds the speed of sparse data
        while len(found) < count and position + 8 <= there:
            magic, length = unpack(data, position)
            start, end = position + 8, position + 8 + length
            position = end + -length % 4
            # A flag makes `length` larger than any limit.
            if magic != MAGIC or length > limit or position > there:
                break
            found.append((start, end))
        return found

    def skip(self, records: int, end: int) -> None:
        """Be done with the next records, of which the last payload or frame ends at data[end]."""
        self.index += records
        self.position = end + -(end - self.position) % 4  # frames are multiples of four

    def read(self) -> bytes | None:
        """The next record's payload, or None at the end of the stream."""
        parts: list[bytes] = []
        size = 0
        while (head := self._head()) is not None:
            flag, length = head
            if flag not in ((MIDDLE, LAST) if parts else (WHOLE, FIRST)):
                place = "inside" if parts else "outside"
                raise self._error(f"got a part with flag {flag} {place} a record of several parts")
            size += length + (4 if parts else 0)
            if size > self._limit:
                raise self._error(f"got parts of {size} bytes together, the limit is {self._limit}")
            start = self.position + 8
            parts.append(self.data[start : start + length])
            self.position = start + length + -length % 4
            if flag in (WHOLE, LAST):
                self.index += 1
                return MAGIC_BYTES.join(parts)
        if parts:
            raise self._error("got the end of the data, expected the record's other parts")
        return None

    def _head(self) -> tuple[int, int] | None:
        """Flag and length of the next frame, all of which is there; None at the end of the stream."""
        if (there := self._fill(8)) < 8:
            if there == 0:
                return None
            raise self._error(f"got {there} bytes at the end of the data, expected a header of 8")
        magic, word = HEAD.unpack_from(self.data, self.position)
        if magic != MAGIC:
            raise self._error(f"got magic {magic:#010x}, expected {MAGIC:#010x}")
        flag, length = word >> LENGTH_BITS, word & ((1 << LENGTH_BITS) - 1)
        if length > self._limit:
            raise self._error(f"got a length of {length} bytes, the limit is {self._limit}")
        frame = 8 + length + -length % 4
        if (there := self._fill(frame)) < frame:
            what = "payload" if there < 8 + length else "padding"
            raise self._error(f"got {there - 8} of {frame - 8} bytes, the data ends in the {what}")
        return flag, length

    def _fill(self, size: int) -> int:
        """Read until `size` bytes are there, or the stream ends; return how many there are.

        Memory follows the bytes that came, not the `size` that a header claims.
        """
        there = len(self.data) - self.position
        if there < size:
            self._offset += self.position
            parts = [self.data[self.position :]]
            self.position = 0
            while there < size and (piece := next(self._stream, b"")):
                parts.append(piece)
                there += len(piece)
            self.data = b"".join(parts) if parts[0] or len(parts) != 2 else parts[1]
        return there

    def _error(self, text: str) -> DataError:
        return DataError(f"{self.place}: {text}")
