"""Manifests in a real storage: what they list, and what is wrong with others."""

from __future__ import annotations

import json
import threading

import pytest

import recordio
from local.platform import Channel
from local.storage import manifests
from local.storage.manifests import AugmentedManifest, objects_listed
from local.storage.reading import Reader
from local.storage.service import Stored, Uri
from local.storage.streams import stream
from recordio.errors import DataError, UserError
from tests.contract.storage import BUCKET, Storage

PLACE = Uri(BUCKET, "m.json")
HEAD = '{"prefix": "s3://bucket/data/"}'


def test_a_manifest_lists_keys_below_its_prefix(s3: Storage) -> None:
    s3.put({"data/b": b"first", "data/deep/a": b"second", "data/not": b"listed"})
    s3.put_manifest("m.json", "data/", ["b", "deep/a"])
    found = objects_listed(PLACE)
    assert [item.name for item in found] == ["b", "deep/a"]
    assert [Reader(item, threading.Event()).read() for item in found] == [b"first", b"second"]


def test_the_prefix_need_not_be_a_folder(s3: Storage) -> None:
    s3.put_manifest("m.json", "data/part-", ["1"])
    assert objects_listed(PLACE) == [Stored(Uri(BUCKET, "data/part-1"), "1")]


def test_a_manifest_may_list_nothing(s3: Storage) -> None:
    s3.put_manifest("m.json", "data/", [])
    assert objects_listed(PLACE) == []


