"""Models learned in step by two and by four hosts, as good as those of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from algorithms.contract import Alone
from algorithms.factorization_machines import ALGORITHM as machines
from algorithms.factorization_machines.model import FactorizationMachine
from algorithms.factorization_machines.state import FactorizationMachinesState
from algorithms.linear_learner import ALGORITHM
from algorithms.linear_learner.model import LinearModel
from algorithms.linear_learner.state import LinearLearnerState
from recordio.batch import Batch
from tests.quality.test_factorization_machines import planted
from tests.quality.test_linear_learner import BY_LOSS, Data, log_loss, ours, passes, squares
from tests.unit.pools import Hosts, Seat

SAME = 1.005  # what larger batches may cost
SEEDS = (0, 1, 2)
SIZE = 100
PASSES = 12
RATES = {
    "bias_lr": 0.005,
    "linear_lr": 0.005,
    "factors_lr": 0.005,
    "bias_wd": 0,
    "linear_wd": 0.0001,
    "factors_wd": 0.0001,
    "factors_init_sigma": 0.05,
}


def pooled(hosts: int, train: Data, held: Data, given: dict[str, str]) -> LinearModel:
    """Unequal shards: each host has a quarter more than the one before."""
    cuts = np.cumsum(1.25 ** np.arange(hosts))
    cuts = np.concatenate([[0], cuts / cuts[-1] * train[0].shape[0]]).astype(int)

    def learned(seat: Seat, rank: int) -> LinearLearnerState:
        settings: Any = ALGORITHM.hyperparameters.from_strings(given)
        state = LinearLearnerState(settings, np.random.default_rng(0))
        state.pool = seat
        rows = slice(cuts[rank], cuts[rank + 1])
        some = slice(rank * len(held[1]) // hosts, (rank + 1) * len(held[1]) // hosts)
        steps = -(-int(np.diff(cuts).max()) // SIZE)
        return passes(state, (train[0][rows], train[1][rows]), (held[0][some], held[1][some]), steps)

    first, *_ = Hosts(hosts).run(learned)
    first.pool = Alone()
    return first.finalise()


@pytest.mark.parametrize("kind", ["dense", "sparse", "regression"])
def test_hosts_in_step_are_as_good_as_one(kind: str) -> None:
    found: dict[int, list[float]] = {1: [], 2: [], 4: []}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(25_000, 20)) if kind != "sparse" else (rng.random((25_000, 300)) < 0.05).astype(float)
        scores = x @ rng.normal(size=x.shape[1]) * 0.7
        chances = 1 / (1 + np.exp(-scores))
        y = scores + rng.normal(size=len(x)) if kind == "regression" else rng.random(len(x)) < chances
        features = csr_array(x.astype(np.float32)) if kind == "sparse" else x.astype(np.float32)
        train, held = ((features[rows], y[rows].astype(np.float32)) for rows in (slice(20_000), slice(20_000, None)))
        given = {"predictor_type": "regressor"} if kind == "regression" else BY_LOSS
        given = given | {"mini_batch_size": str(SIZE)}
        score = squares if kind == "regression" else log_loss
        found[1].append(score(ours(train, held, given), held))
        for hosts in (2, 4):
            found[hosts].append(score(pooled(hosts, train, held, given), held))
    means = {hosts: float(np.mean(scores)) for hosts, scores in found.items()}
    print(means)
    for hosts in (2, 4):
        assert means[hosts] <= SAME * means[1]


def machine(hosts: int, x: csr_array, y: np.ndarray) -> FactorizationMachine:
    """Unequal shards, as above, and batches of one size over all hosts; each has its part of the rows."""
    given = {"predictor_type": "binary_classifier", "feature_dim": x.shape[1], "num_factors": 4, **RATES}
    settings: Any = machines.hyperparameters.from_strings({name: str(value) for name, value in given.items()})
    cuts = np.cumsum(1.25 ** np.arange(hosts))
    cuts = np.concatenate([[0], cuts / cuts[-1] * len(y)]).astype(int)
    size = SIZE // hosts

    def in_step(seat: Seat, rank: int) -> FactorizationMachinesState:
        state = FactorizationMachinesState(settings)
        state.pool = seat
        for _ in range(PASSES):
            for start in range(0, int(np.diff(cuts).max()), size):
                first = min(cuts[rank] + start, cuts[rank + 1])
                some = slice(first, min(first + size, cuts[rank + 1]))
                state.update(Batch(x[some], y[some]))
            state.end_pass(None)
        return state

    first, *others = Hosts(hosts).run(in_step)
    for other in others:
        first.merge(other)
    first.pool = Alone()
    return first.finalise()


def test_machines_in_step_are_as_good_as_one() -> None:
    """With the decays that the page recommends; 1.0013 and 1.0003 were measured."""
    found: dict[int, list[float]] = {1: [], 2: [], 4: []}
    for seed in SEEDS:
        x, truth = planted(50_000, seed)
        margins = truth.margins(Batch(x))
        y = (np.random.default_rng(seed).random(len(margins)) < 1 / (1 + np.exp(-margins))).astype(np.float32)
        for hosts, losses in found.items():
            z = machine(hosts, x[:40_000], y[:40_000]).margins(Batch(x[40_000:])).astype(np.float64)
            losses.append(float(np.mean(np.logaddexp(0, z) - y[40_000:] * z)))
    means = {hosts: float(np.mean(losses)) for hosts, losses in found.items()}
    print(means)
    for hosts in (2, 4):
        assert means[hosts] <= SAME * means[1]
