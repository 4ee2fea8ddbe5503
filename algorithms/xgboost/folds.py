"""Folds: which records are held out when, and what is predicted of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from algorithms.xgboost.hyperparameters import XGBoostHyperparameters
from algorithms.xgboost.spool import Spool
from recordio.errors import UserError


def folds(
    labels: NDArray[np.float32],
    groups: NDArray[np.int64] | None,
    count: int,
    rounds: int,
    *,
    stratified: bool,
    generator: np.random.Generator,
) -> Iterator[NDArray[np.bool_]]:
    """The records that each fold of each round of cross validation holds out   (records,)

    Every record is held out once a round. Records of a query stay together.

    stratified   whether each fold gets its part of every label
    """
    records = len(labels)
    units, of = np.arange(records), np.arange(records)
    if groups is not None:
        units, of = np.unique(groups, return_inverse=True)
    if 0 < len(units) < count:
        what = "records" if groups is None else "queries"
        raise UserError(f"got {len(units)} {what} to cut into {count} folds (hyperparameter _kfold)")
    for _ in range(rounds):
        order = generator.permutation(len(units))
        if stratified and groups is None:
            order = order[np.argsort(labels[order], kind="stable")]
        fold = np.empty(len(units), np.int64)
        fold[order] = np.arange(len(units)) % count
        for number in range(count):
            yield fold[of] == number


def held_out_predictions(
    spool: Spool,
    boosters: Sequence[xgboost.Booster],
    held_out: Sequence[NDArray[np.bool_]],
    settings: XGBoostHyperparameters,
) -> NDArray[np.float64]:
    """For each record its labels and what boosters that have not learned it predict   (records, columns)

    The mean of their predictions; for classes the mean probability, of the class predicted where there are more than
    two, and then the most frequent class, the smallest of equals.
    """
    if not len(spool):
        return np.empty((0, 0))
    labels = spool.labels
    assert labels is not None
    found = []
    for block in spool.blocks():
        features = spool.features(block, boosters[0].num_features())
        total: NDArray[Any] = np.zeros(())
        classes = np.zeros((block.stop - block.start, settings.num_cv_round), np.int64)
        for number, (booster, out) in enumerate(zip(boosters, held_out, strict=True)):
            rows = out[block]
            if not rows.any():
                continue
            predicted = booster.predict(xgboost.DMatrix(features[rows]), output_margin=settings.stratified)
            if settings.stratified:
                predicted, classes[rows, number // (settings.kfold or 1)] = _decided(predicted, settings.task)
            placed = np.zeros((len(rows), *predicted.shape[1:]))
            placed[rows] = predicted
            total = total + placed
        columns: list[NDArray[Any]] = [labels[block], total / settings.num_cv_round]
        if settings.stratified:
            columns.append(_most_frequent(classes))
        found.append(np.concatenate([column.reshape(len(classes), -1) for column in columns], axis=1))
    return np.concatenate(found)


def _decided(margin: NDArray[np.float32], objective: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probability, and class: of class 1, or of the class that is most likely of several."""
    from scipy.special import expit, softmax

    if margin.ndim == 2:
        probabilities = softmax(margin.astype(np.float64), axis=1)
        return probabilities.max(axis=1), probabilities.argmax(axis=1)
    classes = (margin > 0).astype(np.int64)
    if objective == "binary:hinge":
        return classes.astype(np.float64), classes
    return expit(margin.astype(np.float64)), classes


def _most_frequent(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each row   (records, rounds) -> (records,)"""
    votes = (classes[:, :, None] == classes[:, None, :]).sum(axis=2)
    candidates = np.where(votes == votes.max(axis=1, keepdims=True), classes, np.iinfo(np.int64).max)
    return np.asarray(candidates.min(axis=1), np.int64)
