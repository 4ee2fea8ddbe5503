"""The feeder at real named pipes: passes, early closes, readers that are slow or never come."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from local import pipes
from local.pipes import Feeder
from local.platform import Channel
from local.storage.streams import stream
from recordio.errors import PlatformError, UserError
from tests.unit.entrypoint.forked import as_user, open_folder

LARGE = os.urandom(3 * pipes.CHUNK_BYTES + 17)  # more than a pipe holds


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def fed(
    files: Sequence[Path], data: Path, on_failure: Callable[[], None], *, name: str = "train", compressed: bool = False
) -> Feeder:
    channel = Channel(name, files, mode="Pipe", compressed=compressed)
    return Feeder(name, partial(stream, channel, 0, 1), data, on_failure)


def written(folder: Path, *contents: bytes) -> list[Path]:
    for number, content in enumerate(contents):
        (folder / f"part-{number}").write_bytes(content)
    return [folder / f"part-{number}" for number in range(len(contents))]


def opened(fifo: Path) -> int:
    deadline = time.monotonic() + 10
    while not fifo.exists():
        assert time.monotonic() < deadline, f"{fifo} does not appear"
        time.sleep(0.001)
    return os.open(fifo, os.O_RDONLY)


def read(fifo: Path) -> bytes:
    with open(opened(fifo), "rb") as pipe:
        return pipe.read()


def never() -> None:
    raise AssertionError("nothing should fail")


@pytest.fixture(params=["spliced", "copied"])
def _moved(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "copied":
        monkeypatch.delattr(os, "splice")


@pytest.mark.usefixtures("_moved")
def test_passes_hold_all_objects_with_nothing_between(tmp_path: Path, data: Path) -> None:
    files = written(tmp_path, b"first", LARGE, b"last")
    with fed(files, data, never):
        for number in range(3):
            assert read(data / f"train_{number}") == b"first" + LARGE + b"last"


@pytest.mark.usefixtures("_moved")
def test_a_pass_closed_early_is_over_and_the_next_one_is_whole(tmp_path: Path, data: Path) -> None:
    with fed(written(tmp_path, LARGE), data, never):
        for number in range(2):
            pipe = opened(data / f"train_{number}")
            assert os.read(pipe, 10) == LARGE[:10]
            os.close(pipe)
        os.close(opened(data / "train_2"))  # without a look
        assert read(data / "train_3") == LARGE


def test_the_next_pipe_waits_for_the_end_of_the_pass(tmp_path: Path, data: Path) -> None:
    with fed(written(tmp_path, LARGE), data, never):
        pipe = opened(data / "train_0")
        os.read(pipe, 10)
        assert [entry.name for entry in data.iterdir()] == ["train_0"]
        os.close(pipe)
        assert read(data / "train_1") == LARGE


@pytest.mark.parametrize("contents", [(), (b"",)])
def test_an_empty_channel_ends_at_once_in_every_pass(tmp_path: Path, data: Path, contents: tuple[bytes, ...]) -> None:
    with fed(written(tmp_path, *contents), data, never):
        assert [read(data / f"train_{number}") for number in range(3)] == [b"", b"", b""]


def test_gzip_is_undone(tmp_path: Path, data: Path) -> None:
    files = written(tmp_path, gzip.compress(b"first"), gzip.compress(LARGE))
    with fed(files, data, never, compressed=True):
        assert read(data / "train_0") == b"first" + LARGE


def test_a_slow_reader_gets_everything(tmp_path: Path, data: Path) -> None:
    with fed(written(tmp_path, LARGE), data, never):
        pipe = opened(data / "train_0")
        found = bytearray()
        while chunk := os.read(pipe, 1 << 18):
            found += chunk
            time.sleep(pipes.STALLED_SECONDS * 1.2)
        os.close(pipe)
        assert found == LARGE


def test_channels_are_fed_at_once(tmp_path: Path, data: Path) -> None:
    files = written(tmp_path, LARGE)
    with fed(files, data, never), fed(files, data, never, name="test"):
        train, test = opened(data / "train_0"), opened(data / "test_0")
        assert os.read(test, 10) == os.read(train, 10) == LARGE[:10]
        os.close(train)
        os.close(test)


def ends_soon(block: Callable[[], None]) -> None:
    thread = threading.Thread(target=block)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def test_a_job_that_never_opens_its_pipe_holds_nothing_up(tmp_path: Path, data: Path) -> None:
    def job() -> None:
        with fed(written(tmp_path, LARGE), data, never):
            pass

    ends_soon(job)


def test_a_reader_that_stopped_reading_holds_nothing_up(tmp_path: Path, data: Path) -> None:
    readers = []

    def job() -> None:
        with fed(written(tmp_path, LARGE), data, never):
            readers.append(opened(data / "train_0"))

    ends_soon(job)
    os.close(readers[0])


def drain(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 1 << 20):
            pass


@pytest.fixture
def damaged(tmp_path: Path) -> list[Path]:
    return written(tmp_path, gzip.compress(b"whole"), gzip.compress(LARGE)[:-100])


def test_a_file_that_can_not_be_read_is_told_before_the_pipe_ends(data: Path, damaged: list[Path]) -> None:
    told = threading.Event()
    with fed(damaged, data, told.set, compressed=True) as feeder:
        pipe = opened(data / "train_0")
        os.set_blocking(pipe, False)
        with pytest.raises(BlockingIOError):  # empty, yet open: a closed one would read as b""
            while not told.wait(0.001) or os.read(pipe, 1 << 20):
                drain(pipe)
    os.close(pipe)
    assert isinstance(feeder.failure, UserError)
    assert str(feeder.failure).startswith(f"Channel train: {damaged[1]} can't be read: Compressed file ended")


def test_a_file_that_has_gone_is_told(tmp_path: Path, data: Path) -> None:
    files = written(tmp_path, b"1")
    told = threading.Event()
    with fed(files, data, told.set) as feeder:
        files[0].unlink()
        pipe = opened(data / "train_0")
        assert told.wait(5)
    os.close(pipe)
    assert str(feeder.failure) == f"Channel train: {files[0]} can't be read: No such file or directory"


def test_files_are_checked_before_the_job_starts() -> None:
    with open_folder() as folder:
        files = written(folder, b"1")
        assert Channel("train", folder, mode="Pipe").objects == files
        files[0].chmod(0)
        told = as_user(partial(Channel, "train", folder, mode="Pipe"))
    assert re.search(r"^UserError: Channel train: .*part-0 can't be read; check who may read it", told)


def test_a_folder_that_takes_no_pipes_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="takes no named pipes"), fed([], tmp_path / "none", never):
        pass


def test_memory_does_not_grow_with_the_file(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "splice")
    files = written(tmp_path, LARGE * 8)
    with fed(files, data, never):
        pipe = opened(data / "train_0")
        tracemalloc.start()
        while os.read(pipe, 1 << 16):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        os.close(pipe)
    assert peak < 3 * pipes.CHUNK_BYTES
