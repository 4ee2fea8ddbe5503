"""Streams to batches: sizes, widths, labels, kinds, and when each batch comes."""

import os
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import combinations
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from recordio import (
    Batch,
    DataError,
    Limits,
    UnsupportedContentType,
    UserError,
    batches,
    blocks,
    decode,
    protobuf,
    rebatch,
    write_dense,
    write_record,
    write_sparse,
)
from recordio.protobuf import Record

RECORDIO = "application/x-recordio-protobuf"


def dense(array: object, labels: object = None) -> bytes:
    file = BytesIO()
    write_dense(file, array, labels)  # type: ignore[arg-type]
    return file.getvalue()


def sparse(array: object, labels: object = None) -> bytes:
    file = BytesIO()
    write_sparse(file, csr_array(array), labels)  # type: ignore[call-overload, arg-type]
    return file.getvalue()


def block(*sizes: int, labels: bool = False) -> Iterator[Batch]:
    start = 0
    for size in sizes:
        numbers = np.arange(start, start + size, dtype=np.float32)
        beside = (numbers, numbers / 2, numbers.astype(np.int64)) if labels else ()
        yield Batch(numbers[:, np.newaxis], *beside)
        start += size


@pytest.mark.parametrize(
    ("sizes", "size", "expected"),
    [
        ((), 3, []),
        ((7,), 3, [3, 3, 1]),
        ((1, 1, 1, 1), 3, [3, 1]),
        ((3, 3), 3, [3, 3]),
        ((2, 5, 2), 3, [3, 3, 3]),
        ((2, 0, 2), 3, [3, 1]),
        ((5,), 100, [5]),
    ],
)
def test_rebatch(sizes: tuple[int, ...], size: int, expected: list[int]) -> None:
    found = list(rebatch(block(*sizes, labels=True), size))
    assert [len(batch) for batch in found] == expected
    for batch in found:
        assert batch.features.flags.c_contiguous
        assert batch.features.flags.writeable
        assert_array_equal(batch.labels, batch.features[:, 0])  # type: ignore[arg-type]
        assert_array_equal(batch.weights, batch.features[:, 0] / 2)  # type: ignore[arg-type]
        assert_array_equal(batch.groups, batch.features[:, 0])  # type: ignore[arg-type]
    assert [value for batch in found for value in batch.labels] == list(range(sum(sizes)))  # type: ignore[union-attr]


def test_batches_share_no_memory_with_blocks_or_one_another() -> None:
    (whole,) = block(6)
    found = [batch.features for batch in rebatch([whole], 2)]
    for one, other in combinations([whole.features, *found], 2):
        assert not np.shares_memory(one, other)  # type: ignore[arg-type]


def test_rebatch_refuses_sources_of_two_widths() -> None:
    sources = [Batch(np.ones((4, 3))), Batch(np.ones((2, 5)))]
    with pytest.raises(DataError, match=r"^record 4: got 5 features, expected 3$"):
        list(rebatch(sources, 100))


def test_a_batch_is_sparse_when_one_of_its_records_came_sparse() -> None:
    source = dense([[1.0, 0]] * 3) + sparse([[0, 2.0]] * 2) + dense([[3.0, 4]] * 3)
    found = list(batches(source, RECORDIO, 2))
    assert [isinstance(batch.features, csr_array) for batch in found] == [False, True, True, False]
    assert_array_equal(found[1].features.toarray(), [[1, 0], [0, 2]])  # type: ignore[union-attr]
    assert_array_equal(found[2].features.toarray(), [[0, 2], [3, 4]])  # type: ignore[union-attr]
    assert decode(source, RECORDIO).features.dtype == np.float32


def test_sources(tmp_path: Path) -> None:
    data = dense(np.eye(3))
    path = tmp_path / "part-0"
    path.write_bytes(data)
    with path.open("rb") as file:
        for source in (data, bytearray(data), memoryview(data), path, str(path), file, BytesIO(data)):
            (batch,) = batches(source, RECORDIO, 10)
            assert_array_equal(batch.features, np.eye(3))


@pytest.mark.parametrize(
    ("content_type", "record"),
    [(RECORDIO, dense([[1.0, 2]])), ("text/csv", b"1,2\n"), ("application/jsonlines", b'{"features":[1,2]}\n')],
)
@pytest.mark.parametrize("buffered", [False, True])
def test_a_batch_comes_as_soon_as_its_bytes_are_there(content_type: str, record: bytes, buffered: bool) -> None:
    class Slow:
        """Gives one record a read; a read too many is an error here, and would wait for ever in a pipe."""

        reads = 0

        def read(self, size: int) -> bytes:
            assert not buffered
            return self.read1(size)

        def read1(self, size: int) -> bytes:
            self.reads += 1
            return record

    file = Slow()
    if not buffered:
        file.read1 = file.read1  # type: ignore[method-assign]
    found = batches(file, content_type, 2)
    for batch in (1, 2, 3):
        assert_array_equal(next(found).features, [[1, 2], [1, 2]])
        assert file.reads == 2 * batch


