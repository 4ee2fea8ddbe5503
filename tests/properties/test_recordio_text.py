"""Laws of text: the compiled passes against slow references, over valid, mutated and random bytes, in any cut."""

import json
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import issparse

from recordio import LIMITS, Batch, DataError, batches, csv, decode, json_lines, libsvm

quick = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NUMBER = rb"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|infinity|nan))"
Row = tuple[list[float], dict[int, float]]  # labels, weight and query id; and columns with their values
WIDTH = 12  # of libsvm

Rows = tuple[list[Row], int | None]  # records before the first fault, and its record


class Parts:
    """A file object that gives these parts, one a read."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = [part for part in parts if part]

    def read(self, size: int) -> bytes:
        return self.parts.pop(0) if self.parts else b""


def rows_of(some: Iterator[Batch]) -> Rows:
    """The records of blocks, and the record that the error names."""
    rows: list[Row] = []
    try:
        for block in some:
            labels = np.empty((len(block), 0)) if block.labels is None else block.labels.reshape(len(block), -1)
            for place, label in enumerate(labels):
                if issparse(block.features):
                    row: Any = block.features[[place]]  # type: ignore[index]
                    entries = dict(zip(row.indices.tolist(), row.data.tolist(), strict=True))
                else:
                    entries = dict(enumerate(block.features[place].tolist()))  # type: ignore[index]
                beside = [column[place].item() for column in (block.weights, block.groups) if column is not None]
                rows.append((label.tolist() + beside, entries))
    except DataError as error:
        found = re.match(r"record (\d+)", str(error))
        assert found is not None, error
        return rows, int(found[1])
    return rows, None


def assert_same(got: Rows, expected: Rows) -> None:
    """Records before a fault may be missing: they were in the same block."""
    rows, fault = got
    assert fault == expected[1]
    assert len(rows) == len(expected[0]) or fault is not None
    assert repr(rows) == repr(expected[0][: len(rows)])  # so that nan equals nan, and -0.0 differs from 0.0


def texts(*tokens: bytes) -> st.SearchStrategy[bytes]:
    """Tokens in any order, and any bytes between some of them."""
    token = st.one_of(st.sampled_from(tokens), st.sampled_from(tokens), st.binary(min_size=1, max_size=2))
    return st.one_of(st.lists(st.sampled_from(tokens), max_size=40), st.lists(token, max_size=30)).map(b"".join)


def shaped(line: st.SearchStrategy[bytes], *ends: bytes) -> st.SearchStrategy[bytes]:
    """Good lines, of which a few bytes may be changed."""

    def changed(body: bytes, changes: list[tuple[int, bytes]]) -> bytes:
        text = bytearray(body)
        for place, new in changes:
            text[place : place + 1] = new
        return bytes(text)

    body = st.tuples(st.lists(line, max_size=6), st.sampled_from(ends)).map(lambda pair: pair[1].join(pair[0]))
    some = st.sampled_from([b"", b",", b":", b" ", b"\n", b"1", b"-", b".", b"e", b'"', b"#", b"]", b"\r", b"\xff"])
    return st.builds(changed, body, st.lists(st.tuples(st.integers(0, 60), some), max_size=2))


NUMBERS = (b"1", b"-2.5", b"+7", b"1e3", b".5", b"4.", b"12345678.25", b"0.000012207031250", b"nan", b"-inf", b"1e999")
CSV_TEXTS = st.one_of(
    texts(*NUMBERS, *[b","] * 8, *[b"\n"] * 4, b"\r\n", b"\r", b'"', b'"', b" ", b"\t", b"e", b"+", b"\x00"),
    *[
        shaped(
            st.lists(st.sampled_from(NUMBERS), min_size=3, max_size=3).map(mark.join), b"\n", b"\r\n", b"\r", b"\n\n"
        )
        for mark in (b",", b",", b";", b"\t", b"|", b" ", b" ; ")
    ],
)
CELL = re.compile(rb'(?:[ \t]*(%b)?[ \t]*|"[ \t]*(%b)?[ \t]*"[ \t]*)' % (NUMBER, NUMBER))


def with_commas(lines: list[bytes]) -> list[bytes]:
    """Lines that are parted by another character, as those that are parted by commas; a comma in them is no number."""
    plain = rb"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
    for mark in (b";", b"\t", b"|", b" ") if lines and b"," not in lines[0] else ():
        cell = plain if mark == b" " else b" *(%b)? *" % plain
        if re.fullmatch(b"%b([%b]%b)+" % (cell, mark, cell), lines[0]):
            return [line.replace(b",", b"x").replace(mark, b",") for line in lines]
    return lines


def csv_slowly(data: bytes) -> Rows:
    rows: list[Row] = []
    columns = None
    for line in with_commas(list(filter(None, re.split(rb"[\r\n]", data)))):
        cells = [CELL.fullmatch(cell) for cell in line.split(b",")]
        columns = len(cells) if columns is None else columns
        if None in cells or len(cells) != columns:
            return rows, len(rows)
        values = [float(cell[1] or cell[2] or b"nan") for cell in cells if cell is not None]
        rows.append(([], dict(enumerate(values))))
    return rows, None


def csv_quickly(*parts: bytes) -> Rows:
    return rows_of(csv.blocks(iter(parts), label_size=0, dtype=np.float64, limits=LIMITS))


@settings(quick, max_examples=800)
@given(CSV_TEXTS)
def test_csv_equals_a_slow_reader(data: bytes) -> None:
    assert_same(csv_quickly(data), csv_slowly(data))


SVM_NUMBERS = (b"1", b"-2.5", b"+7", b"1e3", b".5", b"0.1234567890123456789", b"nan", b"inf")
ENTRIES = st.sets(st.integers(0, WIDTH - 1), max_size=5).flatmap(
    lambda indices: st.tuples(*[st.sampled_from(SVM_NUMBERS).map(lambda v, i=i: b"%d:%b" % (i, v)) for i in indices])
)
SVM_TEXTS = st.one_of(
    texts(*SVM_NUMBERS, b"0:1", b"3:-2.5", b"11:.5", b"12:1", b"qid:4", b"qid", b":", b",", *[b" ", b"\n"] * 6)
    | texts(b"1", b"7 ", b"0:1 ", b"3:-2 ", b"5:9\t", b"11:5", b"#", b"#x:1", b" \r\n", b"qid:4 ", b":", b"\n", b"\n"),
    *[
        shaped(ENTRIES.map(lambda entries, label=label: b" ".join((*label, *entries))), b"\n", b"\r\n", b" # 99:1\n")
        for label in ((b"-1",), (b"1,2.5",), (), (b"1", b"qid:3"), (b"0.5:1",), (b"2:.5", b"qid:9"))
    ],
)
LABELS = re.compile(rb"%b(?:,%b)*" % (NUMBER, NUMBER))
WEIGHTED = re.compile(rb"%b(?::%b)?" % (LABELS.pattern, NUMBER))
ENTRY = re.compile(rb"(\d{1,18}):(%b)" % NUMBER)


def libsvm_slowly(data: bytes, labelled: bool) -> Rows:
    rows: list[Row] = []
    for line in data.split(b"\n"):
        tokens = re.findall(rb"[^ \t\r]+", line.split(b"#", 1)[0])
        if not tokens:
            continue
        labels: list[float] = []
        if labelled or not re.match(rb"(?i:qid)|%b:" % NUMBER, tokens[0]):
            if not (WEIGHTED if labelled else LABELS).fullmatch(tokens[0]):
                return rows, len(rows)
            labels = list(map(float, re.split(b"[,:]", tokens.pop(0))))
        unsure = not labels
        if tokens and tokens[0].lower().startswith(b"qid"):
            if not re.fullmatch(rb"(?i:qid):\d{1,18}", tokens[0]):
                return rows, len(rows)
            labels.append(int(tokens.pop(0)[4:]))
            unsure = False
        found = [ENTRY.fullmatch(token) for token in tokens]
        if None in found:
            return rows, len(rows)
        pairs = [(int(match[1]), float(match[2])) for match in found if match is not None]
        indices = [index for index, _ in pairs]
        if (
            len(set(indices)) < len(indices)
            or max(indices, default=0) >= WIDTH
            or (unsure and min(indices) < indices[0])
        ):
            return rows, len(rows)
        rows.append((labels, dict(sorted(pairs))))
    return rows, None


def libsvm_quickly(data: bytes, labelled: bool) -> Rows:
    return rows_of(libsvm.blocks(Parts(data), width=WIDTH, dtype=np.float64, limits=LIMITS, labelled=labelled))


@settings(quick, max_examples=800)
@given(SVM_TEXTS, st.booleans())
def test_libsvm_equals_a_slow_reader(data: bytes, labelled: bool) -> None:
    assert_same(libsvm_quickly(data, labelled), libsvm_slowly(data, labelled))


@quick
@given(SVM_TEXTS)
def test_libsvm_finds_its_width(data: bytes) -> None:
    rows, fault = libsvm_slowly(data, labelled=False)
    indices = [index for _, entries in rows for index in entries]
    if fault is None and indices and len({len(labels) for labels, _ in rows}) == 1:
        assert decode(data, "text/libsvm").width == max(indices) + 1


JSON_NUMBERS = (b"1", b"-2.5", b"0", b"-0", b"-0.0", b"1e3", b"1E-3", b"0.1234567890123456789", b"18446744073709551616")
ODD_VALUES = (b"NaN", b"01", b"1.", b".5", b"+1", b"1e400", b"true", b"null", b'"1"', b"[1]", b"{}", b"1e-400", b"")
FORMS = (
    b'{"features":[F]}',
    b' { "features" : [ F\t] , "label" : L }\r',
    b'{"label":[L,L],"features":[F]}',
    b'{"features":[F],"label":L,"id":"\xc3\xa9"}',
    b'{"features":[F],"label":L,"label":L}',
    b'{"data":{"features":{"values":[F],"keys":[0,2],"shape":[3]}},"label":L}',
    b'{"features":[F],"a":"\\ud800"}',
    b'{"features":[F]}x',
)


def instances(form: bytes, numbers: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    some = st.lists(st.sampled_from(numbers), min_size=3, max_size=3)
    return some.map(lambda some: form.replace(b"F", b",".join(some[1:])).replace(b"L", some[0]))


ANY_INSTANCE = st.sampled_from(FORMS).flatmap(lambda form: instances(form, JSON_NUMBERS + ODD_VALUES))
JSON_TEXTS = st.one_of(
    *[shaped(instances(form, JSON_NUMBERS), b"\n", b"\r\n", b"\n\n") for form in FORMS[:4]],
    *[st.lists(instances(form, JSON_NUMBERS), max_size=6).map(b"\n".join) for form in FORMS[:6]],
    st.lists(st.sampled_from(FORMS[:3]).flatmap(lambda form: instances(form, JSON_NUMBERS))).map(b"\n".join),
    st.lists(ANY_INSTANCE, max_size=3).map(b"\n".join),
    texts(
        b'{"features":[', b"1", b"2.5", b",", b"]", b"}", b"]}\n", b'"label":', b" ", b"\n", b'{"label":[', b"{", b'"'
    ),
)


def outcome(source: Any, content_type: str) -> Any:
    """All batches in one, or the error's text."""
    try:
        return [
            (batch.features.tolist(), None if batch.labels is None else batch.labels.tolist())
            if not issparse(batch.features)
            else (batch.features.toarray().tolist(), batch.features.nnz, repr(batch.labels))  # type: ignore[union-attr]
            for batch in batches(source, content_type, 10**6, width=WIDTH if "libsvm" in content_type else None)
        ]
    except DataError as error:
        return str(error)


