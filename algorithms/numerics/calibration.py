"""Thresholds: margins of two classes counted in bins, from which every criterion of a threshold is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from algorithms.numerics.counting import clamped, count

BINS = 1 << 12  # of one class and candidate: they fit the cache, and a bin is 0.8 % of a score at most
MOST_BINS = 1 << 20  # of one class and all candidates: 16 MiB for both classes
FEWEST_BINS = 1 << 8
FINEST = -60  # exponent of widths

CriterionName = Literal["accuracy", "f_beta", "precision_at_target_recall", "recall_at_target_precision"]


@dataclass(frozen=True)
class Criterion:
    """What a threshold is chosen by: the highest `name`.

    target   least recall or precision, for the two criteria that hold one of them
    """

    name: CriterionName
    beta: float = 1.0
    target: float = 0.8

    @property
    def held(self) -> str:
        """What must reach the target; empty for criteria without one."""
        return {"precision_at_target_recall": "recall", "recall_at_target_precision": "precision"}.get(self.name, "")


@dataclass(frozen=True, eq=False)
class Thresholds:
    """The best threshold of each candidate; all (candidates,).

    margins   records at or above are positive
    values    of the criterion, or of what it holds where the target was not reached; nan where it has no meaning
    reached   whether the target was; True for criteria without one
    """

    margins: NDArray[np.float64]
    values: NDArray[np.float64]
    reached: NDArray[np.bool_]


@dataclass(frozen=True)
class Confusion:
    """Records by what they are and what they were taken for."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def accuracy(self) -> float:
        return _ratio(self.true_positives + self.true_negatives, self.positives + self.negatives)

    @property
    def precision(self) -> float:
        """0 where nothing was taken for positive, as there was something to find."""
        return self.true_positives / max(self.true_positives + self.false_positives, 1) if self.positives else np.nan

    @property
    def recall(self) -> float:
        return _ratio(self.true_positives, self.positives)

    def f(self, beta: float) -> float:
        found = (1 + beta**2) * self.true_positives
        return found / (found + beta**2 * self.false_negatives + self.false_positives) if self.positives else np.nan

    @property
    def positives(self) -> int:
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> int:
        return self.true_negatives + self.false_positives


