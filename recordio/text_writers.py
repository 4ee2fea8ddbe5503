"""Writers of text: CSV, JSON Lines, libsvm. A number has the fewest digits that give it back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordio import number_lines
from recordio.batch import Batch
from recordio.errors import DataError
from recordio.writers import PIECE_NUMBERS, Writer, dense_pieces


class CsvWriter(Writer):
    """Labels first, comma, no header. A missing number is nan: an empty cell alone on its line would be no line."""

    def _write(self, batch: Batch) -> None:
        labels = _columns(batch)
        for table, rows in dense_pieces(batch, "CSV"):
            middle = b"," if labels.shape[1] else b""
            self._file.write(number_lines.tables(labels[rows], _real(table), b"", middle, b"\n"))


class JsonWriter(Writer):
    """{"features": [...]}, or {"data": {"features": {"keys": ..., "shape": ..., "values": ...}}}; and "label"."""

    def _write(self, batch: Batch) -> None:
        labels = _columns(batch)
        self._check(labels, lambda place: place // labels.shape[1])
        if batch.labels is None:
            between, closing = b"", b"}\n"
        else:
            between, closing = (b',"label":', b"}\n") if batch.labels.ndim == 1 else (b',"label":[', b"]}\n")
        if isinstance(batch.features, np.ndarray):
            self._check(batch.features, lambda place: place // batch.width)
            for table, rows in dense_pieces(batch, "JSON Lines"):
                lines = number_lines.tables(_real(table), labels[rows], b'{"features":[', b"]" + between, closing)
                self._file.write(lines)
        else:
            none = np.empty((len(batch), 0), np.float32)
            ends = bytes(number_lines.tables(labels, none, between, b"", closing)).splitlines(keepends=True)
            self._write_sparse(batch.features, ends)

    def _write_sparse(self, features: Any, ends: list[bytes]) -> None:
        import orjson

        some = _canonical(features)
        starts = some.indptr.tolist()
        self._check(some.data, lambda place: bisect_right(starts, place) - 1)
        opening = b'{"data":{"features":{"keys":%s,"shape":[' + b"%d" % some.shape[1] + b'],"values":%s}}%s'
        for end, (start, stop) in zip(ends, pairwise(starts), strict=True):
            numbers = (some.indices[start:stop], some.data[start:stop])
            lists = [orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY) for part in numbers]
            self._file.write(opening % (*lists, end))

    def _check(self, numbers: NDArray[Any], record: Callable[[int], int]) -> None:
        """Raise DataError at the first number that is not finite, whose place says its record."""
        if not (finite := np.isfinite(numbers)).all():
            place = int(np.argmin(finite))
            raise DataError(
                f"record {self.records + record(place)}: got {numbers.flat[place]}, for which JSON has no form: "
                "write another format"
            )


class LibsvmWriter(Writer):
    """`label column:value ...`, columns from 0, several labels joined by commas.

    Records without labels begin with their first entry; a record of nothing but zeros with `0:0`, to be no blank line.
    """

    def _write(self, batch: Batch) -> None:
        labels = _columns(batch)
        features: Any = batch.features
        if isinstance(features, np.ndarray):
            for table, rows in dense_pieces(batch, "libsvm"):
                self._lines(table, labels[rows])
        else:
            rows_at_once = max(1, PIECE_NUMBERS // max(1, features.nnz // len(batch)))
            for start in range(0, len(batch), rows_at_once):
                rows = slice(start, start + rows_at_once)
                self._lines(features[rows], labels[rows])

    def _lines(self, features: Any, labels: NDArray[Any]) -> None:
        some = _canonical(features)
        keys, ends = some.indices.astype(np.int32, copy=False), some.indptr.astype(np.int64)
        self._file.write(number_lines.entries(labels, _real(some.data), keys, ends))


def _columns(batch: Batch) -> NDArray[Any]:
    """The labels as (records, labels), of which there may be none."""
    if batch.labels is None:
        return np.empty((len(batch), 0), np.float32)
    return _real(batch.labels.reshape(len(batch), -1))


def _real(numbers: NDArray[Any]) -> NDArray[Any]:
    """As float32 if it is that, else as float64, which holds integers up to 2**53."""
    return np.ascontiguousarray(numbers, np.float32 if numbers.dtype == np.float32 else np.float64)


def _canonical(features: Any) -> Any:
    """As csr_array, the keys of each row rising."""
    from scipy.sparse import csr_array

    some = csr_array(features)
    if not some.has_canonical_format:
        some = some.copy()
        some.sum_duplicates()
    return some
