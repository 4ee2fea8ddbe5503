"""Stopping, with real children: asked first, ended after the grace time."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from local.processes import Child, Command
from local.stopping import Stopping

LONG_SECONDS = 600  # far longer than any test
LISTENING = "import signal; print('ready', flush=True); signal.sigwait([signal.SIGTERM]); print('asked', flush=True)"
PRELUDE = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); "
DEAF = PRELUDE + "print('ready', flush=True); signal.pause()"


@contextlib.contextmanager
def running(code: str) -> Iterator[tuple[Child, Iterator[str]]]:
    with Child(Command((sys.executable, "-c", PRELUDE + code)), logged=True) as child:
        lines = child.lines()
        assert next(lines) == "ready\n"
        yield child, lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_all_children(number: int) -> None:
    with (
        Stopping(LONG_SECONDS) as stopping,
        running(LISTENING) as (one, its_lines),
        running(LISTENING) as (other, other_lines),
    ):
        stopping.add(one)
        stopping.add(other)
        os.kill(os.getpid(), number)
        assert (next(its_lines), next(other_lines)) == ("asked\n", "asked\n")
        assert (one.wait(), other.wait()) == (0, 0)
        assert stopping.asked


def test_a_child_that_comes_after_the_signal_is_asked() -> None:
    with Stopping(LONG_SECONDS) as stopping, running(LISTENING) as (child, lines):
        os.kill(os.getpid(), signal.SIGINT)
        stopping.add(child)
        assert next(lines) == "asked\n"


def test_a_second_signal_ends_them() -> None:
    with Stopping(LONG_SECONDS) as stopping, running(DEAF) as (child, _):
        stopping.add(child)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert child.wait() == 128 + signal.SIGKILL


def test_the_grace_time_ends_them() -> None:
    with Stopping(LONG_SECONDS) as stopping, running(DEAF) as (child, _):
        stopping.add(child)
        stopping.stop(0.01)
        assert child.wait() == 128 + signal.SIGKILL
        assert not stopping.asked


def test_afterwards_signals_are_as_before_and_no_deadline_is_left() -> None:
    before = signal.getsignal(signal.SIGINT), threading.active_count()
    with Stopping(LONG_SECONDS) as stopping:
        stopping.stop(LONG_SECONDS)
        deadline = stopping._deadlines[0]
    deadline.join(10)
    assert not deadline.is_alive()
    assert (signal.getsignal(signal.SIGINT), threading.active_count()) == before
