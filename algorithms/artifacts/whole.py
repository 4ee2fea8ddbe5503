"""Files that appear whole or not at all: written aside on the same file system, then renamed."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial-"
NOT_UPLOADED = ".sagemaker-ignore"  # the platform's sync agent leaves such names alone


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a name to write to; the file takes its own name when the block ends well.

    Raises OSError as the file system does (full, read-only); an older file of that name is then untouched.
    """
    aside = path.with_name(f"{PARTIAL}{uuid.uuid4().hex}-{path.name}{NOT_UPLOADED}")
    try:
        yield aside
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole_files(directory: Path) -> Iterator[Path]:
    """Yield an empty folder; what was written to it moves into `directory` when the block ends well.

    Only plain files; each replaces an older one of its name.
    """
    aside = directory / f"{PARTIAL}{uuid.uuid4().hex}"
    aside.mkdir()
    try:
        yield aside
        for written in sorted(aside.iterdir()):
            written.replace(directory / written.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_partial(directory: Path) -> None:
    """Clear what a killed process left aside."""
    for leftover in directory.glob(f"{PARTIAL}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
