"""Hyperparameters of Factorization Machines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from algorithms.hyperparameters import Ge, Hyperparameters, hyper

NotNegative = Annotated[float, Ge(0)]
Method = Literal["normal", "uniform", "constant"]

WIDE = (1e-8, 512)  # range for tuning of all rates, decays and first values


@dataclass(frozen=True)
class Weights:
    """What one group of weights was given: bias, linear or factors.

    rate, decay   learning rate, and the share of a weight that is added to its gradient
    spread        deviation of normal first values, greatest uniform one, or the constant itself
    """

    rate: float
    decay: float
    method: Method
    spread: float


def _method(group: str) -> Any:
    return hyper(f"How first values are drawn: {group}.", default="normal")


def _sigma(group: str, sigma: float) -> Any:
    return hyper(f"Deviation of first values: {group}, normal.", default=sigma, ge=0, tune=WIDE)


def _scale(group: str) -> Any:
    text = f"First values lie between -scale and scale: {group}, uniform. Without it they spread as normal ones do."
    return hyper(text, default=None, tune=WIDE)


def _value(group: str) -> Any:
    return hyper(f"First value: {group}, constant. 0 without it.", default=None, tune=WIDE)


class FactorizationMachinesHyperparameters(Hyperparameters):
    feature_dim: int = hyper("Features in one record.", ge=1, le=2**31 - 1, fixed=True)
    num_factors: int = hyper("Factors of each feature.", ge=1, le=1_000_000, fixed=True)
    predictor_type: Literal["binary_classifier", "regressor"] = hyper("Kind of task.", fixed=True)
    epochs: int = hyper("Passes over the data.", default=1, ge=1, tune=(1, 1000))
    mini_batch_size: int = hyper("Records in one update.", default=1000, ge=1, tune=(100, 10000))
    bias_lr: float = hyper("Learning rate of the bias.", default=0.1, ge=0, tune=WIDE)
    linear_lr: float = hyper("Learning rate of linear weights.", default=0.001, ge=0, tune=WIDE)
    factors_lr: float = hyper("Learning rate of factors.", default=0.0001, ge=0, tune=WIDE)
    bias_wd: float = hyper("Decay of the bias.", default=0.01, ge=0, tune=WIDE)
    linear_wd: float = hyper("Decay of linear weights.", default=0.001, ge=0, tune=WIDE)
    factors_wd: float = hyper("Decay of factors.", default=0.00001, ge=0, tune=WIDE)
    bias_init_method: Method = _method("bias")
    bias_init_sigma: float = _sigma("bias", 0.01)
    bias_init_scale: NotNegative | None = _scale("bias")
    bias_init_value: float | None = _value("bias")
    linear_init_method: Method = _method("linear weights")
    linear_init_sigma: float = _sigma("linear weights", 0.01)
    linear_init_scale: NotNegative | None = _scale("linear weights")
    linear_init_value: float | None = _value("linear weights")
    factors_init_method: Method = _method("factors")
    factors_init_sigma: float = _sigma("factors", 0.001)
    factors_init_scale: NotNegative | None = _scale("factors")
    factors_init_value: float | None = _value("factors")
    clip_gradient: float | None = hyper(
        "Gradients are cut to between -clip_gradient and clip_gradient; not where it is left out or negative.",
        default=None,
    )
    eps: NotNegative | None = hyper("Added to what steps are divided by; 1e-8 without it.", default=None)
    rescale_grad: float | None = hyper(
        "Factor of a mini-batch's sum of gradients; without it the mean is taken.", default=None
    )
    use_bias: bool = hyper("Whether the model has a bias.", default=True)
    use_linear: bool = hyper("Whether the model has linear weights.", default=True)
    batch_metrics_publish_interval: int = hyper("Mini-batches between lines with the scores so far.", default=500, ge=1)

    def group(self, name: Literal["bias", "linear", "factors"]) -> Weights:
        def given(what: str) -> Any:
            return getattr(self, f"{name}_{what}")

        method: Method = given("init_method")
        spread = given({"normal": "init_sigma", "uniform": "init_scale", "constant": "init_value"}[method])
        if spread is None:
            spread = math.sqrt(3) * given("init_sigma") if method == "uniform" else 0.0
        return Weights(given("lr"), given("wd"), method, spread)

    @property
    def classes(self) -> int:
        """0 for regression."""
        return 2 if self.predictor_type == "binary_classifier" else 0
