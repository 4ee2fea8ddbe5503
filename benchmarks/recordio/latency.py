"""Latency: from the first byte to the first batch in a fresh interpreter, imports included.

Roofline: importing numpy alone, which every batch needs; sparse batches need scipy.sparse, Parquet needs pyarrow.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.recordio.data import (
    RECORDIO,
    as_csv,
    as_json_lines,
    as_libsvm,
    as_npy,
    as_npz,
    as_parquet,
    as_recordio,
    dense,
    sparse,
)
from benchmarks.rounds import DISTURBED, Spread, timed

RECORDS = 1000
AIM_SECONDS = 0.2
# The clock is the machine's: the parent tells when it started this process.
FIRST_BATCH = f"""
import sys, time
began = time.monotonic()
import recordio
next(recordio.batches(sys.argv[1], sys.argv[2], {RECORDS}))
now = time.monotonic()
print(now - began, now - float(sys.argv[3]))
"""
BARE = (
    "import sys, time; began = time.monotonic(); import numpy; now = time.monotonic(); " + FIRST_BATCH.splitlines()[-1]
)


def run(rounds: int) -> None:
    features, labels = dense(50, RECORDS * 200)
    rows, targets = sparse(RECORDS * 240)
    contents = {
        "RecordIO, dense": (RECORDIO, as_recordio(features, labels)),
        "RecordIO, sparse": (RECORDIO, as_recordio(rows, targets)),
        "CSV": ("text/csv", as_csv(features)),
        "JSON Lines": ("application/jsonlines", as_json_lines(features)),
        "libsvm": ("text/libsvm", as_libsvm(rows, targets)),
        "Parquet": ("application/x-parquet", as_parquet(features)),
        ".npy": ("application/x-npy", as_npy(features)),
        ".npz": ("application/x-npz", as_npz(features)),
    }
    print(f"\n| first batch of {RECORDS} records | s from the first byte | s from process start | |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        _row("(importing numpy)", BARE, path, "", rounds)
        for name, (content_type, content) in contents.items():
            path.write_bytes(content)
            _row(name, FIRST_BATCH, path, content_type, rounds)


def _row(name: str, program: str, path: Path, content_type: str, rounds: int) -> None:
    found: list[list[float]] = []
    quiet: list[list[float]] = []

    def once() -> None:
        command = [sys.executable, "-c", program, str(path), content_type, str(time.monotonic())]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found.append([float(seconds) for seconds in output.split()])

    for _ in range(2 * rounds):
        before = len(found)
        others = timed(once).others
        quiet += found[before:] if others < DISTURBED else []
        if len(quiet) >= rounds:
            break
    first, whole = (Spread.of(seconds) for seconds in zip(*(quiet or found), strict=True))
    judged = f"aim {AIM_SECONDS}: {'met' if first.median <= AIM_SECONDS else 'missed'}"
    print(f"| {name} | {first} | {whole} | {judged}{'' if quiet else ' (no quiet round)'} |", flush=True)
