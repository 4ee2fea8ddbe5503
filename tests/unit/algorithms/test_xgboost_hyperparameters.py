"""Hyperparameters of XGBoost: names, ranges and texts of the original; and that the library takes all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xgboost

from algorithms.description import create_algorithm, markdown
from algorithms.forms import Choice, Flag, Number
from algorithms.xgboost import ALGORITHM
from algorithms.xgboost.dependencies import UPDATERS
from algorithms.xgboost.hyperparameters import IGNORED, OURS, XGBoostHyperparameters
from algorithms.xgboost.metrics import AT, CLASSES, METRICS, NAMES, REGRESSION
from recordio.errors import UserError

ORIGINAL = (
    "num_class booster verbosity nthread eta gamma max_depth min_child_weight max_delta_step subsample "
    "colsample_bytree colsample_bylevel colsample_bynode lambda alpha tree_method sketch_eps scale_pos_weight "
    "updater dsplit refresh_leaf process_type grow_policy max_leaves max_bin predictor monotone_constraints "
    "interaction_constraints sample_type normalize_type rate_drop one_drop skip_drop lambda_bias "
    "tweedie_variance_power objective base_score eval_metric early_stopping_rounds seed num_parallel_tree "
    "csv_weights aft_loss_distribution aft_loss_distribution_scale deterministic_histogram sampling_method "
    "prob_buffer_row save_model_on_termination use_dask_gpu_training _kfold _num_cv_round _tuning_objective_metric "
)
DECLARED = {item.name: item for item in XGBoostHyperparameters.declared()}


@pytest.fixture(autouse=True)
def _quiet_again() -> Iterator[None]:
    """The library keeps a booster's verbosity for all that follows in the process."""
    yield
    xgboost.set_config(verbosity=1)


def read(**given: str) -> XGBoostHyperparameters:
    return XGBoostHyperparameters.from_strings({"num_round": "3", **given})


def fault(**given: str) -> list[str]:
    with pytest.raises(UserError) as error:
        read(**given)
    return str(error.value).split("\n")


def test_all_names_of_the_original_are_there() -> None:
    assert len(ORIGINAL.split()) == 52
    assert set(ORIGINAL.split()) < set(DECLARED) and DECLARED["num_round"].required
    assert [name for name, item in DECLARED.items() if item.required] == ["num_round"]


def test_the_library_gets_what_was_given_and_nothing_else() -> None:
    assert read().parameters() == {"objective": "reg:squarederror"}
    assert read(eta="0.2", seed="-5", ndcg_exp_gain="false").parameters() == {
        "objective": "reg:squarederror",
        "eta": 0.2,
        "seed": -5,
        "ndcg_exp_gain": False,
    }
    assert read(num_class="3").parameters() == {"objective": "multi:softmax", "num_class": 3}
    assert read(device="cuda").parameters()["device"] == "cuda"
    assert "device" not in read(device="auto").parameters()


