"""A small algorithm for tests of shared code: the mean of all records, and how far a record is from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Algorithm, Arrays, Channel, Metric
from algorithms.hyperparameters import Hyperparameters, hyper
from recordio.batch import Batch
from recordio.errors import UserError


class ToyHyperparameters(Hyperparameters):
    feature_dim: int = hyper("Features in one record.", ge=1, fixed=True)
    mini_batch_size: int = hyper("Records in one update.", default=10, ge=1, tune=(5, 50))
    epochs: int = hyper("Passes.", default=1, ge=1)
    batch_metrics_publish_interval: int = hyper("Batches between scores.", default=500, ge=1)
    unit: Literal["m", "km"] = hyper("Unit of records.", default="m", fixed=True)
    scale: float = hyper("Unit of distances.", default=1.0, gt=0, refinable=True)


@dataclass(frozen=True)
class ToyModel:
    mean: NDArray[Any]
    metrics: Mapping[str, float]

    @property
    def feature_dim(self) -> int:
        return len(self.mean)

    def predict(self, batch: Batch) -> Arrays:
        return {"distance": np.abs(batch.features - self.mean).max(axis=1).astype(np.float32)}

    def save(self, directory: Path, host: str) -> None:
        (directory / f"model_{host}").write_text(json.dumps(self.mean.tolist()))


class ToyState:
    def __init__(self, settings: Any) -> None:
        self.settings, self.count, self.total = settings, 0, np.zeros(settings.feature_dim)

    def update(self, batch: Batch) -> None:
        self.count += len(batch)
        self.total += batch.features.sum(axis=0, dtype=np.float64)

    def merge(self, other: ToyState) -> None:
        self.count += other.count
        self.total += other.total

    def finalise(self) -> ToyModel:
        if not self.count:
            raise UserError("no records")
        return ToyModel(self.total / self.count, {"size": float(self.count)})

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        return {"total": self.total.copy()}, {"count": self.count}


class ToyEvaluation:
    def __init__(self, model: ToyModel) -> None:
        self.model, self.sum, self.count = model, 0.0, 0

    def update(self, batch: Batch) -> None:
        self.sum += float(self.model.predict(batch)["distance"].sum())
        self.count += len(batch)

    def merge(self, other: ToyEvaluation) -> None:
        self.sum, self.count = self.sum + other.sum, self.count + other.count

    def finalise(self) -> dict[str, float]:
        return {"size": self.sum / self.count if self.count else float("nan")}


def restore(settings: Any, arrays: Arrays, values: dict[str, Any]) -> ToyState:
    state = ToyState(settings)
    state.total, state.count = arrays["total"].copy(), values["count"]
    return state


def load(directory: Path) -> ToyModel:
    return ToyModel(np.array(json.loads(next(directory.glob("model_*")).read_text())), {})


ALGORITHM = Algorithm(
    name="toy",
    title="Toy",
    description="Mean of all records.",
    dimension="Toy",
    hyperparameters=ToyHyperparameters,
    channels=(Channel("train", "Records.", required=True), Channel("test", "Records to score.")),
    content_types=("application/x-recordio-protobuf", "text/csv"),
    metrics=(Metric("size", "score", "Records seen, or mean distance."),),
    create=lambda settings, generator: ToyState(settings),
    restore=restore,
    load=load,
    evaluate=lambda model, settings: ToyEvaluation(model),
    carried="the sum of all records",
    alone="a mean does not say of how many records it is",
    curve=("scale", "size"),
)
