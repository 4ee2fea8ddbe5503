"""Batch: a few thousand records, decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Batch:
    """Records as one matrix.

    features   (records, width), floating, dense or sparse
    labels     (records,) or (records, labels), or None when the records carry none
    weights    (records,), how much each record counts, or None when they don't say
    groups     (records,), int64, the query that each record belongs to, or None when they don't say
    names      of the features, or None where the format has none
    """

    features: NDArray[Any] | csr_array[Any]
    labels: NDArray[Any] | None = None
    weights: NDArray[Any] | None = None
    groups: NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return int(self.features.shape[0])

    @property
    def width(self) -> int:
        return int(self.features.shape[1])

    @property
    def nbytes(self) -> int:
        """Memory that the records take."""
        x: Any = self.features
        parts = (x.data, x.indices, x.indptr) if hasattr(x, "indptr") else (x,)
        of_features: int = sum(part.nbytes for part in parts)
        return of_features + sum(column.nbytes for column in self.columns if column is not None)

    @property
    def columns(self) -> tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[np.int64] | None]:
        """What stands beside the features: labels, weights and groups."""
        return self.labels, self.weights, self.groups

    def __getitem__(self, rows: slice) -> Batch:
        """A view of some records."""
        labels, weights, groups = (None if column is None else column[rows] for column in self.columns)
        return Batch(self.features[rows], labels, weights, groups, self.names)
