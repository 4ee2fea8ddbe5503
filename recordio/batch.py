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

    def __getitem__(self, rows: slice) -> Batch:
        """A view of some records."""
        return Batch(self.features[rows], None if self.labels is None else self.labels[rows])
