"""SIGTERM and SIGINT: a request to end early with a usable model."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

log = logging.getLogger(__name__)


def stop_requested() -> threading.Event:
    """Install the handlers, without which PID 1 of a container would not hear the signal, and give their event."""
    requested = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        requested.set()
        # The log's own lock may be held by the interrupted code: another thread writes the line.
        name = signal.Signals(number).name
        threading.Thread(target=log.info, args=("Got %s: finishing with what has been seen.", name)).start()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return requested


def stops_ignored() -> None:
    """From here on the outcome stands. While the interpreter ends, a signal would kill it and change the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
