"""A few passes of ours against converged scikit-learn, on real and generated data, over several seeds.

All is judged on held-out records. Means over the seeds are compared, where single ones are noisy.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, QuantileRegressor, Ridge, SGDClassifier

from algorithms.linear_learner import ALGORITHM
from algorithms.linear_learner.model import LinearModel
from algorithms.linear_learner.state import LinearLearnerState
from recordio.batch import Batch

SEEDS = (0, 1, 2)
LARGE = 1.005  # what a few passes over many records may cost against convergence
SMALL = 1.01  # where a hundred records are judged, or a pass has few updates

BY_LOSS = {"predictor_type": "binary_classifier", "binary_classifier_model_selection_criteria": "loss_function"}
Data = tuple[np.ndarray, np.ndarray]


def ours(train: Data, held: Data | None, given: dict[str, str], seed: int = 0) -> LinearModel:
    """As the loop does it, with the held-out records as the validation channel."""
    settings: Any = ALGORITHM.hyperparameters.from_strings(given)
    return passes(LinearLearnerState(settings, np.random.default_rng(seed)), train, held).finalise()


def passes(state: LinearLearnerState, train: Data, held: Data | None = None, steps: int = 0) -> LinearLearnerState:
    """Of so many updates each, or as many as there are batches; a host in a pool may need empty ones."""
    (x, y), size = train, state.settings.mini_batch_size
    for _ in range(state.settings.epochs):
        for start in range(0, max(x.shape[0], steps * size), size):
            state.update(Batch(x[start : start + size], y[start : start + size]))
        evaluation = None
        if held is not None:
            evaluation = state.held_out()
            evaluation.update(Batch(*held))
        state.end_pass(evaluation)
        if state.done:
            break
    return state


def log_loss(model: LinearModel, data: Data) -> float:
    x, y = data
    margins = model.margins(Batch(x))
    if margins.shape[1] == 1:
        return float(np.mean(np.logaddexp(0, margins[:, 0]) - y * margins[:, 0]))
    margins -= margins.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(margins).sum(axis=1)) - margins[np.arange(len(y)), y.astype(int)]))


def squares(model: LinearModel, data: Data) -> float:
    return float(np.mean((model.margins(Batch(data[0]))[:, 0] - data[1]) ** 2))


def peer_log_loss(train: Data, held: Data) -> float:
    """The better of a strong and a weak penalty, converged, on standardised features."""
    mean, scale = train[0].mean(axis=0), train[0].std(axis=0)
    x, h = ((each - mean) / np.where(scale > 0, scale, 1) for each in (train[0], held[0]))
    found = []
    for penalty in (1, 1e4):
        chances = LogisticRegression(C=penalty, max_iter=2000).fit(x, train[1]).predict_proba(h)
        own = chances[np.arange(len(h)), held[1].astype(int)]
        found.append(-np.log(np.maximum(own, 1e-15)).mean())
    return float(min(found))


def parted(x: np.ndarray, y: np.ndarray, seed: int, part: float = 0.75) -> tuple[Data, Data]:
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order].astype(np.float32), y[order].astype(np.float32)
    cut = int(part * len(x))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def logistic(seed: int, records: int = 120_000, features: int = 30) -> tuple[Data, Data]:
    """The benchmark's dense set, smaller; a sixth is held out."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(records, features))
    chance = 1 / (1 + np.exp(-x @ rng.normal(0, 0.5, features)))
    return parted(x, rng.random(records) < chance, seed, 5 / 6)


