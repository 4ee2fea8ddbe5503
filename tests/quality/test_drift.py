"""A model continued day by day, where a planted truth drifts: a half-life follows it, and costs little without."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy.sparse import csr_array

from recordio.batch import Batch
from tests.quality.test_incremental import Jobs
from tests.quality.test_linear_learner import BY_LOSS

DAYS, RECORDS = 24, 1000
TURN = 0.25  # of the truth, a day, in radians

Days = Callable[[int, float], Iterator[Batch]]


def truths(shape: tuple[int, ...], turn: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Each day's, of the same length in the mean, a turn away from that of the day before."""
    truth = rng.normal(size=shape)
    for _ in range(DAYS):
        truth = np.cos(turn) * truth + np.sin(turn) * rng.normal(size=shape)
        yield truth


def clusters(seed: int, turn: float) -> Iterator[Batch]:
    rng = np.random.default_rng(seed)
    for centres in truths((8, 6), turn, rng):
        rows = 3 * centres[rng.integers(8, size=RECORDS)] + rng.normal(size=(RECORDS, 6))
        yield Batch(rows.astype(np.float32))


def axes(seed: int, turn: float) -> Iterator[Batch]:
    rng = np.random.default_rng(seed)
    for basis in truths((4, 30), turn, rng):
        rows = rng.normal(size=(RECORDS, 4)) @ basis + rng.normal(size=(RECORDS, 30))
        yield Batch(rows.astype(np.float32))


def dense(seed: int, turn: float) -> Iterator[Batch]:
    rng = np.random.default_rng(seed)
    for weights in truths((20,), turn, rng):
        x = rng.normal(size=(RECORDS, 20))
        y = rng.random(RECORDS) < 1 / (1 + np.exp(-0.6 * x @ weights))
        yield Batch(x.astype(np.float32), y.astype(np.float32))


def sparse(seed: int, turn: float) -> Iterator[Batch]:
    """Features of very different frequency."""
    rng = np.random.default_rng(seed)
    chances = np.minimum(1, 3 * np.arange(1, 401) ** -0.8)
    for weights in truths((400,), turn, rng):
        x = rng.random((RECORDS, 400)) < chances
        y = rng.random(RECORDS) < 1 / (1 + np.exp(-0.7 * x @ weights))
        yield Batch(csr_array(x.astype(np.float32)), y.astype(np.float32))


LINEAR = BY_LOSS | {"epochs": "1", "mini_batch_size": "50", "num_models": "8"}
COMPONENTS = {"num_components": "4", "feature_dim": "30", "mini_batch_size": "500"}
CLUSTERS = {"k": "8", "feature_dim": "6", "mini_batch_size": "500"}
TASKS: dict[str, tuple[str, dict[str, str], Days]] = {
    "kmeans": ("kmeans", CLUSTERS, clusters),
    "pca": ("pca", COMPONENTS, axes),
    "dense": ("linear-learner", LINEAR, dense),
    "sparse": ("linear-learner", LINEAR, sparse),
}


def next_day(name: str, turn: float, half_life: int) -> float:
    """Mean loss on the day after each of the later half, when all days before were learned, one after the other."""
    algorithm, given, days = TASKS[name]
    jobs = Jobs(algorithm, given | {"half_life_time_size": str(half_life)})
    losses = []
    for seed in (0, 1):
        state, stream = None, days(seed, turn)
        today = next(stream)
        for number, tomorrow in enumerate(stream):
            state = jobs.job(today) if state is None else jobs.continued(state, today)
            if number >= DAYS // 2:
                losses.append(jobs.loss(state.finalise(), tomorrow))
            today = tomorrow
    return float(np.mean(losses))


# Half or so of what was measured: 0.54, 0.46, 0.024 and 0.070. Labels are chance for the most part, whatever the model.
@pytest.mark.parametrize(("name", "saved"), [("kmeans", 0.3), ("pca", 0.3), ("dense", 0.012), ("sparse", 0.035)])
def test_a_half_life_follows_the_drift(name: str, saved: float) -> None:
    assert next_day(name, TURN, RECORDS // 2) <= (1 - saved) * next_day(name, TURN, 0)


@pytest.mark.parametrize("name", TASKS)
def test_where_nothing_drifts_it_costs_little(name: str) -> None:
    assert next_day(name, 0.0, 8 * RECORDS) <= 1.01 * next_day(name, 0.0, 0)
