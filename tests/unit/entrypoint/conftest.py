"""An /opt/ml of its own for each test, and the toy among the algorithms."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import algorithms
import recordio
from entrypoint.environment import Environment
from entrypoint.reports import StartUp
from entrypoint.training import train
from recordio.errors import UserError

CSV = {"ContentType": "text/csv;label_size=0"}
RECORDS = np.random.default_rng(0).normal(size=(47, 3)).astype(np.float32)


def record_bytes(features: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    recordio.write_dense(file, np.asarray(features, np.float32))
    return file.getvalue()


@dataclass
class Base:
    """/opt/ml in a folder."""

    path: Path
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def data(self) -> Path:
        return self.path / "input" / "data"

    def config(self, name: str, content: object) -> None:
        path = self.path / "input" / "config" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    def file(self, name: str, content: bytes) -> Path:
        path = self.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def environment(self, **variables: str) -> Environment:
        variables = {"ALGORITHM": "toy", "SAGEMAKER_BASE_DIR": str(self.path), **variables}
        return Environment.from_variables(variables)

    def train(self, **variables: str) -> None:
        train(self.environment(**variables), self.stopping, StartUp())

    def model_files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.model.iterdir())}


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path / "ml")


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(algorithms.TABLE, "toy", "tests.unit.toy")


@pytest.fixture
def job(base: Base) -> Base:
    """A job on 47 records in three files, 10 in a batch."""
    return prepared(base)


def prepared(base: Base, **hyperparameters: str) -> Base:
    base.config("hyperparameters", {"feature_dim": "3", **hyperparameters})
    base.config("inputdataconfig", {"train": {}})
    for number, part in enumerate((RECORDS[:7], RECORDS[7:30], RECORDS[30:])):
        base.file(f"train/{number}.pbr", record_bytes(part))
    return base


def fails(base: Base, kind: type[Exception] = UserError, **variables: str) -> str:
    with pytest.raises(kind) as caught:
        base.train(**variables)
    assert type(caught.value) is kind
    return str(caught.value)


def mean_of(base: Base) -> list[float]:
    found: list[float] = json.loads((base.model / "model_algo-1").read_text())
    return found
