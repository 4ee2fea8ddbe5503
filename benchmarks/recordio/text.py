"""Text to batches: CSV against pyarrow, JSON Lines against json line by line, libsvm against scikit-learn.

Roofline: a number takes 9 to 12 characters, each looked at once, and four bytes in the batch.
"""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow
from pyarrow import csv

import recordio
from benchmarks.recordio.data import (
    BATCH,
    SPARSE_WIDTH,
    WIDTHS,
    Matrix,
    as_csv,
    as_json_lines,
    as_libsvm,
    dense,
    sparse,
)
from benchmarks.recordio.tables import Ratio, Work, header, table

SIZE = 20e6  # bytes of numbers; as text it is two to three times as much
CSV_WIDTH = 50
CSV_AIM = 1 / 1.2  # of pyarrow's rate
ONE, ALL, JSON, SKLEARN = "pyarrow, one thread", "pyarrow, all threads", "json.loads + np.array", "load_svmlight_file"


def run(rounds: int) -> None:
    header("GB/s")
    text = as_csv(dense(CSV_WIDTH, SIZE)[0])
    works = {
        "batches": Work.through(lambda: recordio.batches(text, "text/csv", BATCH), len(text)),
        ONE: Work(lambda: arrow_table(text, threads=False), len(text)),
        ALL: Work(lambda: arrow_table(text, threads=True), len(text)),
    }
    table(f"CSV, {CSV_WIDTH} columns", works, [Ratio("batches", ONE, CSV_AIM), Ratio("batches", ALL, CSV_AIM)], rounds)
    for width in WIDTHS:
        _json_lines(width, rounds)
    rows, labels = sparse(SIZE)
    lines = as_libsvm(rows, labels)
    content_type = "text/libsvm"
    works = {
        "batches, width known": Work.through(
            lambda: recordio.batches(lines, content_type, BATCH, width=SPARSE_WIDTH), len(lines)
        ),
        "batches": Work.through(lambda: recordio.batches(lines, content_type, BATCH), len(lines)),
        SKLEARN: Work(lambda: loaded(lines), len(lines)),
    }
    table(
        "libsvm, 30 of 100,000",
        works,
        [Ratio("batches, width known", SKLEARN, 10), Ratio("batches", SKLEARN, 10)],
        rounds,
    )


def _json_lines(width: int, rounds: int) -> None:
    text = as_json_lines(dense(width, SIZE)[0])
    works = {
        "batches": Work.through(lambda: recordio.batches(text, "application/jsonlines", BATCH), len(text)),
        JSON: Work(lambda: json_rows(text), len(text)),
    }
    table(f"JSON Lines, {width} features", works, [Ratio("batches", JSON, 5)], rounds)


def arrow_table(text: bytes, *, threads: bool) -> pyarrow.Table:
    types = {f"f{number}": pyarrow.float32() for number in range(CSV_WIDTH)}
    return csv.read_csv(
        pyarrow.BufferReader(text),
        read_options=csv.ReadOptions(use_threads=threads, column_names=list(types)),
        convert_options=csv.ConvertOptions(column_types=types),
    )


def json_rows(text: bytes) -> Matrix:
    return np.stack([np.array(json.loads(line)["features"], np.float32) for line in text.splitlines()])


def loaded(lines: bytes) -> object:
    from sklearn.datasets import load_svmlight_file

    return load_svmlight_file(io.BytesIO(lines), n_features=SPARSE_WIDTH, dtype=np.float32, zero_based=True)
