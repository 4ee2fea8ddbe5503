"""Slow readers, written from the formats and not from our decoders: what a body holds, or Refused.

Each takes text or bytes and gives rows of Python numbers. They are for a few hundred bytes.
"""

from __future__ import annotations

import csv
import json
import re
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import copysign, frexp, inf, isnan, nan
from typing import Any, NamedTuple

Number = Callable[[str], float]
MAGIC = 0xCED7230A
PAYLOAD_BITS = 29
TEXT_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)", re.IGNORECASE | re.ASCII)
LARGEST_SINGLE = 2**128 - 2**104
SPACES = " \t\r"


class Refused(Exception):
    """What is wrong with a body."""


Entries = list[tuple[int, float]]  # of one record, in the order of their columns


class Sparse(NamedTuple):
    """A record; `beside` has its weights and query ids, of which there are one or none."""

    labels: list[float]
    entries: Entries
    beside: tuple[list[float], list[int]]


def double(text: str) -> float:
    if not TEXT_NUMBER.fullmatch(text):
        raise Refused(f"{text[:40]!r} is no number")
    return float(text)


def single(text: str) -> float:
    """The float32 next to a decimal number, rounded once."""
    wide = double(text)
    if isnan(wide) or wide in (0, inf, -inf):
        return wide
    if 2**-126 <= abs(wide) < LARGEST_SINGLE:
        (bits,) = struct.unpack("<q", struct.pack("<d", wide))
        if bits % 2**29 != 2**28:  # not in the middle of two float32, where the double may itself be rounded
            return float(struct.unpack("<f", struct.pack("<f", wide))[0])
    exact = abs(Fraction(Decimal(text)))
    exponent = max(-126, frexp(wide)[1] - 2)
    while exact >= 2 ** (exponent + 1):
        exponent += 1
    unit = Fraction(2) ** (exponent - 23)
    rounded = round(exact / unit) * unit  # halves to even
    return copysign(inf if rounded > LARGEST_SINGLE else float(rounded), wide)


