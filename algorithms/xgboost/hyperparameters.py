"""Hyperparameters of XGBoost."""

from __future__ import annotations

from typing import Any, Literal

from algorithms.hyperparameters import Hyperparameters, hyper


class XGBoostHyperparameters(Hyperparameters):
    num_round: int = hyper("Rounds of boosting; of an earlier model, further ones.", ge=1)
    objective: str = hyper("What is learned.", default="reg:squarederror")
    num_class: int | None = hyper("Classes of the multi objectives.", default=None, ge=2)
    booster: Literal["gbtree", "gblinear", "dart"] | None = hyper("Kind of learner.", default=None)
    tree_method: Literal["auto", "exact", "approx", "hist", "gpu_hist"] | None = hyper("How splits.", default=None)
    eta: float | None = hyper("Learning rate.", default=None, ge=0, le=1)
    max_depth: int | None = hyper("Depth of a tree.", default=None, ge=0)
    subsample: float | None = hyper("Part of the records that a round sees.", default=None, gt=0, le=1)
    colsample_bytree: float | None = hyper("Part of the features that a tree sees.", default=None, gt=0, le=1)
    rate_drop: float | None = hyper("dart only.", default=None, ge=0, le=1)
    seed: int | None = hyper("Of random numbers.", default=None)
    early_stopping_rounds: int | None = hyper("Rounds without gain.", default=None, ge=1)
    eval_metric: list[str] | None = hyper("Metrics.", default=None)
    save_model_on_termination: bool = hyper("Whether each round's model is saved.", default=False)

    def parameters(self) -> dict[str, Any]:
        """What was given, for the engine."""
        ours = ("num_round", "early_stopping_rounds", "save_model_on_termination")
        return {name: value for name, value in self if value is not None and name not in ours}
