"""RecordIO frames: whole, in parts, cut short, hostile."""

from io import BytesIO
from struct import pack

import pytest

from recordio import DataError, records, write_record

MAGIC = pack("<I", 0xCED7230A)


def frame(payload: bytes, flag: int = 0) -> bytes:
    return MAGIC + pack("<I", flag << 29 | len(payload)) + payload + bytes(-len(payload) % 4)


@pytest.mark.parametrize("length", range(9))
def test_payloads_come_back(length: int) -> None:
    file = BytesIO()
    write_record(file, b"x" * length)
    write_record(file, b"y")
    assert file.getvalue() == frame(b"x" * length) + frame(b"y")
    assert list(records(file.getvalue())) == [b"x" * length, b"y"]


def test_empty_source_has_no_records() -> None:
    assert list(records(b"")) == []


def test_parts_are_joined_by_the_magic_that_the_writer_left_out() -> None:
    source = frame(b"head", 1) + frame(b"", 2) + frame(b"tail!", 3) + frame(b"next")
    assert list(records(source)) == [b"head" + MAGIC + MAGIC + b"tail!", b"next"]


def test_magic_inside_a_payload_is_payload() -> None:
    payload = MAGIC * 3
    file = BytesIO()
    write_record(file, payload)
    assert list(records(file.getvalue())) == [payload]


def test_writer_refuses_what_the_length_cannot_say() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return 1 << 29

    with pytest.raises(DataError, match=r"got a record of 536870912 bytes, expected fewer than 536870912"):
        write_record(BytesIO(), Long())


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (b"JPEG....", "record 1 (byte 12): got magic 0x4745504a, expected 0xced7230a"),
        (MAGIC[:3], "record 1 (byte 12): got 3 bytes at the end of the data, expected a header of 8"),
        (frame(b"12345678")[:11], "record 1 (byte 12): got 3 of 8 bytes, the data ends in the payload"),
        (frame(b"12345")[:-1], "record 1 (byte 12): got 7 of 8 bytes, the data ends in the padding"),
        (frame(b"x", 2), "record 1 (byte 12): got a part with flag 2 outside a record of several parts"),
        (frame(b"x", 3), "record 1 (byte 12): got a part with flag 3 outside a record of several parts"),
        (frame(b"x", 5), "record 1 (byte 12): got a part with flag 5 outside a record of several parts"),
        (
            frame(b"x", 1) + frame(b"y"),
            "record 1 (byte 24): got a part with flag 0 inside a record of several parts",
        ),
        (frame(b"x", 1), "record 1 (byte 24): got the end of the data, expected the record's other parts"),
    ],
)
def test_fault_says_where_and_what(source: bytes, text: str) -> None:
    found = records(frame(b"good") + source)
    assert next(found) == b"good"
    with pytest.raises(DataError) as error:
        next(found)
    assert str(error.value) == text


def test_length_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(DataError, match=r"record 0 \(byte 0\): got a length of 5 bytes, the limit is 4"):
        list(records(frame(b"12345"), limit=4))
    with pytest.raises(DataError, match=r"got parts of 12 bytes together, the limit is 11"):
        list(records(frame(b"1234", 1) + frame(b"1234", 3), limit=11))


def test_claimed_length_takes_no_memory() -> None:
    asked = []

    class Short(BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            asked.append(size)
            return super().read1(size)

    with pytest.raises(DataError, match=r"got 2 of 536870912 bytes, the data ends in the payload"):
        list(records(Short(MAGIC + pack("<I", (1 << 29) - 1) + b"ab")))
    assert max(size or 0 for size in asked) <= 2**20
