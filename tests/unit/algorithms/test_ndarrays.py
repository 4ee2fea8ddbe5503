"""The NDArray list file, against bytes written out by hand from the format's description."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from algorithms.artifacts import ndarrays
from recordio.errors import UserError

CENTROIDS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
HEAD = bytes.fromhex("12 01 00 00 00 00 00 0000 00 00 00 00 00 00 0001 00 00 00 00 00 00 00")
SHAPE = bytes.fromhex("02 00 00 0002 00 00 00 00 00 00 0003 00 00 00 00 00 00 00")
PLACE = bytes.fromhex("01 00 00 0000 00 00 0000 00 00 00")  # CPU 0, float32
GOLDEN = HEAD + bytes.fromhex("c9 fa 93 f900 00 00 00") + SHAPE + PLACE + CENTROIDS.tobytes() + bytes(8)


def test_writes_the_golden_bytes() -> None:
    assert ndarrays.encode([CENTROIDS]) == GOLDEN


@pytest.mark.parametrize(
    "array",
    [
        bytes.fromhex("c9 fa 93 f900 00 00 00") + SHAPE,
        bytes.fromhex("ca fa 93 f900 00 00 00") + SHAPE,
        bytes.fromhex("c8 fa 93 f9") + SHAPE,
        bytes.fromhex("02 00 00 0002 00 00 0003 00 00 00"),
    ],
    ids=["current", "numpy shapes", "without storage", "oldest"],
)
def test_reads_every_age_of_the_format(array: bytes) -> None:
    (found,), names = ndarrays.decode(HEAD + array + PLACE + CENTROIDS.tobytes() + bytes(8))
    np.testing.assert_array_equal(found, CENTROIDS)
    assert names == []


@given(
    st.lists(
        st.tuples(
            st.text(max_size=9),
            st.sampled_from(["<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8"]).flatmap(
                lambda kind: arrays(kind, st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple))
            ),
        ),
        max_size=4,
    )
)
def test_round_trip(named: list[tuple[str, np.ndarray]]) -> None:
    given = [array for _, array in named], [name for name, _ in named]
    content = ndarrays.encode(*given)
    assert ndarrays.size(*given) == len(content)
    found, names = ndarrays.decode(content)
    assert names == [name for name, _ in named]
    for before, after in zip((array for _, array in named), found, strict=True):
        assert (before.dtype, before.shape, before.tobytes()) == (after.dtype, after.shape, after.tobytes())


def test_rows_that_lie_apart_are_written_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.arange(60, dtype=np.float32).reshape(10, 6)
    whole = ndarrays.encode([table[:, :5], table[:, 5:].T])
    monkeypatch.setattr(ndarrays, "PIECE_BYTES", 50)
    pieces = [*ndarrays.pieces([table[:, :5], table[:, 5:].T])]
    assert b"".join(pieces) == whole and max(map(len, pieces)) <= 50
    (left, right), _ = ndarrays.decode(whole)
    np.testing.assert_array_equal(np.vstack([left.T, right]), table.T)


@given(st.data())
def test_damage_gives_a_user_error_or_other_arrays(data: st.DataObject) -> None:
    damaged = bytearray(GOLDEN[: data.draw(st.integers(0, len(GOLDEN)))])
    for place in data.draw(st.lists(st.integers(0, len(GOLDEN) - 1), max_size=4)):
        if place < len(damaged):
            damaged[place] = data.draw(st.integers(0, 255))
    try:
        found, _ = ndarrays.decode(bytes(damaged))
    except UserError:
        return
    assert sum(array.nbytes for array in found) <= len(GOLDEN)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "ends after 0 bytes, 24 too few"),
        (b"PK\x03\x04" + bytes(40), "not an MXNet NDArray list: starts with 0x4034b50"),
        (GOLDEN[:-9], "too few"),
        (GOLDEN + b"x", "1 bytes after its end"),
        (HEAD + bytes.fromhex("c9 fa 93 f901 00 00 00"), "storage type 1 is sparse"),
        (HEAD + struct.pack("<IiI2q", 0xF993FAC9, 0, 2, 2**20, 2**20) + PLACE, "too few"),
        (HEAD + struct.pack("<IiI2q", 0xF993FAC9, 0, 2, -1, 1) + PLACE, "shape"),
        (HEAD + struct.pack("<IiI2q", 0xF993FAC9, 0, 2, 0, 2**62) + PLACE + bytes(8), "shape"),
        (HEAD + struct.pack("<Ii", 0x12345678, 0), "where an array should start"),
        (HEAD + bytes.fromhex("c9 fa 93 f900 00 00 00") + SHAPE + struct.pack("<iii", 1, 0, 77), "element type 77"),
        (GOLDEN[:-8] + struct.pack("<Q", 5), "5 names for 1 arrays"),
    ],
)
def test_says_what_is_wrong(content: bytes, text: str) -> None:
    with pytest.raises(UserError, match=text):
        ndarrays.decode(content)
