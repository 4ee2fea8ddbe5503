"""Linear Learner on real data: find malignant tumours from measurements of cells. A miss is worse than a false alarm.

Run it with `.venv/bin/python examples/linear_learner.py`. It learns 32 candidates, shows why the winner won, serves it,
asks it about records that it has not seen, and goes on with records that came in since. Results are in results/cells/.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from commands import ask, console, run
from rich.table import Table
from sklearn.datasets import load_breast_cancer

FOLDER = Path("results/cells")
PARTS = {"train": slice(0, 240), "validation": slice(240, 370), "new": slice(370, 440), "test": slice(440, None)}
BETA = 3  # recall counts three times as much as precision


def prepare() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """569 records of 30 measurements, the label first: 1 is malignant. Returns those to ask about, and their labels."""
    data = load_breast_cancer()
    rows = np.column_stack((1 - data.target, data.data))[np.random.default_rng(0).permutation(len(data.target))]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, part in PARTS.items():
        np.savetxt(FOLDER / f"{name}.csv", rows[part], fmt="%.7g", delimiter=",")
    return rows[PARTS["test"], 1:], rows[PARTS["test"], 0]


def train(records: str, output: Path, *more: str) -> Path:
    command = ["train", "linear-learner", "--channel", f"train={FOLDER}/{records}.csv"]
    command += ["--channel", f"validation={FOLDER}/validation.csv", "--channel", f"test={FOLDER}/test.csv"]
    command += ["-H", "predictor_type=binary_classifier", "-H", "mini_batch_size=10"]
    command += ["-H", "binary_classifier_model_selection_criteria=f_beta", "-H", f"f_beta={BETA}"]
    run(*command, *more, "--output", str(output))
    return output / "model.tar.gz"


def tabulate(title: str, predictions: list[dict[str, float]], labels: np.ndarray[Any, Any]) -> None:
    taken = np.array([reply["predicted_label"] for reply in predictions])
    table = Table(title=title)
    for heading in ("", "taken for malignant", "taken for benign"):
        table.add_column(heading, justify="right")
    for label, name in ((1, "malignant"), (0, "benign")):
        counts = [int((taken[labels == label] == each).sum()) for each in (1, 0)]
        table.add_row(name, *map(str, counts))
    console.print(table)


def main() -> None:
    os.environ.setdefault("COLUMNS", "120")
    rows, labels = prepare()
    model = train("train", FOLDER / "first")
    run("report", str(model))
    run("report", str(model), "--output", str(FOLDER / "report.html"))
    tabulate(f"{len(labels)} unseen records", ask(model, rows), labels)
    continued = train("new", FOLDER / "continued", "--model", str(model))
    tabulate("The same, after 70 more to learn from", ask(continued, rows), labels)
    console.print(f"\nThe models are in {FOLDER}/first and {FOLDER}/continued, all plots in {FOLDER}/report.html.")


if __name__ == "__main__":
    main()
