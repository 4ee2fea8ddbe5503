"""RecordIO from files in the page cache, against plain reading of the same files.

Roofline: the kernel copies each byte once; decoding reads it again, from the cache of the core, and writes it once.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import recordio
from benchmarks.recordio.data import BATCH, RECORDIO, WIDTHS, as_recordio, dense, sparse
from benchmarks.recordio.tables import Rate, Ratio, Work, header, table

SIZE = 400e6
ROOM_BYTES = 2**20
AIM = 0.7  # of plain reading


def run(rounds: int) -> None:
    header("GB/s")
    cases = {f"file, dense, {width} features": dense(width, SIZE) for width in WIDTHS}
    with tempfile.TemporaryDirectory() as folder:
        for name, matrix in cases.items():
            _case(name, as_recordio(*matrix), Path(folder) / "data.pbr", rounds, AIM)
        _case("file, sparse, 30 of 100,000", as_recordio(*sparse(SIZE)), Path(folder) / "data.pbr", rounds, None)


def _case(name: str, data: bytes, path: Path, rounds: int, aim: float | None) -> None:
    path.write_bytes(data)
    size = len(data)
    del data
    works = {
        "blocks": Work.through(lambda: recordio.blocks(path, RECORDIO), size),
        "batches": Work.through(lambda: recordio.batches(path, RECORDIO, BATCH), size),
        "readinto, 1 MiB": Work(lambda: read_through(path), size),
        "np.fromfile": Work(lambda: np.fromfile(path, np.uint8), size),
    }
    judged: list[Ratio | Rate] = []
    for ours in ("blocks", "batches"):
        judged += [Ratio(ours, plain, aim) for plain in ("readinto, 1 MiB", "np.fromfile")]
    table(name, works, judged, rounds)


def read_through(path: Path) -> None:
    room = memoryview(bytearray(ROOM_BYTES))
    with path.open("rb", buffering=0) as file:
        while file.readinto(room):
            pass
