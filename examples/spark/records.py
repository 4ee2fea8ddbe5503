"""Records between Spark and OnePass: a DataFrame to files of RecordIO-protobuf, and a served model's answers back.

Executors do the work, a few thousand records at a time. They need the packages onepass and pyarrow.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import cloudpickle
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sql
from pyspark.sql.pandas.types import to_arrow_schema
from scipy.sparse import csr_array

from recordio import Batch, writer

RECORDIO = "application/x-recordio-protobuf"
SPARSE = 0  # how VectorUDT marks a sparse vector; a dense one is 1


def write_records(frame: DataFrame, folder: str | Path, features: str | Sequence[str], label: str | None = None) -> int:
    """Write a DataFrame to a new folder, one file for each partition that has records. Returns the records written.

    folder    as all executors see it: here, or on a shared file system
    features  a column of vectors, dense or sparse, or of arrays; or the names of columns of numbers
    label     a column of numbers

    A file appears whole, under a name that its partition decides: a task that runs again, or twice, changes nothing.
    Raises FileExistsError when the folder has files already, and what the job raises: records that differ in width, or
    values that are missing, end it.
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    columns = [_features(frame, features).alias("features")]
    if label is not None:
        columns.append(sql.col(label).cast("float").alias("label"))
    written = _mapped(frame.select(columns), partial(_write, str(folder)), "records long")
    return int(written.groupBy().sum("records").first()[0] or 0)  # type: ignore[index]  # there is one row, always


def predictions(frame: DataFrame, url: str, features: str | Sequence[str], schema: str) -> DataFrame:
    """What a served model says of each record.

    url       of the server
    features  as in `write_records`
    schema    what the DataFrame that is returned holds: columns of `frame`, and fields of the reply, by their names
    """
    wanted = frame.sparkSession.createDataFrame([], schema).schema
    columns = [sql.col(name) for name in wanted.names if name in frame.columns]
    asked = frame.select(*columns, _features(frame, features).alias("features"))
    return _mapped(asked, partial(_ask, url, to_arrow_schema(wanted)), schema)


def _mapped(frame: DataFrame, function: Any, schema: str) -> DataFrame:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # executors don't have this file
    return frame.mapInArrow(function, schema)


def _features(frame: DataFrame, features: str | Sequence[str]) -> Column:
    if not isinstance(features, str):
        return sql.array([sql.col(name).cast("float") for name in features])
    if isinstance(frame.schema[features].dataType, VectorUDT):
        return sql.unwrap_udt(features)
    return sql.col(features).cast("array<float>")


def _write(folder: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    from pyspark import TaskContext

    task = TaskContext.get()
    assert task is not None
    path = Path(folder, f"part-{task.partitionId():05}.pbr")
    aside = path.with_name(f".{path.name}.{task.taskAttemptId()}")  # channels pass over names that start with a dot
    try:
        with aside.open("wb") as file, writer(file, RECORDIO) as out:
            for batch in batches:
                labels = _numbers(batch["label"]) if "label" in batch.schema.names else None
                out.write(Batch(_matrix(batch["features"]), labels))
        if out.records:
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    yield pa.RecordBatch.from_pydict({"records": pa.array([out.records], pa.int64())})


def _ask(url: str, wanted: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    headers = {"Content-Type": RECORDIO, "Accept": "application/jsonlines"}
    for batch in batches:
        if not len(batch):
            continue
        body = BytesIO()
        with writer(body, RECORDIO) as out:
            out.write(Batch(_matrix(batch["features"])))
        request = urllib.request.Request(f"{url}/invocations", body.getvalue(), headers)
        with urllib.request.urlopen(request) as reply:
            said = pa.Table.from_pylist([json.loads(line) for line in reply.read().splitlines()])
        columns = [said[name] if name in said.column_names else batch[name] for name in wanted.names]
        yield from pa.table(columns, wanted.names).cast(wanted).to_batches()


def _numbers(column: pa.Array) -> np.ndarray[Any, Any]:
    if column.null_count:
        raise ValueError(f"got {column.null_count} missing values, expected none")
    return np.asarray(column)


def _matrix(column: pa.Array) -> Any:
    """Arrays, or unwrapped vectors, as (records, width), float32: csr where a vector is sparse."""
    if column.null_count:
        raise ValueError(f"got {column.null_count} records without features")
    if not pa.types.is_struct(column.type):
        return _rows(column)
    kinds = np.asarray(column.field("type"))
    if not (kinds == SPARSE).any():
        return _rows(column.field("values"))
    parts = [(row["indices"] or range(len(row["values"])), row["values"], row["size"]) for row in column.to_pylist()]
    ends = np.cumsum([0, *(len(values) for _, values, _ in parts)])
    indices = np.concatenate([np.fromiter(keys, np.int64) for keys, _, _ in parts])
    values = np.concatenate([np.array(values, np.float32) for _, values, _ in parts])
    widths = np.array([len(values) if size is None else size for _, values, size in parts])
    return csr_array((values, indices, ends), shape=(len(parts), _one(widths)))


def _rows(lists: pa.Array) -> np.ndarray[Any, Any]:
    width = _one(np.asarray(lists.value_lengths()))
    return _numbers(lists.flatten()).astype(np.float32, copy=False).reshape(-1, width)


def _one(widths: np.ndarray[Any, Any]) -> int:
    found = np.unique(widths)
    if len(found) != 1:
        raise ValueError(f"got records of {' and '.join(map(str, found[:2]))} features, expected one width")
    return int(found[0])
