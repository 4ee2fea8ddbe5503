"""What Linear Learner makes of records before it learns them: scaling, sparse forms, weights."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from algorithms.linear_learner import preparation as preparing
from algorithms.linear_learner.model import LinearModel
from algorithms.linear_learner.scale import Scale
from algorithms.linear_learner.state import LinearLearnerState
from recordio.batch import Batch
from tests.unit.algorithms.linear_tasks import (
    BINARY,
    MANY,
    REGRESSOR,
    arrays_equal,
    auc,
    learn,
    records,
    standardised,
    state,
    true_auc,
)

# Scaling


@pytest.mark.parametrize("task", [REGRESSOR, BINARY, MANY])
def test_the_model_takes_raw_features(task: dict[str, str]) -> None:
    """Predictions from raw features are those of the scaled weights on scaled features, in label units."""
    x, y = records(task)
    learner = learn(state(task, mini_batch_size=100), x, y)
    model, models, best = learner.finalise(), learner.models, learner.best
    assert models is not None
    assert best is not None
    winner = best.evaluation.choose().candidate
    columns = slice(winner * models.outputs, (winner + 1) * models.outputs)
    scaled = (x.astype(float) - x.mean(axis=0, dtype=float)) / x.std(axis=0, dtype=float)
    expected = scaled @ best.weights[:, columns] + best.bias[columns]
    if task is REGRESSOR:
        expected = expected * y.std(dtype=float) + y.mean(dtype=float)
    np.testing.assert_allclose(model.margins(Batch(x)), expected, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("far", [False, True])
def test_weights_are_scaled_as_records_would_be(far: bool) -> None:
    """Multiplied out or not, the same; means that are far from zero are taken from the records themselves."""
    x, y = records(BINARY)
    if not far:
        x[:, 1] -= 500
        x[:, 2] -= 1
    learner = learn(state(BINARY, mini_batch_size=100, num_models=2), x, y)
    assert learner.models is not None
    assert learner.models.scale.foldable is not far
    scaled = ((x.astype(float) - x.mean(axis=0, dtype=float)) / x.std(axis=0, dtype=float)).astype(np.float32)
    plain = learn(
        state(BINARY, mini_batch_size=100, num_models=2, normalize_data="false", unbias_data="false"), scaled, y
    )
    assert plain.models is not None
    np.testing.assert_allclose(learner.models.weights.weights, plain.models.weights.weights, atol=2e-4)


@pytest.mark.parametrize(
    ("given", "shift", "scaled"),
    [
        ({}, True, True),
        ({"use_bias": "false"}, False, True),
        ({"unbias_data": "false"}, False, True),
        ({"normalize_data": "false"}, True, False),
        ({"normalize_data": "auto", "unbias_data": "auto"}, True, True),
    ],
)
def test_what_is_scaled(given: dict[str, str], shift: bool, scaled: bool) -> None:
    x, y = records(REGRESSOR)
    found = learn(state(REGRESSOR | given, num_models=1), x, y).models
    assert found is not None
    assert (found.scale.shift is not None) is shift
    assert (not (found.scale.factor == 1).all()) is scaled


def test_labels_are_scaled_in_regression_only() -> None:
    x, y = records(REGRESSOR)
    found = learn(state(REGRESSOR, num_models=1), x, y).models
    assert found is not None
    assert found.scale.label_shift == pytest.approx(y.mean(dtype=float))
    assert found.scale.label_unit == pytest.approx(y.std(dtype=float))
    x, y = records(BINARY)
    found = learn(state(BINARY | {"normalize_label": "true", "unbias_label": "true"}, num_models=1), x, y).models
    assert found is not None
    assert (found.scale.label_shift, found.scale.label_unit) == (0, 1)


def test_scaling_is_learned_from_the_first_records_only() -> None:
    x, y = records(REGRESSOR)
    x[1000:] += 77
    learner = state(REGRESSOR, num_models=1, mini_batch_size=100, num_point_for_scaler=950)
    learn(learner, x, y)
    assert learner.models is not None
    assert learner.models.scale.shift == pytest.approx(x[:1000].mean(axis=0), rel=1e-5)


def flat(task: dict[str, str], varied: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Records with a column that is 7, but for some after the first, which tell the label."""
    x, y = records(task)
    x = np.insert(x, 2, 7, axis=1)
    if varied is not None:
        x[varied:, 2] += y[varied:]
    return x, y


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("task", [REGRESSOR, BINARY, MANY])
def test_a_column_that_never_varied_has_no_weight(task: dict[str, str], far: bool) -> None:
    x, y = flat(task)
    x[:, 1] -= 0 if far else 500
    model = learn(state(task, mini_batch_size=100), x, y, 3).finalise()
    assert (model.weights[2] == 0).all()
    assert (model.weights[1] != 0).all()


