"""Feeding: a process that writes a file to FIFOs and copies nothing; the kernel hands over the pages of its cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

PIECE = 2**20


class Feeder:
    """A process of its own that writes a file to each FIFO that it is told of, when a reader opens it."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-S", __file__, str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def feed(self, fifo: Path) -> Path:
        """Make a FIFO, or make it anew, that gives the file once."""
        assert self._process.stdin is not None
        fifo.unlink(missing_ok=True)  # an old reader must not get what is for the next one
        os.mkfifo(fifo)
        self._process.stdin.write(f"{fifo}\n")
        self._process.stdin.flush()
        return fifo


def main() -> None:
    with Path(sys.argv[1]).open("rb", buffering=0) as file:
        print("ready", flush=True)
        for line in sys.stdin:
            file.seek(0)
            pipe = os.open(line.strip(), os.O_WRONLY)
            while os.splice(file.fileno(), pipe, PIECE):
                pass
            os.close(pipe)


if __name__ == "__main__":
    main()
