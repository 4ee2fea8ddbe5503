"""Hosts that are killed, frozen, stopped, or never come: what the others do. Real processes, in Pipe mode."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

from tests.contract.cases import CASES
from tests.contract.jobs import RECORDIO, Feeder, Job, record_bytes, wait_for
from tests.contract.test_training import free_port

pytest.importorskip("torch", reason="several hosts need the extra torch")

CASE = CASES[0]
HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
SILENCE = "2"  # seconds


class Host:
    """One of the hosts of a job whose stream does not end by itself."""

    def __init__(self, base: Path, name: str, port: int) -> None:
        self.job = Job(base / name, CASE)
        self.job.config("resourceconfig", {"current_host": name, "hosts": HOSTS, "network_interface_name": "lo"})
        self.job.channels(train={"TrainingInputMode": "Pipe", "ContentType": RECORDIO})
        Feeder(self.job, "train", [repeat(record_bytes(CASE.records(500, 1)))])
        self.log = base / f"{name}.log"
        self.process = self._started(ONEPASS_PORT=str(port), ONEPASS_SILENCE_SECONDS=SILENCE)

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

    def says(self, words: str) -> bool:
        return self.log.is_file() and words in self.log.read_text()


@contextlib.contextmanager
def running(base: Path, names: list[str]) -> Iterator[dict[str, Host]]:
    port = free_port()
    hosts = {name: Host(base, name, port) for name in names}
    try:
        yield hosts
    finally:
        for host in hosts.values():
            host.process.kill()
            host.process.wait()


@pytest.mark.parametrize("victim", HOSTS[:2], ids=["leader", "other"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_host_ends_the_job_and_is_named(tmp_path: Path, victim: str, how: signal.Signals) -> None:
    with running(tmp_path, HOSTS) as hosts:
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


def test_a_stop_of_one_host_stops_all_and_keeps_the_model(tmp_path: Path) -> None:
    with running(tmp_path, HOSTS) as hosts:
        for host in hosts.values():
            wait_for(lambda host=host: host.says("to the first update"), "the first update")  # type: ignore[misc]
        hosts[HOSTS[2]].process.send_signal(signal.SIGTERM)
        for host in hosts.values():
            assert host.process.wait(60) == 0, host.log.read_text()
        assert f"The host {HOSTS[2]} stops" in hosts[HOSTS[0]].log.read_text()
        assert f"model_{HOSTS[0]}" in hosts[HOSTS[0]].job.model_files


def test_a_host_that_waits_for_others_hears_a_stop(tmp_path: Path) -> None:
    with running(tmp_path, HOSTS[:1]) as hosts:
        host = hosts[HOSTS[0]]
        wait_for(lambda: host.says("Final configuration"), "the settings")
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(60) == 0, host.log.read_text()
        assert host.says("Stopped before the first record")