def test_aliases_of_which_the_last_counts() -> None:
    aliases = {"learning_rate": "eta", "min_split_loss": "gamma", "reg_lambda": "lambda", "reg_alpha": "alpha"}
    for alias, name in aliases.items():
        given = {"num_round": "1", name: "0.25", alias: "0.5"}
        assert XGBoostHyperparameters.from_strings(given).parameters()[name] == 0.5
        given = {"num_round": "1", alias: "0.5", name: "0.25"}
        assert XGBoostHyperparameters.from_strings(given).parameters()[name] == 0.25


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"eta": "1.5"}, "Hyperparameter eta: 1.5 is not in [0, 1]"),
        ({"subsample": "0"}, "Hyperparameter subsample: 0 is not in (0, 1]"),
        ({"gamma": "-1"}, "Hyperparameter gamma: -1 is not in [0, +inf)"),
        ({"seed": "2147483647"}, "Hyperparameter seed: 2147483647 is not in (-2147483648, 2147483647)"),
        ({"tweedie_variance_power": "2"}, "Hyperparameter tweedie_variance_power: 2 is not in (1, 2)"),
        ({"booster": "tree"}, "Hyperparameter booster: tree is not in ['gbtree', 'gblinear', 'dart']"),
        ({"max_depth": "six"}, "Hyperparameter max_depth: could not parse value (caused by ValueError)"),
        ({"etta": "1"}, "Extraneous hyperparameter found: etta"),
        ({"eval_metric": "rmse,foo"}, "Hyperparameter eval_metric: value ['rmse', 'foo'] not in range ['accuracy', "),
        ({"updater": "prune,foo"}, "Hyperparameter updater: value ['prune', 'foo'] not in range ['grow_colmaker', "),
        (
            {"interaction_constraints": "[[1,-2]]"},
            "Hyperparameter interaction_constraints: value [[1,-2]] not in range",
        ),
        ({"objective": "multi:softprob"}, "Require input for parameter 'num_class' for multi-classification"),
        (
            {"objective": "binary:logistic", "num_class": "2"},
            "Do not need to setup parameter 'num_class' for learning task other than multi-classification.",
        ),
        ({"eval_metric": "auc"}, "Metric 'auc' can only be applied for classification and ranking problems."),
        (
            {"eval_metric": "aft-nloglik"},
            "Metric 'aft-nloglik' can only be applied for 'survival:aft' objective.",
        ),
        (
            {"eval_metric": "rmse@0.5"},
            "Metric 'rmse@0.5' is not supported. Parameter 'eval_metric' with customized threshold should be one of "
            "these options: 'error', 'ndcg', 'map'.",
        ),
        ({"eval_metric": "error@x"}, "Threshold value 't' in 'error@t' expects float input, got 'x'."),
        (
            {"monotone_constraints": "(1,0)", "tree_method": "approx"},
            "monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'.",
        ),
        (
            {"process_type": "update", "updater": "grow_colmaker"},
            "process_type 'update' can only be used with updater 'refresh' and 'prune'",
        ),
        ({"process_type": "update"}, "process_type 'update' can only be used with updater 'refresh' and 'prune'"),
        (
            {"booster": "gblinear", "updater": "shotgun,coord_descent"},
            "Linear updater should be one of these options: 'shotgun', 'coord_descent'.",
        ),
        ({"updater": "shotgun"}, "Tree updater should be selected from these options: 'grow_colmaker', "),
        ({"updater": "grow_colmaker,grow_histmaker"}, "Only one tree grow plugin can be selected"),
        ({"updater": "prune"}, "Only one tree grow plugin can be selected"),
        (
            {"eval_metric": "f1_binary", "num_class": "3"},
            "Metric 'f1_binary' can only be applied for two classes: Target is multiclass but average='binary'",
        ),
        ({"eval_metric": "accuracy"}, "Metric 'accuracy' can only be applied for classification problems."),
        ({"eval_metric": "rmse", "objective": "multi:softprob", "num_class": "3"}, "Metric 'rmse' can't be applied"),
        ({"_num_cv_round": "2"}, "_num_cv_round can be used only with _kfold."),
        ({"_tuning_objective_metric": "train:auc"}, "Hyperparameter _tuning_objective_metric: train:auc is not in ['"),
        ({"objective": "reg:quantileerror"}, "quantile_alpha is required for objective 'reg:quantileerror'"),
        (
            {"class_names": "a,b"},
            "class_names can be used only with binary and multi objectives, got 'reg:squarederror'.",
        ),
        (
            {"class_names": "a,b", "num_class": "3"},
            "Hyperparameter class_names: got 2 names, expected 3, one for each class.",
        ),
        (
            {"class_names": "a,b,c", "objective": "binary:hinge"},
            "Hyperparameter class_names: got 3 names, expected 2, one for each class.",
        ),
        (
            {"class_names": "a,b, a", "num_class": "3"},
            "Hyperparameter class_names: got 'a' for class 2, expected a text that names no other class, not empty, ",
        ),
        ({"class_names": '["a", " "]', "num_class": "2"}, "Hyperparameter class_names: got ' ' for class 1, expected"),
        (
            {"class_names": r'["\ud800", "a"]', "num_class": "2"},
            r"Hyperparameter class_names: got '\ud800' for class 0, expected a text",
        ),
        (
            {"class_names": "[1, 2]", "num_class": "2"},
            "Hyperparameter class_names: could not parse value (caused by ValueError)",
        ),
        (
            {"class_names": "a,b", "objective": "multi:softprob"},
            "Require input for parameter 'num_class' for multi-classification",
        ),
    ],
)
def test_texts_that_clients_search_for(given: dict[str, str], text: str) -> None:
    (line,) = fault(**given)
    assert line.startswith(text)


