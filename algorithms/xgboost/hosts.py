"""Hosts: the engine's own collective, over the hosts of a pool."""

from __future__ import annotations

import atexit
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from algorithms.contract import Pool
from algorithms.xgboost.boosting import told

PATIENCE_SECONDS = 7 * 24 * 3600  # between two steps of the engine: a slow host is no fault, a lost one is heard of

_TRACKERS: list[Any] = []  # at work: one is not let go when a host is lost, since it would wait for that host


@contextmanager
def joined(pool: Pool) -> Iterator[None]:
    """What the engine does in the block, and in this thread, it does with the other hosts.

    Raises RuntimeError for a connection that was lost.
    """
    if pool.hosts == 1:
        yield
        return
    from xgboost.collective import CommunicatorContext
    from xgboost.tracker import RabitTracker

    _stay()
    tracker = None
    arguments: dict[str, Any] = {}
    if pool.rank == 0:
        tracker = RabitTracker(n_workers=pool.hosts, host_ip=pool.address, sortby="task")
        _TRACKERS.append(tracker)
        tracker.start()
        arguments = tracker.worker_args()
    (_, arguments), *_ = pool.gathered({}, arguments)
    # In order of rank, as our own.
    place: dict[str, Any] = {"dmlc_task_id": f"{pool.rank:06d}", "dmlc_timeout": PATIENCE_SECONDS}
    try:
        with told(), CommunicatorContext(**arguments, **place):  # whose end fails, too, when a host is lost
            yield
    except GeneratorExit:  # all hosts stop here
        pass
    if tracker is not None:
        tracker.wait_for()  # the others take their leave of it
        _TRACKERS.remove(tracker)


@cache
def _stay() -> None:
    """Keep the process when a host is lost.

    The engine then tells the others, and calls exit of the C library there: no failure file would be written, and none
    could say who was lost. So exit waits for a semaphore that is posted when Python itself ends.
    """
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    semaphore = ctypes.c_void_p(library.malloc(64))  # more than a sem_t takes; it outlives the interpreter
    library.sem_init(semaphore, 0, 0)
    library.__cxa_atexit(ctypes.cast(library.sem_wait, ctypes.c_void_p), semaphore, None)
    atexit.register(library.sem_post, semaphore)
