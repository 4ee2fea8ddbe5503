"""One pass of ours against scikit-learn's full K-Means, on real and generated data, over several seeds."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from algorithms.kmeans import ALGORITHM
from algorithms.kmeans.model import KMeansModel
from recordio.batch import Batch

SEEDS = (0, 1, 2)

# scikit-learn's own results differ by up to 1% (k=100) or 5% (k=10) from seed to seed, so means over the seeds are
# compared; 1.01 is what one pass may cost against many.
TOLERANCE = 1.01


def ours(x: np.ndarray, k: int, seed: int, batch: int = 5000, **more: object) -> KMeansModel:
    given = {"k": k, "feature_dim": x.shape[1], "mini_batch_size": batch, **more}
    settings = ALGORITHM.hyperparameters.from_strings({name: str(value) for name, value in given.items()})
    state = ALGORITHM.create(settings, np.random.default_rng(seed))
    for start in range(0, len(x), batch):
        state.update(Batch(x[start : start + batch]))
    model = state.finalise()
    assert isinstance(model, KMeansModel)
    return model


def msd(x: np.ndarray, centres: np.ndarray) -> float:
    settings = ALGORITHM.hyperparameters.from_strings({"k": str(len(centres)), "feature_dim": str(x.shape[1])})
    scores = ALGORITHM.evaluate(KMeansModel(centres.astype(np.float32)), settings)
    scores.update(Batch(x))
    return scores.finalise()["msd"]


def lloyd(x: np.ndarray, k: int, seed: int) -> float:
    return msd(x, KMeans(k, init="k-means++", n_init=1, random_state=seed).fit(x).cluster_centers_)


def standardised(x: np.ndarray) -> np.ndarray:
    return ((x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)).astype(np.float32)


def blobs(records: int, k: int, features: int, spread: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = spread * rng.normal(size=(k, features))
    return (centres[rng.integers(k, size=records)] + rng.normal(size=(records, features))).astype(np.float32)


def skewed() -> np.ndarray:
    """Log-normal columns: most records in a corner, a few very far away."""
    return np.exp(1.5 * np.random.default_rng(0).normal(size=(20_000, 5))).astype(np.float32)


def diffuse() -> np.ndarray:
    """No clusters at all; columns of falling weight."""
    scale = np.arange(1, 17) ** -0.5
    return (np.random.default_rng(0).normal(size=(60_000, 16)) * scale).astype(np.float32)


DATA: dict[str, Callable[[], np.ndarray]] = {
    "digits": lambda: load_digits().data.astype(np.float32),
    "iris": lambda: load_iris().data.astype(np.float32),
    "wine": lambda: load_wine().data.astype(np.float32),
    "breast cancer, standardised": lambda: standardised(load_breast_cancer().data),
    "overlapping blobs": lambda: blobs(30_000, 50, 16, 0.7),
    "far from zero": lambda: blobs(20_000, 20, 8, 3) + np.float32(10_000),
    "skewed": skewed,
    "diffuse": diffuse,
}


@pytest.mark.parametrize(
    ("name", "k", "batch", "init_method"),
    [
        ("digits", 10, 5000, "random"),
        ("digits", 100, 500, "random"),
        ("digits", 100, 500, "kmeans++"),
        ("iris", 3, 30, "random"),
        ("wine", 3, 50, "kmeans++"),
        ("breast cancer, standardised", 10, 100, "random"),
        ("overlapping blobs", 50, 5000, "random"),
        ("overlapping blobs", 50, 500, "kmeans++"),
        ("far from zero", 20, 2000, "random"),
        ("skewed", 10, 2000, "random"),
        ("skewed", 100, 5000, "kmeans++"),
        ("diffuse", 100, 5000, "random"),
    ],
)
def test_one_pass_is_as_good_as_many(name: str, k: int, batch: int, init_method: str) -> None:
    x = DATA[name]()
    found = [msd(x, ours(x, k, seed, batch, init_method=init_method).centroids) for seed in SEEDS]
    assert np.mean(found) <= TOLERANCE * np.mean([lloyd(x, k, seed) for seed in SEEDS])


@pytest.mark.parametrize("column", [0, 7])
def test_sorted_streams_are_as_good_as_shuffled_ones(column: int) -> None:
    x = DATA["overlapping blobs"]()
    x = x[np.argsort(x[:, column])]
    found = [msd(x, ours(x, 50, seed, 1000).centroids) for seed in SEEDS]
    assert np.mean(found) <= TOLERANCE * np.mean([lloyd(x, 50, seed) for seed in SEEDS])


def test_one_cluster_after_the_other() -> None:
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(30, 8))
    x = np.concatenate([centre + rng.normal(size=(1000, 8)) for centre in centres]).astype(np.float32)
    for seed in SEEDS:
        assert msd(x, ours(x, 30, seed, 700).centroids) <= 1.01 * msd(x, centres)  # the truth, known here


def test_finds_the_true_centres_of_separated_clusters() -> None:
    """A tenth of the benchmark, on which MiniBatchKMeans of scikit-learn comes to 1.03 and its Lloyd to 1.04."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(100, 64))
    x = (centres[rng.integers(100, size=100_000)] + rng.normal(size=(100_000, 64))).astype(np.float32)
    for seed in SEEDS:
        assert msd(x, ours(x, 100, seed).centroids) <= 1.005 * msd(x, centres)


def test_without_extra_centres_as_good_as_mini_batch_k_means() -> None:
    x = DATA["diffuse"]()
    found, peers = [], []
    for seed in SEEDS:
        found.append(msd(x, ours(x, 100, seed, extra_center_factor=1).centroids))
        peer = MiniBatchKMeans(100, batch_size=5000, n_init=1, random_state=seed)
        for start in range(0, len(x), 5000):
            peer.partial_fit(x[start : start + 5000])
        peers.append(msd(x, peer.cluster_centers_))
    assert np.mean(found) <= np.mean(peers)


def test_train_msd_tells_the_truth() -> None:
    x = DATA["diffuse"]()
    model = ours(x, 100, 0)
    # Measured on the sample that the centres were refined on, 500 rows for each: about 2 parts in 500 too small.
    assert model.metrics["msd"] == pytest.approx(msd(x, model.centroids), rel=0.01)


def test_one_state_gives_good_models_for_any_k() -> None:
    x = DATA["overlapping blobs"]()
    settings = ALGORITHM.hyperparameters.from_strings({"k": "50", "feature_dim": "16"})
    state = ALGORITHM.create(settings, np.random.default_rng(0))
    for start in range(0, len(x), 5000):
        state.update(Batch(x[start : start + 5000]))
    arrays, values = state.snapshot()
    for k in (5, 20, 100):
        model = ALGORITHM.restore(settings.model_copy(update={"k": k}), arrays, values).finalise()
        assert isinstance(model, KMeansModel)
        assert msd(x, model.centroids) <= TOLERANCE * lloyd(x, k, 0)
