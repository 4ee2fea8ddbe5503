"""A window on a source: the bytes that have come and are not done with, in one piece of memory."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from types import TracebackType
from typing import Any, Self

from recordio.streams import Source, unbuffered

# Small enough that bytes are still in the cache of a core when they are decoded, large enough for few calls.
ROOM_BYTES = 2**19


class Window:
    """Bytes of a source at data[start:end]; whoever is done with some moves `start`.

    A source in memory is looked at where it lies. Of any other, memory follows the bytes that came and are not done
    with, not what a header claims.

    offset   of data[0] in the source
    """

    def __init__(self, source: Source) -> None:
        self.start = self.end = self.offset = 0
        self.data: memoryview[int]
        self._file: Any = None
        if isinstance(source, bytes | bytearray | memoryview):
            self.data = memoryview(source).cast("B")
            self.end = len(self.data)
            self._readinto: Callable[[memoryview[int]], int | None] | None = None
        else:
            self.data = memoryview(bytearray(ROOM_BYTES))
            if isinstance(source, str | PathLike):
                self._file = source = unbuffered(source)  # closed by __exit__
            self._readinto = _reader(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def fill(self, size: int) -> int:
        """Read until `size` bytes are there, or the source ends; returns how many there are."""
        while self._readinto is not None and self.end - self.start < size:
            if self.end == len(self.data) or self.start == self.end:
                self._make_room()
            if not (count := self._readinto(self.data[self.end :])):
                break
            self.end += count
        return self.end - self.start

    def _make_room(self) -> None:
        """Move what is there to the front, of more memory when it fills half of what there is."""
        there = self.data[self.start : self.end]
        room = self.data if 2 * len(there) <= len(self.data) else memoryview(bytearray(2 * len(self.data)))
        room[: len(there)] = there
        self.offset += self.start
        self.data, self.start, self.end = room, 0, len(there)


def _reader(source: Any) -> Callable[[memoryview[int]], int | None]:
    """How to read what is there into memory: a buffered file's `read` and `readinto` wait for all, its `..1` don't."""
    for name in ("readinto1", "readinto"):
        if hasattr(source, name):
            return getattr(source, name)  # type: ignore[no-any-return]
    read = getattr(source, "read1", source.read)

    def readinto(room: memoryview[int]) -> int:
        piece = read(len(room))
        room[: len(piece)] = piece
        return len(piece)

    return readinto
