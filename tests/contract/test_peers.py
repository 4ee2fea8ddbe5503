"""Hosts that are killed, frozen, stopped, or never come: what the others do. Real processes, in Pipe mode."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
import psutil
import pytest
from scipy.sparse import csr_array

import recordio
from entrypoint.cluster import Cluster
from entrypoint.peers import Peers
from recordio.errors import PlatformError
from tests.contract.cases import CASES, Case
from tests.contract.jobs import RECORDIO, Feeder, Job, record_bytes, wait_for
from tests.contract.test_training import free_port, slowly, training_metrics

pytest.importorskip("torch", reason="several hosts need the extra torch")

# One that learns apart, one that learns in step, and a guest.
KINDS = [
    next(case for case in CASES if (case.algorithm.pooled, case.guest) == kind)
    for kind in ((False, False), (True, False), (True, True))
]
HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
SILENCE = "4"  # seconds; a busy machine may keep a host from beating for one or two
GRACE_SECONDS = 30  # a quarter of what the platform gives


class Host:
    """One of the hosts of a job; its stream does not end by itself, unless there are files."""

    def __init__(
        self,
        case: Case,
        base: Path,
        name: str,
        port: int,
        files: dict[str, bytes] | None = None,
        pieces: Iterator[bytes] | None = None,
    ) -> None:
        self.job = Job(base / name, case)
        self.job.config("resourceconfig", {"current_host": name, "hosts": HOSTS[::-1], "network_interface_name": "lo"})
        if files is None and case.guest:  # it learns when its stream has ended, and then without end
            files = {"a.pbr": record_bytes(case.records(500, 1))}
            self.job.configure(**case.lasting(1_000_000))
        elif files is not None:
            self.job.config("checkpointconfig", {"LocalPath": "/opt/ml/checkpoints"})
            self.job.configure(**case.lasting(40 if case.guest else 12))
        mode = "Pipe" if files is None else "File"
        self.job.channels(train={"TrainingInputMode": mode, "ContentType": RECORDIO})
        if files is None:
            Feeder(self.job, "train", [pieces or repeat(record_bytes(case.records(500, 1)))])
        else:
            self.job.files("train", files)
        self.log = base / f"{name}.log"
        self.log.unlink(missing_ok=True)
        self.process = self._started(
            ONEPASS_PORT=str(port), ONEPASS_SILENCE_SECONDS=SILENCE, ONEPASS_CHECKPOINT_SECONDS="0"
        )

    def _started(self, **variables: str) -> subprocess.Popen[str]:
        started = self.job.start(**variables)
        assert started.stdout is not None
        pipe = started.stdout

        def copy() -> None:
            with self.log.open("w") as log:
                for line in pipe:
                    log.write(line)
                    log.flush()

        threading.Thread(target=copy, daemon=True).start()
        return started

    def checkpoints(self) -> list[Path]:
        return sorted((self.job.base / "checkpoints").glob("checkpoint_*[0-9]"))

    def checkpoint(self) -> int:
        """Number of the newest; -1 before the first."""
        return int(self.checkpoints()[-1].name.rpartition("-")[2]) if self.checkpoints() else -1

    def says(self, words: str) -> bool:
        return self.log.is_file() and words in self.log.read_text()


@contextlib.contextmanager
def running(
    case: Case, base: Path, names: list[str], files: list[dict[str, bytes]] | None = None
) -> Iterator[dict[str, Host]]:
    port = free_port()
    given = [None] * len(names) if files is None else files
    hosts = {name: Host(case, base, name, port, some) for name, some in zip(names, given, strict=True)}
    try:
        yield hosts
    finally:
        for host in hosts.values():
            host.process.kill()
            host.process.wait()


@pytest.fixture(params=KINDS, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.mark.parametrize(
    ("case", "victim", "how"),
    [
        (KINDS[0], HOSTS[0], signal.SIGKILL),
        (KINDS[0], HOSTS[1], signal.SIGSTOP),
        (KINDS[1], HOSTS[0], signal.SIGSTOP),
        (KINDS[1], HOSTS[1], signal.SIGKILL),
        (KINDS[2], HOSTS[0], signal.SIGKILL),
        (KINDS[2], HOSTS[1], signal.SIGKILL),
        (KINDS[2], HOSTS[2], signal.SIGSTOP),
    ],
    ids=[
        *("leader-killed", "other-frozen", "leader-in-step-frozen", "other-in-step-killed"),
        *("leader-of-guests-killed", "other-guest-killed", "other-guest-frozen"),
    ],
)
def test_a_lost_host_ends_the_job_and_is_named(tmp_path: Path, case: Case, victim: str, how: signal.Signals) -> None:
    with running(case, tmp_path, HOSTS) as hosts:
        for host in hosts.values():
            wait_for(lambda host=host: host.says("to the first update"), "the first update")  # type: ignore[misc]
        hosts[victim].process.send_signal(how)
        for name, host in hosts.items():
            if name == victim:
                continue
            assert host.process.wait(60) == 3, host.log.read_text()
            assert host.job.failure.startswith("Platform Error: "), host.job.failure
            assert f"Nothing was heard of the host {victim} for {SILENCE} s" in host.job.failure
            assert host.job.model_files == {}


def test_a_stop_of_one_host_stops_all_and_keeps_the_model(tmp_path: Path, case: Case) -> None:
    with running(case, tmp_path, HOSTS) as hosts:
        for host in hosts.values():
            wait_for(lambda host=host: host.says("to the first update"), "the first update")  # type: ignore[misc]
        hosts[HOSTS[2]].process.send_signal(signal.SIGTERM)
        for host in hosts.values():
            assert host.process.wait(GRACE_SECONDS) == 0, host.log.read_text()
        assert hosts[HOSTS[0]].says("host stops: finishing") or hosts[HOSTS[0]].says(
            f"host {HOSTS[2]} stops: finishing"
        )
        assert case.model_name(HOSTS[0]) in hosts[HOSTS[0]].job.model_files


def test_a_host_that_waits_for_others_hears_a_stop(tmp_path: Path) -> None:
    with running(KINDS[0], tmp_path, HOSTS[:1]) as hosts:
        host = hosts[HOSTS[0]]
        wait_for(lambda: host.says("Final configuration"), "the settings")
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(GRACE_SECONDS) == 0, host.log.read_text()
        assert host.says("Stopped before the first record")


@pytest.mark.parametrize(
    ("case", "slow"), [(KINDS[0], HOSTS[2]), (KINDS[1], HOSTS[0])], ids=["other", "leader-in-step"]
)
def test_hosts_wait_for_one_that_is_slow_and_late(tmp_path: Path, case: Case, slow: str) -> None:
    """It starts when the others have waited for a while, and then takes longer than silence may last."""
    port, hosts = free_port(), {}
    for name in sorted(HOSTS, key=slow.__eq__):
        if name == slow:
            wait_for(lambda: all(host.says("Final configuration") for host in hosts.values()), "the others")
            time.sleep(float(SILENCE) + 1)
        hosts[name] = Host(case, tmp_path, name, port, pieces=slowly(shard(case), 40, 0.15 if name == slow else 0))
    try:
        since = time.monotonic()
        for host in hosts.values():
            assert host.process.wait(60) == 0, host.log.read_text()
        assert time.monotonic() - since > float(SILENCE)  # 39 pauses of 0.15 s come to 5.85 s
    finally:
        for host in hosts.values():
            host.process.kill()
            host.process.wait()
    whole = Job(tmp_path / "whole", case)
    whole.channels(train={"ContentType": RECORDIO})
    whole.files("train", {f"{name}.pbr": shard(case) for name in HOSTS})
    assert whole.run()[0] == 0
    records = case.records(1000, 2)
    expected, found = (training_metrics(case, job.base / "model", records) for job in (whole, hosts[HOSTS[0]].job))
    assert found == {name: pytest.approx(value, rel=case.merge_tolerance) for name, value in expected.items()}


def shard(case: Case) -> bytes:
    return record_bytes(case.records(1000, 1))


@pytest.mark.parametrize(
    ("hosts", "text"),
    [
        (HOSTS, f"Within 0.5 s these hosts of the job did not come: {HOSTS[1]}, {HOSTS[2]}"),
        (["0.invalid", HOSTS[0]], "The host 0.invalid can't be resolved after 0.5 s"),
        (["127.0.0.0", HOSTS[0]], "The host 127.0.0.0 can't be reached on port "),
    ],
    ids=["others", "no-such-name", "leader"],
)
def test_patience_ends_and_names_who_did_not_come(hosts: list[str], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrypoint.peers.MEET_SECONDS", 0.5)
    cluster = Cluster(HOSTS[0], tuple(hosts), "lo", free_port())
    with pytest.raises(PlatformError, match=re.escape(text)):
        Peers(cluster, threading.Event(), 1)


def test_a_leader_that_ends_before_all_have_come_is_named(tmp_path: Path) -> None:
    with running(KINDS[0], tmp_path, HOSTS[:2]) as hosts:
        leader, other = (hosts[name] for name in HOSTS[:2])
        met = psutil.Process(other.process.pid).net_connections
        wait_for(
            lambda: len([one for one in met() if one.status == "ESTABLISHED"]) == 2, "the other to meet the leader"
        )
        leader.process.kill()
        assert other.process.wait(60) == 3, other.log.read_text()
        assert f"The host {HOSTS[0]} ended before all hosts had come" in other.job.failure


def sparse_bytes(case: Case, count: int, seed: int) -> bytes:
    """The case's records, of which half the features are 0."""
    features, labels = case.records(count, seed)
    file = io.BytesIO()
    recordio.write_sparse(file, csr_array(np.where(features > 0, features, 0)), labels)
    return file.getvalue()


