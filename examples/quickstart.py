"""Quickstart: cluster handwritten digits, serve the model, ask it about digits that it has not seen.

Run it with `make quickstart`. Everything goes through the commands and requests that you would use yourself; each is
printed before it runs. Results are in quickstart/: the data, the model, and clusters.png.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from commands import ask, console, run
from rich.table import Table
from sklearn.datasets import load_digits

FOLDER = Path("quickstart")
CLUSTERS = 12


def prepare() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """1,797 digits of 8 x 8 pixels: the first 1,500 to learn from, the others to ask about."""
    digits = load_digits()
    FOLDER.mkdir(exist_ok=True)
    for name, rows in (("train", slice(0, 1500)), ("test", slice(1500, None))):
        np.savetxt(FOLDER / f"{name}.csv", digits.data[rows], fmt="%g", delimiter=",")
    return digits.data[1500:], digits.target[1500:]


def train() -> None:
    command = ["train", "kmeans", "--content-type", "text/csv;label_size=0"]
    command += ["--channel", f"train={FOLDER}/train.csv", "--channel", f"test={FOLDER}/test.csv"]
    command += ["-H", f"k={CLUSTERS}", "-H", "feature_dim=64", "--output", f"{FOLDER}/model"]
    run(*command)


def tabulate(predictions: list[dict[str, float]], targets: np.ndarray[Any, Any]) -> None:
    """Which digits fell into which cluster: the algorithm never saw the labels."""
    table = Table(title=f"{len(targets)} unseen digits in {CLUSTERS} clusters")
    for heading in ("cluster", "digits in it", "mostly", "mean distance"):
        table.add_column(heading, justify="right")
    right = 0
    for cluster in range(CLUSTERS):
        members = [index for index, reply in enumerate(predictions) if reply["closest_cluster"] == cluster]
        if not members:
            continue
        digit, count = Counter(targets[members].tolist()).most_common(1)[0]
        right += count
        distance = np.mean([predictions[index]["distance_to_cluster"] for index in members])
        table.add_row(str(cluster), str(len(members)), f"{digit} ({count / len(members):.0%})", f"{distance:.1f}")
    console.print(table)
    console.print(f"A digit is the most frequent one of its cluster in {right / len(targets):.0%} of the cases.")


def draw(predictions: list[dict[str, float]], images: np.ndarray[Any, Any]) -> None:
    """Each cluster's centre, opened from the artifact, and the unseen digits nearest to it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from algorithms import algorithm
    from algorithms.artifacts.archives import unpack

    unpacked = FOLDER / "model" / "unpacked"
    if not unpacked.exists():
        unpack(FOLDER / "model" / "model.tar.gz", unpacked)
    model: Any = algorithm("kmeans").load(unpacked)
    shown = 7
    figure, axes = pyplot.subplots(CLUSTERS, shown + 1, figsize=(shown + 1, CLUSTERS))
    for cluster, row in enumerate(axes):
        members = [index for index, reply in enumerate(predictions) if reply["closest_cluster"] == cluster]
        members.sort(key=lambda index: predictions[index]["distance_to_cluster"])
        for place, axis in enumerate(row):
            axis.axis("off")
            if place == 0:
                axis.imshow(model.centroids[cluster].reshape(8, 8), cmap="magma")
            elif place <= len(members):
                axis.imshow(images[members[place - 1]].reshape(8, 8), cmap="gray_r")
    axes[0][0].set_title("centre")
    axes[0][1].set_title("nearest unseen digits", loc="left")
    figure.savefig(FOLDER / "clusters.png", dpi=80, bbox_inches="tight")


def main() -> None:
    os.environ.setdefault("COLUMNS", "120")
    images, targets = prepare()
    train()
    predictions = ask(FOLDER / "model" / "model.tar.gz", images)
    tabulate(predictions, targets)
    draw(predictions, images)
    console.print(f"\nThe model is {FOLDER}/model/model.tar.gz, the picture {FOLDER}/clusters.png. Next, try:")
    console.print(f"  .venv/bin/onepass elbow {FOLDER}/model/model.tar.gz", markup=False)
    console.print(
        f"  .venv/bin/onepass finalise {FOLDER}/model/model.tar.gz -H k=20 --output {FOLDER}/k20", markup=False
    )


if __name__ == "__main__":
    main()
