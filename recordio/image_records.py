"""Image records: .rec files as MXNet writes and reads them, with their .idx files.

https://mxnet.apache.org/versions/1.9.1/api/python/docs/api/mxnet/recordio
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordio.errors import DataError
from recordio.framing import Writable, records, write_parts
from recordio.limits import LIMITS, Limits
from recordio.streams import Source, as_utf8, lines, pieces

HEADER = struct.Struct("<IfQQ")  # flag, label, id, id2
LABEL = np.dtype("<f4")


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """An image as it lies in a .rec file.

    content   bytes of a JPEG or PNG file
    labels    (labels,) float32
    id, id2   below 2**64; `id` is the key in a .idx file
    """

    content: bytes
    labels: NDArray[np.float32]
    id: int = 0
    id2: int = 0


def images(source: Source, *, limits: Limits = LIMITS) -> Iterator[ImageRecord]:
    """The image records of a .rec file. Raises DataError with the record's index, from 0."""
    for number, payload in enumerate(records(source, limit=limits.record_bytes)):
        try:
            yield _unpacked(payload)
        except DataError as error:
            raise DataError(f"record {number}: {error}") from None


def image_at(file: Any, offset: int, *, limits: Limits = LIMITS) -> ImageRecord:
    """The image record that begins at a byte of a .rec file that can seek; see `index`. Raises DataError."""
    file.seek(offset)
    try:
        payload = next(records(file, limit=limits.record_bytes), None)
        if payload is None:
            raise DataError("got the end of the file, expected a record")
        return _unpacked(payload)
    except DataError as error:
        raise DataError(f"from byte {offset} on, {error}") from None


def write_images(file: Writable, images: Iterable[ImageRecord], index: Writable | None = None) -> None:
    """Write a .rec file, and its .idx file to `index`.

    Raises DataError for a record without labels, or with an id that doesn't fit.
    """
    offset = 0
    for number, image in enumerate(images):
        labels = np.asarray(image.labels, LABEL)
        if labels.ndim != 1 or not len(labels):
            raise DataError(f"record {number}: got labels of shape {labels.shape}, expected (labels,)")
        if not 0 <= min(image.id, image.id2) <= max(image.id, image.id2) < 1 << 64:
            raise DataError(f"record {number}: got ids {image.id} and {image.id2}, expected 0 to {(1 << 64) - 1}")
        if index is not None:
            index.write(b"%d\t%d\n" % (image.id, offset))
        flag, label, more = (0, labels[0], b"") if len(labels) == 1 else (len(labels), 0, labels.tobytes())
        offset += write_parts(file, HEADER.pack(flag, label, image.id, image.id2) + more + image.content)


def index(source: Source, *, limits: Limits = LIMITS) -> dict[int, int]:
    """The byte at which each image's record begins, by key, from a .idx file. Raises DataError."""
    offsets: dict[int, int] = {}
    for number, line in numbered_lines(source, limits):
        numbers = line.split("\t")
        if len(numbers) != 2 or not all(text.isascii() and text.isdigit() and len(text) < 21 for text in numbers):
            raise DataError(f"line {number}: got {line[:60]!r}, expected a key, a tab and a byte offset")
        key, offset = map(int, numbers)
        if key in offsets:
            raise DataError(f"line {number}: got key {key} twice, expected each key once")
        offsets[key] = offset
    return offsets


def numbered_lines(source: Source, limits: Limits) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, counted from 0. Raises DataError when it is not UTF-8."""
    number = 0
    for some in lines(as_utf8(pieces(source), "utf-8"), limits.line_bytes):
        for line in some.removesuffix(b"\n").split(b"\n"):
            try:
                text = line.decode().strip("\r")
            except UnicodeDecodeError:
                raise DataError(f"line {number}: got bytes that are not UTF-8") from None
            if text.strip():
                yield number, text
            number += 1


def _unpacked(payload: bytes) -> ImageRecord:
    if len(payload) < HEADER.size:
        raise DataError(f"got {len(payload)} bytes, expected an image header of {HEADER.size}")
    count, label, first, second = HEADER.unpack_from(payload)
    if not count:
        return ImageRecord(payload[HEADER.size :], np.array([label], np.float32), first, second)
    end = HEADER.size + count * LABEL.itemsize
    if len(payload) < end:
        raise DataError(f"got {len(payload)} bytes, expected {count} labels after an image header, {end} bytes")
    labels = np.frombuffer(payload, LABEL, count, HEADER.size).astype(np.float32)
    return ImageRecord(payload[end:], labels, first, second)
