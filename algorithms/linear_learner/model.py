"""Weights and bias: artifact, replies and scores."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.artifacts import ndarrays, zipped
from algorithms.artifacts.published import describe, json_object, model_file
from algorithms.artifacts.symbols import linear_symbol
from algorithms.contract import Arrays
from algorithms.linear_learner.hyperparameters import LOSSES
from algorithms.numerics.losses import Loss, loss
from algorithms.numerics.products import steady
from recordio.batch import Batch
from recordio.errors import UserError

MANIFEST, SYMBOL, ARRAYS, PARAMETERS = (
    "manifest.json",
    "mx-mod-symbol.json",
    "mx-mod-0000.params",
    "additional-params.json",
)
OUTPUTS = {"logistic": "LogisticRegressionOutput", "softmax_loss": "SoftmaxOutput"}  # else what it is given


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Scores are link(x @ weights + bias).

    weights         of raw features   (feature_dim, outputs), float32
    bias            (outputs,), float32, or None
    threshold       of two classes, records with this score or more are class 1
    metrics_params  what scores depend on, as the artifact holds it
    selection       candidates, their curves, and why the winner won, for readers
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    predictor_type: str
    loss: str
    threshold: float | None = None
    metrics_params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    selection: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feature_dim(self) -> int:
        return int(self.weights.shape[0])

    @property
    def outputs(self) -> int:
        return int(self.weights.shape[1])

    @cached_property
    def losses(self) -> Loss:
        """The loss, with what the artifact says of it."""
        names = ("margin", "quantile", "loss_insensitivity", "huber_delta")
        given = {name: self.metrics_params.get(name) for name in names}
        return loss(self.loss, **{name: float(value) for name, value in given.items() if value is not None})

    @cached_property
    def _columns(self) -> NDArray[np.float64]:
        """(outputs, feature_dim)"""
        return np.ascontiguousarray(self.weights.T, np.float64)

    def margins(self, batch: Batch) -> NDArray[np.float64]:
        """x @ weights + bias in double precision, the same for any batching   (records, outputs)"""
        margins = steady(batch.features, self._columns)
        return margins if self.bias is None else margins + self.bias

    def predict(self, batch: Batch) -> Arrays:
        """score, float32: (records,), or (records, num_classes); and predicted_label (records,) of classifiers."""
        margins = self.margins(batch)
        scores = self.losses.link(margins[:, None, :])[:, 0, :]
        with np.errstate(over="ignore"):  # an infinity is refused where it would be sent
            rounded = scores.astype(np.float32)
        match self.predictor_type:
            case "regressor":
                return {"score": rounded[:, 0]}
            case "binary_classifier":
                assert self.threshold is not None
                return {"predicted_label": (scores[:, 0] >= self.threshold).astype(np.int32), "score": rounded[:, 0]}
        return {"predicted_label": margins.argmax(axis=1).astype(np.int32), "score": rounded}

    def save(self, directory: Path, host: str) -> None:
        """model_<host> as the original writes it, which MXNet opens; model.json is for readers, no one needs it."""
        arrays, names = [self.weights], ["arg:fc0_weight"]
        if self.bias is not None:
            arrays, names = [*arrays, self.bias[None]], [*names, "arg:fc0_bias"]
        output = OUTPUTS.get(self.loss, "LinearRegressionOutput")
        parameters = {
            "threshold": self.threshold,
            "loss_type": self.loss,
            "predictor_type": self.predictor_type,
            "metrics_params": dict(self.metrics_params),
        }
        members = {
            MANIFEST: json.dumps({"mx-mod": "mxnet_module", PARAMETERS: "json", "version": 1}).encode(),
            SYMBOL: linear_symbol(self.feature_dim, self.outputs, output, bias=self.bias is not None),
            ARRAYS: ndarrays.encode(arrays, names),
            PARAMETERS: json.dumps(parameters, allow_nan=False).encode(),
        }
        (directory / f"model_{host}").write_bytes(zipped.encode(members))
        more = {"predictor_type": self.predictor_type, "loss": self.loss, "threshold": self.threshold}
        describe(directory, "linear-learner", self, self.hyperparameters, **more, selection=dict(self.selection))


def load(directory: Path) -> LinearModel:
    """Read the public artifact. Raises UserError when it does not hold a linear model of finite numbers."""
    with model_file(directory, "weights") as content:
        members = zipped.decode(content, (ARRAYS, PARAMETERS))
        try:
            arrays, names = ndarrays.decode(members[ARRAYS])
        except UserError as error:
            raise UserError(f"{ARRAYS}: {error}") from error
        return _model(dict(zip(names, arrays, strict=True)), json_object(members, PARAMETERS))


def _model(arrays: Mapping[str, NDArray[Any]], given: Mapping[str, Any]) -> LinearModel:
    """Raises UserError."""
    kind, name, threshold = given.get("predictor_type"), given.get("loss_type"), given.get("threshold")
    if not isinstance(kind, str) or kind not in LOSSES:
        raise UserError(f"{PARAMETERS}: got predictor_type {str(kind)[:40]!r}, expected one of {', '.join(LOSSES)}")
    if kind != "binary_classifier":
        threshold = None
        name = name if name in LOSSES[kind] else LOSSES[kind][0]  # replies are the same for all of them
    elif name not in LOSSES[kind]:
        raise UserError(f"{PARAMETERS}: got loss_type {str(name)[:40]!r}, expected one of {', '.join(LOSSES[kind])}")
    elif not _finite(threshold):
        raise UserError(f"{PARAMETERS}: got threshold {str(threshold)[:40]}, expected a finite number")
    weights, bias = arrays.get("arg:fc0_weight"), arrays.get("arg:fc0_bias")
    if weights is None or weights.ndim != 2 or not weights.size:
        raise UserError(f"{ARRAYS}: expected an array arg:fc0_weight (feature_dim, outputs)")
    outputs = weights.shape[1]
    if (outputs == 1) == (kind == "multiclass_classifier") or (kind != "multiclass_classifier" and outputs != 1):
        raise UserError(f"{ARRAYS}: got weights of shape {weights.shape} for a {kind}")
    if bias is not None and bias.size != outputs:
        raise UserError(f"{ARRAYS}: got a bias of shape {bias.shape}, expected (1, {outputs})")
    with np.errstate(over="ignore"):  # told below
        weights = np.ascontiguousarray(weights, np.float32)
        bias = None if bias is None else np.ascontiguousarray(bias.reshape(-1), np.float32)
    if not np.isfinite(weights).all() or not (bias is None or np.isfinite(bias).all()):
        raise UserError(f"{ARRAYS}: a weight is nan or infinite, expected finite numbers")
    settings = given.get("metrics_params")
    params = {key: value for key, value in settings.items() if _plain(value)} if isinstance(settings, dict) else {}
    return LinearModel(weights, bias, kind, str(name), None if threshold is None else float(threshold), params)


def _finite(value: object) -> bool:
    """Whether it is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _plain(value: object) -> bool:
    return value is None or _finite(value) or (isinstance(value, list) and all(map(_finite, value)))
