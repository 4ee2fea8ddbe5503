"""Objects as files: all of them, whole, and none outside its folder, whatever the keys are."""

from __future__ import annotations

import collections
import random
import shutil
from pathlib import Path

import pytest

from local.platform import Channel
from local.storage import downloads
from local.storage.downloads import download, fetched
from local.storage.service import Stored, Uri, client, objects_below
from recordio.errors import PlatformError, UserError
from tests.contract.storage import BUCKET, Proxy, Storage

CONTENTS = {f"data/deep/{number % 3}/{number}": random.Random(number).randbytes(number * 9_999) for number in range(40)}


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def named(name: str) -> Stored:
    return Stored(Uri(BUCKET, "key"), name)


def test_objects_become_files(s3: Storage, tmp_path: Path) -> None:
    s3.put(CONTENTS)
    download(objects_below(Uri(BUCKET, "data/")), tmp_path / "train")
    assert below(tmp_path) == {key.replace("data", "train", 1): content for key, content in CONTENTS.items()}


def test_files_are_whole_also_over_a_bad_line(s3: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put(CONTENTS)
    with Proxy(s3.port, seed=5, share=0.3, kinds=("cut", "reset")) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.variables["AWS_ENDPOINT_URL_S3"])
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        client.cache_clear()
        download(objects_below(Uri(BUCKET, "data/")), tmp_path / "data")
    assert proxy.hurt["cut"] > 3
    assert below(tmp_path) == CONTENTS


def test_only_channels_of_files_are_fetched(s3: Storage, tmp_path: Path) -> None:
    s3.put({"data/a": b"1"})
    piped = Channel("train", objects_below(Uri(BUCKET, "data/")), mode="Pipe")
    here = Channel("train", tmp_path)
    assert fetched(piped, tmp_path / "objects") is piped
    assert fetched(here, tmp_path / "objects") is here
    assert not (tmp_path / "objects").exists()
    there = fetched(Channel("test", objects_below(Uri(BUCKET, "data/")), mode="FastFile"), tmp_path / "objects")
    assert below(there.path) == {"a": b"1"}


HOSTILE = {
    "parent": (["../x"], "got the name '../x' below the channel's folder, expected that of a file"),
    "hidden parent": (["a/../../x"], "got the name 'a/../../x' below"),
    "absolute": (["/etc/x"], "got the name '/etc/x' below"),
    "here": (["a/./x"], "got the name 'a/./x' below"),
    "empty part": (["a//x"], "got the name 'a//x' below"),
    "folder": (["a/"], "got the name 'a/' below"),
    "none": ([""], "got the name '' below"),
    "control": (["a\x1b[31m"], r"got the name 'a\\x1b\[31m' below"),
    "nul": (["a\0"], r"got the name 'a\\x00' below"),
    "twice": (["a", "b", "a"], "got the name 'a' a second time"),
    "file and folder": (["a/b/c", "d", "a/b"], "got 'a/b' as the name of a file and of a folder"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_names_that_are_none_write_nothing(s3: Storage, tmp_path: Path, case: str) -> None:
    names, text = HOSTILE[case]
    s3.put({"key": b"1"})
    with pytest.raises(UserError, match=text):
        download([named(name) for name in names], tmp_path / "inside" / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_name_longer_than_the_file_system_takes_is_told(s3: Storage, tmp_path: Path) -> None:
    s3.put({"key": b"1"})
    download([named("n" * 255)], tmp_path / "fits")
    assert below(tmp_path / "fits") == {"n" * 255: b"1"}
    with pytest.raises(UserError, match="s3://bucket/key: the file system takes no such name: File name too long"):
        download([named("n" * 256)], tmp_path / "data")


Usage = collections.namedtuple("Usage", "total used free")


@pytest.mark.parametrize("listed", [True, False])
def test_a_disk_too_small_is_told_first(
    s3: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    s3.put({"data/a": b"12345", "data/b": b"123456"})
    objects = objects_below(Uri(BUCKET, "data/")) if listed else [Stored(Uri(BUCKET, "data/b"), "b")]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 5, 5))
    with pytest.raises(PlatformError, match=r"has room for 5 bytes, expected (11|6): let TMPDIR name a folder on a"):
        download(objects, tmp_path / "data")
    assert below(tmp_path) == {}


def test_an_object_that_has_gone_is_told_with_its_channel(s3: Storage, tmp_path: Path) -> None:
    s3.put({"data/a": b"1", "data/b": b"2"})
    channel = Channel("train", objects_below(Uri(BUCKET, "data/")))
    s3.client.delete_object(Bucket=BUCKET, Key="data/a")
    with pytest.raises(UserError, match="Channel train: s3://bucket/data/a: it does not exist"):
        fetched(channel, tmp_path)


def test_a_terminal_shows_a_bar(
    s3: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.put({"data/a": bytes(2000)})
    objects = objects_below(Uri(BUCKET, "data/"))
    download(objects, tmp_path / "silent")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(downloads.sys.stdout, "isatty", lambda: True, raising=False)
    download(objects, tmp_path / "train")
    assert "download train" in capsys.readouterr().out
