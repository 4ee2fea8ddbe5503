"""The command line with channels, models and output in a real storage, on good lines and on bad ones."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

import recordio
from local.pipes import CHUNK_BYTES, Feeder
from local.platform import Channel
from local.storage import reading
from local.storage import service as storage
from local.storage.objects import Objects
from local.storage.reading import PIECE_BYTES, Reader
from local.storage.service import Stored, Uri, objects_below
from local.storage.streams import OBJECTS_AHEAD, PIECES_AHEAD, stream
from tests.contract.cases import CASES
from tests.contract.jobs import csv_bytes, record_bytes, wait_for
from tests.contract.storage import BUCKET, Proxy, Storage
from tests.contract.test_local_jobs import Machine

CASE = CASES[0]
PARTS = {f"part-{number}.pbr": record_bytes(CASE.records(700, number)) for number in range(5)}
SETTINGS = [word for name, value in CASE.hyperparameters.items() for word in ("-H", f"{name}={value}")]
PIPE = ("--input-mode", "Pipe")


def onepass(server: Storage | Proxy, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local.cli", *map(str, arguments)]
    variables = os.environ | server.variables
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)


def train(server: Storage | Proxy, output: object, *arguments: object) -> str:
    run = onepass(server, "train", CASE, *SETTINGS, "--output", output, *arguments)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of the same records from files of this machine."""
    folder = tmp_path_factory.mktemp("local")
    (folder / "data").mkdir()
    for name, content in PARTS.items():
        (folder / "data" / name).write_bytes(content)
    command = [sys.executable, "-m", "local.cli", "train", str(CASE), *SETTINGS]
    subprocess.run([*command, "--channel", f"train={folder / 'data'}", "--output", folder / "out"], check=True)
    return (folder / "out" / "model.tar.gz").read_bytes()


@pytest.fixture
def parts(s3: Storage) -> Storage:
    s3.put({f"data/{name}": content for name, content in PARTS.items()})
    return s3


@pytest.mark.parametrize("mode", ["File", "FastFile", "Pipe"])
def test_a_prefix_gives_the_model_of_the_files(parts: Storage, tmp_path: Path, model: bytes, mode: str) -> None:
    train(parts, tmp_path, "--channel", "train=s3://bucket/data/", "--input-mode", mode)
    assert (tmp_path / "model.tar.gz").read_bytes() == model


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_a_manifest_gives_it_too(parts: Storage, tmp_path: Path, model: bytes, mode: str) -> None:
    parts.put_manifest("lists/m.json", "data/", list(PARTS))
    parts.put({"data/part-9.pbr": b"not listed, and no records"})
    channel = ("--channel", "train=s3://bucket/lists/m.json", "--s3-data-type", "ManifestFile")
    train(parts, tmp_path, *channel, "--input-mode", mode)
    assert (tmp_path / "model.tar.gz").read_bytes() == model


def test_a_bad_line_gives_it_too(parts: Storage, tmp_path: Path, model: bytes) -> None:
    with Proxy(parts.port, seed=1, share=0.6, kinds=("cut",)) as proxy:
        train(proxy, tmp_path, "--channel", "train=s3://bucket/data/", *PIPE)
        assert proxy.hurt["cut"]
    assert (tmp_path / "model.tar.gz").read_bytes() == model


def test_the_model_goes_where_the_platform_puts_it_and_comes_back(parts: Storage, tmp_path: Path, model: bytes) -> None:
    channel = ("--channel", "train=s3://bucket/data/")
    shown = train(parts, "s3://bucket/models", *channel)
    (key,) = parts.names("models/")
    job = key.split("/")[1]
    assert key == f"models/{job}/output/model.tar.gz"
    assert job.startswith(f"{CASE}-")
    assert f"model.tar.gz: s3://bucket/{key}\n" in shown
    assert parts.get(key) == model
    train(parts, tmp_path / "s3", *channel, "--model", f"s3://bucket/{key}")
    (tmp_path / "model.tar.gz").write_bytes(model)
    train(parts, tmp_path / "here", *channel, "--model", tmp_path / "model.tar.gz")
    continued = [(tmp_path / place / "model.tar.gz").read_bytes() for place in ("s3", "here")]
    assert continued[0] == continued[1] != model
    assert onepass(parts, "elbow", f"s3://bucket/{key}", "--json").stdout.startswith("[{")


