"""NumPy files: what NumPy and scipy write is read, and all else is refused with which words."""

import io
import os
import struct
import threading
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy_format
from numpy.testing import assert_array_equal
from scipy import sparse

from recordio import DataError, Limits, batches, blocks

NPY, NPZ = "application/x-npy", "application/x-npz"
RNG = np.random.default_rng(0)


def saved(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    npy_format.write_array(file, np.asarray(array), **options)
    return file.getvalue()


def archive(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def header(text: str, version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode()


def told(shape: str, kind: str = "'<f4'", fortran: bool = False) -> bytes:
    return header(f"{{'descr': {kind}, 'fortran_order': {fortran}, 'shape': {shape}}}\n")


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


def whole(source: Any, content_type: str, **options: Any) -> Any:
    """All records in one batch, which is what they are in many."""
    (batch,) = batches(source, content_type, 10**6, **options)
    return batch


def fault(source: Any, content_type: str, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        list(blocks(source, content_type, **options))
    return str(error.value)


KINDS = ["?", "i1", "u1", "<i2", ">i2", "<u4", ">i8", "<u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_numbers_of_all_kinds(kind: str, order: Any, version: Any, tmp_path: Path) -> None:
    array = np.asarray(RNG.integers(0, 100, (50, 7)), order=order).astype(kind, order="K")
    data = saved(array, version=version)
    (tmp_path / "a.npy").write_bytes(data)
    for dtype in (np.float32, np.float64):
        for source in (data, tmp_path / "a.npy", io.BytesIO(data), Stream(data)):
            batch = whole(source, NPY, dtype=dtype)
            assert batch.features.dtype == dtype and batch.labels is None
            assert_array_equal(batch.features, array.astype(dtype))


@pytest.mark.parametrize(("label_size", "labels"), [(1, np.s_[:, 0]), (2, np.s_[:, :2])])
@pytest.mark.parametrize("order", ["C", "F"])
def test_labels_come_first(label_size: int, labels: Any, order: Any) -> None:
    array = np.asarray(RNG.normal(size=(20, 5)).astype(np.float32), order=order)
    stated = whole(saved(array), f"{NPY}; label_size={label_size}")
    given = whole(saved(array), NPY, label_size=label_size)
    for batch in (stated, given):
        assert_array_equal(batch.features, array[:, label_size:])
        assert_array_equal(batch.labels, array[labels])


def test_one_axis_is_one_record() -> None:
    assert_array_equal(whole(saved(np.arange(5)), NPY).features, [[0, 1, 2, 3, 4]])


def test_no_records() -> None:
    for shape in ((0, 5), (0, 0), (0, 1)):
        assert list(blocks(saved(np.empty(shape)), NPY, label_size=1)) == []
        assert list(blocks(archive(features=np.empty(shape), labels=np.empty(0)), NPZ)) == []
    assert list(blocks(zipped(), NPZ)) == []


def test_a_large_file_in_fortran_order_is_read_in_groups(tmp_path: Path) -> None:
    array = np.asfortranarray(RNG.normal(size=(60_000, 50)))
    np.save(tmp_path / "a.npy", array)
    some = list(blocks(tmp_path / "a.npy", NPY, dtype=np.float64))
    assert len(some) > 1
    assert_array_equal(np.concatenate([batch.features for batch in some]), array)  # type: ignore[arg-type]


def test_files_that_read_less_than_asked_or_start_in_the_middle() -> None:
    array = np.asfortranarray(RNG.normal(size=(30, 4)))
    assert_array_equal(whole(Short(saved(array)), NPY, dtype=np.float64).features, array)
    file = io.BytesIO(b"prefix" + saved(array))
    file.seek(6)
    assert_array_equal(whole(file, NPY, dtype=np.float64).features, array)
    assert_array_equal(whole(Short(archive(x=array)), NPZ, dtype=np.float64).features, array)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_pipe_by_its_path(order: Any, tmp_path: Path) -> None:
    array = np.asarray(RNG.normal(size=(40_000, 5)), order=order)
    os.mkfifo(tmp_path / "pipe")
    for data, kind in ((saved(array), NPY), (archive(features=array), NPZ)):
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[data])
        writer.start()
        assert_array_equal(whole(tmp_path / "pipe", kind, dtype=np.float64).features, array)
        writer.join()


def test_rows_come_as_soon_as_their_bytes_are_there() -> None:
    data = saved(np.arange(12, dtype=np.float32).reshape(4, 3))

    class Endless(Stream):
        def read(self, size: int) -> bytes:
            piece = super().read(size)
            assert piece, "read after the rows that were asked for had come"
            return piece

    found = blocks(Endless(data[:-24], most=len(data) - 24), NPY)
    assert_array_equal(next(found).features, [[0, 1, 2], [3, 4, 5]])  # type: ignore[arg-type]


def test_memory_follows_limits_not_data(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((400_000, 25), np.float32))
    np.savez_compressed(tmp_path / "a.npz", features=np.zeros((400_000, 25), np.float32), labels=np.zeros(400_000))
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_array(np.ones((100_000, 40), np.float32)))
    for name, kind in (("a.npy", NPY), ("a.npz", NPZ), ("s.npz", NPZ)):
        tracemalloc.start()
        assert sum(len(batch) for batch in blocks(tmp_path / name, kind)) in (400_000, 100_000)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 12 * 2**20, name  # the arrays have 32 to 40 MB


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "got bytes that begin with b'', expected a .npy file"),
        (b"PK\x03\x04....", "got bytes that begin with b'PK\\x03\\x04..', expected a .npy file"),
        (b"\x93NUMPY\x01\x00\x10", "got 9 bytes, expected a .npy header"),
        (b"\x93NUMPY\x04\x00\x10\x00\x00\x00", "got .npy version 4.0, expected 1.0, 2.0 or 3.0"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "got a .npy header of 4294967295 bytes, the limit is 10000"),
        (told("(2, 3)")[:-20], "got 48 bytes, expected a .npy header of 68"),
        (told("(2, 3, 4)"), "got shape (2, 3, 4), expected (records, columns)"),
        (told("()"), "got shape (), expected (records, columns)"),
        (told("(2, True)", fortran=True), "got shape (2, True), expected numbers"),
        (told("(-1, 3)"), "got shape (-1, 3), expected (records, columns)"),
        (told("(3, 0)"), "got shape (3, 0), expected one column or more"),
        (told("(2, 10000001)"), "got 10000001 columns, the limit is 10000000"),
        (told("(1, 3)") + bytes(11), "record 0: got the end of the data, expected 1 records"),
        (told("(3, 3)") + bytes(35), "record 2: got the end of the data, expected 3 records"),
        (told(f"({2**62}, 3)") + bytes(25), f"record 2: got the end of the data, expected {2**62} records"),
        (told("(2, 3)") + bytes(25), "got bytes after the last of 2 records, expected the end"),
        (told("(0, 3)") + bytes(1), "got bytes after the last of 0 records, expected the end"),
        (told("(2, 3)", fortran=True) + bytes(23), "got an array cut short by 1 bytes (shape (2, 3))"),
        (told("(2, 3)", fortran=True) + bytes(25), "got bytes after the last of 2 records, expected the end"),
        (told("(2, 3)", "'|O'"), "got an array of Python objects, which are never loaded; expected numbers"),
        (
            told("(2, 3)", "[('a', '<f4'), ('b', '|O')]"),
            "got an array of Python objects, which are never loaded; expected numbers",
        ),
    ],
)
def test_fault_says_where_and_what(data: bytes, text: str) -> None:
    assert fault(data, NPY) == text
    assert fault(Stream(data, most=5), NPY) == text


