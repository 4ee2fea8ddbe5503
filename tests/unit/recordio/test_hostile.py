"""Hostile bytes, item by item: the right values, or one error that says where, what was found and what was expected.

What costs much where it is not refused runs in a process of its own, with little memory and little time.
"""

import subprocess
import sys
from io import BytesIO
from struct import pack
from typing import Any

import numpy as np
import pytest
from scipy.sparse import issparse

from recordio import DataError, Limits, batches, write_dense
from recordio.wire import encode_varint, opening

RECORDIO, CSV, LINES, JSON = "application/x-recordio-protobuf", "text/csv", "application/jsonlines", "application/json"
LIBSVM, NPY = "text/libsvm", "application/x-npy"
MAGIC = pack("<I", 0xCED7230A)
SECONDS = 120  # for what takes one or two, on a machine that does much else
SHORT_LINES = Limits(line_bytes=100)
MEGABYTES = 800  # beyond what the imports take

Rows = list[list[float]]
NAN, INF = np.nan, np.inf
FLOATS = np.array([1.5, -2], "<f4").tobytes()


def frame(payload: bytes, flag: int = 0) -> bytes:
    return MAGIC + pack("<I", flag << 29 | len(payload)) + payload + bytes(-len(payload) % 4)


def field(number: int, *parts: bytes) -> bytes:
    return opening(number, len(b"".join(parts))) + b"".join(parts)


def tensor(*parts: bytes, kind: int = 2, number: int = 1, name: bytes = b"values") -> bytes:
    """An entry of features, or of label where `number` is 2."""
    return field(number, field(1, name), field(2, field(kind, *parts)))


def sparse(keys: bytes, shape: bytes = b"\x0a", values: bytes = FLOATS) -> bytes:
    return frame(tensor(field(1, values), field(2, keys), field(3, shape)))


def written(features: Rows, labels: Any = None) -> bytes:
    file = BytesIO()
    write_dense(file, np.array(features, np.float32), labels)
    return file.getvalue()


def saved(array: Any) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


GOOD = frame(tensor(field(1, FLOATS)))
LABELLED = written([[1.5, -2]], [7])
WIDER = written([[1.0, 2, 3]])
HUGE = encode_varint(2**63)
INTEGERS = tensor(field(1, encode_varint(2**64 - 3) + b"\x80\x80\x80\x80\x10\x05"), kind=7)
MIXED_PACKING = tensor(b"\x0d" + FLOATS[:4], field(1, FLOATS[4:]), b"\x0d" + FLOATS[:4])
UNKNOWN = field(99, b"what") + b"\xa0\x06\x01" + b"\xa5\x06abcd" + b"\xa1\x06abcdefgh"
NAMES_NOT_TEXT = tensor(number=2, name=b"\xff\xfe") + tensor(number=2, name=b"a") + tensor(field(1, FLOATS))

