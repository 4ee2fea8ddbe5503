"""What PCA keeps of a stream."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays
from algorithms.numerics import device as devices
from algorithms.numerics.device import Device
from algorithms.numerics.products import Doubles
from algorithms.pca.directions import Directions
from algorithms.pca.hyperparameters import PCAHyperparameters
from algorithms.pca.model import PCAModel, scores
from algorithms.pca.scatter import Scatter
from recordio.batch import Batch
from recordio.errors import UserError


class PCAState:
    """Scatter around the mean of all records, as the sum of that around the means of some records each.

    Records wait until there are enough of them. Then their own mean is taken from them, and their products are added,
    to all pairs of features or to a sketch. What the mean of all moves by is one more row, sqrt(n m / (n + m)) times
    the gap of the means (Chan, Golub and LeVeque 1983, eq. 2.1; as a row, Ross et al. 2008, lemma 1). So nothing is
    ever a difference of large squares, wherever the data lie and drift, and both ways share all this.

    Where the mean is not to be subtracted, it comes back at the end, as one row more.

    With a half-life h, the record before the last i ones counts for 2^(-i/h): rows of that weight's root stand for it.
    Sums fade by as many records as are added, so nothing grows with the stream, whatever its batches are.

    count, mean   records that do not wait any more, by what they count for, and their mean (features,)
    waiting       records less the shift, the first `held` rows   (rows at once + 1, features)
    sums          of the waiting rows   (features,)
    shift         close to their mean, so that single precision holds the rest   (features,)
    """

    def __init__(self, settings: PCAHyperparameters, device: Device | None = None) -> None:
        self.settings = settings
        device = device or devices.best()
        features = settings.feature_dim
        self.sketch: Scatter | Directions = (
            Directions(features, settings.rank, device) if settings.sketched else Scatter(features, device)
        )
        self.count = 0.0
        self.mean = np.zeros(features)
        self.held = 0
        self.waiting = self._room()
        self.sums = np.zeros(features)
        self.shift = np.zeros(features, np.float32)

    def update(self, batch: Batch) -> None:
        """Raises UserError for records of another width, or with values that are nan, infinite or too large."""
        width = self.settings.feature_dim
        if batch.width != width:
            raise UserError(f"got {batch.width} features, expected {width} (hyperparameter feature_dim)")
        start = 0
        while start < len(batch):
            some = batch.features[start : start + self.sketch.rows_at_once - self.held]
            self._hold(some if isinstance(some, np.ndarray) else some.toarray())
            start += some.shape[0]
            if self.held == self.sketch.rows_at_once:
                self._settle()

    def merge(self, other: PCAState) -> None:
        """Raises UserError when one has a sketch and the other all products."""
        other = other._settled()
        if not other.count:
            return
        if not self.count and not self.held:
            self.sketch = self._copied(other.sketch)
            self.count, self.mean, self.shift = other.count, other.mean, other.shift
            return
        self._settle()
        match self.sketch, other.sketch:
            case (Scatter() as mine, Scatter() as more):
                mine.merge(more)
            case (Directions() as mine, Directions() as more):
                mine.merge(more)
            case _:
                raise UserError("got a sketch on one host and products of all pairs on another, expected one kind")
        self.sketch.add(self._joined(other.count, other.mean)[None])

    def finalise(self) -> PCAModel:
        """Raises UserError when no records were seen."""
        ended = self._settled()
        if not ended.count:
            raise UserError("The train channel holds no records: PCA needs at least one.")
        sketch = ended.sketch
        if not self.settings.subtract_mean:
            sketch = self._copied(sketch)
            sketch.add((np.sqrt(ended.count) * ended.mean).astype(np.float32)[None])
        singular, vectors = sketch.components(self.settings.num_components)
        # Either sign would do; this one does not depend on the order of sums.
        vectors = vectors * np.where(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(singular))] < 0, -1, 1)
        total, kept = sketch.total, float(np.square(singular).sum())
        return PCAModel(
            ended.mean.astype(np.float32) if self.settings.subtract_mean else None,
            singular.astype(np.float32),
            np.ascontiguousarray(vectors, np.float32),
            scores(total, max(total - kept, 0.0), ended.count),
            self.settings.model_dump(),
        )

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        arrays = {
            **self.sketch.arrays(),
            "mean": self.mean,
            "waiting": self.waiting[: self.held],
            "sums": self.sums,
            "shift": self.shift,
        }
        values = {"count": self.count, **self.sketch.values()}
        return {name: array.copy() for name, array in arrays.items()}, values

    @classmethod
    def restore(cls, settings: PCAHyperparameters, arrays: Arrays, values: dict[str, Any]) -> PCAState:
        """Raises UserError when the state was trained in another way, or does not reach so many components."""
        if "directions" in arrays and settings.algorithm_mode != "randomized":
            raise UserError(f"got algorithm_mode '{settings.algorithm_mode}' for a sketch, expected 'randomized'")
        state = cls(settings)
        kind = Directions if "directions" in arrays else Scatter
        state.sketch = kind.restore(arrays, values, state.sketch.device)
        if settings.num_components > state.sketch.reach:
            raise UserError(
                f"got num_components {settings.num_components}, expected at most {state.sketch.reach}, which the "
                "state reaches: train again with more extra_components"
            )
        state.count, state.mean = values["count"], arrays["mean"].copy()
        state.waiting = state._room()
        state.held = len(arrays["waiting"])
        state.waiting[: state.held] = arrays["waiting"]
        state.sums, state.shift = arrays["sums"].copy(), arrays["shift"].copy()
        return state

    def _room(self) -> NDArray[np.float32]:
        return np.empty((self.sketch.rows_at_once + 1, self.settings.feature_dim), np.float32)

    def _hold(self, rows: NDArray[Any]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            if not self.count and not self.held:
                self.shift = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
            held = self.waiting[self.held : self.held + len(rows)]
            np.subtract(rows, self.shift, out=held, casting="same_kind")
            sums = np.ones(len(rows), np.float32) @ held
        if not np.isfinite(sums).all():
            raise UserError("got a value that is nan, infinite or too large to sum up, expected finite numbers")
        self.sums += sums
        self.held += len(rows)

    def _settle(self) -> None:
        """Learn the rows that wait."""
        if not self.held:
            return
        rows, weights = self.waiting[: self.held], self._fade()
        count = float(self.held if weights is None else weights.sum())
        sums = self.sums if weights is None else weights.astype(np.float32) @ rows
        centre = (sums / count).astype(np.float32)
        rows -= centre
        if weights is not None:
            rows *= np.sqrt(weights).astype(np.float32)[:, None]
        self.waiting[self.held] = self._joined(count, centre.astype(np.float64) + self.shift)
        self.sketch.add(self.waiting[: self.held + 1])
        self.held, self.sums = 0, np.zeros_like(self.sums)

    def _fade(self) -> Doubles | None:
        """Weigh what was seen less by the rows that wait; returns their own weights, or None for 1   (held,)"""
        half_life = self.settings.half_life_time_size
        if not half_life:
            return None
        share = 2 ** (-self.held / half_life)
        self.sketch.fade(share)
        self.count *= share
        return np.exp2(-np.arange(self.held - 1, -1, -1) / half_life)

    def _joined(self, count: float, mean: Doubles) -> NDArray[np.float32]:
        """Count records of another mean; returns the row that stands for the gap   (features,)"""
        gap = mean - self.mean
        total = self.count + count
        row: NDArray[np.float32] = (np.sqrt(self.count / total * count) * gap).astype(np.float32)
        self.mean = self.mean + gap * (count / total)
        self.count = total
        self.shift = self.mean.astype(np.float32)
        return row

    def _settled(self) -> PCAState:
        """This state as it would be without rows that wait; this one does not change."""
        if not self.held:
            return self
        settled = copy.copy(self)
        settled.sketch, settled.waiting = self._copied(self.sketch), self.waiting.copy()
        settled._settle()
        return settled

    @staticmethod
    def _copied(sketch: Scatter | Directions) -> Scatter | Directions:
        return sketch.restore(sketch.arrays(), sketch.values(), sketch.device)
