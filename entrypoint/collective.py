"""Collective: what hosts that train together say to each other, on torch.distributed.

torch is imported only when there is more than one host. States travel in the format of state files: arrays and
JSON, nothing that could run.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from algorithms.artifacts.states import SavedState, read_state, write_state
from entrypoint.cluster import Cluster
from recordio.errors import PlatformError

PEER_SECONDS = 15 * 60  # a peer's container may start that much later
JOB_SECONDS = 28 * 24 * 3600  # the longest job the platform allows; a slow shard is no fault


class Collective:
    """One host by itself: everything is local."""

    def others(self, state: Callable[[], SavedState]) -> list[SavedState] | None:  # noqa: ARG002 - nobody to send it to
        """On the leader the states of all other hosts, in order of rank; None elsewhere, where `state` is sent."""
        return []

    def barrier(self) -> None:
        """Wait until all hosts are here."""


class _Gloo(Collective):
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def others(self, state: Callable[[], SavedState]) -> list[SavedState] | None:
        import torch
        from torch import distributed

        with tempfile.TemporaryDirectory() as scratch, _speaking(self._cluster):
            path = Path(scratch) / "state"
            if not self._cluster.leader:
                write_state(path, state())
                content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
                distributed.send(torch.tensor([len(content)]), dst=0)
                distributed.send(content, dst=0)
                return None
            states = []
            for rank in range(1, len(self._cluster.hosts)):
                size = torch.zeros(1, dtype=torch.int64)
                distributed.recv(size, src=rank)
                content = torch.empty(int(size), dtype=torch.uint8)
                distributed.recv(content, src=rank)
                path.write_bytes(content.numpy().tobytes())
                states.append(read_state(path))
            return states

    def barrier(self) -> None:
        from torch import distributed

        with _speaking(self._cluster):
            distributed.barrier()


@contextmanager
def joined(cluster: Cluster) -> Iterator[Collective]:
    """Join the hosts of the cluster for the length of the block.

    Raises PlatformError when the image has no torch, or a peer can't be reached.
    """
    if len(cluster.hosts) == 1:
        yield Collective()
        return
    require_collective(cluster)
    from torch import distributed

    if Path(f"/sys/class/net/{cluster.interface}").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", cluster.interface)
    address = _address(cluster.hosts[0])
    size, patience = len(cluster.hosts), timedelta(seconds=PEER_SECONDS)
    with _speaking(cluster):
        store = distributed.TCPStore(address, cluster.port, size, cluster.leader, patience)
        longest = timedelta(seconds=JOB_SECONDS)
        distributed.init_process_group("gloo", store=store, rank=cluster.rank, world_size=size, timeout=longest)
    try:
        yield _Gloo(cluster)
    finally:
        distributed.destroy_process_group()


@contextmanager
def _speaking(cluster: Cluster) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what torch.distributed raises for every lost connection
        hosts = ", ".join(cluster.hosts)
        raise PlatformError(f"The host {cluster.host} lost one of its peers, or never reached it: {hosts}") from error


def require_collective(cluster: Cluster) -> None:
    """Raises PlatformError, with the way out, when several hosts are to train and torch is not there."""
    if len(cluster.hosts) > 1 and importlib.util.find_spec("torch") is None:
        raise PlatformError(
            f"Training on {len(cluster.hosts)} hosts needs torch, which the slim variant of this image leaves out: "
            "use the full image (built with VARIANT=full, the default), or one host"
        )


def _address(host: str) -> str:
    """Resolve a peer's name; its container, and so its name, may come later."""
    deadline = time.monotonic() + PEER_SECONDS
    while True:
        try:
            return socket.gethostbyname(host)
        except OSError as error:
            if time.monotonic() > deadline:
                raise PlatformError(f"The host {host} can't be resolved after {PEER_SECONDS} s: {error}") from error
        time.sleep(0.5)
