"""PCA: the directions in which records differ most, from one pass over the data."""

from __future__ import annotations

import logging

import numpy as np

from algorithms.contract import Algorithm, Channel, Metric
from algorithms.pca.hyperparameters import PCAHyperparameters
from algorithms.pca.model import PCAEvaluation, PCAModel, load
from algorithms.pca.state import PCAState

LARGE_BYTES = 1 << 29

log = logging.getLogger(__name__)


def _create(settings: PCAHyperparameters, _: np.random.Generator) -> PCAState:
    size = 8 * settings.feature_dim**2
    if not settings.sketched and size > LARGE_BYTES:
        log.warning(
            "Products of all pairs of %d features take %d MiB; algorithm_mode randomized would take less.",
            settings.feature_dim,
            size >> 20,
        )
    return PCAState(settings)


def _evaluate(model: PCAModel, _: PCAHyperparameters) -> PCAEvaluation:
    return PCAEvaluation(model)


ALGORITHM = Algorithm(
    name="pca",
    title="PCA",
    description="Finds the directions in which records differ most, and projects records on them, in one pass.",
    dimension="PCA",
    hyperparameters=PCAHyperparameters,
    channels=(
        Channel("train", "Records to find components of; labels are ignored.", required=True),
        Channel("test", "Records to score the final components on."),
    ),
    content_types=("application/x-recordio-protobuf", "text/csv"),
    metrics=(
        Metric(
            "explained_variance_ratio",
            "score",
            "Part of the sum of squared distances to the mean, or to zero without subtract_mean, that the components "
            "hold.",
        ),
        Metric(
            "reconstruction_error",
            "loss",
            "Mean squared Euclidean distance of a record to its reconstruction from the components.",
        ),
    ),
    create=_create,
    restore=PCAState.restore,
    load=load,
    evaluate=_evaluate,
    carried="the mean, the sums or the sketch around it, and the number of records",
    alone="components say neither how many records they are of nor what lies beside them",
    label_size=0,
    sparse=True,
    once=True,
    envelope="projections",
    curve=("num_components", "reconstruction_error"),
    gpu=True,
)
