"""What is summed over scored records, for each kind of task; one entry of the first axis for each candidate."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays
from algorithms.numerics.calibration import Criterion, Histogram, Thresholds


class Tally(Protocol):
    """What one kind of task sums besides the loss."""

    @property
    def margin(self) -> float:
        """The threshold of two classes where none is chosen; nan for other tasks."""
        ...

    def add(self, margins: NDArray[Any], labels: NDArray[Any]) -> None: ...

    def merge(self, other: Any) -> None: ...

    def clear(self) -> None: ...

    def keep(self, better: NDArray[np.bool_], other: Any) -> None: ...

    def arrays(self) -> Arrays: ...

    def restore(self, arrays: Arrays) -> None: ...

    def thresholds(self) -> tuple[Criterion, Thresholds] | None:
        """Best thresholds, and what they are best by; None where the loss alone decides."""
        ...

    def scores(self, candidate: int, margin: float, /) -> dict[str, float]: ...


class _Sums:
    """Arrays that add, one entry of the first axis for each candidate."""

    margin = np.nan

    def __init__(self, **sums: NDArray[Any]) -> None:
        self.sums = sums

    def merge(self, other: _Sums) -> None:
        for name, values in other.sums.items():
            self.sums[name] += values

    def clear(self) -> None:
        for values in self.sums.values():
            values[:] = 0

    def keep(self, better: NDArray[np.bool_], other: _Sums) -> None:
        for name, values in other.sums.items():
            self.sums[name][better] = values[better]

    def arrays(self) -> Arrays:
        return {name: values.copy() for name, values in self.sums.items()}

    def restore(self, arrays: Arrays) -> None:
        self.sums = {name: arrays[name].copy() for name in self.sums}

    def thresholds(self) -> tuple[Criterion, Thresholds] | None:
        return None


class Errors(_Sums):
    """Regression: errors in label units."""

    def __init__(self, candidates: int) -> None:
        super().__init__(records=np.zeros(candidates), squares=np.zeros(candidates), distances=np.zeros(candidates))

    def add(self, margins: NDArray[Any], labels: NDArray[Any]) -> None:
        errors = margins[:, :, 0] - np.asarray(labels, np.float64)[:, None]
        self.sums["records"] += len(labels)
        self.sums["squares"] += np.einsum("ij,ij->j", errors, errors)
        self.sums["distances"] += np.abs(errors).sum(axis=0)

    def scores(self, candidate: int, _: float, /) -> dict[str, float]:
        records, squares, distances = (float(values[candidate]) for values in self.sums.values())
        mse, absolute = (squares / records, distances / records) if records else (np.nan, np.nan)
        return {"mse": mse, "rmse": float(np.sqrt(mse)), "absolute_loss": absolute}


class TwoClasses:
    """Binary classification: a histogram of margins by class.

    criterion   None where the loss decides; the threshold is then the centre, which stands for a score of 0.5
    beta        of the F score that is printed
    """

    def __init__(self, histogram: Histogram, criterion: Criterion | None, beta: float) -> None:
        self.histogram = histogram
        self.criterion = criterion
        self.beta = beta

    @property
    def margin(self) -> float:
        return self.histogram.centre

    def add(self, margins: NDArray[Any], labels: NDArray[Any]) -> None:
        self.histogram.add(margins[:, :, 0], labels > 0.5)

    def merge(self, other: TwoClasses) -> None:
        self.histogram.merge(other.histogram)

    def clear(self) -> None:
        """Bins stay as wide as they are: margins of the same models will need them."""
        self.histogram.counts[:] = 0

    def keep(self, better: NDArray[np.bool_], other: TwoClasses) -> None:
        self.histogram.keep(better, other.histogram)

    def arrays(self) -> Arrays:
        return {"histogram": self.histogram.counts.copy(), "ranges": self.histogram.ranges.copy()}

    def restore(self, arrays: Arrays) -> None:
        self.histogram.counts, self.histogram.ranges = arrays["histogram"].copy(), arrays["ranges"].copy()

    def thresholds(self) -> tuple[Criterion, Thresholds] | None:
        return None if self.criterion is None else (self.criterion, self.histogram.thresholds(self.criterion))

    def scores(self, candidate: int, margin: float, /) -> dict[str, float]:
        at = self.histogram.confusion(candidate, margin)
        return {
            "binary_classification_accuracy": at.accuracy,
            f"binary_f_{self.beta:.3f}": at.f(self.beta),
            "precision": at.precision,
            "recall": at.recall,
            "roc_auc_score": float(self.histogram.auc()[candidate]),
        }


class ManyClasses(_Sums):
    """Multiclass: records by class, and the rank of the true class, from 1; equal margins go to the first class.

    Scores over classes are means over those that came up, as label or as prediction. All others are means over records,
    also the log loss, where the objective weighs classes.
    """

    def __init__(self, candidates: int, classes: int, top: int, beta: float) -> None:
        shape = (candidates, classes)
        super().__init__(
            actual=np.zeros(shape, np.int64),
            predicted=np.zeros(shape, np.int64),
            right=np.zeros(shape, np.int64),
            top=np.zeros(candidates, np.int64),
            gain=np.zeros(candidates),
            surprise=np.zeros(candidates),
        )
        self.top = top
        self.beta = beta

    def add(self, margins: NDArray[Any], labels: NDArray[Any]) -> None:
        """Discounted cumulative gain of one true class at rank r: 1 / log2(r + 1) (Järvelin and Kekäläinen 2002)."""
        classes = labels.astype(np.int64)
        candidates, outputs = margins.shape[1:]
        own = np.take_along_axis(margins, classes[:, None, None], axis=2)
        ranks = 1 + (margins > own).sum(axis=2)
        ranks += ((margins == own) & (np.arange(outputs) < classes[:, None, None])).sum(axis=2)
        highest = margins.max(axis=2, keepdims=True)
        surprise = np.log(np.exp(margins - highest).sum(axis=2)) + (highest - own)[:, :, 0]
        columns = np.broadcast_to(np.arange(candidates), ranks.shape)
        rows = np.broadcast_to(classes[:, None], ranks.shape)
        np.add.at(self.sums["predicted"], (columns, margins.argmax(axis=2)), 1)
        np.add.at(self.sums["right"], (columns, rows), ranks == 1)
        self.sums["actual"] += np.bincount(classes, minlength=outputs)
        self.sums["top"] += (ranks <= self.top).sum(axis=0)
        self.sums["gain"] += (1 / np.log2(ranks + 1)).sum(axis=0)
        self.sums["surprise"] += surprise.sum(axis=0, dtype=np.float64)

    def scores(self, candidate: int, _: float, /) -> dict[str, float]:
        actual, predicted, right, top, gain, surprise = (values[candidate] for values in self.sums.values())
        records = actual.sum()
        seen = (actual > 0) | (predicted > 0)
        square = self.beta**2
        precision = right[seen] / np.maximum(predicted[seen], 1)
        recall = right[seen] / np.maximum(actual[seen], 1)
        f = (1 + square) * right[seen] / (square * actual[seen] + predicted[seen])
        balanced = right[actual > 0] / actual[actual > 0]
        values = {
            "multiclass_accuracy": right.sum() / max(records, 1),
            f"multiclass_top_k_accuracy_{self.top}": top / max(records, 1),
            "dcg": gain / max(records, 1),
            "macro_recall": recall.sum() / max(len(recall), 1),
            "macro_precision": precision.sum() / max(len(precision), 1),
            f"macro_f_{self.beta:.3f}": f.sum() / max(len(f), 1),
            "multiclass_balanced_accuracy": balanced.sum() / max(len(balanced), 1),
            "multiclass_log_loss": surprise / max(records, 1),
        }
        return {name: float(value) if records else np.nan for name, value in values.items()}
