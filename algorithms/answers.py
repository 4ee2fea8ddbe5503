"""Answers: what an algorithm's server replies, where that is more than the columns of `Model.predict` as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recordio.encoding import CELLS, CsvForm

if TYPE_CHECKING:
    from algorithms.contract import Arrays, Model
    from recordio.batch import Batch


def predictions(model: Model, batch: Batch) -> Arrays:
    return model.predict(batch)


@dataclass(frozen=True)
class Output:
    """Something else than predictions, which a request asks for by `output=NAME` behind a type in Accept.

    numbers   of one record, by a model: they bound how many records are answered at once
    columns   as `Model.predict` gives them; Raises UserError when this model has no such thing
    """

    numbers: Callable[[Any], int]
    columns: Callable[[Any, Batch], Arrays]


@dataclass(frozen=True)
class Answers:
    """How requests are answered by a server with certain variables.

    columns   for a request that asks for no output by name. Texts are of type object. A column of None, of that type,
              is one that this model hasn't: it is written as NaN
    names     the order of the columns in JSON; that of `columns` unless given
    csv       how CSV is written
    csv_only  whether all replies are CSV, whatever Accept says, but to requests that ask for an output by name
    """

    columns: Callable[[Any, Batch], Arrays] = predictions
    names: tuple[str, ...] = ()
    outputs: Mapping[str, Output] = field(default_factory=dict)
    csv: CsvForm = CELLS
    csv_only: bool = False