@pytest.mark.parametrize("kind", ["'<U5'", "'|S5'", "'<c8'", "'<M8[s]'", "'<f16'", "[('a', '<f4')]", "'|V4'"])
def test_types_that_are_no_numbers(kind: str) -> None:
    text = fault(told("(2, 3)", kind), NPY)
    assert text.startswith("got an array of type ") and text.endswith("integers or floats up to 64 bits")


@pytest.mark.parametrize(
    "literal",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}",
        "{'descr': '<q9', 'fortran_order': False, 'shape': (2, 3)}",
        "{'descr': '<f4', 'shape': (2, 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0, 3)}",
        "__import__('os').abort()",
        "(" * 5000,
        "-" * 9000 + "1",
        "",
        "\x00",
        "{'descr': ('<f4', (1,) * 9), 'fortran_order': False, 'shape': (2, 3)}",
    ],
)
def test_headers_that_are_wrong_or_worse(literal: str) -> None:
    assert fault(header(literal), NPY).startswith("got a .npy header that can't be read: ")


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (tmp_path / "ran").touch, ()

    file = io.BytesIO()
    np.save(file, np.array([[Evil()]], object), allow_pickle=True)
    assert "never loaded" in fault(file.getvalue(), NPY)
    for names in ({"features"}, {"features", "labels"}, {"data", "indices", "indptr", "shape", "format"}):
        file = io.BytesIO()
        np.savez(file, **dict.fromkeys(names, np.array([[Evil()]], object)))
        fault(file.getvalue(), NPZ)
    assert not (tmp_path / "ran").exists()


