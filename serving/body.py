"""The body of a request: read and unpacked within limits of size and time."""

from __future__ import annotations

import gzip
import io
import time
import zlib
from collections.abc import Callable
from typing import Protocol

from gunicorn.http.errors import ParseException

from recordio.content_types import UnsupportedContentType
from recordio.errors import DataError
from serving.errors import TooLarge, TooSlow

PIECE_BYTES = 1 << 16
SMALL_BYTES = 1 << 20
DISCARDED_BYTES = 64 << 20  # of a body that is too large; a client that is cut off in mid-body never reads our reply


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read(
    stream: Stream, length: int | None, *, limit: int, timeout_seconds: float, large: Callable[[], object]
) -> bytes:
    """All bytes of a body.

    length   as the client announced it; None for chunks
    large    called once, before more than SMALL_BYTES are held
    Raises TooLarge, TooSlow, and DataError when the body breaks off or its chunks are malformed.
    """
    if length is not None and length > limit + DISCARDED_BYTES:
        raise _too_large(limit)
    deadline = time.monotonic() + timeout_seconds
    pieces, size = [], 0
    while size <= limit + DISCARDED_BYTES and (piece := _piece(stream)):
        if size <= SMALL_BYTES < size + len(piece):
            large()
            deadline = time.monotonic() + timeout_seconds  # waiting for a place is not the client's fault
        size += len(piece)
        if size <= limit:
            pieces.append(piece)
        if time.monotonic() > deadline:
            raise TooSlow(f"The request body took longer than {timeout_seconds:g} seconds")
    if size > limit:
        raise _too_large(limit)
    if length is not None and size < length:
        raise DataError(f"The request body ended after {size} bytes, expected {length}")
    return b"".join(pieces)


def _piece(stream: Stream) -> bytes:
    try:
        return stream.read(PIECE_BYTES)
    except (BlockingIOError, TimeoutError) as error:  # the socket's own timeout
        raise TooSlow("The request body stopped coming in") from error
    except (OSError, ParseException) as error:
        raise DataError(f"The request body can't be read: {error}") from error


def unpack(body: bytes, encoding: str | None, limit: int) -> bytes:
    """Undo Content-Encoding. A bomb costs no more than the limit.

    Raises TooLarge, DataError, and UnsupportedContentType for an encoding other than gzip.
    """
    name = (encoding or "identity").strip().lower()
    if name == "identity":
        return body
    if name not in ("gzip", "x-gzip"):
        raise UnsupportedContentType(f"content-encoding {name[:100]} not supported: expected gzip or none")
    try:
        with gzip.open(io.BytesIO(body)) as file:
            unpacked = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"The request body is not gzip as its content-encoding says: {error}") from error
    if len(unpacked) > limit:
        raise _too_large(limit)
    return unpacked


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {limit} bytes: send fewer records, or set MAX_CONTENT_LENGTH")
