"""What every decoder promises for any bytes, checked on one input.

An input is three bytes of options, then the body. A body gives batches or one DataError or UserError, however the
stream is cut. Where a slow independent reader is at hand, it must find the same batches, or a fault where we raise one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from random import Random
from types import NoneType
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.lib.format import read_array
from scipy.sparse import csr_array

from recordio import Batch, DataError, Limits, UserError, batches, rebatch, records
from recordio.content_types import CSV, JSON, JSON_LINES, LIBSVM, NPY, NPZ, PARQUET, RECORDIO
from recordio.image_records import images
from recordio.protobuf import parse_record
from recordio.rebatching import consistent
from recordio.rows import Row, labels_of, row
from recordio.rows import batches as batches_of_rows

sys.path.insert(0, str(Path(__file__).parent))  # fuzz.py runs as a program, the replay as a test
import readers
from readers import Refused

SMALL = Limits(
    record_bytes=1000, line_bytes=100, dense_width=8, sparse_width=1000, overhead_bytes=64, json_depth=6
)  # each can be passed by an input of a few hundred bytes
LONGEST_RECORD = SMALL.dense_width * 20 + SMALL.overhead_bytes
ERROR_CHARACTERS = 1000
OPTION_BYTES = 3


@dataclass(frozen=True)
class Options:
    """What the first bytes of an input choose.

    most       bytes in one read of the cut stream
    seekable   whether the cut stream can be read anywhere
    """

    dtype: Any
    size: int
    width: int | None
    label_size: int
    charset: str
    seed: int
    most: int
    seekable: bool

    @classmethod
    def of(cls, data: bytes) -> Options:
        choice, seed, most = data[:OPTION_BYTES].ljust(OPTION_BYTES, b"\0")
        return cls(
            dtype=(np.float32, np.float64)[choice & 1],
            size=(1000, 1, 2, 3)[choice >> 1 & 3],
            width=(None, None, 2, 3)[choice >> 3 & 3],
            label_size=(0, 0, 1, 2)[choice >> 5 & 3],
            charset=("utf-8", "utf-16", "latin-1", "utf-8")[seed & 3],
            seed=seed,
            most=1 + most % 64,
            seekable=bool(choice >> 7),
        )


@dataclass(frozen=True)
class Decoder:
    """How bytes are decoded, in two ways.

    decode   the way of the library: what there is in the source, for comparison
    slowly   an independent way, where there is one: the same of the body, or Refused
    exact    whether `slowly` accepts no more than `decode` does
    seeks    whether `decode` reads the source twice
    """

    decode: Callable[[Any, Options], Any]
    slowly: Callable[[bytes, Options], Any] | None = None
    exact: bool = True
    seeks: bool = False


class Trickle:
    """A stream whose reads return less than they are asked for."""

    def __init__(self, data: bytes, seed: int, most: int) -> None:
        self._file, self._random, self._most = BytesIO(data), Random(seed), most

    def read(self, size: int) -> bytes:
        return self._file.read(self._random.randint(1, max(1, min(size, self._most))))


class SeekableTrickle(Trickle):
    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def check(name: str, data: bytes) -> Any:
    """Check the laws on one input. Returns batches, or the text of the error."""
    decoder, options, body = DECODERS[name], Options.of(data), data[OPTION_BYTES:]
    trickle = SeekableTrickle if options.seekable or decoder.seeks else Trickle
    found = _outcome(decoder, body, options)
    cut = _outcome(decoder, trickle(body, options.seed, options.most), options)
    assert cut == found, f"cut: got {cut}, expected {found}"
    if isinstance(found, str):
        assert found.isprintable() and len(found) <= ERROR_CHARACTERS, f"got an error text of {len(found)}: {found!r}"
    if decoder.slowly is not None:
        try:
            expected = decoder.slowly(body, options)
        except Refused as error:
            assert isinstance(found, str), f"got {found}, expected a fault: {error}"
        else:
            assert found == expected or (isinstance(found, str) and not decoder.exact), f"got {found}, not {expected}"
    return found


def _outcome(decoder: Decoder, source: Any, options: Options) -> Any:
    try:
        return decoder.decode(source, options)
    except UserError as error:
        return str(error)


def plain(batch: Batch) -> tuple[Any, ...]:
    """A batch for comparison: nan equals nan, and -0.0 differs from 0.0."""
    features: Any = batch.features
    beside = [None if column is None else repr(column.tolist()) for column in batch.columns]
    if isinstance(features, np.ndarray):
        return "dense", features.dtype.name, features.shape, repr(features.tolist()), beside
    entries = features.indptr.tolist(), features.indices.tolist(), repr(features.data.tolist())
    return "sparse", features.dtype.name, features.shape, entries, beside


def _batches(content_type: str, limits: Limits = SMALL, **fixed: Any) -> Callable[[Any, Options], Any]:
    def decode(source: Any, options: Options) -> Any:
        chosen = {"label_size": options.label_size, "width": options.width, "dtype": options.dtype, **fixed}
        kind = f"{content_type}; charset={options.charset}" if content_type in TEXTS else content_type
        return [plain(batch) for batch in batches(source, kind, options.size, limits=limits, **chosen)]

    return decode


def _records(source: Any, _: Options) -> list[bytes]:
    return list(records(source, limit=SMALL.record_bytes))


def _images(source: Any, _: Options) -> list[Any]:
    return [(image.content, repr(image.labels.tolist()), image.id, image.id2) for image in images(source, limits=SMALL)]


TEXTS = (CSV, JSON, JSON_LINES, LIBSVM)
WHOLE = replace(SMALL, record_bytes=2**13, overhead_bytes=2**13)  # of what is read as a whole, or in pieces of four KiB


def _table(rows: Iterable[list[float]], options: Options, label_size: int) -> list[Any]:
    """Batches of a dense table, labels first."""
    table = np.array(list(rows), options.dtype)
    if not len(table):
        return []
    whole = Batch(table[:, label_size:], labels_of(table[:, :label_size]))
    return _rebatched([whole], options)


def _rebatched(some: Iterable[Batch], options: Options, width: int | None = None) -> list[Any]:
    try:
        return [plain(batch) for batch in rebatch(consistent(some, width), options.size)]
    except DataError as error:
        raise Refused(str(error)) from None


def _slow_recordio(body: bytes, options: Options) -> Any:
    try:
        rows = [
            parse_record(payload, width=options.width, limits=SMALL)
            for payload in readers.payloads(body, LONGEST_RECORD)
        ]
    except DataError as error:
        raise Refused(str(error)) from None
    return _rebatched(batches_of_rows(rows, options.dtype), options, options.width)


def _slow_csv(body: bytes, options: Options) -> Any:
    lines = readers.lines(readers.decoded(body, options.charset), SMALL.line_bytes, ends="\r\n")
    rows = readers.csv_rows(lines, _number(options), options.label_size, SMALL.dense_width)
    if rows and options.width not in (None, len(rows[0]) - options.label_size):
        raise Refused("another width")
    return _table(rows, options, options.label_size)


def _number(options: Options) -> readers.Number:
    return readers.single if options.dtype is np.float32 else readers.double


def _slow_libsvm(body: bytes, options: Options) -> Any:
    lines = readers.lines(readers.decoded(body, options.charset), SMALL.line_bytes)
    width, found = readers.libsvm_records(
        lines, _number(options), options.width, SMALL.dense_width, SMALL.sparse_width, options.label_size > 0
    )
    if not found:
        return []
    labels = np.array([record.labels for record in found], options.dtype)
    kinds = (options.dtype, np.int64)
    weights, groups = (
        np.array(column, kind)[:, 0] if any(column) else None
        for column, kind in zip(zip(*(record.beside for record in found), strict=True), kinds, strict=True)
    )
    return _sparse([record.entries for record in found], labels, width, options, weights, groups)


def _sparse(
    rows: list[readers.Entries], labels: Any, width: int, options: Options, weights: Any = None, groups: Any = None
) -> Any:
    """Batches of the entries of each record. Nothing is left to SciPy, which trusts its arrays."""
    ends = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    entries = [entry for record in rows for entry in record]
    with np.errstate(over="ignore"):
        values = np.array([value for _, value in entries]).astype(options.dtype)
    keys = np.array([key for key, _ in entries], np.int32)
    features = csr_array((values, keys, ends), shape=(len(rows), width))
    targets = None if labels is None else labels_of(labels.reshape(len(rows), -1))
    return _rebatched([Batch(features, targets, weights, groups)] if rows else [], options, options.width)


def _slow_json_lines(body: bytes, options: Options) -> Any:
    lines = readers.lines(readers.decoded(body, options.charset), SMALL.line_bytes)
    return _instances([readers.json_value(line, SMALL.json_depth) for line in lines if line.strip(" \t\r")], options)


def _slow_json(body: bytes, options: Options) -> Any:
    value = readers.json_value(readers.decoded(body, options.charset), SMALL.json_depth)
    if not isinstance(value, dict) or not isinstance(value.get("instances"), list):
        raise Refused("no instances")
    return _instances(value["instances"], options)


def _instances(instances: list[Any], options: Options) -> Any:
    try:
        rows = [_instance(instance, options) for instance in instances]
    except DataError as error:
        raise Refused(str(error)) from None
    return _rebatched(batches_of_rows(rows, options.dtype), options, options.width)


def _instance(value: Any, options: Options) -> Row:
    label = value.get("label", []) if isinstance(value, dict) else []
    for name in ("features",) if isinstance(value, dict) and "features" in value else ("data", "features"):
        if not isinstance(value, dict) or name not in value:
            raise Refused(f"no {name}")
        value = value[name]
    fields = value if isinstance(value, dict) else {"values": value}
    lists = fields.get("values"), fields.get("keys", []), fields.get("shape", [])
    labels = label if isinstance(label, list) else [label]
    for some, kinds in zip((*lists, labels), ({int, float, NoneType}, {int}, {int}, {int, float}), strict=True):
        if not isinstance(some, list) or not {type(number) for number in some} <= kinds:
            raise Refused("no list of numbers")
    values, keys, shape = lists
    if any(not 0 <= key <= SMALL.sparse_width for key in keys):
        raise Refused("a key beyond all limits")
    numbers = (np.array(some, np.float64) for some in (values, labels))
    return row(next(numbers), np.array(keys, np.int64), shape, next(numbers), width=options.width, limits=SMALL)


def _slow_records(body: bytes, _: Options) -> Any:
    return list(readers.payloads(body, SMALL.record_bytes))


def _slow_images(body: bytes, _: Options) -> Any:
    found = map(readers.image, readers.payloads(body, SMALL.record_bytes))
    return [(content, repr(labels), first, second) for content, labels, first, second in found]


def _slow_npy(body: bytes, options: Options) -> Any:
    return _refusing(lambda: _array(np.atleast_2d(np.load(BytesIO(body))), None, options))


def _slow_npz(body: bytes, options: Options) -> Any:
    return _refusing(lambda: _archived(body, options))


def _archived(body: bytes, options: Options) -> Any:
    with ZipFile(BytesIO(body)) as archive:

        def array(name: str) -> Any:
            return read_array(BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)

        names = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
        if not archive.namelist():
            return []
        labels = array("labels") if "labels" in names else None
        if {"format", "indptr"} <= names:
            if array("format").item() not in ("csr", b"csr"):
                raise Refused("not by rows")
            ends, keys, values = (array(member).tolist() for member in ("indptr", "indices", "data"))
            width = int(array("shape")[1])
            records = readers.csr_rows(ends, keys, values, width)
            return _sparse(records, None if labels is None else labels.astype(options.dtype), width, options)
        (name,) = names & {"features"} or names - {"labels"}
        return _array(np.atleast_2d(array(name)), labels, options)


def _refusing(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:  # NumPy and SciPy have many
        raise Refused(repr(error)) from None


def _array(features: Any, labels: Any, options: Options) -> Any:
    label_size = 0 if labels is not None else options.label_size
    if not features.shape[0]:
        return []
    with np.errstate(over="ignore", invalid="ignore"):
        features = features.astype(options.dtype)
        labels = None if labels is None else labels.astype(options.dtype)
    if label_size:
        labels, features = features[:, :label_size], features[:, label_size:]
    targets = None if labels is None else labels_of(labels.reshape(len(labels), -1))
    return _rebatched([Batch(features, targets)], options, options.width)


DECODERS = {
    "recordio-protobuf": Decoder(_batches(RECORDIO), _slow_recordio),
    "recordio": Decoder(_records, _slow_records),
    "csv": Decoder(_batches(CSV), _slow_csv),
    "jsonlines": Decoder(_batches(JSON_LINES, WHOLE), _slow_json_lines),
    "libsvm": Decoder(_batches(LIBSVM), _slow_libsvm, seeks=True),
    "npy": Decoder(_batches(NPY), _slow_npy, exact=False),
    "npz": Decoder(_batches(NPZ, WHOLE), _slow_npz, exact=False),
    "images": Decoder(_images, _slow_images),
    "json": Decoder(_batches(JSON, WHOLE), _slow_json),
    "parquet": Decoder(_batches(PARQUET, WHOLE)),
}
