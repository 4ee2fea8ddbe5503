"""The algorithms under contract, a line each: the checks of this folder apply to all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import algorithms
from algorithms.contract import Algorithm
from recordio.batch import Batch

Records = tuple[NDArray[np.float32], NDArray[np.float32] | None]  # features, labels


@dataclass(frozen=True)
class Case:
    """What the checks need to know of an algorithm.

    hyperparameters  of a job that takes a second or less; mini_batch_size divides no round number of records
    records          makes that many records from a seed, with labels where the algorithm learns from them
    merge_tolerance  relative difference of the training metrics that another order of merging may make
    artifact         the file of a model
    exempt           laws that can't hold, each with the reason
    """

    name: str
    hyperparameters: dict[str, str]
    records: Callable[[int, int], Records]
    merge_tolerance: float
    artifact: str = "model_{host}"
    exempt: Mapping[str, str] = field(default_factory=dict)

    @property
    def algorithm(self) -> Algorithm:
        return algorithms.algorithm(self.name)

    @property
    def csv(self) -> bool:
        """Whether it learns from CSV."""
        return "text/csv" in self.algorithm.content_types

    @property
    def width(self) -> int:
        return int(self.records(1, 0)[0].shape[1])

    @property
    def batch_records(self) -> int:
        return int(self.hyperparameters.get("mini_batch_size", 97))

    @property
    def guest(self) -> bool:
        """Whether it is an engine that learns in rounds, once all records are there: `algorithms.contract.Guest`."""
        return self.algorithm.lasting != "epochs"

    def lasting(self, times: int) -> dict[str, str]:
        """The hyperparameter of so many passes or rounds."""
        return {self.algorithm.lasting: str(times)}

    def model_name(self, host: str = "algo-1") -> str:
        return self.artifact.format(host=host)

    def __str__(self) -> str:
        return self.name


def learn(state: Any, batches: Iterable[Batch]) -> None:
    """All of them, and all rounds of a guest."""
    for batch in batches:
        state.update(batch)
    if hasattr(state, "rounds"):
        for _ in state.rounds():
            pass


def blobs(count: int, seed: int) -> Records:
    """Ten clusters in six dimensions, unit noise, centres 30 apart in the mean."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(42).normal(0, 10, (10, 6))
    rows = centres[rng.integers(10, size=count)] + rng.normal(size=(count, 6))
    return rows.astype(np.float32), None


def two_sides(count: int, seed: int) -> Records:
    """Six features, and classes that follow a logistic model of them."""
    rng = np.random.default_rng(seed)
    weights = np.random.default_rng(42).normal(size=6)
    rows = rng.normal(size=(count, 6))
    labels = rng.random(count) < 1 / (1 + np.exp(-rows @ weights))
    return rows.astype(np.float32), labels.astype(np.float32)


def falling(count: int, seed: int) -> Records:
    """Fourteen features far from zero, with standard deviations 1, 1/2, 1/3 and so on in a turned basis."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(42).normal(size=(14, 14)))
    rows = 10 + (rng.normal(size=(count, 14)) / np.arange(1, 15)) @ turn
    return rows.astype(np.float32), None


CASES = [
    # Other merges see other working centres; on separated clusters the objective hardly notices.
    Case("kmeans", {"k": "10", "feature_dim": "6", "mini_batch_size": "300"}, blobs, merge_tolerance=0.01),
    # Hosts learn batches of all of them at once, so they take fewer steps than one that learns all, and report how they
    # began: 0.07 to 0.13 were measured with 700 to 2,000 records a host. What the hosts learn is compared to the
    # last digits in tests/unit/algorithms/test_linear_pool.py, and after some passes in tests/quality.
    Case(
        "linear-learner",
        {
            "predictor_type": "binary_classifier",
            "feature_dim": "6",
            "mini_batch_size": "97",
            "epochs": "1",
            "binary_classifier_model_selection_criteria": "loss_function",
        },
        two_sides,
        merge_tolerance=0.15,
    ),
    # Sums in doubles, in another order.
    Case("pca", {"num_components": "4", "feature_dim": "14", "mini_batch_size": "97"}, falling, merge_tolerance=1e-6),
    # Hosts that take fewer steps each report more of how they began: 0.005 to 0.08 were measured, with 1,000 to 3,000
    # records a host.
    Case(
        "factorization-machines",
        {
            "predictor_type": "binary_classifier",
            "feature_dim": "6",
            "num_factors": "3",
            "mini_batch_size": "97",
            "linear_lr": "0.4",
            "factors_lr": "0.02",
        },
        two_sides,
        merge_tolerance=0.15,
    ),
    # The engine draws bins from quantiles of all hosts' records, which are merged in another order.
    Case(
        "xgboost",
        {"objective": "binary:logistic", "num_round": "10", "max_depth": "3", "subsample": "0.8"},
        two_sides,
        merge_tolerance=0.05,
        artifact="xgboost-model",
        exempt={
            "memory_follows_the_settings": "the engine wants all records at hand: on a disk, and as bins in memory",
            "an_empty_state_adds_nothing": "boosters don't merge: hosts learn one together",
            "merge_order_hardly_matters": "boosters don't merge: hosts learn one together",
        },
    ),
]