def test_all_faults_in_one_answer() -> None:
    with pytest.raises(UserError) as error:
        XGBoostHyperparameters.from_strings({"eta": "2", "booster": "x"})
    assert [line.partition(". ")[0] for line in str(error.value).split("\n")] == [
        "Missing required hyperparameter: num_round",
        "Hyperparameter booster: x is not in ['gbtree', 'gblinear', 'dart']",
        "Hyperparameter eta: 2 is not in [0, 1]",
    ]
    assert len(fault(objective="multi:softmax", eval_metric="auc", updater="sync")) == 3


@pytest.mark.parametrize("method", ["auto", "exact", "hist", "approx", "gpu_hist"])
def test_constraints_go_with_what_the_library_takes(method: str) -> None:
    settings = read(tree_method=method, interaction_constraints="[[1, 2], [3, 4]]")
    assert settings.parameters()["interaction_constraints"] == "[[1, 2], [3, 4]]"
    if method != "approx":
        settings = read(tree_method=method, monotone_constraints="(1, 0, -1)")
        assert settings.parameters()["monotone_constraints"] == "(1,0,-1)"


@pytest.mark.parametrize(
    ("given", "metrics", "watched"),
    [
        ({}, (), None),
        ({"eval_metric": "rmse"}, ("rmse",), ("rmse", False)),
        ({"eval_metric": "mae,rmse"}, ("mae", "rmse"), ("rmse", False)),
        ({"eval_metric": "mae,r2"}, ("mae", "r2"), ("r2", True)),
        ({"eval_metric": "rmse", "_tuning_objective_metric": "validation:mae"}, ("mae", "rmse"), ("mae", False)),
        ({"_tuning_objective_metric": "validation:r2"}, ("r2",), ("r2", True)),
        ({"objective": "rank:ndcg", "eval_metric": "auc,ndcg@5"}, ("auc", "ndcg@5"), ("ndcg@5", True)),
        ({"objective": "rank:ndcg", "eval_metric": "map@3-"}, ("map@3-",), ("map@3-", True)),
        ({"objective": "binary:logistic", "eval_metric": "error@.50,error"}, ("error",), ("error", False)),
        ({"objective": "binary:logistic", "eval_metric": " error@7e-1 "}, ("error@0.7",), ("error@0.7", False)),
        ({"eval_metric": "tweedie-nloglik"}, ("tweedie-nloglik@1.5",), ("tweedie-nloglik@1.5", False)),
        (
            {"eval_metric": "tweedie-nloglik", "tweedie_variance_power": "1.2"},
            ("tweedie-nloglik@1.2",),
            ("tweedie-nloglik@1.2", False),
        ),
    ],
)
def test_what_rounds_are_judged_by(given: dict[str, str], metrics: tuple[str, ...], watched: Any) -> None:
    """The last one is watched, or that of a tuning job; ndcg@5 is better when larger, which the original got wrong."""
    settings = read(**given)
    assert settings.judged_by == metrics
    assert settings.watched == watched


RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 4)).astype(np.float32)
POSITIVE = np.abs(X[:, 0]) + 0.1
BINARY = (X[:, 1] > 0).astype(np.float32)
THREE = np.arange(60) % 3


