"""Linear Learner on several hosts that learn one model in step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from algorithms.contract import Alone
from algorithms.linear_learner import ALGORITHM
from algorithms.linear_learner.state import LinearLearnerState
from recordio.batch import Batch
from recordio.errors import UserError
from tests.unit.pools import Hosts, Seat

HOSTS, SHARE = 4, 25
FEATURES = 12

Data = tuple[NDArray[np.float32], NDArray[np.float32]]


def records(count: int, seed: int, *, classes: int = 2) -> Data:
    rng = np.random.default_rng(seed)
    x = rng.normal(2, 3, (count, FEATURES)) * (rng.random((count, FEATURES)) < 0.4)
    scores = x @ np.random.default_rng(7).normal(size=(FEATURES, max(classes, 1)))
    if classes == 2:
        labels = rng.random(count) < 1 / (1 + np.exp(-scores[:, 0]))
    elif classes:
        labels = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    else:
        labels = scores[:, 0] + rng.normal(size=count)
    return x.astype(np.float32), labels.astype(np.float32)


def state(seat: Seat | None = None, **given: str) -> LinearLearnerState:
    strings = {"predictor_type": "binary_classifier", "num_point_for_scaler": "1", "num_models": "8"} | given
    made: Any = ALGORITHM.create(ALGORITHM.hyperparameters.from_strings(strings), np.random.default_rng(0))
    made.pool = seat or Alone()
    return made  # type: ignore[no-any-return]


def batch(data: Data, rows: slice | NDArray[Any], *, sparse: bool) -> Batch:
    return Batch(csr_array(data[0][rows]) if sparse else data[0][rows], data[1][rows])


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    "task",
    [
        {"predictor_type": "binary_classifier"},
        {"predictor_type": "binary_classifier", "positive_example_weight_mult": "balanced", "loss": "hinge_loss"},
        {"predictor_type": "multiclass_classifier", "num_classes": "3", "balance_multiclass_weights": "true"},
        # Less their mean, the labels of the first batch give the bias no slope but rounding, a direction to Adam.
        {"predictor_type": "regressor", "unbias_label": "false"},
        {"predictor_type": "regressor", "use_bias": "false", "optimizer": "sgd", "momentum": "0.9"},
    ],
    ids=lambda task: "-".join(task.values()),
)
def test_batches_of_all_hosts_are_one_batch(task: dict[str, str], sparse: bool) -> None:
    """Four hosts with a quarter of each batch learn what one learns that has it all."""
    classes = {"b": 2, "m": 3, "r": 0}[task["predictor_type"][0]]
    data = records(2000, 1, classes=classes)
    whole = state(**task)
    for start in range(0, 2000, HOSTS * SHARE):
        whole.update(batch(data, slice(start, start + HOSTS * SHARE), sparse=sparse))
    printed = whole.end_pass(None)

    def learned(seat: Seat, rank: int) -> tuple[LinearLearnerState, Any]:
        one = state(seat, **task)
        for start in range(rank * SHARE, 2000, HOSTS * SHARE):
            one.update(batch(data, slice(start, start + SHARE), sparse=sparse))
        return one, one.end_pass(None)

    for one, ended in Hosts(HOSTS).run(learned):
        assert one.models is not None and whole.models is not None
        # Sums of float32 in another order: 5e-7 was seen, of weights up to 3.
        assert np.allclose(one.models.weights.kept, whole.models.weights.kept, rtol=1e-5, atol=5e-6)
        found = [value for _, _, value in ended.qualities]
        assert np.allclose(found, [value for _, _, value in printed.qualities], rtol=1e-4)
        assert ended.watched[0] == printed.watched[0]
        assert ended.watched[1] == pytest.approx(printed.watched[1], rel=1e-3)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_hosts_stay_the_same_whatever_each_of_them_has(sparse: bool) -> None:
    """One has no records at all, one few; each names its own width; a column comes to life late, on one host."""
    data = records(3000, 2)
    data[0][:2500, 3] = 5
    held = records(1000, 3)
    shards = [np.arange(0, 1700), np.arange(1700, 1720), np.arange(0), np.arange(1720, 3000)]

    def learned(seat: Seat, rank: int) -> LinearLearnerState:
        one = state(seat, early_stopping_patience="1")
        for _ in range(3):
            for start in range(0, 1700, 100):
                one.update(batch(data, shards[rank][start : start + 100], sparse=sparse))
            evaluation = one.held_out()
            evaluation.update(batch(held, slice(rank * 250, (rank + 1) * 250), sparse=sparse))
            one.end_pass(evaluation)
        return one

    first, *others = Hosts(HOSTS).run(learned)
    assert first.models is not None and first.best is not None
    for other in others:
        assert other.models is not None and other.best is not None
        assert np.array_equal(other.models.weights.kept, first.models.weights.kept)
        assert np.array_equal(other.best.weights, first.best.weights)
        assert other.history == first.history and other.done == first.done
    records_counted = first.best.evaluation.counts
    assert (records_counted == 1000).all()
    for other in others:
        other.pool = Alone()
        first.merge(other)
    first.pool = Alone()
    alone = state(early_stopping_patience="1")
    for _ in range(3):
        for start in range(0, 3000, 100):
            alone.update(batch(data, slice(start, start + 100), sparse=sparse))
        evaluation = alone.held_out()
        evaluation.update(batch(held, slice(None), sparse=sparse))
        alone.end_pass(evaluation)
    right = [
        np.mean((one.finalise().margins(batch(held, slice(None), sparse=sparse))[:, 0] > 0) == (held[1] > 0.5))
        for one in (first, alone)
    ]
    assert right[0] > right[1] - 0.02  # of 1,000 records, whose deviation is 0.01


def test_hosts_that_agree_have_the_same_models_in_the_middle_of_a_pass() -> None:
    """Each moves rows of its own; what they save then is the whole, and goes on to the bits that it would have had."""
    data = records(1200, 6)

    def updates(one: LinearLearnerState, rank: int, *starts: int) -> LinearLearnerState:
        for start in starts:
            some = slice(start + rank * 50, start + (rank + 1) * 50) if rank < 2 else slice(0)
            one.update(batch(data, some, sparse=True))
        return one

    def in_step(seat: Seat, rank: int) -> tuple[LinearLearnerState, LinearLearnerState, tuple[Any, Any]]:
        one = updates(state(seat, wd="0.01"), rank, *range(0, 600, 100))
        assert one.models is not None
        ahead = one.models.weights.kept.copy()
        one.agree()
        saved = one.snapshot()
        assert (ahead != one.models.weights.kept).any(), "no row of another host was moved"
        again = LinearLearnerState.restore(one.settings, *saved)
        again.pool = seat
        for each in (one, again):
            updates(each, rank, *range(600, 1200, 100)).end_pass(None)
        return one, again, saved

    found = Hosts(3).run(in_step)
    for name, array in found[0][2][0].items():
        if name.startswith("models."):
            assert all(np.array_equal(saved[0][name], array) for *_, saved in found)
    for one, again, _ in found:
        assert one.models is not None and again.models is not None and found[0][0].models is not None
        assert np.array_equal(one.models.weights.kept, again.models.weights.kept)
        assert np.array_equal(one.models.weights.kept, found[0][0].models.weights.kept)


def test_hosts_that_end_in_the_middle_of_a_pass_are_judged_together() -> None:
    data = records(400, 4)

    def learned(seat: Seat, rank: int) -> LinearLearnerState:
        one = state(seat)
        one.update(batch(data, slice(rank * 100, (rank + 1) * 100), sparse=False))
        return one

    first, *others = Hosts(HOSTS).run(learned)
    for other in others:
        first.merge(other)
    first.pool = Alone()
    assert first.finalise().metrics["binary_classification_cross_entropy_objective"] > 0
    assert first.passing is not None and first.passing.records == 400


@pytest.mark.parametrize("kind", ["width", "form"])
def test_hosts_with_other_features_are_refused_on_all(kind: str) -> None:
    data = records(100, 5)
    wrong = (data[0][:, :5], data[1]) if kind == "width" else data
    texts = []

    def learned(seat: Seat, rank: int) -> None:
        with pytest.raises(UserError) as caught:
            odd = rank == 2
            state(seat).update(batch(wrong if odd else data, slice(50), sparse=odd and kind == "form"))
        texts.append(str(caught.value))

    Hosts(HOSTS).run(learned)
    expected = {"width": "got 5 features on one host, expected 12", "form": "got sparse records on one host"}[kind]
    assert len(texts) == HOSTS and all(expected in text for text in texts)
