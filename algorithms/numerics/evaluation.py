"""How good models are that were trained side by side: sums over held-out records, and the choice of the best.

Sums have a fixed size, add over batches and hosts, and are kept for each candidate (first axis).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays
from algorithms.numerics.calibration import Criterion, Thresholds
from algorithms.numerics.losses import Loss
from algorithms.numerics.tallies import Tally
from recordio.batch import Batch
from recordio.errors import UserError

Scored = tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]  # margins, labels, weights


@dataclass(frozen=True, eq=False)
class Choice:
    """The winner, and what all were judged by.

    margin     of two classes, records at or above are positive; nan otherwise
    losses     mean objective of each candidate   (candidates,)
    values     of the criterion, by which they were compared; the losses where there is none   (candidates,)
    ranks      smaller is better, also where a target was not reached; of other records of the kind, too   (candidates,)
    margins    thresholds of each   (candidates,)
    criterion  its name
    """

    candidate: int
    margin: float
    reason: str
    criterion: str
    losses: NDArray[np.float64]
    values: NDArray[np.float64]
    ranks: NDArray[np.float64]
    margins: NDArray[np.float64]


class Evaluation:
    """Sums of losses and of a tally, for all candidates at once.

    scorer   margins, labels and weights of a batch, as `update_margins` takes them
    margin   a threshold that is set already; otherwise it is chosen
    """

    def __init__(
        self,
        loss: Loss,
        tally: Tally,
        candidates: int,
        scorer: Callable[[Batch], Scored] | None = None,
        margin: float | None = None,
    ) -> None:
        self.loss = loss
        self.tally = tally
        self.scorer = scorer
        self.margin = margin
        self.counts = np.zeros(candidates, np.int64)
        self.totals = np.zeros(candidates)

    def update(self, batch: Batch) -> None:
        assert self.scorer is not None
        if len(batch):
            self.update_margins(*self.scorer(batch))

    def update_margins(
        self,
        margins: NDArray[Any],
        labels: NDArray[Any],
        weights: NDArray[Any] | None = None,
        losses: NDArray[Any] | None = None,
    ) -> None:
        """Add records. Weights enter the loss; all other scores count records.

        margins   (records, candidates, outputs), in label units for regression
        labels    (records,)
        weights   (records,)
        losses    of each record where they are known already, weighted   (records, candidates)
        """
        if losses is None:
            losses = self.loss.value(margins, labels, weights)
        self.counts += len(labels)
        self.totals += losses.sum(axis=0, dtype=np.float64)
        self.tally.add(margins, labels)

    def merge(self, other: Evaluation) -> None:
        self.counts += other.counts
        self.totals += other.totals
        self.tally.merge(other.tally)

    def clear(self) -> None:
        """Forget all records."""
        self.counts[:], self.totals[:] = 0, 0
        self.tally.clear()

    def keep(self, better: NDArray[np.bool_], other: Evaluation) -> None:
        """Take these candidates from another evaluation."""
        self.counts[better], self.totals[better] = other.counts[better], other.totals[better]
        self.tally.keep(better, other.tally)

    def arrays(self) -> Arrays:
        return {"counts": self.counts.copy(), "totals": self.totals.copy(), **self.tally.arrays()}

    def restore(self, arrays: Arrays) -> None:
        """Go on from the arrays of another evaluation of the same kind and size."""
        self.counts, self.totals = arrays["counts"].copy(), arrays["totals"].copy()
        self.tally.restore(arrays)

    def losses(self) -> NDArray[np.float64]:
        """Mean objective of each candidate, nan when empty   (candidates,)"""
        means: NDArray[np.float64] = np.divide(
            self.totals, self.counts, out=np.full(len(self.totals), np.nan), where=self.counts > 0
        )
        return means

    def choose(self) -> Choice:
        """The best candidate by the criterion; of equals, the one with the lowest loss, then the first.

        A loss that is not finite is worse than all others. Without records, the first candidate.
        Raises UserError when no loss is finite.
        """
        losses = self.losses()
        objective = f"{self.loss.objective}_objective"
        calibrated = self.tally.thresholds()
        margins = np.full(len(losses), self.tally.margin) if calibrated is None else calibrated[1].margins
        if not self.counts.any():
            reason = "there were no records to judge by"
            return Choice(0, float(margins[0]), reason, objective, losses, losses, losses, margins)
        if not np.isfinite(losses).any():
            raise UserError(
                f"The {objective} of no candidate is finite: training diverged. Lower learning_rate, "
                "or look for very large values in the features and labels"
            )
        comparable = np.where(np.isfinite(losses), losses, np.inf)
        if calibrated is None or np.isnan(calibrated[1].values[np.isfinite(losses)]).all():
            best = int(comparable.argmin())
            reason = _lowest(objective, losses, best)
            if calibrated is not None:
                reason += f"; {calibrated[0].name} has no meaning, since no record is positive"
            return Choice(best, float(margins[best]), reason, objective, losses, losses, comparable, margins)
        criterion, found = calibrated
        values = np.where(np.isfinite(losses), found.values, np.nan)
        ranks = np.where(np.isnan(values), np.inf, np.where(found.reached, 1, 2) - values)
        best = int(np.lexsort((comparable, ranks))[0])
        reason = _highest(criterion, found, values, best)
        return Choice(best, float(margins[best]), reason, criterion.name, losses, values, ranks, margins)

    def scores(self, candidate: int, margin: float) -> dict[str, float]:
        """Scores of a candidate by the name that is printed. What has no meaning for the records seen is nan."""
        return {
            f"{self.loss.objective}_objective": float(self.losses()[candidate]),
            **self.tally.scores(candidate, margin),
        }

    def finalise(self) -> dict[str, float]:
        if self.margin is not None:
            return self.scores(0, self.margin)
        choice = self.choose()
        return self.scores(choice.candidate, choice.margin)


def labels_of(batch: Batch, classes: int = 0) -> NDArray[np.float32]:
    """The one label of each record, checked   (records,)

    classes   labels are 0 to classes - 1; 0 for labels that are any finite number
    Raises UserError.
    """
    labels = batch.labels
    if labels is None or (labels.ndim > 1 and labels.shape[1] != 1):
        found = "no" if labels is None else str(labels.shape[1])
        raise UserError(f"got records with {found} labels, expected one label for each record")
    labels = np.asarray(labels, np.float32).reshape(-1)
    wrong = ~((labels >= 0) & (labels < classes) & (labels == np.floor(labels))) if classes else ~np.isfinite(labels)
    if wrong.any():
        expected = "a finite number" if not classes else f"a whole number from 0 to {classes - 1}"
        raise UserError(f"got label {labels[wrong.argmax()]:g}, expected {expected}")
    return labels


def _lowest(objective: str, losses: NDArray[np.float64], best: int) -> str:
    if len(losses) == 1:
        return "it is the only candidate"
    first = f"; candidate 0 has {losses[0]:.6g}" if best else ""
    return f"lowest {objective} of {len(losses)} candidates, {losses[best]:.6g}{first}"


def _highest(criterion: Criterion, found: Thresholds, values: NDArray[np.float64], best: int) -> str:
    limit = f"{criterion.held} of at least {criterion.target:g}" if criterion.held else ""
    if not found.reached[best]:
        return f"no candidate has a threshold with {limit}; this one comes nearest, with {values[best]:.6g}"
    if len(values) == 1:
        return "it is the only candidate"
    measure = criterion.name.partition("_at_")[0]
    reason = f"highest {measure} of {len(values)} candidates{' with a ' * bool(limit)}{limit}, {values[best]:.6g}"
    equals = int((found.reached & (values == values[best])).sum())
    if equals > 1:
        reason += f"; {equals} candidates have it, of which this one has the lowest loss"
    elif best and found.reached[0]:
        reason += f"; candidate 0 has {values[0]:.6g}"
    return reason
