"""Hyperparameters of Linear Learner."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from algorithms.hyperparameters import Ge, Gt, Hyperparameters, Lt, hyper
from algorithms.numerics.losses import Loss, loss

Auto = Literal["auto"]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
Whole = Annotated[int, Ge(1)]

LOSSES = {
    "regressor": (
        "squared_loss",
        "absolute_loss",
        "quantile_loss",
        "huber_loss",
        "eps_insensitive_squared_loss",
        "eps_insensitive_absolute_loss",
    ),
    "binary_classifier": ("logistic", "hinge_loss"),
    "multiclass_classifier": ("softmax_loss",),
}


class LinearLearnerHyperparameters(Hyperparameters):
    predictor_type: Literal["binary_classifier", "multiclass_classifier", "regressor"] = hyper(
        "Kind of task.", fixed=True
    )
    num_classes: int = hyper(
        "Classes, at least 3; required for multiclass_classifier, ignored otherwise.",
        default=1,
        ge=1,
        le=1_000_000,
        fixed=True,
    )
    feature_dim: Auto | Whole = hyper(
        "Features in one record; auto takes it from the data.", default="auto", fixed=True
    )
    mini_batch_size: int = hyper("Records in one update.", default=1000, ge=1, tune=(100, 5000))
    epochs: int = hyper("Most passes over the data.", default=15, ge=1)
    use_bias: bool = hyper("Whether models have an intercept.", default=True, tune=("true", "false"), fixed=True)
    num_models: Auto | Whole = hyper(
        "Models trained side by side; auto gives 32, or fewer where they would be large. In a tuning job it is 1.",
        default="auto",
    )
    num_calibration_samples: Auto | Whole = hyper(
        "Most records that thresholds are chosen by, the first that are judged; auto takes all.", default="auto"
    )
    binary_classifier_model_selection_criteria: Literal[
        "accuracy",
        "f_beta",
        "f1",
        "precision_at_target_recall",
        "recall_at_target_precision",
        "loss_function",
        "cross_entropy_loss",
    ] = hyper("What the threshold and the best of the models are chosen by, for two classes.", default="accuracy")
    f_beta: float = hyper("Beta of F scores.", default=1.0, gt=0)
    target_recall: float = hyper("Recall for precision_at_target_recall.", default=0.8, gt=0, lt=1)
    target_precision: float = hyper("Precision for recall_at_target_precision.", default=0.8, gt=0, lt=1)
    positive_example_weight_mult: Literal["balanced", "auto"] | Positive = hyper(
        "Weight of class 1 in the loss: a number, balanced for classes of equal total weight, or auto to try 1 and "
        "balanced.",
        default=1.0,
        tune=(1e-5, 1e5),
    )
    balance_multiclass_weights: bool = hyper("Whether classes weigh the same in total.", default=False)
    accuracy_top_k: int = hyper("k of multiclass_top_k_accuracy.", default=3, ge=1, le=1_000_000)
    loss: Literal[
        "auto",
        "logistic",
        "hinge_loss",
        "softmax_loss",
        "squared_loss",
        "absolute_loss",
        "quantile_loss",
        "huber_loss",
        "eps_insensitive_squared_loss",
        "eps_insensitive_absolute_loss",
    ] = hyper("What is made small; auto gives squared_loss, logistic or softmax_loss.", default="auto")
    margin: float = hyper("Margin of hinge_loss.", default=1.0, ge=0)
    quantile: float = hyper("Quantile that quantile_loss predicts.", default=0.5, gt=0, lt=1)
    loss_insensitivity: float = hyper("Errors that the eps_insensitive losses forgive.", default=0.01, gt=0)
    huber_delta: float = hyper("Errors from which huber_loss is linear.", default=1.0, ge=0)
    optimizer: Literal["auto", "sgd", "adam", "rmsprop"] = hyper(
        "How weights move; auto gives adam, and on sparse data adagrad.", default="auto"
    )
    learning_rate: Auto | Positive = hyper("Step size; auto tries several.", default="auto", tune=(1e-5, 1))
    wd: Auto | NotNegative = hyper("L2 penalty; auto tries several.", default="auto", tune=(1e-7, 1))
    l1: Auto | NotNegative = hyper("L1 penalty; auto tries several.", default="auto", tune=(1e-7, 1))
    momentum: Auto | BelowOne = hyper("Momentum of sgd; auto gives 0.", default="auto")
    beta_1: Auto | BelowOne = hyper("Decay of the first moment of adam; auto gives 0.9.", default="auto")
    beta_2: Auto | BelowOne = hyper("Decay of the second moment of adam; auto gives 0.999.", default="auto")
    bias_lr_mult: Auto | Positive = hyper("Learning rate of the bias, in learning rates.", default="auto")
    bias_wd_mult: Auto | NotNegative = hyper("L2 penalty of the bias, in wd; auto gives 0.", default="auto")
    use_lr_scheduler: bool = hyper("Whether learning rates fall.", default=True)
    lr_scheduler_step: Auto | Whole = hyper("Updates between decreases; auto tries several.", default="auto")
    lr_scheduler_factor: Auto | Annotated[float, Gt(0), Lt(1)] = hyper(
        "Factor of each decrease; auto gives 0.99.", default="auto"
    )
    lr_scheduler_minimum_lr: Auto | Positive = hyper("Least learning rate; auto gives 1e-5.", default="auto")
    init_method: Literal["uniform", "normal"] = hyper("How first weights are drawn.", default="uniform")
    init_scale: float = hyper("First weights lie between -init_scale and init_scale: uniform.", default=0.07, gt=0)
    init_sigma: float = hyper("Deviation of first weights: normal.", default=0.01, gt=0)
    init_bias: float = hyper("First bias.", default=0.0)
    normalize_data: Auto | bool = hyper("Whether features are divided by their deviation.", default=True, fixed=True)
    normalize_label: Auto | bool = hyper("Whether labels are, in regression; auto does it.", default="auto", fixed=True)
    unbias_data: Auto | bool = hyper(
        "Whether the mean is taken from features; auto does it with a bias. Sparse features keep it.",
        default="auto",
        fixed=True,
    )
    unbias_label: Auto | bool = hyper(
        "Whether the mean is taken from labels, in regression with a bias; auto does it.", default="auto", fixed=True
    )
    num_point_for_scaler: int = hyper("First records that tell means and deviations.", default=10_000, ge=1)
    half_life_time_size: int = hyper(
        "Records after which a record counts half; 0 for always in full. Not in the original.", default=0, ge=0
    )
    early_stopping_patience: int = hyper("Passes without improvement that do not end the training.", default=3, ge=1)
    early_stopping_tolerance: float = hyper("Relative gain that is an improvement.", default=0.001, gt=0)
    force_dense: bool = hyper("Accepted from clients; sparse records are learned as such.", default=True)

    @classmethod
    def from_strings(cls, given: Mapping[str, Any]) -> Self:
        """As for all algorithms; in a tuning job, which compares jobs by itself, one model is trained."""
        if given.get("_tuning_objective_metric"):
            given = {**given, "num_models": "1"}
        return super().from_strings(given)

    def conflicts(self) -> tuple[Iterable[str], ...]:
        return self._few_classes(), self._other_loss()

    def _few_classes(self) -> Iterator[str]:
        if self.predictor_type == "multiclass_classifier" and self.num_classes < 3:
            yield (
                f"got num_classes {self.num_classes}, expected at least 3 with predictor_type 'multiclass_classifier'"
            )

    def _other_loss(self) -> Iterator[str]:
        fitting = LOSSES[self.predictor_type]
        if self.loss != "auto" and self.loss not in fitting:
            names = ", ".join(f"'{name}'" for name in fitting)
            yield (
                f"got loss '{self.loss}', expected 'auto' or one of {names} with predictor_type '{self.predictor_type}'"
            )

    @property
    def outputs(self) -> int:
        return self.num_classes if self.predictor_type == "multiclass_classifier" else 1

    @property
    def memory(self) -> float:
        """Updates that count: the sum of their weights, where records fade."""
        updates = self.half_life_time_size / (math.log(2) * self.mini_batch_size)
        return max(1, round(updates)) if updates else math.inf

    @property
    def classes(self) -> int:
        """0 for regression."""
        return {"regressor": 0, "binary_classifier": 2}.get(self.predictor_type, self.num_classes)

    @property
    def loss_function(self) -> Loss:
        name = LOSSES[self.predictor_type][0] if self.loss == "auto" else self.loss
        return loss(
            name,
            margin=self.margin,
            quantile=self.quantile,
            loss_insensitivity=self.loss_insensitivity,
            huber_delta=self.huber_delta,
        )

    @property
    def stops_by_criterion(self) -> bool:
        """Whether passes are compared by the selection criterion: only where the user gave one."""
        name = "binary_classifier_model_selection_criteria"
        by_loss = getattr(self, name) in ("loss_function", "cross_entropy_loss")
        return self.predictor_type == "binary_classifier" and name in self.model_fields_set and not by_loss
