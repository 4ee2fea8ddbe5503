"""Recommendations: the features that score best beside those of a user, by a model that can tell.

A user is a set of features, such as a number of a customer and of a country. Items are features, too: each is tried as
one more of value 1.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import algorithms
from algorithms.contract import Algorithm, Model
from local.models import algorithm_name, opened
from local.storage.service import Place
from local.tables import formats, inputs
from recordio import blocks
from recordio.batch import Batch
from recordio.errors import UserError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MOST_SCORES = 1 << 22  # at once


@dataclass(frozen=True)
class User:
    """`name` is how it was given; `features` are values by number."""

    name: str
    features: Mapping[int, float]

    @classmethod
    def parse(cls, text: str) -> User:
        """Read KEY[:VALUE][,KEY[:VALUE]…]. Raises ValueError."""
        features: dict[int, float] = {}
        for word in text.split(","):
            key, colon, value = word.strip().partition(":")
            try:
                number = float(value) if colon else 1.0
            except ValueError:
                number = math.nan
            if not (key.isascii() and key.isdigit() and len(key) < 11) or not math.isfinite(number):
                raise ValueError(f"got '{formats.printable(text)}', expected KEY[:VALUE][,KEY[:VALUE]…]")
            features[int(key)] = number
        return cls(text.strip(), features)


@dataclass(frozen=True)
class Recommendation:
    """items   (feature, score), the best first"""

    user: User
    items: tuple[tuple[int, float], ...]


def recommendations(
    model: Place,
    users: Sequence[User],
    items: range,
    top: int,
    *,
    seen: str | None = None,
    algorithm: str | None = None,
) -> list[Recommendation]:
    """The best items of each user.

    seen       records: items that stand in one with all features of a user are left out for that user
    algorithm  where the model does not say which it is of
    Raises UserError for a model that can't recommend, and for features that it does not have.
    """
    import numpy as np

    with opened(model) as directory:
        declared, loaded = _loaded(directory, algorithm)
    assert declared.recommend is not None
    _check(users, items, loaded.feature_dim)
    candidates = np.asarray(items)
    known = _csr(users, loaded.feature_dim)
    hidden = [set[int]() for _ in users] if seen is None else _seen(seen, known, items)
    found = []
    step = max(1, MOST_SCORES // len(items))
    for start in range(0, len(users), step):
        scores = declared.recommend(loaded, Batch(known[start : start + step]), candidates)
        for user, row, left_out in zip(users[start:], scores, hidden[start:], strict=False):
            row[[number - items[0] for number in left_out]] = -np.inf
            count = min(top, len(items) - len(left_out))
            best = np.argsort(-row, kind="stable")[:count]
            found.append(Recommendation(user, tuple((items[place], float(row[place])) for place in best)))
    return found


def users_of(path: Path) -> Iterator[User]:
    """One on each line of a file. Raises UserError."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            try:
                if line.strip():
                    yield User.parse(line.strip())
            except ValueError as error:
                raise UserError(f"{path}, line {number}: {error}") from error


def facts(found: Iterable[Recommendation]) -> list[dict[str, Any]]:
    """As values that JSON has."""
    return [
        {"user": one.user.name, "items": [{"item": item, "score": score} for item, score in one.items]} for one in found
    ]


def show(found: Iterable[Recommendation]) -> None:
    """Print a table, a row for each item."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("user", "rank", "item", "score"):
        table.add_column(name, justify="right")
    for one in found:
        for rank, (item, score) in enumerate(one.items, 1):
            table.add_row(Text(one.user.name if rank == 1 else ""), str(rank), str(item), f"{score:.6g}")
    Console(highlight=False).print(table)


def _loaded(directory: Path, algorithm: str | None) -> tuple[Algorithm, Model]:
    able = [name for name in sorted(algorithms.TABLE) if algorithms.algorithm(name).recommend is not None]
    name = algorithm or algorithm_name(directory)
    if name is None:
        raise UserError(f"The model does not say which algorithm made it: name it with --algorithm, {_listed(able)}")
    declared = algorithms.algorithm(name)
    if declared.recommend is None:
        raise UserError(f"{name} recommends nothing: expected a model of {_listed(able)}")
    return declared, declared.load(directory)


def _listed(names: Sequence[str]) -> str:
    return f"{'one of ' * (len(names) > 1)}{', '.join(names)}"


def _check(users: Sequence[User], items: range, width: int) -> None:
    if not users:
        raise UserError("--users holds no users, expected one on each line")
    if items[-1] >= width:
        raise UserError(f"--items: got {items[0]}:{items[-1]}, expected features up to {width - 1}, the model's last")
    for user in users:
        for number in user.features:
            if number >= width or number in items:
                why = "is one of the items" if number in items else f"is not a feature of the model (0 to {width - 1})"
                raise UserError(f"User {formats.printable(user.name)}: {number} {why}")


def _csr(users: Sequence[User], width: int) -> csr_array[Any]:
    import numpy as np
    from scipy.sparse import csr_array

    keys = [sorted(user.features) for user in users]
    values = [user.features[key] for user, own in zip(users, keys, strict=True) for key in own]
    starts = np.cumsum([0, *map(len, keys)], dtype=np.int32)
    flat = np.array([key for own in keys for key in own], np.int32)
    return csr_array((np.array(values, np.float32), flat, starts), shape=(len(users), width))


def _seen(given: str, users: csr_array[Any], items: range) -> list[set[int]]:
    """Items that stand in a record with all features of a user, for each user."""
    import numpy as np

    asked = _ones(users)
    needed = np.diff(asked.indptr)
    found = [set[int]() for _ in needed]
    for batch in _batches(given, users.shape[1]):
        there = _ones(batch.features)
        matches = (there @ asked.T).tocoo()
        own = there[:, items[0] : items[-1] + 1]
        whole = matches.data == needed[matches.col]
        for record, user in zip(matches.row[whole], matches.col[whole], strict=True):
            found[user].update((own.indices[own.indptr[record] : own.indptr[record + 1]] + items[0]).tolist())
    return found


def _ones(values: Any) -> csr_array[Any]:
    """A one for each value that is not 0."""
    from scipy.sparse import csr_array

    ones = csr_array(values, copy=True)
    ones.eliminate_zeros()
    ones.data[:] = 1
    return ones


def _batches(given: str, width: int) -> Iterator[Batch]:
    for one in inputs.inputs(given):
        with contextlib.ExitStack() as stack:
            stream, _ = stack.enter_context(inputs.opened(one))
            content_type = formats.by_ending(one.name) or formats.by_content(stream.peek(formats.LOOKED_AT))
            if content_type is None:
                raise UserError(f"--seen {one.name}: neither the ending nor the content says which format this is")
            yield from blocks(stream, content_type, width=width, name=one.name)
