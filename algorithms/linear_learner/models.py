"""Linear models side by side on scaled records: two products a batch, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays, Pool
from algorithms.linear_learner.candidates import Candidate, rule, schedules
from algorithms.linear_learner.hyperparameters import LinearLearnerHyperparameters
from algorithms.linear_learner.scale import Features, Scale, csr
from algorithms.numerics.keys import different
from algorithms.numerics.losses import weighed
from algorithms.numerics.optimisers import Descent
from algorithms.numerics.rows import touched
from algorithms.numerics.shards import Asked
from algorithms.numerics.threads import few_threads

WEIGHTS, AVERAGE = 0, 1  # what a descent keeps of a row, in order

Matrix = NDArray[np.float32]


class Models:
    """Weights and biases of all candidates; columns of one candidate lie together.

    weights   a row for each feature                    (features, candidates * outputs)
    bias      None for models without an intercept      (1, candidates * outputs)
    records   learned so far
    largest   records of the largest batch of all hosts
    drawn     whether first weights were random
    """

    def __init__(
        self,
        settings: LinearLearnerHyperparameters,
        chosen: Sequence[Candidate],
        scale: Scale,
        generator: np.random.Generator,
    ) -> None:
        self.loss = settings.loss_function
        self.candidates = tuple(chosen)
        self.outputs = settings.outputs
        self.scale = scale
        moves = rule(settings, chosen[0].optimizer)
        of_weights, of_bias = schedules(chosen, self.outputs)
        features, columns = len(scale.factor), len(chosen) * self.outputs
        first = _first_weights(settings, features, generator)  # the same for all: they shall differ by what they are
        self.weights = Descent(np.tile(first, len(chosen)), moves, of_weights)
        bias = np.full((1, columns), settings.init_bias, np.float32)
        self.bias = Descent(bias, moves, of_bias) if settings.use_bias else None
        self.records = self.largest = 0
        self.drawn = True
        self._places = np.full(features, -1, np.int32) if scale.sparse else None
        self._ahead = np.zeros(features, bool)  # rows that other hosts don't have yet as they are here

    def learn(
        self, x: Features, labels: NDArray[np.float32], weights: NDArray[Any] | None, judged: bool, pool: Pool
    ) -> tuple[Matrix, Matrix | None, int]:
        """One update of all models with one batch of each host. Returns what they made of this host's before.

        x         records as they came    (records, features)
        labels    scaled                  (records,)
        weights   of the records          (records,) or (records, candidates)
        judged    whether margins by the averages are wanted too
        returns   losses without weights (records, candidates), those margins (records, candidates, outputs), and how
                  many records all hosts had
        """
        with few_threads(len(labels) * self.weights.kept.shape[2] * x.shape[1]):
            if self._places is not None:
                losses, margins, count = self._learn_sparse(self.scale.features(x), labels, weights, judged, pool)
            else:
                losses, margins, count = self._learn_dense(x, labels, weights, judged, pool)
        self.records += int(count[0])
        return losses, margins, int(count[0])

    def start(self, weights: Matrix, bias: Matrix) -> None:
        """Let all candidates begin with the same model of raw features   (features, outputs) and (outputs,)"""
        self.drawn = False
        folded, moved = self.scale.opened().folded(weights, bias)
        folded[self.scale.factor == 0] = 0  # what these columns give is in the bias
        for part, values in ((self.weights, folded), (self.bias, moved[None])):
            if part is not None:
                part.kept[:, :2] = np.tile(values.astype(np.float32), len(self.candidates))[:, None]

    def agree(self, pool: Pool) -> None:
        """Have the rows that other hosts have moved."""
        if self._places is None or pool.hosts == 1:
            return
        rows, names = np.flatnonzero(self._ahead), ("kept", "counts", "last")
        for told, _ in pool.gathered({"rows": rows, **{name: getattr(self.weights, name)[rows] for name in names}}, {}):
            for name in names:
                getattr(self.weights, name)[told["rows"]] = told[name]
        self._ahead[:] = False

    def settle(self) -> None:
        """Bring all averages up to the last update."""
        self.weights.settle()

    def averages(self) -> tuple[Matrix, Matrix]:
        """Running means of weights and biases: what is scored and saved   (features, columns) and (columns,)

        Sparse features that never came have no weight, rather than the one they were given at first.
        """
        weights = self.weights.average
        if self._places is not None and self.drawn:
            weights = np.where(self.weights.counts[:, None] > 0, weights, 0)
        return weights, np.zeros(weights.shape[1], np.float32) if self.bias is None else self.bias.average[0]

    def scorer(self) -> Callable[[Features], Matrix]:
        """Margins by the averages of now, of records as they came   (records, candidates, outputs)"""
        weights, bias = (np.ascontiguousarray(each) for each in self.averages())

        def score(x: Features) -> Matrix:
            with few_threads(x.shape[0] * weights.size):
                margins: Matrix = self.scale.features(x) @ weights
            margins += bias
            return margins.reshape(x.shape[0], len(self.candidates), self.outputs)

        return score

    def rescale(self, after: Scale) -> None:
        """The same models for records scaled in another way; gradients are as large as features are."""
        before, self.scale = self.scale, after
        grown = (after.factor / before.factor)[:, None]
        for slot in range(2):
            bias = np.zeros(self.weights.kept.shape[2]) if self.bias is None else self.bias.kept[0, slot]
            weights, bias = after.folded(*before.unfolded(self.weights.kept[:, slot], bias))
            self.weights.kept[:, slot] = weights
            if self.bias is not None:
                self.bias.kept[0, slot] = bias
        if self.weights.rule.first:
            self.weights.kept[:, 2] *= grown
        if self.weights.rule.second:
            self.weights.kept[:, -1] *= grown**2

    def merge(self, other: Models, share: float) -> None:
        """Mean of models on the same scale, settled both, of which the other counts for a share."""
        self.weights.merge(other.weights, share)
        if self.bias is not None and other.bias is not None:
            self.bias.merge(other.bias, share)
        self.records += other.records

    def arrays(self) -> Arrays:
        parts = {"weights": self.weights, "bias": self.bias}
        return {
            f"{name}.{what}": getattr(part, what)
            for name, part in parts.items()
            if part is not None
            for what in ("kept", "counts", "last")
        }

    def values(self) -> dict[str, Any]:
        return {"records": self.records, "largest": self.largest, "drawn": self.drawn, "updates": self.weights.steps}

    def restore(self, arrays: Arrays, values: dict[str, Any]) -> None:
        for name, array in self.arrays().items():
            array[...] = arrays[name]
        self.records, self.largest, self.drawn = values["records"], values["largest"], values["drawn"]
        for part in (self.weights, self.bias):
            if part is not None:
                part.steps = values["updates"]

    def _learn_dense(
        self, x: Matrix, labels: NDArray[np.float32], weights: NDArray[Any] | None, judged: bool, pool: Pool
    ) -> tuple[Matrix, Matrix | None, Matrix]:
        """Where it can be, x = (records - shift) * factor is multiplied out: records are read, not copied."""
        folded = self.scale.foldable
        factor, shift = self.scale.factor[:, None], self.scale.shift if folded else None
        x = x if folded else self.scale.features(x)

        def margins(slot: int) -> Matrix:
            near = self.weights.kept[:, slot]
            near = near * factor if folded else np.ascontiguousarray(near)  # strides don't reach BLAS
            return self._shaped(x @ near, slot, None if shift is None else shift @ near)

        averages = margins(AVERAGE) if judged else None
        losses, slopes, totals = self._slopes(margins(WEIGHTS), labels, weights)
        count, totals, gradient = pool.sums(np.array([len(labels)], np.float32), totals, x.T @ slopes)
        if part := self._part(count):
            totals = self._move_bias(totals, part)
            gradient *= part
            if shift is not None:
                gradient -= np.outer(shift, totals)
            if folded:
                gradient *= factor
            self.weights.step(gradient)
        return losses, averages, count

    def _learn_sparse(
        self, x: Features, labels: NDArray[np.float32], weights: NDArray[Any] | None, judged: bool, pool: Pool
    ) -> tuple[Matrix, Matrix | None, Matrix]:
        """As `_learn_dense`, of the features that occur and no others.

        Of several hosts, each moves the rows that are its own, and asks others for theirs.
        """
        assert self._places is not None
        rows, places = touched(x.indices, self._places)
        near = csr((x.data, places, x.indptr), (x.shape[0], len(rows)))
        mine, asked = rows, None
        if pool.hosts > 1:
            asked = Asked(pool, rows, x.shape[1])
            mine, among = different(asked.keys)
            self._ahead[mine] = True
        found = [self.weights.settled(mine), *([self.weights.kept[mine, AVERAGE]] if judged else [])]
        if asked is not None:
            found = np.split(asked.answered(np.hstack(found)[among]), len(found), axis=1)
        margins = self._shaped(near @ found[WEIGHTS], WEIGHTS)
        averages = self._shaped(near @ found[AVERAGE], AVERAGE) if judged else None
        losses, slopes, totals = self._slopes(margins, labels, weights)
        count, totals = pool.sums(np.array([len(labels)], np.float32), totals)
        if part := self._part(count):
            self._move_bias(totals, part)
            gradient = np.ascontiguousarray(near.T @ slopes)
            if asked is not None:
                gradient = asked.sums(gradient, among, len(mine))
            gradient *= part
            self.weights.step(gradient, mine)
        return losses, averages, count

    def _shaped(self, products: Matrix, slot: int, less: Matrix | None = None) -> Matrix:
        """Margins from products of records and weights   (records, candidates, outputs)"""
        constant = 0 if self.bias is None else self.bias.kept[0, slot]
        products += constant if less is None else constant - less
        return products.reshape(len(products), len(self.candidates), self.outputs)

    def _slopes(
        self, margins: Matrix, labels: NDArray[np.float32], weights: NDArray[Any] | None
    ) -> tuple[Matrix, Matrix, Matrix]:
        """Losses, slopes of them (records, columns), and the sums of those over records (columns,)."""
        losses, slopes = self.loss.slopes(margins, labels)
        slopes = weighed(slopes, weights).reshape(len(labels), self.weights.kept.shape[2])
        return losses, slopes, np.ones(len(labels), np.float32) @ slopes

    def _part(self, count: Matrix) -> np.float32:
        """What a record's slope counts for in a batch of `count`: as much as in the largest one, whose mean moves all.

        Where hosts run out of records one after another, the last batches would move the models by their noise.
        """
        self.largest = max(self.largest, int(count[0]))
        return np.float32(1 / self.largest) if count[0] else np.float32(0)

    def _move_bias(self, totals: Matrix, part: np.float32) -> Matrix:
        """One update along the mean slope, which is returned   (columns,)"""
        means: Matrix = totals * part
        if self.bias is not None:
            self.bias.step(means[None])
        return means


def _first_weights(settings: LinearLearnerHyperparameters, features: int, generator: np.random.Generator) -> Matrix:
    """(features, outputs)"""
    shape = (features, settings.outputs)
    if settings.init_method == "uniform":
        return generator.uniform(-settings.init_scale, settings.init_scale, shape).astype(np.float32)
    return generator.normal(0, settings.init_sigma, shape).astype(np.float32)
