"""RecordIO through a FIFO, against a reader that only reads into one room; then whole jobs, see `jobs`.

The writer leaves the pipe as the system makes it, 64 KiB. The library enlarges it; so does one of the bare readers.

Roofline: the kernel copies each byte once out of the pipe; decoding reads it again and writes it once.
"""

from __future__ import annotations

import tempfile
from io import FileIO
from pathlib import Path

import recordio
from benchmarks.recordio import jobs
from benchmarks.recordio.data import BATCH, RECORDIO, WIDTHS, as_recordio, dense, sparse
from benchmarks.recordio.feeding import Feeder
from benchmarks.recordio.tables import Ratio, Work, header, table
from recordio.streams import unbuffered

SIZE = 400e6
ROOM_BYTES = 2**20
AIM = 0.8  # of the bare pipe's rate
BARE, SMALL = "bare pipe, 1 MiB", "bare pipe, 64 KiB"


def run(rounds: int) -> None:
    header("GB/s")
    cases = {f"pipe, dense, {width} features": dense(width, SIZE) for width in WIDTHS}
    for name, matrix in cases.items():
        _case(name, as_recordio(*matrix), rounds)
    _case("pipe, sparse, 30 of 100,000", as_recordio(*sparse(SIZE)), rounds, None)
    jobs.run(rounds)


def _case(name: str, data: bytes, rounds: int, aim: float | None = AIM) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, fifo = Path(folder) / "data.pbr", Path(folder) / "fifo"
        path.write_bytes(data)
        size = len(data)
        del data
        with Feeder(path) as feeder:
            works = {
                "blocks": Work.through(lambda: recordio.blocks(feeder.feed(fifo), RECORDIO), size),
                "batches": Work.through(lambda: recordio.batches(feeder.feed(fifo), RECORDIO, BATCH), size),
                BARE: Work(lambda: read_through(unbuffered(feeder.feed(fifo))), size),
                SMALL: Work(lambda: read_through(FileIO(feeder.feed(fifo))), size),
            }
            judged = [Ratio(ours, bare, aim) for ours in ("blocks", "batches") for bare in (BARE, SMALL)]
            table(name, works, judged, rounds)


def read_through(pipe: FileIO) -> None:
    room = memoryview(bytearray(ROOM_BYTES))
    with pipe as file:
        while file.readinto(room):
            pass
