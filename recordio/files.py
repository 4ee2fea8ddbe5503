"""Files: sources that must be read here and there, not from front to back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from recordio.errors import DataError
from recordio.streams import Readable, Source, pieces


@contextmanager
def opened(source: Source) -> Iterator[Readable]:
    """The source as a file object, of which a read may return less than it is asked for."""
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
    elif isinstance(source, str | PathLike):
        with Path(source).open("rb", buffering=0) as file:
            yield file
    else:
        yield source


def seekable(file: Readable) -> Any:
    """The same file, to be read anywhere and as much as asked for; None when it is a stream."""
    if isinstance(file, io.BufferedIOBase) and not isinstance(file, io.BytesIO | io.BufferedReader | io.BufferedRandom):
        return None  # a decompressor: it can seek, but reads all from the start again to do so
    if not getattr(file, "seekable", bool)():
        return None
    return file if isinstance(file, io.BufferedIOBase) else io.BufferedReader(_Raw(file))


def held(file: Readable, limit: int, what: str) -> Any:
    """A stream's bytes in memory, as a file. Raises DataError when there are more than `limit`."""
    body = io.BytesIO()
    for piece in pieces(file):
        if body.tell() + len(piece) > limit:
            raise DataError(f"got a stream of more than {limit} bytes of {what}, which must seek; read it from a file")
        body.write(piece)
    return body


class _Raw(io.RawIOBase):
    """Any object with `read` and `seek`, to put a buffer around. Closing it leaves the object open."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        piece = self._file.read(len(room))
        room[: len(piece)] = piece
        return len(piece)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._file.seek(offset, whence)
        return int(self._file.tell())

    def tell(self) -> int:
        return int(self._file.tell())
