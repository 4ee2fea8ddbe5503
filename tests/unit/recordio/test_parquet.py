"""Parquet: what pyarrow writes is read in parts, and all else is refused with which words."""

import io
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from pyarrow import parquet

from recordio import DataError, Limits, batches, blocks, pages
from recordio.parquet import files as parquet_files

PARQUET = "application/x-parquet"
RNG = np.random.default_rng(0)


def written(table: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    parquet.write_table(table if isinstance(table, pa.Table) else pa.table(table), file, **options)
    return file.getvalue()


def columns(array: Any) -> Any:
    return pa.table({f"c{number}": column for number, column in enumerate(array.T)})


class Stream:
    """Bytes that come a few at a time and cannot seek."""

    def __init__(self, data: bytes, most: int = 1000) -> None:
        self._file, self._most = io.BytesIO(data), most

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._most))


class Short(Stream):
    """The same, but it can seek."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, most=7)
        self.seek, self.tell, self.seekable = self._file.seek, self._file.tell, self._file.seekable


def whole(source: Any, **options: Any) -> Any:
    """All records in one batch, which is what they are in many."""
    (batch,) = batches(source, PARQUET, 10**7, **options)
    return batch


def fault(source: Any, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        list(blocks(source, PARQUET, **options))
    return str(error.value)


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
@pytest.mark.parametrize(
    "options", [{}, {"use_dictionary": False}, {"data_page_version": "2.0", "row_group_size": 300}]
)
def test_row_groups_encodings_and_compressions(compression: str, options: Any) -> None:
    array = RNG.integers(0, 50, (1000, 7)).astype(np.float32)
    batch = whole(written(columns(array), compression=compression, **options))
    assert batch.labels is None and batch.features.dtype == np.float32
    assert_array_equal(batch.features, array)


@pytest.mark.parametrize("encoding", ["BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED", "PLAIN"])
def test_other_encodings(encoding: str) -> None:
    kind = np.int64 if encoding.startswith("DELTA") else np.float32
    array = RNG.integers(-(10**6), 10**6, (3000, 3)).astype(kind)
    data = written(columns(array), use_dictionary=False, column_encoding=encoding)
    assert_array_equal(whole(data, dtype=np.float64).features, array)


KINDS = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.dictionary(pa.int8(), pa.float32())),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_of_all_kinds_and_nulls(kind: Any, dtype: Any) -> None:
    values: list[Any] = [True, None, False] if kind == pa.bool_() else [1, None, 0]
    if kind == pa.float16():
        values = [np.float16(1), None, np.float16(0)]
    if isinstance(kind, pa.DictionaryType):
        column = pa.array([1.0, None, 0.0], pa.float32()).dictionary_encode()
    else:
        column = pa.array(values, kind)
    batch = whole(written({"a": column, "b": pa.array([1.0, 2, 3])}), dtype=dtype)
    assert batch.features.dtype == dtype
    assert_array_equal(batch.features, [[1, 1], [np.nan, 2], [0, 3]])


def test_no_digit_is_lost_in_float64() -> None:
    values = [0.1, 2**53 - 1, -(2**40) + 0.5]
    assert whole(written({"a": values, "b": [2**53 - 1, 1, 2]}), dtype=np.float64).features[:, 0].tolist() == values


def test_beyond_float32_is_infinite_without_a_warning() -> None:
    assert_array_equal(whole(written({"a": [1e300, -1e300]})).features, [[np.inf], [-np.inf]])


@pytest.mark.parametrize(("label_size", "labels"), [(1, np.s_[:, 0]), (2, np.s_[:, :2])])
def test_labels_come_first(label_size: int, labels: Any) -> None:
    array = RNG.normal(size=(20, 5)).astype(np.float32)
    for batch in (
        whole(written(columns(array)), label_size=label_size),
        next(batches(written(columns(array)), f"{PARQUET}; label_size={label_size}", 100)),
    ):
        assert_array_equal(batch.features, array[:, label_size:])
        assert_array_equal(batch.labels, array[labels])


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 3), pa.list_(pa.int16())],
    ids=str,
)
def test_one_column_of_lists_holds_the_features(kind: Any) -> None:
    array = RNG.integers(-100, 100, (700, 3))
    lists = pa.array(array.tolist(), kind)
    assert_array_equal(whole(written({"features": lists}, row_group_size=300)).features, array)
    batch = whole(written({"label": np.arange(700), "features": lists}, row_group_size=300), label_size=1)
    assert_array_equal(batch.features, array)
    assert_array_equal(batch.labels, np.arange(700))
    assert fault(written({"label": np.arange(700), "features": lists})) == (
        "column 1 ('features'): got lists, expected numbers; only a single column after 0 label columns may hold lists"
    )


def test_sources(tmp_path: Path) -> None:
    array = RNG.normal(size=(3000, 4)).astype(np.float32)
    data = written(columns(array))
    (tmp_path / "a.parquet").write_bytes(data)
    with (tmp_path / "a.parquet").open("rb") as file:
        for source in (data, bytearray(data), tmp_path / "a.parquet", file, Stream(data), Short(data)):
            assert_array_equal(whole(source).features, array)
        assert not file.closed
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[data])
    writer.start()
    assert_array_equal(whole(tmp_path / "pipe").features, array)
    writer.join()


def test_a_stream_is_held_up_to_a_limit() -> None:
    text = fault(Stream(written({"a": [1.0]})), limits=Limits(record_bytes=100))
    assert text == "got a stream of more than 100 bytes of Parquet, which must seek; read it from a file"


def test_row_labels_of_pandas_are_no_features() -> None:
    table = pa.table({"a": [1.0, 2], "__index_level_0__": ["x", "y"]})
    assert_array_equal(whole(written(table)).features, [[1], [2]])


def test_names_with_dots_and_parts_of_others() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    table = columns(array).rename_columns(["a.b", "a", "b", "ä\n"])
    assert_array_equal(whole(written(table)).features, array)


def test_no_records() -> None:
    for table in ({"a": np.empty(0)}, pa.table({})):
        assert list(blocks(written(table), PARQUET, label_size=1)) == []


def test_blocks_are_small_and_wide_row_groups_are_read_a_few_columns_at_a_time() -> None:
    array = RNG.normal(size=(40_000, 60)).astype(np.float32)
    data = written(columns(array), row_group_size=25_000, compression="none")
    assert max(batch.features.nbytes for batch in blocks(data, PARQUET)) <= 2**22  # type: ignore[union-attr]
    # A column's pages and dictionary take some 300 KB, a row group's numbers 6 MB.
    for limit in (2**20, 2**22, 2**24):
        before = pa.default_memory_pool().bytes_allocated()
        held = []
        found = []
        for batch in blocks(data, PARQUET, label_size=1, limits=Limits(record_bytes=limit)):
            held.append(pa.default_memory_pool().bytes_allocated() - before)
            found.append(batch)
        assert max(held) <= limit
        assert_array_equal(np.concatenate([batch.features for batch in found]), array[:, 1:])  # type: ignore[arg-type]
        assert_array_equal(np.concatenate([batch.labels for batch in found]), array[:, 0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"a": [1.0], "b": ["x"]}, "column 1 ('b'): got type string, expected numbers"),
        ({"a": [None]}, "column 0 ('a'): got type null, expected numbers"),
        ({"a": pa.array(["x"]).dictionary_encode()}, "column 0 ('a'): got type dictionary<values=string, "),
        ({"a": pa.array([0], pa.timestamp("us"))}, "column 0 ('a'): got type timestamp[us], expected numbers"),
        ({"a": [{"x": 1.0}]}, "column 0 ('a'): got type struct<x: double>, expected numbers"),
        ({"a": [[[1.0]]]}, "column 0 ('a'): got type list<element: list<element: double>>, expected numbers"),
        ({"a": [["x"]]}, "column 0 ('a'): got type list<element: string>, expected numbers"),
        ({"a": [[1.0], None]}, "record 1: got null in column 'a', expected a list of numbers"),
        ({"a": [[1.0, 2], [1.0]]}, "record 1: got 1 features, expected 2"),
        ({"a": pa.array([[], []], pa.list_(pa.int8()))}, "record 0: got 0 features, expected 1 to 10000000"),
        (pa.table([[1.0], [2.0]], names=["a", "a"]), "got 1 names for 2 columns, expected each name once"),
    ],
)
def test_fault_says_where_and_what(table: Any, text: str) -> None:
    assert fault(written(table)).startswith(text)


def test_only_labels_or_nothing() -> None:
    assert fault(written({"a": [1.0]}), label_size=1) == "got 1 columns, expected features after 1 label columns"
    assert fault(written({"__index_level_0__": ["x"]})) == "got 0 columns, expected features after 0 label columns"


def test_lists_of_another_length_in_a_later_row_group() -> None:
    lists = pa.array([[1.0, 2.0]] * 250 + [[1.0]] * 250)
    assert fault(written({"a": lists}, row_group_size=250), name="x.parquet") == (
        "x.parquet, record 250: got 1 features, expected 2"
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "got 0 bytes that end with b'', expected a Parquet file, which ends with b'PAR1'"),
        (b"1,2\n" * 10, "got 40 bytes that end with b'1,2\\n', expected a Parquet file, which ends with b'PAR1'"),
        (b"PAR1\xff\xff\xff\x7fPAR1", "got metadata of 2147483647 bytes, the limit is 16777216"),
    ],
)
def test_no_parquet(data: bytes, text: str) -> None:
    assert fault(data) == text


def test_damaged_metadata_and_pages() -> None:
    data = written(columns(RNG.normal(size=(100, 2))))
    assert fault(data[:60] + data[-8:]).endswith("of metadata and more; is it cut short?")
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for cut in range(start, len(data) - 8, 50):
        fault(data[:cut] + bytes([0xFF]) * (len(data) - 8 - cut) + data[-8:])
    zeros = data[:4] + bytes(200) + data[204:]
    assert fault(zeros).startswith("row group 0, column 'c0': got a page header without a size")
    compressed = written(columns(RNG.normal(size=(100, 2))), compression="zstd", use_dictionary=False)
    flipped = compressed[:60] + bytes(100) + compressed[160:]
    assert fault(flipped).startswith("got a Parquet file that can't be read: ")


def test_a_page_that_claims_to_be_large_is_not_unpacked() -> None:
    """The page's own header says so, where the metadata at the end of the file does not."""
    data = written({"a": np.zeros(10_000)}, compression="zstd", use_dictionary=False, write_statistics=False)
    bits = 80_008 << 1  # numbers and their levels
    varint = bytes([bits & 0x7F | 0x80, bits >> 7 & 0x7F | 0x80, bits >> 14])
    assert data[6:10] == b"\x15" + varint
    lying = data[:7] + b"\xfe\xff\x7f" + data[10:]
    before = pa.default_memory_pool().max_memory()
    text = fault(lying, limits=Limits(record_bytes=2**20))
    assert text.startswith("row group 0, column 'a': got pages of 1048") and "the limit is 524288" in text
    assert pa.default_memory_pool().max_memory() - before < 2**20


