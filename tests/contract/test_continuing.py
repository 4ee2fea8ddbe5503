"""Going on with other hyperparameters than the earlier model had, and with records in another form."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from algorithms.artifacts.states import SavedState
from algorithms.contract import GradientState, State
from algorithms.forms import Choice, Flag, Form, Many, Number
from algorithms.hyperparameters import Declared
from entrypoint.resuming import Resuming
from recordio.batch import Batch
from recordio.errors import UserError
from tests.contract.cases import CASES, Case
from tests.contract.jobs import user_error
from tests.contract.laws import Subject, loss

SIZE = 100
# Of a guest, whose further rounds are the engine's, tests/unit/algorithms/test_xgboost_*.py tell.
STATES = [case for case in CASES if not case.guest]


def resuming(case: Case, **changed: str) -> Resuming:
    nothing: Any = None
    settings = case.algorithm.hyperparameters.from_strings(case.hyperparameters | changed)
    return Resuming(case.algorithm, settings, nothing, nothing, nothing)


def learned(case: Case, state: State, seed: int, *, sparse: bool = False, blank: int = 0) -> State:
    features, labels = case.records(6 * SIZE, seed)
    features[:, :blank] = 0
    for start in range(0, len(features), SIZE):
        rows = slice(start, start + SIZE)
        some = csr_array(features[rows]) if sparse else features[rows]
        state.update(Batch(some, None if labels is None else labels[rows]))
    if isinstance(state, GradientState):
        state.end_pass(None)
    return state


def earlier(case: Case, **form: Any) -> SavedState:
    job = resuming(case)
    return job.saved(learned(case, case.algorithm.create(job.hyperparameters, np.random.default_rng(0)), 1, **form))


def other_values(item: Declared, now: str) -> list[str]:
    def values(form: Form) -> list[str]:
        match form:
            case Choice(choices):
                return [str(choice) for choice in choices]
            case Flag():
                return ["true", "false"]
            case Number(integer=True):
                return ["1", "3", "7", "40"]
            case Number():
                return ["0.3", "1.5"]
            case Many(of):
                return values(of)
        return []

    return [value for form in item.forms for value in values(form) if value != now]


@pytest.mark.parametrize("case", STATES, ids=str)
def test_every_hyperparameter_may_change_or_is_refused(case: Case) -> None:
    """Those declared as fixed are refused by name; with other values of any other one a model is made."""
    saved = earlier(case)
    fixed = set()
    for item in case.algorithm.hyperparameters.declared():
        before = saved.hyperparameters[item.name]
        for value in other_values(item, before):
            try:
                job = resuming(case, **{item.name: value})
            except UserError:
                continue  # not together with the other hyperparameters
            if item.fixed and (item.name, value) != ("feature_dim", "auto"):
                expected = f"other values of {item.name} (was {before}, now {value}). Give"
                assert expected in user_error(partial(job.continued, saved))
                fixed.add(item.name)
            else:
                learned(case, job.continued(saved), 2).finalise()
    assert "feature_dim" in fixed


SPARSE = [case for case in STATES if case.algorithm.sparse]
LABELLED = [case for case in STATES if case.records(1, 1)[1] is not None]


@pytest.mark.parametrize("case", SPARSE, ids=str)
def test_records_may_come_in_another_form(case: Case) -> None:
    """Dense records before, sparse ones now, and the other way round: as good as records of one form."""
    job, held = resuming(case), Batch(*case.records(3000, 3))
    for before, now in ((False, True), (True, False)):
        losses = []
        for form in (before, now):
            saved = earlier(case, sparse=before)
            state = learned(case, job.continued(saved), 2, sparse=form)
            losses.append(loss(Subject(case, case.algorithm), state, held))
        assert losses[1] <= 1.01 * losses[0], (before, losses)


@pytest.mark.parametrize("case", LABELLED, ids=str)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_features_may_come_up_later(case: Case, sparse: bool) -> None:
    """Half of the features are 0 in all records of the earlier model; those that follow make up for it."""
    job, held, subject = resuming(case), Batch(*case.records(3000, 3)), Subject(case, case.algorithm)
    saved = earlier(case, sparse=sparse, blank=case.width // 2)
    state, whole = job.continued(saved), subject.empty()
    for seed in range(2, 8):
        learned(case, state, seed, sparse=sparse)
        learned(case, whole, seed, sparse=sparse)
    found, best = (loss(subject, one, held) for one in (state, whole))
    assert found <= 1.05 * best


@pytest.mark.parametrize("case", LABELLED, ids=str)
def test_labels_of_a_new_class_are_refused(case: Case) -> None:
    features, _ = case.records(SIZE, 2)
    state = resuming(case).continued(earlier(case))
    assert "label" in user_error(lambda: state.update(Batch(features, np.full(SIZE, 2, np.float32))))
