"""What training keeps: records on a disk, and boosters."""

from __future__ import annotations

import io
import logging
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from algorithms.contract import Alone, Arrays, Pool, Round
from algorithms.xgboost.boosting import Boosting, Course, Scores, line, told
from algorithms.xgboost.classes import write_names
from algorithms.xgboost.folds import folds, held_out_predictions
from algorithms.xgboost.hosts import joined
from algorithms.xgboost.hyperparameters import XGBoostHyperparameters
from algorithms.xgboost.matrices import Matrices
from algorithms.xgboost.metrics import custom
from algorithms.xgboost.model import XGBoostModel, named
from algorithms.xgboost.spool import Spool
from recordio.batch import Batch
from recordio.errors import UserError

BINNING = "grow_quantile_histmaker"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Facts:
    """Of the records of all hosts."""

    width: int
    train: int
    held: int


class XGBoostState:
    """The guest engine's state: see `Guest`.

    Cross validation takes train and validation records as one set, and makes a booster for each fold of each round,
    judged by what the fold holds out.

    first      rounds of an earlier model, which come before this job's
    finished   boosters of folds that have ended
    boosting   the one that learns now
    names      of the features, where all records of the train channel agree on them
    """

    def __init__(self, settings: XGBoostHyperparameters) -> None:
        self.settings = settings
        self.pool: Pool = Alone()
        bounds = settings.task == "survival:aft"
        self.train, self.held = Spool(bounds=bounds), Spool(bounds=bounds)
        self.first = 0
        self.names: tuple[str, ...] | None = None
        self.finished: list[Boosting] = []
        self.boosting = Boosting(self._course())

    def update(self, batch: Batch) -> None:
        if batch.names not in (None, self.names):
            self.names = None if len(self.train) else batch.names
        self.train.append(batch)

    def hold_out(self, batch: Batch) -> None:
        (self.train if self.settings.kfold else self.held).append(batch)

    def rounds(self) -> Generator[Round]:
        """Raises UserError for labels that the objective can't have, or for records unlike those of other hosts."""
        for remark in self.settings.remarks():
            log.info("%s", remark)
        if self.pool.hosts > 1 and self.settings.tree_method == "exact":
            raise UserError(f"tree_method exact learns on one host only, expected hist or approx on {self.pool.hosts}")
        with joined(self.pool):
            facts = self._facts()
            matrices = self._matrices(facts)
            course = self._course(judged=bool(facts.held or self.settings.kfold))
            try:
                if self.settings.kfold:
                    yield from self._cross_validation(matrices, course, facts)
                else:
                    self.boosting.course = course
                    with told():
                        train = matrices.matrix(self.train)
                        held = matrices.matrix(self.held, like=train) if facts.held else None
                    self.boosting.begin(train, held, self.first)
                    del train, held
                    yield from self._boosted(0)
            finally:
                self.boosting.end()

    def reports(self) -> Mapping[str, bytes]:
        """predictions.csv, of cross validation that came to its end."""
        if not self._folds or len(self.finished) < self._folds:
            return {}
        boosters = [boosting.model() for boosting in self.finished]
        mine = held_out_predictions(self.train, boosters, list(self._held_out()), self.settings)
        every = [arrays["rows"] for arrays, _ in self.pool.gathered({"rows": mine}, {})]
        content = io.BytesIO()
        np.savetxt(content, np.concatenate([rows for rows in every if len(rows)]), fmt="%f", delimiter=",")
        return {"predictions.csv": content.getvalue()}

    def merge(self, _: XGBoostState) -> None:
        """Raises UserError: trees of two hosts are not those of their records together."""
        raise UserError("Boosters of hosts that learned apart can't be merged: hosts learn one together")

    def finalise(self) -> XGBoostModel:
        """Raises UserError before the first round."""
        boosters = [*self.finished, self.boosting] if self.boosting.scores else self.finished
        if not boosters:
            raise UserError("The train channel holds no records: XGBoost needs at least one.")
        scores = _mean([boosting.model_scores for boosting in boosters])
        judged = "validation" if any(channel == "validation" for channel, _ in scores) else "train"
        metrics = {name: value for (channel, name), value in scores.items() if channel == judged}
        models = tuple(named(boosting.model(), self.names) for boosting in boosters)
        for booster in models:
            if self.settings.class_names:  # else those of an earlier model stay
                write_names(booster, self.settings.class_names)
        return XGBoostModel(models, metrics, self.settings.model_dump())

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        arrays: Arrays = {}
        values = []
        for number, boosting in enumerate([*self.finished, self.boosting]):
            of_one, said = boosting.snapshot()
            arrays |= {f"{name}-{number}": array for name, array in of_one.items()}
            values.append(said)
        return arrays, {"boosters": values, "first": self.first}

    @classmethod
    def restore(cls, settings: XGBoostHyperparameters, arrays: Arrays, values: dict[str, Any]) -> XGBoostState:
        state = cls(settings)
        state.first = values["first"]
        course = state.boosting.course
        *state.finished, state.boosting = [
            Boosting.restore(
                course,
                {name: arrays[f"{name}-{number}"] for name in ("raw", "best") if f"{name}-{number}" in arrays},
                said,
            )
            for number, said in enumerate(values["boosters"])
        ]
        return state

    @classmethod
    def adopt(cls, settings: XGBoostHyperparameters, model: XGBoostModel) -> XGBoostState:
        """Raises UserError for an ensemble."""
        if len(model.boosters) > 1 or settings.kfold:
            raise UserError(
                f"got an earlier model of {len(model.boosters)} boosters and _kfold {settings.kfold}, expected one "
                "booster to go on with, and no cross validation"
            )
        given = settings.parameters()
        objective, kind = given.get("objective", "reg:squarederror"), given.get("booster", "gbtree")
        before = f"objective {model.objective}, {model.outputs} outputs, booster {model.kind}"
        outputs = settings.num_class or model.outputs
        if (model.objective, model.outputs, model.kind) != (objective, outputs, kind):
            raise UserError(
                f"The earlier model can't be continued with others than its own: was {before}; "
                f"now objective {objective}, {outputs} outputs, booster {kind}. Give the earlier values of objective, "
                "num_class and booster, or train a new model without the model channel"
            )
        state = cls(settings)
        earlier = model.boosters[0]
        state.names = tuple(earlier.feature_names) if earlier.feature_names else None
        copy, course = named(earlier.copy(), None), state.boosting.course
        if not course.updating:  # else the earlier job's best round would be the last that predicts
            copy.set_attr(best_iteration=None, best_score=None)
        state.boosting = Boosting.of(course, copy)
        state.first = state.boosting.rounds
        return state

    @property
    def _folds(self) -> int:
        return (self.settings.kfold or 0) * self.settings.num_cv_round

    def _boosted(self, before: int) -> Generator[Round]:
        """The rounds of one booster; `before` were learned by others."""
        boosting = self.boosting
        while boosting.rounds < self.first + self.settings.num_round and not boosting.stopped:
            said = boosting.learn()
            yield self._round(before + boosting.rounds - self.first, said)
        if boosting.stopped and boosting.best:
            log.info(
                "Early stopping: validation-%s gained nothing for %d rounds. The best round is [%d].",
                *(boosting.course.watched, boosting.course.patience, boosting.best[0]),
            )

    def _cross_validation(self, matrices: Matrices, course: Course, facts: _Facts) -> Generator[Round]:
        count, rounds = self.settings.kfold or 0, self.settings.num_cv_round
        log.info("Run %d-round of %d-fold cross validation with %d rows", rounds, count, facts.train)
        for number, out in enumerate(self._held_out()):
            if number < len(self.finished):
                continue
            log.info("Train cross validation fold %d", number % count + 1)
            self.boosting.course = course
            with told():
                train = matrices.matrix(self.train, ~out)
                held = matrices.matrix(self.train, out, like=train)
            self.boosting.begin(train, held)
            del train, held
            before = sum(boosting.rounds for boosting in self.finished)
            yield from self._boosted(before)
            self.boosting.end()
            self.finished.append(self.boosting)
            self.boosting = Boosting(course)
            if (number + 1) % count == 0:
                log.info("The metrics of round %d cross validation", number // count + 1)
                yield self._summary(self.finished[-count:])
        if rounds > 1:
            log.info("The overall metrics of %d-round cross validation", rounds)
            yield self._summary(self.finished)

    def _summary(self, of: list[Boosting]) -> Round:
        learned = sum(boosting.rounds for boosting in self.finished)
        return self._round(learned, line(self.settings.num_round, _mean([boosting.model_scores for boosting in of])))

    def _round(self, number: int, said: str) -> Round:
        return Round(number, said, number / (self.settings.num_round * (self._folds or 1)))

    def _held_out(self) -> Iterator[NDArray[np.bool_]]:
        labels, groups = self.train.labels, self.train.groups
        return folds(
            np.empty(0, np.float32) if labels is None else labels,
            groups,
            self.settings.kfold or 0,
            self.settings.num_cv_round,
            stratified=self.settings.stratified,
            generator=np.random.default_rng((abs(self.settings.seed or 0), self.pool.rank)),
        )

    def _facts(self) -> _Facts:
        mine = {"width": max(self.train.width, self.held.width), "train": len(self.train), "held": len(self.held)}
        every = [values for _, values in self.pool.gathered({}, mine)]
        earlier = 0 if self.boosting.raw is None else self.boosting.model().num_features()
        width = max(values["width"] for values in every)
        if earlier and width > earlier:
            raise UserError(f"got records of {width} features, expected at most {earlier}, as the earlier model has")
        width = max(width, earlier)
        return _Facts(width, sum(values["train"] for values in every), sum(values["held"] for values in every))

    def _matrices(self, facts: _Facts) -> Matrices:
        """Bins where the engine grows trees by them, and where an earlier booster's splits need not be bins, too."""
        given = self.boosting.course.parameters
        trees = given.get("booster", "gbtree") != "gblinear"
        method, updater = given.get("tree_method", "auto"), given.get("updater", BINNING)
        binned = trees and method in ("auto", "hist") and updater == BINNING and not self.first
        matrices = Matrices(
            facts.width,
            binned=binned and not self.boosting.course.updating,
            paged=trees and method != "exact",
            outputs=self.settings.num_class or 1,
            max_bin=int(given.get("max_bin", 256)),
        )
        matrices.choose(self.train, self.held)
        return matrices

    def _course(self, *, judged: bool = False) -> Course:
        """judged   whether there are held-out records"""
        settings = self.settings
        parameters = settings.parameters()
        judge = None
        if settings.own_metrics:
            judge = custom(
                settings.own_metrics, settings.task, settings.num_class, lambda sums: self.pool.sums(sums)[0]
            )
            parameters.setdefault("eval_metric", [])
            parameters["disable_default_eval_metric"] = True
        if settings.device == "auto" and _gpu(parameters):
            parameters["device"] = "cuda"
        patience = settings.early_stopping_rounds
        if patience is None or not judged or settings.watched is None:
            if patience is not None and self.train:
                lacking = "a validation channel" if settings.watched else "eval_metric, whose last name it watches"
                log.warning("early_stopping_rounds has no effect without %s.", lacking)
            return Course(parameters, judge)
        return Course(parameters, judge, *settings.watched, patience)


def _gpu(parameters: Mapping[str, Any]) -> bool:
    """Whether there is a GPU that can do it."""
    able = parameters.get("booster") != "gblinear" and parameters.get("tree_method") != "exact"
    return (
        able
        and "updater" not in parameters
        and xgboost.build_info()["USE_CUDA"]
        and any(Path("/dev").glob("nvidia[0-9]*"))
    )


def _mean(scores: list[Scores]) -> Scores:
    return {key: float(np.mean([each[key] for each in scores])) for key in scores[0]}
