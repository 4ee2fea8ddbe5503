"""Streams: a pipe is made large, and gives what is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from recordio.streams import PIPE, unbuffered


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells and changes the size of a pipe")
def test_a_pipe_holds_a_whole_piece(tmp_path: Path) -> None:
    import fcntl

    allowed = int(Path("/proc/sys/fs/pipe-max-size").read_text())
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    waiting = os.open(fifo, os.O_RDWR)  # so that neither end waits for the other
    try:
        with unbuffered(fifo) as file:
            assert fcntl.fcntl(file, fcntl.F_GETPIPE_SZ) == min(PIPE, allowed)
            os.write(waiting, b"abc")
            assert file.read(PIPE) == b"abc"
    finally:
        os.close(waiting)


def test_a_file_is_opened_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with unbuffered(path) as file:
        assert file.read() == b"abc"