def by_orjson(data: bytes) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        nothing = np.empty((0, 0))
        patch.setattr(json_lines, "read", lambda text, start, most, dtype: (nothing, nothing, start))
        return outcome(data, "application/jsonlines")


@settings(quick, max_examples=800)
@given(JSON_TEXTS)
def test_json_lines_equal_the_parser(data: bytes) -> None:
    assert repr(outcome(data, "application/jsonlines")) == repr(by_orjson(data))


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@quick
@given(st.lists(st.tuples(st.lists(FINITE, min_size=2, max_size=2), st.integers(-(2**80), 2**80))))
def test_json_lines_keep_what_was_written(records: list[tuple[list[float], int]]) -> None:
    lines = "\n".join(json.dumps({"features": features, "label": label}) for features, label in records)
    found = decode(lines.encode(), "application/jsonlines", dtype=np.float64)
    assert found.features.tolist() == [features for features, _ in records]  # type: ignore[union-attr]
    assert records == [] or found.labels.tolist() == [float(label) for _, label in records]  # type: ignore[union-attr]


TEXTS = {"text/csv": CSV_TEXTS, "text/libsvm": SVM_TEXTS, "application/jsonlines": JSON_TEXTS}


@pytest.mark.parametrize("kind", TEXTS)
@settings(quick, max_examples=100)
@given(st.data())
def test_every_cut_gives_the_same(kind: str, draw: st.DataObject) -> None:
    data = draw.draw(TEXTS[kind])
    expected = repr(outcome(data, kind))
    for cut in range(len(data)):
        assert repr(outcome(Parts(data[:cut], data[cut:]), kind)) == expected
    assert repr(outcome(Parts(*(data[place : place + 1] for place in range(len(data)))), kind)) == expected


