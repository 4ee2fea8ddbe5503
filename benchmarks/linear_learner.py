"""Linear Learner against its peers: time of a pass, and log loss on held-out records.

    python -m benchmarks.linear_learner dense [--rounds 5]
    python -m benchmarks.linear_learner sparse [--rounds 3] [--models 1 4 32]
    python -m benchmarks.linear_learner quality [--passes 15]
    python -m benchmarks.linear_learner jobs [--rounds 3]

Records lie in memory, as peers want them, but for `jobs`: `onepass train` on a RecordIO file, one job of 32 candidates
against 32 jobs of one.
Peers that are not installed are left out: scikit-learn, vowpalwabbit.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.linear_learner import ALGORITHM
from algorithms.linear_learner.model import LinearModel
from algorithms.linear_learner.state import LinearLearnerState
from benchmarks.rounds import measured, short
from recordio import writer
from recordio.batch import Batch

RECORDS, HELD_OUT = 1_000_000, 100_000
BATCH = 1000
SPARSE_FEATURES, SPARSE_VALUES = 100_000, 30
JOB_EPOCHS = 1, 6
GIVEN = {"predictor_type": "binary_classifier", "binary_classifier_model_selection_criteria": "loss_function"}

Data = tuple[Any, NDArray[np.float32]]


def dense() -> tuple[Data, Data]:
    """X N(0, 1) with 100 columns, weights 0.3 N(0, 1)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((RECORDS + HELD_OUT, 100), dtype=np.float32)
    chance = 1 / (1 + np.exp(-x @ (0.3 * rng.standard_normal(100)).astype(np.float32)))
    y = (rng.random(len(x)) < chance).astype(np.float32)
    return (x[:RECORDS], y[:RECORDS]), (x[RECORDS:], y[RECORDS:])


