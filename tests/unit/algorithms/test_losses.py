"""Losses against closed forms and scikit-learn, their slopes against differences."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import hinge_loss, log_loss, mean_pinball_loss

from algorithms.numerics.losses import loss, weighed

SETTINGS = {"margin": 1.5, "quantile": 0.8, "loss_insensitivity": 0.3, "huber_delta": 0.7}
REGRESSION = {
    "squared_loss": lambda e: e * e,
    "absolute_loss": abs,
    "quantile_loss": lambda e: 0.8 * max(0, -e) + 0.2 * max(0, e),
    "huber_loss": lambda e: e * e / 2 if abs(e) < 0.7 else 0.7 * abs(e) - 0.7**2 / 2,
    "eps_insensitive_squared_loss": lambda e: max(0, e * e - 0.3**2),
    "eps_insensitive_absolute_loss": lambda e: max(0, abs(e) - 0.3),
}
BINARY = {
    "logistic": lambda z, y: math.log1p(math.exp(-z)) if y else math.log1p(math.exp(z)),
    "hinge_loss": lambda z, y: max(0, (1.5 + 1) / 2 - z) if y else max(0, (1.5 - 1) / 2 + z),
}
ALL = (*REGRESSION, *BINARY, "softmax_loss")


def problem(name: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Margins (60, 5, outputs) and labels."""
    rng = np.random.default_rng(seed)
    outputs = 4 if name == "softmax_loss" else 1
    margins = rng.normal(0, 2, (60, 5, outputs))
    if name in REGRESSION:
        return margins, rng.normal(0, 1, 60)
    return margins, rng.integers(0, max(outputs, 2), 60).astype(float)


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_by_its_formula(name: str) -> None:
    margins, labels = problem(name)
    expected = [[REGRESSION[name](m - y) for m in row] for row, y in zip(margins[:, :, 0], labels, strict=True)]
    np.testing.assert_allclose(loss(name, **SETTINGS).value(margins, labels), expected)


@pytest.mark.parametrize("name", BINARY)
def test_two_classes_by_their_formula(name: str) -> None:
    margins, labels = problem(name)
    expected = [[BINARY[name](m, y) for m in row] for row, y in zip(margins[:, :, 0], labels, strict=True)]
    np.testing.assert_allclose(loss(name, **SETTINGS).value(margins, labels), expected)


def test_as_scikit_learn_has_them() -> None:
    margins, labels = problem("logistic")
    found = loss("logistic")
    scores = found.link(margins)[:, 0, 0]
    assert found.value(margins, labels)[:, 0].mean() == pytest.approx(log_loss(labels, scores))
    margins, labels = problem("softmax_loss")
    found = loss("softmax_loss")
    np.testing.assert_allclose(found.link(margins).sum(axis=2), 1)
    assert found.value(margins, labels)[:, 0].mean() == pytest.approx(log_loss(labels, found.link(margins)[:, 0]))
    margins, labels = problem("quantile_loss")
    expected = mean_pinball_loss(labels, margins[:, 0, 0], alpha=0.8)
    assert loss("quantile_loss", quantile=0.8).value(margins, labels)[:, 0].mean() == pytest.approx(expected)
    margins, labels = problem("hinge_loss")
    doubled = 2 * hinge_loss(labels, 2 * margins[:, 0, 0] - 1) / 4  # ours is centred on 0.5, and half as steep
    assert loss("hinge_loss").value(margins, labels)[:, 0].mean() == pytest.approx(doubled)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", [0, 1])
def test_slopes_are_what_differences_say(name: str, seed: int) -> None:
    margins, labels = problem(name, seed)
    found = loss(name, **SETTINGS)
    values, slopes = found.slopes(margins, labels)
    np.testing.assert_allclose(values, found.value(margins, labels))
    assert slopes.shape == margins.shape
    step = 1e-6
    for output in range(margins.shape[2]):
        up, down = margins.copy(), margins.copy()
        up[:, :, output] += step
        down[:, :, output] -= step
        difference = (found.value(up, labels) - found.value(down, labels)) / (2 * step)
        # A kink within the step would differ; none of these margins is that near to one.
        np.testing.assert_allclose(slopes[:, :, output], difference, atol=1e-6)


@pytest.mark.parametrize("name", ["absolute_loss", "quantile_loss", "eps_insensitive_absolute_loss"])
def test_slopes_vanish_where_predictions_are_right(name: str) -> None:
    assert loss(name).slopes(np.ones((1, 1, 1)), np.ones(1))[1].item() == 0


@given(st.floats(-(2.0**100), 2.0**100, width=32), st.sampled_from([0.0, 1.0]))
def test_logistic_never_overflows(margin: float, label: float) -> None:
    found = loss("logistic")
    with np.errstate(all="raise", under="ignore"):
        values, slopes = found.slopes(np.full((1, 1, 1), margin, np.float32), np.array([label], np.float32))
        score = found.link(np.full((1, 1, 1), margin, np.float32))
    wrong = -margin if label else margin
    assert values.item() == pytest.approx(max(wrong, 0) + math.log1p(math.exp(-abs(wrong))), rel=1e-6, abs=1e-6)
    assert 0 <= abs(slopes.item()) <= 1
    assert 0 <= score.item() <= 1
    assert values.dtype == slopes.dtype == np.float32


def test_softmax_never_overflows() -> None:
    margins = np.array([[[1e30, -1e30, 0], [-1e30, 0, 1]]], np.float32)
    values, slopes = loss("softmax_loss").slopes(margins, np.array([0.0], np.float32))
    np.testing.assert_allclose(values, [[0, 1e30]])
    np.testing.assert_allclose(slopes[0, 0], [0, 0, 0])


@pytest.mark.parametrize("name", ALL)
def test_weights_multiply(name: str) -> None:
    margins, labels = problem(name)
    weights = np.random.default_rng(1).random(60)
    found = loss(name)
    plain, slopes = found.slopes(margins, labels)
    np.testing.assert_allclose(found.value(margins, labels, weights), plain * weights[:, None])
    np.testing.assert_allclose(weighed(slopes, weights), slopes * weights[:, None, None])
    of_models = np.random.default_rng(2).random((60, 5))
    np.testing.assert_allclose(weighed(slopes, of_models), slopes * of_models[:, :, None])


def test_names_of_objectives() -> None:
    assert loss("squared_loss").objective == "mse"
    assert loss("logistic").objective == "binary_classification_cross_entropy"
    assert loss("softmax_loss").objective == "multiclass_cross_entropy"
    assert {loss(name).name for name in ALL} == set(ALL)