def test_bytes_of_booleans_that_are_neither() -> None:
    data = told("(1, 3)", "'|b1'") + b"\x00\x01\x02"
    assert_array_equal(whole(data, NPY).features, [[0, 1, 1]])


def test_fortran_order_in_a_stream_is_limited() -> None:
    data = saved(np.asfortranarray(np.zeros((100, 3))))
    assert whole(data, NPY, limits=Limits(record_bytes=100)).features.shape == (100, 3)
    text = (
        "got 2400 bytes in Fortran order in a stream, the limit is 100; read it from a .npy file, or save it in C order"
    )
    assert fault(Stream(data), NPY, limits=Limits(record_bytes=100)) == text


def test_only_labels() -> None:
    assert fault(saved(np.zeros((2, 1))), f"{NPY};label_size=1") == (
        "record 0: got 1 columns, expected features after 1 label columns"
    )


def test_width_is_checked_and_places_are_named() -> None:
    assert fault(saved(np.zeros((2, 3))), NPY, width=4, name="a.npy") == "a.npy, record 0: got 3 features, expected 4"


@pytest.mark.parametrize("compress", [False, True])
def test_archives_of_numpy(compress: bool, tmp_path: Path) -> None:
    save: Any = np.savez_compressed if compress else np.savez
    features, labels = RNG.normal(size=(70_000, 9)), RNG.integers(0, 9, 70_000)
    save(tmp_path / "a.npz", features=features, labels=labels, other=features)
    save(tmp_path / "b.npz", features)
    save(tmp_path / "c.npz", features=np.asfortranarray(features), labels=np.stack([labels, -labels], axis=1))
    a, b, c = (whole(tmp_path / name, NPZ, dtype=np.float64) for name in ("a.npz", "b.npz", "c.npz"))
    for batch in (a, b, c):
        assert_array_equal(batch.features, features)
    assert_array_equal(a.labels, labels)
    assert b.labels is None
    assert_array_equal(c.labels, np.stack([labels, -labels], axis=1))
    first = whole(tmp_path / "b.npz", f"{NPZ};label_size=1", dtype=np.float64)
    assert_array_equal(first.labels, features[:, 0])
    assert_array_equal(whole(tmp_path / "a.npz", f"{NPZ};label_size=1", dtype=np.float64).features, features)
    assert_array_equal(whole(Stream((tmp_path / "a.npz").read_bytes()), NPZ, dtype=np.float64).features, features)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32, np.bool_])
