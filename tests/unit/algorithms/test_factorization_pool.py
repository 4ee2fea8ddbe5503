"""Factorization Machines on several hosts that learn one model in step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from algorithms.contract import Alone, Arrays
from algorithms.factorization_machines.state import FactorizationMachinesState
from recordio.batch import Batch
from tests.unit.algorithms.factorization_tasks import FEATURES, learned, records, settings
from tests.unit.pools import Hosts, Seat

HOSTS, SHARE = 4, 5
TASKS = ("binary_classifier", "regressor")


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("task", TASKS)
def test_batches_of_all_hosts_are_one_batch(task: str, dense: bool) -> None:
    """Four hosts with a quarter of each batch learn what one learns that has it all, the last one empty-handed."""
    x, y = records(task, 95)
    x = x.toarray() if dense else x
    whole = FactorizationMachinesState(settings(task))
    for start in range(0, 95, HOSTS * SHARE):
        whole.update(Batch(x[start : start + HOSTS * SHARE], y[start : start + HOSTS * SHARE]))
    printed = whole.end_pass(None).qualities

    def in_step(seat: Seat, rank: int) -> FactorizationMachinesState:
        state = FactorizationMachinesState(settings(task))
        state.pool = seat
        for start in range(rank * SHARE, 100, HOSTS * SHARE):
            state.update(Batch(x[start : start + SHARE], y[start : start + SHARE]))
        found = state.end_pass(None).qualities
        assert [name for _, name, _ in found] == [name for _, name, _ in printed]
        assert np.allclose([value for *_, value in found], [value for *_, value in printed], rtol=1e-5)
        return state

    first, *others = Hosts(HOSTS).run(in_step)
    for other in others:
        other.pool = Alone()
        first.merge(other)
    first.pool = Alone()
    model, expected = first.finalise(), whole.finalise()
    assert model.network == expected.network
    # Sums of float32 in another order; where a gradient is nearly 0, Adam makes much of what is left of it.
    assert np.allclose(model.table, expected.table, rtol=1e-3, atol=2e-4)
    assert model.bias == pytest.approx(expected.bias, rel=1e-4)
    assert model.metrics == pytest.approx(expected.metrics, rel=1e-5)


def test_a_host_without_records_keeps_its_part_of_the_same_machine() -> None:
    """Its rows are those of features that another host has met, and have the bits of one host that learns alone."""
    x, y = records(TASKS[0], 60)
    alone = learned(FactorizationMachinesState(settings(TASKS[0])), x, y, size=10)

    def with_records(seat: Seat, rank: int) -> FactorizationMachinesState:
        state = FactorizationMachinesState(settings(TASKS[0]))
        state.pool = seat
        for start in range(0, 60, 10):
            some = slice(start, start + 10) if rank == 1 else slice(0)
            state.update(Batch(x[some], y[some]))
        state.end_pass(None)
        return state

    empty, full = Hosts(2).run(with_records)
    assert empty.table.used + full.table.used == alone.table.used == FEATURES
    assert abs(empty.table.used - full.table.used) <= 1
    assert empty.bias[0] == full.bias[0]
    empty.merge(full)
    empty.pool = Alone()
    assert_array_equal(empty.finalise().table, alone.finalise().table)
    assert empty.finalise().metrics == alone.finalise().metrics
    assert empty.finalise().network == "sparse"


def parts_of(hosts: int, *, batches: int = 4) -> list[tuple[Arrays, dict[str, Any]]]:
    """Snapshots of hosts that learned together, the last of which had no records."""
    x, y = records(TASKS[1], 200)

    def in_step(seat: Seat, rank: int) -> tuple[Arrays, dict[str, Any]]:
        state = FactorizationMachinesState(settings(TASKS[1]))
        state.pool = seat
        for start in range(0, batches * HOSTS * SHARE, HOSTS * SHARE):
            some = slice(start + rank * SHARE, start + (rank + 1) * SHARE if rank < hosts - 1 else 0)
            state.update(Batch(x[some], y[some]))
        state.end_pass(None)
        return state.snapshot()

    return Hosts(hosts).run(in_step)


def test_parts_move_to_other_numbers_of_hosts() -> None:
    """One host or three go on from the parts of four as from the whole."""
    x, y = records(TASKS[1], 60, seed=1)
    parts = parts_of(4)

    def moved(seat: Seat | Alone) -> FactorizationMachinesState:
        first, *others = (FactorizationMachinesState.restore(settings(TASKS[1]), *part) for part in parts)
        for state in (first, *others):
            state.pool = seat
        for other in others:
            first.merge(other)
        return first

    whole = moved(Alone())
    assert sorted(whole.snapshot()[0]["features"]) == list(range(FEATURES))
    before = {name: array.copy() for name, array in whole.snapshot()[0].items()}
    for arrays, _ in parts:
        at = [before["features"].tolist().index(feature) for feature in arrays["features"]]
        assert_array_equal(before["kept"][at], arrays["kept"])
    learned(whole, x, y, size=15)

    def in_step(seat: Seat, rank: int) -> FactorizationMachinesState:
        state = moved(seat)
        for start in range(rank * 5, 60, 15):
            state.update(Batch(x[start : start + 5], y[start : start + 5]))
        return state

    first, *others = Hosts(3).run(in_step)
    for other in others:
        first.merge(other)
    first.pool = Alone()
    # As above, where sums are of another order.
    assert np.allclose(first.finalise().table, whole.finalise().table, rtol=1e-3, atol=2e-4)


def test_what_was_put_together_can_be_learned_on() -> None:
    """Rows of other hosts lie in files; a table that is to grow has them in memory again."""
    features = 40
    x = csr_array((np.ones(40, np.float32), np.arange(40), np.arange(0, 41, 2)), (20, features))
    y = np.arange(20, dtype=np.float32)
    alone = learned(FactorizationMachinesState(settings(TASKS[1], feature_dim=features)), x[:15], y[:15], size=5)

    def in_step(seat: Seat, rank: int) -> FactorizationMachinesState:
        state = FactorizationMachinesState(settings(TASKS[1], feature_dim=features))
        state.pool = seat
        for start in range(0, 15, 5):
            some = slice(start, start + 5) if rank == 0 else slice(0)
            state.update(Batch(x[some], y[some]))
        return state

    first, other = Hosts(2).run(in_step)
    first.merge(other)
    first.pool = Alone()
    for state in (alone, first):
        state.update(Batch(x[:5], y[:5]))  # rows that there are
        state.update(Batch(x[10:], y[10:]))  # and some that there are not
    assert_array_equal(first.finalise().table, alone.finalise().table)


def test_held_out_records_meet_the_whole_machine() -> None:
    x, y = records(TASKS[1], 60)

    def in_step(seat: Seat | Alone, rank: int) -> float:
        state = FactorizationMachinesState(settings(TASKS[1]))
        state.pool = seat
        for start in range(0, 60, 20):
            some = slice(start, start + 20) if rank == 0 else slice(0)
            state.update(Batch(x[some], y[some]))
        evaluation = state.held_out()
        evaluation.update(Batch(x, y))
        return evaluation.finalise()["mse"]

    assert Hosts(3).run(in_step) == [in_step(Alone(), 0)] * 3
