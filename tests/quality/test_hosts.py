"""Linear models learned in step by two and by four hosts, as good as those of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from algorithms.contract import Alone
from algorithms.linear_learner import ALGORITHM
from algorithms.linear_learner.model import LinearModel
from algorithms.linear_learner.state import LinearLearnerState
from tests.quality.test_linear_learner import BY_LOSS, Data, log_loss, ours, passes, squares
from tests.unit.pools import Hosts, Seat

SAME = 1.005  # what larger batches may cost
SEEDS = (0, 1, 2)
SIZE = 100


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
