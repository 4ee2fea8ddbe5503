"""Conversion of records from one format to another, in constant memory; the output appears whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from local.tables import formats, outputs
from local.tables.inputs import STANDARD, Input, Stream, inputs, opened, skip_header
from local.tables.meters import metered
from recordio import Batch, DataError, UserError, blocks
from recordio.content_types import CSV, LIBSVM, NPY, PARQUET, RECORDIO
from recordio.writers import HELD_BYTES, Writer, writer

TABLES = (CSV, PARQUET, NPY)  # whose labels are columns like any other
SHOWN_NAMES = 5


@dataclass(frozen=True)
class Reading:
    """How records are read.

    content_type    of all inputs, or None to go by their endings
    label_columns   of tables: numbers from 0, negative ones from the end, or names
    width           features of libsvm, where nobody can look ahead
    """

    content_type: str | None = None
    label_columns: tuple[str, ...] = ()
    width: int | None = None
    dtype: type = np.float32


@dataclass
class Summary:
    """What was converted. `header` is a file whose first line was skipped, with the names in it."""

    records: int = 0
    width: int = 0
    labels: int = 0
    nonzeros: int = 0
    seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    header: tuple[str, list[str]] | None = None

    def add(self, batch: Batch) -> None:
        self.records += len(batch)
        self.width = batch.width
        self.labels = 0 if batch.labels is None else batch.labels[:1].size
        features: Any = batch.features
        self.nonzeros += int(np.count_nonzero(features if isinstance(features, np.ndarray) else features.data))

    def __str__(self) -> str:
        labels = f"{self.labels} label{'s' * (self.labels > 1)}" if self.labels else "no label"
        return (
            f"{self.records:,} records of {self.width:,} features and {labels}, "
            f"density {self.nonzeros / (self.records * self.width):.3g}, {self.seconds:.1f} s, "
            f"{_size(self.bytes_in)} in, {_size(self.bytes_out)} out"
        )


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count:,} bytes"


def convert(
    given: str, output: str, reading: Reading, *, to: str | None = None, shards: int | None = None, force: bool = False
) -> Summary:
    """Convert a file, the files of a folder or `-` to a file or `-`, or to a folder of shards.

    to   content type of the output, or None to go by its ending; shards are RecordIO-protobuf, unless it says else
    Raises UserError for formats that nobody named, data that can't be read, and an output that may not be replaced.
    """
    begun = time.monotonic()
    found = inputs(given)
    types = [reading.content_type or _by_ending(one.name, "--from") for one in found]
    if reading.label_columns and (own := [kind for kind in types if kind not in TABLES]):
        raise UserError(f"--label-column is for CSV, Parquet and .npy; records of {own[0]} carry labels of their own")
    if to is None:
        to = RECORDIO if shards else _by_ending(output, "--to")
    summary = Summary()
    sizes = [one.size_bytes for one in found]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with outputs.whole(output, formats.ending(to), shards, force=force) as files:
        with ExitStack() as stack:
            held = max(HELD_BYTES // len(files), 2**20)
            writers = [stack.enter_context(writer(file, to, held_bytes=held)) for file in files]
            advance = stack.enter_context(metered(given, total))
            for batch in _batches(found, types, reading, summary, advance):
                _deal(batch, writers, summary.records)
                summary.add(batch)
            if summary.records < len(writers):
                needed = f"{len(writers)} for as many shards" if shards else "one"
                raise UserError(f"{given}: got {summary.records} records, expected at least {needed}")
        summary.bytes_out = sum(file.written() for file in files)
    summary.seconds = time.monotonic() - begun
    return summary


def _by_ending(name: str, option: str) -> str:
    """Raises UserError when the name does not say what the content type is."""
    if name in (STANDARD, "standard input"):
        raise UserError(f"{option} is missing: standard {'input' if option == '--from' else 'output'} has no ending")
    if option == "--to" and name.lower().endswith(".gz"):
        raise UserError(f"{name}: gzip is only read, expected a name without .gz")
    content_type = formats.by_ending(name)
    if content_type is None:
        endings = ", ".join(f".{ending}" for ending in formats.NAMES if "-" not in ending)
        raise UserError(f"{name}: the ending says no format, expected one of {endings}, or {option}")
    return content_type


def _batches(
    found: Sequence[Input], types: Sequence[str], reading: Reading, summary: Summary, advance: Callable[[int], None]
) -> Iterator[Batch]:
    """The records of all inputs, with labels; all of one width."""
    width = reading.width or _libsvm_width(found, types)
    for one, content_type in zip(found, types, strict=True):
        with opened(one) as (stream, file):
            names = _names(one, stream, content_type, reading, summary)
            columns = [_number(column, names, one.name) for column in reading.label_columns]
            leading = columns == list(range(len(columns)))
            for block in blocks(
                stream,
                content_type,
                label_size=len(columns) if leading and content_type != LIBSVM else 0,
                width=width,
                dtype=reading.dtype,
                name=one.name,
            ):
                width = block.width
                yield block if leading else _labelled(block, columns)
                advance(summary.bytes_in + file.count)
            summary.bytes_in += file.count


def _libsvm_width(found: Sequence[Input], types: Sequence[str]) -> int | None:
    """Features of all libsvm files, by the largest index in any: they are read twice."""
    if LIBSVM not in types:
        return None
    from recordio import libsvm

    largest = -1
    for one, content_type in zip(found, types, strict=True):
        if content_type == LIBSVM:
            if one.size_bytes is None:
                raise UserError(f"--width is missing: libsvm from {one.name} does not say how many features there are")
            with opened(one) as (stream, _):
                largest = max(largest, libsvm.largest_index(stream))
    return None if largest < 0 else largest + 1


def _names(one: Input, stream: Stream, content_type: str, reading: Reading, summary: Summary) -> list[str] | None:
    """The names of the columns, where the file has any and somebody asks. A header of CSV is skipped."""
    if content_type == CSV:
        names = skip_header(stream)
        if names is not None:
            earlier, expected = summary.header = summary.header or (one.name, names)
            if names != expected:
                raise UserError(f"{one.name}: got header {listed(names)}, that of {earlier} is {listed(expected)}")
        return names
    if content_type == PARQUET and one.path is not None and not all(map(_is_place, reading.label_columns)):
        return _parquet_names(one.path, one.name)
    return None


def _parquet_names(path: Path, name: str) -> list[str]:
    import pyarrow as pa
    from pyarrow import parquet

    from recordio.pages import groups
    from recordio.parquet import PANDAS_INDEX

    try:
        with path.open("rb") as file:
            groups(file)  # checks what pyarrow takes on trust
            names = parquet.read_schema(file).names
    except (DataError, pa.ArrowException) as error:
        raise UserError(f"{name}: {str(error)[:200]}") from None
    return [name for name in names if not name.startswith(PANDAS_INDEX)]


def listed(names: Sequence[str]) -> str:
    shown = formats.printable(", ".join(name[:40] for name in names[:SHOWN_NAMES]))
    return f"{shown}, …" if len(names) > SHOWN_NAMES else shown


def _number(column: str, names: Sequence[str] | None, where: str) -> int:
    """The number of a label column. Raises UserError for a name that there isn't."""
    if _is_place(column):
        return int(column)
    if names is None or column not in names:
        found = "no names" if names is None else listed(names)
        raise UserError(f"--label-column {column}: {where} has {found}, expected a name or a number such as 0 or -1")
    return names.index(column)


def _is_place(column: str) -> bool:
    return column.removeprefix("-").isdecimal()


def _labelled(batch: Batch, columns: Sequence[int]) -> Batch:
    """The batch with some of its columns as labels."""
    assert isinstance(batch.features, np.ndarray)
    width = batch.width
    outside = [column for column in columns if not -width <= column < width]
    if outside or len({column % width for column in columns}) == width:
        what = f"{outside[0]}: got records" if outside else "names all columns: got tables"
        raise UserError(f"--label-column {what} of {width} columns")
    labels = batch.features[:, columns]
    return Batch(np.delete(batch.features, columns, axis=1), labels[:, 0] if len(columns) == 1 else labels)


def _deal(batch: Batch, writers: Sequence[Writer], seen: int) -> None:
    """A share of the batch to each, so that all have as many records, or one less, after `seen` and these."""
    if len(writers) == 1:
        writers[0].write(batch)
        return
    share, rest = divmod(len(batch), len(writers))
    start = 0
    for turn in range(min(len(writers), len(batch))):
        end = start + share + (turn < rest)
        writers[(seen + turn) % len(writers)].write(batch[start:end])
        start = end
