"""UBJSON (https://ubjson.org), as far as models of other libraries are written in it: strictly read, plainly written.

Numbers of typed arrays become NumPy arrays; all else becomes what JSON would become. Lengths are of type `L` only.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from recordio.errors import UserError

DEPTH = 32  # of objects and lists inside one another
NUMBERS = {
    b"i": ">i1",
    b"U": ">u1",
    b"I": ">i2",
    b"u": ">u2",
    b"l": ">i4",
    b"m": ">u4",
    b"L": ">i8",
    b"M": ">u8",
    b"d": ">f4",
    b"D": ">f8",
}
MARKERS = {form[1:]: marker for marker, form in NUMBERS.items()}
LENGTH = struct.Struct(">q")
CONSTANTS = {b"Z": None, b"T": True, b"F": False}


def decode(content: bytes) -> Any:
    """One value and nothing after it. Memory follows the bytes. Raises UserError."""
    reader = _Reader(content)
    value = reader.value(reader.take(1), 0)
    if reader.place != len(content):
        raise UserError(f"byte {reader.place}: got more after the end")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self.place = 0

    def take(self, size: int) -> bytes:
        start, self.place = self.place, self.place + size
        if not start <= self.place <= len(self._content):
            raise UserError(f"byte {start}: the content ends too early")
        return self._content[start : self.place]

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > DEPTH:
            raise UserError(f"byte {self.place}: nested more than {DEPTH} deep")
        if marker == b"{":
            return self._object(depth + 1)
        if marker == b"[":
            return self._array(depth + 1)
        if marker == b"S":
            return self._text()
        if marker in NUMBERS:
            return self._numbers(marker, 1)[0].item()
        if marker in CONSTANTS:
            return CONSTANTS[marker]
        raise UserError(f"byte {self.place - 1}: got {marker!r}, expected a value")

    def _count(self) -> int:
        start, self.place = self.place, self.place + 9
        if self._content[start : start + 1] != b"L" or self.place > len(self._content):
            raise UserError(f"byte {start}: got {self._content[start : start + 1]!r}, expected a length")
        count: int = LENGTH.unpack_from(self._content, start + 1)[0]
        if not 0 <= count <= len(self._content) - self.place:
            raise UserError(f"byte {self.place - 8}: got a length of {count}, and fewer bytes than that")
        return count

    def _text(self) -> str:
        start = self.place
        try:
            return self.take(self._count()).decode()
        except UnicodeDecodeError:
            raise UserError(f"byte {start}: got a text that is no UTF-8") from None

    def _numbers(self, marker: bytes, count: int) -> np.ndarray[Any, np.dtype[Any]]:
        form = np.dtype(NUMBERS[marker])
        return np.frombuffer(self.take(count * form.itemsize), form)

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._content[self.place : self.place + 1] != b"}":
            name = self._text()
            if name in found:  # one reader would take the first, and another the last
                raise UserError(f"byte {self.place}: got {name[:40]!r} twice in one object")
            found[name] = self.value(self.take(1), depth)
        self.place += 1
        return found

    def _array(self, depth: int) -> Any:
        marker = self.take(1)
        if marker == b"$":
            kind = self.take(1)
            if kind not in NUMBERS or self.take(1) != b"#":
                raise UserError(f"byte {self.place}: got an array of {kind!r}, expected one of numbers")
            return self._numbers(kind, self._count())
        if marker == b"#":
            return [self.value(self.take(1), depth) for _ in range(self._count())]
        found = []
        while marker != b"]":
            found.append(self.value(marker, depth))
            marker = self.take(1)
        return found


def encode(value: Any) -> bytes:
    """The other way round. Floats are written in single precision."""
    parts: list[bytes] = []
    _write(value, parts.append)
    return b"".join(parts)


def _write(value: Any, put: Callable[[bytes], None]) -> None:
    match value:
        case None | True | False:
            put(next(marker for marker, constant in CONSTANTS.items() if constant is value))
        case str():
            put(b"S" + _counted(value.encode()))
        case np.ndarray():
            marker = MARKERS[value.dtype.str[1:]]
            put(b"[$" + marker + b"#" + _length(len(value)))
            put(value.astype(NUMBERS[marker], copy=False).tobytes())
        case int():
            put(b"L" + LENGTH.pack(value))
        case float():
            put(b"d" + struct.pack(">f", np.float32(value)))
        case dict():
            put(b"{")
            for name, inner in value.items():
                put(_counted(name.encode()))
                _write(inner, put)
            put(b"}")
        case _:
            put(b"[#" + _length(len(value)))
            for inner in value:
                _write(inner, put)


def _counted(text: bytes) -> bytes:
    return _length(len(text)) + text


def _length(count: int) -> bytes:
    return b"L" + LENGTH.pack(count)
