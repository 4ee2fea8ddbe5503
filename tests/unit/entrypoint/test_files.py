"""Files of a channel: which are data, in which order, and what is told about those that can't be read."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from entrypoint.files import data_files
from recordio.errors import PlatformError, UserError
from tests.unit.entrypoint.conftest import Base, record_bytes
from tests.unit.entrypoint.forked import as_user, open_files, open_folder
from tests.unit.entrypoint.reading import channel, error_of, rows

RECORDIO = "application/x-recordio-protobuf"


def test_files_that_are_data_in_stable_order(base: Base) -> None:
    data = ["a.csv", "a/z.csv", "a-b.csv", "b/1/x.csv", "b/10/x.csv", "b/2/x.csv", "no suffix", "ä.csv"]
    other = [".hidden", "_SUCCESS", "_temporary/part.csv", ".git/config", "b/.x", "b/_y", "c/_z/part.csv"]
    for name in reversed(data + other):
        base.file(f"train/{name}", b"1,2\n")
    base.file("train/empty.csv", b"")
    (base.data / "train/nothing").mkdir()
    os.mkfifo(base.data / "train/pipe")
    (base.data / "train/loop").symlink_to("loop")
    (base.data / "train/round").symlink_to(".")
    (base.data / "train/dangling").symlink_to("missing")
    (base.data / "train/b/linked.csv").symlink_to("../a.csv")
    (base.data / "train/zero").symlink_to("/dev/zero")
    found = [path.relative_to(base.data / "train").as_posix() for path in data_files(base.data / "train")]
    expected = sorted([*data, "b/linked.csv"], key=lambda name: name.split("/"))
    assert found == expected
    assert found[:3] == ["a/z.csv", "a-b.csv", "a.csv"]


def test_folders_are_walked_to_a_depth(base: Base) -> None:
    base.file("train/" + "d/" * 16 + "in.csv", b"1,2\n")
    base.file("train/" + "d/" * 17 + "out.csv", b"3,4\n")
    base.file("train/" + "x/" * 300 + "out.csv", b"5,6\n")
    assert [path.name for path in data_files(base.data / "train")] == ["in.csv"]


def test_a_channel_may_be_a_file(base: Base) -> None:
    base.file("train", b"1,2\n3,4\n")
    assert rows(channel(base)) == [[1, 2], [3, 4]]
    assert channel(base).total_bytes == 8
    base.file("train", b"")
    assert rows(channel(base)) == []


def test_files_are_read_through_in_order(base: Base) -> None:
    base.file("train/b.csv", b"5,6")  # an unfinished last line
    base.file("train/a.csv", b"1,2\n3,4")
    base.file("train/c/d.csv.gz", gzip.compress(b"7,8\n") + gzip.compress(b"9,10"))
    found = channel(base)
    assert [len(batch) for batch in found.batches(2)] == [2, 2, 1]
    assert rows(found) == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert (found.passes, found.size_bytes, found.total_bytes) == (2, 3 + 7 + 8, None)


def test_gzip_is_known_by_its_first_bytes(base: Base) -> None:
    base.file("train/a", gzip.compress(record_bytes(np.ones((3, 2)))))
    base.file("train/b", record_bytes(np.zeros((1, 2))))
    found = channel(base, RECORDIO)
    assert rows(found) == [[1, 1]] * 3 + [[0, 0]]
    assert found.size_bytes == len(record_bytes(np.ones((4, 2))))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda content: content[:-4], "ended before the end-of-stream marker"),
        (lambda content: content[:20] + bytes(9) + content[29:], "Error -3 while decompressing|CRC check failed|ended"),
        (lambda content: content[:-8] + bytes(8), "CRC check failed"),
        (lambda content: content + b"junk", "Not a gzipped file"),
    ],
)
def test_damaged_gzip(base: Base, damage: Callable[[bytes], bytes], text: str) -> None:
    content = gzip.compress(b"".join(b"%d,%d\n" % (number * 7919, number) for number in range(1000)))
    base.file("train/part.gz", damage(content))
    with pytest.raises(UserError, match=r"Unable to read data channel 'train'\. Requested content-type is") as caught:
        rows(channel(base))
    cause = str(caught.value.__cause__)
    assert cause.startswith("part.gz: not a whole gzip file (") and any(part in cause for part in text.split("|"))


def test_files_handles_are_closed(base: Base) -> None:
    for number in range(20):
        base.file(f"train/{number}.csv", b"1,2\n" if number % 2 else gzip.compress(b"1,2\n"))
    found = channel(base)
    before = open_files()
    for _ in range(5):
        assert len(rows(found)) == 20
        next(found.batches(1))  # closed early
    assert open_files() == before


def test_files_that_vanish_or_can_not_be_read(base: Base) -> None:
    base.file("train/a.csv", b"1,2\n")
    base.file("train/b.csv", b"3,4\n")
    batches = channel(base).batches(1)
    next(batches)
    (base.data / "train/b.csv").unlink()
    text = error_of(lambda: list(batches), PlatformError)
    assert text.startswith("Data channel 'train': b.csv can't be read: No such file or directory | ")
    (base.data / "train/a.csv").unlink()
    (base.data / "train").rmdir()
    (base.data / "train").symlink_to("/proc/self/mem")  # reading its start is an input/output error
    text = error_of(lambda: rows(channel(base)), PlatformError)
    assert text.startswith("Data channel 'train': train can't be read: Input/output error | ")


def test_what_another_user_keeps_to_himself() -> None:
    with open_folder() as folder:
        base = Base(folder)
        base.file("train/a.csv", b"1,2\n").chmod(0)
        text = as_user(lambda: rows(channel(base)))
        assert text == "PlatformError: Data channel 'train': a.csv can't be read: Permission denied"
        (base.data / "train/a.csv").chmod(0o644)
        base.file("train/part/b.csv", b"1,2\n").parent.chmod(0)
        text = as_user(lambda: rows(channel(base)))
        assert text.startswith("PlatformError: ") and text.endswith("/train/part can't be read: Permission denied")
        (base.data / "train/part").chmod(0o755)


def test_names_of_files_forge_no_log_lines(base: Base) -> None:
    base.file("train/a\n[01/01/2026 00:00:00 INFO 1] forged", b"x,y\n")
    base.file(os.fsdecode(b"train/\xff.csv"), b"x,y\n")
    text = error_of(lambda: rows(channel(base)))
    assert "\n" not in text and r"'a\n[01/01/2026 00:00:00 INFO 1] forged', record 0" in text
    (base.data / "train/a\n[01/01/2026 00:00:00 INFO 1] forged").unlink()
    error_of(lambda: rows(channel(base))).encode()


def test_total_bytes_opens_no_file(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """In FastFile mode each opening fetches the object."""
    base.file("train/a", b"1,2\n")
    base.file("train/b", b"1,2\n")
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("opened"))
    assert channel(base, mode="FastFile").total_bytes == 8
