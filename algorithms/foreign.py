"""Foreign models: files that only a library of their maker can open, and that may hold code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Foreign:
    """How an algorithm's foreign models become its own.

    program   opens one and writes another: `python -I PROGRAM IN OUT`, in a process that does nothing else. It imports
              nothing of ours, so that a Python with an older library can run it
    renewed   a model file of today from what the program wrote, or from a file that needs no program; given a name for
              its UserErrors
    """

    program: Path
    renewed: Callable[[str, bytes], bytes]
