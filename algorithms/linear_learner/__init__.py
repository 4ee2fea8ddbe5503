"""Linear Learner: many linear models in one pass, of which the best is kept."""

from __future__ import annotations

from typing import Literal

import numpy as np

from algorithms.contract import Algorithm, Channel, Metric
from algorithms.linear_learner.hyperparameters import LinearLearnerHyperparameters
from algorithms.linear_learner.judging import evaluate
from algorithms.linear_learner.model import load
from algorithms.linear_learner.state import LinearLearnerState


def _create(settings: LinearLearnerHyperparameters, generator: np.random.Generator) -> LinearLearnerState:
    return LinearLearnerState(settings, generator)


def _metric(name: str, mark: Literal["loss", "score"], definition: str, printed: str = "") -> Metric:
    return Metric(name, mark, definition, channels=("validation", "test"), printed=printed)


ALGORITHM = Algorithm(
    name="linear-learner",
    title="Linear Learner",
    description="Linear regression and classification: many models learned in one pass, of which the best is kept.",
    dimension="Linear Learner",
    hyperparameters=LinearLearnerHyperparameters,
    channels=(
        Channel("train", "Records to learn from, in random order, with one label each.", required=True),
        Channel("validation", "Records that choose the model and its threshold, and end the training."),
        Channel("test", "Records to score the final model on."),
    ),
    content_types=("application/x-recordio-protobuf", "text/csv"),
    metrics=(
        Metric(
            "objective_loss",
            "loss",
            "Mean of the loss.",
            channels=("train", "validation", "test"),
            printed=r"\S+_objective",
            every_pass=("train", "validation"),
        ),
        _metric("mse", "loss", "Mean squared error, for regressors."),
        _metric("rmse", "loss", "Its root."),
        _metric("absolute_loss", "loss", "Mean absolute error, for regressors."),
        _metric("binary_classification_accuracy", "score", "Part of the records that are classified right."),
        _metric("binary_f_beta", "score", "F-beta of class 1.", r"binary_f_\S+"),
        _metric("precision", "score", "Part of those taken for class 1 that are."),
        _metric("recall", "score", "Part of class 1 that is taken for it."),
        _metric("roc_auc_score", "score", "Area under the receiver operating characteristic."),
        _metric("multiclass_accuracy", "score", "Part of the records that are classified right."),
        _metric(
            "multiclass_top_k_accuracy",
            "score",
            "Part of the records whose class is among the accuracy_top_k best.",
            r"multiclass_top_k_accuracy_\S+",
        ),
        _metric("dcg", "score", "Mean of 1 / log2(rank + 1), the rank of the true class from 1."),
        _metric("macro_recall", "score", "Mean recall of the classes."),
        _metric("macro_precision", "score", "Mean precision of the classes."),
        _metric("macro_f_beta", "score", "Mean F-beta of the classes.", r"macro_f_\S+"),
        _metric("multiclass_balanced_accuracy", "score", "Mean recall of the classes that have records."),
        Metric(
            "multiclass_log_loss",
            "score",
            "Mean of -log of the true class's probability; records count alike.",
            channels=("validation", "test"),
            falling=True,
        ),
    ),
    create=_create,
    restore=LinearLearnerState.restore,
    adopt=LinearLearnerState.adopt,
    load=load,
    evaluate=evaluate,
    carried="weights, moments and learning rates of all candidates, and the scale of features",
    alone="weights and bias, from which all candidates start; moments, learning rates and the scale begin anew",
    label_size=1,
    sparse=True,
    pooled=True,
    reply_types=("application/json", "application/jsonlines", "application/x-recordio-protobuf"),
)
