"""Small boosters of every kind that a model file may hold, trained by the library itself."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

FEATURES, CLASSES, RECORDS = 5, 3, 300
CATEGORY = 1  # the feature that holds numbers of categories, where there is one


def records(seed: int = 0, count: int = RECORDS) -> NDArray[np.float32]:
    """A fifth of the values is missing."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, FEATURES)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    return rows


@cache
def trained(kind: str) -> xgboost.Booster:
    """kind   a key of KINDS, or an objective"""
    settings: dict[str, Any] = {"nthread": 1, "max_depth": 3, "seed": 1, **KINDS.get(kind, {"objective": kind})}
    rng = np.random.default_rng(1)
    rows = records()
    target = np.nan_to_num(rows).sum(axis=1) + rng.normal(size=RECORDS)
    labels: Any = {"multi": np.digitize(target, (-1, 1)), "binary": target > 0, "rank": target > 0, "reg": target}.get(
        settings.get("objective", "reg").partition(":")[0], np.exp(target)
    )
    if kind == "categories":
        rows[:, CATEGORY] = rng.integers(6, size=RECORDS)
        labels = labels + 3 * (rows[:, CATEGORY] % 2)
    if settings.get("multi_strategy"):
        labels = np.column_stack([target, -target])
    types = ["c" if column == CATEGORY else "float" for column in range(FEATURES)]
    matrix = xgboost.DMatrix(rows, labels, nthread=1, feature_types=types if kind == "categories" else None)
    if kind == "names":
        matrix.feature_names = [f"name {number}" for number in range(FEATURES)]
    if settings.get("objective", "").startswith("rank:"):
        matrix.set_group([30] * (RECORDS // 30))
    if settings.get("objective") == "survival:aft":
        matrix.set_float_info("label_lower_bound", labels)
        matrix.set_float_info("label_upper_bound", labels + 1)
    if settings.get("objective") in ("reg:gamma", "reg:tweedie", "reg:squaredlogerror"):
        matrix.set_label(np.exp(target))
    if settings.get("objective") == "reg:logistic":
        matrix.set_label(1 / (1 + np.exp(-target)))
    return xgboost.train(settings, matrix, 3)


SOFTPROB = {"objective": "multi:softprob", "num_class": CLASSES}
KINDS: dict[str, dict[str, Any]] = {
    "trees": {"objective": "reg:squarederror"},
    "names": {"objective": "binary:logistic"},
    "classes": SOFTPROB,
    "softmax": {"objective": "multi:softmax", "num_class": CLASSES},
    "dart": {"booster": "dart", "rate_drop": 0.5, **SOFTPROB},
    "linear": {"booster": "gblinear", **SOFTPROB},
    "pruned": {"tree_method": "exact", "gamma": 5, "max_depth": 6},
    "forest": {"num_parallel_tree": 4, "subsample": 0.5},
    "targets": {"multi_strategy": "one_output_per_tree"},
    "vectors": {"multi_strategy": "multi_output_tree"},
    "categories": {"max_cat_to_onehot": 1},
    "quantiles": {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5]},
    "unbiased": {"objective": "rank:ndcg", "lambdarank_unbiased": True},
}
OBJECTIVES = (
    *("reg:squarederror", "reg:logistic", "reg:gamma", "reg:absoluteerror", "reg:tweedie", "reg:pseudohubererror"),
    *("reg:squaredlogerror", "binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson"),
    *("rank:pairwise", "rank:ndcg", "rank:map", "survival:aft", "survival:cox"),
)
