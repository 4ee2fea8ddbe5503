"""Folders that a job writes to: the model's and that of its checkpoints."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from algorithms.artifacts.whole import PARTIAL, remove_partial
from recordio.errors import PlatformError


@dataclass(frozen=True)
class Folder:
    """what   as users call it: model, checkpoint"""

    what: str
    path: Path

    def prepare(self, *, writes: bool = True) -> None:
        """Make it, clear what a killed process left aside, and find out now whether it takes a file.

        writes   whether this host will
        Raises PlatformError.
        """
        with self.written():
            self.path.mkdir(parents=True, exist_ok=True)
            remove_partial(self.path)
            if writes:
                probe = self.path / f"{PARTIAL}{uuid.uuid4().hex}"
                try:
                    probe.write_bytes(b"x")
                finally:
                    probe.unlink(missing_ok=True)  # another host that has the same folder may have cleared it

    @contextmanager
    def written(self) -> Iterator[None]:
        """Raises PlatformError for what the file system refuses, with the folder, the reason and a way out."""
        try:
            yield
        except OSError as error:
            text = f"The {self.what} folder {self.path} can't be written: {error.strerror}"
            raise PlatformError(f"{text}{_advice(error.errno)}") from error


def _advice(reason: int | None) -> str:
    match reason:
        case errno.ENOSPC | errno.EDQUOT:
            return ". Make room there, or mount a larger volume."
        case errno.EROFS:
            return ". Mount it so that it can be written."
        case errno.EACCES | errno.EPERM:
            return f". Let user {os.geteuid()} read and write there."
        case errno.EEXIST | errno.ENOTDIR:
            return ". Expected a folder."
    return ""