class Far(Machine):
    """The image of someone else, whose data is in storage."""

    def __init__(self, folder: Path, server: Storage | Proxy) -> None:
        super().__init__(folder)
        self.variables |= server.variables

    def seen(self, *arguments: object, **hyperparameters: object) -> dict[str, str]:
        code, output, errors = self.train(*arguments, **hyperparameters)
        assert (code, errors) == (0, ""), output
        found = self.facts()["seen"]
        assert isinstance(found, dict)
        return found


@pytest.fixture
def far(s3: Storage, tmp_path: Path) -> Far:
    s3.put({"d/b.csv": b"3,4\n", "d/a.csv": b"1,2\n", "d/deep/c.csv": b"5,6\n", "d/": b""})
    return Far(tmp_path, s3)


def test_a_container_sees_files_and_pipes(far: Far) -> None:
    both = ("--channel", "train=s3://bucket/d/", "--channel", "test=s3://bucket/d/b")
    seen = far.seen(*both, "--input-mode", "train=Pipe", epochs=2)
    assert seen == {"train_0": "1,2\n3,4\n5,6\n", "train_1": "1,2\n3,4\n5,6\n", "test_0": "3,4\n", "test_1": "3,4\n"}
    assert not far.leftovers()


@pytest.mark.parametrize(("mode", "count"), [("Pipe", 0), ("File", 3)])
def test_what_is_piped_never_touches_the_disk(far: Far, mode: str, count: int) -> None:
    process = far.start(*far.training("--channel", "train=s3://bucket/d/", "--input-mode", mode, act="wait"))
    assert process.stdout is not None
    assert any(line == "waiting\n" for line in process.stdout)
    assert len(list(far.folder.glob("onepass-*/**/*.csv"))) == count
    process.terminate()
    process.communicate(timeout=30)


def test_a_seed_shuffles_each_pass(far: Far) -> None:
    channel = ("--channel", "train=s3://bucket/d/", *PIPE, "--shuffle-seed", "5")
    first = far.seen(*channel, epochs=6)
    assert first == far.seen(*channel, epochs=6)
    assert len(set(first.values())) > 1
    assert {"".join(sorted(text)) for text in first.values()} == {"".join(sorted("1,2\n3,4\n5,6\n"))}


def test_wrapped_files_keep_their_bounds(s3: Storage, tmp_path: Path) -> None:
    """Lines without an end would run into the next file's first line."""
    data = tmp_path / "data"
    data.mkdir()
    for number in range(3):
        content = csv_bytes(CASE.records(500, number)).rstrip()
        s3.put({f"csv/{number}.csv": content})
        (data / f"{number}.csv").write_bytes(content)
    train(s3, tmp_path / "file", "--channel", f"train={data}")
    for name, place in {"here": data, "there": "s3://bucket/csv/"}.items():
        train(s3, tmp_path / name, "--channel", f"train={place}", *PIPE, "--record-wrapper", "RecordIO")
    models = [(tmp_path / name / "model.tar.gz").read_bytes() for name in ("file", "here", "there")]
    assert models[0] == models[1] == models[2]


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_hosts_share_the_objects_of_a_sharded_channel(far: Far, mode: str) -> None:
    channel = ("--channel", "train=s3://bucket/d/", "--input-mode", mode, "--distribution", "ShardedByS3Key")
    far.seen(*channel, "--hosts", 2)
    seen = [far.facts(name)["seen"] for name in ("facts.json", "facts_algo-2.json")]
    assert seen == [{"train_0": "1,2\n5,6\n"}, {"train_0": "3,4\n"}]


