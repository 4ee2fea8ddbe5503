"""Dependencies between hyperparameters, worded as the original words them where it knows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from algorithms.hyperparameters import shown
from algorithms.xgboost.classes import classes_of, fault
from algorithms.xgboost.metrics import AT, BINARY, CLASSES, NAMES, REGRESSION, base_name

if TYPE_CHECKING:
    from algorithms.xgboost.hyperparameters import XGBoostHyperparameters

LINEAR = ("shotgun", "coord_descent")
GROWING = ("grow_colmaker", "distcol", "grow_histmaker", "grow_skmaker", "grow_quantile_histmaker")
CHANGING = ("refresh", "prune")
UPDATERS = (*GROWING, "sync", *CHANGING, *LINEAR)


def faults(settings: XGBoostHyperparameters) -> tuple[Iterator[str], ...]:
    checks = _objective, _quantiles, _class_names, _metrics, _trees, _updaters, _folds
    return tuple(check(settings) for check in checks)


def _objective(settings: XGBoostHyperparameters) -> Iterator[str]:
    multi = settings.task.startswith("multi:")
    if multi and settings.num_class is None:
        yield "Require input for parameter 'num_class' for multi-classification"
    if not multi and settings.num_class is not None:
        yield "Do not need to setup parameter 'num_class' for learning task other than multi-classification."


def _quantiles(settings: XGBoostHyperparameters) -> Iterator[str]:
    if (settings.task == "reg:quantileerror") != (settings.quantile_alpha is not None):
        yield "quantile_alpha is required for objective 'reg:quantileerror', and can be used only there."


def _class_names(settings: XGBoostHyperparameters) -> Iterator[str]:
    names = settings.class_names
    if names is None:
        return
    classes = classes_of(settings.task, settings.num_class or len(names))
    if not classes:
        yield f"class_names can be used only with binary and multi objectives, got '{settings.task}'."
    elif wrong := fault(names, classes):
        yield f"Hyperparameter class_names: {wrong}."


def _metrics(settings: XGBoostHyperparameters) -> Iterator[str]:
    unknown = [name for name in settings.eval_metric or () if "@" not in name and name not in NAMES]
    if unknown:
        names = "[" + ", ".join(map(repr, NAMES)) + "]"
        yield f"Hyperparameter eval_metric: value {shown(str(settings.eval_metric))[1:-1]} not in range {names}"
    for name in settings.eval_metric or ():
        base, at, threshold = name.partition("@")
        if at and base.strip() not in AT:
            yield (
                f"Metric {shown(name)} is not supported. Parameter 'eval_metric' with customized threshold should be "
                f"one of these options: 'error', 'ndcg', 'map'."
            )
        elif at and not AT[base.strip()].fullmatch(threshold.strip()):
            kind = "float" if base.strip() == "error" else "integer"
            yield f"Threshold value 't' in '{base.strip()}@t' expects {kind} input, got {shown(threshold)}."
    if not unknown:
        for name in dict.fromkeys(map(base_name, settings.judged_by)):
            yield from _metric(settings, name)


def _metric(settings: XGBoostHyperparameters, name: str) -> Iterator[str]:
    """Where the objective has no use for a known metric."""
    task = settings.task
    multi = task.startswith("multi:")
    if name == "auc" and not task.startswith(("binary:", "rank:")):
        yield "Metric 'auc' can only be applied for classification and ranking problems."
    elif name in ("aft-nloglik", "interval-regression-accuracy") and task != "survival:aft":
        yield f"Metric '{name}' can only be applied for 'survival:aft' objective."
    elif name in ("merror", "mlogloss") and not multi:
        yield f"Metric '{name}' can only be applied for multi-classification."
    elif name == "quantile" and task != "reg:quantileerror":
        yield "Metric 'quantile' can only be applied for 'reg:quantileerror' objective."
    elif name in CLASSES and not (multi or task.startswith("binary:") or task == "reg:logistic"):
        yield f"Metric '{name}' can only be applied for classification problems."
    elif name in BINARY and multi and settings.num_class != 2:
        yield f"Metric '{name}' can only be applied for two classes: Target is multiclass but average='binary'"
    elif name in REGRESSION and (task == "multi:softprob" or task.startswith("survival:")):
        yield f"Metric '{name}' can't be applied for '{task}' objective: it compares labels with one prediction each."
    elif multi and name not in (*CLASSES, *REGRESSION, "merror", "mlogloss", "aucpr"):
        yield f"Metric '{name}' can't be applied for multi-classification. Use 'merror' or 'mlogloss'."


def _trees(settings: XGBoostHyperparameters) -> Iterator[str]:
    """Without a tree_method it is hist, which takes all constraints."""
    method = settings.tree_method or "auto"
    if settings.monotone_constraints is not None and method not in ("auto", "exact", "hist", "gpu_hist"):
        yield (
            "monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'."
        )
    if settings.multi_strategy == "multi_output_tree" and method not in ("auto", "hist", "gpu_hist"):
        yield "multi_strategy 'multi_output_tree' can be used only when the tree_method parameter is set to 'hist'."
    if method == "gpu_hist" and settings.device == "cpu":
        yield "tree_method 'gpu_hist' can't be used with device 'cpu'."


def _updaters(settings: XGBoostHyperparameters) -> Iterator[str]:
    given = settings.updater
    if given is None:
        if settings.process_type == "update":
            yield "process_type 'update' can only be used with updater 'refresh' and 'prune'"
        return
    if any(name not in UPDATERS for name in given):
        names = ", ".join(map(repr, UPDATERS))
        yield f"Hyperparameter updater: value {shown(str(given))[1:-1]} not in range [{names}]"
    elif settings.booster == "gblinear":
        if len(given) != 1 or given[0] not in LINEAR:
            yield f"Linear updater should be one of these options: {', '.join(map(repr, LINEAR))}."
    elif settings.process_type == "update":
        if not set(given) <= set(CHANGING):
            yield "process_type 'update' can only be used with updater 'refresh' and 'prune'"
    elif any(name in LINEAR for name in given):
        trees = ", ".join(repr(name) for name in UPDATERS if name not in LINEAR)
        yield f"Tree updater should be selected from these options: {trees}."
    elif sum(name in GROWING for name in given) != 1 or given[0] not in GROWING:
        names = ", ".join(map(repr, GROWING))
        yield f"Only one tree grow plugin can be selected, as the first updater. Choose one from the following: {names}"


def _folds(settings: XGBoostHyperparameters) -> Iterator[str]:
    if settings.num_cv_round > 1 and settings.kfold is None:
        yield "_num_cv_round can be used only with _kfold."
