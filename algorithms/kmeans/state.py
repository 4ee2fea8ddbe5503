"""What K-Means keeps of a stream."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.contract import Arrays
from algorithms.kmeans.cells import Cells
from algorithms.kmeans.hyperparameters import KMeansHyperparameters
from algorithms.kmeans.model import KMeansModel
from algorithms.kmeans.shrink import shrink
from algorithms.numerics import device as devices
from algorithms.numerics.device import Device
from algorithms.numerics.distances import ROUNDING, Rows, nearest
from algorithms.numerics.randomness import freeze, thaw
from algorithms.numerics.sample import Sample, draw
from recordio.batch import Batch
from recordio.errors import UserError

log = logging.getLogger(__name__)

SAMPLE_BATCHES = 10  # mini-batches in the sample,
SAMPLE_ROWS = 400  # or as many rows for each centre,
SAMPLE_VALUES = 1 << 23  # but no more values than these, 32 MiB,
FEWEST_SAMPLE_ROWS = 100  # unless centres would get fewer rows than this
FOUNDERS = 0.3  # of the working centres, at most, that one batch may propose
FEWEST_FOUNDERS = 16
FORGOTTEN = 1e-6  # records; a cell faded so far gives up its place
GAIN = 2.0  # times the price; with less, noise goes on founding centres that are merged again
SEED_ROUNDS = 16  # of kmeans++ on the first batch, one product each


class KMeansState:
    """K working centres with weight, mean and spread, and a uniform sample of the records.

    Running means as in web-scale k-means (Sculley 2010). Records far from all centres found new ones, as in online
    facility location (Braverman et al. 2011), and the pairs that are cheapest to merge make room for them; so centres
    follow outliers, and streams in which one cluster comes after the other.

    cells      the working centres, at most `capacity`, which is K
    price      what the dearest merge of the last reduction cost; founding a centre must gain more
    founders   how many records of the next batch may propose themselves: twice as many as last were worth it
    """

    def __init__(
        self, settings: KMeansHyperparameters, generator: np.random.Generator, device: Device | None = None
    ) -> None:
        self.settings = settings
        self.generator = generator
        self.device = device or devices.best()
        self.capacity = settings.k * settings.center_factor
        wanted = max(SAMPLE_BATCHES * settings.mini_batch_size, SAMPLE_ROWS * settings.k)
        affordable = max(SAMPLE_VALUES // settings.feature_dim, FEWEST_SAMPLE_ROWS * settings.k)
        self.sample = Sample(min(wanted, max(affordable, settings.mini_batch_size)))
        self.cells = Cells.at(np.empty((0, settings.feature_dim)))
        self.price = 0.0
        self.founders = self.most_founders

    def update(self, batch: Batch) -> None:
        settings = self.settings
        if batch.width != settings.feature_dim:
            raise UserError(f"got {batch.width} features, expected {settings.feature_dim} (hyperparameter feature_dim)")
        if not len(batch):
            return
        with np.errstate(over="ignore"):  # an infinity is refused below
            x = np.asarray(batch.features, np.float32)
        if not len(self.cells) and len(x) < settings.mini_batch_size:
            log.info(
                "Batch size %d is bigger than the first batch data. Effective batch size used to initialize is %d",
                settings.mini_batch_size,
                len(x),
            )
        rows = Rows.of(x, self.device)
        if settings.half_life_time_size:
            self._fade(len(x))
        self.sample.update(x, self.generator)
        if len(self.cells) < self.capacity:
            self._fill(rows)
        labels, gaps = nearest(rows, self.cells.means)
        labels = self._found(rows, labels, gaps)
        self.cells.absorb(Cells.of(rows, labels, np.ones(len(rows)), len(self.cells)))
        self.cells = self.cells.seen()
        if len(self.cells) > self.capacity:
            self.cells, self.price = self.cells.reduced(self.capacity)

    def merge(self, other: KMeansState) -> None:
        if not len(other.cells):
            return
        self.cells = self.cells + other.cells
        self.price, self.founders = max(self.price, other.price), max(self.founders, other.founders)
        if len(self.cells) > self.capacity:
            self.cells, self.price = self.cells.reduced(self.capacity)
        self.sample.merge(other.sample)

    def finalise(self) -> KMeansModel:
        """Raises UserError when no records were seen."""
        if not len(self.cells):
            raise UserError("The train channel holds no records: K-Means needs at least one.")
        generator = thaw(freeze(self.generator))
        centres, msd = shrink(self.cells, self.sample.rows, self.settings, generator, self.device)
        resolved = {
            "extra_center_factor": self.capacity // self.settings.k,
            "local_lloyd_num_trials": self.settings.trials,
        }
        return KMeansModel(centres.astype(np.float32), {"msd": msd}, self.settings.model_dump() | resolved)

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        arrays: Arrays = {
            "weights": self.cells.weights.copy(),
            "means": self.cells.means.copy(),
            "scatters": self.cells.scatters.copy(),
            "sample_rows": self.sample.rows.copy(),
            "sample_keys": self.sample.keys.copy(),
        }
        return arrays, {
            "generator": freeze(self.generator),
            "capacity": self.capacity,
            "price": self.price,
            "founders": self.founders,
            "sample_size": self.sample.size,
            "sample_clock": self.sample.clock,
            "sample_limit": None if self.sample.limit == np.inf else self.sample.limit,
        }

    @classmethod
    def restore(cls, settings: KMeansHyperparameters, arrays: Arrays, values: dict[str, Any]) -> KMeansState:
        """Raises UserError when k is larger than the state allows."""
        capacity = values["capacity"]
        if settings.k > capacity:
            raise UserError(
                f"got k={settings.k}, expected at most {capacity}, the working centers that the state was trained with"
            )
        state = cls(settings, thaw(values["generator"]))
        state.capacity, state.price, state.founders = capacity, values["price"], values["founders"]
        state.cells = Cells(arrays["weights"].copy(), arrays["means"].copy(), arrays["scatters"].copy())
        limit = np.inf if values["sample_limit"] is None else values["sample_limit"]
        state.sample = Sample.of(
            values["sample_size"], values["sample_clock"], limit, arrays["sample_rows"], arrays["sample_keys"]
        )
        return state

    @property
    def most_founders(self) -> int:
        return max(FEWEST_FOUNDERS, int(FOUNDERS * self.capacity))

    def _fade(self, records: int) -> None:
        """Weigh what was seen before these records less."""
        halvings = records / self.settings.half_life_time_size
        self.cells.weights *= 0.5**halvings
        self.cells.scatters *= 0.5**halvings
        self.price *= 0.5**halvings
        self.sample.clock += halvings
        self.cells = self.cells.seen(FORGOTTEN)

    def _fill(self, rows: Rows) -> None:
        """Draw records for the places that are free: all of them in the first batch."""
        free = self.capacity - len(self.cells)
        if self.settings.init_method == "random" or len(rows) <= free:
            chosen = draw(np.ones(len(rows)), free, self.generator)
        else:
            chosen = self._spread_out(rows, free)
        self.cells = self.cells + Cells.at(rows.at(chosen))

    def _spread_out(self, rows: Rows, count: int) -> NDArray[np.int64]:
        """Records in proportion to squared distance, several in a round as in k-means|| (Bahmani et al. 2012)."""
        chosen = draw(np.ones(len(rows)), 1, self.generator) if not len(self.cells) else np.empty(0, np.int64)
        centres = rows.at(chosen) if len(chosen) else self.cells.means
        gaps = np.full(len(rows), np.inf)
        while len(chosen) < count:
            gaps = np.minimum(gaps, nearest(rows, centres)[1])
            gaps[chosen] = 0
            drawn = draw(gaps, min(count - len(chosen), 1 + min(len(chosen), count // SEED_ROUNDS)), self.generator)
            if not len(drawn):
                break
            chosen, centres = np.concatenate((chosen, drawn)), rows.at(drawn)
        return chosen

    def _found(self, rows: Rows, labels: NDArray[np.int64], gaps: NDArray[Any]) -> NDArray[np.int64]:
        """Let records far from all centres found new ones, where that gains more than merging two centres costs.

        returns   labels, in which the new cells follow the old ones   (records,)
        """
        gaps = np.where(gaps > ROUNDING * rows.norms, gaps, 0)
        drawn = draw(gaps, self.founders, self.generator)
        if not len(drawn):
            return labels
        founders = rows.at(drawn)
        nearer, new_gaps = nearest(rows, founders)
        nearer[drawn], new_gaps[drawn] = np.arange(len(drawn)), 0
        gains = np.maximum(gaps - new_gaps, 0)
        worth = np.bincount(nearer, weights=gains, minlength=len(drawn)) > GAIN * self.price
        accepted = np.count_nonzero(worth)
        self.founders = int(np.clip(2 * accepted, FEWEST_FOUNDERS, self.most_founders))
        if accepted:
            labels = np.where((gains > 0) & worth[nearer], len(self.cells) + np.cumsum(worth)[nearer] - 1, labels)
            self.cells = self.cells + Cells.at(founders[worth])
        return labels