def test_with_a_seed_shards_change_and_stay_whole(far: Far) -> None:
    channel = ("--channel", "train=s3://bucket/d/", *PIPE, "--distribution", "ShardedByS3Key", "--shuffle-seed", 1)
    one = far.seen(*channel, "--hosts", 2, epochs=6)
    other = far.facts("facts_algo-2.json")["seen"]
    assert isinstance(other, dict)
    for number, text in one.items():
        assert sorted((text + other[number]).splitlines()) == ["1,2", "3,4", "5,6"]
    assert len({frozenset(text.splitlines()) for text in one.values()}) > 1


REFUSED = {
    "no objects": (["--channel", "train=s3://bucket/none/"], "Channel train: s3://bucket/none/: no object has a key"),
    "no bucket": (["--channel", "train=s3://nowhere/x"], "Channel train: s3://nowhere/x: the bucket does not exist"),
    "no output": (
        ["--channel", "train=s3://bucket/data/", "--output", "s3://nowhere/x"],
        "s3://nowhere/x/kmeans-.*/output/model.tar.gz: the bucket does not exist",
    ),
    "no model": (
        ["--channel", "train=s3://bucket/data/", "--model", "s3://bucket/none"],
        "Channel model: s3://bucket/none: it does not exist",
    ),
    "hostile key": (
        ["--channel", "train=s3://bucket/evil/"],
        "Channel train: s3://bucket/evil/../../x: got the name '../../x' below",
    ),
    "broken manifest": (
        ["--channel", "train=s3://bucket/data/part-0.pbr", "--s3-data-type", "ManifestFile"],
        "Channel train: s3://bucket/data/part-0.pbr: got .*, expected a manifest",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_done_is_told_before_the_job(parts: Storage, tmp_path: Path, case: str) -> None:
    arguments, text = REFUSED[case]
    parts.put({"evil/../../x": b"1"})
    run = onepass(parts, "train", CASE, *SETTINGS, "--output", tmp_path / "out", *arguments)
    assert run.returncode == 2
    assert re.match(f"onepass train: {text}", run.stderr), run.stderr
    assert run.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert run.stdout == ""


def test_an_object_that_vanishes_ends_the_job_without_a_model(far: Far, s3: Storage) -> None:
    s3.put_manifest("m.json", "d/", ["a.csv", "gone.csv"])
    arguments = ("--channel", "train=s3://bucket/m.json", "--s3-data-type", "ManifestFile", *PIPE)
    code, _, errors = far.train(*arguments)
    assert code == 2
    assert errors == "onepass train: Channel train: s3://bucket/d/gone.csv: it does not exist\n"
    assert not far.output.exists()


def test_a_model_that_can_not_be_uploaded_is_kept(
    far: Far, s3: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    s3.client.create_bucket(Bucket="short-lived")
    far.output = "s3://short-lived/x"  # type: ignore[assignment]
    process = far.start(*far.training("--channel", "train=s3://bucket/d/a", act="wait"))
    assert process.stdout is not None
    assert any(line == "waiting\n" for line in process.stdout)
    s3.client.delete_bucket(Bucket="short-lived")
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    (kept,) = tmp_path.glob("someone-*/model.tar.gz")
    assert errors.endswith(f"the bucket does not exist. The archive was kept as {kept.relative_to(tmp_path)}\n")
    with tarfile.open(kept) as tar:
        assert tar.getnames() == ["facts.json"]


# Pipes, without a job.

LARGE = random.Random(3).randbytes(3 * 2**20 + 5)
SMALL = {f"small/{number:03}": random.Random(number).randbytes(number * 300) for number in range(60)}


@pytest.fixture
def pipes(tmp_path: Path) -> Path:
    (tmp_path / "pipes").mkdir()
    return tmp_path / "pipes"


def never() -> None:
    raise AssertionError("nothing should fail")


def feeder(objects: Objects, pipes: Path, on_failure: Callable[[], None] = never, **options: bool) -> Feeder:
    channel = Channel("train", objects, mode="Pipe", **options)
    return Feeder("train", partial(stream, channel, 0, 1), pipes, on_failure)


def opened(fifo: Path) -> io.BufferedReader:
    wait_for(fifo.exists, str(fifo))
    return fifo.open("rb")


def read(fifo: Path) -> bytes:
    with opened(fifo) as pipe:
        return pipe.read()


def below(prefix: str) -> Sequence[Stored]:
    return objects_below(Uri(BUCKET, prefix))


def test_passes_hold_all_objects_in_order(s3: Storage, pipes: Path) -> None:
    s3.put({"large/a": LARGE, "large/b": b"", "large/c": LARGE[::-1], **SMALL})
    with feeder([*below("large/"), *below("small/")], pipes):
        for number in range(2):
            assert read(pipes / f"train_{number}") == LARGE + LARGE[::-1] + b"".join(SMALL.values())


@pytest.mark.parametrize("seed", [1, 2])
def test_what_breaks_on_the_way_leaves_no_trace(
    s3: Storage, pipes: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    s3.put({"large/a": LARGE, "large/b": LARGE[::-1], **SMALL})
    monkeypatch.setattr(reading, "WAITS_SECONDS", (0.001,) * 5)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with Proxy(s3.port, seed=seed, share=0.3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.variables["AWS_ENDPOINT_URL_S3"])
        storage.client.cache_clear()
        with feeder([*below("large/"), *below("small/")], pipes, wrapped=True):
            found = list(recordio.records(read(pipes / "train_0")))
        assert proxy.hurt["cut"] > 3
        assert proxy.hurt["500"] + proxy.hurt["503"] + proxy.hurt["reset"] > 3
    assert found == [LARGE, LARGE[::-1], *SMALL.values()]


@pytest.mark.parametrize("wrapped", [False, True])
def test_gzip_is_undone_on_the_way(s3: Storage, pipes: Path, wrapped: bool) -> None:
    s3.put({"gz/a": gzip.compress(LARGE, 1), "gz/b": gzip.compress(b"last")})
    with feeder(below("gz/"), pipes, compressed=True, wrapped=wrapped):
        found = read(pipes / "train_0")
    assert (list(recordio.records(found)) if wrapped else found) == ([LARGE, b"last"] if wrapped else LARGE + b"last")


def test_a_pass_closed_early_is_over_and_the_next_one_is_whole(s3: Storage, pipes: Path) -> None:
    s3.put({"large/a": LARGE, "large/b": LARGE})
    with feeder(below("large/"), pipes):
        for number in range(2):
            with opened(pipes / f"train_{number}") as pipe:
                assert pipe.read(10) == LARGE[:10]
        assert read(pipes / "train_2") == LARGE * 2


def test_an_object_that_changes_fails_and_the_pipe_stays_open(s3: Storage, pipes: Path) -> None:
    s3.put({"d/a": b"1", "d/b": b"2"})
    objects = below("d/")
    s3.put({"d/b": b"other"})
    told = threading.Event()
    with feeder(objects, pipes, told.set) as fed:
        pipe = os.open(pipes / "train_0", os.O_RDONLY)
        assert told.wait(10)
        assert os.read(pipe, 100) == b"1"
        os.set_blocking(pipe, False)
        with pytest.raises(BlockingIOError):  # empty, yet open
            os.read(pipe, 1)
    os.close(pipe)
    assert (
        str(fed.failure) == "Channel train: s3://bucket/d/b: at byte 0 the object is no longer the one that was found"
    )


def test_reading_ahead_is_bounded(s3: Storage, pipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0
    read_piece = Reader.read

    def counted(reader: Reader, size: int) -> bytes:
        nonlocal taken
        piece = read_piece(reader, size)
        taken += len(piece)
        return piece

    monkeypatch.setattr(Reader, "read", counted)
    s3.put({f"many/{number:02}": LARGE for number in range(2 * OBJECTS_AHEAD)})
    most, seen = 0, 0
    with feeder(below("many/"), pipes), opened(pipes / "train_0") as pipe:
        while chunk := pipe.read1(2**16):
            seen += len(chunk)
            most = max(most, taken - seen)
    assert seen == 2 * OBJECTS_AHEAD * len(LARGE)
    assert 2**20 < most <= OBJECTS_AHEAD * (PIECES_AHEAD + 2) * PIECE_BYTES + CHUNK_BYTES
