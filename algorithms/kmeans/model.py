"""The k centres: artifact and replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.artifacts import ndarrays
from algorithms.artifacts.published import describe, model_file
from algorithms.contract import Arrays
from algorithms.numerics.distances import closest
from recordio.batch import Batch
from recordio.errors import UserError


@dataclass(frozen=True, eq=False)
class KMeansModel:
    """centroids   (k, feature_dim), float32"""

    centroids: NDArray[np.float32]
    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feature_dim(self) -> int:
        return int(self.centroids.shape[1])

    def predict(self, batch: Batch) -> Arrays:
        """closest_cluster, and distance_to_cluster, Euclidean and not squared: both (records,), float32."""
        labels, squares = closest(np.asarray(batch.features), self.centroids)
        return {
            "closest_cluster": labels.astype(np.float32),
            "distance_to_cluster": np.sqrt(squares).astype(np.float32),
        }

    def save(self, directory: Path, host: str) -> None:
        """model_<host> holds the centroids as the original does; model.json is for readers, no one needs it."""
        (directory / f"model_{host}").write_bytes(ndarrays.encode([self.centroids]))
        describe(directory, "kmeans", self, self.hyperparameters, k=len(self.centroids))


def load(directory: Path) -> KMeansModel:
    """Read the public artifact. Raises UserError when it does not hold one matrix of finite numbers."""
    with model_file(directory, "centroids") as content:
        arrays, _ = ndarrays.decode(content)
        shapes = [array.shape for array in arrays]
        if len(arrays) != 1 or arrays[0].ndim != 2 or not arrays[0].size:
            raise UserError(f"got arrays of shapes {shapes[:3]}, expected one of (k, feature_dim)")
        with np.errstate(over="ignore"):  # told below
            centroids = np.ascontiguousarray(arrays[0], dtype=np.float32)
        if not np.isfinite(centroids).all():
            raise UserError("a centroid holds nan or an infinite value, expected finite numbers")
    return KMeansModel(centroids)


class KMeansEvaluation:
    """Squared distances of test records to their nearest centroid."""

    def __init__(self, model: KMeansModel, metrics: list[str]) -> None:
        self.model = model
        self.metrics = metrics
        self.count = 0
        self.squares = 0.0

    def update(self, batch: Batch) -> None:
        if len(batch):
            _, squares = closest(np.asarray(batch.features), self.model.centroids)
            self.count += len(batch)
            self.squares += float(squares.sum())

    def merge(self, other: KMeansEvaluation) -> None:
        self.count += other.count
        self.squares += other.squares

    def finalise(self) -> dict[str, float]:
        scores = (
            {"msd": self.squares / self.count, "ssd": self.squares} if self.count else {"msd": np.nan, "ssd": np.nan}
        )
        return {name: scores[name] for name in self.metrics}
