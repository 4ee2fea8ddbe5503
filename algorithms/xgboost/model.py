"""Boosted trees: artifact and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xgboost

from algorithms.contract import Arrays
from recordio.batch import Batch
from recordio.errors import UserError


@dataclass(frozen=True, eq=False)
class XGBoostModel:
    """One booster, or one for each fold."""

    boosters: tuple[xgboost.Booster, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def feature_dim(self) -> int:
        return int(self.boosters[0].num_features())

    def predict(self, batch: Batch) -> Arrays:
        found = [booster.predict(xgboost.DMatrix(batch.features)) for booster in self.boosters]
        return {"score": np.mean(found, axis=0)}

    def save(self, directory: Path, host: str) -> None:  # noqa: ARG002 - the public names are without it
        for number, booster in enumerate(self.boosters):
            name = "xgboost-model" if len(self.boosters) == 1 else f"xgboost-model-{number}"
            (directory / name).write_bytes(booster.save_raw("ubj"))


def load(folder: Path) -> XGBoostModel:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise UserError("The model has no file xgboost-model.")
    try:
        return XGBoostModel(tuple(xgboost.Booster(model_file=bytearray(path.read_bytes())) for path in files))
    except xgboost.core.XGBoostError as error:
        raise UserError(f"{files[0].name}: {error}") from error