def middle(value: float, more: str = "") -> str:
    """Half-way from a float32 to the next one, with all of its digits, and more digits."""
    after = float(np.nextafter(np.float32(value), np.float32(0)))
    exact = (Fraction(value) + Fraction(after)) / 2
    power = exact.denominator.bit_length() - 1  # the denominator is a power of two
    return f"{exact.numerator * 5**power}{more}e{-power - len(more)}"


def hard(power: int, step: int, side: int) -> str:
    """Next to half-way between two doubles, for half of the steps: m * 5^power ends in a one, noughts and a one."""
    bits = (5**power).bit_length() + 9  # of the product, those that a double has no room for
    m = (2 ** (bits - 1) + side) * pow(5**power, -1, 2**bits) % 2**bits
    return f"{m + (2**61 // 2**bits + step % 2 ** (61 - bits)) * 2**bits}e{power}"


DECIMALS = st.one_of(
    st.from_regex(r"[+-]?([0-9]{1,25}(\.[0-9]{0,25})?|\.[0-9]{1,25})(e[+-]?[0-9]{1,2})?", fullmatch=True),
    FINITE.map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(middle),
    st.floats(2.0**-100, 2.0**100, width=32).flatmap(
        lambda value: st.sampled_from([repr(math.nextafter(float(middle(value)), side)) for side in (0, math.inf)])
    ),
    st.builds(middle, st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(["0001", "000"])),
    st.builds(hard, st.integers(15, 22), st.integers(0, 2**20), st.sampled_from([-1, 1])),
    st.integers(-(2**70), 2**70).map(str),
    st.tuples(st.integers(2**53, 2**64), st.integers(-30, 30)).map(lambda pair: f"{pair[0]}e{pair[1]}"),
)


