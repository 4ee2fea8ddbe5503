from __future__ import annotations

import gzip
import io

import pytest

from recordio.errors import DataError
from serving import body as bodies
from serving.errors import TooLarge, TooSlow


def read(stream: bodies.Stream, length: int | None = None, limit: int = 100) -> bytes:
    return bodies.read(stream, length, limit=limit, timeout_seconds=1, large=lambda: None)


class Broken(io.BytesIO):
    """Gives its bytes and then an error."""

    def __init__(self, content: bytes, error: Exception) -> None:
        super().__init__(content)
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if not piece:
            raise self.error
        return piece


@pytest.mark.parametrize("length", [None, 100])
def test_body_up_to_the_limit(length: int | None) -> None:
    assert read(io.BytesIO(b"x" * 100), length) == b"x" * 100


@pytest.mark.parametrize("length", [None, 101])
def test_body_beyond_the_limit_is_read_to_its_end_but_not_kept(length: int | None) -> None:
    stream = io.BytesIO(b"x" * 101)
    with pytest.raises(TooLarge, match="larger than 100 bytes: send fewer records, or set MAX_CONTENT_LENGTH"):
        read(stream, length)
    assert stream.tell() == 101


def test_huge_body_is_refused_unread() -> None:
    stream = io.BytesIO(b"x")
    with pytest.raises(TooLarge):
        read(stream, 1 << 40)
    assert stream.tell() == 0


def test_body_without_end() -> None:
    class Endless:
        def read(self, size: int, /) -> bytes:
            return bytes(size)

    with pytest.raises(TooLarge):
        read(Endless())


def test_body_that_breaks_off() -> None:
    with pytest.raises(DataError, match="ended after 3 bytes, expected 5"):
        read(io.BytesIO(b"1,2"), 5)
    with pytest.raises(DataError, match="can't be read: reset"):
        read(Broken(b"1,2", ConnectionResetError("reset")))
    with pytest.raises(TooSlow, match="stopped coming in"):
        read(Broken(b"1,2", BlockingIOError()))


def test_body_that_trickles(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr("serving.body.time.monotonic", lambda: next(now))

    class Trickle:
        def read(self, size: int, /) -> bytes:
            return b"1"

    with pytest.raises(TooSlow, match="took longer than 1 seconds"):
        read(Trickle())


@pytest.mark.parametrize(("size", "calls"), [(bodies.SMALL_BYTES, 0), (bodies.SMALL_BYTES + 1, 1), (1 << 22, 1)])
def test_a_large_body_asks_for_its_place_once(size: int, calls: int) -> None:
    asked: list[int] = []
    stream = io.BytesIO(bytes(size))
    bodies.read(stream, None, limit=1 << 22, timeout_seconds=1, large=lambda: asked.append(stream.tell()))
    assert len(asked) == calls
    assert all(position <= bodies.SMALL_BYTES + bodies.PIECE_BYTES for position in asked)


def test_unpacked_size_counts() -> None:
    assert bodies.unpack(gzip.compress(b"x" * 100), "gzip", 100) == b"x" * 100
    with pytest.raises(TooLarge):
        bodies.unpack(gzip.compress(b"x" * 101), "x-gzip", 100)
