"""Laws of streams: round trips, any cut of the bytes, and the quick ways equal to the parser's."""

import json
from io import BytesIO
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array, issparse

from recordio import (
    LIMITS,
    Batch,
    DataError,
    batches,
    blocks,
    rebatch,
    records,
    rows,
    write_dense,
    write_sparse,
)
from recordio.protobuf import parse_record
from recordio.rebatching import consistent

RECORDIO = "application/x-recordio-protobuf"
DTYPES = st.sampled_from([np.float32, np.float64, np.int64])
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def numbers(dtype: Any) -> st.SearchStrategy[Any]:
    if dtype == np.int64:
        small, large = st.integers(0, 127), st.integers(-(2**31), 2**31 - 1)
        return st.one_of(small, large)
    return st.floats(width=32, allow_nan=False, allow_subnormal=False)


@st.composite
def tables(draw: st.DrawFn, rows: int | None = None) -> Any:
    dtype = draw(DTYPES)
    count = draw(st.integers(1, 40)) if rows is None else rows
    shape = (count, draw(st.integers(1, 12)))
    return draw(hnp.arrays(dtype, shape, elements=numbers(dtype), fill=numbers(dtype)))


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, Any, Any]:
    """Bytes of dense or sparse records with or without labels, and what they hold."""
    features = draw(tables())
    labels = draw(st.one_of(st.none(), tables(rows=len(features))))
    if labels is not None and labels.shape[1] == 1:
        labels = labels[:, 0]
    file = BytesIO()
    if draw(st.booleans()):
        write_dense(file, features, labels)
    else:
        features = csr_array(np.where(np.arange(features.size).reshape(features.shape) % 3 == 0, features, 0))
        write_sparse(file, features, labels)
    return file.getvalue(), features, labels


def plain(batch: Batch) -> tuple[Any, ...]:
    """A batch as bytes, so that nan equals nan and -0.0 differs from 0.0."""

    def code(array: Any) -> bytes:
        return np.where(np.isnan(array), np.nan, array).astype(array.dtype).tobytes()  # type: ignore[no-any-return]

    features = batch.features
    labels = None if batch.labels is None else (batch.labels.shape, code(batch.labels))
    if issparse(features):
        features.sum_duplicates()  # type: ignore[union-attr]
        entries = (features.indptr.tolist(), features.indices.tolist(), code(features.data))  # type: ignore[union-attr]
        return "sparse", features.shape, entries, labels
    return "dense", features.shape, code(features), labels  # type: ignore[union-attr]


class Trickle:
    """A file object that returns less than it is asked for."""

    def __init__(self, data: bytes, seed: int, most: int) -> None:
        self.file, self.random, self.most = BytesIO(data), Random(seed), most

    def read(self, size: int) -> bytes:
        return self.file.read(self.random.randint(1, min(size, self.most)))


@quick
@given(streams(), st.integers(1, 50))
def test_round_trip(stream: tuple[bytes, Any, Any], size: int) -> None:
    data, features, labels = stream
    found = list(batches(data, RECORDIO, size, dtype=np.float64))
    assert [len(batch) for batch in found[:-1]] == [size] * (len(found) - 1)
    (whole,) = rebatch(found, 10**6)
    assert issparse(whole.features) == issparse(features)
    got = whole.features.toarray() if issparse(features) else whole.features  # type: ignore[union-attr]
    expected = features.toarray() if issparse(features) else features
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(whole.labels, labels)  # type: ignore[arg-type]


@quick
@given(
    st.lists(streams(), min_size=1, max_size=3), st.integers(1, 50), st.integers(), st.sampled_from([3, 100, 10_000])
)
def test_any_cut_of_a_stream_gives_the_same_batches(
    parts: list[tuple[bytes, Any, Any]], size: int, seed: int, most: int
) -> None:
    data = b"".join(data for data, _, _ in parts)
    assert outcome(Trickle(data, seed, most), size) == outcome(data, size)


def outcome(source: Any, size: int, content_type: str = RECORDIO) -> Any:
    """All batches of a stream, or the error's text."""
    try:
        return [plain(batch) for batch in batches(source, content_type, size)]
    except DataError as error:
        return str(error)


@quick
@given(tables(), st.integers(1, 50), st.integers(), st.integers(1, 30), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_any_cut_of_text_gives_the_same_batches(table: Any, size: int, seed: int, most: int, newline: str) -> None:
    text = newline.join(",".join(map(repr, row)) for row in table.tolist()).encode()
    lines = newline.join(json.dumps({"features": row}) for row in table.tolist()).encode()
    expected = outcome(text, size, "text/csv")
    assert np.frombuffer(b"".join(batch[2] for batch in expected), np.float32).tolist() == pytest.approx(
        table.astype(np.float32).ravel().tolist(), rel=1e-6, abs=1e-40
    )
    assert outcome(Trickle(text, seed, most), size, "text/csv") == expected
    assert outcome(lines, size, "application/jsonlines") == outcome(
        Trickle(lines, seed, most), size, "application/jsonlines"
    )


def slowly(data: bytes) -> Any:
    """What the protobuf library makes of the records, one by one, in one batch; None when it refuses."""
    try:
        parsed = [parse_record(payload, limits=LIMITS) for payload in records(data)]
        found = list(rebatch(consistent(rows.batches(parsed, np.float32)), 10**6))
    except DataError:
        return None
    return [plain(batch) for batch in found]


def quickly(data: bytes) -> Any:
    try:
        return [plain(batch) for batch in rebatch(blocks(data, RECORDIO), 10**6)]
    except DataError:
        return None


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Valid records of which some bytes are changed, put in, taken out, or moved."""
    data = bytearray(draw(streams())[0])
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        change = draw(st.sampled_from(["set", "set", "flip", "flip", "insert", "delete", "repeat"]))
        if change == "set":
            data[place : place + 1] = bytes([draw(st.integers(0, 255))])
        elif change == "flip" and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif change == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=8))
        elif change == "delete":
            del data[place : place + draw(st.integers(1, 8))]
        else:
            data += data[place:]
    return bytes(data)


@settings(quick, max_examples=400)
@given(mutated())
def test_quick_ways_equal_the_parser(data: bytes) -> None:
    assert quickly(data) == slowly(data)


@settings(quick, max_examples=100)
@given(st.binary(max_size=300), st.sampled_from([RECORDIO, "text/csv", "application/json", "application/jsonlines"]))
def test_junk_is_refused_or_read(data: bytes, content_type: str) -> None:
    outcome(data, 10, content_type)
