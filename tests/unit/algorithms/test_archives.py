"""Archives: a round trip, and every hostile one refused with a sentence."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from algorithms.artifacts import archives
from algorithms.artifacts.archives import pack, unpack
from recordio.errors import UserError


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object) -> tuple[bytes, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    padding = -len(content) % tarfile.BLOCKSIZE
    return info.tobuf(tarfile.GNU_FORMAT), content + bytes(padding)


def archive(path: Path, *members: tuple[bytes, bytes]) -> Path:
    path.write_bytes(gzip.compress(b"".join(header + content for header, content in members) + bytes(1024)))
    return path


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_round_trip(tmp_path: Path) -> None:
    source = tmp_path / "model"
    (source / "deep" / "empty").mkdir(parents=True)
    (source / "model_algo-1").write_bytes(b"\x00" * 2000)
    (source / "deep" / ("long" * 40)).write_bytes("naïve".encode())
    pack(source, tmp_path / "model.tar.gz")
    unpack(tmp_path / "model.tar.gz", tmp_path / "back")
    assert files(tmp_path / "back") == files(source)
    assert (tmp_path / "back" / "deep" / "empty").is_dir()


def test_equal_content_gives_equal_bytes_and_relative_names(tmp_path: Path) -> None:
    packed = []
    for number, names in enumerate((["a", "b"], ["b", "a"])):
        source = tmp_path / str(number)
        source.mkdir()
        for name in names:
            (source / name).write_text(name)
            os.utime(source / name, (number, number))
        pack(source, tmp_path / f"{number}.tar.gz")
        packed.append((tmp_path / f"{number}.tar.gz").read_bytes())
    assert packed[0] == packed[1]
    with tarfile.open(tmp_path / "0.tar.gz") as tar:
        assert tar.getnames() == ["a", "b"]


def test_a_link_out_of_the_folder_is_not_packed_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    source = tmp_path / "model"
    source.mkdir()
    (source / "model_algo-1").symlink_to(tmp_path / "secret")
    output = tmp_path / "output"
    output.mkdir()
    with pytest.raises(UserError, match="model_algo-1 can't be packed"):
        pack(source, output / "model.tar.gz")
    assert not list(output.iterdir())


def test_archives_of_other_tools_are_read(tmp_path: Path) -> None:
    """`tar czf model.tar.gz .` leads with `./`; Python writes the time into extended headers."""
    made = archive(tmp_path / "m.tar.gz", member("./", kind=tarfile.DIRTYPE), member("./model_algo-1", b"centres"))
    unpack(made, tmp_path / "a")
    assert files(tmp_path / "a") == {"model_algo-1": b"centres"}
    (tmp_path / "ü").write_text("x")
    with tarfile.open(tmp_path / "pax.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "ü", arcname="ü")
    unpack(tmp_path / "pax.tar.gz", tmp_path / "b")
    assert files(tmp_path / "b") == {"ü": b"x"}


HOSTILE = {
    "absolute": ([member("/etc/passwd", b"x")], "'/etc/passwd' leads out of the folder"),
    "parent": ([member("a/../../b", b"x")], "'a/../../b' leads out of the folder"),
    "symbolic link": ([member("a", kind=tarfile.SYMTYPE, linkname="/etc/passwd")], "'a' is a link or a device"),
    "hard link": ([member("a", kind=tarfile.LNKTYPE, linkname="b")], "'a' is a link or a device"),
    "device": ([member("null", kind=tarfile.CHRTYPE)], "'null' is a link or a device"),
    "pipe": ([member("pipe", kind=tarfile.FIFOTYPE)], "'pipe' is a link or a device"),
    "sparse": ([member("big", bytes(512), kind=tarfile.GNUTYPE_SPARSE)], "'big' is a link or a device"),
    "duplicate": ([member("a", b"1"), member("./a", b"2")], "'a' comes twice"),
    "file as folder": ([member("a", b"1"), member("a/b", b"2")], "'a/b' is both a file and a folder"),
    "folder as file": ([member("a/b", b"1"), member("a", b"2")], "'a' is both a file and a folder"),
    "long name": ([member("n" * 300, b"1")], "has a name that is too long"),
    "too much": ([member("a", bytes(600)), member("b", bytes(600))], "more than 1000 bytes when unpacked"),
    "long header": ([member("././@LongLink", bytes(archives.HEADER_BYTES + 512), b"L")], "the headers are too long"),
    "chained headers": ([member("././@LongLink", b"n", b"L")] * 3000, "damaged or no archive"),
    "size before the start": ([member("x", b"20 size=-100000000\n", tarfile.XHDTYPE), member("a")], "damaged"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(tmp_path: Path, kind: str) -> None:
    members, message = HOSTILE[kind]
    made = archive(tmp_path / "m.tar.gz", member("good", b"1"), *members)
    with pytest.raises(UserError, match=message) as caught:
        unpack(made, tmp_path / "model", limit_bytes=1000)
    assert str(caught.value).startswith("m.tar.gz: ")
    assert not list((tmp_path / "model").iterdir())


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    made = archive(tmp_path / "m.tar.gz", *(member(str(number)) for number in range(4)))
    with pytest.raises(UserError, match="more than 3 members"):
        unpack(made, tmp_path / "model")


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def wrong_checksum(content: bytes) -> bytes:
    return content[:-8] + bytes(4) + content[-4:]


def cut_inside(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content)[:5000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "the file is cut off"),
        (cut_inside, "the file is cut off"),
        (flipped, "damaged or no archive"),
        (wrong_checksum, "damaged or no archive"),
        (gzip.decompress, "damaged or no archive"),
        (lambda _: b"", "damaged or no archive"),
        (lambda _: gzip.compress(b"no tar at all" * 100), "damaged or no archive"),
    ],
)
def test_damaged_archives_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    made = archive(tmp_path / "m.tar.gz", member("a", os.urandom(9000)))
    made.write_bytes(damage(made.read_bytes()))
    with pytest.raises(UserError, match=message):
        unpack(made, tmp_path / "model")
    assert not list((tmp_path / "model").iterdir())


def test_a_bomb_is_refused_in_little_memory(tmp_path: Path) -> None:
    """A header that claims 512 MiB of name, and the bytes for it in a file of 0.5 MB."""
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=1) as compressed:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = b"L", 512 << 20
        compressed.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            compressed.write(bytes(1 << 20))
    (tmp_path / "bomb.tar.gz").write_bytes(bomb.getvalue())
    tracemalloc.start()
    with pytest.raises(UserError, match="the headers are too long"):
        unpack(tmp_path / "bomb.tar.gz", tmp_path / "model")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * archives.CHUNK_BYTES
