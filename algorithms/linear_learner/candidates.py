"""Candidates: what the models that are trained side by side differ in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np

from algorithms.linear_learner.hyperparameters import LinearLearnerHyperparameters
from algorithms.numerics.optimisers import Rule, adagrad, adam, rmsprop, sgd
from algorithms.numerics.schedules import Schedule

MODELS = 32
MOST_WEIGHTS = 1 << 24  # of all models together, 64 MiB for each array of that shape
MOST_MARGINS = 1 << 22  # of all models in one mini-batch

# Values behind auto: the first of each is the documented default, and all of them are tried.
RATES = {
    "adam": (0.005, 0.05, 0.2, 0.02),
    "rmsprop": (0.005, 0.05, 0.2, 0.02),
    "sgd": (0.01, 0.1, 0.03, 0.001),
    "adagrad": (0.2, 0.05, 0.5, 0.1),
}
PENALTIES = (
    (0.0, 0.0),
    (0.01, 0.0),
    (0.1, 0.0),
    (0.0, 0.01),
    (1.0, 0.0),
    (0.0, 0.1),
    (0.001, 0.0),
    (0.0, 1.0),
)  # wd, l1
STEPS = (100, 10)  # the second is tried only where too little else is left open
FACTOR, LEAST = 0.99, 1e-5
BIAS_RATES = {"adam": 10.0, "rmsprop": 10.0, "sgd": 10.0, "adagrad": 1.0}  # in learning rates


@dataclass(frozen=True)
class Candidate:
    """Hyperparameters of one model, by the names that users know; no value is auto.

    positive_example_weight_mult   None where all candidates weigh records alike
    """

    optimizer: str
    learning_rate: float
    wd: float
    l1: float
    lr_scheduler_step: int
    lr_scheduler_factor: float
    lr_scheduler_minimum_lr: float
    bias_lr_mult: float
    bias_wd_mult: float
    positive_example_weight_mult: Literal["balanced"] | float | None = None

    def facts(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def candidates(settings: LinearLearnerHyperparameters, features: int, sparse: bool) -> tuple[Candidate, ...]:
    """The user's own values first, then variations of what the user left open, all different."""
    optimizer = settings.optimizer
    if optimizer == "auto":
        optimizer = "adagrad" if sparse else "adam"  # type: ignore[assignment]  # users can't ask for adagrad
    grid = [one for step in STEPS for one in _grid(settings, optimizer, step)]
    return tuple(dict.fromkeys(grid))[: _wanted(settings, features)]


def rule(settings: LinearLearnerHyperparameters, optimizer: str) -> Rule:
    memory = settings.memory
    match optimizer:
        case "sgd":
            return sgd(_given(settings.momentum, 0.0), memory)
        case "rmsprop":
            return rmsprop(0.9, memory)
        case "adagrad":
            return adagrad(memory)
    return adam(_given(settings.beta_1, 0.9), _given(settings.beta_2, 0.999), memory)


def schedules(chosen: Sequence[Candidate], outputs: int) -> tuple[Schedule, Schedule]:
    """Of the weights and of the biases; every candidate has `outputs` columns."""

    def schedule(several: Iterable[Candidate]) -> Schedule:
        def column(name: str, dtype: Any = np.float32) -> Any:
            return np.repeat(np.array([getattr(one, name) for one in listed], dtype), outputs)

        listed = list(several)
        return Schedule(
            rates=column("learning_rate"),
            factors=column("lr_scheduler_factor"),
            steps=column("lr_scheduler_step", np.int64),
            least=column("lr_scheduler_minimum_lr"),
            decay=column("wd"),
            shrinkage=column("l1"),
        )

    biases = (
        replace(
            one,
            learning_rate=one.learning_rate * one.bias_lr_mult,
            lr_scheduler_minimum_lr=one.lr_scheduler_minimum_lr * one.bias_lr_mult,
            wd=one.wd * one.bias_wd_mult,
            l1=0.0,
        )
        for one in chosen
    )
    return schedule(chosen), schedule(biases)


def _grid(settings: LinearLearnerHyperparameters, optimizer: str, step: int) -> list[Candidate]:
    """All combinations of what is open, those near the first of each before those far from it."""
    known: dict[str, Any] = {
        "optimizer": optimizer,
        "lr_scheduler_step": _given(settings.lr_scheduler_step, step if settings.use_lr_scheduler else STEPS[0]),
        "lr_scheduler_factor": _given(settings.lr_scheduler_factor, FACTOR) if settings.use_lr_scheduler else 1.0,
        "lr_scheduler_minimum_lr": _given(settings.lr_scheduler_minimum_lr, LEAST),
        "bias_wd_mult": _given(settings.bias_wd_mult, 0.0),
    }
    penalties = [(_given(settings.wd, wd), _given(settings.l1, l1)) for wd, l1 in PENALTIES]
    by_criterion = settings.binary_classifier_model_selection_criteria not in ("loss_function", "cross_entropy_loss")
    weigh = settings.predictor_type == "binary_classifier" and settings.positive_example_weight_mult == "auto"
    axes: list[Sequence[Any]] = [
        [{"learning_rate": rate, "bias_lr_mult": _bias(settings, optimizer, rate)} for rate in RATES[optimizer]]
        if settings.learning_rate == "auto"
        else [{"learning_rate": settings.learning_rate, "bias_lr_mult": _bias(settings, optimizer, None)}],
        [{"wd": wd, "l1": l1} for wd, l1 in dict.fromkeys(penalties)],
        # Losses with different weights can't be compared, so only other criteria can choose a weight.
        [{"positive_example_weight_mult": one} for one in ((1.0, "balanced") if by_criterion else (1.0,))]
        if weigh
        else [{}],
    ]
    places = sorted(product(*(range(len(axis)) for axis in axes)), key=sum)
    return [
        Candidate(**known, **{k: v for axis, at in zip(axes, place, strict=True) for k, v in axis[at].items()})
        for place in places
    ]


def _bias(settings: LinearLearnerHyperparameters, optimizer: str, rate: float | None) -> float:
    """Ten times a large rate would be too much: where rates are tried, the bias has the first one's or the model's."""
    if settings.bias_lr_mult != "auto":
        return settings.bias_lr_mult
    return BIAS_RATES[optimizer] if rate is None else max(1.0, BIAS_RATES[optimizer] * RATES[optimizer][0] / rate)


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value == "auto" else value


def _wanted(settings: LinearLearnerHyperparameters, features: int) -> int:
    if settings.num_models != "auto":
        return settings.num_models
    largest = max(
        features * settings.outputs / MOST_WEIGHTS, settings.mini_batch_size * settings.outputs / MOST_MARGINS
    )
    return max(1, min(MODELS, int(1 / largest)))
