"""Conversion: which columns are labels, what a header is, shards, and outputs that appear whole or not at all."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from pyarrow import parquet
from scipy.sparse import csr_array, load_npz, random_array, save_npz

from local.tables import converting
from local.tables.converting import Reading, convert
from recordio import Batch, DataError, PlatformError, UserError, batches, writer
from recordio.content_types import CSV, LIBSVM, RECORDIO

TABLE = np.array([[1, 0.1, 3], [0, -2.5, 0], [1, 0, 16777215]], np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Names in messages are as they were given."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not [path for path in tmp_path.rglob(".*") if path.name.startswith(".")], "left behind"


def csv(path: str, *lines: str) -> str:
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text("\n".join([*lines, *(",".join(map(repr, row)) for row in TABLE.tolist())]) + "\n")
    return path


def read(path: str) -> tuple[Any, Any]:
    (batch,) = batches(path, RECORDIO, 1000)
    return batch.features, batch.labels


def test_without_a_word_all_columns_are_features() -> None:
    summary = convert(csv("a.csv"), "a.pbr", Reading())
    features, labels = read("a.pbr")
    assert_array_equal(features, TABLE)
    assert labels is None
    assert (summary.records, summary.width, summary.labels, summary.nonzeros) == (3, 3, 0, 6)
    assert (summary.bytes_in, summary.bytes_out) == (Path("a.csv").stat().st_size, Path("a.pbr").stat().st_size)


COLUMNS = {
    "first": (["0"], [0]),
    "second": (["1"], [1]),
    "last": (["-1"], [2]),
    "two in front": (["0", "1"], [0, 1]),
    "two in another order": (["-1", "0"], [2, 0]),
    "name": (["y"], [1]),
    "names": (["z", "x"], [2, 0]),
}


@pytest.mark.parametrize("case", COLUMNS)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_label_columns(case: str, kind: str) -> None:
    given, expected = COLUMNS[case]
    if kind == "parquet":
        names = ["__index_level_0__", "x", "y", "z"]
        parquet.write_table(pa.table(dict(zip(names, [[7.0] * 3, *TABLE.T], strict=True))), "a.parquet")
    summary = convert(csv("a.csv", "x,y,z") if kind == "csv" else "a.parquet", "a.pbr", Reading(None, tuple(given)))
    features, labels = read("a.pbr")
    assert_array_equal(features, np.delete(TABLE, expected, axis=1))
    assert_array_equal(labels, TABLE[:, expected[0]] if len(expected) == 1 else TABLE[:, expected])
    assert (summary.width, summary.labels) == (3 - len(expected), len(expected))


def test_the_label_columns_of_an_array() -> None:
    np.save("a.npy", TABLE)
    convert("a.npy", "a.pbr", Reading(None, ("-1",)))
    assert_array_equal(read("a.pbr")[1], TABLE[:, 2])


HEADERS = ["x,y,z", '"x","y","z, quoted"', "\ufeffx,y,z", "x,y,z\r", ",b,c"]


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_is_skipped_and_told(header: str) -> None:
    summary = convert(csv("a.csv", header), "a.pbr", Reading())
    assert_array_equal(read("a.pbr")[0], TABLE)
    assert summary.header is not None
    assert summary.header[0] == "a.csv"
    assert len(summary.header[1]) == 3


def test_a_wide_header() -> None:
    """It is longer than what is looked at first."""
    names = ",".join(f"feature_{column}" for column in range(3000))
    Path("a.csv").write_text(f"{names}\n{','.join('1' * 3000)}\n")
    convert("a.csv", "a.pbr", Reading(None, ("feature_2999",)))
    assert read("a.pbr")[0].shape == (1, 2999)


def test_a_header_has_a_limit() -> None:
    Path("a.csv").write_text("name," * 900_000)
    with pytest.raises(DataError, match="got a header of more than 4194304 bytes"):
        convert("a.csv", "a.pbr", Reading())


@pytest.mark.parametrize("first", ["x,2,3", "nan,nan,nan", ""])
def test_what_holds_a_number_or_nothing_is_no_header(first: str) -> None:
    csv("a.csv", first)
    if first == "x,2,3":
        with pytest.raises(DataError, match=r"a.csv, record 0, column 0: got 'x', expected a number"):
            convert("a.csv", "a.pbr", Reading())
    else:
        assert convert("a.csv", "a.pbr", Reading()).header is None
        assert len(read("a.pbr")[0]) == (4 if first else 3)


def test_headers_must_agree() -> None:
    csv("d/a.csv", "x,y,z")
    csv("d/b.csv", "y,x,z")
    with pytest.raises(UserError, match=r"b.csv: got header y, x, z, that of a.csv is x, y, z"):
        convert("d", "a.pbr", Reading())


def test_a_folder_holds_files_of_any_format() -> None:
    csv("d/b.csv", "x,y,z")
    csv("d/_SUCCESS")
    np.save("d/a.npy", TABLE * 2)
    Path("d/c.csv.gz").write_bytes(gzip.compress(Path("d/b.csv").read_bytes()))
    convert("d", "a.pbr", Reading())
    assert_array_equal(read("a.pbr")[0], np.concatenate([TABLE * 2, TABLE, TABLE]))


def test_the_width_of_the_first_file_is_that_of_all() -> None:
    csv("d/a.csv")
    Path("d/b.csv").write_text("1,2\n")
    with pytest.raises(DataError, match=r"b.csv, record 0: got 2 features, expected 3"):
        convert("d", "a.pbr", Reading())


def test_double_precision_is_kept_on_demand() -> None:
    Path("a.csv").write_text("0.1,0.2\n")
    convert("a.csv", "a.npy", Reading(dtype=np.float64))
    convert("a.csv", "b.npy", Reading())
    assert_array_equal(np.load("a.npy"), [[0.1, 0.2]])
    assert_array_equal(np.load("b.npy"), np.array([[0.1, 0.2]], np.float32))


class TestLibsvm:
    def test_the_largest_index_of_all_files_says_the_width(self) -> None:
        Path("d").mkdir()
        Path("d/a.libsvm").write_text("1 0:2 7:3\n")
        Path("d/b.svm").write_text("0 9:1\n")
        Path("d/c.svmlight.gz").write_bytes(gzip.compress(b"1 11:0.5\n"))
        convert("d", "a.npz", Reading())
        found = load_npz("a.npz")
        assert found.shape == (3, 12)
        assert found[[2], :].nonzero()[1].tolist() == [11]

    def test_a_stated_width_is_taken(self) -> None:
        Path("a.libsvm").write_text("1 0:2 7:3\n")
        assert convert("a.libsvm", "a.pbr", Reading(width=20)).width == 20
        with pytest.raises(DataError, match=r"a.libsvm, record 0: got '7:3', expected an index of 0 to 4"):
            convert("a.libsvm", "b.pbr", Reading(width=5))

    def test_a_pipe_can_not_be_read_twice(self) -> None:
        os.mkfifo("pipe")
        with pytest.raises(UserError, match="--width is missing: libsvm from pipe"):
            convert("pipe", "a.pbr", Reading(LIBSVM))


def test_sparse_stays_sparse() -> None:
    matrix = random_array((50, 1000), density=0.01, format="csr", dtype=np.float32, rng=np.random.default_rng(1))
    save_npz("a.npz", csr_array(matrix))
    assert convert("a.npz", "a.pbr", Reading()).nonzeros == 500
    assert_array_equal(read("a.pbr")[0].toarray(), matrix.toarray())
    convert("a.pbr", "b.libsvm", Reading())
    assert Path("b.libsvm").stat().st_size < 20 * 500


@pytest.mark.parametrize("shards", [1, 3, 7])
@pytest.mark.parametrize("to", [None, CSV])
def test_shards_are_equal_and_hold_everything(monkeypatch: pytest.MonkeyPatch, shards: int, to: str | None) -> None:
    monkeypatch.setattr(converting, "blocks", lambda *_, **__: (Batch(table[a:b]) for a, b in cuts))
    table = np.arange(46, dtype=np.float32).reshape(23, 2)
    cuts = [(0, 2), (2, 3), (3, 15), (15, 23)]
    np.save("a.npy", table)
    convert("a.npy", "s", Reading(), to=to, shards=shards)
    ending = "csv" if to else "pbr"
    assert sorted(path.name for path in Path("s").iterdir()) == [f"part-{n:05}.{ending}" for n in range(shards)]
    parts = [next(batches(path, to or RECORDIO, 100)).features for path in sorted(Path("s").iterdir())]
    assert {len(part) for part in parts} <= {23 // shards, 23 // shards + 1}
    assert sorted(np.concatenate(parts)[:, 0].tolist()) == table[:, 0].tolist()
    assert all((np.diff(part[:, 0]) > 0).all() for part in parts)


class TestOutputs:
    def test_an_output_that_exists_stays(self) -> None:
        csv("a.csv")
        Path("b.pbr").write_text("mine")
        with pytest.raises(UserError, match=r"^b.pbr exists: --force replaces it$"):
            convert("a.csv", "b.pbr", Reading())
        assert Path("b.pbr").read_text() == "mine"
        convert("a.csv", "b.pbr", Reading(), force=True)
        assert len(read("b.pbr")[0]) == 3

    def test_a_fault_leaves_what_was_there(self) -> None:
        Path("a.csv").write_text("1,2\n" * 100_000 + "3,x\n")
        Path("b.pbr").write_text("mine")
        for output in ("b.pbr", "c.pbr"):
            with pytest.raises(DataError, match=r"a.csv, record 100000, column 1: got 'x', expected a number"):
                convert("a.csv", output, Reading(), force=True)
        assert Path("b.pbr").read_text() == "mine"
        assert not Path("c.pbr").exists()

    def test_a_file_may_become_its_own_conversion(self) -> None:
        csv("a.csv", "x,y,z")
        convert("a.csv", "a.csv", Reading(), force=True)
        assert_array_equal(np.loadtxt("a.csv", delimiter=",", dtype=np.float32), TABLE)

    def test_a_link_goes_on_pointing(self) -> None:
        csv("a.csv")
        Path("deep").mkdir()
        Path("link.pbr").symlink_to("deep/b.pbr")
        Path("deep/b.pbr").write_text("old")
        convert("a.csv", "link.pbr", Reading(), force=True)
        assert Path("link.pbr").is_symlink()
        assert len(read("deep/b.pbr")[0]) == 3

    def test_permissions_are_the_usual_ones(self) -> None:
        csv("a.csv")
        convert("a.csv", "b.pbr", Reading())
        assert Path("b.pbr").stat().st_mode == Path("a.csv").stat().st_mode

    def test_a_pipe_gets_the_bytes_as_they_come(self) -> None:
        os.mkfifo("pipe")
        found: list[bytes] = []
        reader = threading.Thread(target=lambda: found.append(Path("pipe").read_bytes()), daemon=True)
        reader.start()
        convert(csv("a.csv"), "pipe", Reading(), to=RECORDIO)
        reader.join(30)
        assert_array_equal(next(batches(found[0], RECORDIO, 10)).features, TABLE)

    def test_shards_replace_shards_only(self) -> None:
        csv("a.csv")
        convert("a.csv", "s", Reading(), shards=3)
        with pytest.raises(UserError, match=r"^s holds 3 shards: --force replaces them all$"):
            convert("a.csv", "s", Reading(), shards=2)
        convert("a.csv", "s", Reading(), shards=2, force=True)
        assert len(list(Path("s").iterdir())) == 2
        Path("s/mine.txt").touch()
        with pytest.raises(UserError, match=r"^s holds mine.txt, which is no shard: expected a new or empty folder$"):
            convert("a.csv", "s", Reading(), shards=2, force=True)
        assert len(list(Path("s").iterdir())) == 3


SENTENCES: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"given": "none.csv"}, "^none.csv does not exist$"),
    "nothing in a folder": ({"given": "empty"}, "^empty holds no data files$"),
    "no records": ({"given": "nothing.csv"}, r"^nothing.csv: got 0 records, expected at least one$"),
    "too few records": ({"shards": 4, "output": "s"}, "got 3 records, expected at least 4 for as many shards"),
    "ending of the input": (
        {"given": "a.dat"},
        "^a.dat: the ending says no format, expected one of .csv, .parq",
    ),
    "ending of the output": ({"output": "a.dat"}, "^a.dat: the ending says no format, .*, or --to$"),
    "packed output": ({"output": "b.csv.gz"}, r"^b.csv.gz: gzip is only read, expected a name without .gz$"),
    "standard input": ({"given": "-"}, "--from is missing: standard input has no ending"),
    "standard output": ({"output": "-"}, "--to is missing: standard output has no ending"),
    "shards of standard output": ({"output": "-", "shards": 2}, "--shards needs a folder, got standard output"),
    "folder without shards": ({"output": "empty", "to": RECORDIO}, "^empty is a folder: --shards N writes N files"),
    "file for shards": ({"output": "a.dat", "shards": 2}, "^a.dat is a file, expected a folder for --shards$"),
    "label beyond": ({"label": "3"}, "^--label-column 3: got records of 3 columns$"),
    "label before": ({"label": "-4"}, "^--label-column -4: got records of 3 columns$"),
    "label by name": ({"label": "x"}, "^--label-column x: a.csv has no names, expected a name or a number such as 0"),
    "label of a format with labels": ({"given": "a.pbr", "label": "0"}, "^--label-column is for CSV, Parquet and .npy"),
    "names in no Parquet": ({"given": "b.parquet", "label": "x"}, "^b.parquet: got "),
    "names in a large footer": ({"given": "c.parquet", "label": "x"}, "^c.parquet: got metadata of 4294967295 bytes"),
    "nothing but labels": ({"label": "0 2 1"}, "^--label-column names all columns: got tables of 3 columns$"),
    "nothing but labels in order": ({"label": "0 1 2"}, "got 3 columns, expected features after 3 label columns"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_what_can_not_be_done_is_told(case: str) -> None:
    options, sentence = SENTENCES[case]
    Path("empty").mkdir()
    Path("nothing.csv").write_text("\n\n")
    csv("a.csv")
    csv("a.dat")
    convert("a.csv", "a.pbr", Reading())
    Path("b.parquet").write_bytes(b"PAR1" + bytes(4) + b"PAR1")
    Path("c.parquet").write_bytes(b"PAR1" + b"\xff" * 4 + b"PAR1")
    options = {"given": "a.csv", "output": "b.pbr", "label": ""} | options
    reading = Reading(None, tuple(options.pop("label").split()))
    with pytest.raises((UserError, PlatformError), match=sentence):
        convert(options.pop("given"), options.pop("output"), reading, **options)
    assert not Path("b.pbr").exists()
    assert not Path("s").exists()


def test_very_wide_records_stay_sparse_or_are_refused() -> None:
    """A million columns, a thousand records: four gigabytes as one matrix."""
    with Path("a.pbr").open("wb") as file, writer(file, RECORDIO) as out:
        out.write(Batch(csr_array(([1.0], ([999], [10**6 - 1])), shape=(1000, 10**6), dtype=np.float32)))
    assert convert("a.pbr", "b.npz", Reading()).nonzeros == 1
    assert Path("b.npz").stat().st_size < 20_000
    with pytest.raises(DataError, match="got records of 1000000 features, Parquet takes 10000 at most"):
        convert("a.pbr", "a.parquet", Reading())
