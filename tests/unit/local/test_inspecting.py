"""Inspection: what is told of a file, by its content, and how far faults go."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.sparse import csr_array, random_array

from local.tables.findings import MOST_FAULTS, facts, table
from local.tables.inspecting import inspect
from recordio import Batch, UserError, write_dense, write_record, write_sparse, writer
from recordio.content_types import CSV, JSON_LINES, LIBSVM, NPY, NPZ, PARQUET, RECORDIO

TYPES = {
    "csv": CSV,
    "jsonl": JSON_LINES,
    "libsvm": LIBSVM,
    "npy": NPY,
    "npz": NPZ,
    "parquet": PARQUET,
    "recordio-protobuf": RECORDIO,
}
NUMBERS = np.array([[0, 1.5, -2], [0, 0, 0], [3, 0.25, 0], [4, 0, 1]], np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def found(name: str, content: bytes) -> dict[str, Any]:
    Path(name).write_bytes(content)
    return facts(inspect(name))


def body(content_type: str, batch: Batch) -> bytes:
    file = io.BytesIO()
    with writer(file, content_type) as out:
        out.write(batch)
    return file.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", TYPES)
def test_every_format_is_known_by_its_content(name: str, packed: bool) -> None:
    content = body(TYPES[name], Batch(NUMBERS))
    report = found("data", gzip.compress(content) if packed else content)
    assert (report["format"], report["gzip"], report["faults"], report["whole"]) == (name, packed, [], True)
    assert (report["records"], report["width"], report["files"]) == (4, 3, 1)
    assert report["bytes"] == Path("data").stat().st_size
    assert report["kind"] == ("sparse" if name == "libsvm" else "dense")
    assert report["density"] == 0.5
    values = report["values"]
    assert (values["min"], values["max"], values["missing"], values["infinite"]) == (-2, 4, 0, 0)
    assert_allclose(values["mean"], NUMBERS.mean())
    assert "labels" not in report


@pytest.mark.parametrize("name", ["recordio-protobuf", "npz"])
def test_sparse_records_have_zeros_too(name: str) -> None:
    matrix = random_array((40, 300), density=0.1, format="csr", dtype=np.float32, rng=np.random.default_rng(1))
    matrix.data += 1
    report = found("data", body(TYPES[name], Batch(matrix, np.arange(40, dtype=np.float32))))
    assert (report["kind"], report["width"], report["density"]) == ("sparse", 300, 0.1)
    assert report["values"]["min"] == 0
    assert_allclose(report["values"]["mean"], matrix.toarray().mean(dtype=float))
    assert report["labels"]["distinct"] == 40


def test_labels_are_counted() -> None:
    labels = np.array([3] * 5 + [1.5] * 4 + [np.nan, np.inf], np.float32)
    report = found("data", body(RECORDIO, Batch(np.ones((11, 2), np.float32), labels)))["labels"]
    assert (report["count"], report["min"], report["max"]) == (1, 1.5, 3)
    assert (report["missing"], report["infinite"]) == (1, 1)
    assert (report["distinct"], report["most"]) == (3, {"3": 5, "1.5": 4, "inf": 1})


@pytest.mark.parametrize(("distinct", "told"), [(1000, 1000), (1002, None)])
def test_labels_are_told_apart_up_to_a_limit(distinct: int, told: int | None) -> None:
    labels = np.arange(distinct, dtype=np.float32).reshape(-1, 2)
    report = found("data", body(RECORDIO, Batch(np.ones((len(labels), 1), np.float32), labels)))["labels"]
    assert (report["count"], report["distinct"], report["max"]) == (2, told, distinct - 1)
    assert len(report["most"]) == (0 if told is None else 10)


def test_missing_and_infinite_values() -> None:
    numbers = np.ones((100, 8), np.float32)
    numbers[:, 2] = np.nan
    numbers[:7, 5] = np.nan
    numbers[3, 1], numbers[4, 1] = np.inf, -np.inf
    values = found("data.csv", body(CSV, Batch(numbers)))["values"]
    assert (values["missing"], values["infinite"]) == (107, 2)
    assert values["missing_columns"] == {2: 100, 5: 7}
    assert (values["min"], values["max"], values["mean"]) == (1, 1, 1)


def test_missing_values_of_sparse_records() -> None:
    matrix = csr_array(np.array([[0, np.nan, 0], [2, 0, 0]], np.float32))
    report = found("data", body(RECORDIO, Batch(matrix)))
    assert (report["values"]["missing_columns"], report["values"]["mean"]) == ({1: 1}, 0.4)


def test_values_of_which_there_is_no_sum() -> None:
    values = found("data", body(NPY, Batch(np.full((4, 4), 1e308))))["values"]
    assert (values["max"], values["mean"], values["infinite"]) == (1e308, None, 0)
    json.dumps(values, allow_nan=False)


FAULTS = {
    "csv": (
        b"x,y\n1,2\n3,x\n\n4,5\n6\n7,8,9\n1,2\n",
        (3, ["record 1, column 1: got 'x', expected a number", "record 3: got 1 features", "record 4: got 3 features"]),
    ),
    "csv with one record": (b"1,z\n", (0, ["record 0, column 1: got 'z', expected a number"])),
    "libsvm": (b"1 0:2 3:4\n0 1:x\n1 5:7\n", (2, ["record 1: got '1:x', expected index:value"])),
    "labels": (b"1 0:2\n" * 100_000 + b"1,2 0:3\n", (100_000, ["record 100000: got 2 labels, expected 1"])),
    "json lines": (
        b'{"features":[1,2]}\n{"features":[1]}\nnope\n{"features":[3,4]}',
        (2, ["record 1: got 1 features, expected 2", "record 2: got bytes that are not JSON"]),
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_lines_after_a_fault_are_read_on(case: str) -> None:
    content, (records, faults) = FAULTS[case]
    report = found("data", content)
    assert report["records"] == records
    assert report["whole"]
    assert len(report["faults"]) == len(faults)
    for text, start in zip(report["faults"], faults, strict=True):
        assert text.startswith(start)


def test_far_faults_are_found_with_their_place() -> None:
    lines = [b"%d,2,3" % number for number in range(200_000)]
    lines[150_000] = b"1,2"
    lines[199_999] = b"1,,x"
    report = found("data", b"\n".join(lines))
    assert report["records"] == 199_998
    assert report["faults"] == [
        "record 150000: got 2 features, expected 3",
        "record 199999, column 2: got 'x', expected a number",
    ]


def test_so_many_faults_are_enough() -> None:
    report = found("data", b"1,2\n" + b"x,y\n" * 1_000_000)
    assert (report["records"], len(report["faults"]), report["whole"]) == (1, MOST_FAULTS, False)


def test_records_after_a_fault_in_frames_are_not_guessed() -> None:
    file = io.BytesIO()
    write_dense(file, NUMBERS)
    cut = file.tell()
    write_dense(file, NUMBERS)
    content = file.getvalue()
    report = found("data", content[:cut] + b"\0" + content[cut + 1 :])
    assert (report["records"], report["whole"]) == (4, False)
    (fault,) = report["faults"]
    assert fault.startswith(f"record 4 (byte {cut}): got magic 0xced72300, expected 0xced7230a")
    assert fault.endswith("; the rest can't be read")


def test_a_folder_is_one_set_of_records() -> None:
    Path("d").mkdir()
    Path("d/a.csv").write_text("1,2\n3,4\n")
    Path("d/_SUCCESS").write_text("?")
    with Path("d/b.pbr").open("wb") as file:
        write_sparse(file, csr_array(NUMBERS[:, :2]))
    Path("d/c.csv").write_text("1,2\n3\n")
    Path("d/d").write_bytes(b"\0\1\2")
    report = facts(inspect("d"))
    assert (report["format"], report["files"], report["records"]) == ("csv, recordio-protobuf", 4, 7)
    assert report["kind"] == "dense and sparse"
    assert report["faults"] == [
        "c.csv, record 1: got 1 features, expected 2",
        "d, got bytes that begin with b'\\x00\\x01\\x02', which is no format that we know; the rest can't be read",
    ]
    assert report["bytes"] == sum(path.stat().st_size for path in Path("d").iterdir()) - 1


def image_record(labels: list[float], image: bytes) -> bytes:
    """As MXNet's pack does it."""
    if len(labels) == 1:
        return struct.pack("<IfQQ", 0, labels[0], 7, 0) + image
    return struct.pack("<IfQQ", len(labels), 0, 7, 0) + np.array(labels, "<f4").tobytes() + image


