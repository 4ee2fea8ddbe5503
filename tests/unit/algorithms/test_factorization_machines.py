"""Factorization Machines against a slow implementation in double precision, and the laws of their state."""

import copy
import logging
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import strategies as some
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn import metrics

from algorithms.factorization_machines import ALGORITHM, interactions, table
from algorithms.factorization_machines.entries import Entries
from algorithms.factorization_machines.first import first_values
from algorithms.factorization_machines.hyperparameters import FactorizationMachinesHyperparameters, Weights
from algorithms.factorization_machines.model import FactorizationMachine
from algorithms.factorization_machines.scores import Scores
from algorithms.factorization_machines.state import FactorizationMachinesState
from recordio.batch import Batch
from recordio.errors import UserError
from tests.unit.algorithms.factorization_tasks import FACTORS, FEATURES, Reference, learned, records, settings

TASKS = ("binary_classifier", "regressor")
VARIANTS: list[dict[str, object]] = [
    {},
    {"clip_gradient": 0.02},
    {"clip_gradient": -1},
    {"rescale_grad": 0.7, "eps": 0.01},
    {"eps": 0, "linear_wd": 0, "factors_wd": 0.3, "bias_wd": 0.2},
    {"use_bias": False},
    {"use_linear": False},
    {"linear_init_method": "uniform", "linear_init_scale": 0.5, "factors_init_method": "uniform"},
    {"bias_init_method": "constant", "bias_init_value": 2.5, "linear_init_method": "constant"},
]


def reference_of(given: FactorizationMachinesHyperparameters, x: Any, y: np.ndarray, dense: bool) -> Reference:
    slow, size = Reference(given), given.mini_batch_size
    rows = x.toarray()
    for _ in range(given.epochs):
        for start in range(0, len(rows), size):
            slow.update(rows[start : start + size], y[start : start + size], dense)
    return slow


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("task", TASKS)
def test_the_updates_are_those_of_the_definition(task: str, variant: dict[str, object], dense: bool) -> None:
    given = settings(task, epochs=2, **variant)
    if variant.get("clip_gradient") == -1:
        given = settings(task, epochs=2)
    x, y = records(task, 90)
    slow = reference_of(given, x, y, dense)
    state = learned(
        FactorizationMachinesState(settings(task, epochs=2, **variant)), x.toarray() if dense else x, y, passes=2
    )
    model = state.finalise()
    # Ten updates in single precision; where a gradient is nearly 0, Adam makes much of what is left of it.
    assert_allclose(model.factors, slow.v * slow.seen[:, None], rtol=1e-3, atol=2e-4)
    assert (model.linear is None) == (not given.use_linear)
    if model.linear is not None:
        assert_allclose(model.linear, slow.w * slow.seen, rtol=1e-3, atol=2e-4)
    assert (model.bias is None) == (not given.use_bias)
    if model.bias is not None:
        assert_allclose(model.bias, slow.b, rtol=1e-3, atol=2e-4)
    assert_allclose(model.margins(Batch(x)), slow.margins(x.toarray()), rtol=2e-3, atol=2e-3)


def test_gradients_are_the_slopes_of_the_loss() -> None:
    """Against differences of the log loss in double precision, of all weights of a batch."""
    given = settings(factors_init_sigma=0.5)
    x, y = records("binary_classifier", 30, seed=3)
    state = FactorizationMachinesState(given)
    entries = Entries.of(Batch(x))
    slots = state.table.slots(entries.features)
    margins, sums = interactions.margins(entries.starts, slots, entries.values, state.table.weights, 0.0)
    slopes = (1 / (1 + np.exp(-margins)) - y).astype(np.float32)
    found = interactions.gradients(
        entries.starts, slots, entries.values, slots, state.table.used, state.table.weights, sums, slopes
    )
    slow, rows, step = Reference(given), x.toarray(), 1e-5

    def loss() -> float:
        z = slow.margins(rows)
        return float(np.sum(np.logaddexp(0, z) - y * z))

    slow.b = 0.0
    for slot in range(state.table.used):
        feature = state.table.features[slot]
        for column in range(FACTORS + 1):
            weights, at = (slow.v, (feature, column)) if column < FACTORS else (slow.w, (feature,))
            before = weights[at]
            weights[at] = before + step
            above = loss()
            weights[at] = before - step
            below = loss()
            weights[at] = before
            assert found[slot, column if column < FACTORS else -1] == pytest.approx(
                (above - below) / (2 * step), rel=1e-3, abs=1e-4
            )
    assert_array_equal(found[:, FACTORS:-1], 0)  # what fills up the lanes


