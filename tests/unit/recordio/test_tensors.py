"""What the compiled pass reads, and what it leaves to the parser: each odd record, alone and among plain ones."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from recordio import LIMITS, Batch, DataError, Limits
from recordio.framing import HEAD, MAGIC
from recordio.protobuf import parse_record
from recordio.rows import batches, labels_of
from recordio.tensors import block
from recordio.wire import encode_varint, opening

VALUES = np.array([1.5, -2], "<f4").tobytes()


def field(number: int, *parts: bytes) -> bytes:
    return opening(number, len(b"".join(parts))) + b"".join(parts)


def entry(number: int, *tensor: bytes, kind: int = 2, name: bytes = b"values") -> bytes:
    return field(number, field(1, name), field(2, field(kind, *tensor)))


def sparse(
    values: bytes = VALUES, keys: bytes = b"\x03\x80\x01", shape: bytes = b"\xc8\x01", label: bytes = b""
) -> bytes:
    return entry(1, field(1, values), field(2, keys), field(3, shape)) + label


def integers(values: bytes) -> bytes:
    return entry(1, field(1, values), kind=7)


LABEL = entry(2, field(1, VALUES[:4]))
TEN = b"\xff" * 9  # the first bytes of -1

PLAIN = {
    "sparse": sparse(),
    "sparse, label": sparse(label=LABEL),
    "sparse, two labels": sparse(label=entry(2, field(1, VALUES))),
    "sparse, integer label": sparse(label=entry(2, field(1, b"\xac\x02"), kind=7)),
    "all zero": entry(1, field(3, b"\xc8\x01")),
    "all zero, empty fields": sparse(values=b"", keys=b""),
    "overlong key": sparse(keys=b"\x03\x80\x81\x00"),
    "dense float32": entry(1, field(1, VALUES)),
    "dense float64": entry(1, field(1, np.array([1, 2], "<f8").tobytes()), kind=3) + LABEL,
    "integers": integers(b"\x00\x7f\x80\x01\xff\xff\xff\xff\x07" + TEN + b"\x01"),
    "dense with shape": entry(1, field(1, VALUES), field(3, b"\x02")),
    "dense, label of one byte": entry(1, field(1, VALUES)) + entry(2, field(1, b"\x07"), kind=7),
    "dense, empty fields after the values": entry(1, field(1, VALUES), field(2), field(3)) + LABEL,
    "dense, empty fields after the label": entry(1, field(1, VALUES)) + entry(2, field(1, VALUES), field(2), field(3)),
    "dense, empty label": entry(1, field(1, VALUES)) + entry(2),
    "label first": LABEL + sparse(),
    "length of five bytes": bytes([sparse()[0], sparse()[1] | 0x80]) + b"\x80\x80\x80\x00" + sparse()[2:],
}

ODD = {
    "empty": b"",
    "integer of more than 64 bits": integers(TEN + b"\x02"),
    "more keys": sparse(keys=b"\x01\x02\x03"),
    "fewer keys": sparse(keys=b"\x01"),
    "key equals shape": sparse(keys=b"\x03\xc8\x01"),
    "equal keys": sparse(keys=b"\x03\x03"),
    "falling keys": sparse(keys=b"\x05\x03"),
    "cut key": sparse(keys=b"\x03\x80"),
    "key of ten bytes": sparse(keys=b"\x03" + TEN + b"\x01"),
    "key of ten bytes, too large": sparse(keys=b"\x03" + TEN + b"\x02"),
    "key of eleven bytes": sparse(keys=b"\x03" + TEN + b"\x80\x00"),
    "no shape": entry(1, field(1, VALUES), field(2, b"\x01\x02")),
    "shape 0": sparse(shape=b"\x00"),
    "shape too large": sparse(shape=encode_varint(2**31)),
    "two shapes": sparse(shape=b"\x64\x02"),
    "cut float": sparse(values=VALUES[:-1]),
    "values after keys": entry(1, field(2, b"\x01\x02"), field(1, VALUES), field(3, b"\x64")),
    "values twice": entry(1, field(1, VALUES), field(1, VALUES)),
    "dense with wrong shape": entry(1, field(1, VALUES), field(3, b"\x03")),
    "no values": entry(1),
    "longer name": entry(1, field(1, VALUES), name=b"values2"),
    "shorter name": entry(1, field(1, VALUES), name=b"value"),
    "other name": entry(1, field(1, VALUES), name=b"valuez"),
    "more in tensor": entry(1, field(1, VALUES), b"\x20\x01"),
    "more in value": field(1, field(1, b"values"), field(2, field(2, field(1, VALUES)), b"\x20\x01")),
    "more in entry": field(1, field(1, b"values"), field(2, field(2, field(1, VALUES))), b"\x20\x01"),
    "label inside features": field(1, field(1, b"values"), field(2, field(2, field(1, VALUES))), LABEL),
    "integer of eleven bytes": integers(TEN + b"\x81\x00"),
    "more in record": entry(1, field(1, VALUES)) + b"\x1a\x01u",
    "more after label": sparse(label=LABEL) + b"\x1a\x01u",
    "other type": entry(1, field(1, VALUES), kind=9),
    "unpacked": entry(1, b"\x0d" + VALUES[:4], b"\x0d" + VALUES[4:]),
    "tensor longer than value": field(1, field(1, b"values"), opening(2, 12) + opening(2, 11) + field(1, VALUES)),
    "values longer than tensor": field(
        1, field(1, b"values"), opening(2, 12) + opening(2, 10) + opening(1, 9) + VALUES
    ),
    "entry longer than record": opening(1, 99) + entry(1, field(1, VALUES))[2:],
    "label twice": sparse(label=LABEL + LABEL),
    "features twice": sparse() + sparse(),
    "sparse label": sparse(label=entry(2, field(1, VALUES), field(2, b"\x00\x01"))),
    "label with shape": sparse(label=entry(2, field(1, VALUES), field(3, b"\x02"))),
    "other label": sparse(label=entry(2, field(1, VALUES), name=b"target")),
}


def frame(payload: bytes) -> bytes:
    return HEAD.pack(MAGIC, len(payload)) + payload + bytes(-len(payload) % 4)


def compiled(data: bytes, limits: Limits = LIMITS, width: int | None = None) -> Batch | None:
    """What is read of data, which lies among other bytes."""
    among = frame(PLAIN["sparse"])
    start, stop = len(among), len(among) + len(data)
    found = block(among + data + among, start, stop, rows=None, dtype=np.dtype(np.float64), width=width, limits=limits)
    if found is None:
        return None
    end = found.extend(among + data + among, start, stop)
    assert (end == start) == (found.rows == 0)
    assert end <= stop
    if not found.rows:
        return None
    features, labels = found.arrays()
    if isinstance(features, tuple):
        values, keys, ends, columns = features
        features = csr_array((values, keys, ends), shape=(len(ends) - 1, columns))
    return Batch(features, labels_of(labels))


def parsed(payload: bytes) -> Batch | None:
    try:
        (batch,) = batches([parse_record(payload)], np.float64)
    except DataError:
        return None
    return batch


def assert_same(found: Batch, expected: Batch) -> None:
    assert type(found.features) is type(expected.features)
    assert_array_equal(dense(found), dense(expected))
    assert (found.labels is None) == (expected.labels is None)
    if found.labels is not None:
        assert_array_equal(found.labels, expected.labels)  # type: ignore[arg-type]


def dense(batch: Batch) -> object:
    return batch.features if isinstance(batch.features, np.ndarray) else batch.features.toarray()


@pytest.mark.parametrize("name", PLAIN)
def test_plain_records_are_read(name: str) -> None:
    expected = parsed(PLAIN[name])
    assert expected is not None
    found = compiled(frame(PLAIN[name]) * 5)
    assert found is not None
    assert len(found) == 5
    for row in range(5):
        assert_same(found[row : row + 1], expected)


@pytest.mark.parametrize("plain", PLAIN)
@pytest.mark.parametrize("odd", [*ODD, *PLAIN])
def test_odd_records_end_a_run_or_are_read_as_the_parser_reads_them(plain: str, odd: str) -> None:
    record, first = {**ODD, **PLAIN}[odd], parsed(PLAIN[plain])
    assert first is not None
    found = compiled(frame(PLAIN[plain]) * 3 + frame(record) + frame(PLAIN[plain]))
    assert found is not None
    assert len(found) >= 3
    for row in range(3):
        assert_same(found[row : row + 1], first)
    if len(found) > 3:
        expected = parsed(record)
        assert expected is not None
        assert_same(found[3:4], expected)


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_record_is_left_to_the_parser(odd: str) -> None:
    assert compiled(frame(ODD[odd])) is None


@pytest.mark.parametrize("name", PLAIN)
def test_any_byte_that_changes_is_read_as_the_parser_reads_it(name: str) -> None:
    """Frames that repeat are not parsed again: a change anywhere must still be seen."""
    plain = frame(PLAIN[name])
    for place in range(HEAD.size, HEAD.size + len(PLAIN[name])):
        for bit in (0x01, 0x40, 0x80):
            changed = bytearray(plain)
            changed[place] ^= bit
            found = compiled(plain * 3 + bytes(changed) + plain)
            assert found is not None
            if len(found) > 3:
                expected = parsed(bytes(changed[HEAD.size : HEAD.size + len(PLAIN[name])]))
                assert expected is not None
                assert_same(found[3:4], expected)


@pytest.mark.parametrize("name", PLAIN)
def test_a_changed_header_or_a_cut_ends_a_run(name: str) -> None:
    plain = frame(PLAIN[name])
    for place in range(HEAD.size):
        changed = bytearray(plain)
        changed[place] ^= 0x40
        found = compiled(plain * 3 + bytes(changed))
        assert found is not None
        assert len(found) == 3
    for cut in range(1, len(plain)):
        found = compiled(plain * 3 + plain[:cut])
        assert found is not None
        assert len(found) == 3
        assert compiled(plain[:cut]) is None


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("dense float32", Limits(dense_width=1)),
        ("dense float32", Limits(record_bytes=20)),
        ("integers", Limits(dense_width=1)),
        ("sparse", Limits(dense_width=1)),
        ("sparse", Limits(sparse_width=199)),
        ("sparse, two labels", Limits(dense_width=1)),
    ],
)
def test_records_beyond_a_limit_are_left_to_the_parser(name: str, limits: Limits) -> None:
    assert compiled(frame(PLAIN[name]), limits) is None


def test_a_sparse_record_without_a_shape_has_the_width_that_the_caller_states() -> None:
    found: Any = compiled(frame(ODD["no shape"]) * 3, width=4)
    assert_array_equal(found.features.toarray(), [[0, 1.5, -2, 0]] * 3)
    assert compiled(frame(ODD["no shape"]), width=2) is None  # a key is beyond


@pytest.mark.parametrize(("start", "stop"), [(-1, 4), (0, 9), (5, 4)])
def test_a_part_that_is_not_of_the_data_is_refused(start: int, stop: int) -> None:
    with pytest.raises(IndexError, match=f"got {start}:{stop}, expected a part of 8 bytes"):
        block(bytes(8), start, stop, rows=None, dtype=np.dtype(np.float64), width=None, limits=LIMITS)


def test_limits_beyond_the_indices_of_sparse_records_are_refused() -> None:
    with pytest.raises(ValueError, match="got sparse_width 2147483648, expected at most 2147483647"):
        Limits(sparse_width=2**31)
