"""Boosting against the library's own `train`, and against itself when it was interrupted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

import algorithms
from algorithms.xgboost import matrices as module
from algorithms.xgboost.folds import folds
from algorithms.xgboost.state import XGBoostState
from recordio.batch import Batch
from recordio.errors import AlgorithmError, UserError

Floats = NDArray[np.float32]
SAMPLED = [
    {"subsample": "0.5"},
    {"colsample_bytree": "0.5"},
    {"colsample_bylevel": "0.6", "tree_method": "exact"},
    {"colsample_bynode": "0.5", "subsample": "0.8", "tree_method": "approx"},
    {"booster": "dart", "rate_drop": "0.3"},
    {"booster": "dart", "rate_drop": "0.3", "one_drop": "1", "sample_type": "weighted", "subsample": "0.7"},
    {"objective": "multi:softprob", "num_class": "3", "colsample_bynode": "0.5", "subsample": "0.7"},
    {"updater": "grow_quantile_histmaker", "subsample": "0.6", "colsample_bytree": "0.5"},
    {"updater": "grow_histmaker,prune", "subsample": "0.6", "colsample_bynode": "0.5"},
    {"num_parallel_tree": "3", "subsample": "0.5", "colsample_bynode": "0.5"},
]


def data(records: int = 1500, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(records, 8)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = np.nansum(x[:, :3], axis=1) + rng.normal(size=records)
    return x, y.astype(np.float32)


def given(settings: Mapping[str, str], train: tuple[Floats, Floats], held: tuple[Floats, Floats] | None = None) -> Any:
    declared = algorithms.algorithm("xgboost").hyperparameters
    return filled(XGBoostState(declared.from_strings({"num_round": "12", **settings})), train, held)


def filled(
    state: XGBoostState, train: tuple[Floats, Floats], held: tuple[Floats, Floats] | None = None
) -> XGBoostState:
    for x, y in (train,):
        for start in range(0, len(x), 400):
            state.update(Batch(x[start : start + 400], y[start : start + 400]))
    if held is not None:
        state.hold_out(Batch(*held))
    return state


def labels_for(settings: Mapping[str, str], y: Floats) -> Floats:
    return np.clip(np.round(np.abs(y)), 0, 2) if "num_class" in settings else y


@pytest.mark.parametrize("settings", SAMPLED, ids=str)
@pytest.mark.parametrize("stop", [1, 7])
def test_an_interrupted_job_grows_the_same_trees(settings: dict[str, str], stop: int) -> None:
    x, y = data()
    y = labels_for(settings, y)
    whole = given(settings, (x, y))
    expected = [each.line for each in whole.rounds()]
    cut = given(settings, (x, y))
    with closing(cut.rounds()) as rounds:
        before = [each.line for each in islice(rounds, stop)]
    again = filled(XGBoostState.restore(cut.settings, *cut.snapshot()), (x, y))
    assert before + [each.line for each in again.rounds()] == expected
    assert again.finalise().boosters[0].save_raw() == whole.finalise().boosters[0].save_raw()


@pytest.mark.parametrize("method", ["hist", "approx", "exact", "auto"])
def test_without_sampling_trees_and_lines_are_the_librarys(method: str) -> None:
    (x, y), (held_x, held_y) = data(), data(500, 1)
    state = given({"tree_method": method, "eval_metric": "rmse,mae"}, (x, y), (held_x, held_y))
    lines = [each.line for each in state.rounds()]
    train, held = xgboost.DMatrix(x, y), xgboost.DMatrix(held_x, held_y)
    record: Any = {}
    parameters = {"tree_method": method, "eval_metric": ["rmse", "mae"]}
    watched = [(train, "train"), (held, "validation")]
    plain = xgboost.train(parameters, train, 12, watched, evals_result=record, verbose_eval=False)
    assert state.finalise().boosters[0].get_dump(with_stats=True) == plain.get_dump(with_stats=True)
    for number, line in enumerate(lines):
        parts = [
            f"{at}-{name}:{record[at][name][number]:.5f}" for at in ("train", "validation") for name in ("rmse", "mae")
        ]
        assert line == "\t".join([f"[{number}]", *parts])


def test_pages_on_a_disk_give_the_same_trees(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    x, y = data()
    found = {}
    for method in ("hist", "approx"):
        for free in (1 << 40, 1):
            monkeypatch.setattr(module, "memory_free", lambda free=free: free)
            state = given({"tree_method": method}, (x, y), data(200, 1))
            list(state.rounds())
            found[method, free] = state.finalise().boosters[0].get_dump()
        assert found[method, 1] == found[method, 1 << 40]
    assert caplog.text.count("Training in memory: ") == caplog.text.count("Training from pages in ") == 2


def test_early_stopping_cuts_the_model_to_the_best_round(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    x, y = data(300)
    for settings in ({}, {"booster": "dart", "rate_drop": "0.2"}, {"eval_metric": "mae,r2"}):
        stopping = {
            "num_round": "400",
            "eta": "0.8",
            "early_stopping_rounds": "4",
            "eval_metric": "mae,rmse",
            **settings,
        }
        state = given(stopping, (x, y), data(300, 1))
        lines = [each.line for each in state.rounds()]
        metric = stopping["eval_metric"].split(",")[-1]
        values = [float(line.partition(f"validation-{metric}:")[2].split("\t")[0]) for line in lines]
        best = int(np.argmax(values) if metric == "r2" else np.argmin(values))
        assert len(lines) == best + 5 < 400
        model = state.finalise()
        assert model.boosters[0].num_boosted_rounds() == best + 1
        assert model.boosters[0].attr("best_iteration") == str(best)
        held = xgboost.DMatrix(*data(300, 1)[:1], label=data(300, 1)[1])
        scores = 1 - np.mean((model.boosters[0].predict(held) - held.get_label()) ** 2) / np.var(held.get_label())
        assert metric != "r2" or scores == pytest.approx(values[best], abs=1e-5)
        assert round(model.metrics[metric], 5) == values[best]
        assert f"The best round is [{best}]" in caplog.text


def test_rounds_after_those_of_a_model_that_stopped_early_predict() -> None:
    x, y = data(300)
    stopping = {"num_round": "400", "eta": "0.8", "early_stopping_rounds": "4", "eval_metric": "rmse"}
    first = given(stopping, (x, y), data(300, 1))
    list(first.rounds())
    earlier = first.finalise()
    best = earlier.boosters[0].attr("best_iteration")
    state = filled(XGBoostState.adopt(given({"num_round": "5"}, (x, y)).settings, earlier), (x, y))
    list(state.rounds())
    model = state.finalise()
    assert model.boosters[0].num_boosted_rounds() == earlier.boosters[0].num_boosted_rounds() + 5
    assert model.boosters[0].attributes() == {}
    np.testing.assert_array_equal(model.scores(Batch(x)), model.boosters[0].predict(xgboost.DMatrix(x)))
    assert not np.array_equal(model.scores(Batch(x)), earlier.scores(Batch(x)))
    assert earlier.boosters[0].attr("best_iteration") == best


def test_early_stopping_that_has_no_effect_says_so(caplog: pytest.LogCaptureFixture) -> None:
    list(given({"early_stopping_rounds": "1", "eval_metric": "rmse"}, data(100)).rounds())
    assert "early_stopping_rounds has no effect without a validation channel" in caplog.text
    list(given({"early_stopping_rounds": "1"}, data(100), data(50)).rounds())
    assert "early_stopping_rounds has no effect without eval_metric" in caplog.text


def test_an_early_stop_is_kept_over_an_interruption() -> None:
    settings = {"num_round": "400", "eta": "0.8", "early_stopping_rounds": "4", "eval_metric": "rmse"}
    train, held = data(300), data(300, 1)
    whole = given(settings, train, held)
    total = len(list(whole.rounds()))
    cut = given(settings, train, held)
    with closing(cut.rounds()) as rounds:
        list(islice(rounds, total - 2))
    again = filled(XGBoostState.restore(cut.settings, *cut.snapshot()), train, held)
    assert [each.number for each in again.rounds()] == [total - 1, total]
    assert again.finalise().boosters[0].save_raw() == whole.finalise().boosters[0].save_raw()
    done = filled(XGBoostState.restore(cut.settings, *again.snapshot()), train, held)
    assert not list(done.rounds())


def test_an_earlier_model_gets_further_rounds_with_its_own_numbers() -> None:
    train = data()
    whole = given({"subsample": "0.5", "num_round": "9"}, train)
    lines = [each.line for each in whole.rounds()]
    first = given({"subsample": "0.5", "num_round": "4"}, train)
    list(first.rounds())
    further = algorithms.algorithm("xgboost").hyperparameters.from_strings({"num_round": "5", "subsample": "0.5"})
    state = filled(XGBoostState.adopt(further, first.finalise()), train)
    assert [each.line for each in state.rounds()] == lines[4:]
    assert state.finalise().boosters[0].get_dump() == whole.finalise().boosters[0].get_dump()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"objective": "binary:logistic"}, "now objective binary:logistic, 1 outputs"),
        ({"objective": "multi:softprob", "num_class": "3"}, "now objective multi:softprob, 3 outputs"),
        ({"booster": "gblinear"}, "booster gblinear"),
    ],
)
def test_an_earlier_model_keeps_its_kind(settings: dict[str, str], words: str) -> None:
    """The library goes on without a word, to a model that is wrong."""
    first = given({"num_round": "2"}, data())
    list(first.rounds())
    further = algorithms.algorithm("xgboost").hyperparameters.from_strings({"num_round": "2", **settings})
    with pytest.raises(UserError, match=words) as error:
        XGBoostState.adopt(further, first.finalise())
    assert "was objective reg:squarederror, 1 outputs, booster gbtree" in str(error.value)
    alias = algorithms.algorithm("xgboost").hyperparameters.from_strings({"num_round": "2", "objective": "reg:linear"})
    XGBoostState.adopt(alias, first.finalise())


def test_updates_of_an_earlier_model_begin_anew_after_an_interruption() -> None:
    train, other = data(), data(seed=3)
    first = given({"num_round": "6"}, train)
    list(first.rounds())
    settings = {"num_round": "6", "process_type": "update", "updater": "refresh", "refresh_leaf": "1"}
    declared = algorithms.algorithm("xgboost").hyperparameters.from_strings(settings)
    state = filled(XGBoostState.adopt(declared, first.finalise()), other)
    with closing(state.rounds()) as rounds:
        list(islice(rounds, 2))
    again = filled(XGBoostState.restore(declared, *state.snapshot()), other)
    assert len(list(again.rounds())) == 6
    plain = xgboost.train(
        {"process_type": "update", "updater": "refresh", "refresh_leaf": 1},
        xgboost.DMatrix(*other[:1], label=other[1]),
        6,
        xgb_model=first.finalise().boosters[0],
    )
    assert again.finalise().boosters[0].get_dump() == plain.get_dump()


@pytest.mark.parametrize("stratified", [True, False])
def test_folds_hold_out_every_record_once_a_round(stratified: bool) -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 23]).astype(np.float32)
    masks = np.array(list(folds(labels, None, 5, 2, stratified=stratified, generator=np.random.default_rng(0))))
    assert masks.shape == (10, 103)
    assert (masks[:5].sum(axis=0) == 1).all() and (masks[5:].sum(axis=0) == 1).all()
    assert (masks[:5] != masks[5:]).any()
    if stratified:
        for label in range(3):
            counts = masks[:, labels == label].sum(axis=1)
            assert counts.max() - counts.min() <= 1
    groups = np.repeat(np.arange(20), 5)
    of_groups = list(folds(np.zeros(100), groups, 4, 1, stratified=False, generator=np.random.default_rng(0)))
    assert all(len(set(mask[groups == group])) == 1 for mask in of_groups for group in range(20))
    with pytest.raises(UserError, match=r"got 3 records to cut into 5 folds \(hyperparameter _kfold\)"):
        next(folds(np.zeros(3), None, 5, 1, stratified=False, generator=np.random.default_rng(0)))


def test_cross_validation_tells_of_records_held_out() -> None:
    """Labels without any pattern: scores on records that were learned would look good."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(600, 5)).astype(np.float32), rng.integers(2, size=600).astype(np.float32)
    settings = {
        "objective": "binary:logistic",
        "_kfold": "3",
        "_num_cv_round": "3",
        "eval_metric": "error",
        "num_round": "20",
    }
    state = given(settings, (x[:500], y[:500]), (x[500:], y[500:]))
    rounds = list(state.rounds())
    assert rounds[-1].part == 1 and rounds[-1].number == 180
    model = state.finalise()
    assert len(model.boosters) == 9
    overall = rounds[-1].line.split("\t")
    assert overall[0] == "[20]"
    told = float(overall[-1].removeprefix("validation-error:"))
    assert 0.4 < told < 0.6 and float(overall[1].removeprefix("train-error:")) < 0.2
    table = np.loadtxt(state.reports()["predictions.csv"].decode().splitlines(), delimiter=",")
    assert table.shape == (600, 3)
    np.testing.assert_array_equal(table[:, 0], y)
    assert ((table[:, 1] >= 0) & (table[:, 1] <= 1)).all() and set(table[:, 2]) == {0, 1}
    assert 0.4 < (table[:, 2] != y).mean() < 0.6
    # Of one round, the share of wrong classes is what its folds told, weighted by their sizes.
    once = given({**settings, "_num_cv_round": "1"}, (x[:500], y[:500]), (x[500:], y[500:]))
    *_, last = once.rounds()
    table = np.loadtxt(once.reports()["predictions.csv"].decode().splitlines(), delimiter=",")
    assert (table[:, 2] != y).mean() == pytest.approx(float(last.line.rpartition(":")[2]), abs=1e-5)
    np.testing.assert_array_equal(table[:, 2], table[:, 1] > 0.5)


