"""Every law holds for every algorithm, and every check catches its wrong twin."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from recordio.errors import UserError
from tests.contract import laws, twins
from tests.contract.cases import CASES, Case
from tests.contract.laws import Subject

Check = Callable[..., None]

# Each check with the twins that it must catch.
LAWS: list[tuple[Check, list[Callable[[Case], Subject]]]] = [
    (laws.any_chunking_gives_the_same_model, [twins.unbatched]),
    (laws.memory_follows_the_settings, [lambda case: twins.twin(case, twins.Hoarding)]),
    (
        laws.resuming_changes_nothing,
        [lambda case: twins.twin(case, twins.Forgetful), lambda case: twins.twin(case, twins.Amnesiac)],
    ),
    (laws.finalising_changes_nothing, [lambda case: twins.twin(case, twins.Finishing)]),
    (
        laws.a_model_can_be_continued,
        [lambda case: twins.twin(case, twins.Amnesiac), lambda case: twins.twin(case, twins.Sated)],
    ),
    (
        laws.an_empty_state_adds_nothing,
        [lambda case: twins.twin(case, twins.Greedy), lambda case: twins.twin(case, twins.Deaf)],
    ),
    (laws.merge_order_hardly_matters, [lambda case: twins.twin(case, twins.Greedy)]),
    (laws.predictions_ignore_batching, [lambda case: twins.twin(case, twins.Crowding)]),
    (laws.hostile_artifacts_are_refused, [twins.trusting]),
    (laws.states_of_another_layout_are_refused, [twins.candid]),
]


def apply(check: Check, subject: Subject, folder: Path) -> None:
    if "folder" in inspect.signature(check).parameters:
        check(subject, folder)
    else:
        check(subject)


def exempt(check: Check, case: Case) -> None:
    if reason := case.exempt.get(check.__name__):
        pytest.skip(reason)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("check", [check for check, _ in LAWS], ids=lambda check: check.__name__)
def test_law_holds(check: Check, case: Case, tmp_path: Path) -> None:
    exempt(check, case)
    apply(check, Subject(case, case.algorithm), tmp_path)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(
    ("check", "wrong"),
    [(check, wrong) for check, subjects in LAWS for wrong in subjects],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_wrong_twin_is_caught(check: Check, wrong: Callable[[Case], Subject], case: Case, tmp_path: Path) -> None:
    exempt(check, case)
    with pytest.raises((AssertionError, UserError)):
        apply(check, wrong(case), tmp_path)
