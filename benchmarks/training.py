"""A whole training job of any algorithm: start-up, rate and peak memory of the process, fed through a FIFO.

    python benchmarks/training.py --gigabytes 1 10

The stream is one block of records again and again, so that the writer costs little; no file is read.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from itertools import repeat
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.contract.cases import CASES, Case
from tests.contract.jobs import RECORDIO, Feeder, Job, record_bytes

WIDTH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.5, 1], help="lengths of the stream")
    parser.add_argument("--algorithm", default=CASES[0].name)
    given = parser.parse_args()
    case = next(case for case in CASES if case.name == given.algorithm)
    for gigabytes in given.gigabytes:
        measure(case, gigabytes)


def measure(case: Case, gigabytes: float) -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, WIDTH)).astype(np.float32)
    block = record_bytes((rows, None))
    repeats = max(1, round(gigabytes * 1e9 / len(block)))
    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder), case)
        job.configure({**case.hyperparameters, "feature_dim": str(WIDTH), "mini_batch_size": "5000"})
        job.channels(train={"TrainingInputMode": "Pipe", "ContentType": RECORDIO})
        Feeder(job, "train", [repeat(block, repeats)])
        began = time.monotonic()
        process = job.start()
        output, _ = process.communicate()
        seconds = time.monotonic() - began
        assert process.returncode == 0, output
    size = repeats * len(block)
    start_up, peak = found(r"([0-9.]+) s to the first update", output), found(r"Peak memory: (\d+) MiB", output)
    print(
        f"{case.name}: {size / 1e9:6.2f} GB, {repeats * len(rows):>10,} records: {seconds:6.1f} s, "
        f"{size / seconds / 1e6:6.0f} MB/s, peak memory {peak} MiB, "
        f"first update after {start_up} s"
    )


def found(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    assert match, output
    return match[1]


if __name__ == "__main__":
    main()
