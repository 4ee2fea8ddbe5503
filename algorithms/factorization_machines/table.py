"""The rows of a model that learns, one for each feature that has come up: no memory goes to the others."""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays
from algorithms.factorization_machines.first import first_values
from algorithms.factorization_machines.hyperparameters import FactorizationMachinesHyperparameters
from algorithms.factorization_machines.interactions import located
from algorithms.numerics.keys import different, homes
from algorithms.numerics.machine import memory_free, memory_limit
from algorithms.numerics.shards import owned
from recordio.errors import UserError

LANES = 4  # factors that are computed at once; rows are filled up with zeros
MODEL_BYTES = 5  # a weight, with whether it is finite

Slots = NDArray[np.int32]


def columns(factors: int) -> int:
    """Of a row: factors, zeros, and the linear weight."""
    return -(-factors // LANES) * LANES + 1


class Table:
    """Weights and moments by slot. Slots are given to features as they come up.

    features     of each slot                                      (slots,)
    kept         weights, first moment, second moment              (slots, 3, columns)
    counts       updates that each row had                         (slots,)
    hosts, rank  of several hosts, this one keeps the rows of its own features, as `numerics.keys` deals them out

    Arrays have room for as many slots as this host has features, or as memory could hold: the system gives memory to
    those in use. `arrays` gives those.
    """

    features: NDArray[np.int32]
    kept: NDArray[np.float32]
    counts: NDArray[np.int64]
    _where: NDArray[np.int32] | None  # made when it is first needed
    _files: dict[str, IO[bytes]]  # which the arrays are of after `join`

    def __init__(self, settings: FactorizationMachinesHyperparameters) -> None:
        self.settings = settings
        self.columns = columns(settings.num_factors)
        self.used, self.hosts, self.rank = 0, 1, 0
        self._make()

    @property
    def weights(self) -> NDArray[np.float32]:
        """(slots, columns)"""
        return self.kept[: self.used, 0]

    def divide(self, hosts: int, rank: int) -> None:
        """Be the part of one of several hosts from now on; rows of others are dropped."""
        features = self.features[: self.used]
        mine = homes(features, self.settings.feature_dim, hosts)[0] == rank
        self.hosts, self.rank, self._where = hosts, rank, None
        if not mine.all() or not self.used:
            rows = {name: array[mine] for name, array in self.arrays().items()}
            self._make()
            self._append(rows)

    def slots(self, features: NDArray[np.int32]) -> Slots:
        """Where features are, with new rows for those that had none.

        Raises UserError when the memory that is free can't hold more rows, or the model.
        """
        where, places = self._directory, self._places(features)
        found: Slots = where[places, 0]
        if len(found) and found.min() < 0:
            new, _ = different(features[found < 0])
            self._add(new)
            where[self._places(new), 0] = np.arange(self.used - len(new), self.used, dtype=np.int32)
            found = where[places, 0]
        return found

    def located(self, features: NDArray[np.int32]) -> tuple[Slots, Slots, NDArray[np.int32]]:
        """Their slots, as `slots` gives them, the different ones, and where each stands among those."""
        places = self._places(features)
        found = located(places, self._directory)
        if found is None:
            self.slots(features)
            found = located(places, self._directory)
            assert found is not None
        return found

    def merge(self, other: Table) -> None:
        """The mean of both tables, row by row: one counts for the updates that it has made."""
        rows = other.arrays()
        new = self._directory[self._places(rows["features"]), 0] < 0
        slots = self.slots(rows["features"][~new])
        theirs = rows["counts"][~new]
        both = self.counts[slots] + theirs
        share = np.divide(theirs, both, out=np.zeros(len(both)), where=both > 0).astype(np.float32)
        kept = self.kept[slots]
        self.kept[slots] = kept + share[:, None, None] * (rows["kept"][~new] - kept)
        self.counts[slots] = both
        self._append({name: array[new] for name, array in rows.items()})
        self._where = None

    def join(self, other: Table) -> None:
        """Take rows of other features.

        Those of another host are only kept to be read, in files: all rows of a model may be more than memory holds.
        """
        rows = other.arrays()
        if not other.used:
            return
        self._where = None
        if (homes(rows["features"], self.settings.feature_dim, self.hosts)[0] == self.rank).all():
            self._append(rows)
            return
        if not self._files:
            self._files = {name: TemporaryFile() for name in rows}  # noqa: SIM115 - for as long as the table lives
            for name, array in self.arrays().items():
                array.tofile(self._files[name])
        for name, array in rows.items():
            file = self._files[name]
            array.tofile(file)
            file.flush()
            setattr(self, name, np.memmap(file, array.dtype, "c").reshape(-1, *array.shape[1:]))
        self.used += other.used

    def arrays(self) -> Arrays:
        """Those of the slots in use: no copies."""
        return {name: getattr(self, name)[: self.used] for name in ("features", "kept", "counts")}

    def restore(self, arrays: Arrays) -> None:
        """Go on from the arrays of another table of the same columns. Raises UserError for arrays that are none."""
        shapes = {"features": (), "kept": (3, self.columns), "counts": ()}
        features, width = arrays["features"], self.settings.feature_dim
        alike = all(arrays[name].shape == (len(features), *shape) for name, shape in shapes.items())
        known = features.dtype == np.int32 and bool((np.diff(np.sort(features)) > 0).all())
        if not alike or not known or (len(features) and not 0 <= features.min() <= features.max() < width):
            raise UserError("the rows of the state are not those of a model of these hyperparameters")
        self._make()
        self._append(arrays)

    @property
    def _directory(self) -> NDArray[np.int32]:
        """Of the features of this host: their slots, and what `located` needs   (features, 2)"""
        if self._where is None:
            width, leads = self.settings.feature_dim, self.rank == 0
            mine = owned(width, self.hosts, self.rank)
            self._require(8 * mine + leads * width * MODEL_BYTES * self.columns, "A model")
            self._where = np.full((mine, 2), -1, np.int32)
            self._where[self._places(self.features[: self.used]), 0] = np.arange(self.used, dtype=np.int32)
        return self._where

    def _places(self, features: NDArray[np.int32]) -> NDArray[np.int32]:
        """Of features of this host in the directory."""
        return features if self.hosts == 1 else homes(features, self.settings.feature_dim, self.hosts)[1]

    def _make(self) -> None:
        """Room for rows, none of which are in use."""
        mine = owned(self.settings.feature_dim, self.hosts, self.rank)
        rows = min(mine, memory_limit() // self._row_bytes)
        self.features = np.zeros(rows, np.int32)
        self.kept = np.zeros((rows, 3, self.columns), np.float32)
        self.counts = np.zeros(rows, np.int64)
        self.used = self._granted = 0
        self._where = None
        self._files = {}

    def _append(self, rows: Arrays) -> slice:
        """Take rows into use. Returns their slots."""
        new = slice(self.used, self.used + len(rows["features"]))
        if new.stop > self._granted:
            self._granted = min(new.stop + new.stop // 8, max(new.stop, len(self.features)))
            more = (self._granted - self.used) * self._row_bytes
            self._require(more, f"The weights and moments of {new.stop} features")
        if new.stop > len(self.features):  # those in use are files
            before = self.arrays()
            self._make()
            self._append(before)
        for name, array in rows.items():
            getattr(self, name)[new] = array
        self.used = new.stop
        return new

    def _add(self, features: NDArray[np.int32]) -> None:
        """New rows for features, with first values."""
        new = self._append({"features": features})
        settings, factors = self.settings, np.arange(self.settings.num_factors)
        self.kept[new, 0, : len(factors)] = first_values(features, factors, settings.group("factors"))
        if settings.use_linear:
            self.kept[new, 0, -1:] = first_values(features, factors[-1:] + 1, settings.group("linear"))

    @property
    def _row_bytes(self) -> int:
        return 12 * self.columns + 12

    def _require(self, needed: int, what: str) -> None:
        free = memory_free()
        if needed > free:
            raise UserError(
                f"{what} of num_factors {self.settings.num_factors} and feature_dim {self.settings.feature_dim} takes "
                f"{needed / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} GB are free: lower num_factors or "
                "feature_dim, or take a machine with more memory"
            )
