"""Hyperparameters of XGBoost: those of the original's image, and a few more of the library's.

What is not given is left to the library, whose defaults the descriptions name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from algorithms.forms import Choice, Form, Many, Number
from algorithms.hyperparameters import Declared, Ge, Gt, Hyperparameters, Kind, Le, Lt, hyper, shown
from algorithms.xgboost import dependencies
from algorithms.xgboost.metrics import TUNING, canonical, larger, own_metrics

Whole = Annotated[int, Ge(1)]
Count = Annotated[int, Ge(0)]
Switch = Annotated[int, Ge(0), Le(1)]
NotNegative = Annotated[float, Ge(0)]
Part = Annotated[float, Ge(0), Le(1)]
Share = Annotated[float, Gt(0), Le(1)]
Sign = Annotated[int, Ge(-1), Le(1)]

OURS = (
    *("num_round", "csv_weights", "early_stopping_rounds", "save_model_on_termination", "eval_metric"),
    *("class_names", "_kfold", "_num_cv_round", "_tuning_objective_metric"),
)
IGNORED = {
    "sketch_eps": "the library has max_bin instead, about 1 / sketch_eps",
    "dsplit": "hosts always have rows of their own",
    "predictor": "the library predicts where it learns: see device",
    "prob_buffer_row": "the library has no updater that reads it",
    "lambda_bias": "the library does not penalise the bias",
    "deterministic_histogram": "histograms always are",
    "use_dask_gpu_training": "GPUs learn without Dask, one on each host",
}
SUCCESSORS = {"distcol": "grow_colmaker", "grow_skmaker": "grow_histmaker"}  # of updaters that the library has dropped
SAMPLED = ("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode")


class XGBoostHyperparameters(Hyperparameters):
    num_round: int = hyper("Rounds of boosting; further ones after those of a `model` channel.", ge=1, tune=(1, 4000))
    objective: (
        Literal[
            "binary:logistic",
            "binary:logitraw",
            "binary:hinge",
            "count:poisson",
            "multi:softmax",
            "multi:softprob",
            "rank:pairwise",
            "rank:ndcg",
            "rank:map",
            "reg:linear",
            "reg:squarederror",
            "reg:logistic",
            "reg:gamma",
            "reg:pseudohubererror",
            "reg:squaredlogerror",
            "reg:absoluteerror",
            "reg:quantileerror",
            "reg:tweedie",
            "survival:aft",
            "survival:cox",
        ]
        | None
    ) = hyper("What is learned. Default reg:squarederror, or multi:softmax where num_class is given.", default=None)
    num_class: Annotated[int, Ge(2)] | None = hyper(
        "Classes; required for multi:softmax and multi:softprob.", default=None
    )
    class_names: list[str] | None = hyper(
        "What the classes 0, 1, … are called, for binary and multi objectives: the model keeps it, labels stay "
        "numbers. Default those of the `model` channel.",
        default=None,
    )
    eval_metric: list[str] | None = hyper(
        "What rounds are judged by; the last one counts for early stopping. `error@t` has a threshold, `ndcg@n` and "
        "`map@n` look at the first n. Default by objective.",
        default=None,
    )
    early_stopping_rounds: Whole | None = hyper(
        "Rounds without a better value on the validation channel after which training ends; the model then has the "
        "rounds up to the best. Needs eval_metric or a tuning job.",
        default=None,
    )
    booster: Literal["gbtree", "gblinear", "dart"] | None = hyper(
        "Trees, a linear model, or trees of which each round leaves some out. Default gbtree.", default=None
    )
    tree_method: Literal["auto", "exact", "approx", "hist", "gpu_hist"] | None = hyper(
        "How splits are found; gpu_hist is hist with device cuda. Default auto, which is hist.", default=None
    )
    device: Literal["auto", "cpu", "cuda"] = hyper(
        "Where trees are grown; auto takes a GPU where there is one.", default="auto"
    )
    eta: Part | None = hyper(
        "Step size: what each round's values are multiplied by. Default 0.3.",
        default=None,
        tune=(0.1, 0.5),
        aliases=("learning_rate",),
    )
    gamma: NotNegative | None = hyper(
        "Least gain of a split. Default 0.", default=None, tune=(0, 5), aliases=("min_split_loss",)
    )
    max_depth: Count | None = hyper("Depth of a tree, 0 for any. Default 6.", default=None, tune=(0, 10))
    min_child_weight: NotNegative | None = hyper(
        "Least sum of second derivatives in a child. Default 1.", default=None, tune=(0, 120)
    )
    max_delta_step: NotNegative | None = hyper(
        "Most that a leaf may say, 0 for any. Default 0.", default=None, tune=(0, 10)
    )
    subsample: Share | None = hyper("Share of the records that a round sees. Default 1.", default=None, tune=(0.5, 1))
    colsample_bytree: Share | None = hyper(
        "Share of the features that a tree sees. Default 1.", default=None, tune=(0.5, 1)
    )
    colsample_bylevel: Share | None = hyper("Share of those for each level. Default 1.", default=None, tune=(0.1, 1))
    colsample_bynode: Share | None = hyper("Share of those for each node. Default 1.", default=None, tune=(0.1, 1))
    lambda_: NotNegative | None = hyper(
        "L2 penalty. Default 1, for gblinear 0.", default=None, tune=(0, 1000), name="lambda", aliases=("reg_lambda",)
    )
    alpha: NotNegative | None = hyper("L1 penalty. Default 0.", default=None, tune=(0, 1000), aliases=("reg_alpha",))
    scale_pos_weight: Annotated[float, Gt(0)] | None = hyper(
        "Weight of class 1 beside class 0. Default 1.", default=None
    )
    base_score: NotNegative | None = hyper(
        "What is predicted before the first round. Default by the labels.", default=None
    )
    seed: Annotated[int, Gt(-(2**31)), Lt(2**31 - 1)] | None = hyper("Of random numbers. Default 0.", default=None)
    nthread: Whole | None = hyper("Threads. Default as many as there are cores.", default=None)
    verbosity: Annotated[int, Ge(0), Le(3)] | None = hyper(
        "What the library logs: nothing, warnings, information, everything. Default 1.", default=None
    )
    csv_weights: Switch = hyper("Whether the second column of CSV is the weight of the record.", default=0)
    grow_policy: Literal["depthwise", "lossguide"] | None = hyper(
        "Which node is split next: those nearest to the root, or that of most gain. Default depthwise.", default=None
    )
    max_leaves: Count | None = hyper("Leaves of a tree, 0 for any number. Default 0.", default=None)
    max_bin: Annotated[int, Ge(2)] | None = hyper("Bins of a feature, for hist and approx. Default 256.", default=None)
    sampling_method: Literal["uniform", "gradient_based"] | None = hyper(
        "How records are drawn for subsample: alike, or by their gradients. Default uniform.", default=None
    )
    monotone_constraints: list[Sign] | None = hyper(
        "For each feature, whether predictions may only rise (1) or fall (-1) with it: `(1,0,-1)`. "
        "With tree_method exact or hist.",
        default=None,
    )
    interaction_constraints: list[list[Count]] | None = hyper(
        "Groups of features, counted from 0, that may stand on one path of a tree: `[[0,1],[2,3]]`. "
        "With tree_method exact, hist or approx.",
        default=None,
    )
    num_parallel_tree: Whole | None = hyper("Trees of one round. Default 1.", default=None)
    multi_strategy: Literal["one_output_per_tree", "multi_output_tree"] | None = hyper(
        "Whether several labels or classes have a tree each. Default one_output_per_tree.", default=None
    )
    updater: list[str] | None = hyper(
        "Steps by which trees are made or changed: one of grow_colmaker, grow_histmaker and grow_quantile_histmaker, "
        "then prune, refresh and sync. For gblinear shotgun or coord_descent. Default by tree_method.",
        default=None,
    )
    process_type: Literal["default", "update"] | None = hyper(
        "Whether trees are grown, or those of the `model` channel changed by refresh and prune. Default default.",
        default=None,
    )
    refresh_leaf: Switch | None = hyper("Whether refresh changes leaves, too. Default 1.", default=None)
    sample_type: Literal["uniform", "weighted"] | None = hyper(
        "dart: how trees to leave out are drawn. Default uniform.", default=None
    )
    normalize_type: Literal["tree", "forest"] | None = hyper(
        "dart: whether a new tree weighs as one of those left out or all. Default tree.", default=None
    )
    rate_drop: Part | None = hyper("dart: share of the trees that a round leaves out. Default 0.", default=None)
    one_drop: Switch | None = hyper("dart: whether at least one is left out. Default 0.", default=None)
    skip_drop: Part | None = hyper("dart: chance that a round leaves none out. Default 0.", default=None)
    tweedie_variance_power: Annotated[float, Gt(1), Lt(2)] | None = hyper(
        "reg:tweedie: from 1, as Poisson, to 2, as gamma. Default 1.5.", default=None
    )
    huber_slope: Annotated[float, Gt(0)] | None = hyper(
        "reg:pseudohubererror: errors from which the loss is linear. Default 1.", default=None
    )
    quantile_alpha: list[Annotated[float, Gt(0), Lt(1)]] | None = hyper(
        "reg:quantileerror: the quantiles to predict; required there.", default=None
    )
    aft_loss_distribution: Literal["normal", "logistic", "extreme"] | None = hyper(
        "survival:aft: distribution of the logarithm's noise. Default normal.", default=None
    )
    aft_loss_distribution_scale: NotNegative | None = hyper("survival:aft: its scale. Default 1.", default=None)
    lambdarank_pair_method: Literal["mean", "topk"] | None = hyper(
        "rank objectives: how pairs are made, at random or with those ranked first. Default topk.", default=None
    )
    lambdarank_num_pair_per_sample: Whole | None = hyper(
        "rank objectives: pairs for each record, or for topk the ranks that have any. Default 1, for topk 32.",
        default=None,
    )
    ndcg_exp_gain: bool | None = hyper(
        "Whether the gain of ndcg is 2^label - 1 rather than the label. Default true.", default=None
    )
    save_model_on_termination: bool = hyper(
        "Whether the model is written after every round; a job that is stopped leaves it in any case.", default=False
    )
    kfold: Annotated[int, Ge(2)] | None = hyper(
        "Folds of cross validation: a model for each, learned from the others.", default=None, name="_kfold"
    )
    num_cv_round: Whole = hyper("Times that the records are dealt to folds anew.", default=1, name="_num_cv_round")
    tuning_objective_metric: Literal[TUNING] | None = hyper(  # type: ignore[valid-type]
        "What a tuning job looks at, which sets it: added to eval_metric.",
        default=None,
        name="_tuning_objective_metric",
    )
    sketch_eps: Annotated[float, Gt(0), Lt(1)] | None = hyper("Has no effect: see max_bin.", default=None)
    dsplit: Literal["row", "col"] | None = hyper("Has no effect.", default=None)
    predictor: Literal["auto", "cpu_predictor", "gpu_predictor"] | None = hyper(
        "Has no effect: see device.", default=None
    )
    lambda_bias: Part | None = hyper("Has no effect.", default=None)
    deterministic_histogram: bool | None = hyper("Has no effect: histograms always are.", default=None)
    prob_buffer_row: Annotated[float, Gt(1)] | None = hyper("Has no effect.", default=None)
    use_dask_gpu_training: bool = hyper("Has no effect: GPUs learn without Dask.", default=False)

    def conflicts(self) -> tuple[Iterable[str], ...]:
        return dependencies.faults(self)

    @classmethod
    def original(cls, kind: Kind, item: Declared | None, value: object) -> str:
        if item is None:
            return f"Extraneous hyperparameter found: {shown(value)[1:-1]}"
        if kind == "missing":
            return f"Missing required hyperparameter: {item.name}"
        if isinstance(item.forms[0], Many) and kind == "outside":
            return f"Hyperparameter {item.name}: value {shown(value)[1:-1]} not in range {_range(item.forms[0].item)}"
        if kind == "outside" or isinstance(item.forms[0], Choice):
            return f"Hyperparameter {item.name}: {shown(value)[1:-1]} is not in {_range(item.forms[0])}"
        return f"Hyperparameter {item.name}: could not parse value (caused by ValueError)"

    @property
    def task(self) -> str:
        """The objective."""
        return self.objective or ("reg:squarederror" if self.num_class is None else "multi:softmax")

    @property
    def sampled(self) -> bool:
        """Whether rounds draw random numbers."""
        return any(getattr(self, name) not in (None, 1) for name in SAMPLED) or self.booster == "dart"

    @property
    def stratified(self) -> bool:
        """Whether folds shall have classes in like shares."""
        return self.num_class is not None or self.task.startswith("binary:")

    @property
    def judged_by(self) -> tuple[str, ...]:
        """The metrics that were asked for, as the library prints them; those of a tuning job sorted by name."""
        given = [canonical(name, self.tweedie_variance_power) for name in self.eval_metric or ()]
        if self.tuning_objective_metric is not None:
            given = sorted({*given, canonical(_watched(self.tuning_objective_metric), self.tweedie_variance_power)})
        return tuple(dict.fromkeys(given))

    @property
    def own_metrics(self) -> tuple[str, ...]:
        """Those that the library does not compute."""
        return tuple(name for name in self.judged_by if name in own_metrics(self.task))

    @property
    def watched(self) -> tuple[str, bool] | None:
        """The metric that early stopping looks at, and whether it is better when larger."""
        if self.tuning_objective_metric is not None:
            name = canonical(_watched(self.tuning_objective_metric), self.tweedie_variance_power)
        elif self.eval_metric:
            name = canonical(self.eval_metric[-1], self.tweedie_variance_power)
        else:
            return None
        return name, larger(name)

    def parameters(self) -> dict[str, Any]:
        """What was given, by the library's names. `device` only where it is cpu or cuda."""
        found: dict[str, Any] = {
            item.name: value
            for item in self.declared()
            if item.name not in OURS and item.name not in IGNORED and (value := getattr(self, item.field)) is not None
        }
        found["objective"] = "reg:squarederror" if self.task == "reg:linear" else self.task
        if self.device == "auto":
            del found["device"]
        if self.tree_method == "gpu_hist":
            found |= {"tree_method": "hist", "device": "cuda"}
        if self.updater is not None:
            found["updater"] = ",".join(SUCCESSORS.get(name, name) for name in self.updater)
        if self.monotone_constraints is not None:
            found["monotone_constraints"] = f"({','.join(map(str, self.monotone_constraints))})"
        if self.interaction_constraints is not None:
            found["interaction_constraints"] = str(self.interaction_constraints)
        if asked := [name for name in self.judged_by if name not in own_metrics(self.task)]:
            found["eval_metric"] = asked
        return found

    def remarks(self) -> list[str]:
        """What becomes of given values that the library has no longer, in sentences for the log."""
        found = [
            f"Hyperparameter {name} has no effect: {reason}."
            for name, reason in IGNORED.items()
            if (value := getattr(self, name)) is not None and value is not False
        ]
        if self.objective == "reg:linear":
            found.append("Objective reg:linear is reg:squarederror now.")
        if self.tree_method == "gpu_hist":
            found.append("Hyperparameter tree_method gpu_hist is tree_method hist with device cuda now.")
        for name in self.updater or ():
            if name in SUCCESSORS:
                found.append(f"Updater {name} is {SUCCESSORS[name]} now.")
        if self.tuning_objective_metric is not None:
            found.append(f"Setting up HPO optimized metric to be : {_watched(self.tuning_objective_metric)}")
        return found


def _watched(tuning: str) -> str:
    return tuning.removeprefix("validation:")


def _range(form: Form) -> str:
    """As the original writes it: [0, 1], (0, +inf), ['a', 'b']."""
    match form:
        case Choice(values):
            return str(list(values))
        case Many(item):
            return _range(item)
        case Number():
            low = f"({form.gt}" if form.gt is not None else "(-inf" if form.ge is None else f"[{form.ge}"
            high = f"{form.lt})" if form.lt is not None else "+inf)" if form.le is None else f"{form.le}]"
            return f"{low}, {high}"
    return "a string"
