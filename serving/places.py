"""Places: how many requests a worker holds, reads and computes at once, so that settings bound its memory."""

from __future__ import annotations

from queue import Empty, SimpleQueue

from serving.errors import Busy

RESERVED = 8  # connections that inference leaves free for /ping and /metrics


class Place:
    """One of a number of places, held inside a `with` block. Raises Busy when none comes free in time.

    A queue of tokens: it does what a semaphore does, in a tenth of the time.
    """

    def __init__(self, number: int, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(number):
            self._free.put(None)

    def __enter__(self) -> None:
        try:
            self._free.get(timeout=self._timeout_seconds)
        except Empty:
            raise Busy("All places of this server are taken: try again, or send fewer requests at once") from None

    def __exit__(self, *_: object) -> None:
        self._free.put(None)


class Places:
    """Places of one worker.

    open        every request for inference holds one; who finds none is sent away at once, because a request that
                waits takes a connection that /ping may need
    large       to read a large body
    computing   to unpack, decode, predict and encode
    """

    def __init__(self, connections: int, threads: int, timeout_seconds: float) -> None:
        self.open = Place(max(1, connections - RESERVED), 0)
        self.large = Place(threads, timeout_seconds)
        self.computing = Place(threads, timeout_seconds)