@examples(
    some.lists(some.integers(0, 6), min_size=1, max_size=8),
    some.integers(1, 9),
    some.integers(0, 2**32 - 1),
)
def test_margins_are_those_of_pairs(lengths: list[int], factors: int, seed: int) -> None:
    """Any records, with empty ones among them, and any number of factors."""
    rng = np.random.default_rng(seed)
    indices = np.concatenate([rng.choice(7, size=length, replace=False) for length in lengths]).astype(np.int32)
    starts = np.cumsum([0, *lengths]).astype(np.int32)
    values = rng.normal(size=len(indices)).astype(np.float32)
    weights = rng.normal(size=(7, table.columns(factors))).astype(np.float32)
    weights[:, factors:-1] = 0
    found, sums = interactions.margins(starts, indices, values, weights, 0.5)
    for record, (start, end) in enumerate(pairwise(starts)):
        x, rows = values[start:end].astype(np.float64), weights[indices[start:end]].astype(np.float64)
        pairs = sum(x[i] * x[j] * (rows[i, :-1] @ rows[j, :-1]) for i in range(len(x)) for j in range(i))
        assert found[record] == pytest.approx(0.5 + x @ rows[:, -1] + pairs, rel=1e-4, abs=1e-4)
        assert_allclose(sums[record], x @ rows[:, :-1], rtol=1e-4, atol=1e-4)


def test_a_pair_of_a_feature_with_itself_has_no_gradient() -> None:
    """Records of one entry tell nothing of factors, and Adam would make a whole step of the least rounding."""
    rng = np.random.default_rng(0)
    x = csr_array((rng.normal(size=50).astype(np.float32), np.arange(50) % FEATURES, np.arange(51)), (50, FEATURES))
    state = FactorizationMachinesState(settings("regressor", factors_wd=0))
    state.update(Batch(x, rng.normal(size=50).astype(np.float32)))
    slow = Reference(state.settings)
    assert_array_equal(state.finalise().factors, slow.v.astype(np.float32))


@pytest.mark.parametrize("task", TASKS)
def test_features_that_do_not_come_up_stay_as_they_are(task: str) -> None:
    x, y = records(task, 200)
    state = learned(FactorizationMachinesState(settings(task)), x, y)
    before = {name: array.copy() for name, array in state.snapshot()[0].items()}
    only = np.zeros((5, FEATURES), np.float32)
    only[:, [2, 7]] = 1
    state.update(Batch(csr_array(only), y[:5]))
    after, _ = state.snapshot()
    moved = {int(feature) for feature in after["features"][(after["kept"] != before["kept"]).any(axis=(1, 2))]}
    assert moved == {2, 7}


def test_memory_goes_to_features_that_came_up() -> None:
    """A table of ten million features and 64 factors would take 8 GB."""
    state = FactorizationMachinesState(settings(feature_dim=10_000_000, num_factors=64))
    columns = np.array([3, 9_999_999, 3, 500_000], np.int32)
    x = csr_array((np.ones(4, np.float32), columns, np.array([0, 2, 4])), (2, 10_000_000))
    state.update(Batch(x, np.array([0, 1], np.float32)))
    arrays, _ = state.snapshot()
    assert sorted(arrays["features"]) == [3, 500_000, 9_999_999]
    assert arrays["kept"].nbytes == 3 * 3 * 4 * 65


