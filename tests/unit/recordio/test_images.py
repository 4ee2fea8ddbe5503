"""Image records, their indices and their lists; tests/golden/test_mxnet_records.py compares with the real MXNet."""

import io
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from recordio import DataError, ImageRecord, Limits, images, records, write_images
from recordio.framing import write_parts, write_record
from recordio.image_lists import ListedImage, listed, write_list
from recordio.image_records import image_at, index

MAGIC = pack("<I", 0xCED7230A)
RNG = np.random.default_rng(0)


def image(content: bytes = b"jpeg", *labels: float, id: int = 0, id2: int = 0) -> ImageRecord:
    return ImageRecord(content, np.array(labels or [1], np.float32), id, id2)


def plain(record: ImageRecord) -> tuple[Any, ...]:
    assert record.labels.dtype == np.float32
    return record.content, record.labels.tolist(), record.id, record.id2


SOME = [
    image(),
    image(b"", 7.5, id=3),
    image(b"x" * 5, 1, 0, 1, id=2**64 - 1, id2=9),
    image(MAGIC + b"abcd" + MAGIC * 2 + b"tail", 3),
    image(b"abc" + MAGIC, 3),
    image(RNG.bytes(3_000_001), *range(1000)),
]


def test_records_come_back() -> None:
    file, lines = io.BytesIO(), io.BytesIO()
    write_images(file, SOME, lines)
    assert list(map(plain, images(file.getvalue()))) == list(map(plain, SOME))


def test_bytes_of_one_label_and_of_several() -> None:
    file = io.BytesIO()
    write_images(file, [image(b"ab", 2, id=5), image(b"ab", 2, 3, id=5, id2=6)])
    first, second = records(file.getvalue())
    assert first == pack("<IfQQ", 0, 2, 5, 0) + b"ab"
    assert second == pack("<IfQQ", 2, 0, 5, 6) + pack("<ff", 2, 3) + b"ab"


def test_payloads_are_cut_where_dmlc_cuts_them() -> None:
    def frame(payload: bytes, flag: int) -> bytes:
        return MAGIC + pack("<I", flag << 29 | len(payload)) + payload + bytes(-len(payload) % 4)

    for payload, frames in (
        (b"abcdefg", frame(b"abcdefg", 0)),
        (MAGIC, frame(b"", 1) + frame(b"", 3)),
        (MAGIC * 2 + b"x", frame(b"", 1) + frame(b"", 2) + frame(b"x", 3)),
        (b"abcd" + MAGIC + b"efgh" + MAGIC, frame(b"abcd", 1) + frame(b"efgh", 2) + frame(b"", 3)),
        (b"a" + MAGIC, frame(b"a" + MAGIC, 0)),
        (b"a" + MAGIC + b"bcd" + MAGIC + b"e", frame(b"a" + MAGIC + b"bcd", 1) + frame(b"e", 3)),
    ):
        file = io.BytesIO()
        assert write_parts(file, payload) == len(frames)
        assert file.getvalue() == frames
        assert list(records(frames)) == [payload]


def test_parts_refuse_what_a_length_cannot_say() -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return 1 << 29

    with pytest.raises(DataError, match=r"^got a record of 536870912 bytes, expected fewer than 536870912$"):
        write_parts(io.BytesIO(), Long())


def test_access_by_index(tmp_path: Path) -> None:
    some = [image(RNG.bytes(number * 1000), number, id=1000 - number) for number in range(50)]
    some[7] = image(b"1234" + MAGIC + b"5678", 7, id=993)
    with (tmp_path / "a.rec").open("wb") as file, (tmp_path / "a.idx").open("wb") as lines:
        write_images(file, some, lines)
    offsets = index(tmp_path / "a.idx")
    assert list(offsets) == [1000 - number for number in range(50)]
    with (tmp_path / "a.rec").open("rb") as file:
        for key in (993, 951, 1000, 992):
            assert plain(image_at(file, offsets[key])) == plain(some[1000 - key])
        with pytest.raises(DataError, match=r"^from byte 4 on, record 0 \(byte 0\): got magic 0x00000018, expected 0x"):
            image_at(file, 4)
        with pytest.raises(DataError, match=r"^from byte 10000000 on, got the end of the file, expected a record$"):
            image_at(file, 10_000_000)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"x" * 10, "record 3: got 10 bytes, expected an image header of 24"),
        (b"", "record 3: got 0 bytes, expected an image header of 24"),
        (
            pack("<IfQQ", 3, 0, 0, 0) + bytes(11),
            "record 3: got 35 bytes, expected 3 labels after an image header, 36 bytes",
        ),
        (
            pack("<IfQQ", 2**32 - 1, 0, 0, 0),
            "record 3: got 24 bytes, expected 4294967295 labels after an image header, 17179869204 bytes",
        ),
    ],
)
def test_fault_says_where_and_what(payload: bytes, text: str) -> None:
    file = io.BytesIO()
    write_images(file, SOME[:3])
    write_record(file, payload)
    found = images(file.getvalue())
    for _ in range(3):
        next(found)
    with pytest.raises(DataError) as error:
        next(found)
    assert str(error.value) == text


