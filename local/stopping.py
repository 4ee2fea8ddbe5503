"""How a job or a server is stopped here: as the platform does it, first asked and later ended."""

from __future__ import annotations

import signal
import threading
from typing import Self

from local.processes import Child


class Stopping:
    """Stops children while the block lasts. Call from the main thread: it takes SIGINT and SIGTERM over.

    The first of these asks all children to stop: SIGTERM, and SIGKILL after the grace time. A second one ends them
    at once.

    asked   whether a signal came
    """

    def __init__(self, grace_seconds: float) -> None:
        self.asked = False
        self._grace_seconds = grace_seconds
        self._children: list[Child] = []
        self._deadlines: list[threading.Timer] = []

    def __enter__(self) -> Self:
        self._earlier = {number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for deadline in self._deadlines:
            deadline.cancel()
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def add(self, child: Child) -> None:
        """A child that runs; it is asked at once where the signal came before it."""
        self._children.append(child)
        if self.asked:
            child.terminate()

    def stop(self, grace_seconds: float) -> None:
        """Ask all children to stop, and end after the grace time those that still run."""
        deadline = threading.Timer(grace_seconds, self.kill)
        deadline.daemon = True
        deadline.start()
        self._deadlines.append(deadline)
        for child in self._children:
            child.terminate()

    def kill(self) -> None:
        """End all that still run."""
        for child in self._children:
            if not child.ended(0):
                child.kill()

    def _signalled(self, *_: object) -> None:
        if self.asked:
            self.kill()
            return
        self.asked = True
        self.stop(self._grace_seconds)
