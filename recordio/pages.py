"""What reading a Parquet file will take, looked up before it is read: a file may say one thing and hold another.

The metadata at its end and the header of each page are structs in Thrift's compact protocol:
https://parquet.apache.org/docs/file-format, https://github.com/apache/thrift/blob/master/doc/specs
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from recordio.errors import DataError

FOOTER_BYTES = 2**24  # of metadata
FOOTER_ENTRIES = 2**19  # in all its lists together; a column of a row group makes about eight, and takes 1 KB in memory
HEADER_BYTES = 2**12  # of a page of numbers; those of texts may be longer
DATA, DICTIONARY, DATA_V2 = 0, 2, 3  # types of pages
TRUE, FALSE, BYTE, INT16, INT32, INT64, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12  # fields
DEEPEST = 8  # structs and lists inside one another


class Chunk(NamedTuple):
    """A column of a row group: how many numbers it says it has, and its bytes in the file."""

    values: int
    start: int
    end: int


class Group(NamedTuple):
    rows: int
    chunks: list[Chunk]


class Cost(NamedTuple):
    """Of one column in one row group.

    size     bytes at once: the largest page, packed and unpacked, and the dictionary
    values   numbers, with those of lists
    """

    size: int
    values: int


def groups(file: Any) -> list[Group]:
    """The row groups of a file. Raises DataError unless it ends as Parquet does, with metadata of a bearable size."""
    size = file.seek(0, 2)
    file.seek(max(size - 8, 0))
    end = file.read(8)
    if size < 12 or end[4:] != b"PAR1":
        raise DataError(
            f"got {size} bytes that end with {end[-4:]!r}, expected a Parquet file, which ends with b'PAR1'"
        )
    length = int.from_bytes(end[:4], "little")
    if length > FOOTER_BYTES:
        raise DataError(f"got metadata of {length} bytes, the limit is {FOOTER_BYTES}")
    if length > size - 12:
        raise DataError(f"got a file of {size} bytes, expected {length} of metadata and more; is it cut short?")
    file.seek(size - 8 - length)
    footer = _Struct(file.read(length))
    found: list[Group] = []
    try:
        for field, kind in footer.fields():
            if (field, kind) == (4, LIST):
                found = [_group(footer) for _ in footer.items()]
            else:
                footer.skip(kind)
    except IndexError:
        raise DataError("got a Parquet file whose metadata is cut short") from None
    return found


def cost(file: Any, chunk: Chunk) -> Cost:
    """Read the headers of a column's pages. Raises DataError when they contradict themselves or reach too far."""
    position = chunk.start
    largest = dictionary = values = 0
    while values < chunk.values and position < chunk.end:
        file.seek(position)
        header = _Struct(file.read(HEADER_BYTES))
        try:
            page = _page(header)
        except IndexError:
            raise DataError(f"got bytes that are no page header, at byte {position}") from None
        position += header.at + page.packed
        if position > chunk.end:
            raise DataError(f"got a page that ends at byte {position}, expected {chunk.end} at most")
        if page.kind == DICTIONARY:
            if page.values > page.unpacked:
                raise DataError(f"got a dictionary of {page.values} numbers in {page.unpacked} bytes")
            dictionary = max(dictionary, page.packed + 2 * page.unpacked)  # it is kept once more as numbers
        elif page.kind in (DATA, DATA_V2):
            largest = max(largest, page.packed + page.unpacked)
            values += page.values
    return Cost(largest + dictionary, values)


def _group(footer: _Struct) -> Group:
    rows = 0
    chunks: list[Chunk] = []
    for field, kind in footer.fields():
        if (field, kind) == (1, LIST):
            chunks = [_chunk(footer) for _ in footer.items()]
        elif (field, kind) == (3, INT64):
            rows = footer.number()
        else:
            footer.skip(kind)
    if rows < 0:
        raise DataError(f"got a row group of {rows} records")
    return Group(rows, chunks)


def _chunk(footer: _Struct) -> Chunk:
    numbers: dict[int, int] = {}
    for field, kind in footer.fields():
        if (field, kind) == (3, STRUCT):
            numbers = footer.numbers()
        else:
            footer.skip(kind)
    values, size, start, dictionary = (numbers.get(field, 0) for field in (5, 7, 9, 11))
    if min(values, size, start) < 0:
        raise DataError(f"got a column of {values} numbers in {size} bytes from byte {start} on")
    start = dictionary if 0 < dictionary < start else start
    return Chunk(values, start, start + size)


class _Page(NamedTuple):
    kind: int
    unpacked: int
    packed: int
    values: int


def _page(header: _Struct) -> _Page:
    numbers: dict[int, int] = {}
    values = -1
    for field, kind in header.fields():
        if kind == STRUCT and field in (5, 7, 8):  # what is said of a page of data, of a dictionary, of data since 2.0
            values = header.numbers().get(1, -1)
        elif kind == INT32:
            numbers[field] = header.number()
        else:
            header.skip(kind)
    page = _Page(numbers.get(1, -1), numbers.get(2, -1), numbers.get(3, -1), values)
    if min(page.unpacked, page.packed) < 0 or (page.kind in (DATA, DICTIONARY, DATA_V2) and page.values < 0):
        raise DataError("got a page header without a size, or with one below 0")
    if max(page) >= 1 << 31:
        raise DataError(f"got a page header with {max(page)}, expected numbers of 32 bits")
    return page


class _Struct:
    """A cursor in the bytes of a struct. Raises IndexError at the end of the bytes."""

    def __init__(self, data: bytes) -> None:
        self.at = 0
        self._data = data
        self._entries = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field, whose value the caller then reads or skips."""
        field = 0
        while code := self._byte():
            field = field + (code >> 4) if code >> 4 else self.number()
            yield field, code & 0xF

    def items(self) -> range:
        """The places of a list of structs, which the caller then reads."""
        code = self._byte()
        if code & 0xF != STRUCT:
            raise DataError(f"got metadata with a list of type {code & 0xF}, expected structs")
        return range(self._count(code))

    def numbers(self) -> dict[int, int]:
        """The fields that are integers."""
        found = {}
        for field, kind in self.fields():
            if kind in (INT32, INT64):
                found[field] = self.number()
            else:
                self.skip(kind)
        return found

    def number(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def skip(self, kind: int, depth: int = 0) -> None:
        if kind in (INT16, INT32, INT64):
            self._varint()
        elif kind == BINARY:
            size = self._varint()
            self.at += size
        elif kind == STRUCT and depth < DEEPEST:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind in (LIST, SET) and depth < DEEPEST:
            code = self._byte()
            inner = BYTE if code & 0xF in (TRUE, FALSE) else code & 0xF
            for _ in range(self._count(code)):
                self.skip(inner, depth + 1)
        elif kind in (TRUE, FALSE, BYTE, DOUBLE):
            self.at += {BYTE: 1, DOUBLE: 8}.get(kind, 0)
        else:
            raise DataError(f"got metadata with a field of type {kind}, {depth} deep")

    def _count(self, code: int) -> int:
        """The length of a list, of which this is the first byte."""
        count = code >> 4 if code >> 4 < 0xF else self._varint()
        self._entries += count
        if self._entries > FOOTER_ENTRIES:
            raise DataError(f"got metadata with more than {FOOTER_ENTRIES} entries, the limit; write larger row groups")
        return count

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte <= 0x7F:
                return value
        raise DataError("got metadata with a number of more than 64 bits")

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte
