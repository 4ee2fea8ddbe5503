"""JSON and JSON Lines to batches: {"instances": [...]}, or an instance a line.

An instance holds "features", dense or sparse, by itself or in "data"; beside them it may hold "label", a number or a
list of numbers. A feature that is null is nan. Other names are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from types import NoneType
from typing import Any

import numpy as np
import orjson
from numpy.typing import DTypeLike, NDArray

from recordio import json_lines
from recordio.batch import Batch
from recordio.errors import DataError
from recordio.limits import Limits
from recordio.rows import Row, batches, cast, labels_of, row
from recordio.streams import Text, lines

GROUP = 256  # records parsed one by one before the compiled pass is tried again
LINE = re.compile(rb"[^ \t\r\n][^\n]*")


def document_blocks(stream: Iterator[bytes], *, width: int | None, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of one document, {"instances": [...]}."""
    text = bytearray()
    for piece in stream:
        text += piece
        if len(text) > limits.record_bytes:
            raise DataError(f"got a JSON document of more than {limits.record_bytes} bytes")
    document = _parse(text, limits)
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list):
        raise DataError(f'got {_name(document)} without a list of instances, expected {{"instances": [...]}}')
    yield from _blocks(iter(instances), 0, width, dtype, limits)


def line_blocks(stream: Iterator[bytes], *, width: int | None, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of the lines that each piece of the stream completes, one instance a line."""
    first = 0
    for text in lines(stream, limits.line_bytes):
        start = 0
        while start < len(text):
            features, labels, start = json_lines.read(text, start, limits.dense_width, dtype)
            if len(features):
                yield Batch(features, labels_of(labels))
                first += len(features)
                continue
            if (width_found := features.shape[1]) > limits.dense_width:
                raise DataError(f"record {first}: got {width_found} values, the limit is {limits.dense_width}")
            found = list(islice(LINE.finditer(text, start), GROUP))
            yield from _blocks(_instances(found, first, limits), first, width, dtype, limits)
            start = found[-1].end() if found else len(text)
            first += len(found)


def _instances(found: Iterable[re.Match[bytes]], first: int, limits: Limits) -> Iterator[Any]:
    for record, match in enumerate(found, start=first):
        try:
            yield _parse(match[0], limits)
        except DataError as error:
            raise DataError(f"record {record}: {error}") from None


def _parse(text: Text, limits: Limits) -> Any:
    depth, size = json_lines.extent(text)
    if depth > limits.json_depth:
        raise DataError(f"got JSON nested more than {limits.json_depth} deep")
    if size > (most := limits.dense_width + limits.overhead_bytes):
        raise DataError(f"got more in one piece of JSON than {most} numbers take")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(f"got bytes that are not JSON: {error}") from None


def _blocks(
    instances: Iterator[Any], first: int, width: int | None, dtype: DTypeLike, limits: Limits
) -> Iterator[Batch]:
    """Batches of all instances before the first fault, which is then raised."""
    found, fault = _before_fault(instances)
    dense = _dense(found)
    if dense is not None and dense.shape[1] <= limits.dense_width:
        features = np.empty(dense.shape, dtype)
        cast(dense, features)
        yield Batch(features)
    else:
        rows, wrong_row = _before_fault(_rows(found, first, width, limits))
        yield from batches(rows, dtype)
        fault = wrong_row or fault
    if fault is not None:
        raise fault


def _before_fault(some: Iterator[Any]) -> tuple[list[Any], DataError | None]:
    found = []
    try:
        for one in some:
            found.append(one)
    except DataError as fault:
        return found, fault
    return found, None


def _dense(instances: list[Any]) -> NDArray[np.float64] | None:
    """All features at once, when each instance has a list of as many numbers, and no label; else None."""
    try:
        lists = [instance["features"] for instance in instances if "label" not in instance]
    except (TypeError, KeyError):
        return None
    if len(lists) < len(instances) or set(map(type, lists)) != {list} or len(set(map(len, lists))) != 1 or not lists[0]:
        return None
    numbers = list(chain.from_iterable(lists))
    if not set(map(type, numbers)) <= {int, float, NoneType}:
        return None
    return np.array(numbers, np.float64).reshape(len(lists), -1)  # None becomes nan


def _rows(instances: list[Any], first: int, width: int | None, limits: Limits) -> Iterator[Row]:
    for index, instance in enumerate(instances, start=first):
        try:
            yield _row(instance, width, limits)
        except DataError as error:
            raise DataError(f"record {index}: {error}") from None


def _row(instance: Any, width: int | None, limits: Limits) -> Row:
    features = instance
    for name in ("data", "features") if isinstance(instance, dict) and "features" not in instance else ("features",):
        if not isinstance(features, dict) or name not in features:
            raise DataError(f'got {_name(features)}, expected an object with "features"')
        features = features[name]
    label = instance.get("label", [])
    labels = _numbers(label if isinstance(label, list) else [label], "label", int, float)
    if isinstance(features, list):
        features = {"values": features}
    if not isinstance(features, dict) or "values" not in features:
        raise DataError(f'got {_name(features)}, expected a list of numbers or an object with "values"')
    values = np.array(_numbers(features["values"], "values", int, float, NoneType), np.float64)
    keys = _numbers(features.get("keys", []), "keys", int)
    if keys and not 0 <= min(keys) <= max(keys) <= limits.sparse_width:
        raise DataError(f"got key {min(keys) if min(keys) < 0 else max(keys)}, expected a column, counted from 0")
    shape = _numbers(features.get("shape", []), "shape", int)
    numbers = np.array(labels, np.float64)
    return row(values, np.array(keys, np.int64), shape, numbers, width=width, limits=limits)


def _numbers(values: Any, name: str, *kinds: type) -> list[Any]:
    expected = "a number" if float in kinds else "an integer"
    if not isinstance(values, list):
        raise DataError(f"got {_name(values)} as {name}, expected a list")
    if not set(map(type, values)) <= set(kinds):
        place, value = next((place, value) for place, value in enumerate(values) if type(value) not in kinds)
        raise DataError(f"got {_name(value)} in {name}, place {place}, expected {expected}")
    return values


def _name(value: Any) -> str:
    """What a JSON value is, for error texts."""
    if value is None or isinstance(value, bool | int | float | str):
        return orjson.dumps(value).decode()[:40]
    return "a list" if isinstance(value, list) else "an object"