FAULTS = {
    "nothing": ("", "m.json: got Expecting value.*, expected a manifest: one array in JSON"),
    "lines": ('"a"\n"b"', "m.json: got Extra data.*, expected a manifest: one array in JSON"),
    "bytes": ("\udcff", "m.json: got 'utf-8' codec can't decode.*expected a manifest"),
    "deep": ("[" * 100_000, "m.json: got maximum recursion.*expected a manifest"),
    "object": ("{}", r"m.json, entry 0: got None, expected \{\"prefix\": \"s3://…\"\}"),
    "empty": ("[]", "m.json, entry 0: got None, expected"),
    "no prefix": ('["a"]', "m.json, entry 0: got 'a', expected"),
    "prefix of another kind": ('[{"prefix": 1}]', "m.json, entry 0: got .'prefix': 1., expected"),
    "prefix elsewhere": ('[{"prefix": "http://x/"}]', "m.json, entry 0: got .*http://x/.*, expected"),
    "no bucket": ('[{"prefix": "s3:///"}, "a"]', "m.json, entry 1: got 's3:///a', expected s3://BUCKET/KEY"),
    "number": (f'[{HEAD}, "a", 5]', "m.json, entry 2: got 5, expected a key below the prefix"),
    "list": (f"[{HEAD}, {'[' * 500}{']' * 500}]", r"m.json, entry 1: got \[\[.{,60}, expected a key"),
    "empty key": (f'[{HEAD}, ""]', "m.json, entry 1: got '', expected a key"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_no_manifest_is_told(s3: Storage, case: str) -> None:
    text, message = FAULTS[case]
    s3.put({"m.json": text.encode(errors="surrogateescape")})
    with pytest.raises(DataError, match=f"^s3://bucket/{message}"):
        objects_listed(PLACE)


def test_manifests_are_bounded(s3: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "LARGEST_BYTES", 100)
    s3.put({"m.json": b" " * 101})
    for read in (objects_listed, lambda place: AugmentedManifest(place, ["a"])):
        with pytest.raises(DataError, match=r"s3://bucket/m.json: got 101 bytes, expected 100 at most"):
            read(PLACE)


LINES: list[dict[str, object]] = [
    {"source-ref": "s3://bucket/images/0", "class": 1, "meta": {"by": "é", "n": [1.5, None]}},
    {"class": "cat", "source-ref": "s3://bucket/images/1", "meta": True, "more": 0},
]
IMAGES = {"images/0": b"\xff\xd8\xff", "images/1": bytes(70_000)}


@pytest.fixture
def augmented(s3: Storage) -> Storage:
    s3.put(IMAGES)
    s3.put({"m.json": "\n".join(map(json.dumps, LINES)).encode() + b"\n\n"})
    return s3


def sent(attributes: list[str], *, wrapped: bool, seed: int | None = None, number: int = 0) -> bytes:
    objects = AugmentedManifest(PLACE, attributes)
    channel = Channel("train", objects, mode="Pipe", wrapped=wrapped, shuffle_seed=seed)
    return b"".join(piece for piece in stream(channel, 0, 1, number, threading.Event()) if isinstance(piece, bytes))


@pytest.mark.usefixtures("augmented")
def test_each_attribute_is_a_record_in_the_order_of_the_names() -> None:
    found = list(recordio.records(sent(["source-ref", "class"], wrapped=True)))
    assert found == [IMAGES["images/0"], b"1", IMAGES["images/1"], b'"cat"']
    found = list(recordio.records(sent(["meta", "source-ref"], wrapped=True)))
    assert [json.loads(each) for each in found[::2]] == [LINES[0]["meta"], True]
    assert found[1::2] == list(IMAGES.values())


@pytest.mark.usefixtures("augmented")
def test_without_wrapping_they_come_one_after_another() -> None:
    assert sent(["class", "source-ref"], wrapped=False) == b"1\xff\xd8\xff" + b'"cat"' + bytes(70_000)


@pytest.mark.usefixtures("augmented")
def test_a_seed_shuffles_lines_and_not_attributes() -> None:
    seen = {tuple(recordio.records(sent(["class", "meta"], wrapped=True, seed=1, number=n))) for n in range(8)}
    lines = [(b"1", json.dumps(LINES[0]["meta"]).encode()), (b'"cat"', b"true")]
    assert seen == {(*lines[0], *lines[1]), (*lines[1], *lines[0])}


AUGMENTED_FAULTS = {
    "text": ("cat", "line 1: got Expecting value.*, expected an object in JSON"),
    "list": ("[1]", r"line 1: got \[1\], expected an object in JSON"),
    "two": ("{} {}", "line 1: got Extra data.*, expected an object in JSON"),
    "deep": ('{"a":' * 100_000, "line 1: got maximum recursion depth.*, expected an object in JSON"),
    "digits": ('{"a-ref": ' + "9" * 5000 + "}", "line 1: got Exceeds the limit.*, expected an object in JSON"),
    "missing": ('{"b": 1}', "line 1: got no attribute 'a-ref', expected a-ref, b"),
    "no text": ('{"a-ref": 5, "b": 1}', "line 1, attribute 'a-ref': got '5', expected s3://BUCKET/KEY"),
    "no uri": ('{"a-ref": "x", "b": 1}', "line 1, attribute 'a-ref': got 'x', expected s3://BUCKET/KEY"),
    "surrogate": ('{"a-ref": "s3://b/\\ud800", "b": 1}', "line 1, attribute 'a-ref': got .*, expected text in UTF-8"),
}


@pytest.mark.parametrize("case", AUGMENTED_FAULTS)
def test_a_line_that_is_wrong_is_told_before_the_job(s3: Storage, case: str) -> None:
    line, message = AUGMENTED_FAULTS[case]
    s3.put({"m.json": f'{{"a-ref": "s3://bucket/x", "b": 1}}\n{line}\n'.encode()})
    with pytest.raises(DataError, match=f"^s3://bucket/m.json, {message}"):
        AugmentedManifest(PLACE, ["a-ref", "b"])


@pytest.mark.parametrize("count", [0, 17])
def test_the_number_of_attributes_is_that_of_the_platform(s3: Storage, count: int) -> None:
    s3.put({"m.json": b"{}"})
    with pytest.raises(UserError, match=f"m.json: got {count} attribute names, expected 1 to 16"):
        AugmentedManifest(PLACE, [f"a{number}" for number in range(count)])


@pytest.mark.parametrize("depth", range(900, 1000, 3))
def test_depth_is_refused_or_sent(s3: Storage, depth: int) -> None:
    """What can just be read may be too deep to be written again."""
    s3.put({"m.json": b'{"a": ' + b"[" * depth + b"]" * depth + b"}"})
    try:
        assert AugmentedManifest(PLACE, ["a"])[0] == (b"[" * depth + b"]" * depth,)
    except DataError as error:
        assert "m.json, line 0: got maximum recursion depth" in str(error)
