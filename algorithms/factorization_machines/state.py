"""What Factorization Machines keep of a stream."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Alone, Arrays, Pass, Pool
from algorithms.factorization_machines import interactions
from algorithms.factorization_machines.entries import Entries
from algorithms.factorization_machines.first import BIAS, first_values
from algorithms.factorization_machines.hyperparameters import FactorizationMachinesHyperparameters
from algorithms.factorization_machines.model import FactorizationMachine, finite
from algorithms.factorization_machines.scores import Evaluation, Scores
from algorithms.factorization_machines.table import Table
from algorithms.numerics.evaluation import labels_of
from algorithms.numerics.keys import different
from algorithms.numerics.shards import Asked
from recordio.batch import Batch
from recordio.errors import UserError

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8

log = logging.getLogger(__name__)


class FactorizationMachinesState:
    """A factorization machine on its way down, by Adam on the rows that a batch touches.

    table     weights and moments of the features that have come up
    bias      w0, and its moments   (3,)
    steps     updates made
    largest   records of the largest batch of all hosts, of whose mean slope an update goes
    dense     whether all records came dense: then all features are touched, always; None before the first
    passing   scores of the pass under way, each batch before it was learned
    latest    scores of the last pass that has ended
    pool      with whom it learns in step: each host then has a part of the table, and all have the bias
    """

    def __init__(self, settings: FactorizationMachinesHyperparameters) -> None:
        self.settings = settings
        self.groups = settings.group("factors"), settings.group("linear"), settings.group("bias")
        self.table = Table(settings)
        self.bias = np.zeros(3)
        if settings.use_bias:
            self.bias[0] = first_values(BIAS, np.arange(1), self.groups[2])[0, 0]
        self.steps = self.largest = 0
        self._pool: Pool = Alone()
        self.dense: bool | None = None
        self.renew()
        if self.groups[0].spread == 0:
            log.warning("All factors begin at 0, where no gradient moves them: the model will have no pairs.")

    def renew(self) -> None:
        """Begin another job with what was learned."""
        self.passing = Scores(self.settings.predictor_type)
        self.latest = Scores(self.settings.predictor_type)

    @property
    def pool(self) -> Pool:
        return self._pool

    @pool.setter
    def pool(self, pool: Pool) -> None:
        self._pool = pool
        self.table.divide(pool.hosts, pool.rank)

    @property
    def empty(self) -> bool:
        """Whether neither this host nor one with which it learned has had any records."""
        return self.dense is None and not self.steps

    @property
    def done(self) -> bool:
        """Passes are never stopped early."""
        return False

    def update(self, batch: Batch) -> None:
        """Raises UserError for records of another width, labels that do not fit, and rows that memory can't hold."""
        expected = self.settings.feature_dim
        if len(batch) and batch.width != expected:
            raise UserError(f"got {batch.width} features, expected {expected} (hyperparameter feature_dim)")
        if not len(batch) and self.pool.hosts == 1:
            return
        labels = labels_of(batch, self.settings.classes) if len(batch) else np.empty(0, np.float32)
        dense = len(batch) > 0 and isinstance(batch.features, np.ndarray)
        if len(batch):
            self.dense = dense if self.dense is None else self.dense and dense
        some = Entries.of(batch)
        table, summed = self.table, None
        features = np.arange(batch.width if dense else 0, dtype=np.int32)  # those that are 0 are in the batch, too
        if self.pool.hosts > 1:
            features, slots = (features, some.features) if dense else different(some.features)
            asked = Asked(self.pool, features, expected)
            of_asked, rows, among = table.located(asked.keys)
            weights, places, count = asked.answered(table.weights[of_asked]), slots, len(features)
            summed = partial(asked.sums, places=among, count=len(rows))
        elif dense:
            rows = table.slots(features)
            slots, places, weights, count = rows[some.features], some.features, table.weights, len(rows)
        else:
            slots, rows, places = table.located(some.features)
            weights, count = table.weights, len(rows)
        with np.errstate(all="ignore"):  # a model that diverges is refused at the end
            margins, sums = interactions.margins(some.starts, slots, some.values, weights, self.bias[0])
            self.passing.add(margins, labels)
            slopes = self._slopes(margins, labels)
            gradient = interactions.gradients(some.starts, slots, some.values, places, count, weights, sums, slopes)
            sums_of_all = self.pool.sums(np.array([len(labels), slopes.sum(dtype=np.float64)]))[0]
            self._step(rows, summed(gradient) if summed else gradient, *sums_of_all.tolist())

    def progress(self) -> dict[str, float]:
        """Scores of the pass so far, by the names that are printed."""
        return self.passing.finalise()

    def held_out(self) -> Evaluation:
        """An empty evaluation of what was learned so far, for which each host needs the whole model."""
        if self.pool.hosts == 1:
            return Evaluation(self._model(), self.settings)
        whole = Table(self.settings)
        for arrays, _ in self.pool.gathered(self.table.arrays(), {}):
            part = Table(self.settings)
            part.restore(arrays)
            whole.join(part)
        return Evaluation(self._model(whole), self.settings)

    def end_pass(self, validation: Any) -> Pass:
        self.latest, self.passing = self.passing, Scores(self.settings.predictor_type)
        held = {} if validation is None else validation.finalise()
        train = Scores(self.settings.predictor_type)
        (train.sums,) = self.pool.sums(self.latest.sums)
        channels = {"train": train.finalise(), "validation": held}
        qualities = ((channel, *each) for channel, found in channels.items() for each in found.items())
        return Pass(tuple(qualities), improved=False)  # all passes count, none is kept as the best

    def finalise(self) -> FactorizationMachine:
        """Raises UserError when there were no records, or when training diverged."""
        if self.dense is None:
            raise UserError("The train channel holds no records: Factorization Machines need at least one.")
        model = self._model()
        if not finite(model):
            raise UserError(
                "A weight is nan or infinite: training diverged. Lower factors_lr, linear_lr and bias_lr, set "
                "clip_gradient, or look for very large values in the features and labels"
            )
        return model

    def merge(self, other: FactorizationMachinesState) -> None:
        """The mean of both: of each feature's row by the updates that it had, of the bias by all.

        Hosts that learned in step have rows of their own and the same bias: they put together the rows, and what each
        has counted.
        """
        if self.pool.hosts > 1:
            self.table.join(other.table)
        elif other.empty:
            return
        elif self.empty:
            self.__dict__.update(vars(self.restore(self.settings, *other.snapshot())))
            return
        else:
            self.table.merge(other.table)
            self.bias += other.steps / max(self.steps + other.steps, 1) * (other.bias - self.bias)
            self.steps, self.largest = max(self.steps, other.steps), max(self.largest, other.largest)
        if other.dense is not None:
            self.dense = other.dense and self.dense is not False
        self.passing.merge(other.passing)
        self.latest.merge(other.latest)

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        arrays = self.table.arrays()
        arrays |= {"bias": self.bias.copy(), "passing": self.passing.sums.copy(), "latest": self.latest.sums.copy()}
        values = {
            "steps": self.steps,
            "largest": self.largest,
            "dense": self.dense,
            "predictor_type": self.settings.predictor_type,
        }
        return arrays, {**values, "num_factors": self.settings.num_factors}

    @classmethod
    def restore(
        cls, settings: FactorizationMachinesHyperparameters, arrays: Arrays, values: dict[str, Any]
    ) -> FactorizationMachinesState:
        """Raises UserError when the state was trained for another task, or with other factors."""
        _check_alike(settings, values["predictor_type"], values["num_factors"])
        state = cls(settings)
        state.table.restore({name: arrays[name] for name in ("features", "kept", "counts")})
        state.table.weights[:, -1] *= settings.use_linear
        state.bias = arrays["bias"] * settings.use_bias
        state.passing.sums, state.latest.sums = arrays["passing"].copy(), arrays["latest"].copy()
        state.steps, state.largest, state.dense = values["steps"], values["largest"], values["dense"]
        return state

    @classmethod
    def adopt(
        cls, settings: FactorizationMachinesHyperparameters, model: FactorizationMachine
    ) -> FactorizationMachinesState:
        """Go on from a model alone, with empty moments. Features without any weight count as never seen.

        Raises UserError when it is one for another task, or has other factors.
        """
        _check_alike(settings, model.predictor_type, model.num_factors)
        state = cls(settings)
        seen = np.flatnonzero(model.table.any(axis=1)).astype(np.int32)
        slots = state.table.slots(seen)
        state.table.weights[slots] = model.table[seen]
        state.table.weights[:, -1] *= settings.use_linear
        state.bias[0] = (model.bias or 0.0) * settings.use_bias
        state.dense = model.network == "dense"
        return state

    def _slopes(self, margins: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of half the squared error, or of the log loss: prediction - label, in both cases   (records,)"""
        if self.settings.classes:
            margins = np.float32(1) / (np.float32(1) + np.exp(-margins))
        return margins - labels

    def _step(self, rows: NDArray[np.int32], gradient: NDArray[np.float32], records: float, slopes: float) -> None:
        """Adam, with moments corrected for all updates, as MXNet does it for rows that are touched now and then.

        gradient   sums over the records of all hosts, as `slopes` is   (rows, columns)
        """
        settings = self.settings
        self.largest = max(self.largest, int(records))
        self.steps += 1
        correction = math.sqrt(1 - BETA_2**self.steps) / (1 - BETA_1**self.steps)
        clip, scale = settings.clip_gradient, settings.rescale_grad
        most = np.inf if clip is None or clip < 0 else clip
        scale = 1 / self.largest if scale is None else scale
        epsilon = EPSILON if settings.eps is None else max(settings.eps, float(np.finfo(np.float32).tiny))
        factors, linear, bias = self.groups
        interactions.step(
            rows,
            gradient,
            self.table.kept,
            self.table.counts,
            (BETA_1, BETA_2, epsilon, most, scale),
            (factors.rate * correction, factors.decay),
            (linear.rate * correction if settings.use_linear else 0.0, linear.decay),
        )
        if settings.use_bias:
            slope = scale * slopes + bias.decay * self.bias[0]
            slope = max(min(slope, most), -most)
            self.bias[1] = BETA_1 * self.bias[1] + (1 - BETA_1) * slope
            self.bias[2] = BETA_2 * self.bias[2] + (1 - BETA_2) * slope**2
            self.bias[0] -= bias.rate * correction * self.bias[1] / (math.sqrt(self.bias[2]) + epsilon)

    def _model(self, table: Table | None = None) -> FactorizationMachine:
        """Features that never came up have no weight, rather than the one that they would have begun with."""
        settings, table = self.settings, table or self.table
        rows = np.zeros((settings.feature_dim, table.columns), np.float32)
        rows[table.features[: table.used]] = table.weights
        judged = self.passing if self.passing.records else self.latest
        return FactorizationMachine(
            rows[:, : settings.num_factors],
            rows[:, -1] if settings.use_linear else None,
            float(np.float32(self.bias[0])) if settings.use_bias else None,
            settings.predictor_type,
            "dense" if self.dense else "sparse",
            judged.finalise(),
            settings.model_dump(),
            rows,
        )


def _check_alike(settings: FactorizationMachinesHyperparameters, predictor_type: str, num_factors: int) -> None:
    """Raises UserError when what was learned is of another kind than what is asked for."""
    for name, before in (("predictor_type", predictor_type), ("num_factors", num_factors)):
        if before != getattr(settings, name):
            raise UserError(f"got {name} {getattr(settings, name)}, expected {before}, as the earlier model has it")