def nearest_float32(text: str) -> float:
    """The float32 nearest to a decimal, ties to even, in exact arithmetic."""
    exact = Fraction(text)
    if abs(exact) >= 2**128 - 2**103:
        return math.copysign(math.inf, exact)
    with np.errstate(over="ignore"):
        near = np.clip(np.float32(float(exact)), np.finfo(np.float32).min, np.finfo(np.float32).max)
        some = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    finite = filter(np.isfinite, some)
    best = min(finite, key=lambda one: (abs(Fraction(float(one)) - exact), int(one.view(np.uint32)) & 1))
    return math.copysign(float(best), -1.0 if text.startswith("-") else 1.0)


@settings(quick, max_examples=1500)
@given(DECIMALS, st.sampled_from(["", "\n3", ",4", "," + "0" * 9]))
def test_numbers_are_correctly_rounded(text: str, rest: str) -> None:
    body = (text + rest).encode()
    assert repr(decode(body, "text/csv", dtype=np.float64).features[0, 0].item()) == repr(float(text))  # type: ignore[index]
    assert repr(decode(body, "text/csv").features[0, 0].item()) == repr(nearest_float32(text))  # type: ignore[index]


@settings(quick, max_examples=1000)
@given(DECIMALS)
def test_json_numbers_are_the_parsers(text: str) -> None:
    data = b'{"features":[%b]}' % text.encode()
    assert repr(outcome(data, "application/jsonlines")) == repr(by_orjson(data))


@quick
@given(st.sampled_from(["text/csv", "text/libsvm", "application/jsonlines"]), st.binary(max_size=200))
def test_junk_is_refused_or_read(kind: str, data: bytes) -> None:
    outcome(data, kind)
