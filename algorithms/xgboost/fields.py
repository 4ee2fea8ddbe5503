"""Fields of a model document, each of the type that it must have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordio.errors import UserError


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{name}: got {type(value).__name__}, expected an object")
    return value


def names(given: Mapping[str, Any], where: str, needed: tuple[str, ...], others: tuple[str, ...] = ()) -> None:
    """A name that is not known could change predictions, so it is not passed over."""
    for name in needed:
        if name not in given:
            raise UserError(f"{where}: has no {name}")
    for name in given:
        if name not in needed and name not in others:
            raise UserError(f"{where}: got {name[:40]!r}, which no version of xgboost known here writes")


def texts(value: Any, name: str) -> dict[str, str]:
    found = dict(mapping(value, name))
    if not all(isinstance(text, str) for text in found.values()):
        raise UserError(f"{name}: expected texts")
    return found


def text_list(value: Any, name: str, length: int) -> list[str]:
    """As many texts, or none."""
    if not isinstance(value, list) or len(value) not in (0, length) or not all(isinstance(one, str) for one in value):
        raise UserError(f"{name}: expected {length} texts or none")
    return value


def count(value: Any, name: str, least: int, most: int) -> int:
    """The library writes its parameters as texts."""
    if not isinstance(value, str) or not (value.isascii() and value.isdigit() and len(value) < 12):
        raise UserError(f"{name}: got {str(value)[:40]!r}, expected a number in a text")
    if not least <= int(value) <= most:
        raise UserError(f"{name}: got {value}, expected {least} to {most}")
    return int(value)


def array(value: Any, name: str, kind: str, length: int | None = None) -> NDArray[Any]:
    """Numbers of one axis as `kind`, such as i4, in which they must fit."""
    wanted = np.dtype(kind)
    if isinstance(value, np.ndarray) and value.dtype.str[1:] == wanted.str[1:] and length in (None, len(value)):
        return value.astype(wanted)  # as of UBJSON, in the order of this machine's bytes
    try:
        found = np.asarray(value) if isinstance(value, list | np.ndarray) else None
    except (ValueError, OverflowError):
        found = None
    if found is None or found.ndim != 1 or found.dtype.kind not in "iufb":
        raise UserError(f"{name}: expected a list of numbers")
    if length is not None and len(found) != length:
        raise UserError(f"{name}: got {len(found)} numbers, expected {length}")
    if wanted.kind in "iu" and len(found):
        limits = np.iinfo(wanted)
        if found.dtype.kind == "f" or int(found.min()) < limits.min or int(found.max()) > limits.max:
            raise UserError(f"{name}: expected integers of {limits.bits} bits")
    with np.errstate(over="ignore"):  # an infinity is refused where it would be sent
        return found.astype(wanted)
