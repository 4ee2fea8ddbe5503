"""Who the hosts of a job are, and which one made it fail."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from entrypoint.cluster import Cluster
from local.hosts import at_fault, clusters
from local.platform import Host


def test_one_host_is_named_as_on_the_platform() -> None:
    assert clusters(1, contained=False) == clusters(1, contained=True) == [Cluster("algo-1", ("algo-1",))]


def test_containers_have_the_names_of_the_platform_in_its_order() -> None:
    found = clusters(11, contained=True)
    assert found[0].hosts == ("algo-1", "algo-10", "algo-11", *(f"algo-{number}" for number in range(2, 10)))
    assert [cluster.host for cluster in found] == list(found[0].hosts)
    assert [cluster.rank for cluster in found] == list(range(11))


def test_processes_have_names_that_resolve_here_and_a_port_that_is_free() -> None:
    found = clusters(12, contained=False)
    assert found[0].leader
    assert [cluster.rank for cluster in found] == list(range(12))
    assert len({cluster.port for cluster in found}) == 1
    assert {socket.gethostbyname(cluster.host) for cluster in found} == set(found[0].hosts)
    with socket.create_server(("", found[0].port)):
        pass


ENDS = {
    "all is well": ([0, 0], None),
    "one fails": ([0, 2, 0], 1),
    "the first that fails": ([0, 1, 2], 1),
    "a peer noticed the loss before the one that failed had ended": ([3, 2, 3], 1),
    "a platform error by itself": ([0, 3, 0], 1),
    "all lost each other": ([3, 3], 0),
    "a host killed by the system": ([137, 3], 0),
    "a host killed by us, after one that failed": ([3, 137, 143], 0),
}


@pytest.mark.parametrize("case", ENDS)
def test_the_host_at_fault(tmp_path: Path, case: str) -> None:
    codes, expected = ENDS[case]
    names = tuple(f"algo-{index}" for index in range(len(codes)))
    hosts = [Host(Cluster(name, names), tmp_path) for name in names]
    for host, code in zip(hosts, codes, strict=True):
        (host.base / "output").mkdir(parents=True)
        if code in (1, 2, 3):  # by itself, and so with a message
            (host.base / "output" / "failure").write_text("why")
    found = at_fault(dict(zip(hosts, codes, strict=True)))
    assert found == (None if expected is None else hosts[expected])