def test_limits() -> None:
    file = io.BytesIO()
    write_images(file, [image(b"x" * 100)])
    with pytest.raises(DataError, match=r"^record 0 \(byte 0\): got a length of 124 bytes, the limit is 123$"):
        list(images(file.getvalue(), limits=Limits(record_bytes=123)))


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (ImageRecord(b"", np.empty(0, np.float32)), "record 1: got labels of shape (0,), expected (labels,)"),
        (ImageRecord(b"", np.ones((1, 1), np.float32)), "record 1: got labels of shape (1, 1), expected (labels,)"),
        (image(id=-1), "record 1: got ids -1 and 0, expected 0 to 18446744073709551615"),
        (image(id2=2**64), "record 1: got ids 0 and 18446744073709551616, expected 0 to 18446744073709551615"),
    ],
)
def test_what_cannot_be_written(record: ImageRecord, text: str) -> None:
    with pytest.raises(DataError) as error:
        write_images(io.BytesIO(), [image(), record])
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"x\t0", "line 1: got 'x\\t0', expected a key, a tab and a byte offset"),
        (b"1\t-8", "line 1: got '1\\t-8', expected a key, a tab and a byte offset"),
        (b"1 8", "line 1: got '1 8', expected a key, a tab and a byte offset"),
        (b"1\t8\t9", "line 1: got '1\\t8\\t9', expected a key, a tab and a byte offset"),
        (b"1\t" + b"9" * 30, f"line 1: got '1\\t{'9' * 30}', expected a key, a tab and a byte offset"),
        (b"5\t8", "line 1: got key 5 twice, expected each key once"),
        (b"1\t\xff", "line 1: got bytes that are not UTF-8"),
    ],
)
def test_index_faults(line: bytes, text: str) -> None:
    with pytest.raises(DataError) as error:
        index(b"5\t0\n" + line + b"\n")
    assert str(error.value) == text


def test_lists_as_im2rec_writes_them() -> None:
    text = b"2\t1.000000\tcats/a b.jpg\r\n\n5\t0.000000\t1.000000\t\xc3\xa4.png"
    found = [(image.index, image.labels.tolist(), image.path) for image in listed(text)]
    assert found == [(2, [1.0], "cats/a b.jpg"), (5, [0.0, 1.0], "ä.png")]
    file = io.BytesIO()
    write_list(file, listed(text))
    assert file.getvalue() == "2\t1.0\tcats/a b.jpg\n5\t0.0\t1.0\tä.png\n".encode()


def test_lists_keep_every_digit() -> None:
    labels = RNG.normal(size=5).astype(np.float32)
    file = io.BytesIO()
    write_list(file, [ListedImage(2**64 - 1, labels, "a")])
    (found,) = listed(file.getvalue())
    assert_array_equal(found.labels, labels)
    assert found.index == 2**64 - 1


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("1\tcat.jpg", "line 1: got '1\\tcat.jpg', expected an index, labels and a path with tabs between them"),
        ("1 0 cat.jpg", "line 1: got '1 0 cat.jpg', expected an index, labels and a path with tabs between them"),
        ("-1\t0\ta", "line 1: got index '-1', expected a whole number"),
        (f"{2**64}\t0\ta", f"line 1: got index '{2**64}', expected a whole number"),
        ("1\tcat\ta", "line 1: got label 'cat', expected a number"),
        ("1\t1_0\ta", "line 1: got label '1_0', expected a number"),
        ("1\t0\t/etc/passwd", "line 1: got path '/etc/passwd', expected one inside the folder of the images"),
        ("1\t0\ta/../../b", "line 1: got path 'a/../../b', expected one inside the folder of the images"),
        ("1\t0\t..", "line 1: got path '..', expected one inside the folder of the images"),
        ("1\t0\ta\x00b", "line 1: got path 'a\\x00b', expected one inside the folder of the images"),
        ("1\t0\t", "line 1: got path '', expected one inside the folder of the images"),
    ],
)
def test_list_faults(line: str, text: str) -> None:
    with pytest.raises(DataError) as error:
        list(listed(b"0\t0\tgood\n" + line.encode()))
    assert str(error.value) == text


@pytest.mark.parametrize("path", ["../a", "/a", "a\nb", "a\tb", "", "\udcff"])
def test_lists_are_not_written_with_paths_that_lead_out(path: str) -> None:
    file = io.BytesIO()
    with pytest.raises(DataError, match=r"^line 0: "):
        write_list(file, [ListedImage(0, np.ones(1, np.float32), path)])
    assert file.getvalue() == b""
