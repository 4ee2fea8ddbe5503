"""K-Means and PCA on the GPU against the same on the processor: seconds of a pass, and how far the results differ.

    python -m benchmarks.devices [--rounds 3]

Batches lie in memory of the machine, as a decoder leaves them: what it takes to bring them to the GPU counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.kmeans import ALGORITHM as KMEANS
from algorithms.kmeans.state import KMeansState
from algorithms.numerics.device import CPU, Device, best
from algorithms.pca import ALGORITHM as PCA
from algorithms.pca.state import PCAState
from benchmarks.rounds import measured
from recordio.batch import Batch

BATCH = 5000
CLUSTERS = (1_000_000, 64, 100), (200_000, 784, 100), (200_000, 784, 1000)  # records, features, k
COMPONENTS = (1_000_000, 64, 10), (200_000, 784, 50), (50_000, 4096, 50)  # records, features, components


def blobs(records: int, width: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (100, width)).astype(np.float32)
    x = rng.standard_normal((records, width), dtype=np.float32)
    for start in range(0, records, BATCH):
        x[start : start + BATCH] += centres[rng.integers(100, size=len(x[start : start + BATCH]))]
    return x


def clustered(x: NDArray[np.float32], k: int, device: Device) -> float:
    strings = {"k": str(k), "feature_dim": str(x.shape[1]), "mini_batch_size": str(BATCH)}
    state = KMeansState(KMEANS.hyperparameters.from_strings(strings), np.random.default_rng(0), device)  # type: ignore[arg-type]
    return learned(state, x).metrics["msd"]


def projected(x: NDArray[np.float32], components: int, device: Device) -> float:
    strings = {"num_components": str(components), "feature_dim": str(x.shape[1]), "mini_batch_size": str(BATCH)}
    state = PCAState(PCA.hyperparameters.from_strings(strings), device)  # type: ignore[arg-type]
    return float(np.sum(learned(state, x).singular.astype(np.float64) ** 2))


def learned(state: Any, x: NDArray[np.float32]) -> Any:
    for start in range(0, len(x), BATCH):
        state.update(Batch(x[start : start + BATCH]))
    return state.finalise()


def measure(name: str, run: Callable[[Device], float], records: int, rounds: int) -> None:
    gpu = best()
    quality = run(gpu) / run(CPU)
    found = measured({"GPU": lambda: run(gpu), "processor": lambda: run(CPU)}, rounds)
    print(f"{name}: GPU {found.seconds('GPU')} s, processor {found.seconds('processor')} s,", end=" ")
    print(f"{found.ratio('processor', 'GPU')} times as long; {records / found.seconds('GPU').median:,.0f}", end=" ")
    print(f"records/s on the GPU; result there / here {quality:.6f}; {found.load}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    if best() is CPU:
        parser.error("there is no GPU here that torch can use")
    for records, width, k in CLUSTERS:
        x = blobs(records, width)
        measure(
            f"kmeans, {records:,} x {width}, k {k}", lambda device, x=x, k=k: clustered(x, k, device), records, rounds
        )
    for records, width, components in COMPONENTS:
        x = blobs(records, width)
        measure(
            f"pca, {records:,} x {width}, {components} components",
            lambda device, x=x, components=components: projected(x, components, device),
            records,
            rounds,
        )


if __name__ == "__main__":
    main()
