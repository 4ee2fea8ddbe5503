"""The bytes of a pass: objects one after another, unpacked and wrapped."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

import recordio
from local.platform import Channel
from local.storage import streams
from local.storage.objects import Content
from local.storage.streams import stream
from recordio.errors import UserError

CONTENTS = [b"", b"1", b"four", os.urandom(3 * streams.PIECE_BYTES + 1), b"\n\x23\xd7\xce" * 3]


def sent(contents: list[Content], *, compressed: bool = False, wrapped: bool = False) -> bytes:
    channel = Channel("train", contents, mode="Pipe", compressed=compressed, wrapped=wrapped)
    pieces = stream(channel, 0, 1, 0, threading.Event())
    return b"".join(piece.read_bytes() if isinstance(piece, Path) else piece for piece in pieces)


def files(folder: Path, contents: list[bytes]) -> list[Content]:
    for number, content in enumerate(contents):
        (folder / str(number)).write_bytes(content)
    return [folder / str(number) for number in range(len(contents))]


def test_objects_come_one_after_another(tmp_path: Path) -> None:
    assert sent(files(tmp_path, CONTENTS)) == b"".join(CONTENTS)
    assert sent([]) == b""


@pytest.mark.parametrize("compressed", [False, True])
def test_each_object_is_a_record_of_its_own(tmp_path: Path, compressed: bool) -> None:
    packed = [gzip.compress(content) for content in CONTENTS] if compressed else CONTENTS
    found = sent(files(tmp_path, packed), compressed=compressed, wrapped=True)
    assert list(recordio.records(found)) == CONTENTS
    assert len(found) % 4 == 0


def test_frames_are_those_of_the_writer(tmp_path: Path) -> None:
    with (tmp_path / "expected").open("wb") as file:
        for content in CONTENTS:
            recordio.write_record(file, content)
    assert sent(files(tmp_path, CONTENTS), wrapped=True) == (tmp_path / "expected").read_bytes()


def test_gzip_is_undone_with_all_its_members(tmp_path: Path) -> None:
    twice = gzip.compress(CONTENTS[3]) + gzip.compress(b"and more")
    assert sent(files(tmp_path, [twice, gzip.compress(b"!")]), compressed=True) == CONTENTS[3] + b"and more!"


def test_attributes_are_sent_as_they_are(tmp_path: Path) -> None:
    assert sent([b'"text"', *files(tmp_path, [b"image"]), b"1"]) == b'"text"image1'
    found = sent([b'"text"', *files(tmp_path, [b"image"]), b"1"], wrapped=True)
    assert list(recordio.records(found)) == [b'"text"', b"image", b"1"]


BROKEN = {
    "cut": (gzip.compress(CONTENTS[3])[:-20], "0 can't be read: Compressed file ended before the end-of-stream marker"),
    "no gzip": (b"plain", "0 can't be read: Not a gzipped file"),
    "damaged": (gzip.compress(b"1" * 999)[:-4] + b"1234", "0 can't be read: "),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_is_no_gzip_is_told(tmp_path: Path, case: str, wrapped: bool) -> None:
    content, text = BROKEN[case]
    with pytest.raises(UserError, match=text):
        sent(files(tmp_path, [content]), compressed=True, wrapped=wrapped)


def test_an_object_too_large_for_a_record_sends_nothing(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**29)  # a hole, which takes no room
    channel = Channel("train", [tmp_path / "large"], mode="Pipe", wrapped=True)
    pieces = stream(channel, 0, 1, 0, threading.Event())
    with pytest.raises(UserError, match=r"large: got 536870912 bytes or more, expected fewer than 536870912 in one"):
        next(pieces)


def test_unpacking_stops_at_the_size_of_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LENGTH_BITS", 20)
    packed = files(tmp_path, [gzip.compress(bytes(2**24))])
    with pytest.raises(UserError, match=r"0: got 1048576 bytes or more, expected fewer than 1048576"):
        sent(packed, compressed=True, wrapped=True)


@pytest.mark.parametrize("change", [b"longer by far", b"1"])
def test_a_file_that_changes_is_no_record(tmp_path: Path, change: bytes) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    channel = Channel("train", [tmp_path / "file"], mode="Pipe", wrapped=True)
    pieces = stream(channel, 0, 1, 0, threading.Event())
    next(pieces)
    (tmp_path / "file").write_bytes(change)
    with pytest.raises(UserError, match=rf"file has changed while it was read: got {len(change)} bytes, expected 5"):
        list(pieces)
