"""Manifests: lists of objects that are objects themselves."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence
from typing import Any, overload

from local.storage.reading import whole
from local.storage.service import SCHEME, Stored, Uri
from recordio.errors import DataError, UserError

LARGEST_BYTES = 256 * 2**20  # of a manifest of either kind; it is held in memory
MOST_ATTRIBUTES = 16
REFERENCE = "-ref"  # ends the name of an attribute that stands for the bytes of an object


def objects_listed(manifest: Uri) -> list[Stored]:
    """The objects of `[{"prefix": "s3://bucket/path/"}, "key", …]`, in that order.

    Raises DataError for anything else.
    """
    try:
        entries = json.loads(whole(manifest, LARGEST_BYTES))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{manifest}: got {error}, expected a manifest: one array in JSON") from None
    head = entries[0] if isinstance(entries, list) and entries else None
    prefix = head.get("prefix") if isinstance(head, dict) else None
    if not isinstance(prefix, str) or not prefix.startswith(SCHEME):
        raise DataError(f'{manifest}, entry 0: got {reprlib.repr(head)}, expected {{"prefix": "{SCHEME}…"}}')
    found = []
    for number, name in enumerate(entries[1:], 1):
        if not isinstance(name, str) or not name:
            raise DataError(f"{manifest}, entry {number}: got {reprlib.repr(name)}, expected a key below the prefix")
        found.append(Stored(_uri(prefix + name, f"{manifest}, entry {number}"), name))
    return found


class AugmentedManifest(Sequence[tuple[bytes | Stored, ...]]):
    """The lines of an augmented manifest, JSON Lines; of each, the values of the attributes in order.

    Raises DataError for a line that is no object, or lacks an attribute.
    """

    def __init__(self, manifest: Uri, attributes: Sequence[str]) -> None:
        if not 0 < len(attributes) <= MOST_ATTRIBUTES:
            raise UserError(f"{manifest}: got {len(attributes)} attribute names, expected 1 to {MOST_ATTRIBUTES}")
        self._manifest = manifest
        self._attributes = tuple(attributes)
        self._numbered = [
            (number, line) for number, line in enumerate(whole(manifest, LARGEST_BYTES).split(b"\n")) if line.strip()
        ]
        for index in range(len(self)):  # now, and not in the middle of a job
            self[index]

    def __len__(self) -> int:
        return len(self._numbered)

    @overload
    def __getitem__(self, index: int) -> tuple[bytes | Stored, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[bytes | Stored, ...]]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        number, line = self._numbered[index]
        where = f"{self._manifest}, line {number}"
        try:
            values = json.loads(line)
            if isinstance(values, dict):
                return tuple(self._content(values, name, where) for name in self._attributes)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: got {error}, expected an object in JSON") from None
        raise DataError(f"{where}: got {reprlib.repr(values)}, expected an object in JSON")

    def _content(self, values: dict[str, Any], name: str, where: str) -> bytes | Stored:
        if name not in values:
            names = ", ".join(self._attributes)
            raise DataError(f"{where}: got no attribute {name!r}, expected {names}")
        value = values[name]
        if not name.endswith(REFERENCE):
            return json.dumps(value).encode()
        uri = _uri(value, f"{where}, attribute {name!r}")
        return Stored(uri, uri.name)


def _uri(value: object, where: str) -> Uri:
    try:
        return Uri.parse(value if isinstance(value, str) else reprlib.repr(value))
    except UserError as error:
        raise DataError(f"{where}: {error}") from None
