"""Hosts in step as threads of one process: what the collective does over the network, done in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from algorithms.artifacts.states import SavedState
from algorithms.contract import Arrays
from entrypoint.collective import Collective

PATIENCE_SECONDS = 60

Result = TypeVar("Result")


class Hosts:
    """The meeting place of some hosts."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.barrier = threading.Barrier(count, timeout=PATIENCE_SECONDS)
        self.given: list[Any] = [None] * count

    def run(self, action: Callable[[Seat, int], Result]) -> list[Result]:
        """What the action gives on each host, with its seat and its rank."""

        def one(rank: int) -> Result:
            if hasattr(os, "sched_setaffinity"):  # threads that wait for each other at every step: a third of the time
                os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            try:
                return action(Seat(self, rank), rank)
            except BaseException:
                self.barrier.abort()
                raise

        with ThreadPoolExecutor(self.count) as threads:
            return list(threads.map(one, range(self.count)))


class Seat:
    """The pool as one of the hosts has it."""

    def __init__(self, at: Hosts, rank: int) -> None:
        self.hosts = at.count
        self.rank = rank
        self._at = at
        self.address = "127.0.0.1"

    def sums(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        every = self.told([array.copy() for array in arrays])
        return tuple(np.sum(parts, axis=0, dtype=parts[0].dtype) for parts in zip(*every, strict=True))

    def gathered(self, arrays: Arrays, values: Mapping[str, Any]) -> list[tuple[Arrays, dict[str, Any]]]:
        given = {name: np.array(array) for name, array in arrays.items()}, dict(values)
        return [({**arrays}, {**values}) for arrays, values in self.told(given)]

    def exchanged(self, parts: Sequence[NDArray[Any]], lengths: Sequence[int] | None = None) -> Sequence[NDArray[Any]]:
        found = [given[self.rank] for given in self.told([part.copy() for part in parts])]
        assert lengths is None or [*lengths] == [len(part) for part in found]
        return found

    def told(self, given: Any) -> Sequence[Any]:
        """What each host gave, as it is."""
        self._at.given[self.rank] = given
        self._at.barrier.wait()
        every = list(self._at.given)
        self._at.barrier.wait()  # nobody gives anew before all have taken
        return every


class Gathering(Collective):
    """What the training loop of one of the hosts has for a collective."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self.hosts, self.rank = seat.hosts, seat.rank  # type: ignore[misc]

    def others(self, state: Callable[[], SavedState]) -> Iterator[SavedState] | None:
        every = self._seat.told(state() if self.rank else None)
        return None if self.rank else iter(every[1:])

    def barrier(self) -> None:
        self._seat.told(None)

    def sums(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        return self._seat.sums(*arrays)

    def gathered(self, arrays: Arrays, values: Mapping[str, Any]) -> list[tuple[Arrays, dict[str, Any]]]:
        return self._seat.gathered(arrays, values)

    def exchanged(self, parts: Sequence[NDArray[Any]], lengths: Sequence[int] | None = None) -> Sequence[NDArray[Any]]:
        return self._seat.exchanged(parts, lengths)
