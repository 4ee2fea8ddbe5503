"""What is kept of passes over the data: losses of the one under way, and the best one of each candidate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays
from algorithms.linear_learner.scale import Scale
from algorithms.numerics.evaluation import Evaluation

FIRST_TURN = 1000
IN_FULL = 100_000  # records of a pass that are judged one by one,
ONE_IN = 4  # and of those after them, one batch in so many: counting margins costs more than learning from them
COUNTS = ("records", "everyone", "before", "batches", "turn", "expected", "learned")  # of a pass, as they are kept

Matrix = NDArray[np.float32]


@dataclass
class Passing:
    """The pass under way: every batch is judged before it is learned.

    Models need not answer for how they began: of the first pass and of long ones only the latter part counts, which is
    a third of it at least.

    early, late   scores of averaged models in label units, before and since the last `turn`
    totals        sums of losses as the models were moved by them, of scaled labels   (candidates,)
    records       of this host
    everyone      records of all hosts that learn in step
    before        of `everyone`, before the latest batch that had any
    learned       of all hosts in an earlier job, before the first pass of this one
    turn          of `learned` and `everyone`, after which early scores are given up for late ones; it doubles each time
    expected      of `everyone` in the pass before; 0 if this is the first of the job
    """

    early: Evaluation
    late: Evaluation
    totals: NDArray[np.float64]
    records: int = 0
    everyone: int = 0
    before: int = 0
    batches: int = 0
    turn: int = FIRST_TURN
    expected: int = 0
    learned: int = 0

    def __post_init__(self) -> None:
        while self.turn <= self.learned:
            self.turn *= 2

    @property
    def losses(self) -> NDArray[np.float64]:
        return self.totals / self.records if self.records else np.full(len(self.totals), np.nan)

    def add(self, losses: NDArray[Any], everyone: int) -> None:
        """Losses of this host, (records, candidates), and how many records all had."""
        self.batches += 1
        self.records += len(losses)
        if everyone:  # hosts take empty steps at the end
            self.before, self.everyone = self.everyone, self.everyone + everyone
        self.totals += np.ones(len(losses), losses.dtype) @ losses

    def judges(self) -> Evaluation | None:
        """Which evaluation is to have the next batch, if any."""
        wanted = self.everyone < IN_FULL or self.batches % ONE_IN == 0
        if self.expected > 2 * IN_FULL:
            return self.late if self.everyone >= self.expected // 2 and self.batches % ONE_IN == 0 else None
        if self.expected:
            return self.early if wanted else None
        stands = self.learned + self.everyone
        if stands >= self.turn:
            if self._late:
                self.early, self.late = self.late, self.early
                self.late.clear()
            self.turn *= 2
        return (self.late if stands >= self.turn // 2 else self.early) if wanted else None

    def seen(self) -> Evaluation:
        """Scores of the pass, which is over: of its last stretch, or of the two last where the last one is short."""
        if not self.expected and self._late and self.learned + self.everyone >= self.turn - self.turn // 4:
            return self.late
        self.early.merge(self.late)
        return self.early

    @property
    def _late(self) -> bool:
        """Whether any batch began late enough: large ones may not."""
        return self.learned + self.before >= self.turn // 2

    def merge(self, other: Passing) -> None:
        self.early.merge(other.early)
        self.late.merge(other.late)
        self.totals += other.totals
        self.records += other.records
        self.everyone = max(self.everyone, other.everyone)
        self.batches += other.batches

    def arrays(self) -> Arrays:
        sums = {
            "totals": self.totals.copy(),
            "counts": np.array([getattr(self, name) for name in COUNTS]),
        }
        late = self.late.arrays() if self.turn > FIRST_TURN or self.late.counts.any() else {}  # histograms are large
        return sums | over("early.", self.early.arrays()) | over("late.", late)

    def restore(self, arrays: Arrays) -> None:
        self.totals = arrays["totals"].copy()
        for name, count in zip(COUNTS, arrays["counts"].tolist(), strict=True):
            setattr(self, name, count)
        self.early.restore(under("early.", arrays))
        if late := under("late.", arrays):
            self.late.restore(late)


@dataclass
class Best:
    """The best pass of each candidate.

    values       by which passes were compared, smaller is better    (candidates,)
    evaluation   scores of each candidate in its best pass
    weights      of scaled records   (features, columns)
    bias         (columns,)
    """

    values: NDArray[np.float64]
    evaluation: Evaluation
    weights: Matrix = field(repr=False)
    bias: Matrix = field(repr=False)

    def update(self, other: Best) -> None:
        """Take those candidates that a later pass made better; of equals, those with a lower loss."""
        better = (other.values < self.values) | (np.isnan(self.values) & ~np.isnan(other.values))
        better |= (other.values == self.values) & (other.evaluation.losses() < self.evaluation.losses())
        columns = np.repeat(better, len(self.bias) // len(better))
        self.values = np.where(better, other.values, self.values)
        self.evaluation.keep(better, other.evaluation)
        self.weights[:, columns], self.bias[columns] = other.weights[:, columns], other.bias[columns]

    def rescale(self, before: Scale, after: Scale) -> None:
        weights, bias = after.folded(*before.unfolded(self.weights, self.bias))
        self.weights, self.bias = weights.astype(np.float32), bias.astype(np.float32)

    def merge(self, other: Best, share: float) -> None:
        """Mean of models on the same scale, of which the other counts for a share."""
        self.weights += np.float32(share) * (other.weights - self.weights)
        self.bias += np.float32(share) * (other.bias - self.bias)
        self.evaluation.merge(other.evaluation)
        self.values += share * (other.values - self.values)

    def arrays(self) -> Arrays:
        own: Arrays = {"values": self.values.copy(), "weights": self.weights.copy(), "bias": self.bias.copy()}
        return own | over("evaluation.", self.evaluation.arrays())

    @classmethod
    def restored(cls, evaluation: Evaluation, arrays: Arrays) -> Best:
        evaluation.restore(under("evaluation.", arrays))
        return cls(arrays["values"].copy(), evaluation, arrays["weights"].copy(), arrays["bias"].copy())


def under(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose names begin so, by the rest of the name."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def over(prefix: str, arrays: Arrays) -> Arrays:
    """The other way round."""
    return {prefix + name: array for name, array in arrays.items()}
