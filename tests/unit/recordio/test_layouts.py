"""Layouts: which records have one, and where a run of equal ones ends."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from recordio import LIMITS, Limits
from recordio.framing import HEAD, MAGIC
from recordio.layouts import Layout, layout
from recordio.wire import opening


def field(number: int, *parts: bytes) -> bytes:
    return opening(number, len(b"".join(parts))) + b"".join(parts)


def entry(number: int, values: bytes, kind: int = 2, name: bytes = b"values") -> bytes:
    return field(number, field(1, name), field(2, field(kind, field(1, values))))


def frame(payload: bytes) -> bytes:
    return HEAD.pack(MAGIC, len(payload)) + payload + bytes(-len(payload) % 4)


FEATURES = entry(1, np.array([1.5, -2], "<f4").tobytes())
LABEL = entry(2, np.array([7], "<f4").tobytes())
PLAIN = {
    "no label": FEATURES,
    "label": FEATURES + LABEL,
    "label first": LABEL + FEATURES,
    "label float64": FEATURES + entry(2, np.array([7], "<f8").tobytes(), 3),
    "label of one byte": FEATURES + entry(2, b"\x07", 7),
}
ODD = {
    "empty": b"",
    "label of two bytes": FEATURES + entry(2, b"\x87\x00", 7),
    "integers": entry(1, b"\x01\x02", 7),
    "other name": entry(1, np.array([1.5, -2], "<f4").tobytes(), name=b"valuez"),
    "other label name": FEATURES + entry(2, np.array([7], "<f4").tobytes(), name=b"valuez"),
    "two labels": FEATURES + LABEL + LABEL,
    "two features": FEATURES + FEATURES,
    "label only": LABEL,
    "uid": FEATURES + b"\x1a\x01u",
    "cut": FEATURES[:-1],
    "keys": field(1, field(1, b"values"), field(2, field(2, field(1, bytes(8)), field(2, b"\x00\x01")))),
    "no values": entry(1, b""),
    "cut float": entry(1, bytes(7)),
    "bytes": entry(1, b"ab", 9),
}


def layout_of(payload: bytes, limits: Limits = LIMITS) -> Layout | None:
    return layout(b"...." + frame(payload), 12, 12 + len(payload), limits)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_records_have_a_layout(name: str) -> None:
    found = layout_of(PLAIN[name])
    assert found is not None
    frames = found.run(b"...." + frame(PLAIN[name]) * 5 + frame(PLAIN[name])[:-1], 4)
    assert_array_equal(found.features.view(frames), [[1.5, -2]] * 5)
    if found.labels is not None:
        assert_array_equal(found.labels.view(frames) % 7, [[0]] * 5)
    assert (found.labels is None) == (name == "no label")


@pytest.mark.parametrize("name", ODD)
def test_others_have_none_or_do_not_fit_it(name: str) -> None:
    found = layout_of(ODD[name])
    assert found is None or len(found.run(frame(ODD[name]), 0)) == 0


def test_wide_records_have_none() -> None:
    assert layout_of(FEATURES, Limits(dense_width=1)) is None


@pytest.mark.parametrize("plain", PLAIN)
@pytest.mark.parametrize("odd", [*ODD, *PLAIN])
def test_a_run_ends_before_another_layout(plain: str, odd: str) -> None:
    found = layout_of(PLAIN[plain])
    assert found is not None
    other = {**ODD, **PLAIN}[odd]
    frames = found.run(frame(PLAIN[plain]) * 3 + frame(other) + frame(PLAIN[plain]) * 9, 0)
    assert (len(frames) == 3) == (odd != plain)


@pytest.mark.parametrize("plain", PLAIN)
def test_a_run_ends_where_any_byte_but_a_number_or_padding_differs(plain: str) -> None:
    whole = frame(PLAIN[plain])
    found = layout_of(PLAIN[plain])
    assert found is not None
    numbers = [found.features, *([] if found.labels is None else [found.labels])]
    free = {place for some in numbers for place in range(some.start, some.end)} | {
        *range(8 + len(PLAIN[plain]), len(whole))
    }
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x40
        assert (len(found.run(whole * 3 + bytes(changed) + whole, 0)) == 5) == (place in free)


def test_a_number_of_two_bytes_ends_a_run() -> None:
    plain = PLAIN["label of one byte"]
    found = layout_of(plain)
    assert found is not None
    assert len(found.run(frame(plain) + frame(plain[:-1] + b"\x7f") + frame(plain[:-1] + b"\x80"), 0)) == 2
