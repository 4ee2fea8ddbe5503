"""Hosts as threads of one process, joined by the library's own collective, with shards of any size."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from xgboost.core import XGBoostError

import algorithms
from algorithms.contract import Alone
from algorithms.xgboost.hosts import joined
from algorithms.xgboost.state import XGBoostState
from recordio.batch import Batch
from recordio.errors import UserError
from tests.unit.pools import Hosts

Floats = NDArray[np.float32]
SHARDS = {1: [1200], 2: [900, 300], 4: [500, 0, 640, 60]}


def learned(
    settings: dict[str, str], train: tuple[Floats, Floats], shards: list[int], held: tuple[Floats, Floats] | None = None
) -> list[tuple[XGBoostState, list[str], dict[str, bytes]]]:
    """The state, the lines and the reports of each host; the last host alone has records that are held out."""
    declared = algorithms.algorithm("xgboost").hyperparameters
    ends = np.cumsum([0, *shards])

    def one(seat: Any, rank: int) -> tuple[XGBoostState, list[str], dict[str, bytes]]:
        state = XGBoostState(declared.from_strings({"num_round": "8", "nthread": "1", **settings}))
        state.pool = seat
        rows = slice(ends[rank], ends[rank + 1])
        if len(train[0][rows]):
            state.update(Batch(train[0][rows], train[1][rows]))
        if held is not None and rank == len(shards) - 1:
            state.hold_out(Batch(*held))
        lines = [each.line for each in state.rounds()]
        return state, lines, dict(state.reports())

    found = Hosts(len(shards)).run(one)
    for state, _, _ in found:
        state.pool = Alone()
    return found


def data(distinct: int | None = None, records: int = 1200) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(records, 5)) if distinct is None else rng.integers(distinct, size=(records, 5))
    y = x[:, 0] * 2 - x[:, 1] + (x[:, 2] > 0) + rng.normal(size=records)
    return x.astype(np.float32), y.astype(np.float32)


def numbers(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]


@pytest.mark.parametrize("hosts", [2, 4])
def test_where_quantiles_are_exact_hosts_grow_the_trees_of_one(hosts: int) -> None:
    """Of features with fewer values than bins, so that all cut alike; the order of sums moves the last digits."""
    train, held = data(20), data(20, 100)
    ((whole, lines, _),) = learned({}, train, SHARDS[1], held)
    expected = whole.finalise().boosters[0].get_dump()
    for state, told, _ in learned({}, train, SHARDS[hosts], held):
        for tree, other in zip(state.finalise().boosters[0].get_dump(), expected, strict=True):
            assert re.sub(r"leaf=\S+", "", tree) == re.sub(r"leaf=\S+", "", other)
            np.testing.assert_allclose(numbers(tree), numbers(other), rtol=1e-3, atol=1e-5)
        for one, other in zip(told, lines, strict=True):
            np.testing.assert_allclose(numbers(one), numbers(other), atol=2e-5)


@pytest.mark.parametrize("hosts", [2, 4])
@pytest.mark.parametrize("method", ["hist", "approx"])
def test_hosts_learn_as_well_as_one(hosts: int, method: str) -> None:
    settings = {"tree_method": method, "subsample": "0.8", "colsample_bynode": "0.8", "num_round": "20"}
    x, y = data()
    (one, *_), *_ = learned(settings, (x, y), SHARDS[1])
    found = learned(settings, (x, y), SHARDS[hosts])
    models = [state.finalise() for state, _, _ in found]
    assert len({bytes(model.boosters[0].save_raw()) for model in models}) == 1, "hosts have different models"
    errors = [np.mean((model.predict(Batch(x))["score"] - y) ** 2) for model in (one.finalise(), models[0])]
    assert errors[1] < 1.1 * errors[0]  # each host draws its own records


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro"])
def test_own_metrics_and_early_stops_are_of_all_hosts(metric: str) -> None:
    x, y = data()
    y = (y > 0).astype(np.float32)
    settings = {
        "objective": "binary:logistic",
        "eval_metric": metric,
        "early_stopping_rounds": "3",
        "num_round": "60",
        "eta": "1",
    }
    held = x[:200], y[200:400]  # labels of others: soon nothing is gained
    found = learned(settings, (x, y), SHARDS[4], held)
    assert len({tuple(lines) for _, lines, _ in found}) == 1 and len(found[0][1]) < 60
    if metric == "accuracy":
        model = found[0][0].finalise()
        told = float(found[0][1][found[0][0].boosting.best[0]].split("train-accuracy:")[1].split("\t")[0])  # type: ignore[index]
        assert told == pytest.approx(((model.predict(Batch(x))["score"] > 0.5) == y).mean(), abs=1e-5)


def test_cross_validation_of_hosts_tells_of_all_records() -> None:
    x, y = data(records=1200)
    found = learned({"_kfold": "3", "num_round": "4"}, (x, y), SHARDS[4])
    assert len({tuple(lines) for _, lines, _ in found}) == 1
    table = np.loadtxt(found[0][2]["predictions.csv"].decode().splitlines(), delimiter=",")
    np.testing.assert_allclose(table[:, 0], y, atol=1e-6)
    overall = float(found[0][1][-1].rpartition("validation-rmse:")[2])
    assert np.sqrt(np.mean((table[:, 1] - y) ** 2)) == pytest.approx(overall, rel=0.01)  # a mean over folds


def test_a_method_of_one_host_is_refused_on_several() -> None:
    with pytest.raises(UserError, match="tree_method exact learns on one host only"):
        learned({"tree_method": "exact"}, data(), SHARDS[2])


EXITING = """
import ctypes, os, sys, threading, time
from algorithms.xgboost.hosts import _stay
_stay()
if sys.argv[1] == "held":
    threading.Thread(target=ctypes.CDLL(None).exit, args=(255,), daemon=True).start()
    time.sleep(0.5)
    os._exit(3)
"""


@pytest.mark.parametrize(("how", "code"), [("held", 3), ("ended by itself", 0)])
def test_the_library_does_not_end_the_process(how: str, code: int) -> None:
    """It calls exit of the C library in a thread of its own when a host on another machine is lost."""
    assert subprocess.run([sys.executable, "-c", EXITING, how], timeout=30, check=False).returncode == code


def test_a_connection_that_is_lost_is_told_as_such_also_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine takes leave of hosts that are gone, too: that must not look like a fault of ours."""

    class Lost:
        def __init__(self, **_: object) -> None: ...

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            raise XGBoostError("/workspace/src/collective/result.cc:83: Failed to shutdown.\nStack trace:\n (0)")

    class Other(Alone):
        hosts, rank = 2, 1

    monkeypatch.setattr("algorithms.xgboost.hosts._stay", lambda: None)
    monkeypatch.setattr("xgboost.collective.CommunicatorContext", Lost)
    with pytest.raises(RuntimeError, match="Failed to shutdown"), joined(Other()):
        raise RuntimeError("Encountered EOF. The other end is likely closed.")
