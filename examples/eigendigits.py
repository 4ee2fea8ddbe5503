"""Eigendigits: the components of handwritten digits, what a few of them keep, and neighbours among projections.

    .venv/bin/python examples/eigendigits.py

Everything goes through the commands and requests that you would use yourself; each is printed before it runs. Results
are in results/eigendigits/: the data, the models, and eigendigits.png.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from commands import ask, console, run
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

FOLDER = Path("results/eigendigits")
COMPONENTS = 16
Matrix = np.ndarray[Any, Any]


def prepare() -> tuple[Matrix, Matrix]:
    """1,797 digits of 8 x 8 pixels and what they show: the first 1,500 to learn from, the others as a test."""
    digits = load_digits()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", slice(0, 1500)), ("test", slice(1500, None))):
        np.savetxt(FOLDER / f"{name}.csv", digits.data[rows], fmt="%g", delimiter=",")
    return digits.data, digits.target


def opened() -> tuple[Matrix, Matrix, Matrix]:
    """mean, s and v of the artifact; with MXNet it would be mxnet.ndarray.load("model_algo-1")."""
    from algorithms.artifacts import ndarrays
    from algorithms.artifacts.archives import unpack

    unpacked = FOLDER / "model" / "unpacked"
    if not unpacked.exists():
        unpack(FOLDER / "model" / "model.tar.gz", unpacked)
    arrays, names = ndarrays.decode((unpacked / "model_algo-1").read_bytes())
    found = dict(zip(names, arrays, strict=True))
    return found["mean"], found["s"], found["v"]


def draw(images: Matrix, projections: Matrix) -> None:
    """The first components, and some digits made of few and more of them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    mean, singular, vectors = opened()
    shown = 8
    figure, axes = pyplot.subplots(4, shown, figsize=(shown, 4.4))
    for column in range(shown):
        axes[0][column].imshow(vectors[:, -1 - column].reshape(8, 8), cmap="coolwarm")  # the largest is last
        axes[0][column].set_title(f"s = {singular[-1 - column]:.0f}", fontsize=8)
        axes[1][column].imshow(images[column].reshape(8, 8), cmap="gray_r")
        for row, count in ((2, 4), (3, COMPONENTS)):
            restored = mean[0] + vectors[:, -count:] @ projections[column, -count:]
            axes[row][column].imshow(restored.reshape(8, 8), cmap="gray_r")
    for axis, label in zip(axes[:, 0], ("component", "digit", "of 4", f"of {COMPONENTS}"), strict=True):
        axis.set_ylabel(label)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.savefig(FOLDER / "eigendigits.png", dpi=80, bbox_inches="tight")


def main() -> None:
    os.environ.setdefault("COLUMNS", "120")
    images, targets = prepare()
    channels = ["--channel", f"train={FOLDER}/train.csv", "--channel", f"test={FOLDER}/test.csv"]
    settings = ["-H", f"num_components={COMPONENTS}", "-H", "feature_dim=64", "-H", "mini_batch_size=500"]
    content_type = ["--content-type", "text/csv;label_size=0"]
    run("train", "pca", *channels, *content_type, *settings, "--output", f"{FOLDER}/model")
    run("elbow", f"{FOLDER}/model/model.tar.gz")
    run("finalise", f"{FOLDER}/model/model.tar.gz", "-H", "num_components=3", "--output", f"{FOLDER}/three")
    answers = ask(FOLDER / "model" / "model.tar.gz", images)
    projections = np.array([one["projection"] for one in answers])
    for name, x in (("64 pixels", images), (f"{COMPONENTS} components", projections)):
        right = KNeighborsClassifier(3).fit(x[:1500], targets[:1500]).score(x[1500:], targets[1500:])
        console.print(f"Three neighbours among {name} name {right:.1%} of the unseen digits right.")
    draw(images[1500:], projections[1500:])
    console.print(f"\nThe models are {FOLDER}/*/model.tar.gz, the picture {FOLDER}/eigendigits.png.")


if __name__ == "__main__":
    main()
