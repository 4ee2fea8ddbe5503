"""A small algorithm of its own, so that these tests show that serving needs to know no other."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.contract import Algorithm, Arrays
from algorithms.hyperparameters import Hyperparameters
from recordio.batch import Batch
from recordio.errors import UserError


@dataclass(frozen=True)
class Scale:
    """Replies with the sum of a record's features times a factor, after resting for `seconds`."""

    feature_dim: int
    factor: float = 1.0
    seconds: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)

    def predict(self, batch: Batch) -> Arrays:
        assert isinstance(batch.features, np.ndarray)
        time.sleep(self.seconds)
        if (batch.features == 13).any():
            raise ZeroDivisionError("unlucky, and secret")
        with np.errstate(over="ignore"):
            return {"score": (batch.features.sum(axis=1) * np.float32(self.factor)).astype(np.float32)}

    def save(self, directory: Path, host: str) -> None:
        fields = {"feature_dim": self.feature_dim, "factor": self.factor, "seconds": self.seconds}
        (directory / f"scale_{host}").write_text(json.dumps(fields))


def load(directory: Path) -> Scale:
    path = directory / "scale_algo-1"
    if not path.is_file():
        raise UserError(f"{path} is missing")
    fields: dict[str, Any] = json.loads(path.read_text())
    return Scale(**fields)


def _not_here(*_: Any) -> Any:
    raise AssertionError("serving never trains")


TOY = Algorithm(
    name="toy",
    title="Toy",
    description="Sums features.",
    dimension="AWS/Toy",
    hyperparameters=Hyperparameters,
    channels=(),
    content_types=("text/csv",),
    metrics=(),
    create=_not_here,
    restore=_not_here,
    load=load,
    evaluate=_not_here,
    carried="",
    alone="",
)
TOY_WITHOUT_CSV = replace(TOY, reply_types=("application/json", "application/jsonlines"), envelope="scores")
