"""Inputs of a conversion: a file, the files of a folder, or standard input, as streams that count what is read."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.tables.formats import GZIP_MAGIC, LOOKED_AT, is_number, printable
from recordio.errors import DataError, UserError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STANDARD = "-"
BOM = b"\xef\xbb\xbf"
HEADER_BYTES = 2**22  # of names in CSV


@dataclass(frozen=True)
class Input:
    """A file, or standard input when there is no path. `name` is for messages."""

    path: Path | None
    name: str

    @property
    def size_bytes(self) -> int | None:
        return self.path.stat().st_size if self.path is not None and self.path.is_file() else None


def inputs(given: str) -> Sequence[Input]:
    """What `given` stands for: `-`, a file, or the data files of a folder in their order.

    Raises UserError when there is nothing.
    """
    if given == STANDARD:
        return [Input(None, "standard input")]
    path = Path(given)
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if not path.is_dir():
        return [Input(path, printable(path.name))]
    from entrypoint.files import data_files  # slow to import

    found = [Input(file, printable(str(file.relative_to(path)))) for file in data_files(path)]
    if not found:
        raise UserError(f"{path} holds no data files")
    return found


class Stream(io.RawIOBase):
    """A file that counts the bytes read, and lets one look at its start."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._ahead = b""
        self.count = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def readinto(self, room: WriteableBuffer, /) -> int:
        view = memoryview(room).cast("B")
        if self._ahead:
            piece = self._ahead[: len(view)]
            view[: len(piece)] = piece
            self._ahead = self._ahead[len(piece) :]
            return len(piece)
        read = int(self._file.readinto(view))
        self.count += read
        return read

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence == 1:
            offset -= len(self._ahead)
        self._ahead = b""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell()) - len(self._ahead)

    def peek(self, size: int) -> bytes:
        """The next bytes, `size` at most, fewer only at the end. They stay there to be read."""
        while len(self._ahead) < size and (piece := self._file.read(size - len(self._ahead))):
            self._ahead += piece
            self.count += len(piece)
        return self._ahead[:size]


@contextmanager
def opened(source: Input) -> Iterator[tuple[Stream, Stream]]:
    """The stream of an input, unpacked when it is gzip, and the one of its bytes as they lie there.

    Raises UserError when it can't be read or unpacked, also in the body.
    """
    descriptor: Any = sys.stdin.fileno() if source.path is None else source.path
    try:
        # Unbuffered: a read of a pipe then returns what is there instead of waiting for more.
        with open(descriptor, "rb", buffering=0, closefd=source.path is not None) as file:
            stream = Stream(file)
            if stream.peek(len(GZIP_MAGIC)) == GZIP_MAGIC:
                with gzip.GzipFile(fileobj=io.BufferedReader(stream, 2**17)) as unpacked:
                    yield Stream(_OneWay(unpacked)), stream
            else:
                yield stream, stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{source.name}: not a whole gzip file ({error})") from error


class _OneWay:
    """A decompressor, which could seek, but would read all from the start again to do so."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self.read, self.readinto = file.read1, file.readinto1

    def seekable(self) -> bool:
        return False


def skip_header(stream: Stream) -> list[str] | None:
    """The names in the first line of CSV, which is skipped, or None when that line holds a number or nothing.

    Raises DataError for a header of more than HEADER_BYTES.
    """
    start = stream.peek(LOOKED_AT)
    line, newline, _ = start.partition(b"\n")
    # The last name may be cut, and a number then looks like none.
    names = _cells(line if newline or len(start) < LOOKED_AT else line.rpartition(b",")[0])
    if not any(names) or any(is_number(name) for name in names if name):
        return None
    if not newline and len(start) == LOOKED_AT:
        line, newline, _ = stream.peek(HEADER_BYTES).partition(b"\n")
        if len(line) == HEADER_BYTES:
            raise DataError(f"got a header of more than {HEADER_BYTES} bytes, the limit; is this CSV?")
        names = _cells(line)
    remaining = len(line) + len(newline)
    while remaining:
        remaining -= len(stream.read(remaining) or b"")
    return names


def _cells(line: bytes) -> list[str]:
    text = line.removeprefix(BOM).decode("utf-8", "replace").rstrip("\r")
    try:
        return [cell.strip() for cell in next(csv.reader([text]), [])]
    except csv.Error:  # a cell of more than 131072 letters, or a lone carriage return
        return []
