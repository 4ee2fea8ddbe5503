"""The commands `convert` and `inspect`: every format to every other, through files and through pipes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import random_array, save_npz

from local.cli import main
from recordio import batches
from recordio.content_types import RECORDIO

ENDINGS = ("csv", "jsonl", "libsvm", "npy", "npz", "parquet", "pbr")
TABLES = {"csv": ["0"], "npy": ["0"], "parquet": ["label"]}  # where the label is a column, and which
LABELS = np.array([1, 0, 1, 0.5, 3, 16777215], np.float32)
FEATURES = np.array(
    [
        [0.1, -2.5, 1e-45, 0, 1],
        [0, 0, 0, 0, 0],
        [3.4028235e38, 1 / 3, 0, 16777217, 1e10],
        [1, 2, 3, 4, 5],
        [0, 0, 0, 0, -7],
        [0, 1e-7, 0, 123456.7, 0],
    ],
    np.float32,
)


def onepass(*arguments: object, stdin: bytes | None = None) -> tuple[int, bytes, str]:
    """Exit code, standard output and standard error of the real command."""
    command = [sys.executable, "-m", "local.cli", *map(str, arguments)]
    run = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
    return run.returncode, run.stdout, run.stderr.decode()


def options(source: Path) -> list[str]:
    columns = TABLES.get(source.suffix[1:], [])
    return [word for column in columns for word in ("--label-column", column)]


def convert(source: Path, target: Path, *more: str) -> None:
    assert main(["convert", str(source), str(target), *options(source), *more]) == 0


def check(path: Path) -> None:
    """The records of a RecordIO file, to the bit."""
    (batch,) = batches(path, RECORDIO, 100)
    features: Any = batch.features
    assert_array_equal(features if isinstance(features, np.ndarray) else features.toarray(), FEATURES)
    assert_array_equal(batch.labels, LABELS)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    np.save(tmp_path / "start.npy", np.column_stack([LABELS, FEATURES]))
    return tmp_path / "start.npy"


@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("second", ENDINGS)
def test_every_format_becomes_every_other(
    capsys: pytest.CaptureFixture[str], table: Path, tmp_path: Path, first: str, second: str
) -> None:
    one, other, last = tmp_path / f"one.{first}", tmp_path / f"other.{second}", tmp_path / "last.pbr"
    convert(table, one)
    convert(one, other)
    convert(other, last)
    check(last)
    assert capsys.readouterr().out.count("6 records of 5 features and 1 label, density 0.533, ") == 3


@pytest.mark.parametrize("ending", ["csv", "jsonl", "libsvm", "npz", "pbr"])
def test_standard_streams(table: Path, tmp_path: Path, ending: str) -> None:
    convert(table, tmp_path / f"a.{ending}")
    content = (tmp_path / f"a.{ending}").read_bytes()
    more = [*options(tmp_path / f"a.{ending}"), *(["--width", "5"] if ending == "libsvm" else [])]
    code, output, errors = onepass("convert", "-", "-", "--from", ending, "--to", ending, *more, stdin=content)
    assert (code, errors.count("\n")) == (0, 1)
    assert output == content or ending == "npz"  # which holds the time
    code, output, _ = onepass("convert", "-", "-", "--from", ending, "--to", "pbr", *more, stdin=gzip.compress(content))
    (tmp_path / "last.pbr").write_bytes(output)
    assert code == 0
    check(tmp_path / "last.pbr")


def test_shards_of_a_folder(table: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    convert(table, data / "a.csv")
    (data / "b.csv.gz").write_bytes(gzip.compress(b"y,a,b,c,d,e\n" + (data / "a.csv").read_bytes()))
    code, output, errors = onepass("convert", data, tmp_path / "out", "--label-column", "y", "--shards", "4")
    assert (code, output) == (2, b"")
    assert (
        errors == "onepass convert: --label-column y: a.csv has no names, expected a name or a number such as 0 or -1\n"
    )
    code, output, errors = onepass("convert", data, tmp_path / "out", "--label-column", "0", "--shards", "4")
    assert code == 0
    assert errors == "b.csv.gz: skipped the header: y, a, b, c, d, …\n"
    assert output.startswith(b"12 records of 5 features and 1 label, density 0.533, ")
    shards = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in shards] == [f"part-0000{number}.pbr" for number in range(4)]
    assert [len(next(batches(path, RECORDIO, 100))) for path in shards] == [3] * 4


def test_a_folder_of_several_formats_is_inspected(table: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for ending in ("pbr", "npz", "jsonl", "libsvm"):
        data.mkdir(exist_ok=True)
        convert(table, data / f"a.{ending}")
    code, output, errors = onepass("inspect", data)
    assert (code, errors) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in output.decode().splitlines() if line[0] != " ")
    assert rows["format"] == "jsonl, libsvm, npz, recordio-protobuf"
    assert rows["records"] == "24"
    assert rows["features"] == "5, dense and sparse, density 0.533"


def test_a_stream_is_inspected(tmp_path: Path) -> None:
    matrix = random_array((20, 50), density=0.1, format="csr", dtype=np.float32, rng=np.random.default_rng(1))
    save_npz(tmp_path / "a.npz", matrix)
    code, output, errors = onepass("inspect", "-", "--json", stdin=(tmp_path / "a.npz").read_bytes())
    report = json.loads(output)
    assert (code, errors, report["kind"], report["density"]) == (0, "", "sparse", 0.1)


def test_a_faulty_file_is_told_by_the_exit_code(tmp_path: Path) -> None:
    code, output, errors = onepass("inspect", "-", stdin=b"1,2\n3\n")
    assert (code, errors) == (2, "")
    assert "fault     record 1: got 1 features, expected 2\n" in output.decode()
    assert onepass("inspect", tmp_path / "none") == (2, b"", f"onepass inspect: {tmp_path}/none does not exist\n")


def test_a_reader_that_has_seen_enough_is_no_fault(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((200_000, 10), np.float32))
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "local.cli", "convert", str(tmp_path / "a.npy"), "-", "--to", "csv"]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        assert os.read(reading, 20) == b"1,1,1,1,1,1,1,1,1,1\n"
        os.close(reading)
        assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 141


WRONG = {
    "format": (["convert", "{here}", "b.pbr", "--from", "cvs"], "--from cvs: expected one of csv, parquet, npy"),
    "shards": (["convert", "{here}", "b", "--shards", "0"], "--shards: got '0', expected a whole number above 0"),
    "array into a pipe": (["convert", "{here}", "-", "--to", "npy"], ".npy states the number of records first"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_gets_one_sentence(table: Path, case: str) -> None:
    arguments, sentence = WRONG[case]
    code, output, errors = onepass(*(argument.format(here=table) for argument in arguments))
    assert (code, output, errors.count("\n")) == (2, b"", 1)
    assert sentence in errors


@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_help_has_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"  onepass {command}" in capsys.readouterr().out.partition("examples:")[2]
