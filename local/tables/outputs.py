"""Outputs that appear whole or not at all: a file, or a folder of shards. Standard output gets bytes as they come."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from local.tables.inputs import STANDARD
from recordio.errors import UserError

SHARD = re.compile(r"part-\d{5,}\.\w+")
BUFFER_BYTES = 2**18


class Output(io.BufferedWriter):
    """A file to write that knows how many bytes went into it."""

    def __init__(self, target: Path | int) -> None:
        super().__init__(_Counted(target, "wb", closefd=not isinstance(target, int)), BUFFER_BYTES)

    def written(self) -> int:
        self.flush()
        return self.raw.count  # type: ignore[attr-defined, no-any-return]


class _Counted(io.FileIO):
    count = 0

    def write(self, data: Any, /) -> int:
        count = super().write(data)
        self.count += count or 0
        return count


@contextmanager
def whole(given: str, ending: str, shards: int | None, *, force: bool) -> Iterator[list[Output]]:
    """The files to write: one, or in a folder as many as there are shards.

    They lie beside the place where they appear at the end of the block. Only pipes and devices are written directly.
    Raises UserError when what is there may not be replaced.
    """
    path = Path(given)
    if shards is not None:
        if given == STANDARD:
            raise UserError("--shards needs a folder, got standard output")
        with _folder(given, [f"part-{number:05}.{ending}" for number in range(shards)], force=force) as files:
            yield files
    elif given == STANDARD or (path.exists() and not path.is_file() and not path.is_dir()):
        with Output(sys.stdout.fileno() if given == STANDARD else path) as file:
            yield [file]
    else:
        with _file(given, force=force) as file:
            yield [file]


@contextmanager
def _file(given: str, *, force: bool) -> Iterator[Output]:
    path = Path(given).resolve()  # a link goes on pointing there
    if path.is_dir():
        raise UserError(f"{given} is a folder: --shards N writes N files into it")
    if path.exists() and not force:
        raise UserError(f"{given} exists: --force replaces it")
    aside = _aside(path, "part")
    try:
        with Output(aside) as file:
            yield file
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _folder(given: str, names: list[str], *, force: bool) -> Iterator[list[Output]]:
    """Replaces a folder that is empty or, with `force`, holds shards only."""
    path = Path(given).resolve()
    if path.exists():
        if not path.is_dir():
            raise UserError(f"{given} is a file, expected a folder for --shards")
        inside = sorted(entry.name for entry in path.iterdir())
        foreign = [name for name in inside if not SHARD.fullmatch(name)]
        if foreign:
            raise UserError(f"{given} holds {foreign[0]}, which is no shard: expected a new or empty folder")
        if inside and not force:
            raise UserError(f"{given} holds {len(inside)} shards: --force replaces them all")
    aside, old = _aside(path, "part"), _aside(path, "old")
    aside.mkdir()
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(Output(aside / name)) for name in names]
        if path.exists():
            path.rename(old)
        aside.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _aside(path: Path, what: str) -> Path:
    """A name in the same folder, so that renaming is one step; channels pass over names that start with a dot."""
    return path.with_name(f".{path.name}.{os.getpid()}.{what}")
