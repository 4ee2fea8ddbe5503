"""Names of classes: what the labels 0, 1, … are called. They travel with a booster, in an attribute."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from algorithms.hyperparameters import shown

if TYPE_CHECKING:
    from xgboost import Booster

ATTRIBUTE = "class_names"
# What the library changes or makes wrong where it writes an attribute as JSON, and what UTF-8 can't hold.
UNFIT = re.compile(r"[\\\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")

log = logging.getLogger(__name__)


def classes_of(objective: str, outputs: int) -> int:
    """How many classes the labels tell apart; 0 for objectives that have none."""
    if objective.startswith("binary:"):
        return 2
    return outputs if objective.startswith("multi:") else 0


def fault(names: Sequence[str], classes: int) -> str:
    """What is wrong with them, or nothing."""
    if len(names) != classes:
        return f"got {len(names)} names, expected {classes}, one for each class"
    before: set[str] = set()
    for number, name in enumerate(names):
        if not name.strip() or name in before or UNFIT.search(name):
            return (
                f"got {shown(name)} for class {number}, expected a text that names no other class, not empty, without "
                "backslashes, control characters and lone surrogates"
            )
        before.add(name)
    return ""


def write_names(booster: Booster, names: Sequence[str]) -> None:
    booster.set_attr(**{ATTRIBUTE: json.dumps(names, ensure_ascii=False)})


def names_of(booster: Booster, classes: int) -> tuple[str, ...]:
    """None where it has none that fit: the attribute may be anybody's, and numbers still are right, so no model is
    refused for it."""
    text = booster.attr(ATTRIBUTE)
    if text is None or not classes:
        return ()
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        wrong = f"got {shown(text)}, expected a JSON list of texts"
    else:
        wrong = fault(names, classes)
    if wrong:
        log.warning("The attribute %s of a booster is passed over: %s", ATTRIBUTE, wrong)
        return ()
    return tuple(names)