# item: (name, content type, bytes, rows or the error)
VALUES: dict[str, list[tuple[str, str, bytes, Rows]]] = {
    "unknown fields": [
        ("in a record", RECORDIO, GOOD + frame(UNKNOWN + tensor(UNKNOWN + field(1, FLOATS))), [[1.5, -2]] * 2),
        ("names in JSON", LINES, b'{"features":[1],"more":{"a":[null]}}\n{"more":"[{","features":[2]}', [[1], [2]]),
    ],
    "packed and unpacked values": [("mixed", RECORDIO, WIDER + frame(MIXED_PACKING), [[1, 2, 3], [1.5, -2, 1.5]])],
    "repeated fields": [
        ("values", RECORDIO, frame(tensor(field(1, FLOATS[:4]), field(1, FLOATS[4:]))), [[1.5, -2]]),
        ("features", RECORDIO, frame(tensor(field(1, FLOATS[4:])) + tensor(field(1, FLOATS))), [[1.5, -2]]),
    ],
    "keys not sorted": [
        ("in a record", RECORDIO, sparse(b"\x05\x03", b"\x06"), [[0, 0, 0, -2, 0, 1.5]]),
        ("in JSON", LINES, b'{"features":{"keys":[2,0],"values":[5,6],"shape":[3]}}', [[6, 0, 5]]),
        ("in libsvm", LIBSVM, b"1 2:5 0:6\n", [[6, 0, 5]]),
    ],
    "huge varints": [("integers of ten bytes", RECORDIO, frame(INTEGERS), [[-3, 0, 5]])],
    "nan and inf": [
        ("in a record", RECORDIO, written([[NAN, INF, -INF]]), [[NAN, INF, -INF]]),
        ("in CSV", CSV, b"nan,inf,-Infinity\n", [[NAN, INF, -INF]]),
        ("in libsvm", LIBSVM, b"1 0:nan 1:-inf\n", [[NAN, -INF]]),
        ("beyond float32", CSV, b"1e39,-1e999,1e-999", [[INF, -INF, 0]]),
        ("in .npy", NPY, saved([[NAN, INF]]), [[NAN, INF]]),
    ],
    "CSV": [
        ("quotes", CSV, b'"1","2"\n" 3 ",4\n', [[1, 2], [3, 4]]),
        ("byte order mark", CSV, b"\xef\xbb\xbf1,2\n", [[1, 2]]),
        ("CRLF", CSV, b"1,2\r\n3,4\r\n", [[1, 2], [3, 4]]),
        ("CR", CSV, b"1,2\r3,4\r", [[1, 2], [3, 4]]),
        ("empty cells", CSV, b",\n", [[NAN, NAN]]),
    ],
    "duplicate keys": [
        ("in JSON, where the last one counts", LINES, b'{"features":[1,2],"features":[3]}', [[3]]),
        ("in a document", JSON, b'{"instances":[],"instances":[{"features":[3]}]}', [[3]]),
    ],
}

