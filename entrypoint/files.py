"""Files of a channel: which they are, and their bytes, unpacked."""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import NoReturn

from recordio.errors import PlatformError
from recordio.streams import unbuffered

DEEPEST_FOLDER = 16
GZIP_MAGIC = b"\x1f\x8b"


def data_files(path: Path) -> list[Path]:
    """Files of a channel in a stable order, by relative path.

    Names that start with `.` or `_` are not data, nor is what is empty or no file. Links to folders are not followed.
    Raises PlatformError for a folder that can't be read: its records must not be missing in silence.
    """
    if path.is_file():
        return [path]
    found = []
    for folder, folders, files in os.walk(path, onerror=_unreadable):
        inside = Path(folder)
        deep = len(inside.relative_to(path).parts) >= DEEPEST_FOLDER
        folders[:] = [] if deep else [name for name in folders if not name.startswith((".", "_"))]
        found += [inside / name for name in files if not name.startswith((".", "_"))]
    found = [file for file in found if file.is_file() and file.stat().st_size]
    return sorted(found)


@contextmanager
def opened(path: Path) -> Iterator[FileIO | gzip.GzipFile]:
    """Open a file or pipe; a gzip file is read through, which a pipe never needs."""
    with unbuffered(path) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            yield file
            return
        start = file.read(len(GZIP_MAGIC))
        file.seek(0)
        yield gzip.GzipFile(fileobj=file) if start == GZIP_MAGIC else file


class Counted:
    """A readable stream; `passed` is called with the number of bytes that are read."""

    def __init__(self, file: FileIO | gzip.GzipFile, passed: Callable[[int], None]) -> None:
        self._file = file
        self._passed = passed

    def read(self, size: int, /) -> bytes:
        content = self._file.read(size)
        self._passed(len(content))
        return content

    def readinto(self, room: memoryview[int], /) -> int:
        count = self._file.readinto(room) or 0
        self._passed(count)
        return count

    def seekable(self) -> bool:
        """Whether it can be read here and there; what is unpacked can't, as that would begin anew each time."""
        return isinstance(self._file, FileIO) and self._file.seekable()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _unreadable(error: OSError) -> NoReturn:
    raise PlatformError(f"{error.filename} can't be read: {error.strerror}") from error
