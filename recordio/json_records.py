"""JSON and JSON Lines requests to batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import DTypeLike, NDArray

from recordio.batch import Batch
from recordio.errors import DataError
from recordio.limits import Limits
from recordio.rows import Row, batches, cast, row
from recordio.streams import lines

NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def document_blocks(stream: Iterator[bytes], *, width: int | None, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of one document, {"instances": [...]}."""
    parts, size = [], 0
    for piece in stream:
        size += len(piece)
        if size > limits.record_bytes:
            raise DataError(f"got a JSON document of more than {limits.record_bytes} bytes")
        parts.append(piece)
    document = _parse(b"".join(parts), limits)
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list):
        raise DataError(f'got {_name(document)} without a list of instances, expected {{"instances": [...]}}')
    yield from _blocks(instances, 0, width, dtype, limits)


def line_blocks(stream: Iterator[bytes], *, width: int | None, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    """Batches of the lines that each piece of the stream completes, one instance a line."""
    first = 0
    for text in lines(stream, limits.line_bytes):
        instances = []
        for line in text.split(b"\n"):
            if line.strip():
                try:
                    instances.append(_parse(line, limits))
                except DataError as error:
                    raise DataError(f"record {first + len(instances)}: {error}") from None
        yield from _blocks(instances, first, width, dtype, limits)
        first += len(instances)


def _parse(text: bytes, limits: Limits) -> Any:
    if _depth(text) > limits.json_depth and _depth(_without_strings(text)) > limits.json_depth:
        raise DataError(f"got JSON nested more than {limits.json_depth} deep")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(f"got bytes that are not JSON: {error}") from None


def _depth(text: bytes) -> int:
    """How deep brackets nest, those in strings included."""
    brackets = text.translate(None, NOT_BRACKETS)
    if len(brackets) <= 2:
        return len(brackets)
    codes = np.frombuffer(brackets, np.uint8)
    steps = np.where((codes == ord("[")) | (codes == ord("{")), 1, -1)
    return int(steps.cumsum().max())


def _without_strings(text: bytes) -> bytes:
    parts = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    return b"".join(parts[::2])


def _blocks(instances: list[Any], first: int, width: int | None, dtype: DTypeLike, limits: Limits) -> Iterator[Batch]:
    dense = _dense(instances)
    if dense is not None and dense.shape[1] <= limits.dense_width:
        features = np.empty(dense.shape, dtype)
        cast(dense, features)
        yield Batch(features)
    else:
        yield from batches(_rows(instances, first, width, limits), dtype)


def _dense(instances: list[Any]) -> NDArray[np.float64] | None:
    """All features at once, when each instance is {"features": [numbers]} of one width; else None."""
    try:
        lists = [instance["features"] for instance in instances]
    except (TypeError, KeyError):
        return None
    if set(map(type, lists)) != {list} or len(set(map(len, lists))) != 1 or not lists[0]:
        return None
    numbers = list(chain.from_iterable(lists))
    if not set(map(type, numbers)) <= {int, float}:
        return None
    return np.array(numbers, np.float64).reshape(len(lists), -1)


def _rows(instances: list[Any], first: int, width: int | None, limits: Limits) -> Iterator[Row]:
    for index, instance in enumerate(instances, start=first):
        try:
            yield _row(instance, width, limits)
        except DataError as error:
            raise DataError(f"record {index}: {error}") from None


def _row(instance: Any, width: int | None, limits: Limits) -> Row:
    features = instance
    for name in ("data", "features") if isinstance(instance, dict) and "data" in instance else ("features",):
        if not isinstance(features, dict) or name not in features:
            raise DataError(f'got {_name(features)}, expected an object with "{name}"')
        features = features[name]
    if isinstance(features, list):
        features = {"values": features}
    if not isinstance(features, dict) or "values" not in features:
        raise DataError(f'got {_name(features)}, expected a list of numbers or an object with "values"')
    values = np.array(_numbers(features["values"], "values", int, float), np.float64)
    keys = _numbers(features.get("keys", []), "keys", int)
    if keys and not 0 <= min(keys) <= max(keys) <= limits.sparse_width:
        raise DataError(f"got key {min(keys) if min(keys) < 0 else max(keys)}, expected a column, counted from 0")
    shape = _numbers(features.get("shape", []), "shape", int)
    return row(values, np.array(keys, np.int64), shape, width=width, limits=limits)


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