ERRORS: dict[str, list[tuple[str, str, bytes, str]]] = {
    "truncated": [
        ("payload", RECORDIO, GOOD + GOOD[:-5], "record 1 (byte 32): got 19 of 24 bytes, the data ends in the payload"),
        (
            "header",
            RECORDIO,
            GOOD + GOOD[:5],
            "record 1 (byte 32): got 5 bytes at the end of the data, expected a header",
        ),
        ("JSON", LINES, b'{"features":[1]}\n{"features":[', "record 1: got bytes that are not JSON"),
        ("document", JSON, b'{"instances":[{"features":[1]}', "got bytes that are not JSON"),
        ("libsvm", LIBSVM, b"1 0:1\n1 0:", "record 1: got '0:', expected index:value"),
    ],
    "wrong magic": [
        ("first", RECORDIO, b"JPEG" + GOOD[4:], "record 0 (byte 0): got magic 0x4745504a, expected 0xced7230a"),
        ("later", RECORDIO, GOOD + b"JPEG" + GOOD[4:], "record 1 (byte 32): got magic 0x4745504a, expected 0xced7230a"),
    ],
    "part flags out of order": [
        ("middle first", RECORDIO, GOOD + frame(b"", 2), "record 1 (byte 32): got a part with flag 2 outside a record"),
        ("last first", RECORDIO, frame(b"", 3), "record 0 (byte 0): got a part with flag 3 outside a record"),
        ("whole inside", RECORDIO, frame(b"", 1) + GOOD, "record 0 (byte 8): got a part with flag 0 inside a record"),
        ("no last", RECORDIO, frame(b"", 1), "record 0 (byte 8): got the end of the data, expected the record's other"),
        ("unknown flag", RECORDIO, frame(b"", 7), "record 0 (byte 0): got a part with flag 7 outside a record"),
    ],
    "wrong wire types": [
        ("values as text", RECORDIO, frame(tensor(field(1, b"12345"))), "record 0 (byte 0): got bytes that are not a"),
        (
            "values as varint",
            RECORDIO,
            frame(tensor(b"\x08\x01")),
            "record 0 (byte 0): got no features, expected values",
        ),
        ("features as varint", RECORDIO, frame(b"\x08\x01"), "record 0 (byte 0): got no features, expected values"),
        ("a group", RECORDIO, frame(b"\x0b" * 1000), "record 0 (byte 0): got bytes that are not a protobuf Record"),
    ],
    "keys out of shape": [
        ("in a record", RECORDIO, GOOD + sparse(b"\x01\x0a"), "record 1 (byte 32): got key 10, expected 0 to 9"),
        ("twice", RECORDIO, sparse(b"\x03\x03"), "record 0 (byte 0): got key 3 twice, expected each key once"),
        ("more than values", RECORDIO, sparse(b"\x01\x02\x03"), "record 0 (byte 0): got 3 keys and 2 values, expected"),
        (
            "in JSON",
            LINES,
            b'{"features":{"keys":[9],"values":[1],"shape":[9]}}',
            "record 0: got key 9, expected 0 to 8",
        ),
        ("in libsvm, twice", LIBSVM, b"1 0:1\n1 3:1 2:1 3:2", "record 1: got index 3 twice, expected each index once"),
    ],
    "shape times overflow": [
        (
            "2**64",
            RECORDIO,
            sparse(b"\0\1", encode_varint(2**32) * 2),
            "record 0 (byte 0): got shape [4294967296, 4294967",
        ),
        ("2**63", RECORDIO, sparse(b"\0\1", HUGE), "record 0 (byte 0): got shape [9223372036854775808], expected 1 to"),
        ("many axes", RECORDIO, sparse(b"\0\1", HUGE * 999), "record 0 (byte 0): got a shape of 999 numbers, expected"),
        (
            "zero",
            RECORDIO,
            sparse(b"\0\1", HUGE + b"\0"),
            "record 0 (byte 0): got shape [9223372036854775808, 0], expected",
        ),
        (
            "in JSON",
            LINES,
            b'{"features":{"keys":[0],"values":[1],"shape":[65536,65536]}}',
            "record 0: got shape [65536, ",
        ),
    ],
    "huge varints": [
        (
            "key",
            RECORDIO,
            sparse(b"\0" + encode_varint(2**64 - 1)),
            "record 0 (byte 0): got key 18446744073709551615, exp",
        ),
        (
            "of eleven bytes",
            RECORDIO,
            sparse(b"\0" + b"\xff" * 10 + b"\1"),
            "record 0 (byte 0): got bytes that are not a",
        ),
        (
            "length",
            RECORDIO,
            frame(b"\x0a" + encode_varint(2**63)),
            "record 0 (byte 0): got bytes that are not a protobuf",
        ),
    ],
    "nan and inf": [
        ("in JSON", LINES, b'{"features":[NaN]}', "record 0: got bytes that are not JSON"),
        ("beyond float64 in JSON", LINES, b'{"features":[1e999]}', "record 0: got bytes that are not JSON"),
    ],
    "widths that change": [
        ("in a record", RECORDIO, GOOD + WIDER, "record 1: got 3 features, expected 2"),
        ("dense and sparse", RECORDIO, GOOD + sparse(b"\x01\x02"), "record 1: got 10 features, expected 2"),
        ("in CSV", CSV, b"1,2\n1\n", "record 1: got 1 features, expected 2"),
        ("in JSON", LINES, b'{"features":[1,2]}\n{"features":[1]}', "record 1: got 1 features, expected 2"),
    ],
    "labels missing or surplus": [
        ("missing", RECORDIO, LABELLED + GOOD, "record 1: got 0 labels, expected 1"),
        ("surplus", RECORDIO, GOOD + LABELLED, "record 1: got 1 labels, expected 0"),
        ("in JSON", LINES, b'{"features":[1],"label":2}\n{"features":[1]}', "record 1: got 0 labels, expected 1"),
        ("in libsvm", LIBSVM, b"1 0:1\n1,2 0:1\n", "record 1: got 2 labels, expected 1"),
        (
            "nothing else in CSV",
            f"{CSV};label_size=2",
            b"1,2\n",
            "record 0: got 2 columns, expected features after 2 lab",
        ),
    ],
    "empty records": [
        ("no bytes", RECORDIO, GOOD + frame(b""), "record 1 (byte 32): got no features, expected values"),
        ("no values", RECORDIO, frame(tensor()), "record 0 (byte 0): got no features, expected values"),
        ("in JSON", LINES, b"{}", 'record 0: got an object, expected an object with "features"'),
        ("empty list", LINES, b'{"features":[]}', "record 0: got no features, expected values"),
    ],
    "invalid UTF-8": [
        (
            "names in a record",
            RECORDIO,
            frame(NAMES_NOT_TEXT),
            "record 0 (byte 0): got label named 'a', expected \"values\"",
        ),
        ("in CSV", CSV, b"1,2\n1,\xff\n", "record 1, column 1: got '\ufffd', expected a number"),
        ("in JSON", LINES, b'{"features":[1],"a":"\xff"}', "record 0: got bytes that are not JSON"),
        ("half a surrogate", LINES, b'{"features":[1],"a":"\\ud800"}', "record 0: got bytes that are not JSON"),
        ("in libsvm", LIBSVM, b"1 0:\xff\n", "record 0: got '0:\ufffd', expected index:value"),
    ],
    "CSV": [
        ("a header", CSV, b"age,height\n1,2\n", "record 0, column 0: got 'age', expected a number; is this a header?"),
        ("ragged rows", CSV, b"1,2\n1,2,3\n", "record 1: got 3 features, expected 2"),
        ("an open quote", CSV, b'1,"2\n', "record 0, column 1: got '\"2', expected a number"),
        ("a quoted comma", CSV, b'"1,5",2\n', "record 0, column 0: got '1,5', expected a number"),
    ],
    "duplicate keys": [
        ("features by two names", RECORDIO, frame(tensor(name=b"a") + tensor(name=b"b")), "record 0 (byte")
    ],
    "NPY with objects": [
        ("objects", NPY, saved([[object]]), "got an array of Python objects, which are never loaded; expected numbers")
    ],
}