def test_what_memory_cannot_hold_is_refused_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    one = csr_array((np.ones(1, np.float32), np.array([5]), np.array([0, 1])), (1, 2**31 - 1))
    state = FactorizationMachinesState(settings(feature_dim=2**31 - 1, num_factors=1_000_000 // 43))
    with pytest.raises(UserError, match=r"takes 249737\.3 GB of memory, of which .* are free: lower num_factors"):
        state.update(Batch(one, np.zeros(1, np.float32)))
    state = FactorizationMachinesState(settings(feature_dim=100_000))
    state.update(Batch(csr_array(([1.0], ([0], [5])), (1, 100_000), dtype=np.float32), np.zeros(1, np.float32)))
    monkeypatch.setattr(table, "memory_free", lambda: 1_000_000)
    x = csr_array((np.ones(50_000, np.float32), np.arange(50_000), np.arange(50_001)), (50_000, 100_000))
    with pytest.raises(UserError, match="The weights and moments of 50000 features"):
        state.update(Batch(x, np.zeros(50_000, np.float32)))


@pytest.mark.parametrize("method", ["normal", "uniform"])
def test_first_values_are_spread_as_asked(method: Any) -> None:
    features = np.random.default_rng(0).choice(10**7, size=100_000, replace=False)
    values = first_values(features, np.arange(8), Weights(0, 0, method, 0.5))
    deviation = 0.5 if method == "normal" else 0.5 / math.sqrt(3)
    # Of 800,000 values, four deviations of what is measured.
    assert abs(values.mean()) < 4 * deviation / 800_000**0.5
    assert values.std() == pytest.approx(deviation, rel=4 / 1_600_000**0.5)
    if method == "uniform":
        assert -0.5 <= values.min() < -0.499 and 0.499 < values.max() <= 0.5
    else:
        assert abs((np.abs(values) < deviation).mean() - 0.6827) < 0.003
    correlations = np.corrcoef(values, rowvar=False) - np.eye(8)
    assert np.abs(correlations).max() < 5 / 100_000**0.5
    near = first_values(np.arange(1000), np.arange(8), Weights(0, 0, method, 0.5))
    assert abs(np.corrcoef(near[:-1].ravel(), near[1:].ravel())[0, 1]) < 5 / 8000**0.5


def test_first_values_do_not_depend_on_the_company() -> None:
    features, columns, weights = np.arange(100), np.arange(5), Weights(0, 0, "normal", 1)
    whole = first_values(features, columns, weights)
    assert_array_equal(first_values(features[7:30:3], columns[2:], weights), whole[7:30:3, 2:])


def test_methods_without_their_parameter() -> None:
    given = settings(bias_init_method="uniform", linear_init_method="constant", factors_init_method="uniform")
    assert given.group("bias").spread == pytest.approx(0.01 * 3**0.5)
    assert given.group("linear").spread == 0
    assert given.group("factors").spread == pytest.approx(0.3 * 3**0.5)
    assert settings(linear_init_method="constant", linear_init_value=-2).group("linear").spread == -2


def test_factors_that_cannot_move_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        FactorizationMachinesState(settings(factors_init_method="constant"))
    assert "All factors begin at 0" in caplog.text


def test_names_of_the_original_that_its_guide_does_not_list() -> None:
    hidden = {"_learning_rate": "1.0", "_wd": "1.0", "_optimizer": "adam", "_use_full_symbolic": "true"}
    more = {"use_bias": "False", "use_linear": "true", "batch_metrics_publish_interval": "100"}
    given = FactorizationMachinesHyperparameters.from_strings(
        {"feature_dim": "3", "num_factors": "2", "predictor_type": "regressor", **hidden, **more}
    )
    assert (given.use_bias, given.use_linear, given.batch_metrics_publish_interval) == (False, True, 100)


def test_documented_defaults() -> None:
    given = FactorizationMachinesHyperparameters.from_strings(
        {"feature_dim": "3", "num_factors": "2", "predictor_type": "regressor"}
    )
    rates = [getattr(given, f"{group}_{what}") for what in ("lr", "wd") for group in ("bias", "linear", "factors")]
    assert rates == [0.1, 0.001, 0.0001, 0.01, 0.001, 0.00001]
    sigmas = [getattr(given, f"{group}_init_sigma") for group in ("bias", "linear", "factors")]
    assert (sigmas, given.epochs, given.mini_batch_size) == ([0.01, 0.01, 0.001], 1, 1000)


def test_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    margins, labels = rng.normal(size=300).astype(np.float32), (rng.random(300) < 0.4).astype(np.float32)
    scores = Scores("binary_classifier")
    for start in range(0, 300, 70):
        scores.add(margins[start : start + 70], labels[start : start + 70])
    chances, taken = 1 / (1 + np.exp(-margins.astype(np.float64))), margins >= 0
    assert scores.finalise() == pytest.approx(
        {
            "binary_classification_cross_entropy": metrics.log_loss(labels, chances),
            "binary_classification_accuracy": metrics.accuracy_score(labels, taken),
            "binary_f_1.000": metrics.f1_score(labels, taken),
        }
    )
    errors = Scores("regressor")
    errors.add(margins, labels)
    mse = metrics.mean_squared_error(labels, margins)
    expected = {"rmse": mse**0.5, "mse": mse, "absolute_loss": metrics.mean_absolute_error(labels, margins)}
    assert errors.finalise() == pytest.approx(expected)
    assert all(map(math.isnan, Scores("regressor").finalise().values()))
    assert math.isnan(Scores("binary_classifier").finalise()["binary_classification_cross_entropy"])


def test_scores_of_a_pass_are_of_batches_before_they_are_learned() -> None:
    x, y = records("regressor", 60)
    state, slow = FactorizationMachinesState(settings("regressor")), Reference(settings("regressor"))
    errors = []
    for start in range(0, 60, 20):
        rows, labels = x[start : start + 20], y[start : start + 20]
        errors.append(slow.margins(rows.toarray()) - labels)
        state.update(Batch(rows, labels))
        slow.update(rows.toarray(), labels, dense=False)
        assert state.progress()["mse"] == pytest.approx(np.mean(np.concatenate(errors) ** 2), rel=1e-4)
    ended = state.end_pass(None)
    assert [name for _, name, _ in ended.qualities] == ["rmse", "mse", "absolute_loss"]
    assert {name: value for _, name, value in ended.qualities} == state.finalise().metrics
    assert math.isnan(state.progress()["mse"])


def test_checkpoints_go_on_to_the_bit() -> None:
    x, y = records("binary_classifier", 200)
    whole = learned(FactorizationMachinesState(settings()), x, y, passes=2)
    part = learned(FactorizationMachinesState(settings()), x, y)
    part.update(Batch(x[:20], y[:20]))
    arrays, values = part.snapshot()
    part = ALGORITHM.restore(settings(), arrays, values)  # type: ignore[assignment]
    for start in range(20, 200, 20):
        part.update(Batch(x[start : start + 20], y[start : start + 20]))
    part.end_pass(None)
    assert_array_equal(part.finalise().factors, whole.finalise().factors)
    assert part.finalise().metrics == whole.finalise().metrics


@pytest.mark.parametrize(("name", "value"), [("num_factors", 6), ("predictor_type", "regressor")])
def test_a_state_of_another_kind_is_refused(name: str, value: object) -> None:
    arrays, values = learned(FactorizationMachinesState(settings()), *records("binary_classifier", 50)).snapshot()
    other = FactorizationMachinesHyperparameters.from_strings({**settings().as_strings(), name: str(value)})
    with pytest.raises(UserError, match=f"got {name} {value}, expected"):
        ALGORITHM.restore(other, arrays, values)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("features", np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12], np.int32)),
        ("features", np.array([0, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], np.int32)),
        ("features", np.arange(12.0)),
        ("features", np.arange(3, dtype=np.int32)),
        ("kept", np.zeros((12, 3, 4), np.float32)),
    ],
)
def test_a_state_with_odd_rows_is_refused(name: str, array: np.ndarray) -> None:
    arrays, values = learned(FactorizationMachinesState(settings()), *records("binary_classifier", 50)).snapshot()
    with pytest.raises(UserError, match="the rows of the state are not those"):
        ALGORITHM.restore(settings(), {**arrays, name: array}, values)


