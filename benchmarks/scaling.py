"""Cost against time: the same records learned by 1, 2 and 4 hosts, and what these say to each other.

    python -m benchmarks.scaling [--algorithms linear-learner] [--rounds 3] [--picture results/scaling.png]

Each host is a process of one thread, as on a machine with one core, that reads its own shard of 1,000,000 records.
Where there are fewer cores than hosts, these wait for each other: seconds of the CPU then tell what machines of their
own would have to do. Bytes are those of the loopback device of a network namespace made for the purpose (`unshare`),
with all headers; where none can be made they are left out.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from algorithms.numerics.machine import processors
from benchmarks.rounds import Spread, short
from recordio import writer
from recordio.batch import Batch

RECORDS, SHARDS, BATCH = 1_000_000, 4, 1000
HOSTS = 1, 2, 4
WIDTH = 100
SPARSE_WIDTH, SPARSE_VALUES = 100_000, 30
RECORDIO = "application/x-recordio-protobuf"
INSIDE = "ONEPASS_BENCHMARK_NETWORK"  # set in the namespace
UP_RUNNING = 0x41  # flags of a network device
SET_FLAGS = 0x8914  # SIOCSIFFLAGS

Values = dict[str, object]


def dense(rng: np.random.Generator, count: int) -> Batch:
    x = rng.standard_normal((count, WIDTH), dtype=np.float32)
    truth = np.random.default_rng(0).standard_normal(WIDTH).astype(np.float32)
    return Batch(x, (x @ truth > 0).astype(np.float32))


def sparse(rng: np.random.Generator, count: int) -> Batch:
    """30 features of value 1 in a record, the first of 100,000 far more often than the last."""
    columns = (SPARSE_WIDTH * rng.random((count, SPARSE_VALUES)) ** 3).astype(np.int32)
    columns.sort(axis=1)
    starts = np.arange(0, columns.size + 1, SPARSE_VALUES, dtype=np.int32)
    x = csr_array((np.ones(columns.size, np.float32), columns.ravel(), starts), shape=(count, SPARSE_WIDTH))
    truth = np.random.default_rng(0).standard_normal(SPARSE_WIDTH).astype(np.float32)
    return Batch(x, (truth[columns].sum(axis=1) > 0).astype(np.float32))


CLASSES: Values = {"predictor_type": "binary_classifier", "epochs": 2, "mini_batch_size": BATCH}
JOBS: dict[str, tuple[Callable[[np.random.Generator, int], Batch], Values]] = {
    "kmeans": (dense, {"k": 100, "feature_dim": WIDTH, "mini_batch_size": 5000, "epochs": 2}),
    "pca": (dense, {"num_components": 10, "feature_dim": WIDTH, "mini_batch_size": 5000, "epochs": 2}),
    "linear-learner": (dense, CLASSES | {"num_models": 32, "early_stopping_patience": 100}),
    "factorization-machines": (sparse, CLASSES | {"num_factors": 8, "feature_dim": SPARSE_WIDTH}),
}


class Run(NamedTuple):
    """A job: its seconds, those of all its processes on the CPU, those of its last pass, and the bytes on the wire."""

    seconds: float
    cpu: float
    last_pass: float
    wire: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", nargs="+", choices=JOBS, default=list(JOBS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    enter_network()
    found: dict[str, dict[int, list[Run]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.algorithms:
            make, values = JOBS[name]
            data = Path(scratch) / make.__name__
            if not data.exists():
                shards(data, make)
            found[name] = {hosts: [] for hosts in HOSTS}
            for _ in range(given.rounds):
                for hosts in HOSTS:
                    found[name][hosts].append(job(name, data, hosts, values))
            tell(name, found[name])
    print(f"{given.rounds} rounds, {processors()} cores")
    if given.picture is not None:
        draw(found, given.picture)


def enter_network() -> None:
    """Begin again in a network namespace, where nobody else's bytes are counted."""
    if INSIDE in os.environ:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = struct.pack("16sh14x", b"lo", UP_RUNNING)
            fcntl.ioctl(any_socket, SET_FLAGS, request)
    elif shutil.which("unshare") and not subprocess.call(["unshare", "-rn", "true"], stderr=subprocess.DEVNULL):
        words = ["unshare", "-rn", sys.executable, "-m", "benchmarks.scaling", *sys.argv[1:]]
        os.execvpe("unshare", words, os.environ | {INSIDE: "1"})
    else:
        print("No network namespace can be made here: bytes are left out")


def wire_bytes() -> int:
    """Sent through the loopback device so far."""
    line = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[8])


def shards(folder: Path, make: Callable[[np.random.Generator, int], Batch]) -> None:
    folder.mkdir()
    for shard in range(SHARDS):
        rng = np.random.default_rng(shard + 1)
        with (folder / f"{shard}.pbr").open("wb") as file, writer(file, RECORDIO) as out:
            for _ in range(0, RECORDS // SHARDS, 10_000):
                out.write(make(rng, 10_000))


def job(name: str, data: Path, hosts: int, values: Values) -> Run:
    command: list[Any] = [sys.executable, "-P", "-m", "local.cli", "train", name, "--channel", f"train={data}"]
    command += ["--content-type", RECORDIO, "--hosts", hosts, "--distribution", "ShardedByS3Key", "--logs"]
    command += [word for key, value in values.items() for word in ("-H", f"{key}={value}")]
    with tempfile.TemporaryDirectory() as output:
        before, cpu, since = wire_bytes(), cpu_seconds(), time.monotonic()
        words = list(map(str, [*command, "--output", output]))
        ended = subprocess.run(
            words, check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        seconds, cpu, wire = time.monotonic() - since, cpu_seconds() - cpu, wire_bytes() - before
    rates = re.findall(r"#throughput_metric: host=(\S+), train throughput=(\S+) ", ended.stdout + ended.stderr)
    last = {host: float(rate) for host, rate in rates}
    assert len(last) == hosts, ended.stdout
    return Run(seconds, cpu, RECORDS / hosts / min(last.values()), wire if INSIDE in os.environ else 0)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tell(name: str, found: dict[int, list[Run]]) -> None:
    for hosts, runs in found.items():
        rate = Spread.of([RECORDS / run.last_pass for run in runs])
        passes = int(str(JOBS[name][1]["epochs"]))
        print(
            f"{name}, {hosts} hosts: {Spread.of([run.seconds for run in runs])} s, CPU of all hosts "
            f"{Spread.of([run.cpu for run in runs])} s, {rate} records/s in the last pass, "
            f"{short(Spread.of([run.wire / RECORDS / passes for run in runs]).median)} bytes a record on the wire",
            flush=True,
        )


def draw(found: dict[str, dict[int, list[Run]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for name, by_hosts in found.items():
        seconds = [Spread.of([run.seconds for run in runs]).median for runs in by_hosts.values()]
        cost = [Spread.of([run.cpu for run in runs]).median for runs in by_hosts.values()]
        axes.plot(seconds, cost, "o-", label=name)
        for hosts, x, y in zip(by_hosts, seconds, cost, strict=True):
            axes.annotate(str(hosts), (x, y), textcoords="offset points", xytext=(4, 4))
    axes.set(xlabel="time: seconds from start to model", ylabel="cost: CPU seconds of all hosts", ylim=(0, None))
    axes.set(xlim=(0, None), title=f"Cost against time on 1, 2 and 4 hosts ({processors()} cores)")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