def cases(table: dict[str, Any]) -> list[Any]:
    return [pytest.param(*case, id=f"{item}: {name}") for item, some in table.items() for name, *case in some]


@pytest.mark.parametrize(("content_type", "body", "rows"), cases(VALUES))
def test_odd_but_right(content_type: str, body: bytes, rows: Rows) -> None:
    (batch,) = batches(body, content_type, 1000)
    features: Any = batch.features
    np.testing.assert_array_equal(features.toarray() if issparse(features) else features, np.array(rows, np.float32))


@pytest.mark.parametrize(("content_type", "body", "text"), cases(ERRORS))
def test_one_error_says_where_and_what(content_type: str, body: bytes, text: str) -> None:
    with pytest.raises(DataError) as error:
        list(batches(body, content_type, 1000, name="train, part-0"))
    assert str(error.value).startswith(f"train, part-0, {text}")
    with pytest.raises(DataError) as cut:
        list(
            batches(
                Bytewise(body), content_type, 1000, name="train, part-0", width=4 if content_type == LIBSVM else None
            )
        )
    assert str(cut.value) == str(error.value)


# Two faults in one stream: the first counts, in whatever pieces it comes.
TWICE = {
    "another width, then no Record": (RECORDIO, GOOD + frame(tensor(b"\x0d" * 5)) + frame(b"\x0a"), 1),
    "other labels, then no record": (RECORDIO, LABELLED + sparse(b"\1\2") + GOOD[:3], 1),
    "another width, then a cut header": (RECORDIO, GOOD + WIDER * 2 + GOOD[:3], 1),
    "other labels, then an index twice": (LIBSVM, b"1,2 1:1\n1 1:1\n1 2:1 3:1 2:1\n", 1),
    "no number, then a long line": (CSV, b"1\nx\n" + b"1" * 200 + b"\n", 1),
    "no number, then half a character": (
        "text/csv; charset=utf-16",
        "1\nx\n".encode("utf-16") + b"\x00\xd8\x31\x00",
        1,
    ),
}


