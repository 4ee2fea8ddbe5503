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
from recordio.streams import Source
from recordio.window import Window

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
    with Window(source) as window:
        stream = RecordStream(window, limit)
        while (payload := stream.read()) is not None:
            yield payload


def write_record(file: Writable, payload: bytes) -> None:
    """Write one frame. Never cut in parts: the SageMaker SDK cannot read those, and dmlc reads this."""
    if len(payload) >> LENGTH_BITS:
        raise DataError(f"got a record of {len(payload)} bytes, expected fewer than {1 << LENGTH_BITS}")
    _write_frame(file, WHOLE, payload)


def write_parts(file: Writable, payload: bytes) -> int:
    """Write a record as dmlc does, cut wherever it holds the magic at a multiple of four; returns the bytes written.

    Readers of MXNet that start in mid-file look for the magic to find the next record.
    """
    if len(payload) >> LENGTH_BITS:
        raise DataError(f"got a record of {len(payload)} bytes, expected fewer than {1 << LENGTH_BITS}")
    size = start = 0
    at = payload.find(MAGIC_BYTES)
    while at >= 0:
        if at % 4 == 0:
            size += _write_frame(file, MIDDLE if start else FIRST, payload[start:at])
            start = at + 4
        at = payload.find(MAGIC_BYTES, at + 4)
    return size + _write_frame(file, LAST if start else WHOLE, payload[start:])


def _write_frame(file: Writable, flag: int, payload: bytes) -> int:
    frame = HEAD.pack(MAGIC, flag << LENGTH_BITS | len(payload)) + payload + bytes(-len(payload) % 4)
    file.write(frame)
    return len(frame)


class RecordStream:
    """A cursor over the records of one source.

    index    of the next record, from 0
    window   on the source; it starts at the next frame
    """

    def __init__(self, window: Window, limit: int) -> None:
        self.index = 0
        self.window = window
        self._limit = limit

    @property
    def place(self) -> str:
        """Where the next record is, for error texts."""
        return f"record {self.index} (byte {self.window.offset + self.window.start})"

    def ready(self) -> int:
        """Read until the next frame is there as a whole; returns its length, 0 at the end of the stream."""
        head = self._head()
        return 0 if head is None else _frame_length(head[1])

    def arrived(self) -> bool:
        """Whether the next record is there already, in one piece."""
        there = self.window.end - self.window.start
        if there < HEAD.size:
            return False
        word = HEAD.unpack_from(self.window.data, self.window.start)[1]
        return word >> LENGTH_BITS == WHOLE and there >= _frame_length(word)

    def skip(self, records: int, end: int) -> None:
        """Be done with the next records, of which the last frame ends at window.data[end]."""
        self.index += records
        self.window.start = end

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
            start = self.window.start + HEAD.size
            parts.append(bytes(self.window.data[start : start + length]))
            self.window.start += _frame_length(length)
            if flag in (WHOLE, LAST):
                self.index += 1
                return MAGIC_BYTES.join(parts)
        if parts:
            raise self._error("got the end of the data, expected the record's other parts")
        return None

    def _head(self) -> tuple[int, int] | None:
        """Flag and length of the next frame, all of which is there; None at the end of the stream."""
        if (there := self.window.fill(HEAD.size)) < HEAD.size:
            if there == 0:
                return None
            raise self._error(f"got {there} bytes at the end of the data, expected a header of {HEAD.size}")
        magic, word = HEAD.unpack_from(self.window.data, self.window.start)
        if magic != MAGIC:
            raise self._error(f"got magic {magic:#010x}, expected {MAGIC:#010x}")
        flag, length = word >> LENGTH_BITS, word & ((1 << LENGTH_BITS) - 1)
        if length > self._limit:
            raise self._error(f"got a length of {length} bytes, the limit is {self._limit}")
        frame = _frame_length(length)
        if (there := self.window.fill(frame)) < frame:
            what = "payload" if there < HEAD.size + length else "padding"
            raise self._error(f"got {there - HEAD.size} of {frame - HEAD.size} bytes, the data ends in the {what}")
        return flag, length

    def _error(self, text: str) -> DataError:
        return DataError(f"{self.place}: {text}")


def _frame_length(length: int) -> int:
    """Bytes of a frame with `length` bytes of payload."""
    return HEAD.size + length + -length % 4
