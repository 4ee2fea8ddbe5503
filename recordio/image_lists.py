"""Image lists: .lst files, with index, labels and path of each image, as MXNet's im2rec writes and reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from recordio.errors import DataError
from recordio.framing import Writable
from recordio.image_records import numbered_lines
from recordio.limits import LIMITS, Limits
from recordio.streams import Source


@dataclass(frozen=True, eq=False)
class ListedImage:
    """A line of a .lst file.

    index    of the image, below 2**64
    labels   (labels,) float32
    path     relative to the folder of the images, and inside it
    """

    index: int
    labels: NDArray[np.float32]
    path: str


def listed(source: Source, *, limits: Limits = LIMITS) -> Iterator[ListedImage]:
    """The images of a list. Raises DataError, also for a path that leads out of the folder."""
    for number, line in numbered_lines(source, limits):
        try:
            yield _parsed(line)
        except DataError as error:
            raise DataError(f"line {number}: {error}") from None


def write_list(file: Writable, images: Iterable[ListedImage]) -> None:
    """Write a .lst file. Raises DataError for what `listed` would refuse."""
    for number, image in enumerate(images):
        labels = "\t".join(map(repr, np.asarray(image.labels, np.float32).tolist()))
        line = f"{image.index}\t{labels}\t{image.path}"
        try:
            _parsed(line)
            file.write(line.encode() + b"\n")
        except (DataError, UnicodeEncodeError) as error:
            raise DataError(f"line {number}: {error}") from None


def _parsed(line: str) -> ListedImage:
    index, *labels, path = line.split("\t") if line.count("\t") >= 2 else ("", "")
    if not labels:
        raise DataError(f"got {line[:60]!r}, expected an index, labels and a path with tabs between them")
    if not (index.isascii() and index.isdigit() and len(index) < 21 and int(index) < 1 << 64):
        raise DataError(f"got index {index[:40]!r}, expected a whole number")
    parts = PurePosixPath(path)
    if not path.strip() or parts.is_absolute() or ".." in parts.parts or min(path) < " ":
        raise DataError(f"got path {path[:80]!r}, expected one inside the folder of the images")
    return ListedImage(int(index), np.array([_number(label) for label in labels], np.float32), path)


def _number(text: str) -> float:
    try:
        return float(text if text.isascii() and "_" not in text else "")
    except ValueError:
        raise DataError(f"got label {text[:40]!r}, expected a number") from None