@pytest.mark.parametrize("name", TWICE)
def test_the_first_of_two_faults_counts(name: str) -> None:
    content_type, body, record = TWICE[name]
    for source in (body, Bytewise(body)):
        with pytest.raises(DataError, match=rf"^record {record}\b"):
            list(batches(source, content_type, 1000, width=4 if content_type == LIBSVM else None, limits=SHORT_LINES))


def test_a_line_has_one_limit_in_whatever_pieces_it_comes() -> None:
    for length, fits in ((100, True), (101, False)):
        body = b"1\n" + b"0" * length + b"\n2\n"
        for source in (body, Bytewise(body)):
            if fits:
                assert sum(map(len, batches(source, CSV, 1000, limits=SHORT_LINES))) == 3
            else:
                with pytest.raises(DataError, match=r"^got a line of more than 100 bytes"):
                    list(batches(source, CSV, 1000, limits=SHORT_LINES))


def test_a_fault_of_a_character_set_has_its_byte() -> None:
    body = "1\n2\n".encode("utf-16") + b"\x00\xd8\x31\x00"
    for source in (body, Bytewise(body)):
        with pytest.raises(DataError, match=r"^got bytes that are not utf-16 at byte 10: "):
            list(batches(source, "text/csv; charset=utf-16", 1000))
    with pytest.raises(DataError, match="expected a byte order mark"):
        list(batches(body[2:], "text/csv; charset=utf-16", 1000))


def test_errors_hold_no_control_characters_and_no_addresses() -> None:
    archive = BytesIO()
    np.savez(archive, **{"a\x1b[31m": np.ones(1), "b": np.ones(1)})
    with pytest.raises(DataError) as error:
        list(batches(archive.getvalue(), "application/x-npz", 1000))
    assert str(error.value).startswith("got arrays a?[31m, b, expected one named features")
    text = b"{'descr': f(), 'fortran_order': False, 'shape': (1, 1)}\n"
    header = b"\x93NUMPY\x01\x00" + pack("<H", len(text)) + text
    with pytest.raises(DataError) as error:
        list(batches(header, NPY, 1000))
    assert "can't be read" in str(error.value)
    assert "0x" not in str(error.value)


