"""Objects of a real S3 server, read whole over connections that break, and refused when they are not what they were."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from local.storage import reading
from local.storage import service as storage
from local.storage.reading import PIECE_BYTES, Reader, whole
from local.storage.service import Stored, Uri, objects_below, one_object
from recordio.errors import DataError, PlatformError, UserError
from tests.contract.storage import BUCKET, Proxy, Storage

CONTENT = random.Random(1).randbytes(5 * PIECE_BYTES + 17)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow at once, and boto3 leaves them to us."""
    monkeypatch.setattr(reading, "WAITS_SECONDS", (0.001,) * 5)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture
def through(s3: Storage, monkeypatch: pytest.MonkeyPatch) -> Callable[[Proxy], None]:
    def use(proxy: Proxy) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.variables["AWS_ENDPOINT_URL_S3"])
        storage.client.cache_clear()

    return use


def place(key: str = "key") -> Uri:
    return Uri(BUCKET, key)


def opened(stored: Stored) -> Reader:
    return Reader(stored, threading.Event())


def read(stored: Stored) -> bytes:
    with opened(stored) as reader:
        found = b"".join(iter(reader.read, b""))
        assert len(found) == reader.size
        return found


@pytest.mark.parametrize("content", [b"", b"1", CONTENT])
def test_an_object_is_read_whole(s3: Storage, content: bytes) -> None:
    s3.put({"key": content})
    assert read(one_object(place())) == content
    assert read(Stored(place(), "key")) == content  # as a manifest names it, without size and tag
    assert read(objects_below(place())[0]) == content


@pytest.mark.parametrize("seed", range(4))
def test_what_breaks_goes_on_at_its_byte(s3: Storage, through: Callable[[Proxy], None], seed: int) -> None:
    s3.put({"key": CONTENT})
    with Proxy(s3.port, seed=seed, share=0.6) as proxy:
        through(proxy)
        for _ in range(8):
            assert read(Stored(place(), "key")) == CONTENT
        assert proxy.hurt["cut"]
        assert proxy.hurt["500"] + proxy.hurt["503"] + proxy.hurt["reset"]
        assert any(proxy.ranges), "nothing was resumed"


def test_a_break_costs_a_piece_and_not_the_object(s3: Storage, through: Callable[[Proxy], None]) -> None:
    s3.put({"key": CONTENT})
    with Proxy(s3.port, seed=0, share=1.0, kinds=("cut",)) as proxy:
        through(proxy)
        starts = []
        with opened(Stored(place(), "key")) as reader:
            while reader.position < PIECE_BYTES:
                reader.read()
            proxy.share = 0
            starts = [asked for asked in proxy.ranges if asked]
            assert reader.read() + b"".join(iter(reader.read, b"")) == CONTENT[PIECE_BYTES:]
        assert starts == sorted(starts)


def test_a_storage_that_stays_down_is_told_with_object_and_byte(s3: Storage, through: Callable[[Proxy], None]) -> None:
    s3.put({"key": CONTENT})
    with Proxy(s3.port, seed=0, share=0) as proxy:
        through(proxy)
        with opened(one_object(place())) as reader:
            reader.read()
            proxy.share, proxy.kinds = 1.0, ("503", "reset")
            reader._disconnect()
            with pytest.raises(PlatformError, match=rf"s3://bucket/key: 6 tries in a row failed at byte {PIECE_BYTES}"):
                reader.read()


def test_nobody_there_is_told(s3: Storage, through: Callable[[Proxy], None]) -> None:
    with Proxy(s3.port, seed=0, share=0) as proxy:
        through(proxy)
    with pytest.raises(
        PlatformError, match=r"s3://bucket/key: 6 tries in a row failed at byte 0, the last so: .*connect"
    ):
        read(Stored(place(), "key"))
    with pytest.raises(PlatformError, match=r"s3://bucket/key: the storage is in trouble or can't be reached"):
        objects_below(place())