def test_archives_of_scipy(compress: bool, kind: Any, tmp_path: Path) -> None:
    matrix = sparse.csr_array(RNG.integers(-50, 50, (30_000, 50)).clip(0).astype(kind))
    sparse.save_npz(tmp_path / "a.npz", matrix, compressed=compress)
    found = list(blocks(tmp_path / "a.npz", NPZ, dtype=np.float64))
    assert len(found) > 1  # more entries than one group has
    batch = whole(tmp_path / "a.npz", NPZ, dtype=np.float64)
    assert batch.features.shape == matrix.shape and (batch.features != matrix.astype(np.float64)).nnz == 0


def test_sparse_with_labels_empty_rows_and_unsorted_columns() -> None:
    matrix = sparse.csr_array(
        (np.array([1.0, 2, 3, 4, 5]), np.array([3, 1, 0, 2, 1]), np.array([0, 2, 2, 3, 5, 5])), shape=(5, 4)
    )
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}
    for word in (b"csr", "csr"):
        batch = whole(archive(**parts, format=word, labels=np.arange(5)), NPZ)
        assert_array_equal(batch.features.toarray(), matrix.toarray())
        assert batch.features.has_sorted_indices
        assert_array_equal(batch.labels, np.arange(5))


SPARSE: dict[str, Any] = {
    "data": np.ones(3),
    "indices": np.array([0, 1, 1]),
    "indptr": np.array([0, 2, 3]),
    "shape": np.array([2, 4]),
    "format": b"csr",
}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format": b"csc"}, "got a sparse matrix in format 'csc', expected csr; use tocsr()"),
        ({"format": np.array(3)}, "format: got type int64, expected a word such as csr"),
        ({"shape": np.array([2, 4, 1])}, "shape: got -1 records of -1 columns, the limit is 2147483647 columns"),
        (
            {"shape": np.array([2, 2**31])},
            "shape: got 2 records of 2147483648 columns, the limit is 2147483647 columns",
        ),
        (
            {"shape": np.array([3, 4])},
            "got 3 indptr, 3 indices and 3 data, expected 4 indptr and as many indices as data",
        ),
        ({"data": np.ones(2)}, "got 3 indptr, 3 indices and 2 data, expected 3 indptr and as many indices as data"),
        ({"data": np.ones((3, 2))}, "data: got 2 columns of type float64, expected one axis of numbers"),
        ({"indices": np.ones(3)}, "indices: got 1 columns of type float64, expected one axis of integers"),
        ({"indices": np.array([0, 1, 4])}, "record 1: got column 4, expected 0 to 3"),
        ({"indices": np.array([0, -1, 1])}, "record 0: got column -1, expected 0 to 3"),
        ({"indices": np.array([0, 2**64 - 1, 1], np.uint64)}, f"record 0: got column {2**64 - 1}, expected 0 to 3"),
        ({"indices": np.array([1, 1, 1])}, "record 0: got column 1 twice, expected once"),
        ({"indptr": np.array([1, 2, 3])}, "indptr: got 1 first, expected 0"),
        ({"indptr": np.array([0, 3, 2])}, "record 1: got indptr 2 after 3, expected it to rise"),
        ({"indptr": np.array([0, 2, 4])}, "record 1: got indptr 4, expected 0 to 3"),
        ({"indptr": np.array([0, -2, 3])}, "record 0: got indptr -2, expected 0 to 3"),
        ({"indptr": np.array([0, 2**63 + 2, 3], np.uint64)}, f"record 0: got indptr {2**63 + 2}, expected 0 to 3"),
        ({"indptr": np.array([0, 2, 2])}, "indptr: got 2 last, expected 3, the number of entries"),
        ({"labels": np.zeros(3)}, "labels: got labels of 3 records, expected 2"),
    ],
)
def test_sparse_faults(changes: dict[str, Any], text: str) -> None:
    assert whole(archive(**SPARSE), NPZ).features.nnz == 3
    assert fault(archive(**{**SPARSE, **changes}), NPZ) == text