def linear(seed: int, records: int = 120_000, features: int = 30) -> tuple[Data, Data]:
    """Correlated columns of very different sizes, far from zero, and labels with noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(records, features)) @ rng.normal(size=(features, features))
    y = x @ rng.normal(size=features) + 3 * rng.normal(size=records)
    return parted(x * 10.0 ** rng.integers(-3, 4, features) + 100, 50 + y, seed, 5 / 6)


def test_logistic_regression_in_three_passes() -> None:
    for seed in SEEDS:
        train, held = logistic(seed)
        model = ours(train, None, BY_LOSS | {"epochs": "3"}, seed)
        assert log_loss(model, held) <= LARGE * peer_log_loss(train, held)


def test_regression_in_three_passes() -> None:
    for seed in SEEDS:
        train, held = linear(seed)
        model = ours(train, None, {"predictor_type": "regressor", "epochs": "3"}, seed)
        x, y = train[0].astype(float), train[1].astype(float)
        peer = Ridge(1).fit((x - x.mean(axis=0)) / x.std(axis=0), y)
        expected = peer.predict((held[0] - x.mean(axis=0)) / x.std(axis=0))
        assert squares(model, held) <= LARGE * np.mean((expected - held[1]) ** 2)


@pytest.mark.parametrize(
    ("load", "classes"), [(load_breast_cancer, 2), (load_digits, 10)], ids=["breast cancer", "digits"]
)
def test_small_real_sets(load: Callable[..., Data], classes: int) -> None:
    given = BY_LOSS if classes == 2 else {"predictor_type": "multiclass_classifier", "num_classes": str(classes)}
    found, peers = [], []
    for seed in SEEDS:
        train, held = parted(*load(return_X_y=True), seed)
        found.append(log_loss(ours(train, held, given | {"mini_batch_size": "32"}, seed), held))
        peers.append(peer_log_loss(train, held))
    assert np.mean(found) <= SMALL * np.mean(peers)


def test_a_small_regression() -> None:
    found, peers = [], []
    for seed in SEEDS:
        train, held = parted(*load_diabetes(return_X_y=True), seed)
        found.append(squares(ours(train, held, {"predictor_type": "regressor", "mini_batch_size": "32"}, seed), held))
        x = train[0] / train[0].std(axis=0)
        peers.append(np.mean((Ridge(1).fit(x, train[1]).predict(held[0] / train[0].std(axis=0)) - held[1]) ** 2))
    assert np.mean(found) <= SMALL * np.mean(peers)


def test_breast_cancer_as_published() -> None:
    """The public example: classes as numbers, absolute loss, at most 10 passes of 5 updates.

    That loss solved exactly has errors like ours; published are 98.2 % and 0.183 on one split of 57 records, and 91.7 %
    on another.
    """
    x, y = load_breast_cancer(return_X_y=True)
    given = {"mini_batch_size": "100", "epochs": "10", "num_models": "32"}
    regressor = given | {"predictor_type": "regressor", "loss": "absolute_loss"}
    right, distances, classes = [], [], []
    for seed in range(10):
        (train, rest) = parted(x, 1 - y, seed, 0.8)
        half = len(rest[1]) // 2
        validation, test = (rest[0][:half], rest[1][:half]), (rest[0][half:], rest[1][half:])
        scores = ours(train, validation, regressor, seed).predict(Batch(test[0]))["score"]
        mean, scale = train[0].mean(axis=0), train[0].std(axis=0)
        exact = QuantileRegressor(quantile=0.5, alpha=0).fit((train[0] - mean) / scale, train[1])
        expected = exact.predict((test[0] - mean) / scale)
        right.append([((each > 0.5) == test[1]).mean() for each in (scores, expected)])
        distances.append([np.abs(each - test[1]).mean() for each in (scores, expected)])
        labels = ours(train, validation, given | {"predictor_type": "binary_classifier"}, seed).predict(Batch(test[0]))
        classes.append((labels["predicted_label"] == test[1]).mean())
    (accuracy, exact_accuracy), (distance, exact_distance) = np.mean(right, axis=0), np.mean(distances, axis=0)
    assert accuracy >= max(exact_accuracy, 0.917) - 0.01  # means of 570 records have a deviation of 0.01
    assert distance <= 1.05 * exact_distance  # 50 updates, 30 columns of which many tell the same
    assert np.mean(classes) >= 0.95


def rare(seed: int) -> tuple[Data, Data, np.ndarray]:
    """Sparse records of 20 out of 5000 features, the last of them held out, and the true margins of those."""
    rng = np.random.default_rng(seed)
    records, features, values = 60_000, 5_000, 20
    chances = np.arange(1, features + 1) ** -0.8
    columns = rng.choice(features, (records, values), p=chances / chances.sum()).astype(np.int32)
    weights = rng.normal(0, 0.5, features)
    z = weights[columns].sum(axis=1)
    y = (rng.random(records) < 1 / (1 + np.exp(-z))).astype(np.float32)
    starts = np.arange(0, columns.size + 1, values, dtype=np.int32)
    x = csr_array((np.ones(columns.size, np.float32), columns.ravel(), starts), shape=(records, features))
    cut = 50_000
    return (x[:cut], y[:cut]), (x[cut:], y[cut:]), z[cut:]


@pytest.mark.parametrize("seed", SEEDS)
def test_sparse_in_one_pass(seed: int) -> None:
    """Rare features: better than the best of SGDClassifier, which is told its rate, and near the truth."""
    train, held, z = rare(seed)
    found = log_loss(ours(train, None, BY_LOSS | {"epochs": "1", "mini_batch_size": "500"}, seed), held)
    peers = []
    for rate in (0.02, 0.05, 0.1):
        peer = SGDClassifier(
            loss="log_loss", alpha=1e-7, learning_rate="constant", eta0=rate, average=True, max_iter=1, tol=None
        ).fit(*train)
        margins = peer.decision_function(held[0])
        peers.append(np.mean(np.logaddexp(0, margins) - held[1] * margins))
    truth = np.mean(np.logaddexp(0, z) - held[1] * z)
    assert found <= min(peers)
    assert (
        found <= truth + 0.07
    )  # what a pass of the benchmark may cost, 0.055, and more for twenty times fewer records


def test_quantiles() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30_000, 3))
    y = x @ [1.0, 2, 3] + rng.exponential(2, 30_000)
    train, held = parted(x, y, 0)
    for quantile in (0.1, 0.5, 0.9):
        given = {"predictor_type": "regressor", "loss": "quantile_loss", "quantile": str(quantile), "epochs": "5"}
        model = ours(train, held, given)
        errors = held[1] - model.margins(Batch(held[0]))[:, 0]
        peer = QuantileRegressor(quantile=quantile, alpha=0).fit(train[0][:3000], train[1][:3000])
        expected = held[1] - peer.predict(held[0])
        pinball = [np.maximum(quantile * e, (quantile - 1) * e).mean() for e in (errors, expected)]
        assert pinball[0] <= LARGE * pinball[1]
        # A share of 7500 records has a deviation of 0.006.
        assert (errors < 0).mean() == pytest.approx(quantile, abs=0.02)


def noisy(seed: int) -> tuple[Data, Data]:
    """More features than the records can tell about: penalties matter."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2400, 80))
    chance = 1 / (1 + np.exp(-x[:, :5] @ [0.5, -0.5, 0.4, 0.3, 0.2]))
    return parted(x, rng.random(2400) < chance, seed, 1 / 6)


def test_the_winner_is_as_good_as_any_single_job() -> None:
    found: list[float] = []
    singles: dict[str, list[float]] = {}
    for seed in SEEDS:
        train, held = noisy(seed)
        given = BY_LOSS | {"mini_batch_size": "50"}
        found.append(log_loss(ours(train, held, given, seed), held))
        for name in ("wd", "l1"):
            for value in ("0", "0.01", "0.1", "1"):
                other = {"wd": "0", "l1": "0", name: value, "num_models": "1"}
                singles.setdefault(f"{name}={value}", []).append(log_loss(ours(train, held, given | other, seed), held))
        own = singles["wd=0"][-1]
        assert found[-1] <= 1.005 * own
    for name, losses in singles.items():
        assert np.mean(found) <= 1.02 * np.mean(losses), name


def test_what_the_user_gave_is_never_made_worse() -> None:
    for seed in SEEDS:
        train, held = noisy(seed)
        given = BY_LOSS | {"mini_batch_size": "50", "wd": "0.003", "learning_rate": "0.03"}
        many, one = (log_loss(ours(train, held, given | more, seed), held) for more in ({}, {"num_models": "1"}))
        assert many <= 1.005 * one