class Histogram:
    """Margins of many candidates, counted by class in bins.

    The bins of a candidate are as wide as the power of two that the range of its margins asks for, and their edges are
    multiples of it. Bins of twice the width are pairs of bins, so the counts of a stream do not depend on its order,
    its batches or its hosts. Margins further than `reach` from the centre are counted as if at that distance, and no
    threshold lies beyond it; so counts at thresholds are exact.

    counts   (candidates, 2 or 4, bins); classes 0 and 1, and with `most` again those of records beyond it
    ranges   lowest and highest margin, less the centre   (2, candidates)
    most     records that thresholds are chosen by: the first ones; None for all
    """

    def __init__(self, candidates: int, centre: float = 0.0, reach: float = 32.0, most: int | None = None) -> None:
        self.centre = centre
        self.reach = reach
        self.most = most
        self.bins = min(BINS, max(FEWEST_BINS, 1 << (MOST_BINS // candidates).bit_length() - 1))
        self.counts = np.zeros((candidates, 2 if most is None else 4, self.bins), np.int64)
        self.ranges = np.full((2, candidates), [[np.inf], [-np.inf]])

    def add(self, margins: NDArray[Any], positive: NDArray[np.bool_]) -> None:
        """Count a batch. nan is counted as the lowest margin.

        margins    (records, candidates)
        positive   (records,)
        """
        kind = margins.dtype.type
        lowest = np.nextafter(kind(-self.reach), kind(-np.inf))
        least, most = self.ranges.astype(kind)
        gaps = np.empty(margins.shape, kind)
        clamped(np.ascontiguousarray(margins), self.centre, lowest, self.reach, least, most, gaps)
        self._extend(np.stack((least, most)))
        exponents, starts = self._bins
        rows = positive.view(np.uint8)
        if self.most is not None:
            rows = rows + np.uint8(2) * (np.arange(len(rows)) >= self.most - self._choosing)
        count(gaps, rows, np.exp2(-exponents).astype(kind), starts, self.counts)

    def merge(self, other: Histogram) -> None:
        """Add what another has counted. Where both have more than `most`, this one's records choose."""
        self._extend(other.ranges)
        moved = Histogram(len(self.counts), self.centre, self.reach, self.most)
        moved.counts, moved.ranges = other.counts, other.ranges
        moved._extend(self.ranges)
        if self.most is not None and self._choosing + other._choosing > self.most:
            self.counts[:, 2:] += moved._all
        else:
            self.counts += moved.counts

    def keep(self, better: NDArray[np.bool_], other: Histogram) -> None:
        """Take these candidates from another histogram."""
        self.counts[better], self.ranges[:, better] = other.counts[better], other.ranges[:, better]

    def thresholds(self, criterion: Criterion) -> Thresholds:
        """For each candidate the edge of a bin that is best by the criterion; of equals, the one nearest the centre.

        An edge that does not reach the target is worse than all that do, and better the nearer it comes.
        """
        positive, negative = self._above(1), self._above(0)
        value, held = _judged(positive[:, 1:], negative[:, 1:], positive[:, :1], negative[:, :1], criterion)
        rank = np.where(held >= criterion.target, 1 + value, held) if criterion.held else value
        exponents, starts = self._bins
        edges = starts[:, None] + np.arange(1, self.bins)
        edges[:, 0], edges[:, -1] = np.minimum(edges[:, 0], 0), np.maximum(edges[:, -1], 0)  # all, none: at the centre
        far = np.abs(np.ldexp(edges.astype(float), exponents[:, None])) > self.reach
        rank = np.where(np.isnan(rank) | far, -1, rank)
        best = rank.max(axis=1, keepdims=True)
        chosen = np.where((rank == best) & ~far, np.abs(edges), np.iinfo(np.int64).max).argmin(axis=1)
        rows = np.arange(len(chosen))
        reached = held[rows, chosen] >= criterion.target if criterion.held else np.ones(len(chosen), bool)
        values = np.where(reached, value[rows, chosen], held[rows, chosen])
        values[best[:, 0] < 0] = np.nan
        return Thresholds(
            self.centre + np.ldexp(edges[rows, chosen].astype(float), exponents), values, reached & ~np.isnan(values)
        )

    def confusion(self, candidate: int, margin: float) -> Confusion:
        """At a threshold that is an edge of this candidate's bins, or the centre."""
        exponents, starts = self._bins
        edge = np.rint(np.ldexp(margin - self.centre, -exponents[candidate])) - starts[candidate]
        cut = int(np.clip(edge, 0, self.bins))
        counts = self._all[candidate]
        (true_negatives, false_negatives), (wrong, right) = (
            part.sum(axis=1).tolist() for part in (counts[:, :cut], counts[:, cut:])
        )
        return Confusion(right, wrong, false_negatives, true_negatives)

    def auc(self) -> NDArray[np.float64]:
        """Area under the ROC curve of each candidate; margins in one bin count as ties. nan without both classes."""
        negatives, positives = np.moveaxis(self._all.astype(float), 1, 0)
        above = positives[:, ::-1].cumsum(axis=1)[:, ::-1]
        won = (negatives[:, :-1] * above[:, 1:]).sum(axis=1) + (negatives * positives).sum(axis=1) / 2
        pairs = negatives.sum(axis=1) * positives.sum(axis=1)
        areas = np.full(len(won), np.nan)
        np.divide(won, pairs, out=areas, where=pairs > 0)
        return areas

    def _above(self, kind: int) -> NDArray[np.float64]:
        """Records of a class that choose thresholds, at or above the lower edge of each bin   (candidates, bins)"""
        return self.counts[:, kind, ::-1].cumsum(axis=1)[:, ::-1].astype(np.float64)

    @property
    def _all(self) -> NDArray[np.int64]:
        """Records by class   (candidates, 2, bins)"""
        return self.counts[:, :2] + self.counts[:, 2:] if self.counts.shape[1] > 2 else self.counts

    @property
    def _choosing(self) -> int:
        """Records that choose thresholds."""
        return int(self.counts[0, :2].sum())

    @property
    def _bins(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Exponents of the widths, and numbers of the first bins. The first and the last are empty.

        No bin is finer than the last bit of the largest margin in float32, so numbers of bins are exact in it, too.
        First bins are multiples of a stride, so that a range that grows by little moves no counts.
        """
        low, high = np.where(self.ranges[0] <= self.ranges[1], self.ranges, 0)
        stride = self.bins // 16
        asked = np.maximum((high - low) / (self.bins - stride - 4), np.maximum(np.abs(low), np.abs(high)) / 2**24)
        exponents = np.frexp(np.maximum(asked, 2.0**FINEST))[1].astype(np.int64)
        firsts = np.floor(np.ldexp(low, -exponents)).astype(np.int64) - 1
        return exponents, firsts // stride * stride

    def _extend(self, ranges: NDArray[np.float64]) -> None:
        """Make room for margins of these ranges."""
        wider = np.stack((np.minimum(self.ranges[0], ranges[0]), np.maximum(self.ranges[1], ranges[1])))
        if (wider == self.ranges).all():
            return
        before, firsts = self._bins
        self.ranges = wider
        after, starts = self._bins
        moved = (before != after) | (firsts != starts)
        if not moved.any():
            return
        self.counts = self.counts.copy()
        for candidate in np.flatnonzero(moved & self.counts.any(axis=(1, 2))):
            places = ((firsts[candidate] + np.arange(self.bins)) >> (after - before)[candidate]) - starts[candidate]
            places = np.clip(places, 0, self.bins - 1)  # of empty bins
            heads = np.flatnonzero(np.diff(places, prepend=-1))
            sums = np.add.reduceat(self.counts[candidate], heads, axis=1)
            self.counts[candidate] = 0
            self.counts[candidate][:, places[heads]] = sums


def _judged(
    found: NDArray[Any], wrong: NDArray[Any], positives: NDArray[Any], negatives: NDArray[Any], criterion: Criterion
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The criterion at every edge, and what it holds to its target; nan where they have no meaning.

    found, wrong          positives and negatives at or above the edge   (candidates, edges)
    positives, negatives  of all records   (candidates, 1)
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        match criterion.name:
            case "accuracy":
                value = (found + negatives - wrong) / (positives + negatives)
                return value, value
            case "f_beta":
                square = criterion.beta**2
                value = (1 + square) * found / (square * positives + found + wrong)
                return np.where(positives > 0, value, np.nan), value
        recall, precision = found / positives, found / (found + wrong)
    precision = np.where(positives > 0, precision, np.nan)
    held = recall if criterion.held == "recall" else precision
    return (precision if held is recall else recall), held


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else np.nan
