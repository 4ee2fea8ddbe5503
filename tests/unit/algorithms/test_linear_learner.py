"""Linear Learner on what does not fit, and stopped, continued and merged."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from algorithms.linear_learner import ALGORITHM
from algorithms.linear_learner.state import LinearLearnerState
from recordio.batch import Batch
from recordio.errors import UserError
from tests.unit.algorithms.linear_tasks import (
    BINARY,
    MANY,
    REGRESSOR,
    arrays_equal,
    auc,
    learn,
    records,
    settings,
    state,
)

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
    smaller = {metric.name for metric in ALGORITHM.metrics if metric.smaller}
    assert smaller == {"objective_loss", "mse", "rmse", "absolute_loss", "multiclass_log_loss"}


def test_labels_of_one_class_are_suspected(caplog: pytest.LogCaptureFixture) -> None:
    x, y = records(BINARY, 100)
    learn(state(BINARY), x, y)
    assert not caplog.messages
    learn(state(BINARY), x, np.zeros_like(y))
    assert caplog.messages == [
        "The first 100 records all have label 0: is the label the first column, and are the records shuffled?"
    ]
