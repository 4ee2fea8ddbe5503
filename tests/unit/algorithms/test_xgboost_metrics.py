"""Own metrics of XGBoost beside scikit-learn's, of what boosters of each objective predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn import metrics as reference

from algorithms.xgboost.metrics import BINARY, CLASSES, confusion, custom, own_metrics, regression_scores
from tests.unit.pools import Hosts, Seat

RECORDS = 400
CLOSE = 1e-12  # both sum in float64
OBJECTIVES = {
    "binary:logistic": 2,
    "binary:logitraw": 2,
    "binary:hinge": 2,
    "reg:logistic": 2,
    "multi:softmax": 4,
    "multi:softprob": 4,
}
OF_CLASSES: dict[str, Callable[..., float]] = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    **{
        f"{name}_{average}": lambda *args, score=score, average=average, **weights: score(
            *args, average=average, zero_division=0, **weights
        )
        for name, score in (
            ("f1", reference.f1_score),
            ("precision", reference.precision_score),
            ("recall", reference.recall_score),
        )
        for average in ("binary", "macro", "micro")
    },
}
OF_CLASSES |= {
    "f1": OF_CLASSES["f1_macro"],
    "precision": OF_CLASSES["precision_binary"],
    "recall": OF_CLASSES["recall_binary"],
}


def learned(objective: str, classes: int, seed: int, weighted: bool) -> tuple[xgboost.DMatrix, Any, Any, Any]:
    """A matrix, what a booster of a few rounds predicts of it, labels, and weights of which some are 0."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(RECORDS, 5)).astype(np.float32)
    latent = x[:, 0] + rng.normal(size=RECORDS)
    labels = np.digitize(latent, np.linspace(-0.8, 0.8, classes - 1)) if classes > 2 else (latent > 0.7).astype(int)
    weights = rng.integers(0, 4, RECORDS).astype(np.float32) if weighted else None
    matrix = xgboost.DMatrix(x, label=labels, weight=weights)
    parameters = {"objective": objective, "max_depth": 2, "nthread": 1, "seed": seed}
    booster = xgboost.train({**parameters, **({"num_class": classes} if classes > 2 else {})}, matrix, 3)
    return matrix, booster.predict(matrix), labels, weights


