"""Laws of files: any cut of a stream gives the same batches, and changed bytes give right values or one clear error."""

import io
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import parquet
from scipy import sparse

from recordio import Batch, DataError, ImageRecord, batches, images, write_images
from recordio.image_lists import listed
from recordio.image_records import index

NPY, NPZ, PARQUET = "application/x-npy", "application/x-npz", "application/x-parquet"
KINDS = st.sampled_from(["?", "i1", "<u2", ">i4", "<i8", "<f2", ">f4", "<f8"])
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def tables(draw: st.DrawFn) -> Any:
    kind = np.dtype(draw(KINDS))
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 12)))
    array = draw(hnp.arrays(kind, shape))
    return np.asfortranarray(array) if draw(st.booleans()) else array


def saved(save: Any, *arrays: Any, **named: Any) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


class Trickle:
    """A file object that returns less than it is asked for."""

    def __init__(self, data: bytes, seed: int, most: int) -> None:
        self.file, self.random, self.most = io.BytesIO(data), Random(seed), most

    def read(self, size: int) -> bytes:
        return self.file.read(self.random.randint(1, min(size, self.most)))


def plain(batch: Batch) -> tuple[Any, ...]:
    features: Any = batch.features.toarray() if sparse.issparse(batch.features) else batch.features
    labels = None if batch.labels is None else batch.labels.tobytes()
    return features.shape, features.tobytes(), labels


def outcome(source: Any, content_type: str, size: int, label_size: int = 0) -> Any:
    """All batches, or the error's text."""
    try:
        return [plain(batch) for batch in batches(source, content_type, size, label_size=label_size)]
    except DataError as error:
        return str(error)


@quick
@given(tables(), st.integers(0, 2), st.integers(1, 50), st.integers(), st.sampled_from([3, 100, 10_000]), st.binary())
def test_any_cut_of_npy_gives_the_same_batches(
    table: Any, label_size: int, size: int, seed: int, most: int, more: bytes
) -> None:
    data = saved(np.save, table)
    expected = outcome(data, NPY, size, label_size)
    assert outcome(Trickle(data, seed, most), NPY, size, label_size) == expected
    if table.shape[1] > label_size:
        with np.errstate(over="ignore", invalid="ignore"):
            right = table.astype(np.float32)[:, label_size:]
        found = [np.frombuffer(features, np.float32).reshape(shape) for shape, features, _ in expected]
        np.testing.assert_array_equal(np.concatenate(found), right)
    cut = Random(seed).randrange(len(data))
    for wrong in (data[:cut], data + more):
        assert outcome(Trickle(wrong, seed, most), NPY, size) == outcome(wrong, NPY, size)
    assert isinstance(outcome(data[:cut], NPY, size), str)


@quick
@given(tables(), st.booleans(), st.integers(1, 50))
def test_what_numpy_and_scipy_save_comes_back(table: Any, compress: bool, size: int) -> None:
    labels = np.arange(len(table))
    with np.errstate(over="ignore", invalid="ignore"):
        right, kept = table.astype(np.float32), np.where(np.arange(table.size).reshape(table.shape) % 3, 0, table)
        kept = np.nan_to_num(kept.astype(np.float32))
    dense = saved(np.savez_compressed if compress else np.savez, features=table, labels=labels)
    thin = saved(sparse.save_npz, sparse.csr_array(kept), compressed=compress)
    for data, expected in ((dense, right), (thin, kept)):
        found = list(batches(data, NPZ, size))
        some: Any = [batch.features.toarray() if data is thin else batch.features for batch in found]  # type: ignore[union-attr]
        np.testing.assert_array_equal(np.concatenate(some), expected)
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches(dense, NPZ, size)]), labels)  # type: ignore[misc]


def parquet_file(table: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    parquet.write_table(table, file, **options)
    return file.getvalue()


RNG = np.random.default_rng(0)
MATRIX = RNG.integers(0, 9, (60, 4)).astype(np.float32)
TABLE = pa.table({f"c{number}": column for number, column in enumerate(MATRIX.T)})
LISTS = pa.table({"y": np.arange(60), "x": pa.array(MATRIX.tolist(), pa.list_(pa.float32()))})
IMAGES = io.BytesIO()
write_images(IMAGES, [ImageRecord(b"\x0a\x23\xd7\xce" * n, np.ones(n + 1, np.float32), n) for n in range(4)])
FILES = {
    "npy": (NPY, saved(np.save, MATRIX)),
    "npy in Fortran order": (NPY, saved(np.save, np.asfortranarray(MATRIX))),
    "npz": (NPZ, saved(np.savez, features=MATRIX, labels=np.arange(60))),
    "npz, packed": (NPZ, saved(np.savez_compressed, MATRIX)),
    "npz, sparse": (NPZ, saved(sparse.save_npz, sparse.csr_array(MATRIX), compressed=False)),
    "parquet": (PARQUET, parquet_file(TABLE)),
    "parquet, plain": (PARQUET, parquet_file(TABLE, use_dictionary=False, compression="none", row_group_size=25)),
    "parquet, 2.0": (PARQUET, parquet_file(TABLE, data_page_version="2.0", compression="zstd", data_page_size=100)),
    "parquet of lists": (PARQUET, parquet_file(LISTS)),
    "rec": (images, IMAGES.getvalue()),
    "idx": (index, b"0\t0\n7\t48\n"),
    "lst": (listed, b"0\t1.0\ta/b.jpg\n5\t0\t1\tc.png\n"),
}


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes of which some are changed, put in, taken out, or moved; near the end, where the metadata is, too."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(found) - 1)))
        if draw(st.booleans()):
            place = max(0, len(found) - 1 - place % 400)
        change = draw(st.sampled_from(["set", "flip", "large", "insert", "delete", "move"]))
        if change == "set":
            found[place : place + 1] = bytes([draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))])
        elif change == "flip" and found:
            found[place] ^= 1 << draw(st.integers(0, 7))
        elif change == "large":
            found[place : place + 4] = draw(st.sampled_from([b"\xff\xff\xff\x7f", b"\xff" * 4, b"\xff\xff\xff\x0f"]))
        elif change == "insert":
            found[place:place] = draw(st.binary(min_size=1, max_size=8))
        elif change == "delete":
            del found[place : place + draw(st.integers(1, 8))]
        else:
            source = draw(st.integers(0, max(0, len(found) - 1)))
            found[place : place + 16] = found[source : source + 16]
    return bytes(found)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@quick
@given(st.data())
def test_changed_bytes_give_values_or_one_error(kind: str, data: st.DataObject) -> None:
    read, content = FILES[kind]
    changed = data.draw(mutated(content))
    if isinstance(read, str):
        found = outcome(changed, read, 10)
        if not isinstance(found, str):
            assert all(len(features) == 4 * shape[0] * shape[1] for shape, features, _ in found)
        return
    try:
        list(read(changed))
    except DataError as error:
        assert str(error)


@quick
@given(
    st.binary(max_size=300),
    st.sampled_from([NPY, NPZ, PARQUET]),
    st.sampled_from([b"\x93NUMPY\x01\x00", b"PK", b"PAR1"]),
)
def test_junk_is_refused_or_read(data: bytes, content_type: str, start: bytes) -> None:
    outcome(data, content_type, 10)
    outcome(start + data + start, content_type, 10)
