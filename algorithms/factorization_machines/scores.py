"""How well margins fit labels: sums over records, by the names that are printed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from algorithms.factorization_machines.hyperparameters import FactorizationMachinesHyperparameters
from algorithms.factorization_machines.model import FactorizationMachine
from algorithms.numerics.calibration import Confusion
from algorithms.numerics.evaluation import labels_of
from recordio.batch import Batch

SUMS = {
    "regressor": ("squares", "distances"),
    "binary_classifier": ("losses", "true_positives", "false_positives", "false_negatives"),
}


class Scores:
    """sums   records, and those of SUMS for the kind of task"""

    def __init__(self, predictor_type: str) -> None:
        self.predictor_type = predictor_type
        self.sums = np.zeros(1 + len(SUMS[predictor_type]))

    @property
    def records(self) -> int:
        return int(self.sums[0])

    def add(self, margins: NDArray[np.float32], labels: NDArray[np.float32]) -> None:
        """Both (records,)."""
        if self.predictor_type == "regressor":
            errors = margins.astype(np.float64) - labels
            found = [errors @ errors, np.abs(errors).sum()]
        else:
            # -log sigmoid(margin) for class 1, -log sigmoid(-margin) for class 0
            wrong = margins * (1 - 2 * labels)
            losses = np.maximum(wrong, 0) + np.log1p(np.exp(-np.abs(wrong)))
            taken, actual = margins >= 0, labels > 0.5
            right = np.count_nonzero(taken & actual)
            taken_count, actual_count = np.count_nonzero(taken), np.count_nonzero(actual)
            found = [losses.sum(dtype=np.float64), right, taken_count - right, actual_count - right]
        self.sums += [len(labels), *found]

    def merge(self, other: Scores) -> None:
        self.sums += other.sums

    def finalise(self) -> dict[str, float]:
        """nan without records."""
        records, *sums = self.sums.tolist()
        if self.predictor_type == "regressor":
            mse, absolute = (each / records if records else math.nan for each in sums)
            return {"rmse": math.sqrt(mse), "mse": mse, "absolute_loss": absolute}
        losses, right, false_positives, false_negatives = sums
        found = Confusion(*map(int, (right, false_positives, false_negatives, records - sum(sums[1:]))))
        return {
            "binary_classification_cross_entropy": losses / records if records else math.nan,
            "binary_classification_accuracy": found.accuracy,
            "binary_f_1.000": found.f(1),
        }


class Evaluation:
    """Scores of a model on held-out records."""

    def __init__(self, model: FactorizationMachine, settings: FactorizationMachinesHyperparameters) -> None:
        self.model = model
        self.settings = settings
        self.scores = Scores(model.predictor_type)

    def update(self, batch: Batch) -> None:
        self.scores.add(self.model.margins(batch), labels_of(batch, self.settings.classes))

    def merge(self, other: Evaluation) -> None:
        self.scores.merge(other.scores)

    def finalise(self) -> dict[str, float]:
        return self.scores.finalise()