def test_another_job_goes_on_with_other_rates() -> None:
    x, y = records("binary_classifier", 100)
    arrays, values = learned(FactorizationMachinesState(settings()), x, y).snapshot()
    state = ALGORITHM.restore(settings(factors_lr=0, linear_lr=0, bias_lr=0), arrays, values)
    before = state.finalise().factors  # type: ignore[attr-defined]
    state.update(Batch(x[:20], y[:20]))
    assert_array_equal(state.finalise().factors, before)  # type: ignore[attr-defined]


@pytest.mark.parametrize("alone", [False, True], ids=["state", "model"])
def test_another_job_goes_on_without_bias_and_linear_weights(alone: bool) -> None:
    """They are gone, not held: what is learned then is learned by factors alone."""
    x, y = records("regressor", 100)
    earlier = learned(FactorizationMachinesState(settings("regressor")), x, y)
    without = settings("regressor", use_bias=False, use_linear=False)
    assert ALGORITHM.adopt is not None
    state = ALGORITHM.adopt(without, earlier.finalise()) if alone else ALGORITHM.restore(without, *earlier.snapshot())
    state.update(Batch(x[:20], y[:20]))
    before = FactorizationMachine(earlier.finalise().factors, None, None, "regressor")
    errors = before.margins(Batch(x[:20])) - y[:20]
    assert state.progress()["mse"] == pytest.approx(np.mean(errors**2), rel=1e-5)  # type: ignore[attr-defined]
    model = state.finalise()
    assert model.linear is None and model.bias is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_a_model_alone_is_continued(dense: bool, tmp_path: Path) -> None:
    """As of the original, whose artifact holds no moments."""
    x, y = records("regressor", 100)
    earlier = learned(FactorizationMachinesState(settings("regressor")), x.toarray() if dense else x, y).finalise()
    earlier.save(tmp_path, "algo-1")
    assert ALGORITHM.adopt is not None
    state = ALGORITHM.adopt(settings("regressor"), ALGORITHM.load(tmp_path))
    before = state.finalise()
    assert_array_equal(before.factors, earlier.factors)  # type: ignore[attr-defined]
    assert_array_equal(before.linear, earlier.linear)  # type: ignore[attr-defined]
    assert (before.bias, before.network) == (earlier.bias, earlier.network)  # type: ignore[attr-defined]
    errors = [learned(state, x, y).latest.finalise()["mse"] for _ in range(3)]  # type: ignore[arg-type]
    assert errors[2] < errors[1] < errors[0] < first_pass_error(x, y)
    with pytest.raises(UserError, match="got num_factors 6, expected 5, as the earlier model has it"):
        ALGORITHM.adopt(settings("regressor", num_factors=6), earlier)


