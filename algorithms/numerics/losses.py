"""Losses of many models at once: values and gradients, in the precision of the margins.

All take

    margins   what models give before any link         (records, models, outputs)
    labels    numbers, or classes from 0               (records,)

and give one value for each record and model, and the slopes: the gradient of that value by the margins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STEEPEST = 80.0  # exp of more does not fit into float32


class Loss(Protocol):
    """name        as users write it
    objective      in log lines, before `_objective`
    """

    @property
    def name(self) -> str: ...

    @property
    def objective(self) -> str: ...

    def value(self, margins: Array, labels: Array, weights: Array | None = None) -> Array:
        """Weights are those of the records, (records,)   (records, models)"""
        ...

    def slopes(self, margins: Array, labels: Array) -> tuple[Array, Array]:
        """The value, and its gradient   (records, models) and (records, models, outputs)"""
        ...

    def link(self, margins: Array) -> Array:
        """Scores as replies hold them, of the margins' shape."""
        ...


def loss(
    name: str, *, margin: float = 1.0, quantile: float = 0.5, loss_insensitivity: float = 0.01, huber_delta: float = 1.0
) -> Loss:
    """A loss by the name that users write; the numbers matter to those losses that are named for them."""
    forgiven, delta = loss_insensitivity, huber_delta

    def outside(error: Array) -> Array:
        return np.abs(error) > forgiven

    losses: list[Loss] = [
        Logistic(),
        Hinge(margin),
        Softmax(),
        OfError("squared_loss", "mse", lambda error: error * error, lambda error: 2 * error),
        OfError("absolute_loss", "absolute_loss", np.abs, np.sign),
        OfError(
            "quantile_loss",
            "quantile_loss",
            lambda error: np.maximum(-quantile * error, (1 - quantile) * error),
            lambda error: (error > 0) - quantile * (error != 0).astype(error.dtype),
        ),
        OfError(
            "huber_loss",
            "huber_loss",
            lambda error: _huber(np.abs(error), delta),
            lambda error: np.clip(error, -delta, delta),
        ),
        OfError(
            "eps_insensitive_squared_loss",
            "eps_insensitive_squared_loss",
            lambda error: np.maximum(error * error - forgiven**2, 0),
            lambda error: 2 * error * outside(error),
        ),
        OfError(
            "eps_insensitive_absolute_loss",
            "eps_insensitive_absolute_loss",
            lambda error: np.maximum(np.abs(error) - forgiven, 0),
            lambda error: np.sign(error) * outside(error),
        ),
    ]
    return next(one for one in losses if one.name == name)


@dataclass(frozen=True)
class OfError:
    """A loss of regression, as a function of margin - label; `slope` is its derivative, 0 in the middle of a kink."""

    name: str
    objective: str
    height: Callable[[Array], Array]
    slope: Callable[[Array], Array]

    def value(self, margins: Array, labels: Array, weights: Array | None = None) -> Array:
        return weighed(self.height(margins[:, :, 0] - labels[:, None]), weights)

    def slopes(self, margins: Array, labels: Array) -> tuple[Array, Array]:
        errors = margins[:, :, 0] - labels[:, None]
        return self.height(errors), self.slope(errors)[:, :, None]

    def link(self, margins: Array) -> Array:
        return margins


@dataclass(frozen=True)
class Logistic:
    """-log p of the label's class, p = sigmoid(margin) for class 1."""

    name = "logistic"
    objective = "binary_classification_cross_entropy"

    def value(self, margins: Array, labels: Array, weights: Array | None = None) -> Array:
        wrong = margins[:, :, 0] * _against(labels, margins)
        powers = _exponential(wrong)
        powers += 1
        return weighed(_height(powers, wrong), weights)

    def slopes(self, margins: Array, labels: Array) -> tuple[Array, Array]:
        against = _against(labels, margins)
        wrong = margins[:, :, 0] * against
        slopes = _exponential(wrong)
        powers = slopes + 1
        slopes /= powers
        slopes *= against
        return _height(powers, wrong), slopes[:, :, None]

    def link(self, margins: Array) -> Array:
        small = np.exp(-np.abs(margins))
        scores: Array = np.where(margins < 0, small, 1) / (1 + small)
        return scores


@dataclass(frozen=True)
class Hinge:
    """Centred on a margin of 0.5: no loss beyond (width + 1) / 2 for class 1, below (1 - width) / 2 for class 0."""

    width: float
    name = "hinge_loss"
    objective = "hinge_loss"

    def value(self, margins: Array, labels: Array, weights: Array | None = None) -> Array:
        return weighed(self._height(margins, _against(labels, margins)), weights)

    def slopes(self, margins: Array, labels: Array) -> tuple[Array, Array]:
        against = _against(labels, margins)
        heights = self._height(margins, against)
        return heights, (against * (heights > 0))[:, :, None]

    def link(self, margins: Array) -> Array:
        return margins

    def _height(self, margins: Array, against: Array) -> Array:
        return np.maximum((margins[:, :, 0] - 0.5) * against + self.width / 2, 0)


@dataclass(frozen=True)
class Softmax:
    """-log p of the label's class, p = softmax(margins)."""

    name = "softmax_loss"
    objective = "multiclass_cross_entropy"

    def value(self, margins: Array, labels: Array, weights: Array | None = None) -> Array:
        return weighed(self.slopes(margins, labels)[0], weights)

    def slopes(self, margins: Array, labels: Array) -> tuple[Array, Array]:
        """Less the largest margin, so that exp can't overflow."""
        slopes = margins - margins.max(axis=2, keepdims=True)
        rows, classes = np.arange(len(labels)), labels.astype(np.intp)
        own = slopes[rows, :, classes]
        np.exp(slopes, out=slopes)
        sums = slopes.sum(axis=2, keepdims=True)
        slopes /= sums
        slopes[rows, :, classes] -= 1
        return np.log(sums[:, :, 0]) - own, slopes

    def link(self, margins: Array) -> Array:
        scores: Array = np.exp(margins - margins.max(axis=2, keepdims=True))
        scores /= scores.sum(axis=2, keepdims=True)
        return scores


def weighed(values: Array, weights: Array | None) -> Array:
    """Values or slopes of records that weigh `weights`: (records,), or (records, models) where models differ in it."""
    if weights is None:
        return values
    shape = (*weights.shape, *[1] * (values.ndim - weights.ndim))
    products: Array = values * weights.reshape(shape).astype(values.dtype, copy=False)
    return products


def _against(labels: Array, margins: Array) -> Array:
    """1 for class 0 and -1 for class 1: the direction in which margins are wrong   (records, models)"""
    against = np.empty(margins.shape[:2], margins.dtype)
    against[:] = (1 - 2 * labels)[:, None]
    return against


def _exponential(wrong: Array) -> Array:
    powers = np.minimum(wrong, STEEPEST)
    np.exp(powers, out=powers)
    return powers


def _height(powers: Array, wrong: Array) -> Array:
    """log(powers), powers being 1 + exp(wrong) where that does not overflow; written over them."""
    np.log(powers, out=powers)
    return np.maximum(powers, wrong, out=powers)


def _huber(distances: Array, delta: float) -> Array:
    near = np.minimum(distances, delta)
    heights: Array = near * (distances - near / 2)
    return heights
