"""Factors, linear weights and bias: artifact and replies."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.artifacts import ndarrays, zipped
from algorithms.artifacts.published import describe, json_object, model_file
from algorithms.contract import Arrays
from algorithms.factorization_machines import interactions, network
from algorithms.factorization_machines.entries import Entries
from algorithms.factorization_machines.network import OUTPUTS, Network
from algorithms.factorization_machines.table import columns
from recordio.batch import Batch
from recordio.errors import UserError

SYMBOL, ARRAYS, META = "symbol.json", "params", "meta.json"


@dataclass(frozen=True, eq=False)
class FactorizationMachine:
    """Margins are bias + x w + the sum over pairs i < j of <v_i, v_j> x_i x_j.

    factors   v of each feature                      (feature_dim, num_factors), float32
    linear    w, or None in a model without them     (feature_dim,), float32
    bias      w0, or None in a model without it
    network   whose layout the artifact has
    table     all weights, in rows as compiled passes read them; the others are views of it   (feature_dim, columns)
    """

    factors: NDArray[np.float32]
    linear: NDArray[np.float32] | None
    bias: float | None
    predictor_type: str
    network: Network = "sparse"
    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    table: NDArray[np.float32] = field(init=False, repr=False)
    rows: InitVar[NDArray[np.float32] | None] = None  # such a table of these weights, where there is one

    def __post_init__(self, rows: NDArray[np.float32] | None) -> None:
        if rows is None:
            rows = np.zeros((self.feature_dim, columns(self.num_factors)), np.float32)
            rows[:, : self.num_factors] = self.factors
            if self.linear is not None:
                rows[:, -1] = self.linear
        if self.linear is not None:
            object.__setattr__(self, "linear", rows[:, -1])
        object.__setattr__(self, "factors", rows[:, : self.num_factors])
        object.__setattr__(self, "table", rows)

    @property
    def feature_dim(self) -> int:
        return int(self.factors.shape[0])

    @property
    def num_factors(self) -> int:
        return int(self.factors.shape[1])

    def margins(self, batch: Batch) -> NDArray[np.float32]:
        """Before any link; each record for itself, so the same for any batching   (records,)"""
        return self.sums(batch)[0]

    def sums(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Margins (records,), and x v (records, num_factors)."""
        some = Entries.of(batch)
        found = interactions.margins(some.starts, some.features, some.values, self.table, self.bias or 0.0)
        return found[0], found[1][:, : self.num_factors]

    def scores(self, margins: NDArray[Any]) -> NDArray[np.float32]:
        """Label units of a regressor, the chance of class 1 of a classifier; of the margins' shape."""
        if self.predictor_type == "regressor":
            return margins.astype(np.float32)
        small = np.exp(-np.abs(margins.astype(np.float64)))
        chances: NDArray[np.float64] = np.where(margins < 0, small, 1) / (1 + small)
        return chances.astype(np.float32)

    def predict(self, batch: Batch) -> Arrays:
        """score (records,), float32; and predicted_label (records,) of classifiers, which is score >= 0.5."""
        margins = self.margins(batch)
        scores = self.scores(margins)
        if self.predictor_type == "regressor":
            return {"score": scores}
        return {"score": scores, "predicted_label": (margins >= 0).astype(np.int32)}

    def save(self, directory: Path, host: str) -> None:
        """model_<host> as the original writes it, which MXNet opens; model.json is for readers, no one needs it."""
        arrays = network.arrays(self.network, (self.factors, self.linear, self.bias))
        output = OUTPUTS[self.predictor_type]
        kept = {"linear": self.linear is not None, "bias": self.bias is not None}
        training = {**self.hyperparameters, "predictor_type": self.predictor_type, "feature_dim": self.feature_dim}
        symbol = network.symbol(self.network, self.feature_dim, self.num_factors, output, **kept)
        meta = json.dumps({"training_parameters": training}, allow_nan=False).encode()
        named = list(arrays.values()), list(arrays)
        members = {
            SYMBOL: (len(symbol), [symbol]),
            ARRAYS: (ndarrays.size(*named), ndarrays.pieces(*named)),
            META: (len(meta), [meta]),
        }
        with (directory / f"model_{host}").open("wb") as file:
            zipped.write(file, members)
        more = {"num_factors": self.num_factors, "predictor_type": self.predictor_type, "network": self.network}
        describe(directory, "factorization-machines", self, self.hyperparameters, **more)


def load(directory: Path) -> FactorizationMachine:
    """Read the public artifact. Raises UserError when it holds no factorization machine of finite numbers."""
    with model_file(directory, "factors") as content:
        members = zipped.decode(content, (SYMBOL, ARRAYS, META))
        kind = _predictor_type(json_object(members, META), json_object(members, SYMBOL))
        try:
            arrays, names = ndarrays.decode(members.pop(ARRAYS))
            layout, (factors, linear, bias) = network.parts(dict(zip(names, arrays, strict=True)))
        except UserError as error:
            raise UserError(f"{ARRAYS}: {error}") from error
        with np.errstate(over="ignore"):  # told below
            factors = factors.astype(np.float32, copy=False)
            linear = None if linear is None else linear.astype(np.float32, copy=False)
        model = FactorizationMachine(factors, linear, bias, kind, layout)
        if not finite(model):
            raise UserError(f"{ARRAYS}: a weight is nan or infinite, expected finite numbers")
    return model


def finite(model: FactorizationMachine) -> bool:
    """Whether all weights are numbers."""
    linear = model.linear is None or np.isfinite(model.linear).all()
    return bool(linear and math.isfinite(model.bias or 0.0) and np.isfinite(model.factors).all())


def _predictor_type(meta: Mapping[str, Any], symbol: Mapping[str, Any]) -> str:
    """As the meta data say, or else the network's output. Raises UserError."""
    training = meta.get("training_parameters")
    kind = training.get("predictor_type") if isinstance(training, dict) else None
    if isinstance(kind, str) and kind in OUTPUTS:
        return kind
    nodes = symbol.get("nodes")
    ops = [node.get("op") for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []
    for known, output in OUTPUTS.items():
        if output in ops:
            return known
    raise UserError(f"{META}: got predictor_type {str(kind)[:40]!r}, expected one of {', '.join(OUTPUTS)}")