@pytest.mark.parametrize("labels", [[[1], [4], [4]], [[0, 1, 1], [1, 0, 0], [0, 0, 0]]])
def test_image_records(labels: list[list[float]]) -> None:
    file = io.BytesIO()
    for some, image in zip(labels, (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xdb"), strict=True):
        write_record(file, image_record(some, image + bytes(100)))
    report = found("images.rec", file.getvalue())
    assert (report["format"], report["records"]) == ("image records", 3)
    assert report["images"] == {"JPEG": 2, "PNG": 1}
    assert report["labels"]["count"] == len(labels[0])
    assert (report["labels"]["min"], report["labels"]["max"]) == (np.min(labels), np.max(labels))


HOSTILE = {
    "object array": (
        b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (3,), }".ljust(127) + b"\n",
        "Python objects, which are never loaded",
    ),
    "cut gzip": (gzip.compress(b"1,2\n" * 1000)[:-9], "not a whole gzip file"),
    "lying gzip": (b"\x1f\x8bnothing of the kind", "not a whole gzip file"),
    "cut archive": (b"PK\x03\x04" + bytes(40), ".npz archive that can't be read"),
    "cut parquet": (b"PAR1" + bytes(40), "expected a Parquet file"),
    "long header": (struct.pack("<II", 0xCED7230A, 0x1FFFFFFF), "got a length of 536870911 bytes, the limit is"),
    "line without end": (b"1," * 70_000_000, "got a line of more than 134217728 bytes"),
    "deep json": (b'{"features":' + b"[" * 100_000, "nested more than 64 deep"),
    "text": (b"Lorem ipsum\ndolor", "no format that we know"),
    "utf-16": ("1,2\n".encode("utf-16"), "no format that we know"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bytes_get_one_fault(case: str) -> None:
    content, text = HOSTILE[case]
    report = found("data", content)
    assert report["records"] == 0
    (fault,) = report["faults"]
    assert text in fault
    assert all(value.isprintable() for _, value in table(inspect("data")))


def test_an_archive_that_is_none_of_ours() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    (fault,) = found("letter.docx", file.getvalue())["faults"]
    assert "expected one named features" in fault


STARTS = [b"", b"1,2\n", b'{"features":[1,2]}\n', b"1 0:2\n", b"\x93NUMPY\x01\0", b"PAR1", b"PK\x03\x04"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=60))
def test_any_bytes_get_an_answer(start: bytes, rest: bytes) -> None:
    if start + rest:
        report = found("data", start + rest)
        json.dumps(report, allow_nan=False)
        assert report["faults"] or report["records"] or "header" in report or not (start + rest).strip()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.sampled_from(sorted(TYPES)), st.data())
def test_any_change_of_bytes_gets_an_answer(name: str, data: st.DataObject) -> None:
    content = bytearray(body(TYPES[name], Batch(NUMBERS)))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    json.dumps(found("data", bytes(content)), allow_nan=False)


def test_nothing_to_look_at() -> None:
    with pytest.raises(UserError, match=r"^none does not exist$"):
        inspect("none")
    with pytest.raises(UserError, match=r"^data is empty$"):
        found("data", b"")


def test_the_table_of_a_labelled_file() -> None:
    Path("a.pbr").write_bytes(body(RECORDIO, Batch(NUMBERS, np.array([1, 0, 1, 1], np.float32))))
    assert table(inspect("a.pbr")) == [
        ("format", "recordio-protobuf"),
        ("size", f"{Path('a.pbr').stat().st_size} bytes"),
        ("records", "4"),
        ("features", "3, dense, density 0.5"),
        ("values", "min -2, max 4, mean 0.645833"),
        ("missing", "0"),
        ("infinite", "0"),
        ("labels", "1 a record, min 0, max 1, mean 0.75"),
        ("", "2 distinct: 1 (3), 0 (1)"),
    ]


def test_the_table_of_a_bad_file() -> None:
    Path("a.csv").write_text("a,\x1bb\n" + "1,\n" * 4 + "\x1b[31m,2\n" * 9)
    rows = table(inspect("a.csv"))
    assert ("records", "4 or more") in rows
    assert ("header", "a, \N{REPLACEMENT CHARACTER}b") in rows
    assert ("missing", "4, most in columns 1 (4)") in rows
    assert rows[-2:] == [
        ("fault", "record 8, column 0: got '\\x1b[31m', expected a number"),
        ("", "reading stopped after so many faults"),
    ]
