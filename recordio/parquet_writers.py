"""Writer of Parquet: a column for each label and feature, row groups of bounded size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from recordio.batch import Batch
from recordio.writers import Writer, dense_pieces

MOST_COLUMNS = 10_000  # each takes memory of its own in the library, in every row group
MOST_ROWS = 2**20  # of a row group


class ParquetWriter(Writer):
    """Columns label, or label_0 and so on for several, and feature_0 and so on.

    The footer, kept in memory until the end, grows by about 65 bytes for each column and row group.
    """

    def __init__(self, file: Any, held_bytes: int) -> None:
        super().__init__(file)
        self._held_bytes = held_bytes
        self._schema: pa.Schema | None = None
        self._inner: parquet.ParquetWriter | None = None
        self._columns: list[NDArray[Any]] = []  # (columns, records) of the next row group
        self._held = 0  # records of it that are there

    def _write(self, batch: Batch) -> None:
        for table, rows in dense_pieces(batch, "Parquet", MOST_COLUMNS):
            tables = [table] if batch.labels is None else [batch.labels[rows].reshape(len(table), -1), table]
            if self._inner is None:
                self._open(tables)
            start = 0
            while start < len(table):
                count = min(len(table) - start, self._columns[0].shape[1] - self._held)
                for columns, some in zip(self._columns, tables, strict=True):
                    columns[:, self._held : self._held + count] = some[start : start + count].T
                start += count
                self._held += count
                if self._held == self._columns[0].shape[1]:
                    self._flush()

    def _open(self, tables: list[NDArray[Any]]) -> None:
        row_bytes = sum(table.shape[1] * table.dtype.itemsize for table in tables)
        rows = min(max(1, self._held_bytes // row_bytes), MOST_ROWS)
        self._columns = [np.empty((table.shape[1], rows), table.dtype) for table in tables]
        names = [f"feature_{column}" for column in range(tables[-1].shape[1])]
        if len(tables) > 1:
            count = tables[0].shape[1]
            names = (["label"] if count == 1 else [f"label_{column}" for column in range(count)]) + names
        types = [pa.from_numpy_dtype(table.dtype) for table in tables for _ in range(table.shape[1])]
        self._schema = pa.schema(list(zip(names, types, strict=True)))
        # Features rarely repeat, and a dictionary takes five times as long to find that out.
        self._inner = parquet.ParquetWriter(self._file, self._schema, use_dictionary=False, write_statistics=False)

    def _flush(self) -> None:
        assert self._inner is not None
        columns = [pa.array(column[: self._held]) for columns in self._columns for column in columns]
        self._inner.write_table(pa.Table.from_arrays(columns, schema=self._schema), row_group_size=max(1, self._held))
        self._held = 0

    def close(self) -> None:
        if self._inner is None:
            self._schema = pa.schema([])
            self._inner = parquet.ParquetWriter(self._file, self._schema)
        elif self._held:
            self._flush()
        self._inner.close()

    def discard(self) -> None:
        if self._inner is not None:
            self._inner.is_open = False  # else it would write a footer when it is collected