def test_a_pipe(tmp_path: Path) -> None:
    path, data = tmp_path / "train_0", dense(np.arange(300_000.0).reshape(-1, 3))
    os.mkfifo(path)
    writer = Thread(target=path.write_bytes, args=[data])
    writer.start()
    found = list(batches(path, RECORDIO, 30_000))
    writer.join()
    assert [len(batch) for batch in found] == [30_000, 30_000, 30_000, 10_000]
    assert_array_equal(np.concatenate([batch.features for batch in found]).ravel(), np.arange(300_000))  # type: ignore[misc]


def test_a_batch_stays_valid() -> None:
    data = dense(np.arange(200_000, dtype=np.float32).reshape(-1, 2))
    found = list(batches(data, RECORDIO, 1000))
    assert_array_equal(np.concatenate([batch.features for batch in found]).ravel(), np.arange(200_000))  # type: ignore[misc]


def no_parser(*_: object, **__: object) -> None:
    raise AssertionError("a record was parsed one by one")


FAST: dict[str, Callable[[], bytes]] = {
    "float32": lambda: dense(np.ones((400, 9), np.float32), np.ones(400, np.float32)),
    "float64": lambda: dense(np.ones((400, 9)), np.arange(400.0)),
    "small integers": lambda: dense(np.ones((400, 9), np.float32), np.arange(400) % 10),
    "integers": lambda: dense(np.arange(4000).reshape(400, 10) - 999, np.arange(400)),
    "sparse": lambda: sparse(np.eye(400, dtype=np.float32), np.arange(400)),
    "several labels": lambda: dense(np.ones((400, 9)), np.ones((400, 3))),
    "wide": lambda: dense(np.ones((3, 200_000), np.float32)),
}


@pytest.mark.parametrize("kind", FAST)
def test_what_writers_write_is_not_parsed_one_by_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = FAST[kind]()
    (slow,) = batches(data, RECORDIO, 10**6)
    monkeypatch.setattr(protobuf, "parse_record", no_parser)
    (fast,) = batches(data, RECORDIO, 10**6)
    assert len(fast) == len(slow)


def test_batches_are_aligned_and_writable() -> None:
    for width in (1100, 1101, 1102, 1103):
        for batch in batches(dense(np.ones((4, width), np.float32), np.ones((4, 2))), RECORDIO, 1):
            for array in (batch.features, batch.labels):
                assert isinstance(array, np.ndarray)
                assert array.flags.aligned
                assert array.flags.writeable
                assert array.flags.c_contiguous


def test_a_new_layout_in_mid_stream() -> None:
    parts = [
        dense(np.ones((300, 4), np.float32), np.zeros(300, np.float32)),
        dense(np.full((1, 4), 2.0), [1]),
        dense(np.full((300, 4), 3), np.full(300, 300)),
        dense(np.full((300, 4), 4, np.float32), np.full(300, 4, np.float32)),
    ]
    (batch,) = batches(b"".join(parts), RECORDIO, 1000)
    assert_array_equal(batch.features[:, 0], np.repeat([1, 2, 3, 4], [300, 1, 300, 300]))
    assert_array_equal(batch.labels, np.repeat([0, 1, 300, 4], [300, 1, 300, 300]))  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [1, 500])
@pytest.mark.parametrize("write", [dense, sparse])
def test_width_changes(rows: int, write: Callable[[object], bytes]) -> None:
    source = write(np.ones((rows, 12))) + write(np.ones((rows, 13)))
    with pytest.raises(DataError) as error:
        list(blocks(source, RECORDIO, name="part-0003.pbr"))
    assert str(error.value) == f"part-0003.pbr, record {rows}: got 13 features, expected 12"
    with pytest.raises(DataError, match=r"^record 0: got 12 features, expected 784$"):
        list(blocks(source, RECORDIO, width=784))


@pytest.mark.parametrize("rows", [1, 500])
def test_labels_change(rows: int) -> None:
    with pytest.raises(DataError, match=rf"^record {rows}: got 0 labels, expected 1$"):
        list(blocks(dense(np.ones((rows, 2)), np.ones(rows)) + dense(np.ones((rows, 2))), RECORDIO))


