"""Collective: what hosts that train together say to each other, on torch.distributed.

torch is imported only when there is more than one host. States travel in the format of state files: arrays and
JSON, nothing that could run.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from algorithms.artifacts.states import SavedState, packed, read_state, unpacked, write_state
from algorithms.contract import Alone, Arrays
from entrypoint.cluster import Cluster
from entrypoint.peers import Peers
from recordio.errors import PlatformError

PIECE_BYTES = 2**26  # of a state on its way
JOB_SECONDS = 28 * 24 * 3600  # the longest job the platform allows; a slow shard is no fault

Item = TypeVar("Item")


class Collective(Alone):
    """One host by itself: everything is local."""

    def others(self, state: Callable[[], SavedState]) -> Iterator[SavedState] | None:  # noqa: ARG002 - nobody to send to
        """On the leader the states of all other hosts, in order of rank, each sent when it is asked for.

        None elsewhere, where `state` is sent.
        """
        return iter(())

    def barrier(self) -> None:
        """Wait until all hosts are here."""

    def watched(self, items: Generator[Item]) -> Generator[Item]:
        """The items, one made when it is asked for, by something that waits for other hosts in its own way."""
        return items


class _Gloo(Collective):
    def __init__(self, cluster: Cluster, peers: Peers) -> None:
        self._cluster = cluster
        self._peers = peers

    def others(self, state: Callable[[], SavedState]) -> Iterator[SavedState] | None:
        if self._cluster.leader:
            return self._received()
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "state"
            write_state(path, state())
            self._peers.wait(lambda: _send(path))
        return None

    def _received(self) -> Iterator[SavedState]:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "state"
            for rank in range(1, self.hosts):
                self._peers.wait(partial(_receive, rank, path))
                yield read_state(path)

    def barrier(self) -> None:
        from torch import distributed

        self._peers.wait(distributed.barrier)

    def watched(self, items: Generator[Item]) -> Generator[Item]:
        return self._peers.watched(items)

    @property
    def hosts(self) -> int:  # type: ignore[override]
        return len(self._cluster.hosts)

    @property
    def rank(self) -> int:  # type: ignore[override]
        return self._cluster.rank

    @property
    def address(self) -> str:  # type: ignore[override]
        return self._peers.address

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

        mine = packed(arrays, values)
        sizes = np.zeros(self.hosts, np.int64)
        sizes[self.rank] = len(mine)
        found = []
        for rank, size in enumerate(self.sums(sizes)[0].tolist()):
            content = mine if rank == self.rank else bytearray(size)
            self._peers.complete(
                distributed.broadcast(torch.frombuffer(content, dtype=torch.uint8), rank, async_op=True)
            )
            found.append(unpacked(content))
        return found

    def exchanged(self, parts: Sequence[NDArray[Any]], lengths: Sequence[int] | None = None) -> Sequence[NDArray[Any]]:
        import torch
        from torch import distributed

        given = [len(part) for part in parts]
        if lengths is None:
            ones = [np.array([length]) for length in given]
            lengths = [int(length[0]) for length in self.exchanged(ones, [1] * self.hosts)]
        content = np.concatenate(parts)
        found = np.empty((sum(lengths), *content.shape[1:]), content.dtype)
        into, out = torch.from_numpy(found), torch.from_numpy(content)
        self._peers.complete(distributed.all_to_all_single(into, out, [*lengths], given, async_op=True))
        return np.split(found, np.cumsum(lengths)[:-1])


def _send(path: Path) -> None:
    import torch
    from torch import distributed

    distributed.send(torch.tensor([path.stat().st_size]), dst=0)
    with path.open("rb") as file:
        while piece := bytearray(file.read(PIECE_BYTES)):
            distributed.send(torch.frombuffer(piece, dtype=torch.uint8), dst=0)


def _receive(rank: int, path: Path) -> None:
    import torch
    from torch import distributed

    size = torch.zeros(1, dtype=torch.int64)
    distributed.recv(size, src=rank)
    with path.open("wb") as file:
        while left := int(size) - file.tell():
            piece = torch.empty(min(left, PIECE_BYTES), dtype=torch.uint8)
            distributed.recv(piece, src=rank)
            file.write(piece.numpy().data)


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
