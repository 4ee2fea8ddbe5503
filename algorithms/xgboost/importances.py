"""Importance of features, as the library measures it, and the facts of a model for its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from algorithms.importances import Importances
from algorithms.xgboost.model import XGBoostModel

if TYPE_CHECKING:
    from xgboost import Booster

OF_TREES = ("gain", "weight", "cover", "total_gain", "total_cover")
OF_LINES = ("weight",)  # the coefficient; of several outputs the mean of its size


def importances(model: XGBoostModel) -> Importances:
    """Of several boosters the means; a booster that does not use a feature counts with 0."""
    measures = OF_LINES if model.kind == "gblinear" else OF_TREES
    scores = [{name: _scores(booster, name) for name in measures} for booster in model.boosters]
    features = sorted({feature for each in scores for one in each.values() for feature in one})

    def mean(measure: str, feature: str) -> float:
        return sum(each[measure].get(feature, 0.0) for each in scores) / len(scores)

    rows = [(feature, tuple(mean(measure, feature) for measure in measures)) for feature in features]
    return Importances(_facts(model), measures, tuple(sorted(rows, key=lambda row: (-abs(row[1][0]), row[0]))))


def _scores(booster: Booster, measure: str) -> dict[str, float]:
    found = booster.get_score(importance_type=measure)
    return {
        name: float(np.abs(value).mean()) if isinstance(value, list) else float(value) for name, value in found.items()
    }


def _facts(model: XGBoostModel) -> dict[str, str | int | float]:
    boosters = model.boosters
    best = [booster.attr("best_iteration") for booster in boosters]
    scores = [booster.attr("best_score") for booster in boosters]
    several = {"boosters": len(boosters)} if len(boosters) > 1 else {}
    classes = {"classes": " / ".join(model.class_names)} if model.class_names else {}
    outputs = {"outputs": model.outputs} if model.outputs > 1 else {}
    return {
        "objective": model.objective,
        "booster": model.kind,
        **classes,
        **outputs,
        "feature_dim": model.feature_dim,
        **several,
        "rounds": _joined([booster.num_boosted_rounds() for booster in boosters]),
        **({"best round": _joined([one or "-" for one in best])} if any(best) else {}),
        **({"best score": _joined([one or "-" for one in scores])} if any(scores) else {}),
    }


def _joined(values: Sequence[str | int]) -> str | int:
    """One for all boosters, or one for each."""
    return " / ".join(map(str, values)) if len(set(values)) > 1 else values[0]
