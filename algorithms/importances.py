"""Importances: how much each feature matters to a model, for its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Importances:
    """What a model tells of itself.

    facts     of the model as a whole, by name
    measures  names of the columns: the first one orders the features
    features  by name, a value for each measure, the largest of the first measure first; those that the model uses
    """

    facts: Mapping[str, str | int | float]
    measures: tuple[str, ...]
    features: tuple[tuple[str, tuple[float, ...]], ...]
