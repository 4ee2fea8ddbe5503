"""Early stopping against the published log of a job."""

import math

import pytest

from algorithms.numerics.stopping import Stopping


def passes(values: list[float], patience: int = 3, tolerance: float = 0.001) -> tuple[list[int], int]:
    """Which passes were improvements, and how many were made."""
    stopping, improved = Stopping(patience, tolerance), []
    for number, value in enumerate(values):
        if stopping.improved(value):
            improved.append(number)
        if stopping.done:
            return improved, number + 1
    return improved, len(values)


def test_gains_below_the_tolerance_move_what_is_compared() -> None:
    """The job of 2018: from pass 5, pass 7 is 0.15% better, yet counts as none; the stop comes at the fourth."""
    values = [0.45, 0.41, 0.395, 0.388, 0.3855, 0.384641, 0.384261, 0.384056, 0.383945, 0.383888, 0.3838]
    assert passes(values) == ([0, 1, 2, 3, 4, 5], 10)


def test_an_improvement_begins_the_count_anew() -> None:
    assert passes([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.1]) == ([0, 4], 9)


def test_the_gain_is_relative() -> None:
    assert passes([1000, 999.5, 998], patience=1)[0] == [0, 2]
    assert passes([1e-3, 0.9995e-3, 0.998e-3], patience=1)[0] == [0, 2]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_not_finite_is_never_better(wrong: float) -> None:
    assert passes([wrong, 1, wrong, 0.5]) == ([1, 3], 4)
    assert passes([1, wrong, wrong, wrong, wrong]) == ([0], 5)


def test_from_zero_there_is_no_gain() -> None:
    assert passes([0, 0, 0, 0, 0]) == ([0], 5)