def test_sparse_limits() -> None:
    assert fault(archive(**SPARSE), NPZ, limits=Limits(dense_width=1)) == "record 0: got 2 values, the limit is 1"
    missing = {name: array for name, array in SPARSE.items() if name != "indices"}
    assert fault(archive(**missing), NPZ) == "got an archive without indices.npy"


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as some:
        for name, data in members.items():
            some.writestr(name, data)
    return file.getvalue()


def test_archives_that_do_not_say_which_array() -> None:
    expected = "expected one named features (and one named labels, if there are labels)"
    assert fault(archive(b=np.ones((1, 1)), a=np.ones((1, 1))), NPZ) == f"got arrays a, b, {expected}"
    assert fault(archive(labels=np.ones(1)), NPZ) == f"got arrays none, {expected}"
    assert fault(zipped(**{"readme.txt": b"x"}), NPZ) == f"got arrays none, {expected}"


def test_labels_of_other_lengths() -> None:
    data = archive(features=np.ones((4, 2)), labels=np.ones(5))
    assert fault(data, NPZ) == "labels: got labels of 5 records, expected 4"
    short = zipped(**{"features.npy": saved(np.ones((4, 2))), "labels.npy": saved(np.ones(4))[:-8]})
    assert fault(short, NPZ) == "labels, record 3: got the end of the data, expected 4 records"


def test_hostile_archives() -> None:
    plain = archive(features=np.ones((4, 2)))
    assert fault(b"no zip", NPZ) == "got a .npz archive that can't be read: File is not a zip file"
    assert fault(plain[:-30], NPZ).startswith("got a .npz archive that can't be read: ")
    with pytest.warns(UserWarning, match="Duplicate name"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as some:
            some.writestr("features.npy", saved(np.ones((1, 1))))
            some.writestr("features.npy", saved(np.zeros((1, 1))))
    assert fault(file.getvalue(), NPZ) == "got array 'features' twice, expected it once"
    # Encrypted: the flag in the local header and in the directory.
    encrypted = bytearray(plain)
    encrypted[6] |= 1
    encrypted[plain.index(b"PK\x01\x02") + 8] |= 1
    assert fault(bytes(encrypted), NPZ) == "features: got an encrypted array, expected a plain one"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as some:
        some.writestr("features.npy", saved(np.ones((4, 2))))
    assert fault(file.getvalue(), NPZ) == "features: got compression method 14, expected none or deflate"
    damaged = bytearray(plain)
    damaged[-200] ^= 1
    damaged[plain.index(np.ones(8).tobytes()) + 5] ^= 1
    assert "Bad CRC-32" in fault(bytes(damaged), NPZ) or "can't be read" in fault(bytes(damaged), NPZ)


def test_sizes_that_lie() -> None:
    data = saved(np.ones((4, 2)))
    told_more = zipped(**{"features.npy": told("(1000000000000, 2)", "'<f8'") + data[-64:]})
    assert fault(told_more, NPZ) == "features, record 4: got the end of the data, expected 1000000000000 records"
    longer = zipped(**{"features.npy": data + b"x"})
    assert fault(longer, NPZ) == "features, got bytes after the last of 4 records, expected the end"


def test_a_list_of_members_without_end() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as some:
        for number in range(20_000):
            some.writestr(f"{number:040}.npy", b"")
    text = fault(file.getvalue(), NPZ)
    assert text == "got a .npz archive whose list of members has more than 1048576 bytes, the limit"


def test_what_is_unpacked_has_a_limit_where_it_is_held() -> None:
    file = io.BytesIO()
    np.savez_compressed(file, features=np.asfortranarray(np.zeros((1000, 100))))
    assert len(file.getvalue()) < 5000
    text = fault(file.getvalue(), NPZ, limits=Limits(record_bytes=5000))
    assert text.startswith("features: got 800000 bytes in Fortran order in a stream, the limit is 5000")
    text = fault(Stream(file.getvalue()), NPZ, limits=Limits(record_bytes=500))
    assert text == "got a stream of more than 500 bytes of .npz, which must seek; read it from a file"
