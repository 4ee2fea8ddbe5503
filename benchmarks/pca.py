"""PCA against its peers: time of one pass, whole jobs, and memory where features are many.

    python -m benchmarks.pca speed [--rounds 5]
    python -m benchmarks.pca widths [--rounds 3]
    python -m benchmarks.pca memory [--components 10,100]

Times are noisy where other programs run, so contenders run in turn and ratios within a round are compared; rounds in
which others used the CPU are dropped. With --threads 1 all run on one core, which disturbs less and is disturbed less.
"""

from __future__ import annotations

import argparse
import io
import re
import tempfile
from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import recordio
from algorithms.pca import ALGORITHM
from algorithms.pca.model import PCAModel
from algorithms.pca.scatter import EXACT_RECORDS
from benchmarks.rounds import measured
from recordio.batch import Batch
from tests.contract.cases import Case
from tests.contract.jobs import RECORDIO, Feeder, Job, record_bytes

RECORDS, FEATURES, COMPONENTS, BATCH = 1_000_000, 128, 16, 5000

Matrix = NDArray[np.float32]
Batches = Callable[[], Iterable[Batch]]  # one pass


def rotated(records: int = RECORDS, features: int = FEATURES) -> Matrix:
    """N(0, 1) times 10 / i in the i-th column, turned, plus a mean of 3 N(0, 1)."""
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.standard_normal((features, features)))
    scaled = rng.standard_normal((records, features), dtype=np.float32)
    scaled *= (10 / np.arange(1, features + 1)).astype(np.float32)
    return scaled @ turn.astype(np.float32) + 3 * rng.standard_normal(features, dtype=np.float32)


def settings(features: int, components: int, **more: object) -> dict[str, str]:
    given = {"feature_dim": features, "num_components": components, "mini_batch_size": BATCH, **more}
    return {name: str(value) for name, value in given.items()}


def onepass(batches: Batches, given: dict[str, str]) -> PCAModel:
    state = ALGORITHM.create(ALGORITHM.hyperparameters.from_strings(given), np.random.default_rng(0))
    for batch in batches():
        state.update(batch)
    model = state.finalise()
    assert isinstance(model, PCAModel)
    return model


def from_memory(x: Matrix) -> Batches:
    return lambda: (Batch(x[start : start + BATCH]) for start in range(0, len(x), BATCH))


def covariance_eigh(x: Matrix) -> NDArray[np.floating]:
    from sklearn.decomposition import PCA

    return PCA(COMPONENTS, svd_solver="covariance_eigh").fit(x).singular_values_


def incremental(x: Matrix) -> NDArray[np.floating]:
    from sklearn.decomposition import IncrementalPCA

    model = IncrementalPCA(COMPONENTS)
    for start in range(0, len(x), BATCH):
        model.partial_fit(x[start : start + BATCH])
    return model.singular_values_


def products(x: Matrix) -> Callable[[], object]:
    """All pairs of features of all records, as two factors: 2 * features ** 2 operations a record."""
    other = x[:BATCH].copy()  # of another array, lest NumPy computes one half only
    out = np.empty((x.shape[1], x.shape[1]), np.float32)

    def run() -> None:
        for start in range(0, len(x), BATCH):
            np.matmul(x[start : start + BATCH].T, other, out=out)

    return run


def halves(x: Matrix) -> Callable[[], object]:
    """The same of one factor: one half of the pairs (SYRK)."""
    out = np.empty((x.shape[1], x.shape[1]), np.float32)

    def run() -> None:
        for start in range(0, len(x), BATCH):
            np.matmul(x[start : start + BATCH].T, x[start : start + BATCH], out=out)

    return run


