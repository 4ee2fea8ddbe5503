"""The rows of a model that learns, one for each feature that has come up: no memory goes to the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays
from algorithms.factorization_machines.first import first_values
from algorithms.factorization_machines.hyperparameters import FactorizationMachinesHyperparameters
from algorithms.factorization_machines.interactions import located
from algorithms.numerics.machine import memory_free
from recordio.errors import UserError

LANES = 4  # factors that are computed at once; rows are filled up with zeros
FEWEST_ROWS = 1 << 12  # made at first
MODEL_COPIES = 3  # of all weights, while a model is written

Slots = NDArray[np.int32]


def columns(factors: int) -> int:
    """Of a row: factors, zeros, and the linear weight."""
    return -(-factors // LANES) * LANES + 1


class Table:
    """Weights and moments by slot. Slots are given to features as they come up.

    features   of each slot                                      (slots,)
    kept       weights, first moment, second moment              (slots, 3, columns)
    counts     updates that each row had                         (slots,)

    Arrays have room for more slots than are used; `arrays` gives those in use.
    """

    def __init__(self, settings: FactorizationMachinesHyperparameters) -> None:
        """Raises UserError when the memory that is free can't hold such a model."""
        self.settings = settings
        self.columns = columns(settings.num_factors)
        width = settings.feature_dim
        self._require(width, 8 + 4 * MODEL_COPIES * self.columns, "A model")
        self.used = 0
        self._where = np.full((width, 2), -1, np.int32)  # slots, and what `located` needs
        self._make(min(width, FEWEST_ROWS))

    @property
    def weights(self) -> NDArray[np.float32]:
        """(slots, columns)"""
        return self.kept[: self.used, 0]

    def slots(self, features: NDArray[np.int32]) -> Slots:
        """Where features are, with new rows for those that had none.

        Raises UserError when the memory that is free can't hold more rows.
        """
        found: Slots = self._where[features, 0]
        if len(found) and found.min() < 0:
            self._add(np.unique(features[found < 0]))
            found = self._where[features, 0]
        return found

    def located(self, features: NDArray[np.int32]) -> tuple[Slots, Slots, NDArray[np.int32]]:
        """Their slots, as `slots` gives them, the different ones, and where each stands among those."""
        found = located(features, self._where)
        if found is None:
            self.slots(features)
            found = located(features, self._where)
            assert found is not None
        return found

    def merge(self, other: Table) -> None:
        """The mean of both tables, row by row: one counts for the updates that it has made."""
        slots = self.slots(other.features[: other.used])
        counts = other.counts[: other.used]
        both = self.counts[slots] + counts
        share = np.divide(counts, both, out=np.zeros(len(both)), where=both > 0).astype(np.float32)
        kept = self.kept[slots]
        self.kept[slots] = kept + share[:, None, None] * (other.kept[: other.used] - kept)
        self.counts[slots] = both

    def arrays(self) -> Arrays:
        return {name: getattr(self, name)[: self.used].copy() for name in ("features", "kept", "counts")}

    def restore(self, arrays: Arrays) -> None:
        """Go on from the arrays of another table of the same columns. Raises UserError for arrays that are none."""
        shapes = {"features": (), "kept": (3, self.columns), "counts": ()}
        features, width = arrays["features"], self.settings.feature_dim
        alike = all(arrays[name].shape == (len(features), *shape) for name, shape in shapes.items())
        known = features.dtype == np.int32 and len(np.unique(features)) == len(features)
        if not alike or not known or (len(features) and not 0 <= features.min() <= features.max() < width):
            raise UserError("the rows of the state are not those of a model of these hyperparameters")
        self.used = len(arrays["features"])
        self._make(max(self.used, len(self.features)))
        for name, array in arrays.items():
            getattr(self, name)[: self.used] = array
        self._where[:, 0] = -1
        self._where[self.features[: self.used], 0] = np.arange(self.used, dtype=np.int32)

    def _make(self, rows: int) -> None:
        self.features = np.zeros(rows, np.int32)
        self.kept = np.zeros((rows, 3, self.columns), np.float32)
        self.counts = np.zeros(rows, np.int64)

    def _add(self, features: NDArray[np.int32]) -> None:
        count = self.used + len(features)
        if count > len(self.features):
            rows = min(max(count, 2 * len(self.features)), self.settings.feature_dim)
            self._require(rows, 12 * self.columns, f"The weights and moments of {count} features")
            before, used = self.arrays(), self.used
            self._make(rows)
            for name, array in before.items():
                getattr(self, name)[:used] = array
        new = slice(self.used, count)
        self.features[new] = features
        self._where[features, 0] = np.arange(self.used, count, dtype=np.int32)
        self.used = count
        settings, factors = self.settings, np.arange(self.settings.num_factors)
        self.kept[new, 0, : len(factors)] = first_values(features, factors, settings.group("factors"))
        if settings.use_linear:
            self.kept[new, 0, -1:] = first_values(features, factors[-1:] + 1, settings.group("linear"))

    def _require(self, rows: int, row_bytes: int, what: str) -> None:
        needed, free = rows * row_bytes, memory_free()
        if needed > free:
            raise UserError(
                f"{what} of num_factors {self.settings.num_factors} and feature_dim {self.settings.feature_dim} takes "
                f"{needed / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} GB are free: lower num_factors or "
                "feature_dim, or take a machine with more memory"
            )