def first_pass_error(x: Any, y: np.ndarray) -> float:
    """Of a first pass that begins with nothing."""
    return learned(FactorizationMachinesState(settings("regressor")), x, y).latest.finalise()["mse"]


def test_hosts_that_saw_other_features_lose_nothing_of_them() -> None:
    """A row counts for the updates that it had: one that only one host has seen is as that host has it."""
    x, y = records("regressor", 300)
    x = x.toarray()
    left, right = x.copy(), x.copy()
    left[:, 8:], right[:, :4] = 0, 0
    one = learned(FactorizationMachinesState(settings("regressor")), csr_array(left[:200]), y[:200])
    other = learned(FactorizationMachinesState(settings("regressor")), csr_array(right[:100]), y[:100])
    merged = copy.deepcopy(one)
    merged.merge(other)
    models = [each.finalise() for each in (one, other, merged)]
    assert_array_equal(models[2].factors[:4], models[0].factors[:4])
    assert_allclose(models[2].factors[8:], models[1].factors[8:], rtol=1e-6)
    # Ten and five updates, in each of which the features in the middle came up.
    assert_allclose(models[2].factors[4:8], (2 * models[0].factors[4:8] + models[1].factors[4:8]) / 3, rtol=1e-5)
    assert models[2].bias == pytest.approx((2 * models[0].bias + models[1].bias) / 3)  # type: ignore[operator]
    assert one.latest.records + other.latest.records == merged.latest.records


