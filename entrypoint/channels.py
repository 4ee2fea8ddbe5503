"""Channels: the files or pipes of a channel as passes of batches, checked against what the algorithm reads."""

from __future__ import annotations

import gzip
import logging
import stat
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from algorithms.contract import Algorithm
from entrypoint.checks import Checks
from entrypoint.environment import ChannelConfig
from entrypoint.files import Counted, data_files, opened
from recordio.batch import Batch
from recordio.content_types import LIBSVM, PARQUET, RECORDIO, ContentType
from recordio.decoding import blocks
from recordio.errors import DataError, PlatformError, UserError
from recordio.framing import records
from recordio.limits import WIDEST
from recordio.rebatching import rebatch
from recordio.streams import Readable

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
        checks = Checks(self.name, self.content_type, self.algorithm, self.width)
        try:
            seen = 0
            for batch in self._as_wide_as_told(rebatch(self._blocks(number, size), size)):
                if not (seen or number):
                    self._tell(batch)
                yield checks.checked(batch, seen)
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
            with opened(path) as file:
                source = Counted(file, self._passed)
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

    def _passed(self, count: int) -> None:
        self.size_bytes += count

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