@pytest.mark.parametrize("stop", [3, 6, 8])
def test_cross_validation_goes_on_where_it_was(stop: int) -> None:
    train = data(300)
    settings = {"_kfold": "3", "num_round": "5", "subsample": "0.5"}
    whole = given(settings, train)
    list(whole.rounds())
    cut = given(settings, train)
    with closing(cut.rounds()) as rounds:
        list(islice(rounds, stop))
    again = filled(XGBoostState.restore(cut.settings, *cut.snapshot()), train)
    numbers = [each.number for each in again.rounds()]
    assert numbers[0] == stop + 1 and numbers[-1] == 15
    assert again.reports() == whole.reports()
    one, other = again.finalise().boosters, whole.finalise().boosters
    assert [each.save_raw() for each in one] == [each.save_raw() for each in other]


def test_faults_of_records_are_the_users() -> None:
    x, y = data(100)
    with pytest.raises(UserError, match=r"label must be in \[0,1\] for logistic regression"):
        list(given({"objective": "binary:logistic"}, (x, y)).rounds())
    with pytest.raises(UserError, match="label must be in"):
        list(given({"objective": "multi:softmax", "num_class": "2"}, (x, np.abs(y) + 5)).rounds())
    with pytest.raises(AlgorithmError, match="XGB train call failed with exception:"):
        list(given({"process_type": "update", "updater": "refresh"}, (x, y)).rounds())
    earlier = given({}, (x, y))
    list(earlier.rounds())
    wider = filled(XGBoostState.adopt(earlier.settings, earlier.finalise()), (np.hstack([x, x]), y))
    with pytest.raises(UserError, match="got records of 16 features, expected at most 8, as the earlier model has"):
        list(wider.rounds())


