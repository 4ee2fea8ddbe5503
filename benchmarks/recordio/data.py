"""Data: the matrices of the benchmarks, and their bytes in each format, made by other libraries where there are any."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from scipy.sparse import csr_array

import recordio

RECORDIO = "application/x-recordio-protobuf"
BATCH = 5000  # records, as algorithms ask for
WIDTHS = (50, 784)
SPARSE_WIDTH, ENTRIES = 100_000, 30

Matrix = NDArray[np.float32]


def dense(width: int, size_bytes: float) -> tuple[Matrix, Matrix]:
    """Features N(0, 1) of about so many bytes, and labels 0 or 1."""
    generator = np.random.default_rng(0)
    records = max(1, round(size_bytes / (4 * width)))
    features = generator.standard_normal((records, width), dtype=np.float32)
    return features, generator.integers(0, 2, records).astype(np.float32)


def sparse(size_bytes: float) -> tuple[csr_array[Any], Matrix]:
    """Rows of 30 entries among 100,000 columns, of about so many bytes in memory, and labels 0 or 1."""
    generator = np.random.default_rng(0)
    records = max(1, round(size_bytes / (8 * ENTRIES)))
    slot = SPARSE_WIDTH // ENTRIES
    columns = generator.integers(0, slot, (records, ENTRIES)) + slot * np.arange(ENTRIES)
    values = generator.standard_normal(columns.size, dtype=np.float32)
    ends = np.arange(0, columns.size + 1, ENTRIES, dtype=np.int32)
    matrix = csr_array((values, columns.ravel().astype(np.int32), ends), shape=(records, SPARSE_WIDTH))
    return matrix, generator.integers(0, 2, records).astype(np.float32)


def as_recordio(features: Any, labels: Matrix | None) -> bytes:
    file = io.BytesIO()
    write = recordio.write_dense if isinstance(features, np.ndarray) else recordio.write_sparse
    write(file, features, labels)
    return file.getvalue()


def as_csv(features: Matrix) -> bytes:
    import pyarrow
    from pyarrow import csv

    file = io.BytesIO()
    csv.write_csv(_table(pyarrow, features), file, csv.WriteOptions(include_header=False))
    return file.getvalue()


def as_json_lines(features: Matrix) -> bytes:
    return b"".join(orjson.dumps({"features": row}, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n" for row in features)


def as_libsvm(features: csr_array[Any], labels: Matrix) -> bytes:
    from sklearn.datasets import dump_svmlight_file

    file = io.BytesIO()
    dump_svmlight_file(features, labels, file, zero_based=True)
    return file.getvalue()


def as_parquet(features: Matrix) -> bytes:
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(_table(pyarrow, features), file, row_group_size=100_000, use_dictionary=False)
    return file.getvalue()


def as_npy(features: Matrix) -> bytes:
    file = io.BytesIO()
    np.save(file, features)
    return file.getvalue()


def as_npz(features: Matrix) -> bytes:
    file = io.BytesIO()
    np.savez(file, features=features)
    return file.getvalue()


def _table(pyarrow: Any, features: Matrix) -> Any:
    return pyarrow.table({f"f{number}": column for number, column in enumerate(features.T.copy())})
