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
        _to_disk(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole_artifact(directory: Path, models: str = "model_*") -> Iterator[Path]:
    """Yield an empty folder; the files written to it replace the artifact in `directory` when the block ends well.

    Several files can't appear at once, so a model goes first and comes last: a folder that holds one holds all that
    belongs to it, whenever the process is killed. Other files than models and `state_*` stay.

    models   pattern of their names
    """
    aside = directory / f"{PARTIAL}{uuid.uuid4().hex}"
    aside.mkdir()
    try:
        yield aside
        written = sorted(aside.iterdir(), key=lambda path: (path.match(models), path.name))
        for path in written:
            _to_disk(path)
        for earlier in (*directory.glob(models), *directory.glob("state_*")):
            if earlier.is_file():
                earlier.unlink()
        for path in written:
            path.replace(directory / path.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_partial(directory: Path) -> None:
    """Clear what a killed process left aside."""
    for leftover in directory.glob(f"{PARTIAL}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Some file systems tell only now that they are full."""
    with path.open("rb") as written:
        os.fsync(written.fileno())
