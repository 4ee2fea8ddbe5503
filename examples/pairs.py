"""Even or odd: what pairs of pixels tell of handwritten digits that single pixels don't.

Run it with `.venv/bin/python examples/pairs.py`. A linear model and factorization machines learn the same 1,300 digits
through the container contract, and are asked about 497 that they have not seen. Results are in results/pairs/.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from commands import console, run
from numpy.typing import NDArray
from rich.table import Table
from sklearn.datasets import load_digits

import recordio
from algorithms import algorithm
from algorithms.artifacts.archives import unpack
from algorithms.contract import Model
from recordio.batch import Batch

FOLDER = Path("results/pairs")
SETTINGS = {
    "linear-learner": {"mini_batch_size": 50, "epochs": 30},
    "factorization-machines": {
        "num_factors": 16,
        "mini_batch_size": 50,
        "epochs": 60,
        "linear_lr": 0.01,
        "factors_lr": 0.01,
        "factors_init_sigma": 0.05,
    },
}


def prepare() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """1,797 digits of 8 x 8 pixels in random order, as records: the last 497 are returned, too."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = (digits.data[order] / 16).astype(np.float32)
    odd = (digits.target[order] % 2).astype(np.float32)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", slice(0, 1300)), ("test", slice(1300, None))):
        with (FOLDER / f"{name}.pbr").open("wb") as file:
            recordio.write_dense(file, images[rows], odd[rows])
    return images[1300:], odd[1300:]


def train(name: str) -> Model:
    command = ["train", name, "--channel", f"train={FOLDER}/train.pbr", "--channel", f"test={FOLDER}/test.pbr"]
    given = {"predictor_type": "binary_classifier", "feature_dim": 64, **SETTINGS[name]}
    command += [word for key, value in given.items() for word in ("-H", f"{key}={value}")]
    command += ["--output", f"{FOLDER}/{name}"]
    run(*command)
    unpacked = FOLDER / name / "unpacked"
    if unpacked.exists():
        for old in unpacked.iterdir():
            old.unlink()
    unpack(FOLDER / name / "model.tar.gz", unpacked)
    return algorithm(name).load(unpacked)


def strongest(model: Model, count: int) -> list[tuple[tuple[int, int], tuple[int, int], float]]:
    """Pairs of pixels (row, column) that count most, from the factors in the artifact."""
    factors: NDArray[np.float32] = model.factors  # type: ignore[attr-defined]
    products = np.triu(factors @ factors.T, 1)
    places = np.argsort(-np.abs(products), axis=None)[:count]
    return [(divmod(int(i), 8), divmod(int(j), 8), float(products[i, j])) for i, j in (divmod(p, 64) for p in places)]


def main() -> None:
    images, odd = prepare()
    table = Table(title=f"{len(odd)} unseen digits: even or odd?")
    table.add_column("model")
    table.add_column("right", justify="right")
    models = {name: train(name) for name in SETTINGS}
    for name, model in models.items():
        right = np.mean(model.predict(Batch(images))["predicted_label"] == odd)
        table.add_row(name, f"{right:.1%}")
    console.print(table)
    table = Table(title="Pairs of pixels that count most")
    for heading in ("one (row, column)", "the other", "both bright"):
        table.add_column(heading, justify="right")
    for one, other, weight in strongest(models["factorization-machines"], 5):
        table.add_row(str(one), str(other), f"{weight:+.2f} to odd" if weight > 0 else f"{-weight:+.2f} to even")
    console.print(table)


if __name__ == "__main__":
    main()
