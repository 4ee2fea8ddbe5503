"""CSV: what is read, and what is refused with which words."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from recordio import DataError, Limits, UserError, batches, blocks, decode

NAN = np.nan


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"1,2\n3,4", [[1, 2], [3, 4]]),
        (b"1,2\n3,4\n", [[1, 2], [3, 4]]),
        (b"1,2\r\n3,4\r\n", [[1, 2], [3, 4]]),
        (b"1,2\r3,4", [[1, 2], [3, 4]]),
        (b"\xef\xbb\xbf1,2\n3,4", [[1, 2], [3, 4]]),
        (b"\n\r\n1,2\n\n\n3,4\n\n", [[1, 2], [3, 4]]),
        (b'"1","2"\n"3.5",-4e-1', [[1, 2], [3.5, -0.4]]),
        (b" 1, 2 \n3 ,\t4", [[1, 2], [3, 4]]),
        (b"1,\n,2", [[1, NAN], [NAN, 2]]),
        (b'1,""\nnan,2', [[1, NAN], [NAN, 2]]),
        (b"inf,-Inf", [[np.inf, -np.inf]]),
        (b"7", [[7]]),
        (b"7\n\n8\n", [[7], [8]]),
        (b"+1,.5,1.", [[1, 0.5, 1]]),
        (b"1, \n,\t\n", [[1, NAN], [NAN, NAN]]),
        (b'" 1 ",2\n"3" ,""\n', [[1, 2], [3, NAN]]),
        (b"1e400,-1e400,1e-400", [[np.inf, -np.inf, 0]]),
        (b"1e39,1e-50,0.1e1", [[np.inf, 0, 1]]),
        (b"-nan,+Infinity,INF", [[NAN, np.inf, np.inf]]),
        (b"0." + b"0" * 400 + b"1e401," + b"1" + b"0" * 400 + b"e-400", [[1, 1]]),
    ],
)
def test_numbers(body: bytes, expected: list[list[float]]) -> None:
    batch = decode(body, "text/csv")
    assert batch.labels is None
    assert batch.features.dtype == np.float32
    assert_array_equal(batch.features, np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("label_size", "labels"), [(0, None), (1, np.array([1, 4], np.float32)), (2, np.array([[1, 2], [4, 5]]))]
)
def test_labels_come_first(label_size: int, labels: object) -> None:
    body = b"1,2,3\n4,5,6"
    stated = decode(body, f"text/csv; label_size={label_size}")
    (given,) = batches(body, "text/csv", 10, label_size=label_size)
    (both,) = batches(body, f"text/csv;label_size={label_size}", 10, label_size=1)
    for batch in (stated, given, both):
        assert_array_equal(batch.features, np.array([[1, 2, 3], [4, 5, 6]])[:, label_size:])
        if labels is None:
            assert batch.labels is None
        else:
            assert_array_equal(batch.labels, labels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            b"age,height\n1,2",
            "record 0, column 0: got 'age', expected a number; is this a header? CSV must not have one",
        ),
        (b"1,2\n3,x\n", "record 1, column 1: got 'x', expected a number"),
        (b"1,2\n3,NA\n", "record 1, column 1: got 'NA', expected a number"),
        (b"1,2\n\n3\n", "record 1: got 1 features, expected 2"),
        (b"1,2\n3,4,5\n", "record 1: got 3 features, expected 2"),
        (b"1,2,3\n4,5\n6,7,8,9\n", "record 1: got 2 features, expected 3"),
        (b'"1,2",3\n', "record 0, column 0: got '1,2', expected a number"),
        (b'"1,"\n', "record 0, column 0: got '1,', expected a number; is this a header? CSV must not have one"),
        (b'" ,1"\n', "record 0, column 0: got ' ,1', expected a number; is this a header? CSV must not have one"),
        (b'1,2\n"3\n4",5\n', "record 1: got 1 features, expected 2"),
        (b"1;x\n", "record 0, column 0: got '1;x', expected a number; is this a header? CSV must not have one"),
        (b"1;2\n3;4,5\n", "record 1, column 1: got '4,5', expected a number"),
        (b"1 2\n3  4\n", "record 1: got 3 features, expected 2"),
        (b"1;2\n3;4;5\n", "record 1: got 3 features, expected 2"),
        (b"1;2\n3\x00;4\n", "record 1, column 0: got '3,', expected a number"),
        (b"1,1_0\n", "record 0, column 1: got '1_0', expected a number"),
        (b"1,0x10\n", "record 0, column 1: got '0x10', expected a number"),
        (b"1,\xff\n", "record 0, column 1: got '\ufffd', expected a number"),
        ("1,\u0661\n".encode(), "record 0, column 1: got '\u0661', expected a number"),
        (b'"1"2,3\n', "record 0, column 0: got '\"1\"2', expected a number"),
        (b'1,2\n3,"4', "record 1, column 1: got '\"4', expected a number"),
        (b'1,2\n3,4"\n', "record 1, column 1: got '4\"', expected a number"),
        (b'"1""2",3\n', "record 0, column 0: got '1\"2', expected a number"),
        (b' "1",3\n', "record 0, column 0: got ' \"1\"', expected a number"),
        (b"nan(1),3\n", "record 0, column 0: got 'nan(1)', expected a number"),
        (b"1\x0c,3\n", "record 0, column 0: got '1\\x0c', expected a number"),
        (b"1,+-3\n", "record 0, column 1: got '+-3', expected a number"),
        (b"1,3e\n", "record 0, column 1: got '3e', expected a number"),
        (b"1,2\n3,4,x\n", "record 1, column 2: got 'x', expected a number"),
        (b"1," + b"x" * 10**6, "record 0, column 1: got '" + "x" * 40 + "', expected a number"),
        (b"1," + b" " * 10**6 + b"x", "record 0, column 1: got '" + " " * 40 + "', expected a number"),
        (b"1," + b"1" * 10**6 + b"x", "record 0, column 1: got '" + "1" * 40 + "', expected a number"),
        (b'1,"' + b'"' * 10**6, "record 0, column 1: got '" + '"' * 40 + "', expected a number"),
        (b"1,\x00\n", "record 0, column 1: got '\\x00', expected a number"),
    ],
)
def test_fault_says_where_and_what(body: bytes, text: str) -> None:
    with pytest.raises(DataError) as error:
        decode(body, "text/csv")
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"1;-2.5e1; 3\n4;;6\n", [[1, -25, 3], [4, np.nan, 6]]),
        (b"1\t2\t\r\n4\t 5 \t6", [[1, 2, np.nan], [4, 5, 6]]),
        (b"1|2|3\n\n4|nan|inf\n", [[1, 2, 3], [4, np.nan, np.inf]]),
        (b"1 2 3\n4 5 \n", [[1, 2, 3], [4, 5, np.nan]]),
        (b" 7 \n8\t\n", [[7], [8]]),
    ],
)
def test_cells_parted_by_another_character(body: bytes, expected: list[list[float]]) -> None:
    for size in (1, 2, 100):
        (batch,) = batches(Parts(body, size), "text/csv", 100)
        assert_array_equal(batch.features, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("label_size", [0, 1, 2])
def test_a_column_of_weights_follows_the_labels(label_size: int) -> None:
    body = b"1,2,3,4\n5,6,7,8\n"
    table = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    (batch,) = blocks(body, "text/csv", label_size=label_size, weighted=True)
    assert_array_equal(batch.weights, table[:, label_size])  # type: ignore[arg-type]
    assert_array_equal(batch.features, table[:, label_size + 1 :])  # type: ignore[arg-type]
    assert batch.groups is None and (batch.labels is None) == (label_size == 0)


def test_only_labels_and_weights() -> None:
    with pytest.raises(
        DataError, match=r"^record 0: got 2 columns, expected features after 1 label columns and one of"
    ):
        list(blocks(b"1,2\n", "text/csv", label_size=1, weighted=True))


def test_only_labels() -> None:
    with pytest.raises(DataError, match=r"record 0: got 1 columns, expected features after 1 label columns"):
        decode(b"1\n2\n", "text/csv;label_size=1")


def test_record_count_goes_on_over_pieces() -> None:
    rows = b"1,2\n" * 400_000  # more than one piece
    with pytest.raises(DataError, match=r"^part-0, record 400000, column 0: got 'x', expected a number"):
        list(batches(rows + b"x,2\n", "text/csv", 1000, name="part-0"))
    with pytest.raises(DataError, match=r"^part-0, record 400000: got 1 features, expected 2"):
        list(batches(rows + b"2\n", "text/csv", 1000, name="part-0"))


def test_other_charsets() -> None:
    text = "1,2\n3,4"
    for charset in ("utf-16", "latin-1", "ascii", "utf-8"):
        assert_array_equal(decode(text.encode(charset), f"text/csv; charset={charset}").features, [[1, 2], [3, 4]])
    with pytest.raises(UserError, match=r"got charset 'klingon', expected one of utf-8, utf-16"):
        decode(b"1,2", "text/csv; charset=klingon")
    with pytest.raises(UserError, match=r"got bytes that are not utf-16"):
        decode(b"\xff\xfe1", "text/csv; charset=utf-16")
    with pytest.raises(UserError, match=r"got charset 'zip'"):
        decode(b"1,2", "text/csv; charset=zip")


def test_limits() -> None:
    with pytest.raises(DataError, match=r"record 0: got 5 columns, the limit is 4"):
        decode(b"1,2,3,4,5", "text/csv", limits=Limits(dense_width=4))
    with pytest.raises(DataError, match=r"got a line of more than 10 bytes; is this text?"):
        decode(b"1" * 11, "text/csv", limits=Limits(line_bytes=10))


class Parts:
    """A file object that gives these bytes a few at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self.parts = [data[start : start + size] for start in range(0, len(data), size)][::-1]

    def read(self, size: int) -> bytes:
        return self.parts.pop() if self.parts else b""


def test_memory_follows_the_lines_whatever_ends_them() -> None:
    for newline in (b"\n", b"\r\n", b"\r"):
        source = Parts(b"1,2" + newline + (b"3,4" + newline) * 1000, 7)
        (batch,) = batches(source, "text/csv", 5000, limits=Limits(line_bytes=10))
        assert_array_equal(batch.features, [[1, 2]] + [[3, 4]] * 1000)


def test_a_wide_line_in_small_pieces() -> None:
    (batch,) = batches(Parts(b"7," * 10**6 + b"8\n", 1000), "text/csv", 5)
    assert batch.features.shape == (1, 10**6 + 1)
    assert batch.features.sum() == 7 * 10**6 + 8


def test_many_blank_lines() -> None:
    blank = b"\n" * 10**6 + b"\r" * 10**6 + b"\r\n" * 10**6
    assert_array_equal(decode(blank + b"1,2" + blank + b"3,4" + blank, "text/csv").features, [[1, 2], [3, 4]])


def test_float64_keeps_its_digits() -> None:
    assert decode(b"0.1,16777217", "text/csv", dtype=np.float64).features.tolist() == [[0.1, 16777217.0]]