def classes_of(predictions: Any, objective: str) -> Any:
    """By the library's own probabilities and margins, written anew."""
    return {
        "binary:logistic": lambda: (predictions > 0.5).astype(int),
        "reg:logistic": lambda: (predictions > 0.5).astype(int),
        "binary:logitraw": lambda: (predictions > 0).astype(int),
        "binary:hinge": lambda: predictions.astype(int),
        "multi:softmax": lambda: predictions.astype(int),
        "multi:softprob": lambda: predictions.argmax(axis=1),
    }[objective]()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_of_classes(objective: str, weighted: bool, seed: int) -> None:
    matrix, predictions, labels, weights = learned(objective, OBJECTIVES[objective], seed, weighted)
    names = [name for name in CLASSES if OBJECTIVES[objective] == 2 or name not in BINARY]
    classes = OBJECTIVES[objective] if objective.startswith("multi") else None
    found = custom(names, objective, classes)(predictions, matrix)
    assert [name for name, _ in found] == names
    predicted = classes_of(predictions, objective)
    assert 0.05 < (predicted != labels).mean() < 0.6 and len(set(predicted)) > 1, "there is something to tell apart"
    for name, value in found:
        assert value == pytest.approx(OF_CLASSES[name](labels, predicted, sample_weight=weights), abs=CLOSE)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "objective", ["reg:squarederror", "count:poisson", "reg:gamma", "reg:logistic", "multi:softmax"]
)
def test_of_numbers(objective: str, weighted: bool, seed: int) -> None:
    """On the labels' scale, where the original compared labels with margins."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(RECORDS, 3)).astype(np.float32)
    labels = rng.integers(1, 4, RECORDS) / (4 if objective == "reg:logistic" else 1)
    weights = rng.random(RECORDS).astype(np.float32) if weighted else None
    matrix = xgboost.DMatrix(x, label=labels, weight=weights)
    classes = {"num_class": 4} if objective.startswith("multi") else {}
    predictions = xgboost.train({"objective": objective, "max_depth": 3, "nthread": 1, **classes}, matrix, 5).predict(
        matrix
    )
    wanted = {
        "mse": reference.mean_squared_error,
        "r2": reference.r2_score,
        "rmse": reference.root_mean_squared_error,
        "mae": reference.mean_absolute_error,
    }
    names = [name for name in wanted if name in own_metrics(objective)]
    assert len(names) == (4 if classes else 2)
    for name, value in custom(names, objective)(predictions, matrix):
        assert value == pytest.approx(wanted[name](labels, predictions, sample_weight=weights), rel=1e-10)


def test_of_several_labels() -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(50, 3))
    predictions = labels + rng.normal(size=(50, 3)) * [0.1, 1, 10]
    weights = rng.random(50)
    found = regression_scores(("mse", "r2", "rmse", "mae"), predictions, labels, weights)
    assert found["mse"] == pytest.approx(reference.mean_squared_error(labels, predictions, sample_weight=weights))
    assert found["r2"] == pytest.approx(reference.r2_score(labels, predictions, sample_weight=weights))
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(labels, predictions, sample_weight=weights))


def test_variance_of_labels_far_from_zero() -> None:
    labels = 1e9 + np.arange(10.0)
    predictions = labels + np.array([1.0, -1] * 5)
    assert regression_scores(("r2",), predictions, labels, None)["r2"] == pytest.approx(1 - 10 / 82.5, rel=1e-12)


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "reg:squarederror"])
def test_hosts_together_score_as_one(objective: str) -> None:
    """Each host has a part of the records, and one has none."""
    classes = OBJECTIVES.get(objective, 0)
    if classes:
        matrix, predictions, labels, weights = learned(objective, classes, 5, weighted=True)
        names = [name for name in CLASSES if classes == 2 or name not in BINARY]
    else:
        rng = np.random.default_rng(3)
        labels, weights = rng.normal(size=RECORDS) + 100, rng.random(RECORDS)
        predictions, names = labels + rng.normal(size=RECORDS), ["mse", "r2"]
        matrix = xgboost.DMatrix(np.zeros((RECORDS, 1)), label=labels, weight=weights)
    parts = [slice(0, 100), slice(100, 100), slice(100, RECORDS)]

    def of_host(seat: Seat, rank: int) -> list[tuple[str, float]]:
        part = parts[rank]
        held = xgboost.DMatrix(np.zeros((part.stop - part.start, 1)), label=labels[part], weight=weights[part])
        return custom(names, objective, classes or None, lambda sums: seat.sums(sums)[0])(predictions[part], held)

    alone = custom(names, objective, classes or None)(predictions, matrix)
    for found in Hosts(3).run(of_host):
        assert [name for name, _ in found] == names
        assert [value for _, value in found] == pytest.approx([value for _, value in alone], rel=1e-9)


def test_classes_that_are_only_predicted_or_weigh_nothing() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    for weights in (None, np.array([1.0, 0, 1, 1])):
        sums = confusion(predicted, labels, weights, 5)
        assert sums.shape == (2, 5, 5)
        matrix = xgboost.DMatrix(np.zeros((4, 1)), label=labels, weight=weights)
        for name, value in custom(["f1", "precision_macro", "recall_macro"], "multi:softmax", 5)(predicted, matrix):
            assert value == pytest.approx(OF_CLASSES[name](labels, predicted, sample_weight=weights))


def test_no_records_have_no_scores() -> None:
    matrix = xgboost.DMatrix(np.empty((0, 2)), label=np.empty(0))
    scores = custom(["accuracy", "f1", "mse"], "binary:logistic")(np.empty(0), matrix)
    assert [name for name, _ in scores] == ["accuracy", "f1", "mse"] and np.isnan([value for _, value in scores]).all()


def test_weights_of_queries() -> None:
    labels = np.array([0.0, 1, 2, 0, 1, 2])
    matrix = xgboost.DMatrix(np.zeros((6, 1)), label=labels, qid=[0, 0, 0, 1, 1, 2], weight=[1, 2, 3])
    ((_, value),) = custom(["mse"], "rank:ndcg")(np.ones(6), matrix)
    assert value == pytest.approx((1 * 2 + 2 * 1 + 3 * 1) / (3 * 1 + 2 * 2 + 1 * 3))
