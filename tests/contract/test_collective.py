"""What hosts say to each other, between real processes: nothing, little, and more than a socket takes at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.contract.jobs import wait_for
from tests.contract.test_training import free_port

pytest.importorskip("torch", reason="several hosts need the extra torch")

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
PROGRAM = """
import sys, threading
import numpy as np
from algorithms.artifacts.states import SavedState
from entrypoint.cluster import Cluster
from entrypoint.collective import joined

hosts, rank, port = sys.argv[1].split(), int(sys.argv[2]), int(sys.argv[3])
with joined(Cluster(hosts[rank], tuple(hosts), "lo", port), threading.Event(), 10) as pool:
    assert (pool.hosts, pool.rank) == (3, rank)

    # Host r gives 3 r + k rows to host k, the first of them nothing to itself; and a million to one.
    def rows(giver, taker):
        return 1_000_000 if (giver, taker) == (1, 2) else 3 * giver + taker

    for dtype in (np.float32, np.int32, np.int64, np.uint8):
        parts = [np.full((rows(rank, taker), 2), 10 * rank + taker, dtype) for taker in range(3)]
        for lengths in (None, [rows(giver, rank) for giver in range(3)]):
            for giver, found in enumerate(pool.exchanged(parts, lengths)):
                assert found.dtype == dtype and found.shape == (rows(giver, rank), 2)
                assert (found == 10 * giver + rank).all()
    assert [len(part) for part in pool.exchanged([np.empty((0, 4))] * 3)] == [0, 0, 0]

    # One tells much, one a little, one nothing.
    mine = [{"x": np.arange(3_000_000)}, {"y": np.array(2.5), "none": np.zeros((0, 2))}, {}][rank]
    (first, _), (second, told), (third, last) = pool.gathered(mine, {"rank": rank})
    assert (first["x"] == np.arange(3_000_000)).all() and second["y"] == 2.5 and second["none"].shape == (0, 2)
    assert (third, told, last) == ({}, {"rank": 1}, {"rank": 2})

    # States larger than the pieces in which they travel, one after another.
    state = SavedState("toy", {}, {"x": np.full(10_000_000, rank, np.float64)}, {"rank": rank})
    others = pool.others(lambda: state)
    assert (others is None) == (rank > 0)
    for number, other in enumerate(others or (), start=1):
        assert other.values == {"rank": number} and (other.arrays["x"] == number).all()
    pool.barrier()
print("right")
"""


def test_every_host_gets_what_is_meant_for_it() -> None:
    port = str(free_port())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, " ".join(HOSTS), str(rank), port],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    try:
        wait_for(lambda: all(process.poll() is not None for process in processes), "the hosts to end")
        for process in processes:
            output, errors = process.communicate()
            assert output == "right\n", errors
    finally:
        for process in processes:
            process.kill()
            process.wait()
