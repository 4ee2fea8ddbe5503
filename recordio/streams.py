"""Streams: bytes as they come."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Protocol

from recordio.errors import DataError

PIECE = 2**18  # bytes asked for at once: they are still in the cache of a core when they are decoded
PIPE = 2**20  # bytes that a pipe is made to hold

# Beside UTF-8. Not all that Python knows: its codecs also unpack zip files.
UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
CHARSETS = ("utf-16", "utf-16-le", "utf-16-be", "iso8859-1", "cp1252")


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


Text = bytes | bytearray
Source = bytes | bytearray | memoryview | str | PathLike[str] | Readable


def pieces(source: Source, size: int = PIECE) -> Iterator[bytes]:
    """The bytes of a source in pieces of at most `size`, each as soon as it is there.

    source   bytes, a path, or a file object whose `read` may return less than it is asked for
    """
    if isinstance(source, bytes | bytearray | memoryview):
        view = memoryview(source).cast("B")
        if len(view) <= size:
            yield bytes(view)
        else:
            yield from (bytes(view[start : start + size]) for start in range(0, len(view), size))
    elif isinstance(source, str | PathLike):
        with unbuffered(source) as file:
            yield from pieces(file, size)
    else:
        # A buffered reader's `read` waits for `size` bytes, its `read1` doesn't.
        read = getattr(source, "read1", source.read)
        while piece := read(size):
            yield piece


def unbuffered(path: str | PathLike[str]) -> FileIO:
    """Open a file or pipe so that a read returns what is there instead of waiting for more.

    A pipe is made to hold a few pieces where the system allows it: its writer then runs on while we decode.
    """
    file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - the caller's to close
    enlarge(file.fileno())
    return file


def enlarge(pipe: int) -> None:
    """Let a pipe hold PIPE bytes, where the system allows it; what is no pipe stays as it is."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # no pipe, or more than this user may have
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)


def lines(stream: Iterable[bytes], limit: int, ends: bytes = b"\n") -> Iterator[Text]:
    """Whole lines, as many at once as each piece completes. The last line may lack its end.

    ends   bytes that each end a line; at \\r\\n too a text may end after the first
    """
    tail = bytearray()
    for part in (part for piece in stream for part in ([piece] if len(piece) <= limit else pieces(piece, limit))):
        first = min((at for end in ends if (at := part.find(end)) >= 0), default=len(part))
        if len(tail) + first > limit:
            raise DataError(f"got a line of more than {limit} bytes; is this text?")
        cut = 0
        for end in ends:
            cut = part.rfind(end, cut) + 1 or cut
        if cut:
            view = memoryview(part)
            tail += view[:cut]
            yield tail
            tail = bytearray(view[cut:])
        else:
            tail += part
    if tail:
        yield tail


def as_utf8(stream: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Text in UTF-8, without a byte order mark. UTF-8 itself passes as it is; whoever reads it finds its faults."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        name = ""
    if name in ("utf-8", "ascii"):
        yield _start(stream, len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
        yield from stream
        return
    if name not in CHARSETS:
        raise DataError(f"got charset {encoding[:40]!r}, expected one of utf-8, {', '.join(CHARSETS)}")
    start = b""
    mark = 0
    if name == "utf-16" and (start := _start(stream, len(codecs.BOM_UTF16))):
        mark = len(codecs.BOM_UTF16)
        if start[:mark] not in UTF_16:
            raise DataError(
                f"got bytes that are not utf-16: they begin with {start[:mark]!r}, expected a byte order mark"
            )
        name = UTF_16[start[:mark]]
    decoder = codecs.getincrementaldecoder(name)()
    seen = mark
    for piece in chain([start[mark:]], stream, [None]):
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(piece or b"", final=piece is None)
        except UnicodeDecodeError as error:
            yield error.object[: error.start].decode(name).encode()
            place = seen - held + error.start
            raise DataError(f"got bytes that are not {encoding[:40]} at byte {place}: {error.reason}") from None
        seen += len(piece or b"")
        yield text.encode()


def _start(stream: Iterator[bytes], size: int) -> bytes:
    """The first pieces, of so many bytes together or more if there are as many."""
    start = b""
    while len(start) < size and (piece := next(stream, b"")):
        start += piece
    return start