class Bytewise(BytesIO):
    """A stream that gives a byte at a time."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(1 if size else size)

    def readinto1(self, room: Any) -> int:
        return super().readinto1(memoryview(room)[:1])


def labels_beside_one_value(count: int) -> bytes:
    file = BytesIO()
    write_dense(file, np.ones((3, 1), np.float32), np.ones((3, count), np.int64))
    return file.getvalue()


def npy_header(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + pack("<H", len(text)) + text


# What is told or cheap to send, and what it gives: bodies are made when they are needed.
COSTLY: dict[str, tuple[str, Any, str]] = {
    "a header of half a gigabyte and two bytes": (
        RECORDIO,
        lambda: MAGIC + pack("<I", (1 << 29) - 1) + b"ab",
        "record 0 (byte 0): got a length of 536870911 bytes, the limit is ",
    ),
    "a shape of 100 exabytes and ten bytes": (
        NPY,
        lambda: npy_header(f"({2**40}, 10000000)") + bytes(10),
        f"record 0: got the end of the data, expected {2**40} records",
    ),
    "a header of 4 GB and ten bytes": (
        NPY,
        lambda: b"\x93NUMPY\x02\x00" + pack("<I", 2**32 - 1) + bytes(10),
        "got a .npy header of 4294967295 bytes, the limit is 10000",
    ),
    "a million labels": (RECORDIO, lambda: labels_beside_one_value(10**6), "(3, 1) (3, 1000000)"),
    "two billion columns": (RECORDIO, lambda: sparse(b"\0\1", encode_varint(2**31 - 1)) * 99, "(99, 2147483647)"),
    "ten million columns": (CSV, lambda: b"0," * (10**7 - 1) + b"0\n", "(1, 10000000)"),
    "more than ten million columns": (
        CSV,
        lambda: b"," * 10**7,
        "record 0: got 10000001 columns, the limit is 10000000",
    ),
    "a line without end": (CSV, lambda: b"0" * (130 * 2**20), "got a line of more than 134217728 bytes; is this text?"),
    "a number of ten million digits": (CSV, lambda: b"1" * 10**7 + b"\n", "(1, 1)"),
    "a number of ten million digits in JSON": (LINES, lambda: b'{"features":[0.%s]}' % (b"1" * 10**7), "(1, 1)"),
    "ten million spaces": (CSV, lambda: b" " * 10**7 + b"x", "record 0, column 0: got "),
    "ten million quotes": (CSV, lambda: b'"' * (10**7 + 1), "record 0, column 0: got "),
    "lists nested 10**5 deep": (LINES, lambda: b"[" * 10**5, "record 0: got JSON nested more than 64 deep"),
    "objects nested 10**5 deep": (JSON, lambda: b'{"a":' * 10**5, "got JSON nested more than 64 deep"),
    "forty million empty lists": (LINES, lambda: b'{"features":[%s[]]}' % (b"[]," * (4 * 10**7)), "record 0: got "),
    "forty million empty objects": (LINES, lambda: b'{"features":[%s{}]}' % (b"{}," * (4 * 10**7)), "record 0: got "),
    "twenty million texts": (LINES, lambda: b'{"more":[%s"a"]}' % (b'"ab",' * (2 * 10**7)), "record 0: got "),
    "thirty million numbers": (
        LINES,
        lambda: b'{"a":1,"features":[%s1]}' % (b"1.5," * (3 * 10**7)),
        "record 0: got more",
    ),
    "a libsvm index of ten million digits": (LIBSVM, lambda: b"1 %s:1\n" % (b"9" * 10**7), "record 0: got '9999"),
    "more than ten million entries": (LIBSVM, lambda: b"1" + b" 0:1" * (10**7 + 1), "record 0: got more than 10000000"),
    "a million empty map entries": (
        RECORDIO,
        lambda: frame(b"".join(field(1, field(1, b"%d" % name)) for name in range(10**6))),
        "record 0 (byte 0): got more than 1048576 bytes around the values of one record",
    ),
}

PROGRAM = """
import resource, sys
import numpy, orjson, scipy.sparse
from recordio import UserError, batches, csv, json_records, libsvm, npy, protobuf, tabular

content_type, megabytes, width = sys.argv[1:]
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(megabytes) * 2**20, resource.RLIM_INFINITY))
try:
    for batch in batches(sys.stdin.buffer, content_type, 1000, width=int(width) or None):
        print(batch.features.shape, "" if batch.labels is None else batch.labels.shape)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("name", COSTLY)
def test_little_memory_and_time_are_enough(name: str) -> None:
    content_type, body, text = COSTLY[name]
    width = "1000" if content_type == LIBSVM else "0"
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, content_type, str(MEGABYTES), width],
        input=body(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert found.stdout.decode().startswith(text), found.stderr.decode()[-2000:]
    assert found.returncode == 0


def test_the_bound_of_memory_can_be_passed() -> None:
    body = b"1," * 10**7
    command = [sys.executable, "-c", PROGRAM, CSV, "1", "0"]
    found = subprocess.run(command, input=body, capture_output=True, timeout=SECONDS, check=False)
    assert found.returncode == 1
    assert b"MemoryError" in found.stderr
