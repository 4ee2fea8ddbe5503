"""ZIP artifacts: members stored as they are, never compressed, so that reading one takes no more memory than it has."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Mapping
from typing import IO

from recordio.errors import UserError

MOST_MEMBERS = 1000
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time there is: equal content gives equal bytes
END = b"PK\x05\x06"
END_BYTES = 22  # of the record at the end, without a comment
ENCRYPTED = 0x1  # of a member's flags

# What the parser of the standard library can raise for bytes that are no archive.
_MALFORMED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, LookupError, struct.error)


def encode(members: Mapping[str, bytes]) -> bytes:
    """An archive with these members, in this order."""
    file = io.BytesIO()
    write(file, {name: (len(content), [content]) for name, content in members.items()})
    return file.getvalue()


def write(file: IO[bytes], members: Mapping[str, tuple[int, Iterable[bytes | memoryview]]]) -> None:
    """As `encode`, to a file that can be written anywhere: of each member the size, and its content piece by piece."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, (size, pieces) in members.items():
            member = zipfile.ZipInfo(name, EPOCH)
            member.external_attr = 0o644 << 16
            member.file_size = size
            with archive.open(member, "w") as content:
                for piece in pieces:
                    content.write(piece)


def decode(content: bytes, names: Iterable[str]) -> dict[str, bytes]:
    """The members of these names; others are not read.

    Raises UserError for a damaged archive, one with something before or after it, without one of the names, or with
    members that are compressed, encrypted, come twice, overlap, or have names that lead out of a folder.
    """
    if not content.startswith(b"PK"):
        raise UserError(f"not a ZIP archive: starts with {content[:4]!r}, expected b'PK'")
    end = content[-END_BYTES:]
    if not end.startswith(END) or not end.endswith(b"\0\0"):
        raise UserError("the ZIP archive is cut off, or has bytes after its end")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            _check(members, len(content))
            missing = [name for name in names if name not in archive.namelist()]
            if missing:
                raise UserError(f"the ZIP archive has no member '{missing[0]}'")
            return {name: archive.read(name) for name in names}
    except _MALFORMED as error:
        raise UserError(f"the ZIP archive is damaged ({str(error) or type(error).__name__})") from error


def _check(members: list[zipfile.ZipInfo], size: int) -> None:
    if len(members) > MOST_MEMBERS:
        raise UserError(f"the ZIP archive has more than {MOST_MEMBERS} members")
    names: set[str] = set()
    for member in members:
        name = member.filename[:100]
        if name in names:
            raise UserError(f"the ZIP archive has member '{name}' twice")
        names.add(name)
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise UserError(f"the ZIP archive has member '{name}', which leads out of the folder")
        if member.flag_bits & ENCRYPTED:
            raise UserError(f"the ZIP archive has member '{name}' encrypted, expected it plain")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise UserError(f"the ZIP archive has member '{name}' compressed, expected it stored (zip -0)")
    if min((member.header_offset for member in members), default=0):
        raise UserError("the ZIP archive has bytes before its first member")
    if sum(member.file_size for member in members) > size:
        raise UserError("the ZIP archive has members that overlap, or end after the archive")
