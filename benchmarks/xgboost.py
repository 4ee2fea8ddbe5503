"""Whole XGBoost jobs against scripts written by hand on the plain library: time, and peak memory.

    python benchmarks/xgboost.py time --records 1000000     # CSV and Parquet, start-up included
    python benchmarks/xgboost.py memory --records 5000000   # against a QuantileDMatrix of an array
    python benchmarks/xgboost.py limit --megabytes 600      # records that a limit does not let into memory

Each measurement is a process of its own. The script has what users write: pyarrow reads the file, a QuantileDMatrix is
made of it, `train` prints the metric of each round.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.contract.cases import CASES
from tests.contract.jobs import RECORDIO, Feeder, Job, record_bytes

ROOT = Path(__file__).parents[1]
WIDTH = 30
CHUNK = 50_000
CASE = next(case for case in CASES if case.name == "xgboost")
TYPES = {"csv": "text/csv", "parquet": "application/x-parquet"}

SCRIPT = """
import sys
import numpy as np
import pyarrow.csv, pyarrow.parquet
import xgboost
kind, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
if kind == "csv":
    table = pyarrow.csv.read_csv(path, pyarrow.csv.ReadOptions(autogenerate_column_names=True))
else:
    table = pyarrow.parquet.read_table(path)
labels = table.column(0).to_numpy()
rows = np.column_stack([column.to_numpy().astype(np.float32) for column in table.columns[1:]])
del table
train = xgboost.QuantileDMatrix(rows, labels)
booster = xgboost.train({}, train, rounds, evals=[(train, "train")])
booster.save_model(sys.argv[4])
"""

PLAIN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import xgboost
from benchmarks.xgboost import CHUNK, WIDTH, chunks
records, rounds = int(sys.argv[2]), int(sys.argv[3])
rows, labels = np.empty((records, WIDTH), np.float32), np.empty(records, np.float32)
for start, (x, y) in zip(range(0, records, CHUNK), chunks(records)):
    rows[start : start + len(y)], labels[start : start + len(y)] = x, y
train = xgboost.QuantileDMatrix(rows, labels)
xgboost.train({}, train, rounds, evals=[(train, "train")])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def chunks(records: int) -> Iterator[tuple[Any, Any]]:
    for seed, start in enumerate(range(0, records, CHUNK)):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(min(CHUNK, records - start), WIDTH)).astype(np.float32)
        yield rows, (rows[:, :5].sum(axis=1) + rng.normal(size=len(rows))).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["time", "memory", "limit"])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--megabytes", type=int, default=600)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "time":
            compare_times(Path(folder), given.records, given.rounds, given.repeats)
        else:
            compare_memory(
                Path(folder), given.records, given.rounds, given.megabytes << 20 if given.what == "limit" else None
            )


def compare_times(folder: Path, records: int, rounds: int, repeats: int) -> None:
    for kind, content_type in TYPES.items():
        job = Job(folder / kind, CASE)
        job.configure({"num_round": str(rounds)})
        job.channels(train={"ContentType": content_type})
        path = job.base / "input/data/train" / f"records.{kind}"
        path.parent.mkdir(parents=True)
        write(path, kind, records)
        model = folder / "plain.ubj"
        for _ in range(repeats):
            command = [sys.executable, "-c", SCRIPT, kind, str(path), str(rounds), str(model)]
            plain = timed(
                lambda command=command: subprocess.run(command, check=True, capture_output=True, text=True).stdout
            )
            ours = timed(lambda job=job: finished(job))
            print(
                f"{kind}: ours {ours[0]:.1f} s ({ours[1]:.1f} s of CPU), by hand {plain[0]:.1f} s ({plain[1]:.1f} s), "
                f"ratio {ours[0] / plain[0]:.2f} (CPU {ours[1] / plain[1]:.2f})",
                flush=True,
            )


def finished(job: Job) -> None:
    process = job.start()
    output, _ = process.communicate()
    assert process.returncode == 0, output


def compare_memory(folder: Path, records: int, rounds: int, limit: int | None) -> None:
    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    command = [sys.executable, "-c", PLAIN, str(ROOT), str(records), str(rounds)]
    plain = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited, check=False)
    told = found(r"VmHWM:\s+(\d+)", plain.stdout)
    print(
        f"plain: {int(told) / 1024:.0f} MiB"
        if told
        else f"plain: ended with {plain.returncode}: {plain.stderr[-200:]!r}"
    )
    job = Job(folder / "job", CASE)
    job.configure({"num_round": str(rounds)})
    job.channels(train={"TrainingInputMode": "Pipe", "ContentType": RECORDIO})
    Feeder(job, "train", [(record_bytes(chunk) for chunk in chunks(records))])
    process = subprocess.run(
        [sys.executable, "-m", "entrypoint", "train"],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(job.base), "ALGORITHM": "xgboost"},
        capture_output=True,
        text=True,
        preexec_fn=limited,
        check=False,
    )
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-1000:]
    peak = int(found(r"Peak memory: (\d+) MiB", process.stdout) or 0)
    print(f"ours: {peak} MiB" + (f", {peak / (int(told) / 1024):.2f} of plain" if told else ""))
    print(found(r"(Training (?:in memory|from pages).*)", process.stdout))


def write(path: Path, kind: str, records: int) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    rows, labels = (np.concatenate(parts) for parts in zip(*chunks(records), strict=True))
    table = pa.table([pa.array(labels)] + [pa.array(column) for column in rows.T], [f"f{n}" for n in range(WIDTH + 1)])
    if kind == "csv":
        pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(include_header=False))
    else:
        pyarrow.parquet.write_table(table, path)


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock, and of the processors, that an action's processes took."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    action()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def found(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    return match[1] if match else ""


if __name__ == "__main__":
    main()
