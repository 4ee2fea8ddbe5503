"""K-Means: k centres with small squared distances, from one pass over the data."""

from __future__ import annotations

import logging

import numpy as np

from algorithms.contract import Algorithm, Channel, Metric
from algorithms.kmeans.hyperparameters import KMeansHyperparameters
from algorithms.kmeans.model import KMeansEvaluation, KMeansModel, load
from algorithms.kmeans.state import KMeansState

log = logging.getLogger(__name__)


def _evaluate(model: KMeansModel, settings: KMeansHyperparameters) -> KMeansEvaluation:
    return KMeansEvaluation(model, list(settings.eval_metrics))


def _create(settings: KMeansHyperparameters, generator: np.random.Generator) -> KMeansState:
    if settings.extra_center_factor == "auto":
        log.info("'extra_center_factor' was set to 'auto', evaluated to %d.", settings.center_factor)
    return KMeansState(settings, generator)


ALGORITHM = Algorithm(
    name="kmeans",
    title="K-Means",
    description="Groups records so that the sum of squared distances to the group's centre is small, in one pass.",
    dimension="AWS/KMeansWebscale",
    hyperparameters=KMeansHyperparameters,
    channels=(
        Channel("train", "Records to cluster; labels are ignored.", required=True),
        Channel("test", "Records to score the final centres on."),
    ),
    content_types=("application/x-recordio-protobuf", "text/csv"),
    metrics=(
        Metric("msd", "loss", "Mean squared Euclidean distance to the nearest centre."),
        Metric("ssd", "loss", "Sum of squared Euclidean distances to the nearest centre.", channels=("test",)),
    ),
    create=_create,
    restore=KMeansState.restore,
    load=load,
    evaluate=_evaluate,
    carried="working centres with their weights and spreads, and the sample of records",
    alone="centres do not say how many records each of them stands for",
    label_size=0,
    curve=("k", "msd"),
    gpu=True,
)
