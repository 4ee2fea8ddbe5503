"""Waiting for work of the network: late is not lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from entrypoint.peers import Peers
from recordio.errors import PlatformError


class Work:
    """Ends while it is waited for the third time, a moment too late."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.waits = 0

    def is_completed(self) -> bool:
        return self.waits >= 3

    def wait(self, timeout: timedelta | None = None) -> bool:
        ended, self.waits = self.is_completed(), self.waits + 1
        if ended and not self.fails:
            return True
        assert timeout is not None or ended, "waits forever"
        raise RuntimeError("Connection closed by peer" if ended else "Operation timed out!")


def peers(lost: str | None = None) -> Any:
    made: Any = Peers.__new__(Peers)
    made._lost = lost
    return made


def test_work_that_ends_just_after_a_wait_is_done() -> None:
    work: Any = Work()
    peers().complete(work)
    assert work.waits == 4


def test_work_that_fails_is_told_with_the_host_that_was_lost() -> None:
    with pytest.raises(PlatformError, match="algo-2 failed"):
        peers("The host algo-2 failed").complete(Work(fails=True))
