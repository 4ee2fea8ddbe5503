"""What a pipe carries: the bytes of objects one after another, unpacked and wrapped as the channel says.

Objects of storage are opened and read by threads ahead of the pipe, a bounded number of bytes, and never stored here.
"""

from __future__ import annotations

import gzip
import io
import os
import threading
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from pathlib import Path

from entrypoint.ahead import Ahead
from local.platform import Channel
from local.storage.objects import Content, shard
from local.storage.reading import PIECE_BYTES, Reader
from local.storage.service import Stored
from recordio.errors import UserError
from recordio.framing import HEAD, LENGTH_BITS, MAGIC

OBJECTS_AHEAD = 8  # so that small objects don't cost a round trip each
PIECES_AHEAD = 4  # of each of these objects


def stream(channel: Channel, host: int, hosts: int, number: int, ended: threading.Event) -> Generator[bytes | Path]:
    """The bytes of pass `number` for a host; see `objects.shard`. A path stands for all the bytes of its file.

    Raises UserError for an object that can't be read, unpacked or wrapped, PlatformError for storage in trouble.

    ended   ends the reading, also in the middle
    """
    started: deque[Iterable[bytes | Path]] = deque()
    try:
        for content in shard(channel, number, host, hosts):
            one = _pieces(content, channel, ended)
            started.append(Ahead(one, PIECES_AHEAD, stopping=ended) if isinstance(content, Stored) else one)
            if len(started) == OBJECTS_AHEAD:
                yield from started[0]
                started.popleft()
        while started:
            yield from started[0]
            started.popleft()
    finally:
        for each in started:
            if isinstance(each, Ahead):
                each.close()


def _pieces(content: Content, channel: Channel, ended: threading.Event) -> Iterator[bytes | Path]:
    if isinstance(content, bytes):
        yield from _framed([content], len(content), "the manifest") if channel.wrapped else [content]
        return
    if isinstance(content, Path) and not channel.compressed and not channel.wrapped:
        yield content
        return
    try:
        with content.open("rb", buffering=0) if isinstance(content, Path) else Reader(content, ended) as file:
            chunks, size = iter(partial(file.read, PIECE_BYTES), b""), _size(file)
            if channel.compressed:
                chunks = _unpacked(file)
                if channel.wrapped:  # the frame begins with the length
                    payload = _joined(chunks, str(content))
                    chunks, size = iter((payload,)), len(payload)
            yield from _framed(chunks, size, str(content)) if channel.wrapped else chunks
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{content} can't be read: {getattr(error, 'strerror', None) or error}") from error


def _size(file: io.RawIOBase) -> int:
    return file.size if isinstance(file, Reader) else os.fstat(file.fileno()).st_size


def _unpacked(file: io.RawIOBase) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=io.BufferedReader(file, PIECE_BYTES)) as content:
        yield from iter(partial(content.read, PIECE_BYTES), b"")


def _joined(chunks: Iterable[bytes], name: str) -> bytes:
    found, size = [], 0
    for chunk in chunks:
        found.append(chunk)
        size += len(chunk)
        _check_size(size, name)
    return b"".join(found)


def _framed(chunks: Iterable[bytes], size: int, name: str) -> Iterator[bytes]:
    """One RecordIO record, never cut in parts; see `recordio.framing.write_record`."""
    _check_size(size, name)
    yield HEAD.pack(MAGIC, size)
    found = 0
    for chunk in chunks:
        found += len(chunk)
        yield chunk
    if found != size:  # a file of this machine that someone writes to
        raise UserError(f"{name} has changed while it was read: got {found} bytes, expected {size}")
    if size % 4:
        yield bytes(-size % 4)


def _check_size(size: int, name: str) -> None:
    if size >> LENGTH_BITS:
        raise UserError(f"{name}: got {size} bytes or more, expected fewer than {1 << LENGTH_BITS} in one record")
