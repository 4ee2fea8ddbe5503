"""ZIP archives of our own and of hostile hands; written by the standard library's zipfile or byte by byte."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.artifacts import zipped
from recordio.errors import UserError

MEMBERS = {"manifest.json": b'{"version": 1}', "mx-mod-0000.params": bytes(range(256)) * 4, "empty": b""}
GOOD = zipped.encode(MEMBERS)


def made(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = comment
    return file.getvalue()


def entry(name: bytes, size: int, *, at: int = 0, flags: int = 0, method: int = 0, checksum: int = 0) -> bytes:
    """One line of the directory at the end, that claims what we like."""
    versions, date = (20, 20), 0x21
    head = (b"PK\1\2", *versions, flags, method, 0, date, checksum, size, size, len(name))
    return struct.pack("<4s6H3L5H2L", *head, 0, 0, 0, 0, 0, at) + name


def crafted(local: bytes, *entries: bytes) -> bytes:
    directory = b"".join(entries)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(entries), len(entries), len(directory), len(local), 0)
    return local + directory + end


def local(name: bytes, content: bytes, flags: int = 0) -> bytes:
    head = (b"PK\3\4", 20, flags, 0, 0, 0x21, zlib.crc32(content), len(content), len(content), len(name), 0)
    return struct.pack("<4s5H3L2H", *head) + name + content


def test_round_trip_and_what_others_read() -> None:
    assert zipped.decode(GOOD, MEMBERS) == MEMBERS
    assert zipped.decode(GOOD, ["empty"]) == {"empty": b""}
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == MEMBERS
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert zipped.encode(MEMBERS) == GOOD


def test_reads_archives_of_others() -> None:
    assert zipped.decode(made(("a", b"1"), ("folder/", b""), ("folder/b", b"2")), ["folder/b", "a"]) == {
        "folder/b": b"2",
        "a": b"1",
    }
    content = b"abc"
    name = b"x"
    good = crafted(local(name, content), entry(name, 3, checksum=zlib.crc32(content)))
    assert zipped.decode(good, ["x"]) == {"x": content}  # so that the crafted ones below fail for their fault alone


def test_equal_content_gives_equal_bytes_with_no_time_in_them() -> None:
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


X = b"abc"
HOSTILE = {
    "nothing": (b"", "not a ZIP archive: starts with b''"),
    "another format": (b"\x12\x01" + bytes(80), "not a ZIP archive"),
    "only the start": (GOOD[:30], "cut off"),
    "without its last byte": (GOOD[:-1], "cut off"),
    "a byte more": (GOOD + b"\0", "has bytes after its end"),
    "a comment": (made(("x", X), comment=b"PK"), "has bytes after its end"),
    "something before it": (b"PK\3\4" + bytes(50) + made(("x", X)), "has bytes before its first member"),
    "deflated": (made(("x", bytes(10**6)), method=zipfile.ZIP_DEFLATED), "'x' compressed, expected it stored"),
    "twice": (crafted(local(b"x", X), *[entry(b"x", 3, checksum=zlib.crc32(X))] * 2), "'x' twice"),
    "out of the folder": (made(("../x", X), ("x", X)), "'../x', which leads out of the folder"),
    "from the root": (made(("/x", X), ("x", X)), "'/x', which leads out of the folder"),
    "encrypted": (crafted(local(b"x", X, flags=1), entry(b"x", 3, flags=1)), "'x' encrypted"),
    "longer than it is": (crafted(local(b"x", X), entry(b"x", 2**31)), "overlap, or end after"),
    "many in one place": (
        crafted(local(b"x", bytes(100)), *[entry(b"%d" % number, 100) for number in range(500)]),
        "overlap",
    ),
    "more than we read": (made(*((str(number), b"") for number in range(1001))), "more than 1000 members"),
    "in no place": (crafted(local(b"x", X), entry(b"x", 3, at=2**31)), "bytes before its first"),
    "another checksum": (crafted(local(b"x", X), entry(b"x", 3, checksum=1)), r"damaged \(Bad CRC"),
    "another name": (crafted(local(b"y", X), entry(b"x", 3, checksum=zlib.crc32(X))), "damaged"),
    "unknown method": (crafted(local(b"x", X), entry(b"x", 3, method=77)), "'x' compressed"),
    "not there": (made(("y", X)), "has no member 'x'"),
    "an end alone": (b"PK\5\6" + bytes(18), "has no member 'x'"),
    "a false directory": (struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, 2**31, 2**31, 0), "damaged"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_get_one_sentence(kind: str) -> None:
    content, text = HOSTILE[kind]
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=text) as caught:
            zipped.decode(content, ["x"])
        assert tracemalloc.get_traced_memory()[1] < 4 * len(content) + 2**21
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_gives_a_user_error_or_members(data: st.DataObject) -> None:
    damaged = bytearray(GOOD)
    for place in data.draw(st.lists(st.integers(0, len(GOOD) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        found = zipped.decode(bytes(damaged), MEMBERS)
    except UserError:
        return
    assert found == MEMBERS, "a checksum guards every member"


def test_any_cut_is_noticed() -> None:
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(GOOD), 100):
        with pytest.raises(UserError):
            zipped.decode(GOOD[:length], MEMBERS)
