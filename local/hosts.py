"""The hosts of a job, side by side on this machine: who they are, and how they run and end together."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import partial
from ipaddress import IPv4Address

from entrypoint.cluster import Cluster
from entrypoint.doors import PLATFORM
from local.pipes import Feeder
from local.platform import HOST, Host, Job
from local.processes import Child, Command
from local.progress import Display
from local.stopping import Stopping
from local.storage.streams import stream

FAILED_GRACE_SECONDS = 10  # for the others when a host has failed, as docker compose gives it: no model is expected


def clusters(count: int, *, contained: bool) -> list[Cluster]:
    """What each host is told of itself and of the others, the leader first.

    Containers get the platform's names, which a network of their own resolves. Processes share the names of this
    machine, so they get its loopback addresses, which need no resolving, and meet at a free port.
    """
    if count == 1:
        return [Cluster(HOST, (HOST,))]
    if contained:
        names = tuple(sorted(f"algo-{number}" for number in range(1, count + 1)))
        return [Cluster(name, names) for name in names]
    names = tuple(sorted(str(IPv4Address("127.0.0.0") + number) for number in range(1, count + 1)))
    with socket.create_server(("", 0)) as probe:
        port: int = probe.getsockname()[1]
    return [Cluster(name, names, "lo", port) for name in names]


def run(commands: Mapping[Host, Command], job: Job, display: Display, stopping: Stopping) -> dict[Host, int]:
    """Run all hosts to their end: their exit codes, in the order in which they ended.

    When one fails, the others are asked to stop. Raises UserError when a channel can't be read.
    """
    with contextlib.ExitStack() as stack:
        followers = stack.enter_context(ThreadPoolExecutor(len(commands)))
        # The pipes stand before the job looks for them.
        feeders = [stack.enter_context(feeder) for host in commands for feeder in _feeders(host, job, stopping.kill)]
        running: dict[Future[int], Host] = {}
        for host, command in commands.items():
            child = stack.enter_context(Child(command, logged=True))
            stopping.add(child)
            running[followers.submit(_follow, child, host.name, display)] = host
        codes: dict[Host, int] = {}
        for future in as_completed(running):
            if future.result() and not any(codes.values()):
                stopping.stop(FAILED_GRACE_SECONDS)
            codes[running[future]] = future.result()
    failures = [feeder.failure for feeder in feeders if feeder.failure is not None]
    if failures:
        raise failures[0]
    return codes


def at_fault(codes: Mapping[Host, int]) -> Host | None:
    """The host that made the job fail, of those in the order in which they ended; None when all is well.

    A host that lost a peer ends with a platform error, and may have ended before that peer did. What others, ended at
    our wish, have no message of is no cause.
    """
    failed = {host: code for host, code in codes.items() if code}
    first = next(iter(failed), None)
    if first is None or failed[first] != PLATFORM:
        return first
    return next((host for host, code in failed.items() if code != PLATFORM and host.failure), first)


def _follow(child: Child, host: str, display: Display) -> int:
    for line in child.lines():
        display.line(line, host)
    return child.wait()


def _feeders(host: Host, job: Job, on_failure: Callable[[], None]) -> list[Feeder]:
    data, rank, hosts = host.base / "input" / "data", host.cluster.rank, len(host.cluster.hosts)
    return [
        Feeder(channel.name, partial(stream, channel, rank, hosts), data, on_failure)
        for channel in job.channels
        if channel.piped
    ]
