"""Reading ahead: an iterator that runs in a thread of its own, a bounded number of items before its consumer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

POLL_SECONDS = 0.1  # how late a stop is noticed by whoever waits


class Ahead(Generic[Item]):
    """Iterate over `items`, produced by a thread at most `depth` items ahead.

    An error of the producer is raised where the consumer would have got the item, unless a stop came before: whoever
    fed a stopped job may be gone already. `close` lets the thread go; one that is blocked in the kernel (a pipe that
    nobody writes) is left behind as a daemon.
    """

    def __init__(self, items: Iterator[Item], depth: int = 1, stopping: threading.Event | None = None) -> None:
        self._queue: queue.Queue[Item | BaseException | None] = queue.Queue(depth)
        self._closed = threading.Event()
        self._stopping = stopping or self._closed
        self._items = items
        threading.Thread(target=self._produce, name="ahead", daemon=True).start()

    def __iter__(self) -> Iterator[Item]:
        """Ends with the items, or within POLL_SECONDS of a stop."""
        while not (self._closed.is_set() or self._stopping.is_set()):
            try:
                item = self._queue.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if item is None or self._stopping.is_set():
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        self._closed.set()

    def _produce(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
            self._put(None)
        except BaseException as error:  # it is raised again by the consumer
            self._put(error)

    def _put(self, item: Item | BaseException | None) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False
