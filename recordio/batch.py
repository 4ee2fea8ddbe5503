"""Batch: a few thousand records, decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Batch:
    """Records as one matrix.

    features   (records, width), floating, dense or sparse
    labels     (records,) or (records, labels), or None when the records carry none
    """

    features: NDArray[Any] | csr_array[Any]
    labels: NDArray[Any] | None = None

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
        return of_features + (0 if self.labels is None else self.labels.nbytes)

    def __getitem__(self, rows: slice) -> Batch:
        """A view of some records."""
        return Batch(self.features[rows], None if self.labels is None else self.labels[rows])
