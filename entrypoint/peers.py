"""Peers: the other hosts of a job, and whether they are alive, as told through the store where they meet.

Each host leaves a beat in the store of torch.distributed about every second, and what it ended with. A host of which
nothing was heard for a while is lost, and so is the job: the collective waits for it in vain, and so would all others.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from entrypoint.cluster import Cluster
from recordio.errors import PlatformError

if TYPE_CHECKING:
    from torch.distributed import TCPStore, Work

MEET_SECONDS = 15 * 60  # a peer's container may start that much later
SILENCE_SECONDS = 30.0
BEAT_SECONDS = 1.0
POLL_SECONDS = 0.1
THREAD = "in-the-network"  # name of those that only the network can let go

_LEFT: list[Generator[object]] = []

Result = TypeVar("Result")

log = logging.getLogger(__name__)


def in_the_network() -> bool:
    """Whether something of this process still waits for peers, of torch.distributed or of ours."""
    distributed = sys.modules.get("torch.distributed")
    joined = distributed is not None and distributed.is_initialized()
    return joined or any(thread.name == THREAD for thread in threading.enumerate())


class Stopped(Exception):
    """A stop came before the hosts had met."""


class Peers:
    """Meets the other hosts. From then on, the loss of one sets `stopping`, and `wait` names it.

    A stop of one host stops all of them.
    Raises PlatformError that names the hosts that didn't come, Stopped when a stop came first.
    """

    def __init__(self, cluster: Cluster, stopping: threading.Event, silence_seconds: float) -> None:
        self._cluster = cluster
        self._stopping = stopping
        self._silence_seconds = silence_seconds
        self._lost: str | None = None
        self._left = threading.Event()
        self._hosts = {rank: host for rank, host in enumerate(cluster.hosts) if rank != cluster.rank}
        deadline = time.monotonic() + MEET_SECONDS
        self.address = self._address(deadline)
        self.store = self._met(self.address, deadline)
        self._wire = self.store.clone()  # a connection of its own: another may be waited on
        self._wire.set_timeout(timedelta(seconds=max(silence_seconds, BEAT_SECONDS)))
        try:
            self._beat(0)
            while away := [host for rank, host in self._hosts.items() if not self._wire.check([f"beat/{rank}"])]:
                self._pause(deadline, f"Within {MEET_SECONDS} s these hosts of the job did not come: {', '.join(away)}")
        except RuntimeError as error:  # the store lies there
            raise PlatformError(f"The host {cluster.hosts[0]} ended before all hosts had come") from error
        threading.Thread(target=self._listen, name="peers", daemon=True).start()

    def wait(self, action: Callable[[], Result]) -> Result:
        """The result of an action that waits for other hosts.

        Raises PlatformError that names a lost host, though the network may keep the action forever.
        """
        return self._awaited(_Call(action))

    def watched(self, items: Generator[Result]) -> Generator[Result]:
        """The items, one made when it is asked for, all in one thread that the process may leave behind.

        Raises PlatformError that names a lost host, though the network may keep the thread forever.
        """
        calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

        def run() -> None:
            while True:
                calls.get()()

        threading.Thread(target=run, name=THREAD, daemon=True).start()
        try:
            while (item := self._awaited(_Call(partial(next, items, None), calls.put))) is not None:
                yield item
        finally:
            if self._lost is None:
                self._awaited(_Call(items.close, calls.put))
            else:
                _LEFT.append(items)  # to close it, also when nobody holds it any more, would be to wait for that host

    def _awaited(self, call: _Call[Result]) -> Result:
        while not call.ended.wait(POLL_SECONDS):
            self._check()
        try:
            return call.result()
        except RuntimeError as error:
            raise self._disconnected(error) from error

    def complete(self, work: Work) -> None:
        """As `wait`, for work that torch.distributed has under way, without a thread of its own."""
        while not work.is_completed():
            try:
                work.wait(timedelta(seconds=POLL_SECONDS))
                return
            except RuntimeError:  # not yet, or never
                self._check()
        try:
            work.wait()
        except RuntimeError as error:
            raise self._disconnected(error) from error

    def _disconnected(self, error: RuntimeError) -> PlatformError:
        """A connection was lost; soon it is known whose."""
        since = time.monotonic()
        while time.monotonic() - since < self._silence_seconds + 5 * BEAT_SECONDS:
            self._check(error)
            time.sleep(POLL_SECONDS)
        hosts = ", ".join(self._cluster.hosts)
        return PlatformError(f"The host {self._cluster.host} lost a connection to one of: {hosts}")

    def leave(self, error: BaseException | None = None) -> None:
        """Beat no more; the others learn of an error, unless it is that this host lost one of them."""
        if error is not None and self._lost is None:
            with contextlib.suppress(RuntimeError):
                self._wire.set(f"ended/{self._cluster.rank}", str(error) or type(error).__name__)
            if self._cluster.leader:  # the store goes with it
                time.sleep(3 * BEAT_SECONDS)
        self._left.set()

    def _address(self, deadline: float) -> str:
        """The leader's: its container, and so its name, may come later."""
        leader = self._cluster.hosts[0]
        while True:
            try:
                return socket.gethostbyname(leader)
            except OSError as error:
                self._pause(deadline, f"The host {leader} can't be resolved after {MEET_SECONDS} s: {error}")

    def _met(self, address: str, deadline: float) -> TCPStore:
        from torch.distributed import TCPStore

        patience = timedelta(seconds=MEET_SECONDS)
        cluster = self._cluster
        call = _Call(lambda: TCPStore(address, cluster.port, None, cluster.leader, patience, wait_for_workers=False))
        while not call.ended.wait(POLL_SECONDS):
            self._pause(deadline, f"The host {cluster.hosts[0]} can't be reached on port {cluster.port}")
        try:
            return call.result()
        except RuntimeError as error:
            raise PlatformError(f"The host {cluster.hosts[0]} can't be reached on port {cluster.port}") from error

    def _pause(self, deadline: float, otherwise: str) -> None:
        if self._stopping.is_set():
            raise Stopped
        if time.monotonic() > deadline:
            raise PlatformError(otherwise)
        time.sleep(POLL_SECONDS)

    def _check(self, error: BaseException | None = None) -> None:
        if self._lost is not None:
            raise PlatformError(self._lost) from error

    def _beat(self, number: int) -> None:
        self._wire.set(f"beat/{self._cluster.rank}", str(number))

    def _listen(self) -> None:
        heard = dict.fromkeys(self._hosts, (b"", time.monotonic()))
        number = 0
        while self._lost is None and not self._left.wait(BEAT_SECONDS):
            number += 1
            call = _Call(partial(self._hear, number))  # the store lies with the leader, which may answer no more
            beats = call.result() if call.ended.wait(self._silence_seconds) else {}
            now = time.monotonic()
            for rank, host in self._hosts.items():
                if rank in beats and beats[rank] != heard[rank][0]:
                    heard[rank] = beats[rank], now
                elif now - heard[rank][1] > self._silence_seconds:
                    self._lose(
                        f"Nothing was heard of the host {host} for {self._silence_seconds:g} s: "
                        "it ended, or can't be reached"
                    )

    def _hear(self, number: int) -> dict[int, bytes]:
        """Beat, and give the beats of the others; none when the leader is gone."""
        try:
            self._beat(number)
            self._share_stops()
            for rank, host in self._hosts.items():
                if self._wire.check([f"ended/{rank}"]):
                    reason = self._wire.get(f"ended/{rank}").decode(errors="replace")
                    self._lose(f"The host {host} failed: {reason}")
            return {rank: self._wire.get(f"beat/{rank}") for rank in self._hosts}
        except RuntimeError:
            return {}

    def _share_stops(self) -> None:
        if self._stopping.is_set():
            self._wire.set("stop", self._cluster.host)
        elif self._wire.check(["stop"]):
            log.info("The host %s stops: finishing with what has been seen.", self._wire.get("stop").decode())
            self._stopping.set()

    def _lose(self, what: str) -> None:
        if self._lost is None and not self._left.is_set():
            self._lost = what
            self._stopping.set()


class _Call(Generic[Result]):
    """An action that `start` lets run: in a thread that the process may leave behind."""

    def __init__(self, action: Callable[[], Result], start: Callable[[Callable[[], None]], None] | None = None) -> None:
        self._action = action
        self._error: BaseException | None = None
        self.ended = threading.Event()
        if start is None:
            threading.Thread(target=self._run, name=THREAD, daemon=True).start()
        else:
            start(self._run)

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._action()
        except BaseException as error:  # raised by `result`
            self._error = error
        finally:
            self.ended.set()
