"""Channels: the files or pipes of a channel as passes of batches, checked against what the algorithm reads."""

from __future__ import annotations

import gzip
import logging
import os
import stat
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from algorithms.contract import Algorithm
from entrypoint.environment import ChannelConfig
from recordio.batch import Batch
from recordio.content_types import CSV, LIBSVM, PARQUET, RECORDIO, ContentType
from recordio.decoding import blocks
from recordio.errors import DataError, PlatformError, UserError
from recordio.framing import records
from recordio.limits import WIDEST
from recordio.rebatching import rebatch
from recordio.streams import Readable, unbuffered

DEEPEST_FOLDER = 16
GZIP_MAGIC = b"\x1f\x8b"
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 60  # between log lines about a pipe that has not appeared

log = logging.getLogger(__name__)


@dataclass
class DataChannel:
    """One configured channel; `batches` reads it once, the next call reads the next pass.

    width       features that each record must have, or None; libsvm then is as wide as its largest index so far
    weighted    whether CSV has a column of weights
    size_bytes  read in the latest pass
    """

    config: ChannelConfig
    data: Path
    content_type: ContentType
    algorithm: Algorithm
    width: int | None
    stopping: threading.Event
    weighted: bool = False
    passes: int = field(default=0, init=False)
    size_bytes: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def pipe(self) -> bool:
        return self.config.mode == "Pipe"

    @property
    def path(self) -> Path:
        return self.data / self.name

    @property
    def total_bytes(self) -> int | None:
        """Size of one pass; None for a pipe, which has no size, and for files that are unpacked while read."""
        files = [] if self.pipe else data_files(self.path)
        if not files or any(path.suffix == ".gz" for path in files):
            return None
        return sum(path.stat().st_size for path in files)

    def batches(self, size: int) -> Iterator[Batch]:
        """One pass, in batches of `size` records.

        Raises UserError for data that can't be read, of another width, or with missing or infinite values.
        """
        self.size_bytes = 0
        number, self.passes = self.passes, self.passes + 1
        try:
            seen = 0
            for batch in self._as_wide_as_told(rebatch(self._blocks(number, size), size)):
                if not (seen or number):
                    self._tell(batch)
                yield self._checked(batch, seen)
                seen += len(batch)
        except DataError as error:
            raise UserError(
                f"Unable to read data channel '{self.name}'. Requested content-type is '{self.content_type}'. "
                "Please verify the data matches the requested content-type."
            ) from error

    def _blocks(self, number: int, size: int) -> Iterator[Batch]:
        if self.pipe:
            path = self.data / f"{self.name}_{number}"
            if self._appears(path):
                yield from self._decoded(path, "", size)
        else:
            root = self.path if self.path.is_dir() else self.path.parent
            for path in data_files(self.path):
                name = str(path.relative_to(root))
                yield from self._decoded(path, name if name.isprintable() else ascii(name), size)

    def _decoded(self, path: Path, name: str, size: int | None) -> Iterator[Batch]:
        try:
            with _opened(path) as file:
                source = _Counted(file, self)
                if self.pipe and (objects := self._objects(source)) is not None:
                    for number, payload in enumerate(objects):
                        yield from self._stream(BytesIO(payload), f"object {number}", size)
                else:
                    yield from self._stream(source, name, size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{name}: not a whole gzip file ({error})") from error
        except OSError as error:
            where = name or path.name
            raise PlatformError(f"Data channel '{self.name}': {where} can't be read: {error.strerror}") from error

    def _objects(self, source: Readable) -> Iterator[bytes] | None:
        """The objects of a pipe, where they can't be read as one stream."""
        if self.config.wrapped and self.content_type.type != RECORDIO:
            return records(source)
        if self.content_type.type == PARQUET:
            from recordio.parquet import files

            return files(source)
        return None

    def _stream(self, stream: Readable, name: str, size: int | None) -> Iterator[Batch]:
        return blocks(
            stream,
            self.content_type,
            rows=size,
            label_size=self.algorithm.label_size,
            width=None if self.content_type.type != LIBSVM else WIDEST if self.width is None else self.width,
            name=name,
            weighted=self.weighted,
        )

    def _as_wide_as_told(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; libsvm says how wide it is by its indices alone."""
        widest = 1
        for batch in batches:
            if self.content_type.type != LIBSVM or self.width is not None:
                yield batch
                continue
            from scipy.sparse import csr_array

            features: Any = batch.features
            widest = max(widest, int(features.indices.max(initial=0)) + 1)
            arrays = features.data, features.indices, features.indptr
            yield replace(batch, features=csr_array(arrays, shape=(len(batch), widest)))

    def _appears(self, path: Path) -> bool:
        """Wait for a pipe: the next one is made some time after the one before was closed. False after a stop."""
        waited = 0.0
        while not path.exists():
            if self.stopping.is_set():
                return False
            time.sleep(POLL_SECONDS)
            before, waited = waited, waited + POLL_SECONDS
            if before // PATIENCE_SECONDS < waited // PATIENCE_SECONDS:
                log.warning("Still waiting for the pipe %s, for %d s now.", path, waited)
        if not stat.S_ISFIFO(path.stat().st_mode):
            raise PlatformError(f"{path} is not a named pipe, though the channel's input mode is Pipe")
        return True

    def _tell(self, batch: Batch) -> None:
        """What stands beside features and labels: libsvm without labels looks like libsvm with weights."""
        beside = [
            name for name, column in (("weights", batch.weights), ("query ids", batch.groups)) if column is not None
        ]
        if beside:
            log.info("Channel %s: records have %s.", self.name, " and ".join(beside))

    def _label_hint(self) -> str:
        """A label column that is counted as a feature, or the other way round, is the usual cause in CSV."""
        if self.content_type.type != CSV:
            return ""
        if self.algorithm.labelled:
            return " The label stands before the features."
        labels = self.content_type.label_size
        labels = self.algorithm.label_size if labels is None else labels
        return f" The first {labels} columns were read as labels; text/csv;label_size=N says another number."

    def _checked(self, batch: Batch, seen: int) -> Batch:
        """The batch, dense where the algorithm wants it so; `seen` records of the pass came before it."""
        if self.width is not None and batch.width != self.width:
            raise UserError(
                f"Incorrect configuration or {self.name} dataset provided. The value of feature_dim hyperparameter "
                f"'{self.width}' doesn't match {self.name} data dimensionality '{batch.width}'. "
                f"Please set feature_dim to the number of features in {self.name} dataset.{self._label_hint()}"
            )
        features: Any = batch.features
        if isinstance(features, np.ndarray):
            values = features
        else:
            values = features.data
            if not self.algorithm.sparse:
                batch = replace(batch, features=features.toarray())
        # A sum is finite only if all its terms are; it overflows so rarely that the exact check may be slow.
        with np.errstate(over="ignore", invalid="ignore"):
            doubtful = not np.isfinite(values.sum())
        if doubtful and not self.algorithm.missing and np.isnan(values).any():
            raise UserError(
                f"Unable to read data channel '{self.name}'. Found missing (NaN) values. "
                f"Please remove any missing (NaN) values in the input data. {_first(features, np.isnan, seen)}"
            )
        if doubtful and np.isinf(values).any():
            raise UserError(
                f"Unable to read data channel '{self.name}'. Found infinite floating point values. Please remove any "
                f"infinite floating point values in the input data. {_first(features, np.isinf, seen)}"
            )
        if self.algorithm.labelled:
            self._check_labels(batch, seen)
        return batch

    def _check_labels(self, batch: Batch, seen: int) -> None:
        missing = (
            0 if batch.labels is None else int(np.isnan(batch.labels.reshape(len(batch), -1)).any(axis=1).argmax())
        )
        if batch.labels is None or np.isnan(batch.labels[missing]).any():
            raise UserError(
                f"Unable to read data channel '{self.name}'. Got input data without labels. Each record needs a label; "
                f"the first one without is record {seen + missing}.{self._label_hint()}"
            )
        if batch.weights is None:
            return
        wrong = ~(np.isfinite(batch.weights) & (batch.weights >= 0))
        if wrong.any():
            raise UserError(
                f"Unable to read data channel '{self.name}'. Got weight {batch.weights[wrong][0]:g} of record "
                f"{seen + int(wrong.argmax())}, expected a finite number of at least 0."
            )


def _first(features: Any, wrong: Callable[[Any], Any], seen: int) -> str:
    """Where the first wrong value stands, counted from 0 over all files of the channel."""
    if isinstance(features, np.ndarray):
        row, column = np.argwhere(wrong(features))[0]
    else:
        entries = features.tocoo()
        at = np.flatnonzero(wrong(entries.data))[0]
        row, column = entries.row[at], entries.col[at]
    return f"The first is at record {seen + row}, feature {column}."


class _Counted:
    """A readable stream that counts what passes."""

    def __init__(self, file: FileIO | gzip.GzipFile, channel: DataChannel) -> None:
        self._file = file
        self._channel = channel

    def read(self, size: int, /) -> bytes:
        content = self._file.read(size)
        self._channel.size_bytes += len(content)
        return content

    def readinto(self, room: memoryview[int], /) -> int:
        count = self._file.readinto(room) or 0
        self._channel.size_bytes += count
        return count

    def seekable(self) -> bool:
        """Whether it can be read here and there; what is unpacked can't, as that would begin anew each time."""
        return isinstance(self._file, FileIO) and self._file.seekable()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def configured_channels(
    algorithm: Algorithm,
    configs: dict[str, ChannelConfig],
    data: Path,
    width: int | None,
    stopping: threading.Event,
    weighted: bool = False,
) -> dict[str, DataChannel]:
    """The algorithm's data channels among those configured.

    `training` stands in for a missing `train`, since clients call an unnamed channel so.
    Raises UserError for a required channel that is missing, one that is unknown, or a content type not supported.
    """
    known = {channel.name for channel in algorithm.channels}
    if "train" in known and "train" not in configs and "training" in configs:
        known.add("training")
    unknown = sorted(set(configs) - known - {"model"})
    expected = ", ".join(f"{channel.name}{' (required)' * channel.required}" for channel in algorithm.channels)
    if unknown:
        raise UserError(f"Got data channel '{unknown[0]}', expected {expected}, model")
    channels = {}
    for declared in algorithm.channels:
        name = "training" if declared.name == "train" and "training" in known else declared.name
        if name in configs:
            config = configs[name]
            content_type = _supported(config, algorithm)
            channels[declared.name] = DataChannel(config, data, content_type, algorithm, width, stopping, weighted)
            if config.mode != "Pipe" and not (data / name).exists():
                raise PlatformError(f"Data channel '{name}': {data / name} does not exist")
        elif declared.required:
            found = ", ".join(sorted(configs)) or "none"
            raise UserError(f"Data channel '{declared.name}' is missing: got {found}, expected {expected}")
    return channels


def data_files(path: Path) -> list[Path]:
    """Files of a channel in a stable order, by relative path.

    Names that start with `.` or `_` are not data, nor is what is empty or no file. Links to folders are not followed.
    Raises PlatformError for a folder that can't be read: its records must not be missing in silence.
    """
    if path.is_file():
        return [path]
    found = []
    for folder, folders, files in os.walk(path, onerror=_unreadable):
        inside = Path(folder)
        deep = len(inside.relative_to(path).parts) >= DEEPEST_FOLDER
        folders[:] = [] if deep else [name for name in folders if not name.startswith((".", "_"))]
        found += [inside / name for name in files if not name.startswith((".", "_"))]
    found = [file for file in found if file.is_file() and file.stat().st_size]
    return sorted(found)


def _unreadable(error: OSError) -> NoReturn:
    raise PlatformError(f"{error.filename} can't be read: {error.strerror}") from error


def _supported(config: ChannelConfig, algorithm: Algorithm) -> ContentType:
    content_type = ContentType.parse(config.content_type or algorithm.content_type)
    if content_type.type not in algorithm.content_types:
        raise UserError(
            f"Unable to read data channel '{config.name}'. Please verify the correct data channel configuration is "
            f"provided: got content type '{content_type}', expected one of {', '.join(algorithm.content_types)}"
        )
    if content_type.label_size is not None:  # raises for what is no count, before any record is read
        if algorithm.labelled and content_type.label_size != algorithm.label_size:
            kind = content_type.type.partition("/")[2].removeprefix("x-")
            raise UserError(
                f"{content_type} is not an accepted {kind} ContentType. Optional parameter label_size must be equal to "
                f"{algorithm.label_size}: {algorithm.title} learns records that have labels"
            )
        log.info("Channel %s: the first %d columns are labels.", config.name, content_type.label_size)
    return content_type


@contextmanager
def _opened(path: Path) -> Iterator[FileIO | gzip.GzipFile]:
    """Open a file or pipe; a gzip file is read through, which a pipe never needs."""
    with unbuffered(path) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            yield file
            return
        start = file.read(len(GZIP_MAGIC))
        file.seek(0)
        yield gzip.GzipFile(fileobj=file) if start == GZIP_MAGIC else file
