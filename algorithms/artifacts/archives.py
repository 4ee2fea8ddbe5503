"""model.tar.gz: packed so that equal files give equal bytes, unpacked so that no archive can do harm."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, cast

from algorithms.artifacts.whole import whole_file
from recordio.errors import UserError

LIMIT_BYTES = 64 * 1024**3  # of all files together, unpacked
MOST_MEMBERS = 10_000
HEADER_BYTES = 16 * 1024**2  # everything in an archive that is not a file's content: headers, padding
CHUNK_BYTES = 1024**2

# What the parser of the standard library can raise for bytes that are no archive. RecursionError: it follows
# chains of long-name headers by recursion.
_MALFORMED = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, LookupError, RecursionError)


def pack(directory: Path, archive: Path) -> None:
    """Write the content of a folder as a gzip-compressed tar that appears whole or not at all.

    Equal content gives equal bytes: names are sorted; times, owners and modes are left out.

    Raises UserError when something in the folder is neither file nor folder, or is a link that leads out of it.
    """
    with (
        whole_file(archive) as aside,
        aside.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as compressed,
        tarfile.open(fileobj=cast(IO[bytes], compressed), mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(directory.rglob("*")):
            _add(tar, path, directory)


def _add(tar: tarfile.TarFile, path: Path, directory: Path) -> None:
    member = tarfile.TarInfo(path.relative_to(directory).as_posix())
    if path.is_dir() and not path.is_symlink():
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
        return
    # A training image that nobody vouches for may have left a link to a file of the user.
    if not path.is_file() or not path.resolve().is_relative_to(directory.resolve()):
        raise UserError(f"{member.name} can't be packed: expected a file or a folder inside {directory}")
    with path.open("rb") as content:
        member.size = os.fstat(content.fileno()).st_size
        tar.addfile(member, content)


def unpack(archive: Path, directory: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Write the files of a gzip-compressed tar into a new or empty folder, which is empty again if it is refused.

    Owners, times and modes in the archive are ignored. Memory is bounded whatever the archive claims.

    Raises UserError for a damaged archive, and for one with links, devices, names that lead out of the folder or
    come twice, more than `MOST_MEMBERS` members, or more than `limit_bytes` of content.
    """
    directory.mkdir(parents=True, exist_ok=True)
    assert not any(directory.iterdir()), f"{directory} is not empty"
    try:
        _unpack(archive, directory, limit_bytes)
    except BaseException as error:
        for path in directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if isinstance(error, _MALFORMED):
            raise UserError(f"{archive.name}: {_reason(error)}, expected a gzip-compressed tar") from error
        if isinstance(error, UserError):
            raise UserError(f"{archive.name}: {error}") from error
        raise


def _unpack(archive: Path, directory: Path, limit_bytes: int) -> None:
    with archive.open("rb") as raw:
        stream = _Metered(gzip.GzipFile(fileobj=raw), HEADER_BYTES)
        names: set[PurePosixPath] = set()
        content_bytes = 0
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:") as tar:
            for member in tar:
                name = _checked(member)
                if name in names:
                    raise UserError(f"member '{name}' comes twice")
                names.add(name)
                if len(names) > MOST_MEMBERS:
                    raise UserError(f"more than {MOST_MEMBERS} members")
                content_bytes += member.size
                if content_bytes > limit_bytes:
                    raise UserError(f"more than {limit_bytes} bytes when unpacked")
                stream.budget_bytes += member.size
                _write(tar, member, directory / name)
        while stream.read(CHUNK_BYTES):  # the checksum stands at the end
            pass


def _checked(member: tarfile.TarInfo) -> PurePosixPath:
    """The path of a member that may be written."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise UserError(f"member '{member.name}' leads out of the folder, expected a relative name")
    if not (member.isdir() or (member.isreg() and not member.issparse())):
        raise UserError(f"member '{member.name}' is a link or a device, expected files and folders only")
    return name


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    try:
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        content = tar.extractfile(member)
        assert content is not None
        with content, target.open("xb") as file:
            shutil.copyfileobj(content, file, CHUNK_BYTES)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"member '{member.name}' is both a file and a folder, or comes twice") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"member '{member.name[:40]}…' has a name that is too long for the file system") from error
        raise


def _reason(error: BaseException) -> str:
    if isinstance(error, EOFError) or "unexpected end" in str(error):
        return "the file is cut off"
    return f"the file is damaged or no archive ({str(error) or type(error).__name__})"


class _Metered(io.RawIOBase):
    """Bytes of a stream, forward only, up to a budget that grows with each file whose size was accepted.

    The tar parser reads a header whole, as long as the header says, and goes where sizes lead it, also back:
    a small budget and no way back make both harmless.
    """

    def __init__(self, source: gzip.GzipFile, budget_bytes: int) -> None:
        self.source = source
        self.budget_bytes = budget_bytes
        self.position = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None and size >= 0
        if size > self.budget_bytes + CHUNK_BYTES:
            raise UserError("the headers are too long")
        found = self.source.read(size)
        self.position += len(found)
        self.budget_bytes -= len(found)
        if self.budget_bytes < 0:
            raise UserError("the headers are too long")
        return found

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or offset < self.position:
            raise tarfile.ReadError("a member has no place in the file")
        while self.position < offset and self.read(min(offset - self.position, CHUNK_BYTES)):
            pass
        return self.position
