"""Pipe mode: the platform's end of a channel's named pipes, one for each pass over the data.

`train_0` holds the objects of the channel one after another with nothing between; when the reader has come to the
end, or has closed it early, `train_1` appears and waits for the next pass.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Self

from local.platform import of_channel
from recordio.errors import PlatformError, UserError
from recordio.streams import enlarge

CHUNK_BYTES = 1024**2  # moved at once
POLL_SECONDS = 0.005  # between looks for a reader: there is no way to wait for one and stay able to end
STALLED_SECONDS = 0.05  # between looks at `ended` while the pipe is full


class Feeder:
    """Feeds one channel from a thread of its own while the block lasts.

    pieces      called with the number of a pass and an event that is set when the block ends; yields the bytes of the
                pass, and files whose bytes come in that place
    directory   input/data of the job
    on_failure  called once when something can't be read. The pipe stays open until the block ends: closing it would
                look like the end of the data, and the job would finish with a model of half of it.
    """

    def __init__(
        self,
        name: str,
        pieces: Callable[[int, threading.Event], Generator[bytes | Path]],
        directory: Path,
        on_failure: Callable[[], None],
    ) -> None:
        self.name = name
        self.pieces = pieces
        self.directory = directory
        self.on_failure = on_failure
        self.failure: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feeder of {name}", daemon=True)

    def __enter__(self) -> Self:
        try:
            os.mkfifo(self._fifo(0))  # before the job starts: some images take its absence for File mode
        except OSError as error:
            raise PlatformError(f"{self.directory} takes no named pipes: {error.strerror}") from error
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _fifo(self, number: int) -> Path:
        return self.directory / f"{self.name}_{number}"

    def _run(self) -> None:
        try:
            for number in itertools.count():
                pipe = self._wait_for_reader(self._fifo(number))
                try:
                    self._feed(number, pipe)
                finally:
                    os.close(pipe)
                os.mkfifo(self._fifo(number + 1))
        except _EndedError:
            pass

    def _feed(self, number: int, pipe: int) -> None:
        try:
            with of_channel(self.name), contextlib.closing(self.pieces(number, self._ended)) as pieces:
                for piece in pieces:
                    if isinstance(piece, Path):
                        self._send(piece, pipe)
                    else:
                        self._write(piece, pipe)
        except BrokenPipeError:
            pass  # the reader has seen enough of this pass
        except Exception as error:  # whatever it is, the pipe must not end as if that was all
            if self._ended.is_set():
                raise _EndedError from error
            self.failure = error
            self.on_failure()
            self._ended.wait()

    def _wait_for_reader(self, fifo: Path) -> int:
        """Open the writing end as soon as the job has opened the other."""
        while not self._ended.wait(POLL_SECONDS):
            with contextlib.suppress(OSError):  # ENXIO: nobody reads yet
                pipe = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
                enlarge(pipe)
                return pipe
        raise _EndedError

    def _send(self, path: Path, pipe: int) -> None:
        try:
            with path.open("rb", buffering=0) as file:
                if not self._spliced(file.fileno(), pipe):
                    while chunk := file.read(CHUNK_BYTES):
                        self._write(chunk, pipe)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UserError(f"{path} can't be read: {error.strerror}") from error

    def _spliced(self, file: int, pipe: int) -> bool:
        """Have the kernel move the file's pages into the pipe; False where it can't, and nothing was moved."""
        if not hasattr(os, "splice"):
            return False
        while True:
            try:
                if not os.splice(file, pipe, CHUNK_BYTES):
                    return True
            except BlockingIOError:
                self._wait_for_room(pipe)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    return False
                raise

    def _write(self, content: bytes, pipe: int) -> None:
        left = memoryview(content)
        while left:
            try:
                left = left[os.write(pipe, left) :]
            except BlockingIOError:
                self._wait_for_room(pipe)

    def _wait_for_room(self, pipe: int) -> None:
        room = select.poll()
        room.register(pipe, select.POLLOUT)
        while not room.poll(STALLED_SECONDS * 1000):
            if self._ended.is_set():
                raise _EndedError


class _EndedError(Exception):
    """The job is over; nobody will read the rest."""
