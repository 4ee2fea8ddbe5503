"""Boosting: one booster, a round at a time, with the scores of each and the best so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from algorithms.contract import Arrays
from recordio.errors import AlgorithmError, UserError

SAMPLING = ("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode")
# Of the library's messages, those that tell of records and settings.
CUSTOMER = (
    "label must be in [0,1] for logistic regression",
    "label must be in [0, num_class)",
    "feature_names mismatch",
    "Check failed: preds.size() == info.labels_.size()",
    "Check failed: !auc_error AUC: the dataset only contains pos or neg samples",
    "Check failed: base_score > 0.0f && base_score < 1.0f base_score must be in (0,1) for logistic loss",
    "Check failed: label_correct",
    "Parameter reg_lambda should be greater equal to 0",
)
# Words of the library now, and those that clients look for. The base score is estimated from the labels.
WORDED = {
    "base_score must be in (0,1) for the logistic loss": CUSTOMER[0],
    "label must be discrete values in the range of [0, num_class)": CUSTOMER[1],
}

Scores = dict[tuple[str, str], float]  # by channel and metric
Judge = Callable[[NDArray[Any], xgboost.DMatrix], list[tuple[str, float]]]


@dataclass(frozen=True)
class Course:
    """How boosters are made.

    parameters   for the engine
    judge        metrics beside its own, of predictions and the matrix that they are for
    watched      the metric that early stopping looks at, on the validation channel
    larger       whether that is better when larger
    patience     rounds without gain after which to stop
    """

    parameters: Mapping[str, Any]
    judge: Judge | None = None
    watched: str | None = None
    larger: bool = False
    patience: int = 0

    @property
    def kind(self) -> str:
        return str(self.parameters.get("booster", "gbtree"))

    @property
    def sampled(self) -> bool:
        """Whether random numbers are drawn."""
        return self.kind == "dart" or any(self.parameters.get(name, 1) != 1 for name in SAMPLING)

    @property
    def approximate(self) -> bool:
        return "grow_histmaker" in self.parameters.get("updater", "") or self.parameters.get("tree_method") == "approx"

    @property
    def updating(self) -> bool:
        """Whether earlier trees are changed, one round's after another, and none are added."""
        return self.parameters.get("process_type") == "update"


