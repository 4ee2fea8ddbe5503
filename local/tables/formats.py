"""Formats of data files: names and endings that users know, and what the bytes of a file look like."""

from __future__ import annotations

import re
from pathlib import PurePath

from recordio.content_types import CSV, JSON, JSON_LINES, LIBSVM, NPY, NPZ, PARQUET, RECORDIO
from recordio.framing import HEAD, LENGTH_BITS, MAGIC_BYTES
from recordio.image_records import HEADER as IMAGE_HEADER

# The first name of each type is the ending that we give.
NAMES = {
    "csv": CSV,
    "parquet": PARQUET,
    "npy": NPY,
    "npz": NPZ,
    "libsvm": LIBSVM,
    "svm": LIBSVM,
    "svmlight": LIBSVM,
    "jsonl": JSON_LINES,
    "jsonlines": JSON_LINES,
    "pbr": RECORDIO,
    "recordio": RECORDIO,
    "protobuf": RECORDIO,
    "recordio-protobuf": RECORDIO,
}
IMAGES = "application/x-recordio"
GZIP_MAGIC = b"\x1f\x8b"
LOOKED_AT = 2**16  # bytes from the start of a file
FIRST_LINES = 20

_IMAGES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF", b"BM": "BMP", b"RIFF": "WebP"}
_LIBSVM = re.compile(rb"\s*([^\s:#]+\s+)?(qid:\d+\s+)?\d+:\S+(\s+\d+:\S+)*\s*(#.*)?")


def by_ending(name: str) -> str | None:
    """The content type that the name of a file says, with .gz or without."""
    suffix = PurePath(name.lower().removesuffix(".gz")).suffix
    return NAMES.get(suffix.removeprefix("."))


def ending(content_type: str) -> str:
    return next(name for name, known in NAMES.items() if known == content_type)


def name(content_type: str) -> str:
    """What users call it."""
    others = {IMAGES: "image records", JSON: "json", RECORDIO: "recordio-protobuf"}
    return others.get(content_type) or ending(content_type)


def by_content(start: bytes) -> str | None:
    """The content type that the first bytes of a file, unpacked, look like."""
    if start.startswith(MAGIC_BYTES):
        return IMAGES if _holds_image(start) else RECORDIO
    for magic, content_type in ((b"PAR1", PARQUET), (b"\x93NUMPY", NPY), (b"PK\x03\x04", NPZ), (b"PK\x05\x06", NPZ)):
        if start.startswith(magic):
            return content_type
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"{"):
        return JSON if re.match(rb'\{\s*"instances"', text) else JSON_LINES
    line, *others = text.split(b"\n", FIRST_LINES)[:FIRST_LINES]
    if any(map(_LIBSVM.fullmatch, [line, *others])):  # some records may have no entries
        return LIBSVM
    return CSV if line and b"\0" not in line and (b"," in line or is_number(line)) else None


def image_kind(content: bytes) -> str:
    """The format of an encoded image, or what its first bytes are."""
    return next((kind for magic, kind in _IMAGES.items() if content.startswith(magic)), "other")


def _holds_image(start: bytes) -> bool:
    """Whether the first record holds an image behind its header, or anything else that no protobuf message is."""
    if len(start) < HEAD.size + IMAGE_HEADER.size:
        return False
    payload = start[HEAD.size :]
    labels = IMAGE_HEADER.unpack_from(payload)[0]
    image = payload[IMAGE_HEADER.size + 4 * labels :][:16]
    length = HEAD.unpack_from(start)[1] & ((1 << LENGTH_BITS) - 1)
    is_message = payload[0] & 7 == 2 and 0 < payload[0] >> 3 <= 5  # a delimited field of Record
    return length >= IMAGE_HEADER.size and (image_kind(image) != "other" or not is_message)


def is_number(text: bytes | str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def printable(text: str) -> str:
    """Names and texts from files, without what would move the cursor of a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