def test_waiting_ends_with_the_job(
    s3: Storage, through: Callable[[Proxy], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WAITS_SECONDS", (3600.0,))
    s3.put({"key": CONTENT})
    ended = threading.Event()
    ended.set()
    with Proxy(s3.port, seed=0, share=1, kinds=("503",)) as proxy:
        through(proxy)
        with pytest.raises(PlatformError, match="s3://bucket/key: the job ended while it was being read"):
            Reader(Stored(place(), "key"), ended)


def test_another_object_in_its_place_is_no_continuation(s3: Storage) -> None:
    s3.put({"key": CONTENT})
    found = one_object(place())
    with opened(found) as reader:
        reader.read()
        reader._disconnect()
        s3.put({"key": CONTENT[::-1]})
        with pytest.raises(UserError, match=rf"s3://bucket/key: at byte {PIECE_BYTES} the object is no longer the one"):
            reader.read()
    with pytest.raises(UserError, match="at byte 0 the object is no longer the one that was found"):
        opened(found)


def test_a_service_that_minds_no_conditions_is_caught(s3: Storage, through: Callable[[Proxy], None]) -> None:
    s3.put({"key": CONTENT})
    found = one_object(place())
    with Proxy(s3.port, seed=0, share=0) as proxy:
        proxy.dropped = ("If-Match", "Range")
        through(proxy)
        with opened(found) as reader:
            reader.read()
            reader._disconnect()
            with pytest.raises(PlatformError, match=rf"from 0 on, expected them from {PIECE_BYTES}"):
                reader.read()
        s3.put({"key": CONTENT[1:]})
        with pytest.raises(UserError, match="no longer the one"):
            opened(found)


def test_a_small_object_is_bounded(s3: Storage) -> None:
    s3.put({"key": b"12345"})
    assert whole(place(), 5) == b"12345"
    with pytest.raises(DataError, match="s3://bucket/key: got 5 bytes, expected 4 at most"):
        whole(place(), 4)


PREFIXES = {
    "data/": ["a.csv", "deep/b.csv"],
    "data": ["a.csv", "data-2/c.csv", "deep/b.csv"],  # a prefix of keys, whatever it looks like
    "data/a.csv": ["a.csv"],
    "data/d": ["deep/b.csv"],
    "data-": ["data-2/c.csv"],
    "data-2": ["c.csv"],
    "": ["data-2/c.csv", "data/a.csv", "data/deep/b.csv", "ü %+.csv"],
    "ü": ["ü %+.csv"],
}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_names_what_begins_with_it(s3: Storage, prefix: str) -> None:
    s3.put(dict.fromkeys(["data/a.csv", "data/deep/b.csv", "data-2/c.csv", "ü %+.csv"], b"1,2"))
    s3.put({"data/": b"", "data/none/": b""})
    found = objects_below(place(prefix))
    assert sorted(item.name for item in found) == PREFIXES[prefix]
    keys = [item.uri.key for item in found]
    assert keys == sorted(keys)
    assert {read(item) for item in found} == {b"1,2"}


def test_more_objects_than_a_page_holds_are_found(s3: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:02}" for number in range(25)]
    s3.put({f"many/{name}": b"1" for name in names})
    pages = storage.client().get_paginator
    monkeypatch.setattr(storage.client(), "get_paginator", lambda name: _Small(pages(name)), raising=False)
    assert [item.name for item in objects_below(place("many/"))] == names


class _Small:
    def __init__(self, pages: object) -> None:
        self._pages = pages

    def paginate(self, **wanted: str) -> object:
        return self._pages.paginate(**wanted, PaginationConfig={"PageSize": 10})  # type: ignore[attr-defined]


FAULTS = {
    "no object": (lambda: objects_below(place("none")), "s3://bucket/none: no object has a key that begins so"),
    "no key": (lambda: one_object(place("none")), "s3://bucket/none: it does not exist"),
    "gone": (lambda: read(Stored(place("none"), "none")), "s3://bucket/none: it does not exist"),
    "no bucket": (lambda: objects_below(Uri("nowhere", "x")), "s3://nowhere/x: the bucket does not exist"),
    "bad bucket": (lambda: objects_below(Uri("no where", "x")), "s3://no where/x: .*Invalid bucket name"),
    "not writable": (lambda: storage.check_writable(Uri("nowhere", "x")), "s3://nowhere/x: the bucket does not exist"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_not_there_is_told(s3: Storage, case: str) -> None:
    action, text = FAULTS[case]
    with pytest.raises(UserError, match=text):
        action()


def test_checking_a_place_leaves_nothing(s3: Storage) -> None:
    storage.check_writable(place("out/model.tar.gz"))
    assert s3.names() == []
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=BUCKET)


def test_missing_credentials_are_told(s3: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(UserError, match="no credentials were found: set AWS_ACCESS_KEY_ID and"):
        objects_below(place())


def test_an_endpoint_that_is_none_is_told(s3: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nonsense")
    with pytest.raises(UserError, match=r"s3:// URIs can't be used: .*nonsense"):
        objects_below(place())
