"""Files of arrays to batches, in the page cache: Parquet against pyarrow, .npy and .npz against NumPy.

The peers read a whole file into memory; ours takes the memory of a few batches. Rates count bytes of numbers.

Roofline: as for files, one copy by the kernel and one into the batch; Parquet turns columns into rows besides.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import recordio
from benchmarks.recordio.data import BATCH, WIDTHS, Matrix, as_npy, as_npz, as_parquet, dense
from benchmarks.recordio.tables import Ratio, Work, header, table

SIZE = 100e6


def run(rounds: int) -> None:
    header("GB/s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data"
        for width in WIDTHS:
            features, _ = dense(width, SIZE)
            for name, content_type, encode, peers in (
                ("Parquet", "application/x-parquet", as_parquet, PARQUET),
                (".npy", "application/x-npy", as_npy, NPY),
                (".npz", "application/x-npz", as_npz, NPZ),
            ):
                path.write_bytes(encode(features))
                _case(f"{name}, {width} features", path, content_type, features.nbytes, peers, rounds)


def _case(
    name: str, path: Path, content_type: str, size: int, peers: dict[str, Callable[[Path], Matrix]], rounds: int
) -> None:
    works = {"batches": Work.through(lambda: recordio.batches(path, content_type, BATCH), size)}
    works |= {peer: Work(lambda load=load: load(path), size) for peer, load in peers.items()}  # type: ignore[misc]
    table(name, works, [Ratio("batches", peer) for peer in peers], rounds)


def parquet_matrix(path: Path, *, threads: bool) -> Matrix:
    from pyarrow import parquet

    found = parquet.read_table(path, use_threads=threads)
    matrix = np.empty((found.num_rows, found.num_columns), np.float32)
    for number, column in enumerate(found.columns):
        matrix[:, number] = column
    return matrix


def npz_matrix(path: Path) -> Matrix:
    with np.load(path) as file:
        matrix: Matrix = file["features"]
        return matrix


PARQUET: dict[str, Callable[[Path], Matrix]] = {
    "pyarrow, one thread": lambda path: parquet_matrix(path, threads=False),
    "pyarrow, all threads": lambda path: parquet_matrix(path, threads=True),
}
NPY: dict[str, Callable[[Path], Matrix]] = {"np.load": np.load}
NPZ: dict[str, Callable[[Path], Matrix]] = {"np.load": npz_matrix}
