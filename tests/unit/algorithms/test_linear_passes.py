"""Passes of Linear Learner: comparing, keeping the best, stopping, and that each optimiser and loss learns."""

import copy

import numpy as np
import pytest
from scipy.sparse import csr_array

from algorithms.contract import Pass
from algorithms.linear_learner.model import LinearModel
from algorithms.linear_learner.state import LinearLearnerState
from recordio.batch import Batch
from tests.unit.algorithms.linear_tasks import (
    BINARY,
    REGRESSOR,
    auc,
    learn,
    records,
    standardised,
    state,
    true_auc,
)

CRITERION = "binary_classifier_model_selection_criteria"


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


def crossing(labels: np.ndarray, x: np.ndarray, **more: object) -> tuple[LinearLearnerState, list[Pass]]:
    """Ten passes, compared by a criterion on the records themselves."""
    learner = state({"predictor_type": "binary_classifier"}, num_models=4, mini_batch_size=50, **more)
    passes = []
    for _ in range(10):
        for start in range(0, len(labels), 50):
            learner.update(Batch(x[start : start + 50], labels[start : start + 50]))
        held = learner.held_out()
        held.update(Batch(x, labels))
        passes.append(learner.end_pass(held))
    return learner, passes


def test_of_equal_passes_the_one_with_the_lowest_loss_is_kept() -> None:
    """Classes that any threshold between them tells apart: the criterion is 1 from the first pass on."""
    x = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
    x[:, 0] = np.where(np.arange(500) % 2, 9, -9)
    learner, passes = crossing((x[:, 0] > 0).astype(np.float32), x, **{CRITERION: "accuracy"})
    assert [each.watched for each in passes] == [("accuracy", 1.0)] * 10
    curves = np.array([each["validation"] for each in learner.history])
    best = learner.finalise().metrics["binary_classification_cross_entropy_objective"]
    assert best == curves.min() < curves[0].min()


def test_where_no_record_is_positive_the_loss_is_watched() -> None:
    x = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
    learner, passes = crossing(np.zeros(500, np.float32), x, **{CRITERION: "f_beta"})
    for each, losses in zip(passes, learner.history, strict=True):
        assert each.watched == ("binary_classification_cross_entropy_objective", min(losses["validation"] or []))
    assert passes[-1].watched[1] < passes[0].watched[1]  # type: ignore[index]
    assert passes[1].improved


def test_a_sample_of_the_latter_part_judges_long_passes() -> None:
    x, y = records(BINARY, 10_000)
    learner = state(BINARY, mini_batch_size=1000, num_models=1, num_point_for_scaler=1)
    for start in range(0, 600_000, 1000):
        some = slice(start % 10_000, start % 10_000 + 1000)
        learner.update(Batch(x[some], y[some]))
        if start == 90_000:
            assert learner.passing is not None
            assert copy.deepcopy(learner.passing).seen().counts[0] == 91_000 - 32_000
    passing = learner.passing
    assert passing is not None
    assert passing.records == 600_000
    assert passing.turn == 1_024_000
    assert passing.seen().counts[0] == (600_000 - 256_000) / 4
    learner.end_pass(None)
    for start in range(0, 600_000, 1000):
        some = slice(start % 10_000, start % 10_000 + 1000)
        learner.update(Batch(x[some], y[some]))
    assert learner.passing is not None
    assert learner.passing.seen().counts[0] == 600_000 / 2 / 4


def test_the_beginning_of_the_first_pass_does_not_judge() -> None:
    """Labels that turn over after the first records: what was said of those is forgotten, but not in later passes."""
    x, y = records(BINARY, 8000)
    learner = learn(state(BINARY, mini_batch_size=50, num_models=2), x, np.where(np.arange(8000) < 1000, 1 - y, y))
    assert learner.best is not None
    assert learner.best.evaluation.counts[0] == 4000
    learn(learner, x, y)
    assert learner.history[1]["train"][0] < learner.history[0]["train"][0]  # type: ignore[index]
    assert learner.best.evaluation.counts[0] == 8000


@pytest.mark.parametrize("count", [700, 749, 751, 999, 1001, 1600, 1999, 3500])
def test_a_pass_of_few_batches_is_judged(count: int) -> None:
    """Whatever the length: by the last stretch, or by all where no batch began in one."""
    x, y = records(BINARY, count)
    learner = learn(state(BINARY, mini_batch_size=1000, num_models=2), x, y)
    assert learner.best is not None
    assert learner.best.evaluation.counts[0] >= count / 3


def test_models_that_go_on_answer_for_a_whole_pass() -> None:
    x, y = records(BINARY, 5000)
    learner = learn(state(BINARY, mini_batch_size=50, num_models=2), x, y)
    learner.renew()
    learn(learner, x[:1500], y[:1500])
    assert learner.best is not None
    assert learner.best.evaluation.counts[0] == 1500


@pytest.mark.parametrize("validated", [True, False])
def test_calibration_by_a_part_of_the_records(validated: bool) -> None:
    """Of the records that judge, class 1 is rare among the first 500, which alone may set the threshold."""
    x, y = records(BINARY, 4000)
    begin = 0 if validated else 2000
    y[begin : begin + 500][np.random.default_rng(0).random(500) < 0.7] = 0
    given = {"predictor_type": "binary_classifier", "binary_classifier_model_selection_criteria": "accuracy"}

    def model(most: object) -> LinearModel:
        learner = state(given, mini_batch_size=100, num_models=1, num_calibration_samples=most)
        for start in range(0, 4000, 100):
            learner.update(Batch(x[start : start + 100], y[start : start + 100]))
        held = learner.held_out() if validated else None
        for start in range(0, 4000 if validated else 0, 300):
            held.update(Batch(x[start : start + 300], y[start : start + 300]))  # type: ignore[union-attr]
        learner.end_pass(held)
        return learner.finalise()

    every, few = model("auto"), model(500)
    assert few.threshold > every.threshold + 0.1  # type: ignore[operator]
    assert model(4000).threshold == every.threshold
    for name in ("binary_classification_cross_entropy_objective", "roc_auc_score"):
        assert few.metrics[name] == pytest.approx(every.metrics[name], rel=1e-6 if validated else 0.1)
    if validated:
        taken = few.predict(Batch(x))["predicted_label"] == y
        assert few.metrics["binary_classification_accuracy"] == pytest.approx(taken.mean(), abs=1e-3)


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