def data(objective: str) -> xgboost.DMatrix:
    if objective == "survival:aft":
        return xgboost.DMatrix(X, label_lower_bound=POSITIVE, label_upper_bound=POSITIVE + 1)
    labels = {"binary": BINARY, "rank": BINARY, "multi": THREE}.get(objective.partition(":")[0], POSITIVE)
    labels = BINARY if objective == "reg:logistic" else labels
    return xgboost.DMatrix(X, label=labels, qid=np.arange(60) // 20 if objective.startswith("rank") else None)


def learned(settings: XGBoostHyperparameters) -> str:
    """The last line of three rounds by the library alone, which may complain of nothing."""
    matrix = data(settings.task)
    parameters = {"nthread": 1, **settings.parameters()}
    assert parameters.pop("device", "cpu") in ("cpu", "cuda")  # there may be no GPU
    booster = xgboost.Booster(parameters, [matrix])
    for number in range(3):
        booster.update(matrix, number)
    return str(booster.eval_set([(matrix, "train")], 2))


FITTING: dict[str, dict[str, str]] = {  # what else a value needs
    "num_class": {"objective": "multi:softprob"},
    "multi:softmax": {"num_class": "3"},
    "multi:softprob": {"num_class": "3"},
    "reg:quantileerror": {"quantile_alpha": "0.1,0.9"},
    "quantile_alpha": {"objective": "reg:quantileerror"},
    "class_names": {"objective": "binary:logistic"},
    "_num_cv_round": {"_kfold": "2"},
    **{name: {"booster": "dart"} for name in ("sample_type", "normalize_type", "rate_drop", "one_drop", "skip_drop")},
    **{name: {"objective": "rank:ndcg"} for name in ("lambdarank_pair_method", "lambdarank_num_pair_per_sample")},
    "ndcg_exp_gain": {"objective": "rank:ndcg"},
    **{name: {"objective": "survival:aft"} for name in ("aft_loss_distribution", "aft_loss_distribution_scale")},
    "tweedie_variance_power": {"objective": "reg:tweedie"},
    "huber_slope": {"objective": "reg:pseudohubererror"},
    "scale_pos_weight": {"objective": "binary:logistic"},
}
LISTS = {
    "class_names": ["no,yes", '["no", "yes, please"]'],
    "monotone_constraints": ["(1,0,-1)", "[0,0,0,0]"],
    "interaction_constraints": ["[[0,1],[2,3]]"],
    "quantile_alpha": ["0.5", "0.1,0.9"],
    "updater": [],  # below
    "eval_metric": [],  # below
}


def documented() -> list[tuple[str, str]]:
    """Each hyperparameter with its choices, or the ends of its range and something between."""
    found = []
    for name, item in DECLARED.items():
        (form,) = item.forms
        match form:
            case Choice(values):
                found += [(name, value) for value in values]
            case Flag():
                found += [(name, "true"), (name, "false")]
            case Number(integer):
                step = 1 if integer else 0.001
                low = form.ge if form.ge is not None else step if form.gt is None else form.gt + step
                high = form.le if form.le is not None else 3 if form.lt is None else form.lt - step
                found += [(name, str(value)) for value in dict.fromkeys((low, high))]
            case _:
                found += [(name, value) for value in LISTS[name]]
    return found


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "value"), documented())
def test_every_documented_value_is_taken_by_the_library_or_explained(name: str, value: str) -> None:
    given = {"num_class": "3"} if name == "num_class" else {name: value}
    if name == "_tuning_objective_metric" or (name, value) == ("process_type", "update"):  # below
        return
    settings = XGBoostHyperparameters.from_strings(
        {"num_round": "3", **FITTING.get(name, {}), **FITTING.get(value, {}), **given}
    )
    assert learned(settings).startswith("[2]\ttrain-")
    gone = (name in IGNORED and value != "false") or value in ("gpu_hist", "reg:linear")
    assert any(name in text or value in text for text in settings.remarks()) == gone
    if name not in (*OURS, *IGNORED, "device"):
        assert name in settings.parameters()


def test_no_remarks_without_a_reason() -> None:
    assert read(use_dask_gpu_training="false", tree_method="hist", objective="reg:squarederror").remarks() == []
    assert read(_tuning_objective_metric="validation:rmse").remarks() == [
        "Setting up HPO optimized metric to be : rmse"
    ]


