"""What must be known before the first update: the range of features and labels, and how often classes come."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays, Pool
from algorithms.linear_learner.hyperparameters import LinearLearnerHyperparameters
from algorithms.linear_learner.passes import over, under
from algorithms.linear_learner.scale import Features, Scale, csr
from algorithms.numerics.scaling import Moments, Sizes
from recordio.batch import Batch
from recordio.errors import UserError

SMALLEST = 1e-30  # of a deviation that can be divided by in single precision
KEPT_VALUES = 1 << 25  # of features that wait: 128 MiB


class Preparation:
    """The first records, kept until they have told all that can be told before learning.

    sparse    None before the first batch
    waiting   batches that were not learned yet, with their labels
    flat      dense columns that had one value only, so far, where the mean is taken off   (features,)
    counts    records of each class   (classes,)
    """

    def __init__(self, settings: LinearLearnerHyperparameters) -> None:
        self.settings = settings
        self.sparse: bool | None = None
        self.over = False
        self.waiting: list[Batch] = []
        self.columns: Moments | Sizes | None = None
        self.flat = np.zeros(0, np.bool_)
        self.label = Moments(1)
        self.counts = np.zeros(settings.classes, np.int64)

    def form(self, features: Features) -> Features:
        """float32 in the form of the first batch: dense, or CSR with 32-bit indices."""
        if self.sparse is None:
            self.sparse = not isinstance(features, np.ndarray)
        if not self.sparse:
            dense = features if isinstance(features, np.ndarray) else features.toarray()
            return np.asarray(dense, np.float32)
        rows = features if not isinstance(features, np.ndarray) else _sparse(features)
        if rows.dtype == np.float32 and rows.indices.dtype == rows.indptr.dtype == np.int32:
            return rows
        return csr(
            (rows.data.astype(np.float32), rows.indices.astype(np.int32), rows.indptr.astype(np.int32)), rows.shape
        )

    def add(self, features: Features, labels: NDArray[np.float32]) -> None:
        """Keep records that `form` was given, and see whether there are enough."""
        if self.columns is None:
            self.columns = Sizes(features.shape[1]) if self.sparse else Moments(features.shape[1])
        self.columns.update(features)
        alike = self.columns.constant if isinstance(self.columns, Moments) else np.False_
        self.flat = np.broadcast_to(alike & self._unbias, self.columns.size)
        self.label.update(labels[:, None])
        if self.settings.classes:
            self.counts += np.bincount(labels.astype(np.intp), minlength=self.settings.classes)
        self.waiting.append(Batch(features.copy(), labels.copy()))
        values = sum(batch.features.size for batch in self.waiting)
        self.over = self.label.count >= self.settings.num_point_for_scaler or values >= KEPT_VALUES

    def nothing(self) -> Features:
        """No records, in the form of all batches."""
        assert self.columns is not None
        return self.form(np.empty((0, self.columns.size), np.float32))

    def agree(self, pool: Pool) -> int:
        """Know what all hosts know; what waits stays. Returns the most batches that wait on any host.

        Raises UserError when hosts saw other features, on all of them.
        """
        if pool.hosts == 1:
            return len(self.waiting)
        waiting, self.waiting = self.waiting, []
        told = pool.gathered(self.arrays(), self.values() | {"waiting": 0, "batches": len(waiting)})
        total, *others = (Preparation.restore(self.settings, *each) for each in told)
        for other in others:
            total.merge(other)
        self.__dict__.update(vars(total) | {"waiting": waiting})
        return max(int(values["batches"]) for _, values in told)

    def varies(self, features: Features, pool: Pool) -> bool:
        """Whether columns differ now, on any host, that never did. From then on they count as others do."""
        flat = np.flatnonzero(self.flat)
        if not len(flat):
            return False
        assert self.columns is not None
        assert isinstance(self.columns, Moments)
        found = (features[:, flat] != self.columns.means[flat].astype(np.float32)).any(axis=0)
        differ = pool.sums(found.astype(np.float32))[0] > 0
        self.flat = self.flat.copy()
        self.flat[flat[differ]] = False
        return bool(differ.any())

    def scale(self) -> Scale:
        """Flat columns are scaled to nothing: no weight can be learned for them."""
        settings, columns = self.settings, self.columns
        assert columns is not None
        regression = settings.predictor_type == "regressor"
        dense = isinstance(columns, Moments)
        deviations = columns.deviations if settings.normalize_data is not False else np.ones(columns.size)
        deviations = np.where(deviations > SMALLEST, deviations, 1)
        return Scale(
            sparse=not dense,
            shift=columns.means.astype(np.float32) if isinstance(columns, Moments) and self._unbias else None,
            factor=np.where(self.flat, 0, 1 / deviations).astype(np.float32),
            label_shift=float(self.label.means[0])
            if regression and settings.use_bias and settings.unbias_label is not False
            else 0.0,
            label_unit=float(self.label.deviations[0]) if regression and settings.normalize_label is not False else 1.0,
        )

    def class_weights(self) -> NDArray[np.float32] | None:
        """What records of each class weigh; None where all weigh 1, or candidates differ in it   (classes,)"""
        settings = self.settings
        if settings.predictor_type == "binary_classifier":
            given = settings.positive_example_weight_mult
            if given in ("auto", 1.0):
                return None
            return np.array([1, self.balance if given == "balanced" else given], np.float32)
        if settings.predictor_type == "multiclass_classifier" and settings.balance_multiclass_weights:
            return np.asarray(self.counts.sum() / np.maximum(self.counts, 1), np.float32)
        return None

    @property
    def _unbias(self) -> bool:
        return self.settings.use_bias and self.settings.unbias_data is not False

    @property
    def balance(self) -> float:
        """The weight of class 1 with which both classes have the same total."""
        negatives, positives = self.counts
        return float(negatives / positives) if negatives and positives else 1.0

    def merge(self, other: Preparation) -> None:
        """Add what another worker has seen; nothing may be waiting. Raises UserError for features of another kind."""
        assert not self.waiting and not other.waiting
        if other.columns is None:
            return
        if self.columns is None:
            self.__dict__.update(copy.deepcopy(vars(other)))
            return
        if self.columns.size != other.columns.size:
            raise UserError(
                f"got {other.columns.size} features on one host, expected {self.columns.size} as on another"
            )
        if self.sparse != other.sparse:
            raise UserError("got sparse records on one host and dense records on another, expected one kind on all")
        self.columns.merge(other.columns)  # type: ignore[arg-type]  # of one form
        self.flat = self.flat & other.flat
        if isinstance(self.columns, Moments):
            self.flat &= self.columns.constant
        self.label.merge(other.label)
        self.counts += other.counts

    def arrays(self) -> Arrays:
        found: Arrays = {"classes": self.counts.copy()}
        found |= over("label.", self.label.arrays())
        if self.columns is not None:
            found |= over("columns.", self.columns.arrays()) | {"flat": self.flat.copy()}
        for number, batch in enumerate(self.waiting):
            parts = ("data", "indices", "indptr") if self.sparse else ()
            found |= {f"waiting.{number}.{part}": getattr(batch.features, part) for part in parts}
            found |= {} if self.sparse else {f"waiting.{number}.features": np.asarray(batch.features)}
            assert batch.labels is not None
            found[f"waiting.{number}.labels"] = batch.labels
        return found

    def values(self) -> dict[str, Any]:
        width = None if self.columns is None else self.columns.size
        return {"sparse": self.sparse, "over": self.over, "waiting": len(self.waiting), "features": width}

    @classmethod
    def restore(cls, settings: LinearLearnerHyperparameters, arrays: Arrays, values: dict[str, Any]) -> Preparation:
        made = cls(settings)
        made.sparse, made.over, made.counts = values["sparse"], values["over"], arrays["classes"].copy()
        made.label.restore(under("label.", arrays))
        if values["features"] is not None:
            made.columns = Sizes(values["features"]) if made.sparse else Moments(values["features"])
            made.columns.restore(under("columns.", arrays))
            made.flat = arrays["flat"].copy()
        for number in range(values["waiting"]):
            part = under(f"waiting.{number}.", arrays)
            shape = (len(part["labels"]), values["features"])
            features = csr((part["data"], part["indices"], part["indptr"]), shape) if made.sparse else part["features"]
            made.waiting.append(Batch(features, part["labels"]))
        return made


def _sparse(features: NDArray[Any]) -> Features:
    from scipy.sparse import csr_array

    return csr_array(features)
