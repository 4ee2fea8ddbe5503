"""Mutations that mend what surrounds them: lengths, padding, checksums. Most others end at the first wall."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from random import Random
from typing import Any
from zipfile import ZipFile

from recordio import DataError
from recordio.framing import HEAD, LENGTH_BITS, MAGIC
from recordio.wire import DELIMITED, fields, opening

Change = Callable[[bytes], bytes]  # the fuzzer's own mutation
Mutation = Callable[[bytes, Change, Random], bytes]
DEEPEST = 4  # Record, map entry, Value, tensor


def frames(body: bytes, change: Change, random: Random) -> bytes:
    """Change the payload of a frame, its flag, or the order of frames."""
    return _frames(body, change, random)


def messages(body: bytes, change: Change, random: Random) -> bytes:
    """The same, with payloads that are Records."""
    return _frames(body, lambda payload: _message(payload, change, random), random)


def members(body: bytes, change: Change, random: Random) -> bytes:
    """Change a member of a zip archive."""
    try:
        with ZipFile(BytesIO(body)) as archive:
            found = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # zipfile has many
        return change(body)
    if not found:
        return change(body)
    place = random.randrange(len(found))
    found[place] = found[place][0], change(found[place][1])
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        for name, content in found:
            archive.writestr(name, content)
    return file.getvalue()


def words(*choice: bytes) -> Mutation:
    """Put one of some words somewhere."""

    def mutate(body: bytes, _: Change, random: Random) -> bytes:
        place = random.randrange(len(body) + 1)
        return body[:place] + random.choice(choice) + body[place + random.choice((0, 0, 1, 4)) :]

    return mutate


def _frames(body: bytes, change: Change, random: Random) -> bytes:
    found = []
    while len(body) >= HEAD.size:
        word = HEAD.unpack_from(body)[1]
        flag, length = word >> LENGTH_BITS, word % (1 << LENGTH_BITS)
        found.append((flag, body[HEAD.size : HEAD.size + length]))
        body = body[HEAD.size + length + -length % 4 :]
    if not found:
        return change(body)
    place = random.randrange(len(found))
    flag, payload = found[place]
    if (choice := random.randrange(8)) == 0:
        _move(found, place, random)
    elif choice == 1:
        found[place] = random.randrange(8), payload
    elif choice == 2:
        cut = random.randrange(len(payload) + 1)
        found[place : place + 1] = [(1, payload[:cut]), (3, payload[cut + 4 :])]
    else:
        found[place] = flag, change(payload)
    return b"".join(
        HEAD.pack(MAGIC, flag << LENGTH_BITS | len(payload)) + payload + bytes(-len(payload) % 4)
        for flag, payload in found
    )


def _move(some: list[Any], place: int, random: Random) -> None:
    """Repeat, drop or swap one."""
    choice = random.randrange(3)
    if choice == 0:
        some.insert(random.randrange(len(some) + 1), some[place])
    elif choice == 1:
        del some[place]
    else:
        other = random.randrange(len(some))
        some[place], some[other] = some[other], some[place]


def _message(data: bytes, change: Change, random: Random, depth: int = 0) -> bytes:
    try:
        found = list(fields(data, 0, len(data)))
    except DataError:
        return change(data)
    if not found or depth == DEEPEST or random.randrange(12) == 0:
        return change(data)
    starts = [0, *(field.end for field in found)]
    parts = [data[start:end] for start, end in pairwise(starts)]
    place = random.randrange(len(parts))
    if random.randrange(6) == 0:
        _move(parts, place, random)
    elif found[place].wire_type == DELIMITED:
        inner = _message(data[found[place].start : found[place].end], change, random, depth + 1)
        parts[place] = opening(found[place].number, len(inner)) + inner
    else:
        parts[place] = change(parts[place])
    return b"".join(parts)


NUMBERS = (b"0", b"-1", b"1e38", b"1e-46", b".5", b"3.", b"9" * 20, b"nan", b"-inf", b"16777217")
JSON_WORDS = (b'"features"', b'"label"', b'"data"', b'"values":[', b'"keys":[', b'"shape":[', b":", b",", b"[", b"]")
JSON_BRACES = (b"{", b"}", b'"instances":[', b'"\\ud800"', b"true", b"null", b"\n", b'"', b"\\", b"1.5", b"-0")
MUTATIONS: dict[str, Mutation] = {
    "recordio-protobuf": messages,
    "recordio": frames,
    "csv": words(*NUMBERS, b",", b'"', b"\r\n", b"\n", b" ", b'""', b"\xef\xbb\xbf", b";", b"\t", b"|"),
    "jsonlines": words(*NUMBERS, *JSON_WORDS, *JSON_BRACES),
    "libsvm": words(*NUMBERS, b"qid:", b":", b"#", b"\n", b" ", b",", b" 1:2", b"\r\n"),
    "npz": members,
    "images": frames,
    "json": words(*NUMBERS, *JSON_WORDS, *JSON_BRACES),
    "npy": words(b"(2, 3)", b"'<f4'", b"'|O'", b"'>f8'", b"True", b"-1", b",", b"'|V8'", b"[('a', '<f4')]", b"9" * 20),
}
