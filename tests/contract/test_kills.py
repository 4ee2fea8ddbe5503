"""Jobs that SIGKILL ends at any moment, again and again, until a life comes to its end: the model is the same."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from algorithms.artifacts.states import read_state
from algorithms.artifacts.whole import PARTIAL
from entrypoint.checkpoints import KEPT, Position
from local.pipes import Feeder
from tests.contract import warm
from tests.contract.cases import CASES, Case
from tests.contract.jobs import PATIENCE_SECONDS, RECORDIO, Job, record_bytes, wait_for
from tests.contract.test_training import free_port

FORKED_KILLS = 25  # for each algorithm and mode
WHOLE_KILLS = 4  # the same, of processes that also load Python and all else
HOST_KILLS = 4  # of one of three hosts, for each kind
HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
STOPS = 8  # for each algorithm
GRACE_SECONDS = 10  # of `docker stop`, the shortest that there is
MODES = ("File", "Pipe")
OFTEN = {"ONEPASS_CHECKPOINT_SECONDS": "0"}

all_cases = pytest.mark.parametrize("case", CASES, ids=str)
# One that learns apart, and one that learns in step.
KINDS = [next(case for case in CASES if case.algorithm.pooled is pooled) for pooled in (False, True)]


class Lives:
    """A job on records that each of its lives reads from the beginning.

    forked   from a process that has loaded everything, rather than started as platforms do
    """

    def __init__(self, base: Path, case: Case, mode: str, *, forked: bool) -> None:
        self.job, self.case, self.mode, self.forked = Job(base, case), case, mode, forked
        self.content = record_bytes(case.records(1000, 1))
        self.log = base / "log"
        held_out = {channel.name for channel in case.algorithm.channels} & {"validation", "test"}
        self.job.channels(
            train={"TrainingInputMode": mode, "ContentType": RECORDIO},
            **{name: {"ContentType": RECORDIO} for name in held_out},
        )
        self.job.files("train", {"a.pbr": self.content})
        for name in held_out:
            self.job.files(name, {"a.pbr": record_bytes(case.records(200, 2))})
        self.job.configure(**case.lasting(30 if case.guest else 2))
        self.job.config("checkpointconfig", {})

    def live(self, seconds: float | None = None) -> int:
        """The exit code of a life of so many seconds at the most."""
        with self.fed():
            return self._forked(seconds) if self.forked else self._whole(seconds)

    def _forked(self, seconds: float | None) -> int:
        process = warm.start(self.job, self.log, **OFTEN)
        process.join(PATIENCE_SECONDS if seconds is None else seconds)
        process.kill()
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    def _whole(self, seconds: float | None) -> int:
        process = self.job.start(**OFTEN)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=PATIENCE_SECONDS if seconds is None else seconds)
        process.kill()
        output, _ = process.communicate()
        with self.log.open("a") as log:
            log.write(output)
        return process.returncode

    @contextlib.contextmanager
    def fed(self) -> Iterator[None]:
        """Pipes are numbered from 0 in each life."""
        if self.mode == "File":
            yield
            return
        data = self.job.base / "input" / "data"
        for pipe in data.glob("train_*"):
            pipe.unlink()

        def pieces(_number: int, _ended: Event) -> Generator[bytes | Path]:
            yield self.content

        with Feeder("train", pieces, data, on_failure=lambda: None) as feeder:
            yield
        assert feeder.failure is None

    def check(self, expected: dict[str, bytes]) -> None:
        """What has a name is whole, and the model is there with all that belongs to it, or not at all."""
        files = [path for path in (self.job.base / "model").iterdir() if not path.name.startswith(PARTIAL)]
        model = {path.name: path.read_bytes() for path in files}
        assert model == expected or (self.case.model_name() not in model and model.items() <= expected.items())
        checkpoints = list((self.job.base / "checkpoints").glob("checkpoint_*"))
        assert len(checkpoints) <= KEPT + 1  # the oldest goes when the new one is there
        for path in checkpoints:
            Position.of(read_state(path))


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm.up()


def uninterrupted(lives: Lives) -> tuple[dict[str, bytes], float]:
    """The files of the model, and how long it took."""
    since = time.monotonic()
    assert lives.live() == 0, lives.log.read_text()
    return lives.job.model_files, time.monotonic() - since


@all_cases
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("forked", "kills"), [(True, FORKED_KILLS), (False, WHOLE_KILLS)], ids=["forked", "whole"])
def test_killed_at_any_moment(case: Case, mode: str, forked: bool, kills: int, tmp_path: Path) -> None:
    expected, _ = uninterrupted(Lives(tmp_path / "expected", case, "File", forked=False))
    found, seconds = uninterrupted(Lives(tmp_path / "timed", case, mode, forked=forked))
    assert found == expected
    rng = np.random.default_rng(0)
    number = killed = resumed = 0
    while killed < kills or (forked and not resumed and killed < 10 * kills):  # chance may take some more
        lives, number = Lives(tmp_path / str(number), case, mode, forked=forked), number + 1
        while (code := lives.live(rng.uniform(0, 1.25 * seconds))) == -signal.SIGKILL:  # some come to their end
            killed += 1
            lives.check(expected)
        assert code == 0, lives.log.read_text()
        assert lives.job.model_files == expected
        assert not [path for path in lives.job.base.rglob("*") if PARTIAL in path.name]
        assert not (lives.job.base / "output" / "failure").exists()
        resumed += lives.log.read_text().count("Resuming from checkpoint")
    assert resumed or not forked, "no life went on from a checkpoint"


@all_cases
def test_stopped_at_any_moment(case: Case, tmp_path: Path) -> None:
    """SIGTERM: the job ends well, with the model of what it has seen, and the next life goes on from there."""
    rng = np.random.default_rng(0)
    expected, seconds = uninterrupted(Lives(tmp_path / "expected", case, "File", forked=True))
    saved = 0
    for number in range(STOPS):
        lives = Lives(tmp_path / str(number), case, MODES[number % 2], forked=True)
        with lives.fed():
            process = warm.start(lives.job, lives.log, **OFTEN)
            wait_for(lambda lives=lives: lives.log.exists() and "Docker" in lives.log.read_text(), "the first line")  # type: ignore[misc]
            time.sleep(rng.uniform(0, seconds))
            process.terminate()
            process.join(GRACE_SECONDS)
        log = lives.log.read_text()
        assert process.exitcode == 0, log
        assert not [path for path in lives.job.base.rglob("*") if PARTIAL in path.name]
        if lives.job.model_files:
            assert case.algorithm.load(lives.job.base / "model").feature_dim == case.width
            saved += "finishing with what has been seen" in log
        else:
            assert "there is no model to save" in log
        assert lives.live() == 0, lives.log.read_text()
        assert lives.job.model_files == expected
    assert saved or case.guest, "no stop came while records were learned"  # a guest spends its life on reading them


@pytest.mark.parametrize("case", KINDS, ids=str)
def test_hosts_of_which_one_is_killed_at_any_moment(case: Case, tmp_path: Path) -> None:
    """From their meeting on: the others end by themselves; begun again, all end with the model of hosts left alone."""
    pytest.importorskip("torch", reason="several hosts need the extra torch")
    rng = np.random.default_rng(0)
    alone = Cluster(tmp_path / "alone", case)
    assert alone.live() == [0] * len(HOSTS), alone.logs
    cluster, lives, killed = Cluster(tmp_path / "killed", case), 0, 0
    while killed < HOST_KILLS:
        codes = cluster.live(victim=int(rng.integers(len(HOSTS))), seconds=rng.uniform(0, alone.learning))
        killed += -signal.SIGKILL in codes
        lives += 1
        assert set(codes) <= {0, 3, -signal.SIGKILL}, cluster.logs
        assert lives < 5 * HOST_KILLS
        if set(codes) == {0}:
            assert cluster.model_files == alone.model_files
            cluster = Cluster(tmp_path / str(lives), case)
    assert cluster.live() == [0] * len(HOSTS), cluster.logs
    assert cluster.model_files == alone.model_files


class Cluster:
    """Three hosts with unequal shards, of which one is empty; each with folders of its own."""

    def __init__(self, base: Path, case: Case) -> None:
        self.jobs = [Job(base / name, case) for name in HOSTS]
        self.logs_at = [job.base / "log" for job in self.jobs]
        for name, job, size in zip(HOSTS, self.jobs, (700, 400, 0), strict=True):
            job.configure(**case.lasting(3))
            job.channels(train={"ContentType": RECORDIO})
            job.files("train", {"a.pbr": record_bytes(case.records(size, size))} if size else {"_": b""})
            job.config("checkpointconfig", {})
            job.config("resourceconfig", {"current_host": name, "hosts": HOSTS, "network_interface_name": "lo"})

    def live(self, victim: int | None = None, seconds: float = 0) -> list[int]:
        """The exit codes of a life of all, in which one is killed after so many seconds."""
        told = OFTEN | {"ONEPASS_PORT": str(free_port()), "ONEPASS_SILENCE_SECONDS": "2"}
        for log in self.logs_at:
            log.unlink(missing_ok=True)
        processes = [warm.start(job, log, **told) for job, log in zip(self.jobs, self.logs_at, strict=True)]
        try:
            if victim is not None:
                wait_for(lambda: self.logs.count('"initialize.time"') == len(HOSTS), "the meeting")
                processes[victim].join(seconds)
                processes[victim].kill()
            for process in processes:
                process.join(PATIENCE_SECONDS)
            return [PATIENCE_SECONDS if process.exitcode is None else process.exitcode for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.join()

    @property
    def learning(self) -> float:
        """Seconds from the meeting to the end, by the leader's own account."""
        told = json.loads(self.logs_at[0].read_text().rpartition("#metrics ")[2])["Metrics"]
        return float(told["totaltime"]["sum"] - told["setuptime"]["sum"]) / 1000

    @property
    def model_files(self) -> dict[str, bytes]:
        return self.jobs[0].model_files

    @property
    def logs(self) -> str:
        return "\n".join(log.read_text() for log in self.logs_at if log.exists())