def test_a_bomb_of_lists_is_refused_before_it_is_read() -> None:
    """Ten million zeros in one list take a few hundred bytes in the file."""
    zeros = pa.ListArray.from_arrays([0, 10_000_000], np.zeros(10_000_000, np.float32))
    data = written({"a": zeros}, write_statistics=False)
    assert len(data) < 20_000
    text = fault(data, limits=Limits(record_bytes=2**26))
    assert text.startswith("row group 0, column 'a': got 10000000 numbers in lists, which take 800000")
    assert text.endswith(" bytes, the limit is 33554432; write smaller row groups")


def test_costs_of_a_column() -> None:
    file = io.BytesIO(
        written({"a": np.arange(5000) % 10, "b": np.arange(5000.0)}, compression="none", data_page_size=4096)
    )
    (group,) = pages.groups(file)
    a, b = (pages.cost(file, chunk) for chunk in group.chunks)
    assert (a.values, b.values) == (5000, 5000)
    assert 3 * 80 <= a.size < 8000
    assert b.size > 2 * 4096


@pytest.mark.parametrize("most", [1, 2, 7, 100, 10**6])
def test_files_one_after_another_in_a_stream(most: int) -> None:
    """Bytes that look like an end within a file are none: they are not preceded by a fitting length."""
    some = [
        written({"a": [1.0, 2]}),
        written({"a": np.frombuffer(b"xPAR1PAR1PAR1PAR" * 4, np.float64)}, compression=None),
    ]
    assert b"PAR1PAR1" in some[1][:-8]
    some = [*some, some[0], some[1]]
    assert list(parquet_files(Stream(b"".join(some), most))) == some
    assert list(parquet_files(Stream(b"", most))) == []
    assert list(parquet_files(Stream(b"junk", most))) == [b"junk"]


def test_a_file_of_a_stream_beyond_the_limit() -> None:
    body = written({"a": [1.0]})
    assert len(list(parquet_files(Stream(body * 10), len(body) + 1000))) == 10
    with pytest.raises(
        DataError, match=r"^got a stream of more than 20 bytes of Parquet, which must seek; read it from"
    ):
        list(parquet_files(Stream(body), 20))
