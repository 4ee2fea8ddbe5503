"""File mode: objects of storage as files of this machine, before the job starts."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import cast

from local.platform import Channel, of_channel
from local.storage.reading import Reader
from local.storage.service import Stored, Uri, one_object
from recordio.errors import PlatformError, UserError

AT_ONCE = 8


def fetched(channel: Channel, folder: Path) -> Channel:
    """The channel, its objects in a new folder inside `folder` if the job is to find them as files.

    Raises UserError for keys that can't be names of files, PlatformError when there is too little room.
    """
    if channel.piped or isinstance(channel.source, Path):
        return channel
    target = folder / channel.name
    with of_channel(channel.name):
        download(cast(Sequence[Stored], channel.source), target)
    return replace(channel, source=target)


def fetched_file(uri: Uri, folder: Path) -> Path:
    """One object as a file of its name, somewhere inside `folder`."""
    found = one_object(uri)
    download([found], folder / "object")
    return folder / "object" / found.name


def download(objects: Sequence[Stored], target: Path) -> None:
    """Write each object under its name. A file appears whole or not at all."""
    _check_names(objects)
    aside = target.with_name(f"{target.name} (partial)")  # no name of a channel
    for folder in (aside, target):
        folder.mkdir(parents=True)
    known = sum(item.size or 0 for item in objects)
    _check_room(target, known)
    stopping = threading.Event()
    with _shown(target.name, known) as count, ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            tasks = [
                pool.submit(_download, item, aside / str(number), target / item.name, stopping, count)
                for number, item in enumerate(objects)
            ]
            for task in tasks:
                task.result()
        except BaseException:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    aside.rmdir()


def _download(
    item: Stored, aside: Path, place: Path, stopping: threading.Event, count: Callable[[int], object]
) -> None:
    with Reader(item, stopping) as reader:
        _check_room(aside.parent, reader.size)
        with aside.open("wb") as file:
            while (piece := reader.read()) and not stopping.is_set():
                file.write(piece)
                count(len(piece))
    if stopping.is_set():
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(place)
    except OSError as error:  # a name that is too long
        raise UserError(f"{item}: the file system takes no such name: {error.strerror}") from error


def _check_names(objects: Sequence[Stored]) -> None:
    """Keys come from whoever may write to the bucket: each must name a file of its own, inside the folder."""
    files: set[PurePosixPath] = set()
    folders: set[PurePosixPath] = set()
    for item in objects:
        if not item.name.isprintable() or set(item.name.split("/")) & {"", ".", ".."}:
            raise UserError(f"{item}: got the name {item.name!r} below the channel's folder, expected that of a file")
        name = PurePosixPath(item.name)
        if name in files:
            raise UserError(f"{item}: got the name '{name}' a second time")
        files.add(name)
        folders.update(name.parents)
    if both := sorted(files & folders):
        raise UserError(f"got '{both[0]}' as the name of a file and of a folder")


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise PlatformError(
            f"{folder} has room for {free} bytes, expected {needed}: let TMPDIR name a folder on a larger disk, or "
            "read with --input-mode Pipe, which stores nothing"
        )


@contextlib.contextmanager
def _shown(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar in a terminal; yields what counts bytes."""
    if not sys.stdout.isatty():
        yield lambda _: None
        return
    from rich import progress as bars

    text = bars.TextColumn("{task.description}")
    with bars.Progress(text, bars.BarColumn(), bars.DownloadColumn(), bars.TransferSpeedColumn()) as progress:
        task = progress.add_task(f"download {title}", total=total or None)
        yield lambda size: progress.advance(task, size)