IN_STEP = [case for case in CASES if case.algorithm.pooled and not case.guest]


@pytest.mark.parametrize(
    ("case", "sparse"),
    [(KINDS[1], False), (KINDS[2], False), *((case, True) for case in IN_STEP)],
    ids=str,
)
def test_hosts_that_were_killed_go_on_from_the_same_step(tmp_path: Path, case: Case, sparse: bool) -> None:
    """Of hosts in step; those that learn apart go on each by itself. Of sparse records, each moves its own rows."""
    shards = [
        sparse_bytes(case, size, seed) if sparse else record_bytes(case.records(size, seed))
        for seed, size in enumerate((2000, 1100, 40))
    ]
    files = [{"a.pbr": shard} for shard in shards]
    with running(case, tmp_path / "whole", HOSTS, files) as hosts:
        for host in hosts.values():
            assert host.process.wait(60) == 0, host.log.read_text()
        expected = hosts[HOSTS[0]].job.model_files
    with running(case, tmp_path / "cut", HOSTS, files) as hosts:
        wait_for(lambda: hosts[HOSTS[1]].checkpoint() > 3, "some checkpoints")
        for host in hosts.values():
            host.process.kill()
        for host in hosts.values():
            host.process.wait()
        # One died before it had written what the others have. They may have been a step ahead already, but not two.
        if hosts[HOSTS[1]].checkpoint() == max(host.checkpoint() for host in hosts.values()):
            hosts[HOSTS[1]].checkpoints()[-1].unlink()
    with running(case, tmp_path / "cut", HOSTS, files) as hosts:
        for host in hosts.values():
            assert host.process.wait(60) == 0, host.log.read_text()
            assert host.says("Resuming from checkpoint")
        found = hosts[HOSTS[0]].job.model_files
    assert found == expected
