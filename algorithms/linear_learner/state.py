"""What Linear Learner keeps of a stream."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Alone, Arrays, Pass, Pool
from algorithms.linear_learner.candidates import Candidate, candidates
from algorithms.linear_learner.hyperparameters import LinearLearnerHyperparameters
from algorithms.linear_learner.judging import evaluation, linear_model
from algorithms.linear_learner.model import LinearModel
from algorithms.linear_learner.models import Models
from algorithms.linear_learner.passes import Best, Passing, over, under
from algorithms.linear_learner.preparation import Preparation
from algorithms.linear_learner.scale import Features, Scale
from algorithms.numerics.evaluation import Evaluation, Scored, labels_of
from algorithms.numerics.losses import weighed
from algorithms.numerics.randomness import freeze, thaw
from algorithms.numerics.stopping import Stopping
from recordio.batch import Batch
from recordio.errors import UserError

Matrix = NDArray[np.float32]

NO_LABELS = np.empty(0, np.float32)

log = logging.getLogger(__name__)


class LinearLearnerState:
    """Many models, learned from the same batches.

    preparation   first records, kept until they have told how to scale all
    start         weights and bias of raw features to begin with, other than random ones; None once they were taken
    models, passing          None before the first update
    best          None before the end of the first pass
    pool          with whom it learns in step
    validated     whether passes are compared on held-out records
    history       losses of each pass: {"train": of each candidate, "validation": likewise or None}
    """

    def __init__(self, settings: LinearLearnerHyperparameters, generator: np.random.Generator) -> None:
        self.settings = settings
        self.generator = generator
        self.pool: Pool = Alone()
        self.preparation = Preparation(settings)
        self.start: tuple[Matrix, Matrix] | None = None
        self.models: Models | None = None
        self.passing: Passing | None = None
        self.renew()

    def renew(self) -> None:
        """Begin another job with what was learned: its passes are counted, compared and stopped anew."""
        self.best: Best | None = None
        self.validated = False
        self.history: list[dict[str, list[float] | None]] = []
        self.stopping = Stopping(self.settings.early_stopping_patience, self.settings.early_stopping_tolerance)
        if self.models is not None:
            self.passing = self._empty_pass(learned=self.models.records)

    @property
    def done(self) -> bool:
        """Whether further passes are not worth their while."""
        return self.stopping.done

    def update(self, batch: Batch) -> None:
        """Raises UserError for records of another width than the first, and for labels that do not fit."""
        if not len(batch) and self.pool.hosts == 1:
            return
        labels = self._labels(batch) if len(batch) else NO_LABELS
        self._check_width(batch)
        if self.models is not None:
            self._learn(self.preparation.form(batch.features) if len(batch) else self.preparation.nothing(), labels)
            return
        if len(batch):
            self.preparation.add(self.preparation.form(batch.features), labels)
        if self.pool.sums(np.array([self.preparation.over], np.float32))[0].any():
            self._begin()

    def agree(self) -> None:
        """Have what other hosts have learned."""
        if self.models is not None:
            self.models.agree(self.pool)

    def held_out(self) -> Evaluation:
        """An empty evaluation of what was learned so far. The pass is over then."""
        self._complete()
        self.validated = True
        models = self.models
        if models is None:
            raise UserError("Unable to read data channel 'train'. It holds no records.")
        score = models.scorer()

        def scored(batch: Batch) -> Scored:
            labels = labels_of(batch, self.settings.classes)
            with np.errstate(all="ignore"):  # diverged candidates
                margins = score(self.preparation.form(batch.features))
                return models.scale.predictions(margins), labels, self._weights(labels)

        return self._evaluation(scored)

    def end_pass(self, validation: Evaluation | None) -> Pass:
        """Compare the pass with those before it, and keep the candidates that became better."""
        self._complete()
        if self.models is None or self.passing is None:
            return Pass((), improved=False)
        judged = self._pooled(self.passing.seen() if validation is None else validation)
        validation = None if validation is None else judged
        totals, records = self.pool.sums(self.passing.totals, np.array([self.passing.records], np.float64))
        train = totals / records if records[0] else np.full(len(totals), np.nan)
        name = objective = f"{self.models.loss.objective}_objective"
        ranks = values = judged.losses()
        if validation is not None and self.settings.stops_by_criterion:
            choice = validation.choose()
            name, ranks, values = choice.criterion, choice.ranks, choice.values
        first = int(np.where(np.isnan(ranks), np.inf, ranks).argmin())
        weights, bias = self.models.averages()
        found = Best(ranks, judged, weights.copy(), bias.copy())
        if self.best is None:
            self.best = found
        else:
            self.best.update(found)
        held = None if validation is None else validation.losses()
        self.history.append({"train": train.tolist(), "validation": None if held is None else held.tolist()})
        self.passing = self._empty_pass(expected=self.passing.everyone)
        channels = {"train": train} | ({} if held is None else {"validation": held})
        return Pass(
            qualities=tuple((channel, objective, float(each[0])) for channel, each in channels.items()),
            candidates=tuple(
                {f"{channel}_{objective}": float(each[number]) for channel, each in channels.items()}
                for number in range(len(train))
            ),
            watched=(name, float(values[first])),
            improved=self.stopping.improved(float(ranks[first])),
        )

    def finalise(self) -> LinearModel:
        """Raises UserError when there were no records, or when no candidate has a finite loss."""
        if self.models is None and not self.preparation.waiting:
            raise UserError("The train channel holds no records: Linear Learner needs at least one.")
        models, passing, best = self.models, self.passing, self.best
        if models is None or passing is None or best is None or (passing.records and not self.validated):
            ended = copy.deepcopy(self)
            ended.end_pass(None)
            return ended.finalise()
        choice = best.evaluation.choose()
        facts = [one.facts() for one in models.candidates]
        log.info("Best model found for hyperparameters: %s", json.dumps(facts[choice.candidate]))
        columns = slice(choice.candidate * models.outputs, (choice.candidate + 1) * models.outputs)
        weights, bias = models.scale.unfolded(best.weights[:, columns], best.bias[columns])
        return linear_model(
            self.settings,
            choice,
            best.evaluation,
            weights,
            bias.astype(np.float32),
            facts,
            self.history,
            class_weights=self.preparation.class_weights(),
        )

    def merge(self, other: LinearLearnerState) -> None:
        """Mean of both by the records that each has learned. Raises UserError when they learned other features.

        Hosts that learned in step have the same models, and need only count together what each has counted.
        """
        if self.pool.hosts > 1:
            if self.passing is not None and other.passing is not None:
                self.passing.merge(other.passing)
            return
        if other.models is None and not other.preparation.waiting:
            return
        if self.models is None and not self.preparation.waiting:
            mine = {"generator": self.generator, "settings": self.settings, "pool": self.pool}
            self.__dict__.update(copy.deepcopy(other.__dict__) | mine)
            return
        other = copy.deepcopy(other)
        for one in (self, other):
            one._complete()
        models, others = self.models, other.models
        assert models is not None
        assert others is not None
        self.preparation.merge(other.preparation)
        share = others.records / (models.records + others.records)
        scale = self.preparation.scale().opened()
        self._open(models.scale.opened())
        other._open(others.scale.opened())
        for own, best in ((models, self.best), (others, other.best)):
            if best is not None:
                best.rescale(own.scale, scale)
            own.rescale(scale)
        models.merge(others, share)
        models.scale = self.preparation.scale()
        assert self.passing is not None
        assert other.passing is not None
        self.passing.merge(other.passing)
        if self.best is not None and other.best is not None:
            self.best.merge(other.best, share)

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        parts = {"first.": self.preparation, "models.": self.models, "pass.": self.passing, "best.": self.best}
        arrays: Arrays = {}
        for prefix, part in parts.items():
            arrays |= {} if part is None else over(prefix, part.arrays())
        if self.start is not None:
            arrays |= {"start.weights": self.start[0], "start.bias": self.start[1]}
        least = self.stopping.least
        return {name: array.copy() for name, array in arrays.items()}, {
            "generator": freeze(self.generator),
            "predictor_type": self.settings.predictor_type,
            "outputs": self.settings.outputs,
            "preparation": self.preparation.values(),
            "models": None if self.models is None else self.models.values(),
            "candidates": [] if self.models is None else [one.facts() for one in self.models.candidates],
            "best": self.best is not None,
            "validated": self.validated,
            "history": list(self.history),
            "stopping": {"least": least if np.isfinite(least) else None, "idle": self.stopping.idle},
        }

    @classmethod
    def restore(
        cls, settings: LinearLearnerHyperparameters, arrays: Arrays, values: dict[str, Any]
    ) -> LinearLearnerState:
        """Raises UserError when the state was trained for another task."""
        _check_task(settings, values["predictor_type"], values["outputs"])
        state = cls(settings, thaw(values["generator"]))
        state.preparation = Preparation.restore(settings, under("first.", arrays), values["preparation"])
        if "start.weights" in arrays:
            state.start = arrays["start.weights"].copy(), arrays["start.bias"].copy()
        if values["models"] is None:
            return state
        earlier = tuple(Candidate(**facts) for facts in values["candidates"])
        state.models = state._models()
        state.generator = thaw(values["generator"])  # first weights were drawn once more
        ours = state.models.arrays()
        if earlier == state.models.candidates and all(
            ours[name].shape == array.shape for name, array in under("models.", arrays).items()
        ):
            state.models.restore(under("models.", arrays), values["models"])
            state._restore_passes(arrays, values)
        else:
            state._take_over(arrays, len(earlier))
            state.models.records = values["models"]["records"]
        return state

    @classmethod
    def adopt(cls, settings: LinearLearnerHyperparameters, model: LinearModel) -> LinearLearnerState:
        """Go on from weights and bias alone, with empty moments, on the scale of the new records.

        Raises UserError when they are of another task.
        """
        _check_task(settings, model.predictor_type, model.outputs)
        state = cls(settings, np.random.default_rng(0))
        bias = np.zeros(model.outputs, np.float32) if model.bias is None else model.bias
        state.start = model.weights, bias
        return state

    def _labels(self, batch: Batch) -> NDArray[np.float32]:
        size = 0 if batch.labels is None else batch.labels[:1].size
        if size != 1:
            raise UserError(
                f"Labeled train data required with label size equal 1. Label size on train dataset found to be {size}. "
                "Please give each record of the train channel one label."
            )
        return labels_of(batch, self.settings.classes)

    def _check_width(self, batch: Batch) -> None:
        settled, width = self.settings.feature_dim, batch.width
        first = self.preparation.columns
        expected = first.size if settled == "auto" and first is not None else settled
        if len(batch) and expected not in ("auto", width):
            why = "as the first record has" if settled == "auto" else "hyperparameter feature_dim"
            raise UserError(f"got {width} features, expected {expected} ({why})")

    def _complete(self) -> None:
        """The pass is over: learn what was kept, and bring averages up."""
        if self.models is None and (self.preparation.waiting or self.pool.hosts > 1):
            self._begin()
        self.agree()
        if self.models is not None:
            self.models.settle()

    def _begin(self) -> None:
        """Learn the first records, as if they had come now."""
        batches = self.preparation.agree(self.pool)
        if self.preparation.columns is None:
            return
        self.preparation.over = True
        seen = self.preparation.counts
        if len(seen) and np.count_nonzero(seen) == 1:
            log.warning(
                "The first %d records all have label %d: is the label the first column, and are the records shuffled?",
                seen.sum(),
                seen.argmax(),
            )
        self.models = self._models()
        if self.start is not None:
            self.models.start(*self.start)
            self.start = None
        self.passing = self._empty_pass()
        waiting, self.preparation.waiting = self.preparation.waiting, []
        for number in range(batches):
            if number < len(waiting):
                batch = waiting[number]
                assert batch.labels is not None
                self._learn(batch.features, batch.labels)
            else:
                self._learn(self.preparation.nothing(), NO_LABELS)

    def _open(self, scale: Scale) -> None:
        """Go on with a scale on which more columns count. Nothing was learned for those: their weights are 0."""
        assert self.models is not None
        rows = (self.models.scale.factor == 0) & (scale.factor != 0)
        self.models.scale = scale
        self.models.weights.kept[rows, :2] = 0
        if self.best is not None:
            self.best.weights[rows] = 0

    def _learn(self, features: Features, labels: NDArray[np.float32]) -> None:
        models, passing = self.models, self.passing
        assert models is not None
        assert passing is not None
        if self.preparation.varies(features, self.pool):
            self._open(self.preparation.scale())
        with np.errstate(all="ignore"):  # a candidate that diverges is not chosen
            weights = self._weights(labels)
            judges = None if self.validated else passing.judges()
            losses, margins, everyone = models.learn(
                features,
                models.scale.labels(labels),
                self._weights_learned(labels, weights),
                judges is not None,
                self.pool,
            )
            passing.add(weighed(losses, weights), everyone)
            if judges is not None and margins is not None and len(labels):
                judges.update_margins(models.scale.predictions(margins), labels, weights)

    def _weights(self, labels: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What records count for in scores   (records,)"""
        by_class = self.preparation.class_weights()
        return None if by_class is None else by_class[labels.astype(np.intp)]

    def _weights_learned(
        self, labels: NDArray[np.float32], weights: NDArray[np.float32] | None
    ) -> NDArray[np.float32] | None:
        """What they count for in learning: candidates may differ in it   (records,) or (records, candidates)"""
        assert self.models is not None
        given = [one.positive_example_weight_mult for one in self.models.candidates]
        if given[0] is None:
            return weights
        balance = self.preparation.balance
        of_positives = np.array([balance if one == "balanced" else 1 for one in given], np.float32)
        return np.where(labels[:, None] > 0, of_positives, np.float32(1))

    def _models(self) -> Models:
        columns, sparse = self.preparation.columns, bool(self.preparation.sparse)
        assert columns is not None
        chosen = candidates(self.settings, columns.size, sparse)
        return Models(self.settings, chosen, self.preparation.scale(), self.generator)

    def _evaluation(self, scorer: Callable[[Batch], Scored] | None = None) -> Evaluation:
        assert self.models is not None
        return evaluation(self.settings, self.models.loss, len(self.models.candidates), scorer)

    def _pooled(self, mine: Evaluation) -> Evaluation:
        """What all hosts have scored."""
        if self.pool.hosts == 1:
            return mine
        total = self._evaluation()
        for arrays, _ in self.pool.gathered(mine.arrays(), {}):
            each = self._evaluation()
            each.restore(arrays)
            total.merge(each)
        return total

    def _empty_pass(self, expected: int = 0, learned: int = 0) -> Passing:
        assert self.models is not None
        totals = np.zeros(len(self.models.candidates))
        return Passing(self._evaluation(), self._evaluation(), totals, expected=expected, learned=learned)

    def _restore_passes(self, arrays: Arrays, values: dict[str, Any]) -> None:
        self.passing = self._empty_pass()
        self.passing.restore(under("pass.", arrays))
        if values["best"]:
            self.best = Best.restored(self._evaluation(), under("best.", arrays))
        self.validated, self.history = values["validated"], list(values["history"])
        least = values["stopping"]["least"]
        self.stopping.least, self.stopping.idle = np.inf if least is None else least, values["stopping"]["idle"]

    def _take_over(self, arrays: Arrays, count: int) -> None:
        """Let new candidates start from the winner among others, as many as `count`."""
        assert self.models is not None
        self.passing = self._empty_pass()
        prefix = "best.evaluation." if "best.weights" in arrays else "pass.early."
        judged = evaluation(self.settings, self.models.loss, count)
        judged.restore(under(prefix, arrays))
        winner = judged.choose().candidate
        log.info("Other candidates than before: all start from the best of the earlier ones, with fresh moments.")
        columns = slice(winner * self.models.outputs, (winner + 1) * self.models.outputs)
        for name, part in (("weights", self.models.weights), ("bias", self.models.bias)):
            if part is not None and f"models.{name}.kept" in arrays:
                average = arrays[f"models.{name}.kept"][:, 1, columns]
                part.kept[:, :2] = np.tile(average, len(self.models.candidates))[:, None]


def _check_task(settings: LinearLearnerHyperparameters, task: str, outputs: int) -> None:
    """Raises UserError when what was learned is for another task than what is asked for."""
    if (task, outputs) != (settings.predictor_type, settings.outputs):
        raise UserError(
            f"got predictor_type '{settings.predictor_type}' with {settings.outputs} outputs, "
            f"expected '{task}' with {outputs}, as the earlier model has it"
        )