def test_dense_and_sparse_records_in_one_stream() -> None:
    x, y = records("binary_classifier", 40)
    state = FactorizationMachinesState(settings())
    state.update(Batch(x[:20].toarray(), y[:20]))
    assert state.finalise().network == "dense"
    state.update(Batch(x[20:], y[20:]))
    assert state.finalise().network == "sparse"


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (Batch(np.ones((2, FEATURES + 1), np.float32), np.zeros(2)), "got 13 features, expected 12"),
        (Batch(np.ones((2, FEATURES), np.float32)), "got records with no labels"),
        (Batch(np.ones((2, FEATURES), np.float32), np.array([0, 2])), "got label 2, expected a whole number from 0 to"),
    ],
)
def test_records_that_do_not_fit(batch: Batch, message: str) -> None:
    with pytest.raises(UserError, match=message):
        FactorizationMachinesState(settings()).update(batch)


def test_a_model_that_diverged_is_refused() -> None:
    state = FactorizationMachinesState(settings("regressor", factors_lr=1e30, linear_lr=1e30))
    x, y = records("regressor", 100)
    learned(state, x, y, passes=3)
    with pytest.raises(UserError, match=r"training diverged\. Lower factors_lr"):
        state.finalise()


@pytest.mark.parametrize(
    "arguments",
    [
        {"starts": [0, 3]},
        {"starts": [1, 2]},
        {"starts": [0, 2, 1, 2]},
        {"starts": []},
        {"slots": [0, 3]},
        {"slots": [-1, 0]},
        {"values": [1.0]},
        {"columns": 6},
        {"columns": 0},
    ],
    ids=str,
)
def test_compiled_passes_refuse_what_would_lead_out_of_an_array(arguments: dict[str, Any]) -> None:
    found = {"starts": [0, 1, 2], "slots": [0, 2], "values": [1.0, 2.0], "columns": 5, **arguments}
    with pytest.raises(ValueError):
        interactions.margins(
            np.array(found["starts"], np.int32),
            np.array(found["slots"], np.int32),
            np.array(found["values"], np.float32),
            np.zeros((3, found["columns"]), np.float32),
            0.0,
        )


def test_features_beyond_the_last_are_refused() -> None:
    where = np.array([[1, -1], [0, -1], [7, -1], [-1, -1]], np.int32)
    before = where.copy()
    for wrong in (4, -1):
        with pytest.raises(ValueError, match="got a feature beyond 3"):
            interactions.located(np.array([0, wrong], np.int32), where)
    with pytest.raises(ValueError):
        interactions.located(np.array([0], np.int32), where[:, :1].copy())
    assert interactions.located(np.array([2, 0, 3], np.int32), where) is None
    assert_array_equal(where, before)
    slots, rows, places = interactions.located(np.array([2, 0, 2, 1], np.int32), where)  # type: ignore[misc]
    assert (slots.tolist(), rows.tolist(), places.tolist()) == ([7, 1, 7, 0], [7, 1, 0], [0, 1, 0, 2])
    assert_array_equal(where, before)
    assert [len(found) for found in interactions.located(np.array([], np.int32), where)] == [0, 0, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", ["places", "few places", "slopes", "sums", "step rows", "step shape", "moments"])
def test_compiled_updates_refuse_it_too(wrong: str) -> None:
    starts, slots = np.array([0, 2], np.int32), np.array([0, 1], np.int32)
    values, kept = np.ones(2, np.float32), np.zeros((3, 2 if wrong == "moments" else 3, 5), np.float32)
    places = np.array([0, 2], np.int32) if wrong == "places" else slots[: 1 if wrong == "few places" else 2]
    slopes = np.ones(2 if wrong == "slopes" else 1, np.float32)
    sums = np.zeros((1, 3 if wrong == "sums" else 4), np.float32)
    with pytest.raises(ValueError):
        gradient = interactions.gradients(starts, slots, values, places, 2, kept[:, 0], sums, slopes)
        rows = np.array([0, 3], np.int32) if wrong == "step rows" else slots
        shape = gradient[:1] if wrong == "step shape" else gradient
        interactions.step(
            rows, shape, kept, np.zeros(3, np.int64), (0.9, 0.999, 1e-8, np.inf, 1.0), (0.1, 0.0), (0.1, 0.0)
        )