def speed(rounds: int) -> None:
    """One pass over a million records, and ratios to the peers within a round."""
    x, given = rotated(), settings(FEATURES, COMPONENTS)
    stream = io.BytesIO()
    recordio.write_dense(stream, x)
    content = stream.getvalue()

    def decoded() -> Iterable[Batch]:
        return recordio.batches(content, RECORDIO, BATCH)

    contenders: dict[str, Callable[[], object]] = {
        "product (GEMM)": products(x),
        "product (SYRK)": halves(x),
        "ours": lambda: onepass(from_memory(x), given),
        "covariance_eigh": lambda: covariance_eigh(x),
        "decoding": lambda: sum(map(len, decoded())),
        "ours, RecordIO": lambda: onepass(decoded, given),
        "IncrementalPCA": lambda: incremental(x),
    }
    found = measured(contenders, rounds, unwatched=["IncrementalPCA"])
    for name in contenders:
        print(f"{name}: {found.seconds(name)} s")
    for left, right in (
        ("ours", "product (GEMM)"),
        ("ours", "product (SYRK)"),
        ("covariance_eigh", "ours"),
        ("IncrementalPCA", "ours"),
        ("IncrementalPCA", "ours, RecordIO"),
    ):
        print(f"{left} / {right}: {found.ratio(left, right)}")
    print(found.load)
    gap = np.abs(onepass(from_memory(x), given).singular[::-1] / exact(x) - 1).max()
    peer = np.abs(covariance_eigh(x) / exact(x) - 1).max()
    print(f"largest relative error of s: ours {gap:.1e}, covariance_eigh {peer:.1e}")


def exact(x: Matrix) -> NDArray[np.float64]:
    """Singular values in double precision."""
    mean = x.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), BATCH):
        rows = x[start : start + BATCH] - mean
        scatter += rows.T @ rows
    return np.sqrt(np.linalg.eigvalsh(scatter)[::-1][:COMPONENTS])


def widths(rounds: int) -> None:
    """Microseconds a record by number of features, once the first records are learned, without the final stage."""
    for features, modes in ((128, ["regular"]), (512, ["regular"]), (2048, ["regular", "randomized"]), (50_000, None)):
        x = rotated_thin(20_000_000 // features, features)
        contenders = {mode: updates(x, mode) for mode in modes or ["randomized"]}
        found = measured(contenders, rounds)
        for mode in contenders:
            micros = found.seconds(mode).times(1e6 / len(x))
            print(f"{features} features, {mode}: {micros} µs a record; {found.load}", flush=True)


def updates(x: Matrix, mode: str) -> Callable[[], object]:
    given = settings(x.shape[1], 10, algorithm_mode=mode)
    state = ALGORITHM.create(ALGORITHM.hyperparameters.from_strings(given), np.random.default_rng(0))

    def run() -> None:
        for batch in from_memory(x)():
            state.update(batch)

    seen = 0
    while mode == "regular" and seen < EXACT_RECORDS:
        run()
        seen += len(x)
    return run


def rotated_thin(records: int, features: int) -> Matrix:
    """Thirty directions with deviations 10 / i, unit noise and a mean: quick to make at any width."""
    rng = np.random.default_rng(0)
    scaled = rng.standard_normal((records, 30), dtype=np.float32) * (10 / np.arange(1, 31)).astype(np.float32)
    turn, _ = np.linalg.qr(rng.standard_normal((features, 30)))
    return scaled @ turn.T.astype(np.float32) + rng.standard_normal((records, features), dtype=np.float32) / 30 + 3


def memory(components: list[int]) -> None:
    """Peak memory of whole jobs with 50,000 features, fed through a FIFO."""
    features, batch = 50_000, 500
    block = record_bytes((rotated_thin(batch, features), None))
    for count in components:
        given = settings(features, count, mini_batch_size=batch, algorithm_mode="randomized")
        with tempfile.TemporaryDirectory() as folder:
            job = Job(Path(folder), Case("pca", given, lambda *_: (np.empty((0, 0), np.float32), None), 0))
            job.channels(train={"TrainingInputMode": "Pipe", "ContentType": RECORDIO})
            Feeder(job, "train", [repeat(block, 6)])
            process = job.start()
            output, _ = process.communicate()
            assert process.returncode == 0, output
        peak, rate = re.search(r"Peak memory: (\d+) MiB", output), re.search(r"throughput=(\d+)", output)
        assert peak and rate
        print(f"{features} features, {count} components: peak {peak[1]} MiB, {rate[1]} records/s", flush=True)
    print(f"of these, one mini-batch takes {batch * features * 4 >> 20} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="of BLAS (default: all cores)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("speed").add_argument("--rounds", type=int, default=5)
    commands.add_parser("widths").add_argument("--rounds", type=int, default=3)
    commands.add_parser("memory").add_argument("--components", default="10,100")
    given = parser.parse_args()
    with threadpool_limits(given.threads):
        if given.command == "speed":
            speed(given.rounds)
        elif given.command == "widths":
            widths(given.rounds)
        else:
            memory([int(count) for count in given.components.split(",")])


if __name__ == "__main__":
    main()
