"""What requests are answered with: scores, or what SAGEMAKER_INFERENCE_OUTPUT lists; other outputs by name.

Selectable inference follows the public interface: keys that an objective doesn't have are NaN, lists are lists in JSON
and one quoted cell in CSV. Classes that have names go beyond it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.answers import Answers, Output, predictions
from algorithms.contract import Arrays
from algorithms.xgboost.model import Floats, XGBoostModel
from recordio.batch import Batch
from recordio.encoding import CsvForm
from recordio.errors import UserError

KEYS = (  # in the order of JSON replies
    "predicted_label",
    "labels",
    "probability",
    "probabilities",
    "raw_score",
    "raw_scores",
    "predicted_score",
)
OF_CLASSES = ("predicted_label", "labels", "raw_score", "raw_scores")
OF_NAMES = ("predicted_label", "labels")
OF_PROBABILITIES = (*OF_CLASSES, "probability", "probabilities")
OFFERED = {
    **dict.fromkeys(
        ("reg:squarederror", "reg:logistic", "reg:gamma", "reg:absoluteerror", "reg:tweedie"), ("predicted_score",)
    ),
    **dict.fromkeys(("binary:logitraw", "binary:hinge", "multi:softmax"), OF_CLASSES),
    **dict.fromkeys(("binary:logistic", "multi:softprob"), OF_PROBABILITIES),
}

log = logging.getLogger(__name__)


def _table(name: str, columns: Callable[[XGBoostModel, Batch], NDArray[Any]]) -> Callable[[Any, Batch], Arrays]:
    return lambda model, batch: {name: columns(model, batch)}


def _features(model: XGBoostModel) -> int:
    return (model.feature_dim + 1) * model.outputs


OUTPUTS = {
    "margin": Output(lambda model: model.outputs, _table("margin", XGBoostModel.margin)),
    "contributions": Output(_features, _table("contributions", XGBoostModel.contributions)),
    "interactions": Output(
        lambda model: _features(model) * (model.feature_dim + 1), _table("interactions", XGBoostModel.interactions)
    ),
    "leaf": Output(lambda model: model.trees, _table("leaf", XGBoostModel.leaves)),
}


def answers(variables: Mapping[str, str]) -> Answers:
    """Raises UserError for variables of other values than theirs."""
    ensemble = variables.get("SAGEMAKER_INFERENCE_ENSEMBLE", "").strip().lower() or "true"
    if ensemble not in ("true", "false"):
        raise UserError(f"SAGEMAKER_INFERENCE_ENSEMBLE: got '{ensemble[:100]}', expected true or false")
    batch = variables.get("SAGEMAKER_BATCH", "").strip().lower() in ("true", "1")
    keys = _keys(variables.get("SAGEMAKER_INFERENCE_OUTPUT", ""))

    def whole(model: XGBoostModel) -> XGBoostModel:
        return model if ensemble == "true" else model.first

    outputs = {name: _of(whole, output) for name, output in OUTPUTS.items()}
    if not keys:
        form = CsvForm("bare" if batch else "cells", ended=True)
        return Answers(lambda model, some: predictions(whole(model), some), (), outputs, form, csv_only=batch)

    def selected(model: XGBoostModel, some: Batch) -> Arrays:
        return select(whole(model), some, keys)

    return Answers(
        selected, (*KEYS, *(key for key in keys if key not in KEYS)), outputs, CsvForm("quoted", ended=batch)
    )


def _of(whole: Callable[[XGBoostModel], XGBoostModel], output: Output) -> Output:
    return Output(lambda model: output.numbers(whole(model)), lambda model, batch: output.columns(whole(model), batch))


def _keys(text: str) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(key for key in text.lower().replace(" ", "").split(",") if key))
    unknown = [key[:100] for key in keys if key not in KEYS]
    if unknown:
        log.warning(
            "SAGEMAKER_INFERENCE_OUTPUT: %s will be NaN, expected some of %s", ", ".join(unknown), ", ".join(KEYS)
        )
    return keys


def select(model: XGBoostModel, batch: Batch, keys: tuple[str, ...]) -> Arrays:
    """Columns of these names, of None where the objective has no such thing; classes by name where the model has them.

    Raises UserError for other objectives.
    """
    offered = OFFERED.get(model.objective)
    if offered is None:
        raise UserError(f"Objective `{model.objective}` unsupported for selectable inference predictions.")
    columns = _columns(model, model.scores(batch))
    names = np.array(model.class_names, object)

    def column(key: str) -> NDArray[Any]:
        found = columns[key]()
        return names[found.astype(np.int64)] if len(names) and key in OF_NAMES else found

    return {key: column(key) if key in offered else np.full(len(batch), None) for key in keys}


def _columns(model: XGBoostModel, scores: Floats) -> Mapping[str, Callable[[], NDArray[Any]]]:
    """What each key stands for, where the objective offers it   (records,) or (records, classes)"""
    if model.objective == "multi:softprob":
        best = scores.argmax(axis=1)
        return {
            "predicted_label": lambda: best,
            "labels": lambda: _numbered(len(scores), scores.shape[1]),
            **dict.fromkeys(("probability", "raw_score"), lambda: scores.max(axis=1)),
            **dict.fromkeys(("probabilities", "raw_scores"), lambda: scores),
        }
    classes = model.outputs if model.objective == "multi:softmax" else 2
    both = np.stack([1 - scores.astype(np.float64), scores], axis=-1)
    thresholds = {"binary:logistic": 0.5, "binary:logitraw": 0.0}
    return {
        "predicted_label": lambda: (
            (scores > thresholds[model.objective]).astype(np.int64) if model.objective in thresholds else scores
        ),
        "labels": lambda: _numbered(len(scores), classes),
        **dict.fromkeys(("probability", "raw_score", "predicted_score"), lambda: scores),
        **dict.fromkeys(("probabilities", "raw_scores"), lambda: both),
    }


def _numbered(records: int, classes: int) -> NDArray[np.int64]:
    return np.broadcast_to(np.arange(classes), (records, classes))
