"""Boosting: one booster, a round at a time, with the scores of each and the best so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost

from algorithms.contract import Arrays

SAMPLING = ("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode")

Scores = dict[tuple[str, str], float]  # by channel and metric


@dataclass(frozen=True)
class Watch:
    """What early stopping looks at, on the validation channel."""

    metric: str
    larger: bool
    patience: int


class Boosting:
    """A booster and the matrices that it learns and is judged by.

    A round's random numbers come from the seed and the round's number alone, where any are drawn, so that a job that
    was interrupted goes on as if it had not been. Where none are, trees are those of the engine's own `train`.

    rounds   of the booster, an earlier model's included
    scores   of the latest round
    best     round and score, where early stopping watches
    """

    def __init__(self, parameters: Mapping[str, Any], watch: Watch | None, earlier: bytes | None = None) -> None:
        self._sampled = any(parameters.get(name, 1) != 1 for name in SAMPLING) or parameters.get("booster") == "dart"
        self._parameters = {**parameters, "seed_per_iteration": True} if self._sampled else dict(parameters)
        self._watch = watch
        self._raw = earlier
        self._booster: xgboost.Booster | None = None
        self._matrices: list[tuple[xgboost.DMatrix, str]] = []
        self.rounds = xgboost.Booster(model_file=bytearray(earlier)).num_boosted_rounds() if earlier else 0
        self.scores: Scores = {}
        self.best: tuple[int, float] | None = None
        self._best_raw: bytes | None = None

    def begin(self, train: xgboost.DMatrix, held: xgboost.DMatrix | None) -> None:
        self._matrices = [(train, "train")] + ([(held, "validation")] if held is not None else [])
        raw = None if self._raw is None else bytearray(self._raw)
        self._booster = xgboost.Booster(self._parameters, [matrix for matrix, _ in self._matrices], model_file=raw)

    def learn(self) -> str:
        """One round; returns its line."""
        assert self._booster is not None, "begin comes first"
        number = self.rounds
        if self._sampled:
            self._renew_sampler()
        self._booster.update(self._matrices[0][0], number)
        self.rounds = number + 1
        told = self._booster.eval_set(self._matrices, number).split()[1:]
        self.scores = {}
        for channel in [name for _, name in self._matrices]:
            for each in told:
                name, _, value = each.rpartition(":")
                if name.startswith(f"{channel}-"):
                    self.scores[channel, name.removeprefix(f"{channel}-")] = float(value)
        self._compare(number)
        return "\t".join([f"[{number}]", *(f"{at}-{name}:{value:.5f}" for (at, name), value in self.scores.items())])

    @property
    def stopped(self) -> bool:
        """Whether further rounds gain nothing."""
        return (
            self._watch is not None and self.best is not None and self.rounds - 1 - self.best[0] >= self._watch.patience
        )

    def raw(self) -> bytes:
        """The booster as it is now."""
        if self._booster is None:
            assert self._raw is not None
            return self._raw
        return bytes(self._booster.save_raw("ubj"))

    def model(self) -> xgboost.Booster:
        """The booster up to its best round, with its settings."""
        return xgboost.Booster(model_file=bytearray(self._best_raw or self.raw()))

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        arrays = {"booster": np.frombuffer(self.raw(), np.uint8)} if self.rounds else {}
        return arrays, {"rounds": self.rounds, "best": self.best}

    def _compare(self, number: int) -> None:
        if self._watch is None:
            return
        value = self.scores["validation", self._watch.metric]
        gained = self.best is None or (value > self.best[1] if self._watch.larger else value < self.best[1])
        if gained and not math.isnan(value):
            self.best = number, value

    def _renew_sampler(self) -> None:
        """Let the updaters go: they keep a generator of columns from round to round, out of reach of the seed."""
        assert self._booster is not None
        method = self._parameters.get("tree_method", "auto")
        self._booster.set_param({"tree_method": "hist" if method == "approx" else "approx"})
        self._booster.num_boosted_rounds()  # takes the parameter in
        self._booster.set_param({"tree_method": method})
