"""Writers: batches to one file of any content type, as they come, in constant memory.

with open("train.csv", "wb") as file, writer(file, "text/csv") as out:
    for batch in batches("train.pbr", "application/x-recordio-protobuf", size=5000):
        out.write(batch)
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recordio.batch import Batch
from recordio.content_types import (
    CSV,
    JSON_LINES,
    LIBSVM,
    NPY,
    NPZ,
    PARQUET,
    RECORDIO,
    ContentType,
    UnsupportedContentType,
)
from recordio.errors import DataError
from recordio.framing import Writable
from recordio.limits import LIMITS

HELD_BYTES = 64 * 2**20
PIECE_NUMBERS = 2**18  # made dense or text at once


class Writer:
    """Batches to a file, which stays open.

    As a context manager it is closed at the end; after an exception nothing is finished.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._form: tuple[int, int, np.dtype[Any]] | None = None
        self.records = 0

    def write(self, batch: Batch) -> None:
        """Add records, dense or sparse. Nothing of the batch is kept.

        Raises DataError when width, number of labels or type differ from the records before, or the content type has no
        form for a value.
        """
        if not len(batch):
            return
        labels = 0 if batch.labels is None else 1 if batch.labels.ndim == 1 else batch.labels.shape[1]
        form = batch.width, labels, batch.features.dtype
        if not batch.width:
            raise DataError(f"record {self.records}: got no features, expected at least one")
        for column, what in ((batch.weights, "a weight"), (batch.groups, "a query id")):
            if column is not None:
                raise DataError(f"record {self.records}: got {what}, which would be lost: keep it in its own format")
        self._form = self._form or form
        for found, expected, what in zip(form, self._form, ("features", "labels", "numbers"), strict=True):
            if found != expected:
                raise DataError(f"record {self.records}: got {found} {what}, expected {expected}")
        self._write(Batch(batch.features, None if batch.labels is None else native(batch.labels)))
        self.records += len(batch)

    def _write(self, batch: Batch) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Write what stands at the end of the file."""

    def discard(self) -> None:
        """Let go of everything but the file, which is left unfinished."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def writer(file: Writable, content_type: ContentType | str, *, held_bytes: int = HELD_BYTES) -> Writer:
    """A writer of batches in this content type.

    text/csv, application/jsonlines   labels first, or under "label"; the fewest digits that give a number back
    text/libsvm                       columns count from 0; dense records leave out zeros; labels may be missing
    application/x-recordio-protobuf   as `write_dense` and `write_sparse`
    application/x-parquet             columns label or label_0 …, then feature_0 …
    application/x-npy                 labels as first columns; `file` must be able to seek
    application/x-npz                 features and labels; sparse: as scipy.sparse.save_npz, and labels

    file         needs only `write`, but for .npy
    held_bytes   what Parquet may keep back for a row group
    Raises UnsupportedContentType for other types.
    """
    kind = ContentType.parse(content_type).type
    # Each brings a library that the others need not wait for.
    if kind == RECORDIO:
        return _RecordWriter(file)
    if kind in (CSV, JSON_LINES, LIBSVM):
        from recordio.text_writers import CsvWriter, JsonWriter, LibsvmWriter

        return {CSV: CsvWriter, JSON_LINES: JsonWriter, LIBSVM: LibsvmWriter}[kind](file)
    if kind in (NPY, NPZ):
        from recordio.numpy_writers import NpyWriter, NpzWriter

        return NpyWriter(file) if kind == NPY else NpzWriter(file)
    if kind == PARQUET:
        from recordio.parquet_writers import ParquetWriter

        return ParquetWriter(file, held_bytes)
    raise UnsupportedContentType(f"content-type {kind[:100]} not supported")


class _RecordWriter(Writer):
    def _write(self, batch: Batch) -> None:
        from recordio.writing import write_dense, write_sparse

        if isinstance(batch.features, np.ndarray):
            write_dense(self._file, batch.features, batch.labels)
        else:
            write_sparse(self._file, batch.features, batch.labels)


def dense_pieces(batch: Batch, form: str, limit: int = LIMITS.dense_width) -> Iterator[tuple[NDArray[Any], slice]]:
    """The features as dense arrays, `native`, and the records that each holds: a bounded piece at a time.

    Raises DataError when there are more than `limit` columns.
    """
    if batch.width > limit:
        raise DataError(
            f"got records of {batch.width} features, {form} takes {limit} at most: "
            "write RecordIO-protobuf, libsvm or .npz instead"
        )
    rows = max(1, PIECE_NUMBERS // max(1, batch.width))
    for start in range(0, len(batch), rows):
        some = batch.features[start : start + rows]
        table = some if isinstance(some, np.ndarray) else some.toarray()
        yield native(table), slice(start, start + len(table))


def native(numbers: NDArray[Any]) -> NDArray[Any]:
    """The same numbers as this machine reads them quickest: contiguous, aligned, in its order of bytes."""
    return np.require(numbers, numbers.dtype.newbyteorder("="), ["C", "A"])
