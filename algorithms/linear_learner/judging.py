"""From candidates to a model: what they are judged by, and what is told of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.linear_learner.hyperparameters import LinearLearnerHyperparameters
from algorithms.linear_learner.model import LinearModel
from algorithms.numerics.calibration import Criterion, Histogram
from algorithms.numerics.evaluation import Choice, Evaluation, Scored, labels_of
from algorithms.numerics.losses import Loss
from algorithms.numerics.tallies import Errors, ManyClasses, Tally, TwoClasses
from recordio.batch import Batch

REACH = 32.0  # of margins that a threshold may part; sigmoid of more is 1 to all digits but the last two
CRITERIA = {"f1": "f_beta", "cross_entropy_loss": "loss_function"}  # names of earlier years


def evaluation(
    settings: LinearLearnerHyperparameters,
    linked: Loss,
    models: int,
    scorer: Callable[[Batch], Scored] | None = None,
    margin: float | None = None,
) -> Evaluation:
    """An empty evaluation of models side by side.

    margin   the threshold of two classes that is set already
    """
    tally: Tally
    if settings.predictor_type == "regressor":
        tally = Errors(models)
    elif settings.predictor_type == "multiclass_classifier":
        tally = ManyClasses(models, settings.num_classes, settings.accuracy_top_k, settings.f_beta)
    else:
        hinge = linked.name == "hinge_loss"
        centre = (0.5 if hinge else 0.0) if margin is None else margin  # scores are 0.5 there
        reach = REACH * max(1.0, settings.margin if hinge else 1.0)
        most = None if settings.num_calibration_samples == "auto" else settings.num_calibration_samples
        tally = TwoClasses(Histogram(models, centre, reach, most), criterion(settings), settings.f_beta)
    return Evaluation(linked, tally, models, scorer, margin)


def criterion(settings: LinearLearnerHyperparameters) -> Criterion | None:
    """What thresholds are chosen by; None for the loss."""
    asked = settings.binary_classifier_model_selection_criteria
    name: Any = CRITERIA.get(asked, asked)
    if name == "loss_function":
        return None
    target = settings.target_recall if name == "precision_at_target_recall" else settings.target_precision
    return Criterion(name, 1.0 if asked == "f1" else settings.f_beta, target)


def evaluate(model: LinearModel, settings: LinearLearnerHyperparameters) -> Evaluation:
    """An empty evaluation of a model, at its threshold and weighted as it was trained."""
    classes = settings.classes
    weights = np.ones(max(classes, 1), np.float32)
    if model.metrics_params.get("class_weights") is not None:
        weights = np.asarray(model.metrics_params["class_weights"], np.float32)
    elif classes == 2:
        weights[1] = model.metrics_params.get("positive_example_weight_mult") or 1.0

    def scorer(batch: Batch) -> Scored:
        labels = labels_of(batch, classes)
        weighted = weights[labels.astype(np.int64)] if (weights != 1).any() else None
        return model.margins(batch)[:, None, :], labels, weighted

    margin = None
    if model.threshold is not None:
        margin = model.threshold
        if model.loss == "logistic":
            odds = np.clip(model.threshold, np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
            margin = float(np.log(odds) - np.log1p(-odds))
    return evaluation(settings, model.losses, 1, scorer, margin)


def linear_model(
    settings: LinearLearnerHyperparameters,
    choice: Choice,
    scores: Evaluation,
    weights: NDArray[Any],
    bias: NDArray[Any] | None,
    candidates: Sequence[Mapping[str, Any]],
    history: Sequence[Mapping[str, Sequence[float] | None]],
    class_weights: NDArray[Any] | None = None,
) -> LinearModel:
    """The chosen candidate as a model.

    scores         of all candidates, at the passes that are kept of them
    candidates     hyperparameters of each
    history        of each pass, the losses of all candidates on `train` and, or None, on `validation`
    class_weights  that the loss was weighted with   (classes,)
    """
    binary = settings.predictor_type == "binary_classifier"
    linked = scores.loss
    thresholds = [_score(linked, margin) if binary else None for margin in choice.margins.tolist()]
    judged = [name for name in ("validation", "train") if history and history[-1].get(name) is not None]
    rows = [
        {
            "hyperparameters": dict(given),
            "score": _number(choice.values[number]),
            "loss": _number(choice.losses[number]),
            "threshold": thresholds[number],
            "curves": {name: [_number((one[name] or [])[number]) for one in history] for name in judged},
        }
        for number, given in enumerate(candidates)
    ]
    selection = {
        "criterion": choice.criterion,
        "objective": f"{linked.objective}_objective",
        "channel": judged[0] if judged else "train",
        "winner": choice.candidate,
        "reason": choice.reason,
        "candidates": rows,
    }
    threshold = thresholds[choice.candidate]
    return LinearModel(
        np.ascontiguousarray(weights, np.float32),
        None if bias is None or not settings.use_bias else np.ascontiguousarray(bias, np.float32),
        settings.predictor_type,
        linked.name,
        threshold,
        _metrics_params(settings, linked.name, threshold, class_weights),
        scores.scores(choice.candidate, choice.margin),
        settings.model_dump(),
        selection,
    )


def _metrics_params(
    settings: LinearLearnerHyperparameters, name: str, threshold: float | None, class_weights: NDArray[Any] | None
) -> dict[str, Any]:
    binary = settings.predictor_type == "binary_classifier"
    weights = None if class_weights is None else [float(weight) for weight in class_weights]
    return {
        "quantile": settings.quantile if name == "quantile_loss" else None,
        "huber_delta": settings.huber_delta if name == "huber_loss" else None,
        "margin": settings.margin if name == "hinge_loss" else None,
        "loss_insensitivity": settings.loss_insensitivity if name.startswith("eps_insensitive") else None,
        "eps_insensitive_loss_type": name.split("_")[2] if name.startswith("eps_insensitive") else None,
        "accuracy_top_k": settings.accuracy_top_k,
        "f_beta": settings.f_beta,
        "positive_example_weight_mult": weights[1] if binary and weights else 1.0,
        "class_weights": None if binary else weights,
        "threshold": threshold,
    }


def _number(value: float) -> float | None:
    """As JSON can hold it."""
    return float(value) if math.isfinite(value) else None


def _score(linked: Loss, margin: float) -> float:
    """The score that stands for a margin."""
    return float(linked.link(np.array([[[margin]]]))[0, 0, 0])
