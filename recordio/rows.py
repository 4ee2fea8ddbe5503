"""Rows: records decoded one by one, where no faster way applies, and the batches that they make.

scipy.sparse takes 0.15 s to import: inside functions, so that dense data need not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from recordio.batch import Batch
from recordio.errors import DataError
from recordio.limits import Limits

Vector = NDArray[Any]


class Row(NamedTuple):
    """One record.

    values   (width,) when dense, (entries,) when sparse
    keys     columns of the entries, rising; None when dense
    labels   (labels,), empty when there are none
    """

    width: int
    values: Vector
    keys: Vector | None
    labels: Vector


MOST_AXES = 32  # of a shape; the product of more could take minutes
NO_LABELS: Vector = np.empty(0, np.float32)


def row(
    values: Vector,
    keys: Vector,
    shape: Sequence[int],
    labels: Vector = NO_LABELS,
    *,
    width: int | None,
    limits: Limits,
) -> Row:
    """A record from the three fields of a tensor, checked.

    Sparse with keys, and also when it holds nothing but a shape: the SageMaker SDK writes an all-zero row so.

    shape   sizes whose product is the width; when empty, a sparse record takes `width`, which the caller knows
    Raises DataError when the fields contradict one another or a limit.
    """
    if len(values) > limits.dense_width:
        raise DataError(f"got {len(values)} values, the limit is {limits.dense_width}")
    size = _size(shape, limits) if shape else None
    if len(keys):
        size = width if size is None else size
        if size is None:
            raise DataError("got keys without a shape, expected the number of columns in shape")
        return Row(size, *_entries(values, keys, size), labels)
    if len(values):
        if size not in (None, len(values)):
            raise DataError(f"got {len(values)} values, expected {size} (shape {list(shape)}) or keys")
        return Row(len(values), values, None, labels)
    if size is None:
        raise DataError("got no features, expected values")
    return Row(size, values, keys, labels)


def _size(shape: Sequence[int], limits: Limits) -> int:
    if len(shape) > MOST_AXES:
        raise DataError(f"got a shape of {len(shape)} numbers, expected the number of columns")
    size = prod(shape)
    if not 0 < size <= limits.sparse_width:
        raise DataError(f"got shape {list(shape)}, expected 1 to {limits.sparse_width} columns")
    return size


def _entries(values: Vector, keys: Vector, size: int) -> tuple[Vector, Vector]:
    """Values and keys, with the keys rising."""
    if len(keys) != len(values):
        raise DataError(f"got {len(keys)} keys and {len(values)} values, expected as many of both")
    if (low := int(keys.min())) < 0 or (high := int(keys.max())) >= size:
        raise DataError(f"got key {low if low < 0 else high}, expected 0 to {size - 1}")
    if (keys[1:] > keys[:-1]).all():
        return values, keys
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    if (twice := keys[1:] == keys[:-1]).any():
        raise DataError(f"got key {int(keys[twice.argmax()])} twice, expected each key once")
    return values[order], keys


def batches(rows: Iterable[Row], dtype: DTypeLike) -> Iterator[Batch]:
    """Batches of neighbours of one kind: dense or sparse, of one width, with as many labels each.

    A fault that `rows` raise comes after all that stands before it.
    """
    for (sparse, width, _), alike in groupby(rows, lambda row: (row.keys is not None, row.width, len(row.labels))):
        some: list[Row] = []
        fault = None
        try:
            for one in alike:
                some.append(one)
        except DataError as error:
            fault = error
        if sparse:
            keys = [row.keys for row in some if row.keys is not None]
            yield Batch(csr([row.values for row in some], keys, width, dtype), _labels(some, dtype))
        else:
            features = np.empty((len(some), width), dtype)
            for place, one in zip(features, some, strict=True):
                cast(one.values, place)
            yield Batch(features, _labels(some, dtype))
        if fault is not None:
            raise fault


def csr(values: Sequence[Vector], keys: Sequence[Vector], width: int, dtype: DTypeLike) -> Any:
    """A csr_array from the entries of each row."""
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *map(len, keys)])
    data = np.empty(ends[-1], dtype)
    for start, end, some in zip(ends, ends[1:], values, strict=False):
        cast(some, data[start:end])
    index = np.int32 if ends[-1] < 2**31 else np.int64
    indices = np.concatenate(keys).astype(index)
    return csr_array((data, indices, ends.astype(index)), shape=(len(keys), width))


def cast(values: Vector, out: Vector) -> None:
    """Copy values to another type. A float64 beyond float32 becomes infinity, which the caller judges."""
    with np.errstate(over="ignore", invalid="ignore"):
        np.copyto(out, values, casting="unsafe")


def labels_of(table: Vector) -> Vector | None:
    """Labels as a batch holds them: (records, 0) is None, (records, 1) is (records,)."""
    return None if table.shape[1] == 0 else table[:, 0] if table.shape[1] == 1 else table


def _labels(rows: Sequence[Row], dtype: DTypeLike) -> Vector | None:
    table = np.empty((len(rows), len(rows[0].labels)), dtype)
    for place, row in zip(table, rows, strict=True):
        cast(row.labels, place)
    return labels_of(table)