@pytest.mark.parametrize("given", [{"unbias_data": "false"}, {"use_bias": "false"}])
def test_a_column_of_ones_may_be_the_intercept(given: dict[str, str]) -> None:
    x, y = flat(REGRESSOR)
    model = learn(state(REGRESSOR | given, mini_batch_size=50), x, y, 10).finalise()
    assert model.weights[2] != 0


def test_a_column_that_varies_late_is_learned() -> None:
    x, y = flat(BINARY, varied=1000)
    more = {"mini_batch_size": 100, "num_point_for_scaler": 300}
    learner = learn(state(BINARY, **more), x[:1000], y[:1000])
    assert (learner.finalise().weights[2] == 0).all()
    again = LinearLearnerState.restore(learner.settings, *learner.snapshot())
    for each in (learner, again):
        learn(each, x[1000:], y[1000:], 3)
    arrays_equal(learner, again)
    model = learner.finalise()
    assert model.weights[2] > 0
    assert auc(model.margins(Batch(x[1000:])), y[1000:]) > 0.99


@pytest.mark.parametrize("value", [7, 8])
def test_hosts_with_a_column_that_varies_on_none_or_between_them(value: float) -> None:
    x, y = flat(REGRESSOR)
    x[1000:, 2] = value
    one, other = (state(REGRESSOR, seed, mini_batch_size=50) for seed in range(2))
    learn(one, x[:1000], y[:1000], 5)
    learn(other, x[1000:], y[1000:], 5)
    one.merge(other)
    model = one.finalise()
    assert (model.weights[2] == 0).all()  # no host could learn one
    assert np.mean((model.predict(Batch(x))["score"] - y) ** 2) < 1.5  # of noise 1
    learn(one, x, y, 2)
    assert np.isfinite(one.finalise().weights).all()


def test_waiting_records_are_learned_in_order() -> None:
    """A pass with records that waited is the pass that one with the scale known beforehand would be."""
    x, y = records(BINARY)
    waited = learn(state(BINARY, mini_batch_size=50, num_models=3), x, y)
    scale = waited.models.scale  # type: ignore[union-attr]
    prompt = state(BINARY, mini_batch_size=50, num_models=3)
    prompt.preparation.form(x[:1])
    prompt.preparation.add(x[:50], y[:50])
    prompt.preparation.scale = lambda: scale  # type: ignore[method-assign]
    prompt._begin()
    learn(prompt, x[50:], y[50:])
    for one in (waited, prompt):
        assert one.models is not None
        assert one.models.records == 2000
    np.testing.assert_array_equal(waited.models.weights.kept, prompt.models.weights.kept)  # type: ignore[union-attr]


def test_wide_records_wait_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "KEPT_VALUES", 5 * 300)
    x, y = records(BINARY)
    learner = state(BINARY, mini_batch_size=100)
    for start in range(0, 300, 100):
        assert learner.models is None
        learner.update(Batch(x[start : start + 100], y[start : start + 100]))
    assert learner.models is not None


def test_unfolding_and_folding() -> None:
    scale = Scale(False, np.array([3, -2], np.float32), np.array([0.1, 4], np.float32), 10.0, 5.0)
    weights, bias = np.array([[1.0, 2], [3, 4]]), np.array([0.5, -0.5])
    raw, moved = scale.unfolded(weights, bias)
    x = np.array([[1.0, 2.0]])
    np.testing.assert_allclose(x @ raw + moved, scale.predictions((x - [3, -2]) * [0.1, 4] @ weights + bias), rtol=1e-6)
    again = scale.folded(raw, moved)
    np.testing.assert_allclose(again[0], weights, rtol=1e-6)
    np.testing.assert_allclose(again[1], bias, rtol=1e-5)


# Sparse records