def sparse() -> tuple[Data, Data]:
    """30 draws a row with chances (j + 1)^-0.8, weights 0.4 N(0, 1)."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    chances = np.cumsum(np.arange(1, SPARSE_FEATURES + 1) ** -0.8)
    draws = rng.random((RECORDS + HELD_OUT, SPARSE_VALUES)) * chances[-1]
    columns = np.minimum(np.searchsorted(chances, draws), SPARSE_FEATURES - 1).astype(np.int32)
    weights = (0.4 * rng.standard_normal(SPARSE_FEATURES)).astype(np.float32)
    z = weights[columns].sum(axis=1)
    y = (rng.random(len(columns)) < 1 / (1 + np.exp(-z))).astype(np.float32)
    print(f"truth: log loss {log_loss(z[RECORDS:], y[RECORDS:]):.4f}")
    starts = np.arange(0, columns.size + 1, SPARSE_VALUES, dtype=np.int32)
    shape = (len(columns), SPARSE_FEATURES)
    x = csr_array((np.ones(columns.size, np.float32), np.sort(columns, axis=1).ravel(), starts), shape=shape)
    return (x[:RECORDS], y[:RECORDS]), (x[RECORDS:], y[RECORDS:])


def log_loss(margins: NDArray[Any], y: NDArray[Any]) -> float:
    margins = margins.astype(np.float64)
    return float(np.mean(np.logaddexp(0, margins) - y * margins))


def state(**given: object) -> LinearLearnerState:
    strings = GIVEN | {"mini_batch_size": str(BATCH)} | {name: str(value) for name, value in given.items()}
    made = ALGORITHM.create(ALGORITHM.hyperparameters.from_strings(strings), np.random.default_rng(0))
    assert isinstance(made, LinearLearnerState)
    return made


def batches(data: Data) -> list[Batch]:
    """Cut beforehand: a decoder gives batches as they are."""
    x, y = data
    return [Batch(x[start : start + BATCH], y[start : start + BATCH]) for start in range(0, x.shape[0], BATCH)]


def learned(cut: list[Batch], **given: object) -> LinearModel:
    made = state(**given)
    for batch in cut:
        made.update(batch)
    made.end_pass(None)
    return made.finalise()


def measure_dense(rounds: int) -> None:
    train, held = dense()
    cut = batches(train)
    runs: dict[str, Callable[[], object]] = {
        "32 candidates": lambda: learned(cut),
        "1 candidate": lambda: learned(cut, num_models=1),
    }
    model = learned(cut)
    print(f"32 candidates: log loss {log_loss(model.margins(Batch(held[0]))[:, 0], held[1]):.5f}")
    if importlib.util.find_spec("sklearn"):
        from sklearn.linear_model import SGDClassifier

        def epoch() -> Any:
            return SGDClassifier(loss="log_loss", max_iter=1, tol=None, random_state=0).fit(*train)

        print(f"SGDClassifier: log loss {log_loss(epoch().decision_function(held[0]), held[1]):.5f}")
        runs["SGDClassifier"] = epoch
    found = measured(runs, rounds)
    for name in runs:
        print(f"{name}: {found.seconds(name)} s a pass of {RECORDS:,} records")
    print(f"32 jobs of one candidate: {found.ratio('1 candidate', '32 candidates').times(32)} times as long")
    if "SGDClassifier" in runs:
        print(f"SGDClassifier: {found.ratio('SGDClassifier', '32 candidates')} times as long")
    print(found.load)


def measure_sparse(rounds: int, models: list[int]) -> None:
    train, held = sparse()
    cut = batches(train)
    runs: dict[str, Callable[[], object]] = {}
    for count in models:
        name = f"{count} candidates"
        model = learned(cut, num_models=count)
        margins = held[0] @ model.weights[:, 0] + (0 if model.bias is None else model.bias[0])
        print(f"{name}: log loss {log_loss(margins, held[1]):.4f}")
        runs[name] = lambda count=count: learned(cut, num_models=count)  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        runs |= wabbit(Path(folder), train, held)
        found = measured(runs, rounds)
    for name in runs:
        print(f"{name}: {found.seconds(name)} s a pass, median {RECORDS / found.seconds(name).median:,.0f} records/s")
    print(found.load)


def measure_jobs(rounds: int) -> None:
    """At one and at six epochs, since start-up alone would win the first; a fifth of the difference is a pass."""
    from sklearn.linear_model import SGDClassifier

    train, _ = dense()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.pbr"
        with path.open("wb") as file, writer(file, "application/x-recordio-protobuf") as out:
            for batch in batches(train):
                out.write(batch)
        runs: dict[str, Callable[[], object]] = {
            f"{epochs} of {models}": partial(job, path, epochs=epochs, num_models=models)
            for epochs in JOB_EPOCHS
            for models in (32, 1)
        }
        runs["SGDClassifier"] = lambda: SGDClassifier(loss="log_loss", max_iter=1, tol=None).fit(*train)
        found = measured(runs, rounds)
    few, many = JOB_EPOCHS
    for epochs in JOB_EPOCHS:
        ratio = found.ratio(f"{epochs} of 1", f"{epochs} of 32").times(32)
        print(f"epochs {epochs}: a job of 32 candidates takes {found.seconds(f'{epochs} of 32')} s")
        print(
            f"epochs {epochs}: a job of one takes {found.seconds(f'{epochs} of 1')} s, 32 of them {ratio} times as long"
        )
    for models in (32, 1):
        more, less = (found.seconds(f"{epochs} of {models}").median for epochs in (many, few))
        print(f"a further pass of {models}: {short((more - less) / (many - few))} s")
    print(f"an epoch of SGDClassifier in memory: {found.seconds('SGDClassifier')} s")
    print(found.load)


def job(path: Path, **given: object) -> None:
    """`onepass train`, with no pass left out."""
    values = GIVEN | {"mini_batch_size": BATCH, "early_stopping_patience": 100} | given
    command = [Path(sys.executable).with_name("onepass"), "train", "linear-learner", "--channel", f"train={path}"]
    command += [word for name, value in values.items() for word in ("-H", f"{name}={value}")]
    with tempfile.TemporaryDirectory() as output:
        subprocess.run([*command, "--output", output], check=True, stdout=subprocess.DEVNULL)


def wabbit(folder: Path, train: Data, held: Data) -> dict[str, Callable[[], object]]:
    """Vowpal Wabbit reads text from a file; parsing it is part of its time, and it has a thread for that."""
    if not importlib.util.find_spec("vowpalwabbit"):
        return {}
    import vowpalwabbit

    paths = {}
    for name, data in (("train", train), ("held", held)):
        paths[name] = folder / f"{name}.txt"
        with paths[name].open("w") as file:
            file.writelines(lines(data))

    def run(*arguments: str) -> None:
        workspace = vowpalwabbit.Workspace(arg_list=["--quiet", "--no_stdin", *arguments])
        workspace.run_parser()
        workspace.finish()

    common = ["--loss_function", "logistic", "-b", "18", "-d", str(paths["train"])]
    model, replies = str(folder / "model"), folder / "replies"
    run(*common, "-f", model)
    run("-d", str(paths["held"]), "-t", "-i", model, "-p", str(replies))
    print(f"Vowpal Wabbit: log loss {log_loss(np.loadtxt(replies), held[1]):.4f}")
    return {"Vowpal Wabbit": lambda: run(*common)}


def lines(data: Data) -> Iterator[str]:
    x, y = data
    for row, label in zip(x.indices.reshape(-1, SPARSE_VALUES), y, strict=True):
        yield f"{1 if label else -1} | {' '.join(map(str, row.tolist()))}\n"


def measure_quality(passes: int) -> None:
    """Log loss of the winner after each pass, beside converged LogisticRegression."""
    train, held = dense()
    made, cut = state(), batches(train)
    for number in range(passes):
        began = time.perf_counter()
        for batch in cut:
            made.update(batch)
        seconds = time.perf_counter() - began
        made.end_pass(None)
        margins = made.finalise().margins(Batch(held[0]))[:, 0]
        print(f"pass {number}: log loss {log_loss(margins, held[1]):.5f}, {seconds:.2f} s", flush=True)
        if made.done:
            break
    if importlib.util.find_spec("sklearn"):
        from sklearn.linear_model import LogisticRegression

        peer = LogisticRegression(max_iter=1000).fit(*train)
        print(f"LogisticRegression: log loss {log_loss(peer.decision_function(held[0]), held[1]):.5f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("dense").add_argument("--rounds", type=int, default=5)
    rare = commands.add_parser("sparse")
    rare.add_argument("--rounds", type=int, default=3)
    rare.add_argument("--models", type=int, nargs="+", default=[1, 4, 32])
    commands.add_parser("quality").add_argument("--passes", type=int, default=15)
    commands.add_parser("jobs").add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    match given.command:
        case "dense":
            measure_dense(given.rounds)
        case "sparse":
            measure_sparse(given.rounds, given.models)
        case "jobs":
            measure_jobs(given.rounds)
        case _:
            measure_quality(given.passes)


if __name__ == "__main__":
    main()