@pytest.mark.filterwarnings("ignore:.*manually specified the `updater`")
@pytest.mark.parametrize("name", UPDATERS)
def test_every_updater(name: str) -> None:
    linear = name in ("shotgun", "coord_descent")
    after = name in ("sync", "refresh", "prune")
    given = (
        {"booster": "gblinear", "updater": name} if linear else {"updater": f"grow_colmaker,{name}" if after else name}
    )
    settings = read(**given)
    assert learned(settings).startswith("[2]\ttrain-rmse:")
    assert bool(settings.remarks()) == (name in ("distcol", "grow_skmaker"))


def test_trees_can_be_refreshed() -> None:
    matrix = data("reg:squarederror")
    booster = xgboost.train({"nthread": 1, "max_depth": 2}, matrix, 2)
    settings = read(process_type="update", updater="refresh,prune", refresh_leaf="1")
    again = xgboost.train({**settings.parameters(), "nthread": 1}, matrix, 2, xgb_model=booster)
    assert again.num_boosted_rounds() == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES)
def test_every_metric_is_the_librarys_or_ours(name: str) -> None:
    if name in ("aft-nloglik", "interval-regression-accuracy"):
        objective = "survival:aft"
    elif name in ("merror", "mlogloss"):
        objective = "multi:softmax"
    elif name in (*CLASSES, "auc", "aucpr", "error", "logloss", "map", "ndcg", "pre"):
        objective = "binary:logistic"
    else:
        objective = "reg:quantileerror" if name == "quantile" else "reg:squarederror"
    for given in [
        name,
        *([f"{name}@0.7"] if name == "error" else [f"{name}@2"] if name in AT and name != "tweedie-nloglik" else []),
    ]:
        settings = read(objective=objective, eval_metric=given, **FITTING.get(objective, {}))
        told = [part.partition("-")[2].rpartition(":")[0] for part in learned(settings).split("\t")[1:]]
        ours = settings.own_metrics
        assert ours == ((name,) if name in (*CLASSES, "mse", "r2") else ())
        assert ours or told == list(settings.judged_by), "the name that is watched is the one that is printed"


def test_what_the_library_cannot_score_of_class_numbers_is_ours() -> None:
    settings = read(num_class="3", eval_metric=",".join([*REGRESSION, "merror"]))
    assert settings.own_metrics == REGRESSION and settings.parameters()["eval_metric"] == ["merror"]


@pytest.mark.parametrize("tab", ["\t", "#011"])
def test_tuning_jobs_find_the_metrics(tab: str) -> None:
    line = tab.join(["[90]", "train-error:0.09538", "validation-error:0.10561", "validation-tweedie-nloglik@1.5:2.25"])
    found = {metric.name: re.match(metric.regex("validation"), line) for metric in METRICS}
    values = {name: match[1] for name, match in found.items() if match}
    assert values == {"error": "0.10561", "tweedie-nloglik": "2.25"}


def test_the_description_of_the_algorithm() -> None:
    request = create_algorithm(ALGORITHM, "image")["TrainingSpecification"]
    names = [metric["Name"] for metric in request["MetricDefinitions"]]
    assert names == [f"validation:{name}" for name in NAMES]
    kinds = {metric["MetricName"]: metric["Type"] for metric in request["SupportedTuningJobObjectiveMetrics"]}
    assert (kinds["validation:auc"], kinds["validation:rmse"]) == ("Maximize", "Minimize")
    parameters = {item["Name"]: item for item in request["SupportedHyperParameters"]}
    assert parameters["num_round"]["IsRequired"] and parameters["eta"]["Type"] == "Continuous"
    tunable = [name for name, item in parameters.items() if item["IsTunable"]]
    assert {"alpha", "min_child_weight", "subsample", "eta", "num_round"} < set(tunable)
    assert "| `lambda` | `none` |" in markdown(ALGORITHM)
