"""Tasks for Factorization Machines: settings, records, how to learn them, and a slow implementation to compare with."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from algorithms.factorization_machines.first import BIAS, first_values
from algorithms.factorization_machines.hyperparameters import FactorizationMachinesHyperparameters
from algorithms.factorization_machines.state import FactorizationMachinesState
from recordio.batch import Batch

FEATURES, FACTORS = 12, 5  # factors that do not fill up lanes
RATES = {"bias_lr": "0.03", "linear_lr": "0.02", "factors_lr": "0.01", "factors_init_sigma": "0.3"}


def settings(task: str = "binary_classifier", **more: object) -> FactorizationMachinesHyperparameters:
    needed = {"predictor_type": task, "feature_dim": str(FEATURES), "num_factors": str(FACTORS)}
    strings = {**needed, "mini_batch_size": "20", **RATES, **{name: str(value) for name, value in more.items()}}
    return FactorizationMachinesHyperparameters.from_strings(strings)


def records(task: str, count: int, seed: int = 0) -> tuple[Any, np.ndarray]:
    """Sparse records of three entries or so, some of none, and labels that fit the task."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, FEATURES)) * (rng.random((count, FEATURES)) < 0.25)
    y = (rng.random(count) < 0.4) if task == "binary_classifier" else rng.normal(3, 2, size=count)
    return csr_array(x.astype(np.float32)), y.astype(np.float32)


def learned(
    state: FactorizationMachinesState, x: Any, y: np.ndarray, passes: int = 1, size: int | None = None
) -> FactorizationMachinesState:
    size = size or state.settings.mini_batch_size
    for _ in range(passes):
        for start in range(0, x.shape[0], size):
            state.update(Batch(x[start : start + size], y[start : start + size]))
        state.end_pass(None)
    return state


@dataclass
class Reference:
    """Everything in double precision, pair by pair, feature by feature, as the definitions say."""

    settings: FactorizationMachinesHyperparameters

    def __post_init__(self) -> None:
        given, features = self.settings, np.arange(self.settings.feature_dim)
        factors = np.arange(given.num_factors)
        self.v = first_values(features, factors, given.group("factors")).astype(np.float64)
        self.w = first_values(features, factors[-1:] + 1, given.group("linear"))[:, 0].astype(np.float64)
        self.b = float(first_values(BIAS, factors[:1], given.group("bias"))[0, 0])
        self.w *= given.use_linear
        self.b *= given.use_bias
        self.moments = {name: [np.zeros_like(value)] * 2 for name, value in (("v", self.v), ("w", self.w))}
        self.moments["b"] = [np.zeros(()), np.zeros(())]
        self.seen = np.zeros(given.feature_dim, bool)
        self.steps = 0

    def margins(self, x: np.ndarray) -> np.ndarray:
        found = []
        for row in x.astype(np.float64):
            pairs = sum(
                (self.v[i] @ self.v[j]) * row[i] * row[j] for i in range(len(row)) for j in range(i + 1, len(row))
            )
            found.append(self.b + row @ self.w + pairs)
        return np.array(found)

    def gradients(self, x: np.ndarray, slopes: np.ndarray) -> dict[str, np.ndarray]:
        """Of the sum of slope * margin over the records: d margin / d v_i is x_i times the sum of x_j v_j, j != i."""
        x = x.astype(np.float64)
        v = np.zeros_like(self.v)
        for row, slope in zip(x, slopes, strict=True):
            for i in range(len(row)):
                v[i] += slope * row[i] * sum(row[j] * self.v[j] for j in range(len(row)) if j != i)
        return {"v": v, "w": slopes @ x, "b": slopes.sum()}

    def update(self, x: np.ndarray, y: np.ndarray, dense: bool) -> None:
        given = self.settings
        margins = self.margins(x)
        slopes = (1 / (1 + np.exp(-margins)) if given.classes else margins) - y
        gradients = self.gradients(x, slopes)
        touched = np.ones(x.shape[1], bool) if dense else (x != 0).any(axis=0)
        self.seen |= touched
        self.steps += 1
        correction = np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        groups = {"v": ("factors", touched), "w": ("linear", touched & given.use_linear), "b": ("bias", given.use_bias)}
        for name, (group, rows) in groups.items():
            value, moments, of = getattr(self, name), self.moments[name], given.group(group)  # type: ignore[arg-type]
            scale = 1 / given.mini_batch_size if given.rescale_grad is None else given.rescale_grad
            slope = gradients[name] * scale + of.decay * value
            if given.clip_gradient is not None:
                slope = np.clip(slope, -given.clip_gradient, given.clip_gradient)
            first = 0.9 * moments[0] + 0.1 * slope
            second = 0.999 * moments[1] + 0.001 * slope**2
            moved = value - of.rate * correction * first / (np.sqrt(second) + (given.eps or 1e-8))
            mask = np.asarray(rows)[:, None] if name == "v" else np.asarray(rows)
            self.moments[name] = [np.where(mask, one, old) for one, old in ((first, moments[0]), (second, moments[1]))]
            setattr(self, name, np.where(mask, moved, value))