def test_fault_says_file_record_and_byte() -> None:
    source = dense(np.ones((500, 8), np.float32))
    stride = len(source) // 500
    bad = Record()
    bad.features["values"].float32_tensor.keys.append(7)
    file = BytesIO()
    write_record(file, bad.SerializeToString())
    with pytest.raises(DataError) as error:
        list(batches(source + file.getvalue(), RECORDIO, 100, name="train.pbr"))
    place = f"train.pbr, record 500 (byte {500 * stride}): "
    assert str(error.value) == place + "got keys without a shape, expected the number of columns in shape"
    with pytest.raises(DataError, match=r"got magic 0x6b6e756a, expected 0xced7230a") as error:
        list(batches(source + b"junkjunk", RECORDIO, 100, name="train.pbr"))
    assert str(error.value).startswith(place)


def test_records_in_parts() -> None:
    whole = dense([[1.0, 2, 3]] * 300)
    payload = whole[8 : len(whole) // 300]
    parts = b""
    for flag, part in ((1, payload[:8]), (2, b""), (3, payload[16:])):
        parts += whole[:4] + (flag << 29 | len(part)).to_bytes(4, "little") + part + bytes(-len(part) % 4)
    with pytest.raises(DataError, match=r"^record 300 \(byte .*got bytes that are not a protobuf Record"):
        list(batches(whole + parts + whole, RECORDIO, 1000))

    magic = np.frombuffer(whole[:4] * 12, "<f4")  # the magic as a number, at every multiple of four
    plain = dense(magic[np.newaxis])
    start = plain.index(whole[:4] * 12) - 8
    start += -start % 4
    pieces = plain[8 : 8 + start], plain[8 + start + 4 : 8 + int.from_bytes(plain[4:8], "little")]
    split = b""
    for flag, part in ((1, pieces[0]), (3, pieces[1])):
        split += whole[:4] + (flag << 29 | len(part)).to_bytes(4, "little") + part + bytes(-len(part) % 4)
    if plain[8 + start : 8 + start + 4] == whole[:4]:
        assert_array_equal(decode(split + plain, RECORDIO).features, np.stack([magic, magic]))
    else:
        assert_array_equal(decode(plain, RECORDIO).features, magic[np.newaxis])


def test_bare_record() -> None:
    data = dense([[1.0, 2]], [3])
    payload = data[8 : 8 + int.from_bytes(data[4:8], "little")]
    batch = decode(payload, RECORDIO)
    assert_array_equal(batch.features, [[1, 2]])
    assert_array_equal(batch.labels, [3])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^record 0: got 2 features, expected 3$"):
        decode(payload, RECORDIO, width=3)
    with pytest.raises(DataError, match=r"^record 0, without a RecordIO frame: got bytes that are not a protobuf"):
        decode(b"not protobuf", RECORDIO)


def test_decode_sniffs() -> None:
    for body in (dense([[1.0, 2]]), b"1,2", b'{"instances":[{"features":[1,2]}]}'):
        assert_array_equal(decode(body, None).features, [[1, 2]])


def test_decode_bounds_records() -> None:
    for body, kind in ((b"1\n2\n3", "csv"), (dense([[1.0]] * 3), RECORDIO)):
        assert len(decode(body, kind, max_records=3)) == 3
        with pytest.raises(UserError, match=r"got more than 2 records in one request, the limit"):
            decode(body, kind, max_records=2)


def test_empty_sources() -> None:
    for kind in (RECORDIO, "text/csv", "application/jsonlines"):
        assert list(batches(b"", kind, 5)) == []
        assert decode(b"", kind, width=4).features.shape == (0, 4)


def test_unsupported_content_type() -> None:
    with pytest.raises(UnsupportedContentType, match=r"^content-type text/foo not supported$"):
        blocks(b"", "text/foo")


def test_beyond_float32_is_infinite_without_a_warning() -> None:
    for rows in (1, 500):
        batch = decode(dense(np.full((rows, 3), 1e300)), RECORDIO)
        assert np.isinf(batch.features).all()  # type: ignore[arg-type]
        assert decode(dense(np.full((rows, 3), 1e300)), RECORDIO, dtype=np.float64).features[0, 0] == 1e300


def test_record_limit_follows_the_widest_record() -> None:
    limits = Limits(dense_width=100, overhead_bytes=100)
    assert decode(dense(np.ones((2, 100))), RECORDIO, limits=limits).width == 100
    with pytest.raises(DataError, match=r"got a length of .* bytes, the limit is 2100"):
        decode(dense(np.ones((2, 300))), RECORDIO, limits=limits)


def test_a_large_record_of_small_numbers_is_refused_before_it_is_read() -> None:
    record = Record()
    tensor = record.features["values"].float32_tensor
    tensor.values.extend(range(5000))
    tensor.keys.extend(range(5000))
    tensor.shape.append(5000)
    file = BytesIO()
    write_record(file, record.SerializeToString())
    with pytest.raises(DataError, match=r"^record 0 \(byte 0\): got 5000 numbers in one record, the limit is 4000$"):
        decode(file.getvalue(), RECORDIO, limits=Limits(dense_width=4000, overhead_bytes=1000))
