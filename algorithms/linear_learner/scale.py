"""Scaling of records, and how to undo it in weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LARGEST_MEAN = 8.0  # deviations; less than a digit is lost

Features = Any  # NDArray[np.float32] or csr_array, both (records, features)


@dataclass(frozen=True, eq=False)
class Scale:
    """How records look to the models. Dense features lose their mean; sparse ones keep it, to stay sparse.

    sparse    the form of all batches, which is that of the first
    shift     None where nothing is taken off   (features,)
    factor    after the shift; 0 for columns of which nothing is to be learned   (features,)
    label_shift, label_unit   labels are told in units of this size from there
    """

    sparse: bool
    shift: NDArray[np.float32] | None
    factor: NDArray[np.float32]
    label_shift: float = 0.0
    label_unit: float = 1.0

    @cached_property
    def foldable(self) -> bool:
        """Whether weights can be scaled rather than records: no mean is so large that little is left beside it."""
        if self.sparse or self.shift is None:
            return not self.sparse
        return bool((np.abs(self.shift * self.factor) <= LARGEST_MEAN).all())

    def features(self, x: Features) -> Features:
        if not self.sparse:
            x = np.subtract(x, 0 if self.shift is None else self.shift, dtype=np.float32)
            x *= self.factor
            return x
        if self._unit:
            return x
        return csr((x.data * self.factor[x.indices], x.indices, x.indptr), x.shape)

    @cached_property
    def _unit(self) -> bool:
        return bool((self.factor == 1).all())

    def labels(self, labels: NDArray[np.float32]) -> NDArray[np.float32]:
        return ((labels - self.label_shift) / self.label_unit).astype(np.float32)

    def predictions(self, margins: NDArray[Any]) -> NDArray[Any]:
        """In units of the labels, where those were scaled."""
        if self.label_unit == 1 and self.label_shift == 0:
            return margins
        return margins.astype(np.float64) * self.label_unit + self.label_shift

    def unfolded(self, weights: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Weights and bias that give the same predictions from features as they came.

        weights   (features, columns)
        bias      (columns,)
        """
        raw = (weights * (self.factor.astype(np.float64)[:, None] * self.label_unit)).astype(np.float32)
        moved = bias.astype(np.float64) * self.label_unit + self.label_shift
        # The rounded weights count: far from zero, what rounding moves is much.
        return raw, moved if self.shift is None else moved - self.shift.astype(np.float64) @ raw.astype(np.float64)

    def opened(self) -> Scale:
        """With a factor that weights can be divided by, for all columns."""
        return replace(self, factor=np.where(self.factor == 0, np.float32(1), self.factor))

    def folded(self, weights: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The way back, of an open scale."""
        moved = bias if self.shift is None else bias + self.shift.astype(np.float64) @ weights
        scaled = weights / (self.factor.astype(np.float64)[:, None] * self.label_unit)
        return scaled, (moved - self.label_shift) / self.label_unit


def csr(parts: tuple[NDArray[Any], ...], shape: tuple[int, int]) -> csr_array[Any]:
    from scipy.sparse import csr_array

    return csr_array(parts, shape=shape)
