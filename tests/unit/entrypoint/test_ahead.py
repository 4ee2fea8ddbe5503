"""Reading ahead: order, bounds, errors, and ends."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator

import pytest

from entrypoint.ahead import Ahead


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def end(thread: threading.Thread) -> None:
    thread.join(5)
    assert not thread.is_alive()


def test_items_come_in_order_and_the_thread_ends() -> None:
    before = set(threads())
    ahead = Ahead(iter(range(100)))
    started = set(threads()) - before
    assert list(ahead) == list(range(100))
    for thread in started:
        end(thread)
    assert list(Ahead(iter(()))) == []


def test_none_is_no_item_but_falsehoods_are() -> None:
    assert list(Ahead(iter([0, "", []]))) == [0, "", []]


def test_the_producer_stays_within_its_room() -> None:
    made = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(100):
            made.release()
            yield number

    ahead = Ahead(items(), room=4, size_of=lambda _: 2)
    for _ in range(3):  # two in the room and one in the producer's hand
        assert made.acquire(timeout=5)
    assert not made.acquire(timeout=0.25), "a fourth item was made before the first was taken"
    iterator = iter(ahead)
    assert next(iterator) == 0
    for _ in range(2):  # the consumer took all there was
        assert made.acquire(timeout=5)
    assert not made.acquire(timeout=0.25), "the room was made larger"
    assert [next(iterator) for _ in range(5)] == [1, 2, 3, 4, 5]
    ahead.close()


def test_an_item_larger_than_the_room_comes_alone() -> None:
    assert list(Ahead(iter([5, 1, 7]), room=2, size_of=lambda item: item)) == [5, 1, 7]


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ZeroDivisionError("three")

    seen = []
    with pytest.raises(ZeroDivisionError, match="three"):
        for item in Ahead(items(), room=2):
            seen.append(item)
    assert seen == [1, 2]


def test_errors_that_are_no_exceptions_come_too() -> None:
    class Panic(BaseException):
        """As compiled libraries raise."""

    def items() -> Iterator[int]:
        raise Panic
        yield

    with pytest.raises(Panic):
        list(Ahead(items()))


def test_close_lets_thread_and_items_go() -> None:
    class Item:
        pass

    closed = threading.Event()
    made: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        try:
            while True:
                item = Item()
                made.append(weakref.ref(item))
                yield item
        finally:
            closed.set()

    before = set(threads())
    ahead = Ahead(items())
    next(iter(ahead))
    (thread,) = set(threads()) - before
    ahead.close()
    end(thread)
    assert list(ahead) == []
    del ahead, thread
    assert closed.wait(5), "the producer's files stay open"
    assert all(reference() is None for reference in made)


def test_a_stop_ends_the_wait_for_an_item() -> None:
    stopping, released = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        stopping.set()
        late.append(not released.wait(5))  # as a pipe that nobody writes
        yield 2

    late: list[bool] = []
    assert list(Ahead(items(), stopping=stopping)) in ([1], [])
    assert not late
    released.set()


def test_a_stop_ends_also_when_there_are_items() -> None:
    stopping = threading.Event()
    seen = []
    for item in Ahead(iter(range(1000)), stopping=stopping):
        seen.append(item)
        if item == 3:
            stopping.set()
    assert seen == [0, 1, 2, 3]


def test_what_breaks_after_a_stop_is_no_error() -> None:
    """The feeder of a pipe is stopped together with the job, in the middle of a record."""
    stopping, consumer_waits = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert consumer_waits.wait(5)
        stopping.set()
        raise ValueError("cut")

    seen = []
    for item in Ahead(items(), stopping=stopping):
        seen.append(item)
        consumer_waits.set()
    assert seen == [1]
