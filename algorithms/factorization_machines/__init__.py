"""Factorization Machines: regression and classification by features and by their pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from algorithms.contract import Algorithm, Channel, Metric
from algorithms.factorization_machines.hyperparameters import FactorizationMachinesHyperparameters
from algorithms.factorization_machines.model import load
from algorithms.factorization_machines.recommending import recommend
from algorithms.factorization_machines.scores import Evaluation
from algorithms.factorization_machines.state import FactorizationMachinesState


def _create(settings: Any, _: np.random.Generator) -> FactorizationMachinesState:
    return FactorizationMachinesState(settings)  # all hosts must begin alike: see `first`


ALGORITHM = Algorithm(
    name="factorization-machines",
    title="Factorization Machines",
    description="Regression and binary classification by features and their pairs, for sparse records above all.",
    dimension="factorization-machines",
    hyperparameters=FactorizationMachinesHyperparameters,
    channels=(
        Channel("train", "Records to learn from, in random order, with one label each.", required=True),
        Channel("test", "Records to score the final model on."),
    ),
    content_types=("application/x-recordio-protobuf",),
    metrics=(
        Metric("rmse", "loss", "Root of the mean squared error, for regressors."),
        Metric("mse", "loss", "Mean squared error, for regressors."),
        Metric("absolute_loss", "loss", "Mean absolute error, for regressors."),
        Metric("binary_classification_cross_entropy", "loss", "Mean log loss, for classifiers."),
        Metric("binary_classification_accuracy", "score", "Part of the records that are classified right."),
        Metric("binary_f_beta", "score", "F1 of class 1.", printed=r"binary_f_\S+"),
    ),
    create=_create,
    restore=FactorizationMachinesState.restore,
    load=load,
    evaluate=Evaluation,
    carried="weights and moments of all features that have come up, and the number of updates",
    alone="the bias and the weights of features that have any; moments and the number of updates begin anew",
    adopt=FactorizationMachinesState.adopt,
    recommend=recommend,
    label_size=1,
    sparse=True,
    pooled=True,
    sharded=True,
    request_types=("application/json", "application/jsonlines", "application/x-recordio-protobuf"),
    reply_types=("application/json", "application/jsonlines", "application/x-recordio-protobuf"),
)
