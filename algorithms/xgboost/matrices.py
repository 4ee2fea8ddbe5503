"""Matrices: spooled records as the engine wants them, quantised in memory or in pages on a disk, or as they are."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from algorithms.numerics.machine import memory_free
from algorithms.xgboost.spool import Spool

Rows = NDArray[np.bool_]

# Bytes that the engine takes at its peak, as measured by benchmarks/xgboost.py, and some more.
FOR_A_CELL = 2.5  # of dense records, quantised to one byte, twice
FOR_A_VALUE = 16  # of sparse ones
FOR_A_RECORD = 60
RAW_FOR_A_VALUE = 24  # not quantised: cells as read, as entries of 8 bytes, and these in order of columns
ROOM = 0.8  # of the memory that is free

log = logging.getLogger(__name__)


@dataclass
class Matrices:
    """Makes matrices of one width, all of the same kind.

    quantised   whether the engine needs no more than a bin for each value
    outputs     of the model, for a record
    """

    width: int
    quantised: bool
    outputs: int = 1
    max_bin: int = 256
    _pages: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)

    def choose(self, *spools: Spool) -> None:
        """Keep pages on a disk where memory does not suffice, and say so."""
        need, free = sum(map(self._need, spools)), memory_free()
        kind = "quantised records" if self.quantised else "records as they are"
        if need <= ROOM * free:
            log.info("Training in memory: %s take about %d of %d MiB free.", kind, need >> 20, free >> 20)
            return
        self._pages = tempfile.TemporaryDirectory(prefix="onepass-pages-")
        log.info(
            "Training from pages in %s: in memory, %s would take about %d of %d MiB free.",
            *(self._pages.name, kind, need >> 20, free >> 20),
        )

    def matrix(self, spool: Spool, rows: Rows | None = None, like: xgboost.DMatrix | None = None) -> xgboost.DMatrix:
        """rows   those wanted, or all;  like   the matrix whose bins to take"""
        if not self.quantised and self._pages is None:
            return self._whole(spool, rows)
        source = _Blocks(spool, self.width, rows, self._prefix())
        if not self.quantised:
            return xgboost.DMatrix(source)
        kind: Callable[..., xgboost.DMatrix] = (
            xgboost.QuantileDMatrix if self._pages is None else xgboost.ExtMemQuantileDMatrix
        )
        return kind(source, max_bin=self.max_bin, ref=like)

    def _whole(self, spool: Spool, rows: Rows | None) -> xgboost.DMatrix:
        every = slice(0, len(spool))
        features = spool.features(every, self.width) if len(spool) else np.empty((0, self.width), np.float32)
        return xgboost.DMatrix(features if rows is None else features[rows], **_about(spool, every, rows))

    def _prefix(self) -> str | None:
        if self._pages is None:
            return None
        folder = Path(self._pages.name)
        return str(folder / f"{len([*folder.iterdir()])}-")

    def _need(self, spool: Spool) -> int:
        if not self.quantised:
            each: float = RAW_FOR_A_VALUE
        elif spool.sparse:
            each = FOR_A_VALUE
        else:
            each = FOR_A_CELL * (1 if self.max_bin <= 256 else 2)
        return int(each * spool.values) + FOR_A_RECORD * self.outputs * len(spool)


class _Blocks(xgboost.DataIter):
    """Reads a spool as often as the engine wants."""

    def __init__(self, spool: Spool, width: int, rows: Rows | None, prefix: str | None) -> None:
        self._spool, self._width, self._rows = spool, width, rows
        self.reset()
        super().__init__(cache_prefix=prefix)

    def reset(self) -> None:
        self._blocks = self._spool.blocks(_beginnings(self._spool.groups))
        self._none = True

    def next(self, input_data: Callable[..., Any]) -> bool:
        for block in self._blocks:
            about = _about(self._spool, block, self._rows)
            if self._rows is not None and not self._rows[block].any():
                continue
            features = self._spool.features(block, self._width)
            input_data(data=features if self._rows is None else features[self._rows[block]], **about)
            self._none = False
            return True
        if self._none:  # the engine wants to know of a width at least
            self._none = False
            input_data(data=np.empty((0, self._width), np.float32), label=np.empty(0, np.float32))
            return True
        return False


def _about(spool: Spool, block: slice, rows: Rows | None) -> dict[str, Any]:
    """Labels, weights and queries of some records, by the engine's names."""
    about: dict[str, NDArray[Any] | None] = {"label": spool.labels, "weight": spool.weights, "qid": spool.groups}
    found = {
        name: column[block] if rows is None else column[block][rows[block]]
        for name, column in about.items()
        if column is not None
    }
    if "qid" in found and "weight" in found:  # the engine wants one for each query
        found["weight"] = found["weight"][_beginnings(found["qid"])]
    return found


def _beginnings(groups: NDArray[np.int64] | None) -> Any:
    """First record of each query."""
    if groups is None:
        return None
    return np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.empty(0, np.int64)
