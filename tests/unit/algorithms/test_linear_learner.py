"""Linear Learner on its own: candidates, scaling, weights, passes, labels, continuing."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import roc_auc_score

from algorithms.linear_learner import ALGORITHM
from algorithms.linear_learner import preparation as preparing
from algorithms.linear_learner.candidates import candidates
from algorithms.linear_learner.hyperparameters import LinearLearnerHyperparameters
from algorithms.linear_learner.model import LinearModel
from algorithms.linear_learner.scale import Scale
from algorithms.linear_learner.state import LinearLearnerState
from recordio.batch import Batch
from recordio.errors import UserError

BINARY = {"predictor_type": "binary_classifier", "binary_classifier_model_selection_criteria": "loss_function"}
REGRESSOR = {"predictor_type": "regressor"}
MANY = {"predictor_type": "multiclass_classifier", "num_classes": "3"}


def settings(given: dict[str, str], **more: object) -> LinearLearnerHyperparameters:
    return LinearLearnerHyperparameters.from_strings(given | {name: str(value) for name, value in more.items()})


def state(given: dict[str, str], seed: int = 0, **more: object) -> LinearLearnerState:
    return LinearLearnerState(settings(given, **more), np.random.default_rng(seed))


def learn(learner: LinearLearnerState, x: Any, y: np.ndarray, passes: int = 1) -> LinearLearnerState:
    size = learner.settings.mini_batch_size
    for _ in range(passes):
        for start in range(0, x.shape[0], size):
            learner.update(Batch(x[start : start + size], y[start : start + size]))
        learner.end_pass(None)
    return learner


def records(task: dict[str, str], count: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5)) * [1, 20, 0.01, 3, 1] + [0, 500, 1, -3, 0]
    z = (x - [0, 500, 1, -3, 0]) @ [1, 0.05, -50, 0.2, 0]
    match task["predictor_type"]:
        case "regressor":
            y = 40 + 7 * z + rng.normal(size=count)
        case "binary_classifier":
            y = rng.random(count) < 1 / (1 + np.exp(-z))
        case _:
            y = (z > -0.5).astype(int) + (z > 0.5)
    return x.astype(np.float32), y.astype(np.float32)


def auc(margins: np.ndarray, y: np.ndarray) -> float:
    return float(roc_auc_score(y, margins[:, 0]))


def true_auc(y: np.ndarray, x: np.ndarray) -> float:
    """Of the weights that the binary records were made with."""
    return auc((x.astype(float) - [0, 500, 1, -3, 0]) @ np.array([[1, 0.05, -50, 0.2, 0]]).T, y)


def standardised(x: np.ndarray) -> np.ndarray:
    return ((x.astype(float) - x.mean(axis=0, dtype=float)) / x.std(axis=0, dtype=float)).astype(np.float32)


def arrays_equal(one: LinearLearnerState, other: LinearLearnerState) -> None:
    left, right = one.snapshot(), other.snapshot()
    assert left[0].keys() == right[0].keys()
    for name, array in left[0].items():
        np.testing.assert_array_equal(array, right[0][name], err_msg=name)


# Hyperparameters and candidates


def test_a_tuning_job_trains_one_model() -> None:
    assert settings(BINARY, num_models=8, _tuning_objective_metric="validation:objective_loss").num_models == 1
    assert settings(BINARY, num_models=8, _tuning_objective_metric="").num_models == 8


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"predictor_type": "multiclass_classifier"}, "got num_classes 1, expected at least 3"),
        (
            BINARY | {"loss": "squared_loss"},
            "got loss 'squared_loss', expected 'auto' or one of 'logistic', 'hinge_loss'",
        ),
        (BINARY | {"momentum": "1"}, "'momentum'"),
        (BINARY | {"positive_example_weight_mult": "0"}, "'positive_example_weight_mult'"),
        ({}, "No value.s. were specified for 'predictor_type'"),
    ],
)
def test_wrong_hyperparameters_are_told(given: dict[str, str], text: str) -> None:
    with pytest.raises(UserError, match=text):
        LinearLearnerHyperparameters.from_strings(given)


@pytest.mark.parametrize("name", ["f1", "cross_entropy_loss"])
def test_old_names_of_criteria_are_taken(name: str) -> None:
    settings({"predictor_type": "binary_classifier"}, binary_classifier_model_selection_criteria=name)


def test_the_first_candidate_is_what_was_asked_for() -> None:
    found = candidates(settings(BINARY), 100, sparse=False)
    assert len(found) == len(set(found)) == 32
    first = found[0]
    assert (first.optimizer, first.learning_rate, first.wd, first.l1) == ("adam", 0.005, 0, 0)
    assert (first.lr_scheduler_step, first.lr_scheduler_factor, first.lr_scheduler_minimum_lr) == (100, 0.99, 1e-5)
    assert (first.bias_lr_mult, first.bias_wd_mult) == (10, 0)
    assert {(one.wd, one.l1) for one in found} >= {(wd, 0) for wd in (0, 0.01, 0.1, 1)} | {
        (0, l1) for l1 in (0.01, 0.1, 1)
    }


def test_what_was_asked_for_holds_for_all() -> None:
    found = candidates(settings(BINARY, wd=0.3, learning_rate=0.7, lr_scheduler_step=7), 100, sparse=False)
    assert len(found) > 1
    for one in found:
        assert (one.wd, one.learning_rate, one.lr_scheduler_step, one.bias_lr_mult) == (0.3, 0.7, 7, 10)
    fixed = settings(BINARY, wd=0, l1=0, learning_rate=0.1, lr_scheduler_step=5, num_models=32)
    assert len(candidates(fixed, 100, sparse=False)) == 1


def test_candidates_stay_within_memory() -> None:
    assert len(candidates(settings(BINARY), 10_000_000, sparse=True)) == 1
    assert len(candidates(settings(BINARY), 1_000_000, sparse=True)) == 16
    many = settings({"predictor_type": "multiclass_classifier", "num_classes": "1000"})
    assert len(candidates(many, 100, sparse=False)) == 4
    assert len(candidates(settings(BINARY, num_models=5), 10_000_000, sparse=True)) == 5


def test_sparse_data_have_an_optimiser_of_their_own() -> None:
    assert candidates(settings(BINARY), 100, sparse=True)[0].optimizer == "adagrad"
    assert candidates(settings(BINARY, optimizer="adam"), 100, sparse=True)[0].optimizer == "adam"


def test_without_a_schedule_rates_are_constant() -> None:
    assert {
        one.lr_scheduler_factor for one in candidates(settings(BINARY, use_lr_scheduler="false"), 10, sparse=False)
    } == {1}


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


# Passes


def test_passes_are_compared_on_held_out_records() -> None:
    x, y = records(BINARY)
    learner = state(BINARY, mini_batch_size=100)
    learn_pass = [Batch(x[start : start + 100], y[start : start + 100]) for start in range(0, 1500, 100)]
    for batch in learn_pass:
        learner.update(batch)
    held = learner.held_out()
    held.update(Batch(x[1500:], y[1500:]))
    found = learner.end_pass(held)
    losses = held.losses()  # type: ignore[attr-defined]
    assert found.watched == ("binary_classification_cross_entropy_objective", losses.min())
    assert [(channel, name) for channel, name, _ in found.qualities] == [
        ("train", "binary_classification_cross_entropy_objective"),
        ("validation", "binary_classification_cross_entropy_objective"),
    ]
    assert found.qualities[1][2] == losses[0]
    assert len(found.candidates) == 32
    model = learner.finalise()
    score = model.predict(Batch(x[1500:]))["score"].astype(float)
    y = y[1500:]
    assert -np.log(np.where(y == 1, score, 1 - score)).mean() == pytest.approx(losses.min(), rel=1e-4)
    assert model.metrics["binary_classification_cross_entropy_objective"] == losses.min()


def test_train_losses_are_of_scaled_labels_and_scores_in_label_units() -> None:
    x, y = records(REGRESSOR)
    learner = state(REGRESSOR, mini_batch_size=100, num_models=1)
    for start in range(0, 2000, 100):
        learner.update(Batch(x[start : start + 100], y[start : start + 100]))
    (channel, name, value), *_ = learner.end_pass(None).qualities
    assert (channel, name) == ("train", "mse_objective")
    # One is of the weights as they move, the other of their averages: after twenty updates, not yet quite the same.
    assert learner.finalise().metrics["mse_objective"] == pytest.approx(value * y.var(dtype=float), rel=0.1)


def test_the_criterion_is_watched_where_the_user_gave_one() -> None:
    x, y = records(BINARY)
    for given, name in (
        ({"binary_classifier_model_selection_criteria": "accuracy"}, "accuracy"),
        ({}, "binary_classification_cross_entropy_objective"),
        (
            {"binary_classifier_model_selection_criteria": "loss_function"},
            "binary_classification_cross_entropy_objective",
        ),
    ):
        learner = state({"predictor_type": "binary_classifier"} | given, num_models=2)
        learner.update(Batch(x, y))
        held = learner.held_out()
        held.update(Batch(x, y))
        found = learner.end_pass(held).watched
        assert found is not None
        assert found[0] == name
        if name == "accuracy":
            assert found[1] == pytest.approx(max(held.choose().values))  # type: ignore[attr-defined]


def test_training_stops_when_nothing_is_gained() -> None:
    x, y = records(REGRESSOR)
    learner = state(REGRESSOR, mini_batch_size=100, early_stopping_patience=2)
    passes = 0
    while not learner.done:
        learn(learner, x, y)
        passes += 1
        assert passes < 30
    assert passes > 3
    patient = learn(state(REGRESSOR, mini_batch_size=100, early_stopping_patience=99), x, y, passes)
    assert not patient.done


def test_the_best_pass_is_kept() -> None:
    """Labels turn over after the second pass: what was learned then must not be what is saved."""
    x, y = records(BINARY)
    learner = state(BINARY, mini_batch_size=100)

    def end(labels: np.ndarray) -> None:
        for start in range(0, 2000, 100):
            learner.update(Batch(x[start : start + 100], labels[start : start + 100]))
        held = learner.held_out()
        held.update(Batch(x, y))
        learner.end_pass(held)

    end(y)
    end(y)
    before = learner.finalise()
    end(1 - y)
    end(1 - y)
    after = learner.finalise()
    np.testing.assert_array_equal(before.weights, after.weights)
    assert before.metrics == after.metrics


def test_a_sample_of_the_latter_part_judges_long_passes() -> None:
    x, y = records(BINARY, 10_000)
    learner = state(BINARY, mini_batch_size=1000, num_models=1, num_point_for_scaler=1)
    for start in range(0, 600_000, 1000):
        some = slice(start % 10_000, start % 10_000 + 1000)
        learner.update(Batch(x[some], y[some]))
        if start == 90_000:
            assert learner.passing is not None
            assert learner.passing.seen().counts[0] == 91_000
    passing = learner.passing
    assert passing is not None
    assert passing.records == 600_000
    assert passing.turn == 800_000
    assert passing.seen().counts[0] == (600_000 - 200_000) / 4
    learner.end_pass(None)
    for start in range(0, 600_000, 1000):
        some = slice(start % 10_000, start % 10_000 + 1000)
        learner.update(Batch(x[some], y[some]))
    assert learner.passing is not None
    assert learner.passing.seen().counts[0] == 600_000 / 2 / 4


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "auto"])
@pytest.mark.parametrize("sparse", [False, True])
def test_optimisers_learn(optimizer: str, sparse: bool) -> None:
    raw, y = records(BINARY)
    x = standardised(raw)
    learner = state(BINARY, optimizer=optimizer, mini_batch_size=50, num_models=4)
    model = learn(learner, csr_array(x) if sparse else x, y, passes=5).finalise()
    assert auc(model.margins(Batch(x)), y) > true_auc(y, raw) - 0.005


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        *((REGRESSOR, name) for name in ("absolute_loss", "quantile_loss", "huber_loss")),
        *((REGRESSOR, f"eps_insensitive_{name}_loss") for name in ("squared", "absolute")),
    ],
)
def test_losses_of_regression_learn(task: dict[str, str], loss: str) -> None:
    x, y = records(task)
    model = learn(state(task, loss=loss, mini_batch_size=50), x, y, passes=5).finalise()
    assert model.metrics["mse"] < 1.5 * 1.0  # noise has 1; the labels have 100


def test_hinge_learns() -> None:
    x, y = records(BINARY)
    model = learn(state(BINARY | {"loss": "hinge_loss"}, mini_batch_size=50), x, y, passes=5).finalise()
    assert auc(model.margins(Batch(x)), y) > true_auc(y, x) - 0.005


def test_without_a_bias() -> None:
    x, y = records(REGRESSOR)
    model = learn(state(REGRESSOR, use_bias="false", mini_batch_size=50), x, y, passes=3).finalise()
    assert not model.margins(Batch(np.zeros((1, 5), np.float32))).any()


@pytest.mark.parametrize("method", ["uniform", "normal"])
def test_first_weights(method: str) -> None:
    learner = state(BINARY, init_method=method, init_scale=0.5, init_sigma=0.5, init_bias=3, num_models=1)
    _, y = records(BINARY)
    wide = np.zeros((1, 4000), np.float32)
    wide[0, 0] = 1
    learner.update(Batch(wide, y[:1]))
    learner._complete()
    assert learner.models is not None
    first = learner.models.weights.weights[1:]  # what a zero does not move
    assert first.std() == pytest.approx(0.5 if method == "normal" else 0.5 / 3**0.5, rel=0.05)
    assert learner.models.bias is not None
    assert learner.models.bias.weights[0, 0] == pytest.approx(3, abs=0.2)


# What does not fit


@pytest.mark.parametrize(
    ("labels", "size"), [(None, 0), (np.empty((4, 0), np.float32), 0), (np.zeros((4, 2), np.float32), 2)]
)
def test_records_need_one_label(labels: np.ndarray | None, size: int) -> None:
    with pytest.raises(UserError, match=f"label size equal 1. Label size on train dataset found to be {size}"):
        state(BINARY).update(Batch(np.zeros((4, 3), np.float32), labels))


@pytest.mark.parametrize(
    ("task", "label"),
    [(BINARY, 2), (BINARY, -1), (BINARY, 0.5), (BINARY, np.nan), (MANY, 3), (MANY, np.inf), (REGRESSOR, np.nan)],
)
def test_labels_that_do_not_fit(task: dict[str, str], label: float) -> None:
    with pytest.raises(UserError, match=f"got label {label:g}, expected"):
        state(task).update(Batch(np.zeros((2, 3), np.float32), np.array([0, label], np.float32)))


def test_widths_that_do_not_fit() -> None:
    x, y = records(BINARY)
    with pytest.raises(UserError, match=r"got 5 features, expected 6 \(hyperparameter feature_dim\)"):
        state(BINARY, feature_dim=6).update(Batch(x, y))
    learner = state(BINARY)
    learner.update(Batch(x, y))
    with pytest.raises(UserError, match=r"got 4 features, expected 5 \(as the first record has\)"):
        learner.update(Batch(x[:, :4], y))


def test_no_records() -> None:
    with pytest.raises(UserError, match="holds no records"):
        state(BINARY).finalise()
    empty = state(BINARY)
    empty.update(Batch(np.empty((0, 3), np.float32), np.empty(0, np.float32)))
    with pytest.raises(UserError, match="holds no records"):
        empty.finalise()


def test_candidates_that_diverge_are_not_chosen() -> None:
    x, y = records(REGRESSOR)
    given = REGRESSOR | {"optimizer": "sgd"}
    with pytest.raises(UserError, match="diverged"):
        learn(state(given, learning_rate=1000, num_models=1, wd=0, mini_batch_size=10), x, y).finalise()
    model = learn(state(given, mini_batch_size=10), np.repeat(x, 4, axis=1), y).finalise()
    assert np.isfinite(model.weights).all()


def test_one_record() -> None:
    model = learn(state(BINARY), np.ones((1, 3), np.float32), np.ones(1, np.float32)).finalise()
    assert np.isfinite(model.weights).all()


# Stopping, continuing, merging


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("task", [REGRESSOR, BINARY, MANY])
def test_resuming_anywhere_changes_nothing(task: dict[str, str], form: Any) -> None:
    x, y = records(task, 1200)
    x = form(x)
    more = {"mini_batch_size": 100, "num_point_for_scaler": 500}

    def run(stop: int | None) -> LinearLearnerState:
        learner = state(task, **more)
        for number in range(36):
            start = number % 12 * 100
            learner.update(Batch(x[start : start + 100], y[start : start + 100]))
            if number == stop:
                learner = LinearLearnerState.restore(learner.settings, *learner.snapshot())
            if number % 12 == 11:
                learner.end_pass(None)
        return learner

    whole = run(None)
    for stop in (2, 11, 12, 30, 35):
        arrays_equal(run(stop), whole)
    np.testing.assert_array_equal(run(30).finalise().weights, whole.finalise().weights)


def test_a_snapshot_is_its_own() -> None:
    x, y = records(BINARY)
    learner = learn(state(BINARY, mini_batch_size=100), x, y)
    arrays, values = learner.snapshot()
    before = {name: array.copy() for name, array in arrays.items()}
    learn(learner, x, y)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert len(values["history"]) == 1


def test_another_job_begins_its_passes_anew() -> None:
    x, y = records(BINARY)
    learner = learn(state(BINARY, mini_batch_size=100, early_stopping_patience=1), x, y, 12)
    assert learner.done
    learner.renew()
    assert not learner.done
    turned = learn(learner, x, 1 - y, passes=12).finalise()  # other data, on which the earlier best pass is poor
    assert turned.predict(Batch(x))["score"][y == 0].mean() > 0.5


def test_other_candidates_start_from_the_winner() -> None:
    x, y = records(BINARY)
    learner = learn(state(BINARY, mini_batch_size=100), x, y, 5)
    good = learner.finalise().metrics["roc_auc_score"]
    for more in ({"learning_rate": 0.001, "num_models": 2}, {"optimizer": "sgd"}, {"optimizer": "adam", "beta_1": 0}):
        again = LinearLearnerState.restore(settings(BINARY, mini_batch_size=100, **more), *learner.snapshot())
        again.renew()
        again.update(Batch(x[:100], y[:100]))
        model = again.finalise()
        assert auc(model.margins(Batch(x)), y) == pytest.approx(good, abs=0.01)


def test_another_task_cannot_go_on() -> None:
    x, y = records(BINARY)
    snapshot = learn(state(BINARY), x, y).snapshot()
    with pytest.raises(UserError, match="got predictor_type 'regressor' with 1 outputs, expected 'binary_classifier'"):
        LinearLearnerState.restore(settings(REGRESSOR), *snapshot)


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("task", [REGRESSOR, BINARY, MANY])
def test_merged_hosts_are_nearly_as_good(task: dict[str, str], form: Any) -> None:
    x, y = records(task, 6000)
    one, other = (state(task, seed, mini_batch_size=50, num_point_for_scaler=500) for seed in range(2))
    learn(one, form(x[:2000]), y[:2000], 3)
    learn(other, form(x[2000:]), y[2000:], 3)
    one.merge(other)
    assert one.models is not None
    assert one.models.records == 18_000
    model = one.finalise()
    whole = learn(state(task, mini_batch_size=50, num_point_for_scaler=500), form(x), y, 3).finalise()
    replies, expected = model.predict(Batch(x)), whole.predict(Batch(x))
    if task is REGRESSOR:
        assert np.corrcoef(replies["score"], expected["score"])[0, 1] > 0.99
        assert np.mean((replies["score"] - y) ** 2) < 1.2 * np.mean((expected["score"] - y) ** 2)
    else:
        assert (replies["predicted_label"] == expected["predicted_label"]).mean() > 0.95


def test_hosts_must_have_seen_the_same_features() -> None:
    x, y = records(BINARY)
    one, other = learn(state(BINARY), x, y), learn(state(BINARY), x[:, :4], y)
    with pytest.raises(UserError, match="got 4 features on one host, expected 5"):
        one.merge(other)
    sparse = learn(state(BINARY), csr_array(x), y)
    with pytest.raises(UserError, match="sparse records on one host"):
        one.merge(sparse)


def test_an_empty_host_adds_nothing() -> None:
    x, y = records(BINARY)
    one = learn(state(BINARY, mini_batch_size=100), x, y)
    before = one.finalise()
    one.merge(state(BINARY, 1, mini_batch_size=100))
    np.testing.assert_array_equal(one.finalise().weights, before.weights)
    empty = state(BINARY, 1, mini_batch_size=100)
    empty.merge(one)
    np.testing.assert_array_equal(empty.finalise().weights, before.weights)


def test_the_declaration() -> None:
    assert ALGORITHM.name == "linear-learner"
    assert "text/csv" not in ALGORITHM.reply_types
    for printed in ("mse_objective", "binary_f_1.000", "macro_f_0.500", "multiclass_top_k_accuracy_3", "rmse"):
        assert ALGORITHM.metric(printed) is not None
