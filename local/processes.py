"""A job or a server as a child of this program, which it doesn't outlive."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
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
    """Runs a command while the block lasts.

    logged   what it prints is read by `lines`, not shown
    """

    def __init__(self, command: Command, *, logged: bool = False) -> None:
        self._command = command
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
            raise missing(arguments[0]) from None
        return self

    def __exit__(self, *_: object) -> None:
        if not self.ended(0):
            self.kill()
            self._process.wait()
        self._remove()
        if self._process.stdout is not None:
            self._process.stdout.close()

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

    def terminate(self) -> None:
        """Ask it to stop."""
        self._process.terminate()

    def kill(self) -> None:
        """End it and its children now."""
        self._remove()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _remove(self) -> None:
        if self._command.remover is not None:
            finish(*self._command.remover)


def finish(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end; Ctrl-C in the terminal does not reach it."""
    try:
        return subprocess.run(arguments, capture_output=True, text=True, check=False, start_new_session=True)  # noqa: S603
    except FileNotFoundError:
        raise missing(arguments[0]) from None


def missing(program: str) -> UserError:
    return UserError(f"The program '{Path(program).name}' was not found; install it first")
