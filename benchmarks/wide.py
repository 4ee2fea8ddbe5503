"""A factorization machine too wide for one host: memory of each process, bytes on the wire, records a second.

    python -m benchmarks.wide [--hosts 4] [--features 100000000] [--factors 8] [--seconds 20] [--save FOLDER]
    python -m benchmarks.wide [--hosts 4] --features 100000 --candidates 1

Hosts are processes of this machine. First all features come up, in runs of ids, so that every row takes memory; then
records have 30 features drawn at random, of a million (with chances ~ 1 / rank) or of all. With `--save` the leader
puts the parts together and writes the model. `--candidates` takes a linear learner of so many instead.
"""

from __future__ import annotations

import argparse
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from algorithms.artifacts.states import SavedState
from algorithms.contract import Alone, Arrays, Pool
from algorithms.factorization_machines.state import FactorizationMachinesState
from algorithms.linear_learner import ALGORITHM as linear_learner
from algorithms.linear_learner.state import LinearLearnerState
from benchmarks.factorization_machines import state
from entrypoint.cluster import Cluster
from entrypoint.collective import joined
from recordio.batch import Batch

RUN, ENTRIES, RECORDS = 250_000, 30, 1000
FREQUENT = 1_000_000

Learner = FactorizationMachinesState | LinearLearnerState


class Counted:
    """A pool that counts the bytes that leave this host, by what torch.distributed does with them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.hosts, self.rank, self.sent = pool.hosts, pool.rank, 0

    def sums(self, *arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self.sent += 2 * sum(array.nbytes for array in arrays) * (self.hosts - 1) // self.hosts
        return self._pool.sums(*arrays)

    def gathered(self, arrays: Arrays, values: Mapping[str, Any]) -> list[tuple[Arrays, dict[str, Any]]]:
        return self._pool.gathered(arrays, values)

    def exchanged(self, parts: Sequence[NDArray[Any]], lengths: Sequence[int] | None = None) -> Sequence[NDArray[Any]]:
        self.sent += sum(part.nbytes for host, part in enumerate(parts) if host != self.rank)
        self.sent += 8 * (self.hosts - 1) * (lengths is None)
        return self._pool.exchanged(parts, lengths)


def records(columns: NDArray[np.int32], features: int, rng: np.random.Generator) -> Batch:
    """Of equal entries, whose squares add up to 1; labels are drawn."""
    starts = np.arange(0, columns.size + 1, columns.shape[1], dtype=np.int32)
    values = np.full(columns.size, columns.shape[1] ** -0.5, np.float32)
    x = csr_array((values, columns.ravel(), starts), shape=(len(columns), features))
    return Batch(x, (rng.random(len(columns)) < 0.5).astype(np.float32))


def peak() -> str:
    """Most memory that this process has had."""
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def cover(made: FactorizationMachinesState, features: int, rng: np.random.Generator) -> None:
    """Let all features come up, a run of them on each host at once."""
    hosts, rank = made.pool.hosts, made.pool.rank
    for start in range(0, features, RUN * hosts):
        first = min(start + rank * RUN, features)
        run = np.arange(first, min(first + RUN, features), dtype=np.int32)
        made.update(records(run[: len(run) // 100 * 100].reshape(-1, 100), features, rng))
        if len(run) % 100:
            made.update(records(run[len(run) // 100 * 100 :].reshape(1, -1), features, rng))


def linear(given: argparse.Namespace) -> LinearLearnerState:
    strings = {"predictor_type": "binary_classifier", "num_models": str(given.candidates), "num_point_for_scaler": "1"}
    made = linear_learner.create(linear_learner.hyperparameters.from_strings(strings), np.random.default_rng(0))
    assert isinstance(made, LinearLearnerState)
    return made


def measure(
    made: FactorizationMachinesState | LinearLearnerState, features: int, frequent: bool, seconds: float
) -> None:
    rng = np.random.default_rng(1 + made.pool.rank)
    chances = np.cumsum(1 / np.arange(1, min(FREQUENT, features) + 1))
    batches = []
    for _ in range(16):
        drawn = rng.random((RECORDS, ENTRIES))
        ranks = np.searchsorted(chances / chances[-1], drawn) if frequent else drawn * features
        batches.append(records(np.sort(ranks.astype(np.int32), axis=1), features, rng))
    touched = np.mean([len(np.unique(batch.features.indices)) for batch in batches]) / RECORDS
    assert isinstance(made.pool, Counted)
    began, sent, updates, going = time.perf_counter(), made.pool.sent, 0, True
    while going:
        for batch in batches:
            made.update(batch)
        updates += len(batches)
        going = made.pool.sums(np.array([time.perf_counter() - began < seconds], np.int64))[0].all()
    passed, learned = time.perf_counter() - began, updates * RECORDS
    if made.pool.rank == 0:
        drawn_from = f"{len(chances):,} features, frequent ones" if frequent else f"{features:,} features alike"
        rate = learned * made.pool.hosts / passed
        print(
            f"{drawn_from}: {touched:.1f} rows a record, {(made.pool.sent - sent) / learned:.0f} bytes sent a record, "
            f"{1000 * passed / updates:.1f} ms an update, {rate:,.0f} records/s of all hosts, {peak()}",
            flush=True,
        )


def host(given: argparse.Namespace) -> None:
    names = tuple(f"127.0.0.{number + 1}" for number in range(given.hosts))
    cluster = Cluster(names[given.rank], names, "lo", given.port)
    with joined(cluster, threading.Event(), 30.0) as collective:
        print(f"host {given.rank}: joined, {peak()}", flush=True)
        if given.candidates:
            learner = linear(given)
            learner.pool = Counted(collective)
            for frequent in (True, False):
                measure(learner, given.features, frequent, given.seconds)
            collective.barrier()
            return
        made = state("binary_classifier", given.features, given.factors)
        made.pool = Counted(collective)
        began = time.perf_counter()
        cover(made, given.features, np.random.default_rng(given.rank))
        collective.barrier()
        size = sum(array.nbytes for array in made.table.arrays().values()) / 2**30
        print(
            f"host {given.rank}: all features came up in {time.perf_counter() - began:.0f} s, "
            f"{made.table.used:,} rows here of {size:.2f} GiB, {peak()}",
            flush=True,
        )
        for frequent in (True, False):
            measure(made, given.features, frequent, given.seconds)
        print(f"host {given.rank}: {peak()}", flush=True)
        if given.save is not None:
            save(made, collective, given.save)
        collective.barrier()


def save(made: FactorizationMachinesState, collective: Any, folder: Path) -> None:
    """As a job ends: the parts come to the leader one after another."""
    began = time.perf_counter()
    others = collective.others(lambda: SavedState("factorization-machines", {}, *made.snapshot()))
    if others is not None:
        for other in others:
            made.merge(FactorizationMachinesState.restore(made.settings, other.arrays, dict(other.values)))
        made.pool = Alone()
        made.finalise().save(folder, "algo-1")
        print(f"leader: wrote the model in {time.perf_counter() - began:.0f} s, {peak()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--features", type=int, default=100_000_000)
    parser.add_argument("--factors", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rank is not None:
        host(given)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.wide", *sys.argv[1:], "--port", str(port)]
    hosts = [subprocess.Popen([*command, "--rank", str(rank)]) for rank in range(given.hosts)]
    raise SystemExit(max(process.wait() for process in hosts))


if __name__ == "__main__":
    main()
