"""Matrices: spooled records as the engine wants them, as bins or as they are, in memory or in pages on a disk."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from algorithms.numerics.machine import memory_free
from algorithms.xgboost.spool import Spool, scratch_folder

Rows = NDArray[np.bool_]

# Bytes that the engine takes at its peak, as measured, and a little more.
BINNED_CELL = 3.0  # of dense records: a byte each, in order of records and of features
BINNED_VALUE = 30.0  # of sparse records
PLAIN_VALUE = 24.0  # as read, as entries, and as entries in order of features
OUTPUT = 80  # of a record: gradients, margins, and where it is in the tree
SKETCH = 20.0  # of a value of a feature, of the first
SKETCHED_VALUES = 16384
ROOM = 0.8  # of the memory that is free

log = logging.getLogger(__name__)


@dataclass
class Matrices:
    """Makes matrices of one width, all of the same kind.

    binned    whether the engine needs no more than a bin of each value
    paged     whether it can do with a part of the records in memory
    outputs   of the model, for a record
    """

    width: int
    binned: bool
    paged: bool
    outputs: int = 1
    max_bin: int = 256
    _folder: str | None = field(default=None, init=False)
    _made: int = field(default=0, init=False)

    def choose(self, *spools: Spool) -> None:
        """Take to pages where memory does not suffice, and say so."""
        need, free = sum(map(self._need, spools)), memory_free()
        kind = "bins of the records" if self.binned else "records as they are"
        if need <= ROOM * free:
            log.info("Training in memory: %s take about %d of %d MiB that are free.", kind, need >> 20, free >> 20)
        elif not self.paged:
            log.warning(
                "Training in memory, though %s take about %d MiB and %d are free: tree_method hist would do with less.",
                *(kind, need >> 20, free >> 20),
            )
        else:
            self._folder = tempfile.mkdtemp(prefix="onepass-pages-", dir=scratch_folder())
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            log.info(
                "Training from pages in %s: in memory, %s would take about %d MiB, and %d are free.",
                *(self._folder, kind, need >> 20, free >> 20),
            )

    def matrix(self, spool: Spool, rows: Rows | None = None, like: xgboost.DMatrix | None = None) -> xgboost.DMatrix:
        """rows   those wanted, or all;  like   the matrix whose bins to take"""
        self._made += 1
        if self._folder is None and not self.binned:
            return self._whole(spool, rows)
        source = _Blocks(spool, self.width, rows, None if self._folder is None else f"{self._folder}/{self._made}")
        if not self.binned:
            return xgboost.DMatrix(source)
        kind: Callable[..., xgboost.DMatrix] = (
            xgboost.QuantileDMatrix if self._folder is None else xgboost.ExtMemQuantileDMatrix
        )
        return kind(source, max_bin=self.max_bin, ref=like)

    def _whole(self, spool: Spool, rows: Rows | None) -> xgboost.DMatrix:
        every = slice(0, len(spool))
        features = spool.features(every, self.width) if len(spool) else np.empty((0, self.width), np.float32)
        try:
            return xgboost.DMatrix(features if rows is None else features[rows], **_about(spool, every, rows))
        finally:
            spool.forget()

    def _need(self, spool: Spool) -> int:
        values, records = spool.values, len(spool)
        if not self.binned:
            return int(PLAIN_VALUE * values) + OUTPUT * self.outputs * records
        each = BINNED_VALUE if spool.sparse else BINNED_CELL * (1 if self.max_bin <= 256 else 2)
        sketch = SKETCH * min(values, self.width * SKETCHED_VALUES)
        return int(each * values + sketch) + OUTPUT * self.outputs * records


class _Blocks(xgboost.DataIter):
    """Reads a spool as often as the engine wants."""

    def __init__(self, spool: Spool, width: int, rows: Rows | None, prefix: str | None) -> None:
        self._spool, self._width, self._rows = spool, width, rows
        self._cuts = _beginnings(spool.groups)
        self.reset()
        super().__init__(cache_prefix=prefix)

    def reset(self) -> None:
        self._blocks = self._spool.blocks(self._cuts)
        self._none = True

    def next(self, input_data: Callable[..., Any]) -> bool:
        for block in self._blocks:
            rows = None if self._rows is None else self._rows[block]
            if rows is not None and not rows.any():
                continue
            features = self._spool.features(block, self._width)
            input_data(data=features if rows is None else features[rows], **_about(self._spool, block, rows))
            self._none = False
            return True
        if self._none:  # the engine wants to know the width at least
            self._none = False
            input_data(data=np.empty((0, self._width), np.float32), **_about(self._spool, slice(0, 0), None))
            return True
        return False


def _about(spool: Spool, block: slice, rows: Rows | None) -> dict[str, Any]:
    """Labels, weights and queries of some records, by the engine's names."""
    about: dict[str, NDArray[Any] | None] = {"label": spool.labels, "weight": spool.weights, "qid": spool.groups}
    found = {
        name: column[block] if rows is None else column[block][rows]
        for name, column in about.items()
        if column is not None
    }
    if "qid" in found and "weight" in found:  # the engine wants one for each query
        found["weight"] = found["weight"][_beginnings(found["qid"])]
    if "qid" in found:  # in rising order, though ids may be any
        groups = found["qid"]
        found["qid"] = np.cumsum(np.r_[False, groups[1:] != groups[:-1]][: len(groups)])
    if spool.bounds and "label" in found:  # of one label, both are it
        labels = found.pop("label")
        lower, upper = (labels, labels) if labels.ndim == 1 else (labels[:, 0], labels[:, -1])
        found |= {"label_lower_bound": lower, "label_upper_bound": upper}
    return found


def _beginnings(groups: NDArray[np.int64] | None) -> Any:
    """First record of each query."""
    if groups is None:
        return None
    return np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.empty(0, np.int64)
