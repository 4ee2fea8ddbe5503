"""Tasks for Linear Learner: settings, records, and how to learn them."""

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from algorithms.linear_learner.hyperparameters import LinearLearnerHyperparameters
from algorithms.linear_learner.state import LinearLearnerState
from recordio.batch import Batch

BINARY = {"predictor_type": "binary_classifier", "binary_classifier_model_selection_criteria": "loss_function"}
REGRESSOR = {"predictor_type": "regressor"}
MANY = {"predictor_type": "multiclass_classifier", "num_classes": "3"}


def settings(given: dict[str, str], **more: object) -> LinearLearnerHyperparameters:
    return LinearLearnerHyperparameters.from_strings(given | {name: str(value) for name, value in more.items()})


def state(given: dict[str, str], seed: int = 0, **more: object) -> LinearLearnerState:
    return LinearLearnerState(settings(given, **more), np.random.default_rng(seed))


def learn(learner: LinearLearnerState, x: Any, y: np.ndarray, passes: int = 1) -> LinearLearnerState:
    size = learner.settings.mini_batch_size
    for _ in range(passes):
        for start in range(0, x.shape[0], size):
            learner.update(Batch(x[start : start + size], y[start : start + size]))
        learner.end_pass(None)
    return learner


def records(task: dict[str, str], count: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5)) * [1, 20, 0.01, 3, 1] + [0, 500, 1, -3, 0]
    z = (x - [0, 500, 1, -3, 0]) @ [1, 0.05, -50, 0.2, 0]
    match task["predictor_type"]:
        case "regressor":
            y = 40 + 7 * z + rng.normal(size=count)
        case "binary_classifier":
            y = rng.random(count) < 1 / (1 + np.exp(-z))
        case _:
            y = (z > -0.5).astype(int) + (z > 0.5)
    return x.astype(np.float32), y.astype(np.float32)


def auc(margins: np.ndarray, y: np.ndarray) -> float:
    return float(roc_auc_score(y, margins[:, 0]))


def true_auc(y: np.ndarray, x: np.ndarray) -> float:
    """Of the weights that the binary records were made with."""
    return auc((x.astype(float) - [0, 500, 1, -3, 0]) @ np.array([[1, 0.05, -50, 0.2, 0]]).T, y)


def standardised(x: np.ndarray) -> np.ndarray:
    return ((x.astype(float) - x.mean(axis=0, dtype=float)) / x.std(axis=0, dtype=float)).astype(np.float32)


def arrays_equal(one: LinearLearnerState, other: LinearLearnerState) -> None:
    left, right = one.snapshot(), other.snapshot()
    assert left[0].keys() == right[0].keys()
    for name, array in left[0].items():
        np.testing.assert_array_equal(array, right[0][name], err_msg=name)
