"""Spellings: every client writes the same Python value in another way; all of them are read, one is written."""

from __future__ import annotations

import json
import re
from typing import Any

from algorithms.forms import Choice, Flag, Form, Many, Number, Text

LONGEST_VALUE = 2500  # characters; the platform's own limit
INTEGER = re.compile(r"[-+]?[0-9]+(\.0*)?")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def as_string(value: object) -> str:
    """One spelling that reads back as the same value."""
    plainly = isinstance(value, str) and plain(value, (Text(),)) == value
    return str(value) if plainly else json.dumps(value)


def plain(raw: Any, forms: tuple[Form, ...]) -> Any:
    """Undo a client's spelling: '"abc"' is abc, 'True' is true, "['a', 'b']" and 'a,b' are lists, 'null' is not set.

    Raises ValueError, with a reason where the forms don't tell it, when no form fits. Ranges are left to pydantic.
    """
    if isinstance(raw, str):
        if len(raw) > LONGEST_VALUE:
            raise ValueError(f"it is longer than {LONGEST_VALUE} characters")
        raw = raw.strip()
        if raw in ("null", "None"):
            return None
        raw = _unquoted(raw)
    if raw is None:
        return None
    reason = ""
    for form in forms:
        try:
            return _in_form(raw, form)
        except ValueError as error:
            reason = reason or str(error)
    raise ValueError(reason)


def _in_form(raw: Any, form: Form) -> Any:
    match form:
        case Choice(values) if raw in values:
            return raw
        case Text() if isinstance(raw, str):
            return raw
        case Flag() if isinstance(raw, bool):
            return raw
        case Flag() if isinstance(raw, str) and raw.lower() in ("true", "false"):
            return raw.lower() == "true"
        case Number(integer) if not isinstance(raw, bool):
            return _integer(raw) if integer else _real(raw)
        case Many(item) if items := _items(raw):
            if isinstance(item, Many) and not all(isinstance(each, list) for each in items):
                raise ValueError
            return [_in_form(each, item) for each in items]
    raise ValueError


def _integer(raw: Any) -> int:
    if isinstance(raw, str) and INTEGER.fullmatch(raw):
        raw = int(raw.partition(".")[0])
    elif isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if not isinstance(raw, int):
        raise ValueError
    if not -(2**63) <= raw < 2**63:
        raise ValueError("it does not fit into 64 bits")
    return raw


def _real(raw: Any) -> float:
    if isinstance(raw, str) and NUMBER.fullmatch(raw):
        return float(raw)
    if not isinstance(raw, int | float):
        raise ValueError
    return raw


def _items(raw: Any) -> list[Any]:
    """A JSON list, what Python prints for a list or tuple, or words between commas."""
    if not isinstance(raw, str):
        return raw if isinstance(raw, list) else []
    if raw.startswith("(") and raw.endswith(")"):
        raw = f"[{raw[1:-1].strip().removesuffix(',')}]"
    if not raw.startswith("["):
        return [part.strip().strip("'\"") for part in raw.split(",")]
    for text in (raw, raw.replace("'", '"')):
        try:
            items: list[Any] = json.loads(text)
        except (ValueError, RecursionError):
            continue
        return items
    return []


def _unquoted(text: str) -> str:
    if len(text) < 2 or not text[0] == text[-1] == '"':
        return text
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        return text
