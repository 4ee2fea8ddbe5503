"""What training keeps: records on a disk, and boosters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from algorithms.contract import Alone, Arrays, Pool, Round
from algorithms.xgboost.boosting import Boosting
from algorithms.xgboost.hyperparameters import XGBoostHyperparameters
from algorithms.xgboost.matrices import Matrices
from algorithms.xgboost.model import XGBoostModel
from algorithms.xgboost.spool import Spool
from recordio.batch import Batch
from recordio.errors import UserError


class XGBoostState:
    """The guest engine's state: see `Guest`."""

    def __init__(self, settings: XGBoostHyperparameters) -> None:
        self.settings = settings
        self.pool: Pool = Alone()
        self.train, self.held = Spool(), Spool()
        self.boosting = Boosting(settings.parameters(), None)
        self.first = 0

    def update(self, batch: Batch) -> None:
        self.train.append(batch)

    def hold_out(self, batch: Batch) -> None:
        self.held.append(batch)

    def rounds(self) -> Iterator[Round]:
        """Raises UserError when no host has records."""
        width = max(self.train.width, self.held.width)
        matrices = Matrices(width, quantised=True)
        matrices.choose(self.train, self.held)
        train = matrices.matrix(self.train)
        self.boosting.begin(train, matrices.matrix(self.held, like=train) if len(self.held) else None)
        while self.boosting.rounds < self.first + self.settings.num_round and not self.boosting.stopped:
            number = self.boosting.rounds
            yield Round(number, self.boosting.learn())

    def reports(self) -> Mapping[str, bytes]:
        return {}

    def merge(self, other: XGBoostState) -> None:
        """Raises UserError: trees of two hosts are not those of their records together."""
        if other.boosting.rounds or len(other.train):
            raise UserError("boosted trees can't be merged: hosts learn one model in step")

    def finalise(self) -> XGBoostModel:
        """Raises UserError before the first round."""
        if not self.boosting.rounds:
            raise UserError("The train channel holds no records: XGBoost needs at least one.")
        judged = "validation" if any(channel == "validation" for channel, _ in self.boosting.scores) else "train"
        metrics = {name: value for (channel, name), value in self.boosting.scores.items() if channel == judged}
        return XGBoostModel((self.boosting.model(),), metrics)

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        arrays, values = self.boosting.snapshot()
        return arrays, {**values, "first": self.first}

    @classmethod
    def restore(cls, settings: XGBoostHyperparameters, arrays: Arrays, values: dict[str, Any]) -> XGBoostState:
        state = cls(settings)
        state.first = values["first"]
        earlier = arrays["booster"].tobytes() if "booster" in arrays else None
        state.boosting = Boosting(settings.parameters(), None, earlier)
        return state

    @classmethod
    def adopt(cls, settings: XGBoostHyperparameters, model: XGBoostModel) -> XGBoostState:
        state = cls(settings)
        state.boosting = Boosting(settings.parameters(), None, bytes(model.boosters[0].save_raw("ubj")))
        state.first = state.boosting.rounds
        return state
