"""Reading objects of storage: bytes in order, over as many connections as it takes."""

from __future__ import annotations

import contextlib
import io
import re
import threading
from typing import TYPE_CHECKING, Any

from local.storage.service import Stored, Uri, broken, client, foreign, reworded, status
from recordio.errors import DataError, PlatformError, UserError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIECE_BYTES = 256 * 1024  # of one read, and the most that has to come again after a break
WAITS_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0)  # between tries that brought nothing; boto3 repeats each try, too
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class Reader(io.RawIOBase):
    """An object, open for reading from its start to its end.

    When a connection breaks, the next one goes on at the byte that is due, of the same content or not at all.
    The constructor and `read` raise PlatformError when the storage stays in trouble, and UserError when the object is
    missing, forbidden, or has changed since it was found.

    size       of the object, in bytes
    stopping   ends the waits between tries
    """

    def __init__(self, stored: Stored, stopping: threading.Event) -> None:
        self.stored = stored
        self.position = 0
        self._size = stored.size
        self._etag = stored.etag
        self._stopping = stopping
        self._body: Any = None
        self.read(0)

    @property
    def size(self) -> int:
        assert self._size is not None
        return self._size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def read(self, size: int = PIECE_BYTES, /) -> bytes:
        """The next bytes, `size` at most; none at the end."""
        waits = iter(WAITS_SECONDS)
        while True:
            try:
                piece = self._piece(size)
            except Exception as error:
                self._disconnect()
                if not foreign(error):
                    raise
                if not broken(error):
                    raise self._refused(error) from error
                self._wait(next(waits, None), error)
            else:
                self.position += len(piece)
                return piece

    def close(self) -> None:
        self._disconnect()
        super().close()

    def _piece(self, size: int) -> bytes:
        if self._body is None:
            if self.position and self.position == self._size:
                return b""
            self._connect()
        piece: bytes = self._body.read(size) if size else b""
        return piece

    def _connect(self) -> None:
        uri = self.stored.uri
        wanted = {"IfMatch": self._etag} if self._etag else {}
        if self.position:
            wanted["Range"] = f"bytes={self.position}-"
        answer = client().get_object(Bucket=uri.bucket, Key=uri.key, **wanted)
        self._body = answer["Body"]
        start, size = 0, answer.get("ContentLength")
        if part := CONTENT_RANGE.match(answer.get("ContentRange", "")):
            start, size = int(part[1]), int(part[2])
        # Not every service heeds If-Match and Range.
        if self._etag not in (None, answer.get("ETag")) or self._size not in (None, size):
            raise self._changed()
        if size is None or start != self.position:
            raise PlatformError(f"{self.stored}: got {size} bytes from {start} on, expected them from {self.position}")
        self._size, self._etag = size, answer.get("ETag")

    def _disconnect(self) -> None:
        if self._body is not None:
            with contextlib.suppress(Exception):
                self._body.close()
        self._body = None

    def _wait(self, seconds: float | None, error: Exception) -> None:
        if seconds is None:
            tries = len(WAITS_SECONDS) + 1
            raise PlatformError(
                f"{self.stored}: {tries} tries in a row failed at byte {self.position}, the last so: {error}"
            ) from error
        if self._stopping.wait(seconds):
            raise PlatformError(f"{self.stored}: the job ended while it was being read") from error

    def _refused(self, error: Exception) -> Exception:
        return self._changed() if status(error) in (412, 416) else reworded(error, self.stored)

    def _changed(self) -> UserError:
        return UserError(f"{self.stored}: at byte {self.position} the object is no longer the one that was found")


def whole(uri: Uri, limit: int) -> bytes:
    """All of a small object. Raises DataError when it is longer than `limit` bytes."""
    with Reader(Stored(uri, uri.name), threading.Event()) as reader:
        if reader.size > limit:
            raise DataError(f"{uri}: got {reader.size} bytes, expected {limit} at most")
        return b"".join(iter(reader.read, b""))