@pytest.mark.parametrize(("block_bytes", "weighted"), [(2000, False), (1 << 25, True)])
def test_queries_keep_together_and_weigh_as_one(
    monkeypatch: pytest.MonkeyPatch, block_bytes: int, weighted: bool
) -> None:
    """In blocks much smaller than the records, or with a weight on each record.

    Not both at once: the engine sketches the first record of each query with the weight of the query before it, where
    that is in the same block.
    """
    monkeypatch.setattr("algorithms.xgboost.spool.BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 4)).astype(np.float32)
    groups = np.sort(rng.integers(40, size=600))
    y, weights = rng.integers(4, size=600).astype(np.float32), rng.random(40).astype(np.float32)
    state = given({"objective": "rank:ndcg"}, (x[:0], y[:0]))
    for start in range(0, 600, 70):
        rows = slice(start, start + 70)
        state.update(Batch(x[rows], y[rows], weights[groups][rows] if weighted else None, groups[rows]))
    list(state.rounds())
    present = np.unique(groups)
    matrix = xgboost.QuantileDMatrix(x, y, qid=groups, weight=weights[present] if weighted else None)
    plain = xgboost.train({"objective": "rank:ndcg"}, matrix, 12)
    assert state.finalise().boosters[0].get_dump() == plain.get_dump()