def decoded(body: bytes, charset: str) -> str:
    """Text without a byte order mark. Of UTF-8, bytes that are wrong stay as they are: they are in no number."""
    if charset == "utf-8":
        return body.removeprefix(b"\xef\xbb\xbf").decode(charset, "surrogateescape")
    try:
        if charset == "utf-16" and body and body[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            raise Refused("no byte order mark")
        return body.decode(charset)
    except UnicodeError as error:
        raise Refused(str(error)) from None


def lines(text: str, limit: int, ends: str = "\n") -> list[str]:
    found = re.split(f"[{ends}]", text)
    if any(len(line.encode("utf-8", "surrogateescape")) > limit for line in found):
        raise Refused("a long line")
    return found


def csv_rows(lines: list[str], number: Number, label_size: int, dense_width: int) -> list[list[float]]:
    """The numbers of each line, labels among them."""
    rows: list[list[float]] = []
    columns = 0
    marks = _commas(next(filter(None, lines), ""))
    for line in lines:
        if not line:
            continue
        line = line.translate(marks)  # noqa: PLW2901
        try:
            # Blanks may stand around quotes and inside them.
            cells = next(csv.reader([re.sub(r'"[ \t]+(?=,|$)', '"', line)], strict=True))
        except csv.Error as error:
            raise Refused(str(error)) from None
        rows.append([number(cell.strip(" \t")) if cell.strip(" \t") else nan for cell in cells])
        columns = columns or len(cells)
        if len(cells) != columns or not label_size < columns <= dense_width + label_size:
            raise Refused(f"{len(cells)} columns, the first line has {columns}")
    return rows


def _commas(line: str) -> dict[int, str]:
    """What to put for the characters that part the numbers of the first line, and for commas, where it has none."""
    for mark in ";\t| " if "," not in line else "":
        cells = line.split(mark)
        if mark != " ":
            cells = [cell.strip(" ") for cell in cells]
        plain = [re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", cell) for cell in cells]
        if len(cells) > 1 and all(
            found or (mark != " " and not cell) for found, cell in zip(plain, cells, strict=True)
        ):
            return {ord(mark): ",", ord(","): "\0"}
    return {}


def libsvm_records(
    lines: list[str], number: Number, width: int | None, most: int, widest: int, labelled: bool
) -> tuple[int, list[Sparse]]:
    """How many columns there are, and the records, of which each has labels where they are `labelled`."""
    found: list[Sparse] = []
    for line in lines:
        tokens = [token for token in re.split(f"[{SPACES}]+", line.partition("#")[0]) if token]
        if not tokens:
            continue
        labels: list[float] = []
        weights: list[float] = []
        queries: list[int] = []
        sure = True
        if labelled:
            before, colon, after = tokens.pop(0).partition(":")
            labels, weights = [number(label) for label in before.split(",")], [number(after)] if colon else []
        elif not re.match(r"qid:|[^,:]+:", tokens[0], re.IGNORECASE):
            labels = [number(label) for label in tokens.pop(0).split(",")]
        elif not re.match("qid:", tokens[0], re.IGNORECASE):
            sure = False  # this may be a label with its weight
        if tokens and re.fullmatch(r"qid:\d{1,18}", tokens[0], re.IGNORECASE | re.ASCII):
            queries = [int(tokens.pop(0)[4:])]
        entries = []
        for token in tokens:
            index, _, value = token.partition(":")
            if not re.fullmatch(r"\d+", index, re.ASCII):
                raise Refused(f"{token!r} is no entry")
            entries.append((int(index), number(value)))
        columns = [column for column, _ in entries]
        if len(set(columns)) < len(columns) or (not sure and columns[0] > min(columns)):
            raise Refused("an index comes twice, or the first one is not the lowest")
        record = Sparse(labels, sorted(entries), (weights, queries))
        if len(entries) > most or (found and _kind(record) != _kind(found[0])):
            raise Refused("too many entries, or another number of labels, weights or query ids")
        found.append(record)
    largest = max((column for record in found for column, _ in record.entries), default=-1)
    if width is None:
        width = min(largest + 1, widest)
    if found and (largest >= width or not width):
        raise Refused(f"index {largest}, expected fewer than {width}")
    return width, found


def _kind(record: Sparse) -> list[int]:
    return [len(record.labels), *map(len, record.beside)]


def csr_rows(ends: list[int], keys: list[int], values: list[float], width: int) -> list[Entries]:
    if not ends or ends[0] != 0 or ends[-1] != len(values) or len(keys) != len(values) or sorted(ends) != ends:
        raise Refused("arrays that contradict one another")
    rows = [sorted(zip(keys[a:b], values[a:b], strict=True)) for a, b in pairwise(ends)]
    for row in rows:
        columns = [column for column, _ in row]
        if len(set(columns)) < len(columns) or any(not 0 <= column < width for column in columns):
            raise Refused("a column twice, or beyond the width")
    return rows


def json_value(text: str, depth: int) -> Any:
    """One JSON text. Refuses what RFC 8259 has not: nan, single surrogates; and brackets that nest deeper."""
    level = deepest = 0
    for code in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        level += (code in "[{") - (code in "]}")
        deepest = max(deepest, level)
    if deepest > depth:
        raise Refused(f"{deepest} brackets inside one another")
    try:
        text.encode()
        value = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, parse_int=_integer, object_pairs_hook=_object
        )
        _encodable(value)
    except (ValueError, UnicodeError) as error:
        raise Refused(str(error)) from None
    return value


def _finite(text: str) -> float:
    if abs(value := float(text)) == inf:
        raise ValueError(text[:40])
    return value


def _integer(text: str) -> int:
    _finite(text)
    return int(text)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, value in pairs:
        name.encode()
        _encodable(value)
    return dict(pairs)


def _encodable(value: Any) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, list):
        for item in value:
            _encodable(item)


def payloads(body: bytes, limit: int) -> Iterator[bytes]:
    """The records of a RecordIO stream."""
    parts: list[bytes] = []
    while body:
        if len(body) < 8:
            raise Refused("a cut header")
        magic, word = struct.unpack_from("<II", body)
        flag, length = word >> PAYLOAD_BITS, word % (1 << PAYLOAD_BITS)
        if magic != MAGIC or flag not in ((2, 3) if parts else (0, 1)):
            raise Refused("another magic, or a part in the wrong place")
        padded = length + -length % 4
        if len(body) < 8 + padded:
            raise Refused("a cut payload")
        parts.append(body[8 : 8 + length])
        if sum(map(len, parts)) + 4 * (len(parts) - 1) > limit:
            raise Refused("a long record")
        if flag in (0, 3):
            yield struct.pack("<I", MAGIC).join(parts)
            parts = []
        body = body[8 + padded :]
    if parts:
        raise Refused("a record without its last part")


def image(payload: bytes) -> tuple[bytes, list[float], int, int]:
    """Content, labels and both ids of an image record."""
    try:
        count, label, first, second = struct.unpack_from("<IfQQ", payload)
        labels = struct.unpack_from(f"<{count}f", payload, 24) if count else (label,)
    except struct.error as error:
        raise Refused(str(error)) from None
    return payload[24 + 4 * count :], list(labels), first, second
