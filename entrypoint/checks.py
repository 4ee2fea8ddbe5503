"""Checks: whether the records of a channel are such as its algorithm takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from algorithms.contract import Algorithm
from recordio.batch import Batch
from recordio.content_types import CSV, ContentType
from recordio.errors import UserError


@dataclass(frozen=True)
class Checks:
    """What is asked of each record.

    channel   its name
    width     features that each record must have, or None
    """

    channel: str
    content_type: ContentType
    algorithm: Algorithm
    width: int | None

    def checked(self, batch: Batch, seen: int) -> Batch:
        """The batch, dense where the algorithm wants it so; `seen` records of the pass came before it."""
        if self.width is not None and batch.width != self.width:
            raise UserError(
                f"Incorrect configuration or {self.channel} dataset provided. The value of feature_dim hyperparameter "
                f"'{self.width}' doesn't match {self.channel} data dimensionality '{batch.width}'. "
                f"Please set feature_dim to the number of features in {self.channel} dataset.{self._hint}"
            )
        features: Any = batch.features
        if isinstance(features, np.ndarray):
            values = features
        else:
            values = features.data
            if not self.algorithm.sparse:
                batch = replace(batch, features=features.toarray())
        # A sum is finite only if all its terms are; it overflows so rarely that the exact check may be slow.
        with np.errstate(over="ignore", invalid="ignore"):
            doubtful = not np.isfinite(values.sum())
        if doubtful and not self.algorithm.missing and np.isnan(values).any():
            raise UserError(
                f"Unable to read data channel '{self.channel}'. Found missing (NaN) values. "
                f"Please remove any missing (NaN) values in the input data. {_first(features, np.isnan, seen)}"
            )
        if doubtful and np.isinf(values).any():
            raise UserError(
                f"Unable to read data channel '{self.channel}'. Found infinite floating point values. Please remove "
                f"any infinite floating point values in the input data. {_first(features, np.isinf, seen)}"
            )
        if self.algorithm.labelled:
            self._check_labels(batch, seen)
        return batch

    def _check_labels(self, batch: Batch, seen: int) -> None:
        labels = np.full((1, 1), np.nan) if batch.labels is None else batch.labels.reshape(len(batch), -1)
        without = np.isnan(labels).any(axis=1)
        if without.any():
            raise UserError(
                f"Unable to read data channel '{self.channel}'. Got input data without labels. Each record needs a "
                f"label; the first one without is record {seen + int(without.argmax())}.{self._hint}"
            )
        if batch.weights is None:
            return
        wrong = ~(np.isfinite(batch.weights) & (batch.weights >= 0))
        if wrong.any():
            raise UserError(
                f"Unable to read data channel '{self.channel}'. Got weight {batch.weights[wrong][0]:g} of record "
                f"{seen + int(wrong.argmax())}, expected a finite number of at least 0."
            )

    @property
    def _hint(self) -> str:
        """A label column that is counted as a feature, or the other way round, is the usual cause in CSV."""
        if self.content_type.type != CSV:
            return ""
        if self.algorithm.labelled:
            return " The label stands before the features."
        labels = self.content_type.label_size
        labels = self.algorithm.label_size if labels is None else labels
        return f" The first {labels} columns were read as labels; text/csv;label_size=N says another number."


def _first(features: Any, wrong: Callable[[Any], Any], seen: int) -> str:
    """Where the first wrong value stands, counted from 0 over all files of the channel."""
    if isinstance(features, np.ndarray):
        row, column = np.argwhere(wrong(features))[0]
    else:
        entries = features.tocoo()
        at = np.flatnonzero(wrong(entries.data))[0]
        row, column = entries.row[at], entries.col[at]
    return f"The first is at record {seen + row}, feature {column}."
