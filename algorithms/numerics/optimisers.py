"""Gradient descent over many models side by side: sgd, adam, rmsprop and adagrad, for dense and for sparse batches.

Weights are (rows, columns), a row for each feature. For each row that a batch touches, in one compiled pass:

    m <- keep m + add g                first moment    (momentum)
    v <- keep v + add g^2              second moment
    w <- w - s m,  s = rate / (sqrt(v) + epsilon)
    w <- sign(w) max(|w| - s l1, 0) / (1 + s wd)
    a <- a + (1 - ((t - 1) / t)^8) (w - a)

Moments that start at zero are corrected for it as in Adam (Kingma and Ba 2015, algorithm 1). The penalties are a
proximal step in the metric of the move (Duchi and Singer 2009, eq. 3; Duchi, Hazan and Singer 2011, section 5), which
gives exact zeros and is stable for any wd. `a` is the running mean of Shamir and Zhang 2013 (eq. 4, eta = 7): it has
the noise of about the last eighth of all steps, so a constant rate does as well as one tuned to the length of the data.

With a memory of T updates, what is older counts less and less: sums of squares keep exp(-1 / T) of what they were, and
so do means, which take the share of update 8 T from then on; rates fall no further than to that of update T.

Rows that are not touched stay as they are, moments too, and count their own updates; their penalties and means are
brought up when they are next needed (Langford, Li and Zhang 2009, section 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.numerics import rows as compiled
from algorithms.numerics.schedules import Schedule

EPSILON = 1e-8
EXPONENT = 8  # of the running mean: weights of one update make up about 8 / t of it
NEGLIGIBLE = 1e-7  # of a correction: beyond the precision of float32
MOST_CORRECTIONS = 1 << 20

Matrix = NDArray[np.float32]
Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Rule:
    """What an optimiser keeps of the gradients.

    first, second   (keep, add) of a moment, or None for an optimiser without it
    corrected       whether moments are divided by the share of them that gradients make up
    memory          updates that count in the mean, at least 1
    """

    first: tuple[float, float] | None = None
    second: tuple[float, float] | None = None
    corrected: bool = False
    memory: float = math.inf

    @property
    def moments(self) -> tuple[float, float, float, float, float, float]:
        return (*(self.first or (0, 0)), *(self.second or (0, 0)), EPSILON, EXPONENT * self.memory)

    def corrections(self) -> Matrix:
        """Factors of the first and second moment after 1, 2, … updates; the last holds from then on."""
        keeps = [moment[0] if moment and self.corrected else 0.0 for moment in (self.first, self.second)]
        entries = max(math.ceil(math.log(NEGLIGIBLE) / math.log(keep)) if keep else 1 for keep in keeps)
        updates = np.arange(1, min(entries, MOST_CORRECTIONS) + 1)
        return np.array(
            [1 / -np.expm1(updates * math.log(keep)) if keep else np.ones(len(updates)) for keep in keeps]
        ).astype(np.float32)


def sgd(momentum: float, memory: float = math.inf) -> Rule:
    return Rule(first=(momentum, 1) if momentum else None, memory=memory)


def adam(beta_1: float, beta_2: float, memory: float = math.inf) -> Rule:
    first = (beta_1, 1 - beta_1) if beta_1 else None
    return Rule(first=first, second=(beta_2, 1 - beta_2), corrected=True, memory=memory)


def rmsprop(decay: float, memory: float = math.inf) -> Rule:
    return Rule(second=(decay, 1 - decay), corrected=True, memory=memory)


def adagrad(memory: float = math.inf) -> Rule:
    return Rule(second=(math.exp(-1 / memory), 1), memory=memory)


class Descent:
    """Weights on their way down.

    kept     weights, their average, and the moments of the rule   (rows, 2 to 4, columns)
    steps    updates made
    """

    def __init__(self, weights: Matrix, rule: Rule, schedule: Schedule) -> None:
        self.rule = rule
        self.schedule = schedule
        moments = (rule.first is not None) + (rule.second is not None)
        self.kept = np.zeros((len(weights), 2 + moments, weights.shape[1]), np.float32)
        self.kept[:, :2] = weights[:, None]
        self.counts = np.zeros(len(weights), np.int32)
        self.last = np.zeros(len(weights), np.int64)
        self.steps = 0
        self._form = rule.moments, rule.corrections()
        self._all = np.arange(len(weights), dtype=np.int32)

    @property
    def weights(self) -> Matrix:
        """(rows, columns)"""
        return self.kept[:, 0]

    @property
    def average(self) -> Matrix:
        """The running mean of the weights; rows that were not touched may lag behind until they are settled."""
        return self.kept[:, 1]

    def step(self, gradient: Matrix, rows: Rows | None = None) -> None:
        """One update. Rows of a sparse batch must have been settled since the last one.

        gradient   of the mean loss of a batch, for all rows or for some   (rows, columns)
        """
        self.steps += 1
        some = self._all if rows is None else rows
        compiled.step(some, gradient, self.steps, self.kept, self.counts, self.last, *self._form, *self._rates())

    def settled(self, rows: Rows) -> Matrix:
        """The weights of some rows, brought up to the updates that did not touch them."""
        weights = np.empty((len(rows), self.kept.shape[2]), np.float32)
        compiled.settle(rows, weights, self.steps, self.kept, self.counts, self.last, *self._form, *self._rates())
        return weights

    def settle(self) -> None:
        """Bring all rows up."""
        compiled.settle(self._all, None, self.steps, self.kept, self.counts, self.last, *self._form, *self._rates())

    def merge(self, other: Descent, share: float) -> None:
        """The mean of two descents of the same kind, both settled, of which the other counts for a share.

        Moments that are sums over records add up.
        """
        grows = self.rule.second is not None and self.rule.second[1] == 1
        size = self.kept[:, -1] + other.kept[:, -1] if grows else None
        self.kept += np.float32(share) * (other.kept - self.kept)
        if size is not None:
            self.kept[:, -1] = size
        self.counts = np.maximum(self.counts, other.counts)
        self.steps = max(self.steps, other.steps)
        self.last[:] = self.steps

    def _rates(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        update = int(min(max(self.steps, 1), self.rule.memory))
        return self.schedule.at(update), self.schedule.decay, self.schedule.shrinkage
