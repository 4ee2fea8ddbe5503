"""A job or a server as a child of this program: signals reach it, and it doesn't outlive us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from recordio.errors import UserError

LONGEST_LINE_BYTES = 65_536


@dataclass(frozen=True)
class Command:
    """What to run.

    variables   added to our own environment
    remover     the command that ends at once, and clears away, what a signal to its client would leave: a container
    """

    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    remover: tuple[str, ...] | None = None


class Child:
    """Runs a command while the block lasts. Call from the main thread: it takes SIGINT and SIGTERM over.

    The first of these asks the command to stop, as the platform does: SIGTERM, and SIGKILL after the grace time.
    A second one ends it at once.
    """

    def __init__(self, command: Command, grace_seconds: float, *, logged: bool = False) -> None:
        self.stopped = False
        self._command = command
        self._deadline = threading.Timer(grace_seconds, self.kill)
        self._deadline.daemon = True
        self._logged = logged

    def __enter__(self) -> Self:
        arguments = self._command.arguments
        try:
            # In a session of its own, or Ctrl-C in a terminal would reach it twice.
            self._process = subprocess.Popen(  # noqa: S603 - arguments are never read by a shell
                arguments,
                env=os.environ | dict(self._command.variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._logged else None,
                stderr=subprocess.STDOUT if self._logged else None,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise UserError(f"The program '{Path(arguments[0]).name}' was not found; install it first") from None
        self._earlier = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        self._deadline.cancel()
        if self._process.poll() is None:
            self.kill()
            self._process.wait()
        self._remove()
        if self._process.stdout is not None:
            self._process.stdout.close()
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def lines(self) -> Iterator[str]:
        """What it prints, until it has closed its output. A line without end comes in pieces."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(LONGEST_LINE_BYTES):
            yield line.decode(errors="replace")

    def ended(self, seconds: float) -> bool:
        """Wait for the end, no longer than this."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            return True
        return False

    def wait(self) -> int:
        """The exit code once it has ended; as a shell gives it, 128 + n, when signal n ended it."""
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        """End it and its children now."""
        self._remove()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _remove(self) -> None:
        if self._command.remover is not None:
            subprocess.run(self._command.remover, capture_output=True, check=False)  # noqa: S603

    def _stop(self, *_: object) -> None:
        if self.stopped:
            self.kill()
            return
        self.stopped = True
        self._deadline.start()
        self._process.terminate()
