"""XGBoost on real data: find malignant tumours from measurements of cells, and know how well that works.

Run it with `.venv/bin/python examples/boosted_trees.py`. It boosts trees until the validation channel gains nothing,
shows the features that matter, asks the served model about records that it has not seen, and why it answers so, and
judges the same settings by cross validation. Results are in results/trees/.
"""

from __future__ import annotations

import json
import os
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from commands import console, run, served
from rich.table import Table
from sklearn.datasets import load_breast_cancer

FOLDER = Path("results/trees")
PARTS = {"train": slice(0, 370), "validation": slice(370, 470), "test": slice(470, None)}
SETTINGS = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.2, "subsample": 0.8, "nthread": 1}
FOLDS = 5


def prepare() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[str]]:
    """569 records of 30 measurements, the label first: 1 is malignant. Returns those to ask about, labels and names."""
    data = load_breast_cancer()
    rows = np.column_stack((1 - data.target, data.data))[np.random.default_rng(0).permutation(len(data.target))]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, part in PARTS.items():
        np.savetxt(FOLDER / f"{name}.csv", rows[part], fmt="%.7g", delimiter=",")
    return rows[PARTS["test"], 1:], rows[PARTS["test"], 0], list(data.feature_names)


def train(output: Path, **more: object) -> Path:
    command = ["train", "xgboost", "--channel", f"train={FOLDER}/train.csv"]
    command += ["--channel", f"validation={FOLDER}/validation.csv"]
    for name, value in {**SETTINGS, **more}.items():
        command += ["-H", f"{name}={value}"]
    run(*command, "--output", str(output))
    return output


def contributions(url: str, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Score and then SHAP values of each row, the last of them the bias."""
    found = []
    body = json.dumps({"instances": [{"features": row} for row in rows.tolist()]}).encode()
    for accept in ("application/json", "application/json; output=contributions"):
        headers = {"Content-Type": "application/json", "Accept": accept}
        with urllib.request.urlopen(urllib.request.Request(f"{url}/invocations", body, headers)) as reply:
            (records,) = json.load(reply).values()
        found.append(np.array([next(iter(record.values())) for record in records]).reshape(len(rows), -1))
    return np.hstack(found)


def explain(answers: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], names: list[str]) -> None:
    taken = answers[:, 0] > 0.5
    table = Table(title=f"{len(labels)} unseen records: {np.mean(taken != labels):.1%} taken for the wrong kind")
    for heading in ("record", "malignant with probability", "in truth", "most of all because of"):
        table.add_column(heading)
    for record in np.argsort(abs(answers[:, 0] - labels))[::-1][:5]:
        shares = answers[record, 1:-1]
        most = int(np.argmax(abs(shares)))
        reason = f"{names[most]} ({shares[most]:+.2f} to the log-odds)"
        truth = "malignant" if labels[record] else "benign"
        table.add_row(str(record), f"{answers[record, 0]:.3f}", truth, reason)
    console.print(table)


def main() -> None:
    os.environ.setdefault("COLUMNS", "120")
    rows, labels, names = prepare()
    model = (
        train(FOLDER / "first", num_round=200, eval_metric="error,logloss", early_stopping_rounds=10) / "model.tar.gz"
    )
    run("report", str(model), "--output", str(FOLDER / "report.html"))
    with served(model) as url:
        explain(contributions(url, rows), labels, names)
    folds = train(FOLDER / "folds", num_round=30, _kfold=FOLDS)
    with tarfile.open(folds / "output.tar.gz") as archive:
        content = archive.extractfile("predictions.csv")
        assert content is not None
        told, probability = np.loadtxt(content, delimiter=",").T[:2]
    console.print(f"\nHeld out by one of {FOLDS} folds, {np.mean((probability > 0.5) != told):.1%} are taken wrong.")
    console.print(
        f"The models are in {FOLDER}/first and {FOLDER}/folds; what matters to the first, in {FOLDER}/report.html."
    )


if __name__ == "__main__":
    main()
