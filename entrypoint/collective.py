"""Collective: what hosts that train together say to each other, on torch.distributed.

torch is imported only when there is more than one host. States travel in the format of state files: arrays and
JSON, nothing that could run.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.artifacts.states import SavedState, packed, read_state, unpacked, write_state
from algorithms.contract import Alone, Arrays
from entrypoint.cluster import Cluster
from entrypoint.peers import Peers
from recordio.errors import PlatformError

JOB_SECONDS = 28 * 24 * 3600  # the longest job the platform allows; a slow shard is no fault


class Collective(Alone):
    """One host by itself: everything is local."""

    def others(self, state: Callable[[], SavedState]) -> list[SavedState] | None:  # noqa: ARG002 - nobody to send it to
        """On the leader the states of all other hosts, in order of rank; None elsewhere, where `state` is sent."""
        return []

    def barrier(self) -> None:
        """Wait until all hosts are here."""


class _Gloo(Collective):
    def __init__(self, cluster: Cluster, peers: Peers) -> None:
        self._cluster = cluster
        self._peers = peers

    def others(self, state: Callable[[], SavedState]) -> list[SavedState] | None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "state"
            if not self._cluster.leader:
                write_state(path, state())
                self._peers.wait(lambda: _send(path))
                return None
            states = []
            for rank in range(1, len(self._cluster.hosts)):
                path.write_bytes(self._peers.wait(partial(_received, rank)))
                states.append(read_state(path))
            return states

    def barrier(self) -> None:
        from torch import distributed

        self._peers.wait(distributed.barrier)

    @property
    def hosts(self) -> int:  # type: ignore[override]
        return len(self._cluster.hosts)

    def sums(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        import torch
        from torch import distributed

        flat = np.concatenate([array.ravel() for array in arrays])
        self._peers.complete(distributed.all_reduce(torch.from_numpy(flat), async_op=True))
        parts = np.split(flat, np.cumsum([array.size for array in arrays])[:-1])
        return tuple(
            part.reshape(array.shape).astype(array.dtype, copy=False) for part, array in zip(parts, arrays, strict=True)
        )

    def gathered(self, arrays: Arrays, values: Mapping[str, Any]) -> list[tuple[Arrays, dict[str, Any]]]:
        import torch
        from torch import distributed

        content = np.frombuffer(packed(arrays, values), np.uint8)
        sizes = np.zeros(self.hosts, np.int64)
        sizes[self._cluster.rank] = len(content)
        (sizes,) = self.sums(sizes)
        mine = torch.zeros(int(sizes.max()), dtype=torch.uint8)
        mine[: len(content)] = torch.from_numpy(content.copy())
        every = [torch.empty_like(mine) for _ in sizes]
        self._peers.complete(distributed.all_gather(every, mine, async_op=True))
        return [unpacked(bytes(each.numpy()[:size])) for each, size in zip(every, sizes, strict=True)]


def _send(path: Path) -> None:
    import torch
    from torch import distributed

    content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    distributed.send(torch.tensor([len(content)]), dst=0)
    distributed.send(content, dst=0)


def _received(rank: int) -> bytes:
    import torch
    from torch import distributed

    size = torch.zeros(1, dtype=torch.int64)
    distributed.recv(size, src=rank)
    content = torch.empty(int(size), dtype=torch.uint8)
    distributed.recv(content, src=rank)
    return bytes(content.numpy())


@contextmanager
def joined(cluster: Cluster, stopping: threading.Event, silence_seconds: float) -> Iterator[Collective]:
    """Join the hosts of the cluster for the length of the block.

    silence_seconds   after which a host counts as lost
    Raises PlatformError when the image has no torch, or a peer is lost or never came; Stopped when a stop came first.
    """
    if len(cluster.hosts) == 1:
        yield Collective()
        return
    require_collective(cluster)
    from torch import distributed

    if Path(f"/sys/class/net/{cluster.interface}").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", cluster.interface)
    peers = Peers(cluster, stopping, silence_seconds)
    try:
        hosts, longest = len(cluster.hosts), timedelta(seconds=JOB_SECONDS)
        peers.wait(
            lambda: distributed.init_process_group(
                "gloo", store=peers.store, rank=cluster.rank, world_size=hosts, timeout=longest
            )
        )
        yield _Gloo(cluster, peers)
    except BaseException as error:
        peers.leave(error)
        raise
    peers.leave()
    distributed.destroy_process_group()


def require_collective(cluster: Cluster) -> None:
    """Raises PlatformError, with the way out, when several hosts are to train and torch is not there."""
    if len(cluster.hosts) > 1 and importlib.util.find_spec("torch") is None:
        raise PlatformError(
            f"Training on {len(cluster.hosts)} hosts needs torch, which the slim variant of this image leaves out: "
            "use the full image (built with VARIANT=full, the default), without an image the extra torch "
            "(make env EXTRAS=dev,torch), or one host"
        )
