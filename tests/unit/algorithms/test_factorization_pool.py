"""Factorization Machines on several hosts that learn one model in step."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.contract import Alone
from algorithms.factorization_machines.state import FactorizationMachinesState
from recordio.batch import Batch
from tests.unit.algorithms.factorization_tasks import records, settings
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

    def learned(seat: Seat, rank: int) -> FactorizationMachinesState:
        state = FactorizationMachinesState(settings(task))
        state.pool = seat
        for start in range(rank * SHARE, 100, HOSTS * SHARE):
            state.update(Batch(x[start : start + SHARE], y[start : start + SHARE]))
        found = state.end_pass(None).qualities
        assert [name for _, name, _ in found] == [name for _, name, _ in printed]
        assert np.allclose([value for *_, value in found], [value for *_, value in printed], rtol=1e-5)
        return state

    first, *others = Hosts(HOSTS).run(learned)
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


def test_a_host_without_records_learns_the_same_machine() -> None:
    x, y = records(TASKS[0], 60)

    def learned(seat: Seat, rank: int) -> FactorizationMachinesState:
        state = FactorizationMachinesState(settings(TASKS[0]))
        state.pool = seat
        for start in range(0, 60, 10):
            some = slice(start, start + 10) if rank == 1 else slice(0)
            state.update(Batch(x[some], y[some]))
        state.pool = Alone()
        return state

    empty, full = Hosts(2).run(learned)
    features = np.argsort(empty.table.features[: empty.table.used])
    others = np.argsort(full.table.features[: full.table.used])
    assert np.array_equal(empty.table.weights[features], full.table.weights[others])
    assert empty.bias[0] == full.bias[0]
    empty.pool = Seat(Hosts(2), 0)
    empty.merge(full)
    empty.pool = Alone()
    assert empty.finalise().metrics == full.finalise().metrics
