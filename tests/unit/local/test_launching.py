"""What a process is told that shares the machine with other hosts."""

from __future__ import annotations

import pytest

from entrypoint.cluster import Cluster
from local import launching

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.mark.parametrize(("processors", "threads"), [(8, "2"), (2, "1")])
def test_hosts_share_the_processors(monkeypatch: pytest.MonkeyPatch, processors: int, threads: str) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(launching, "processors", lambda: processors)
    variables = launching.beside(Cluster(HOSTS[1], HOSTS, "lo", 12345))
    assert variables == {"ONEPASS_PORT": "12345", "OMP_NUM_THREADS": threads}
    assert "OMP_NUM_THREADS" not in launching.beside(Cluster(HOSTS[0], HOSTS[:1]))


def test_what_the_user_says_of_threads_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert launching.beside(Cluster(HOSTS[1], HOSTS, "lo", 12345)) == {"ONEPASS_PORT": "12345"}
