"""Hyperparameters of PCA."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from algorithms.hyperparameters import Hyperparameters, hyper

LEAST_EXTRA = 10
LEAST_RANK = 32  # below it, turning a sketch costs more in calls than in products
PAIRED_FEATURES = 1024  # products of all their pairs take 8 MiB, and less than half of a sketch's time


class PCAHyperparameters(Hyperparameters):
    feature_dim: int = hyper("Features in one record.", ge=1, fixed=True)
    num_components: int = hyper("Components, at most feature_dim.", ge=1, refinable=True)
    mini_batch_size: int = hyper("Records in one update.", ge=1)
    algorithm_mode: Literal["regular", "randomized", "stable"] = hyper(
        "regular keeps products of all pairs of features and is exact; randomized keeps a sketch, for more than 1024 "
        "features; stable is another name of regular.",
        default="regular",
        fixed=True,
    )
    extra_components: int = hyper(
        "randomized only: components beyond num_components that the sketch is made for; -1 gives num_components, but "
        "at least 10.",
        default=-1,
        ge=-1,
        fixed=True,
    )
    subtract_mean: bool = hyper(
        "Whether the mean is taken from records, in training and in replies.", default=True, refinable=True
    )
    epochs: int = hyper("Passes over the data; one is enough, others count all records again.", default=1, ge=1)
    half_life_time_size: int = hyper(
        "Records after which a record counts half; 0 for always in full. Not in the original.", default=0, ge=0
    )
    force_dense: bool = hyper("Accepted from clients; sparse records are read as such.", default=True)

    def conflicts(self) -> tuple[Iterable[str], ...]:
        return (self._too_many_components(),)

    def _too_many_components(self) -> Iterator[str]:
        if self.num_components > self.feature_dim:
            yield f"got num_components {self.num_components}, expected at most {self.feature_dim}, the feature_dim"

    @property
    def rank(self) -> int:
        """Rows that a sketch keeps: two for each component, so that none of those is ever shrunk."""
        extra = max(LEAST_EXTRA, self.num_components) if self.extra_components == -1 else self.extra_components
        return max(LEAST_RANK, 2 * (self.num_components + extra))

    @property
    def sketched(self) -> bool:
        """Whether to sketch: not where products of all pairs are quicker, and take little memory too."""
        return self.algorithm_mode == "randomized" and self.feature_dim > max(PAIRED_FEATURES, 2 * self.rank)
