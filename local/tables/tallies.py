"""Tallies: what a stream of records holds, in bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordio import Batch

MOST_DISTINCT = 1000  # values of labels, beyond which they are not told apart
WIDEST = 10**6  # features for each of which missing values are counted


@dataclass
class Range:
    """Least, largest and sum of the finite numbers seen, and how many are not finite."""

    count: int = 0
    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    missing: int = 0
    infinite: int = 0

    def add(self, numbers: NDArray[Any]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(numbers.sum(dtype=np.float64))
        if not math.isfinite(total):
            missing, infinite = np.isnan(numbers), np.isinf(numbers)
            self.missing += int(missing.sum())
            self.infinite += int(infinite.sum())
            numbers = numbers[~(missing | infinite)]
            with np.errstate(over="ignore"):
                total = float(numbers.sum(dtype=np.float64))
        if numbers.size:
            self.count += numbers.size
            self.low = min(self.low, float(numbers.min()))
            self.high = max(self.high, float(numbers.max()))
            self.total += total

    def facts(self, zeros: int = 0) -> dict[str, float | None]:
        """With so many zeros more. None where there is nothing, or where the sum is beyond all numbers."""
        low, high = (min(self.low, 0.0), max(self.high, 0.0)) if zeros else (self.low, self.high)
        mean = self.total / (self.count + zeros) if self.count + zeros else math.nan
        known = [value if math.isfinite(value) else None for value in (low, high, mean)]
        return dict(zip(("min", "max", "mean"), known, strict=True))


@dataclass
class Tally:
    """Records, their features and labels.

    width      of the widest record
    kinds      dense, sparse, or both
    stored     features that stand there; those of sparse records that don't are zero
    distinct   labels to how often they occur, or None when there are more than MOST_DISTINCT
    """

    records: int = 0
    width: int = 0
    label_count: int = 0
    stored: int = 0
    nonzeros: int = 0
    kinds: set[str] = field(default_factory=set)
    values: Range = field(default_factory=Range)
    labels: Range = field(default_factory=Range)
    distinct: Counter[float] | None = field(default_factory=Counter)
    _missing: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, batch: Batch) -> None:
        features: Any = batch.features
        dense = isinstance(features, np.ndarray)
        values = features if dense else features.data
        self.records += len(batch)
        self.width = max(self.width, batch.width)
        self.kinds.add("dense" if dense else "sparse")
        self.stored += values.size
        self.nonzeros += int(np.count_nonzero(values))
        before = self.values.missing
        self.values.add(values)
        if self.values.missing > before and batch.width <= WIDEST:
            columns = np.nonzero(np.isnan(features))[1] if dense else features.indices[np.isnan(values)]
            counts = np.bincount(columns, minlength=len(self._missing))
            counts[: len(self._missing)] += self._missing
            self._missing = counts
        if batch.labels is not None:
            self.add_labels(batch.labels)

    def add_labels(self, labels: NDArray[Any]) -> None:
        """Labels of some records, (records,) or (records, labels)."""
        self.label_count = max(self.label_count, 1 if labels.ndim == 1 else labels.shape[1])
        self.labels.add(labels)
        if self.distinct is not None:
            values, counts = np.unique(labels[~np.isnan(labels)], return_counts=True)
            if len(values) <= MOST_DISTINCT:
                self.distinct.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            if max(len(values), len(self.distinct)) > MOST_DISTINCT:
                self.distinct = None

    @property
    def cells(self) -> int:
        return self.records * self.width

    def missing_columns(self, most: int) -> list[tuple[int, int]]:
        """Columns with most missing values, and how many."""
        largest = np.argsort(-self._missing, kind="stable")[:most]
        return [(int(column), int(self._missing[column])) for column in largest if self._missing[column]]
