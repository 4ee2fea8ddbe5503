"""A, then B in a job that continues A's model, against one job over A and B, on held-out records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import algorithms
from algorithms.contract import GradientState, Model, State
from algorithms.pca.model import PCAModel
from entrypoint.resuming import Resuming
from recordio.batch import Batch
from tests.quality.test_factorization_machines import FACTORS, FEATURES, planted
from tests.quality.test_linear_learner import BY_LOSS, linear, logistic, rare

SEEDS = (0, 1, 2)
NOTHING: Any = None


@dataclass(frozen=True)
class Jobs:
    """Jobs of one algorithm with the same hyperparameters, one continuing another."""

    algorithm: str
    hyperparameters: dict[str, str]

    def resuming(self) -> Resuming:
        algorithm = algorithms.algorithm(self.algorithm)
        settings = algorithm.hyperparameters.from_strings(self.hyperparameters)
        return Resuming(algorithm, settings, NOTHING, NOTHING, NOTHING)

    def job(self, train: Batch, state: State | None = None, held: Batch | None = None) -> State:
        """One job, with the held-out records as validation channel where there are some."""
        job = self.resuming()
        state = job.algorithm.create(job.hyperparameters, np.random.default_rng(0)) if state is None else state
        size: int = job.hyperparameters.mini_batch_size  # type: ignore[attr-defined]
        for _ in range(getattr(job.hyperparameters, "epochs", 1)):
            for start in range(0, len(train), size):
                state.update(train[start : start + size])
            if isinstance(state, GradientState):
                evaluation = None
                if held is not None:
                    evaluation = state.held_out()
                    evaluation.update(held)
                state.end_pass(evaluation)
                if state.done:
                    break
        return state

    def continued(self, state: State, train: Batch, held: Batch | None = None) -> State:
        job = self.resuming()
        return self.job(train, job.continued(job.saved(state)), held)

    def loss(self, model: Model, held: Batch) -> float:
        job = self.resuming()
        evaluation = job.algorithm.evaluate(model, job.hyperparameters)
        evaluation.update(held)
        found = {name: job.algorithm.metric(name) for name in evaluation.finalise()}
        name = next(name for name, metric in found.items() if metric is not None and metric.mark == "loss")
        return evaluation.finalise()[name]


@dataclass(frozen=True)
class Task(Jobs):
    """With records of a seed, a sixth of them held out."""

    name: str
    records: Callable[[int], tuple[Batch, Batch]]

    def __str__(self) -> str:
        return self.name


def diffuse(seed: int) -> tuple[Batch, Batch]:
    """No clusters: all is decided by where borders lie."""
    rows = np.random.default_rng(seed).normal(size=(24_000, 16)) * np.arange(1, 17) ** -0.5
    return Batch(rows[:20_000].astype(np.float32)), Batch(rows[20_000:].astype(np.float32))


def falling(features: int) -> Callable[[int], tuple[Batch, Batch]]:
    """Deviations of 1, 1/2, 1/3, and so on, far from zero, in a turned basis."""

    def records(seed: int) -> tuple[Batch, Batch]:
        rng = np.random.default_rng(seed)
        turn, _ = np.linalg.qr(rng.normal(size=(features, 40)))
        rows = 10 + (rng.normal(size=(6000, 40)) / np.arange(1, 41)) @ turn.T + rng.normal(0, 1e-3, (6000, features))
        return Batch(rows[:5000].astype(np.float32)), Batch(rows[5000:].astype(np.float32))

    return records


def labelled(sets: Callable[..., Any], *more: int) -> Callable[[int], tuple[Batch, Batch]]:
    def records(seed: int) -> tuple[Batch, Batch]:
        train, held, *_ = sets(seed, *more)
        return Batch(*train), Batch(*held)

    return records


def pairs(seed: int) -> tuple[Batch, Batch]:
    """Classes by the pairs of one-hot fields."""
    x, truth = planted(60_000, seed)
    y = np.random.default_rng(seed + 100).random(x.shape[0]) < 1 / (1 + np.exp(-truth.margins(Batch(x))))
    return Batch(x[:50_000], y[:50_000].astype(np.float32)), Batch(x[50_000:], y[50_000:].astype(np.float32))


COMPONENTS = {"num_components": "8", "mini_batch_size": "500"}
PAIRS = {
    "predictor_type": "binary_classifier",
    "feature_dim": str(FEATURES),
    "num_factors": str(FACTORS),
    "mini_batch_size": "500",
    "factors_init_sigma": "0.05",
    **dict.fromkeys(("bias_lr", "linear_lr", "factors_lr"), "0.003"),
    **dict.fromkeys(("bias_wd", "linear_wd", "factors_wd"), "0"),
}
MERGED = [
    Task("kmeans", {"k": "20", "feature_dim": "16", "mini_batch_size": "1000"}, "kmeans", diffuse),
    Task("pca", COMPONENTS | {"feature_dim": "60"}, "pca regular", falling(60)),
    Task("pca", COMPONENTS | {"feature_dim": "1100", "algorithm_mode": "randomized"}, "pca randomized", falling(1100)),
]
LEARNED = [
    Task("linear-learner", BY_LOSS, "logistic", labelled(logistic, 12_000)),
    Task("linear-learner", {"predictor_type": "regressor"}, "regression", labelled(linear, 60_000)),
    Task("linear-learner", BY_LOSS | {"mini_batch_size": "500"}, "rare", labelled(rare)),
    Task("factorization-machines", PAIRS, "pairs", pairs),
]


def parts(train: Batch, share: float) -> tuple[Batch, Batch]:
    cut = int(share * len(train))
    return train[:cut], train[cut:]


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("task", MERGED, ids=str)
def test_sums_go_on_as_if_nothing_had_been(task: Task, share: float) -> None:
    """The same model to the bit, so also the same objective and the same space of components."""
    for seed in SEEDS:
        train, held = task.records(seed)
        first, second = parts(train, share)
        whole = task.job(train).finalise()
        model = task.continued(task.job(first), second).finalise()
        assert task.loss(model, held) == task.loss(whole, held)
        if isinstance(model, PCAModel) and isinstance(whole, PCAModel):
            assert np.array_equal(model.vectors, whole.vectors)


def ratios(task: Task, share: float, *, validated: bool) -> list[float]:
    """Loss of A, then B, over that of both in one job, for each seed; as many passes over B as over A."""
    found = []
    for seed in SEEDS:
        train, held = task.records(seed)
        cut = len(train) // 10
        validation, train = (train[:cut] if validated else None), train[cut:]
        first, second = parts(train, share)
        whole = task.loss(task.job(train, held=validation).finalise(), held)
        continued = task.continued(task.job(first, held=validation), second, validation)
        found.append(task.loss(continued.finalise(), held) / whole)
    return found


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("task", LEARNED, ids=str)
def test_one_pass_over_new_records_counts_all_alike(task: Task, share: float) -> None:
    once = replace(task, hyperparameters=task.hyperparameters | {"epochs": "1"})
    assert np.mean(ratios(once, share, validated=False)) <= 1.01


@pytest.mark.parametrize("task", LEARNED, ids=str)
def test_held_out_records_keep_several_passes_from_counting_for_more(task: Task) -> None:
    """Without them, passes over B alone cost up to 6 % on sparse records, which are learned by heart in them."""
    several = replace(task, hyperparameters=task.hyperparameters | {"epochs": "4"})
    assert np.mean(ratios(several, 0.5, validated=True)) <= 1.01


@pytest.mark.parametrize("count", [900, 1100])
@pytest.mark.parametrize("task", LEARNED[:2], ids=str)
def test_few_new_records_choose_no_bad_candidate(task: Task, count: int) -> None:
    """One batch, or one and a bit: all of it judges, by what the models made of it before they learned it."""
    once = replace(task, hyperparameters=task.hyperparameters | {"epochs": "1"})
    found = []
    for seed in SEEDS:
        train, held = task.records(seed)
        earlier = task.job(train[:-count])
        found.append(task.loss(once.continued(earlier, train[-count:]).finalise(), held))
        found[-1] /= task.loss(earlier.finalise(), held)
    assert np.mean(found) <= 1.01
