"""Metrics of XGBoost: their names, and those that the library does not compute, by sums that add up over hosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Metric

if TYPE_CHECKING:
    import xgboost

Sums = NDArray[np.float64]
Scores = list[tuple[str, float]]

LARGER = {
    "accuracy": "Part of the records that are classified right.",
    "auc": "Area under the receiver operating characteristic.",
    "aucpr": "Area under the curve of precision over recall.",
    "balanced_accuracy": "Mean recall of the classes that have records.",
    "f1": "As f1_macro.",
    "f1_binary": "F1 of class 1.",
    "f1_macro": "Mean F1 of the classes.",
    "map": "Mean average precision of the queries.",
    "ndcg": "Normalised discounted cumulative gain, mean of the queries.",
    "precision": "Part of those taken for class 1 that are.",
    "r2": "Part of the labels' variance that predictions explain.",
    "recall": "Part of class 1 that is taken for it.",
    "precision_macro": "Mean precision of the classes.",
    "precision_micro": "Precision of all classes together, which is the accuracy.",
    "recall_macro": "Mean recall of the classes.",
    "recall_micro": "Recall of all classes together, which is the accuracy.",
    "pre": "Precision of the records that are ranked first, mean of the queries.",
}
SMALLER = {
    "aft-nloglik": "Negative log-likelihood of accelerated failure times.",
    "cox-nloglik": "Negative partial log-likelihood of proportional hazards.",
    "error": "Part of the records that get the wrong one of two classes; of class 1 are those above 0.5, or t.",
    "gamma-deviance": "Residual deviance of gamma regression.",
    "gamma-nloglik": "Negative log-likelihood of gamma regression.",
    "interval-regression-accuracy": "Part of the records that are predicted within their bounds.",
    "logloss": "Negative log-likelihood of two classes.",
    "mae": "Mean absolute error.",
    "mape": "Mean absolute error as a part of the label.",
    "merror": "Part of the records that get the wrong class.",
    "mlogloss": "Negative log-likelihood of the classes.",
    "mphe": "Mean pseudo-Huber error.",
    "mse": "Mean squared error.",
    "poisson-nloglik": "Negative log-likelihood of Poisson regression.",
    "rmse": "Square root of the mean squared error.",
    "rmsle": "Square root of the mean squared error of log(1 + x).",
    "tweedie-nloglik": "Negative log-likelihood of Tweedie regression.",
    "quantile": "Mean loss of the quantiles.",
}
FURTHER = ("pre", "quantile")  # which the library has beside those of the original
NAMES = tuple(name for name in (*LARGER, *SMALLER) if name not in FURTHER) + FURTHER
TUNING = tuple(f"validation:{name}" for name in NAMES if name not in FURTHER)

CLASSES = (
    *("accuracy", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "precision", "precision_macro"),
    *("precision_micro", "recall", "recall_macro", "recall_micro"),
)
BINARY = ("f1_binary", "precision", "recall")  # of class 1
REGRESSION = ("mse", "r2", "rmse", "mae")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
FIRST = re.compile(r"[1-9]\d{0,8}(\.0*)?-?", re.ASCII)
AT = {"error": NUMBER, "ndcg": FIRST, "map": FIRST, "pre": FIRST, "tweedie-nloglik": NUMBER}  # what may follow an @
VARIANCE_POWER = 1.5

METRICS = tuple(
    Metric(
        name,
        "score" if name in LARGER else "loss",
        {**LARGER, **SMALLER}[name],
        channels=("validation",),
        printed=rf"{re.escape(name)}(@\S+)?",
        line=rf".*\[[0-9]+\].*(?:\t|#011){{channel}}-{name}{'(?:@[^:]+)?' * (name == 'tweedie-nloglik')}:([^\s#]+)",
    )
    for name in NAMES
)


def base_name(name: str) -> str:
    """Without what follows an @."""
    return name.partition("@")[0].strip()


def larger(name: str) -> bool:
    """Whether a metric is better when larger."""
    return base_name(name) in LARGER


def canonical(name: str, variance_power: float | None = None) -> str:
    """A metric as the library prints it."""
    base, at, threshold = (part.strip() for part in name.partition("@"))
    if base == "tweedie-nloglik":  # the library wants the power said
        return f"{base}@{float(threshold) if at else variance_power or VARIANCE_POWER:g}"
    if not at or not AT.get(base, NUMBER).fullmatch(threshold):
        return name
    if base == "error":
        return base if float(threshold) == 0.5 else f"{base}@{float(threshold):g}"
    return f"{base}@{re.sub(r'[.]0*', '', threshold)}"


def own_metrics(objective: str) -> tuple[str, ...]:
    """Those computed here: of predicted classes, and where the library has none."""
    return (*CLASSES, "mse", "r2", *(("rmse", "mae") if objective == "multi:softmax" else ()))


def custom(
    names: Sequence[str], objective: str, num_class: int | None = None, add: Callable[[Sums], Sums] = np.asarray
) -> Callable[[NDArray[Any], xgboost.DMatrix], Scores]:
    """The values of some own metrics, from what the booster predicts and the records' labels and weights.

    add   sums over hosts, all of which then call this equally often
    """
    by_class = [name for name in names if name in CLASSES]
    others = [name for name in names if name not in CLASSES]
    classes = num_class or 2

    def scores(predictions: NDArray[Any], matrix: xgboost.DMatrix) -> Scores:
        labels, weights = _labels(matrix), _weights(matrix)
        found: dict[str, float] = {}
        if by_class:
            sums = add(confusion(predicted_classes(predictions, objective), labels, weights, classes))
            found |= {name: class_score(name, sums) for name in by_class}
        if others:
            found |= regression_scores(others, predictions, labels, weights, add)
        return [(name, found[name]) for name in names]

    return scores


def predicted_classes(predictions: NDArray[Any], objective: str) -> NDArray[np.int64]:
    """Classes, from margins, probabilities or classes, whichever the objective predicts."""
    if predictions.ndim == 2 and predictions.shape[1] > 1:
        return np.asarray(predictions.argmax(axis=1), np.int64)
    if objective.startswith("multi:"):
        return predictions.reshape(-1).astype(np.int64)
    margin = 0 if objective == "binary:logitraw" else 0.5
    return (predictions.reshape(-1) > margin).astype(np.int64)


def confusion(predicted: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any] | None, classes: int) -> Sums:
    """Records by true and predicted class, weighted and counted   (2, classes, classes)"""
    cells = labels.reshape(-1).astype(np.int64).clip(0, classes - 1) * classes + predicted
    counts = np.bincount(cells, minlength=classes**2).astype(np.float64)
    weighed = counts if weights is None else np.bincount(cells, weights, minlength=classes**2).astype(np.float64)
    sums: Sums = np.stack([weighed, counts]).reshape(2, classes, classes)
    return sums


def class_score(name: str, sums: Sums) -> float:
    """One of CLASSES, as scikit-learn defines it: of the classes that have records or are predicted, 0 where undefined.

    sums   from `confusion`
    """
    weights, counts = sums
    right, true, taken = np.diag(weights), weights.sum(axis=1), weights.sum(axis=0)
    present = (counts.sum(axis=0) + counts.sum(axis=1)) > 0
    precision, recall, f1 = _ratio(right, taken), _ratio(right, true), _ratio(2 * right, true + taken)
    if not weights.sum() > 0:
        return float("nan")
    if name in ("accuracy", "precision_micro", "recall_micro"):
        return float(right.sum() / weights.sum())
    if name == "balanced_accuracy":
        return float(recall[true > 0].mean())
    of_classes = {"f1": f1, "precision": precision, "recall": recall}[name.partition("_")[0]]
    return float(of_classes[1] if name in BINARY else of_classes[present].mean())


def regression_scores(
    names: Sequence[str],
    predictions: NDArray[Any],
    labels: NDArray[Any],
    weights: NDArray[Any] | None,
    add: Callable[[Sums], Sums] = np.asarray,
) -> dict[str, float]:
    """mse, rmse, mae and r2, means over the outputs where there are several.

    The variance is summed about the mean of all hosts, so that it is right for labels far from zero.
    """
    y = labels.reshape(len(labels), predictions.shape[1] if predictions.ndim == 2 else 1).astype(np.float64)
    w = np.ones((len(y), 1)) if weights is None else weights.astype(np.float64).reshape(-1, 1)
    errors = predictions.reshape(y.shape).astype(np.float64) - y
    total, ys, squares, absolute = np.split(
        add(np.concatenate([[w.sum()], (w * y).sum(0), (w * errors**2).sum(0), (w * abs(errors)).sum(0)])),
        [1, 1 + y.shape[1], 1 + 2 * y.shape[1]],
    )
    if not total[0] > 0:
        return dict.fromkeys(names, float("nan"))
    found = {"mse": (squares / total).mean(), "rmse": np.sqrt(squares / total).mean(), "mae": (absolute / total).mean()}
    if "r2" in names:
        spread = add((w * (y - ys / total) ** 2).sum(0))
        found["r2"] = np.where(spread > 0, 1 - _ratio(squares, spread), squares == 0).mean()
    return {name: float(found[name]) for name in names}


def _ratio(part: Sums, whole: Sums) -> Sums:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def _labels(matrix: xgboost.DMatrix) -> NDArray[Any]:
    return np.asarray(matrix.get_label())


def _weights(matrix: xgboost.DMatrix) -> NDArray[Any] | None:
    """Of each record; where queries weigh, the records of each alike."""
    weights = np.asarray(matrix.get_weight())
    if not len(weights):
        return None
    ends = np.asarray(matrix.get_uint_info("group_ptr"), np.int64)
    return np.repeat(weights, np.diff(ends)) if len(ends) else weights