def test_sparse_and_dense_learn_the_same_where_scaling_is_off() -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((1000, 20)) < 0.2).astype(np.float32)
    y = (rng.random(1000) < 1 / (1 + np.exp(2 * x[:, 0] - 2 * x[:, 1]))).astype(np.float32)
    given = BINARY | {"normalize_data": "false", "unbias_data": "false", "optimizer": "sgd", "wd": "0", "l1": "0"}
    dense, sparse = (state(given, mini_batch_size=50, learning_rate=0.1, num_models=1) for _ in range(2))
    learn(dense, x, y)
    learn(sparse, csr_array(x), y)
    left, right = dense.finalise(), sparse.finalise()
    np.testing.assert_allclose(left.weights, right.weights, atol=1e-5)
    np.testing.assert_allclose(left.bias, right.bias, atol=1e-5)


@pytest.mark.parametrize("task", [REGRESSOR, BINARY, MANY])
def test_sparse_features_keep_their_mean(task: dict[str, str]) -> None:
    x, y = records(task)
    x[np.random.default_rng(0).random(x.shape) < 0.7] = 0
    model = learn(state(task, mini_batch_size=100), csr_array(x), y).finalise()
    np.testing.assert_allclose(model.margins(Batch(x)), model.margins(Batch(csr_array(x))))
    assert np.isfinite(model.weights).all()


def test_features_that_never_came_have_no_weight() -> None:
    x, y = records(BINARY)
    wide = csr_array((x.ravel(), np.tile([0, 2, 4, 6, 8], len(x)), np.arange(0, x.size + 1, 5)), shape=(len(x), 10))
    model = learn(state(BINARY, mini_batch_size=100), wide, y).finalise()
    assert (model.weights[1::2] == 0).all()
    assert (model.weights[::2] != 0).any()


def test_forms_may_be_mixed_after_the_first() -> None:
    raw, y = records(BINARY)
    x = standardised(raw)
    for first, second in ((x, csr_array(x)), (csr_array(x), x)):
        learner = state(BINARY, mini_batch_size=100)
        learn(learner, first, y)
        learn(learner, second, y)
        assert auc(learner.finalise().margins(Batch(x)), y) > true_auc(y, raw) - 0.01


# Weights of records


def test_positive_weights() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 1)).astype(np.float32)
    y = (rng.random(4000) < 0.1).astype(np.float32)  # nothing to learn but how often 1 comes
    for given, weight in (("1", 1.0), ("4", 4.0), ("balanced", (y == 0).sum() / y.sum())):
        learner = state(BINARY, positive_example_weight_mult=given, mini_batch_size=100, num_models=1)
        model = learn(learner, x, y, passes=10).finalise()
        share = weight * y.mean() / (weight * y.mean() + 1 - y.mean())
        assert model.predict(Batch(x))["score"].mean() == pytest.approx(share, abs=0.02)


def test_auto_weights_are_chosen_by_the_criterion() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 3)).astype(np.float32)
    y = (rng.random(4000) < 1 / (1 + np.exp(3 - 2 * x[:, 0]))).astype(np.float32)
    given = {"predictor_type": "binary_classifier", "binary_classifier_model_selection_criteria": "f_beta"}
    learner = learn(state(given, positive_example_weight_mult="auto", mini_batch_size=100), x, y, passes=3)
    assert learner.models is not None
    assert {one.positive_example_weight_mult for one in learner.models.candidates} == {1.0, "balanced"}
    learned = learner._weights_learned(np.array([0, 1], np.float32), None)
    assert learned is not None
    assert set(learned[0]) == {1}
    assert learned[1].max() == pytest.approx((y[:4000] == 0).sum() / y.sum(), rel=0.01)
    assert isinstance(learner.finalise(), LinearModel)


def test_balanced_classes() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 1)).astype(np.float32)
    y = rng.choice(3, 5000, p=[0.7, 0.2, 0.1]).astype(np.float32)
    for given, expected in (("false", [0.7, 0.2, 0.1]), ("true", [1 / 3] * 3)):
        learner = state(MANY, balance_multiclass_weights=given, mini_batch_size=100, num_models=1)
        scores = learn(learner, x, y, passes=10).finalise().predict(Batch(x))["score"].mean(axis=0)
        np.testing.assert_allclose(scores, expected, atol=0.02)


def test_a_class_not_seen_counts_as_seen_once() -> None:
    x, y = records(MANY)
    y[y == 2] = 0
    learner = state(MANY, balance_multiclass_weights="true")
    learner.update(Batch(x[:1000], y[:1000]))
    found = learner.preparation.class_weights()
    assert found is not None
    assert found[2] == 1000