@dataclass
class Boosting:
    """A booster and how it does.

    A round's random numbers come from the seed and the round's number alone, where any are drawn, so that a job that
    was interrupted goes on as if it had not been. Where none are, trees are those of the engine's own `train`.

    raw     an earlier booster to go on from
    rounds  that the booster has, or of an earlier one that were updated
    scores  of the latest round
    best    round and value, where early stopping watches, with the scores and if need be the booster of that round
    """

    course: Course
    raw: bytes | None = None
    rounds: int = 0
    scores: Scores = field(default_factory=dict)
    best: tuple[int, float] | None = None
    best_scores: Scores = field(default_factory=dict)
    best_raw: bytes | None = None
    _booster: xgboost.Booster | None = field(default=None, init=False)
    _matrices: list[tuple[xgboost.DMatrix, str]] = field(default_factory=list, init=False)

    @classmethod
    def of(cls, course: Course, booster: xgboost.Booster) -> Boosting:
        """Goes on from a booster."""
        return cls(course, bytes(booster.save_raw("ubj")), 0 if course.updating else booster.num_boosted_rounds())

    @property
    def stopped(self) -> bool:
        """Whether further rounds gain nothing."""
        return bool(self.best and self.course.patience and self.rounds - 1 - self.best[0] >= self.course.patience)

    @property
    def model_scores(self) -> Scores:
        return self.best_scores or self.scores

    def __post_init__(self) -> None:
        self._source = self.raw

    def begin(self, train: xgboost.DMatrix, held: xgboost.DMatrix | None, first: int = 0) -> None:
        """first   round of this job, which may have been interrupted since"""
        self._matrices = [(train, "train")] + ([(held, "validation")] if held is not None else [])
        parameters = dict(self.course.parameters)
        if self.course.sampled:
            parameters["seed_per_iteration"] = True
        raw = None if self.raw is None else bytearray(self.raw)
        with told():
            if self.course.sampled and self.rounds > first and self.course.approximate:
                # For some objectives it draws bins once, from what the first round sampled.
                xgboost.Booster(parameters, [train]).update(train, first)
            self._booster = xgboost.Booster(parameters, [matrix for matrix, _ in self._matrices], model_file=raw)

    def learn(self) -> str:
        """One round; returns its line.

        Raises UserError for labels that the objective can't have.
        """
        assert self._booster is not None, "begin comes first"
        number = self.rounds
        with told():
            if self.course.sampled:
                self._let_updaters_go()
            self._booster.update(self._matrices[0][0], number)
            self.rounds = number + 1
            self.scores = self._scores(number)
        self._compare(number)
        return line(number, self.scores)

    def end(self) -> None:
        """Let the matrices go."""
        self.raw = self.now()
        self._booster, self._matrices = None, []

    def now(self) -> bytes | None:
        """The booster as it is, if there is one."""
        return self.raw if self._booster is None else bytes(self._booster.save_raw("ubj"))

    def model(self) -> xgboost.Booster:
        """The booster up to its best round, where early stopping watched; else as it is."""
        raw = self.best_raw or self.now()
        assert raw is not None
        booster = xgboost.Booster(model_file=bytearray(raw))
        if self.best is None:
            return booster
        if self.best_raw is None:
            booster = booster[: self.best[0] + 1]
        booster.set_attr(best_iteration=str(self.best[0]), best_score=repr(self.best[1]))
        return booster

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        """The engine knows no half-updated booster: an update begins anew."""
        raw, rounds = (self._source, 0) if self.course.updating else (self.now(), self.rounds)
        arrays = {name: np.frombuffer(each, np.uint8) for name, each in (("raw", raw), ("best", self.best_raw)) if each}
        scores, best_scores = (
            [[*key, value] for key, value in each.items()] for each in (self.scores, self.best_scores)
        )
        return arrays, {"rounds": rounds, "best": self.best, "scores": scores, "best_scores": best_scores}

    @classmethod
    def restore(cls, course: Course, arrays: Arrays, values: Mapping[str, Any]) -> Boosting:
        raw, best_raw = (arrays[name].tobytes() if name in arrays else None for name in ("raw", "best"))
        scores, best_scores = (
            {(channel, name): value for channel, name, value in values[each]} for each in ("scores", "best_scores")
        )
        best = None if values["best"] is None else (values["best"][0], values["best"][1])
        return cls(course, raw, values["rounds"], scores, best, best_scores, best_raw)

    def _scores(self, number: int) -> Scores:
        """In the order of the engine's own lines, ours after its, for each channel."""
        assert self._booster is not None
        native = [each.rpartition(":") for each in self._booster.eval_set(self._matrices, number).split()[1:]]
        found: Scores = {}
        for matrix, channel in self._matrices:
            own = [(name.partition("-"), value) for name, _, value in native]
            found |= {(channel, name): float(value) for (of, _, name), value in own if of == channel}
            if self.course.judge:
                found |= {(channel, name): value for name, value in self.course.judge(self._predicted(matrix), matrix)}
        return found

    def _predicted(self, matrix: xgboost.DMatrix) -> NDArray[Any]:
        assert self._booster is not None
        return np.asarray(self._booster.predict(matrix))

    def _compare(self, number: int) -> None:
        if self.course.watched is None:
            return
        value = self.scores["validation", self.course.watched]
        if math.isnan(value) or (
            self.best and not (value > self.best[1] if self.course.larger else value < self.best[1])
        ):
            return
        self.best, self.best_scores = (number, value), self.scores
        if self.course.kind != "gbtree":  # later rounds change what earlier ones made
            self.best_raw = self.now()

    def _let_updaters_go(self) -> None:
        """They draw a seed for features once, and keep its generator from round to round, out of reach of ours."""
        assert self._booster is not None
        given = self.course.parameters
        name, other = ("updater", "refresh") if "updater" in given else ("tree_method", "approx")
        meant = given.get(name, "auto")
        self._booster.set_param({name: "hist" if meant == other else other})
        self._booster.num_boosted_rounds()  # takes the parameter in
        self._booster.set_param({name: meant})


def line(number: int, scores: Scores) -> str:
    return "\t".join([f"[{number}]", *(f"{channel}-{name}:{value:.5f}" for (channel, name), value in scores.items())])


@contextmanager
def told() -> Iterator[None]:
    """The library's errors in our classes.

    Raises RuntimeError for a connection that was lost, UserError and AlgorithmError.
    """
    try:
        yield
    except xgboost.core.XGBoostError as error:
        text = str(error).partition("\nStack trace:")[0]
        if "/collective/" in text:
            raise RuntimeError(text) from error
        for now, before in WORDED.items():
            text = text.replace(now, f"{before} ({now})")
        if any(known in text for known in CUSTOMER):
            raise UserError(text) from error
        raise AlgorithmError(f"XGB train call failed with exception:\n {text}") from error
