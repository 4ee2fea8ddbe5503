"""Reading ahead: an iterator that runs in a thread of its own, a bounded stretch before its consumer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Generic, TypeVar

from recordio.batch import Batch

Item = TypeVar("Item")

POLL_SECONDS = 0.1  # how late a stop is noticed by whoever waits
ROOM_BYTES = 2 << 20  # of batches: more of them leave the cache before they are learned


def batches_ahead(batches: Iterator[Batch], stopping: threading.Event) -> Ahead[Batch]:
    return Ahead(batches, ROOM_BYTES, attrgetter("nbytes"), stopping)


class Ahead(Generic[Item]):
    """Iterate over `items`, produced by a thread while there is room: one more is made before the room is full.

    The consumer takes all that was made at once and so makes room: two threads that wait for each other at every item
    cost more than small items do. What lies in the room and with the consumer is twice `room` and two items, at most.

    An error of the producer is raised where the consumer would have got the item, unless a stop came before: whoever
    fed a stopped job may be gone already. `close` lets the thread go; one that is blocked in the kernel (a pipe that
    nobody writes) is left behind as a daemon.
    """

    def __init__(
        self,
        items: Iterator[Item],
        room: int = 1,
        size_of: Callable[[Item], int] = lambda _: 1,
        stopping: threading.Event | None = None,
    ) -> None:
        self._made: deque[Item] = deque()
        self._filled = 0
        self._end: BaseException | None = None
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._stopping = stopping or self._closed
        self._items = items
        self._room = room
        self._size_of = size_of
        threading.Thread(target=self._produce, name="ahead", daemon=True).start()

    def __iter__(self) -> Iterator[Item]:
        """Ends with the items, or within POLL_SECONDS of a stop."""
        taken: deque[Item] = deque()
        while not self._stopped:
            if taken:
                yield taken.popleft()
                continue
            with self._changed:
                taken, self._made, self._filled = self._made, deque(), 0
                self._changed.notify()
                if not taken and self._end is None:
                    self._changed.wait(POLL_SECONDS)
                    continue
            if not taken:
                if isinstance(self._end, StopIteration) or self._stopped:
                    return
                raise self._end  # type: ignore[misc]  # set before
        taken.clear()

    def close(self) -> None:
        self._closed.set()
        with self._changed:
            self._made.clear()

    @property
    def _stopped(self) -> bool:
        return self._closed.is_set() or self._stopping.is_set()

    def _produce(self) -> None:
        end: BaseException = StopIteration()
        try:
            for item in self._items:
                if not self._put(item):
                    return
                del item
        except BaseException as error:  # it is raised again by the consumer
            end = error
        with self._changed:
            self._end = end
            self._changed.notify()

    def _put(self, item: Item) -> bool:
        """Wait for room. False when nobody wants the item any more."""
        with self._changed:
            while self._filled >= self._room and not self._closed.is_set():
                self._changed.wait(POLL_SECONDS)
            if self._closed.is_set():
                return False
            self._made.append(item)
            self._filled += self._size_of(item)
            self._changed.notify()
            return True
