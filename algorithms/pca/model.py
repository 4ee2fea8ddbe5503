"""Components: artifact, projections and scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.artifacts import ndarrays
from algorithms.artifacts.published import describe, model_file
from algorithms.contract import Arrays
from algorithms.numerics.products import Doubles, steady
from recordio.batch import Batch
from recordio.errors import UserError

TILE_VALUES = 1 << 20  # features in double precision at once: 8 MiB


@dataclass(frozen=True, eq=False)
class PCAModel:
    """Principal components, the largest last.

    mean      None where it is not subtracted   (feature_dim,), float32
    singular  singular values of the records less their mean, not divided by anything   (num_components,), float32
    vectors   right singular vectors   (feature_dim, num_components), float32
    """

    mean: NDArray[np.float32] | None
    singular: NDArray[np.float32]
    vectors: NDArray[np.float32]
    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feature_dim(self) -> int:
        return int(self.vectors.shape[0])

    @property
    def num_components(self) -> int:
        return int(self.vectors.shape[1])

    @cached_property
    def _columns(self) -> Doubles:
        """(num_components, feature_dim)"""
        return np.ascontiguousarray(self.vectors.T, np.float64)

    @cached_property
    def _origin(self) -> Doubles:
        """Where the mean is projected to   (num_components,)"""
        return np.zeros(self.num_components) if self.mean is None else self._columns @ self.mean.astype(np.float64)

    def predict(self, batch: Batch) -> Arrays:
        """projection, (x - mean) @ vectors: (records, num_components), float32."""
        projections = steady(batch.features, self._columns) - self._origin  # in doubles, so that little cancels
        with np.errstate(over="ignore"):  # an infinity is refused where it would be sent
            return {"projection": projections.astype(np.float32)}

    def save(self, directory: Path, host: str) -> None:
        """model_<host> holds the arrays as the original does; model.json is for readers, no one needs it."""
        arrays = {} if self.mean is None else {"mean": self.mean[None]}
        arrays |= {"s": self.singular, "v": self.vectors}
        (directory / f"model_{host}").write_bytes(ndarrays.encode(list(arrays.values()), list(arrays)))
        describe(directory, "pca", self, self.hyperparameters, num_components=self.num_components)


def load(directory: Path) -> PCAModel:
    """Read the public artifact. Raises UserError when it does not hold components of finite numbers."""
    with model_file(directory, "components") as content:
        arrays, names = ndarrays.decode(content)
        return _model(dict(zip(names, arrays, strict=False)))


def _model(arrays: Mapping[str, NDArray[Any]]) -> PCAModel:
    """Raises UserError."""
    shapes = {name[:20]: array.shape for name, array in list(arrays.items())[:4]}
    vectors, singular, mean = arrays.get("v"), arrays.get("s"), arrays.get("mean")
    if vectors is None or singular is None or vectors.ndim != 2 or not vectors.size:
        raise UserError(f"got arrays {shapes}, expected v (feature_dim, num_components) and s (num_components,)")
    if singular.shape != vectors.shape[1:] or (mean is not None and mean.size != len(vectors)):
        raise UserError(f"got arrays {shapes}, expected s (num_components,) and mean (1, feature_dim) as v has them")
    with np.errstate(over="ignore"):  # told below
        known = [
            np.ascontiguousarray(array, np.float32)
            for array in (vectors, singular, *(() if mean is None else (mean.reshape(-1),)))
        ]
    if not all(np.isfinite(array).all() for array in known):
        raise UserError("a component holds nan or an infinite value, expected finite numbers")
    return PCAModel(known[2] if mean is not None else None, known[1], known[0])


class PCAEvaluation:
    """Squared distances of test records to the mean, and to their reconstruction from the components."""

    def __init__(self, model: PCAModel) -> None:
        self.model = model
        self.count = 0
        self.total = 0.0
        self.lost = 0.0

    def update(self, batch: Batch) -> None:
        vectors = self.model.vectors.astype(np.float64)
        step = max(1, TILE_VALUES // self.model.feature_dim)
        for start in range(0, len(batch), step):
            some: Any = batch.features[start : start + step]
            rows = (some if isinstance(some, np.ndarray) else some.toarray()).astype(np.float64)
            if self.model.mean is not None:
                rows -= self.model.mean
            self.total += float(np.square(rows).sum())
            rows -= (rows @ vectors) @ vectors.T
            self.lost += float(np.square(rows).sum())
        self.count += len(batch)

    def merge(self, other: PCAEvaluation) -> None:
        self.count += other.count
        self.total += other.total
        self.lost += other.lost

    def finalise(self) -> dict[str, float]:
        return scores(self.total, self.lost, self.count)


def scores(total: float, lost: float, count: float) -> dict[str, float]:
    """Metrics of training and test.

    total, lost   sums of squared distances to the mean, and to the reconstruction
    """
    if not count:
        return {"explained_variance_ratio": np.nan, "reconstruction_error": np.nan}
    return {
        "explained_variance_ratio": 1 - lost / total if total > 0 else 1.0,
        "reconstruction_error": lost / count,
    }
