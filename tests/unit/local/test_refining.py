"""Another model from the same state, with an algorithm made for these tests: it shares a total out in k parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import algorithms
from algorithms.artifacts.archives import unpack
from algorithms.artifacts.states import SavedState, write_state
from algorithms.contract import Algorithm, Arrays
from algorithms.hyperparameters import Hyperparameters, hyper
from local.refining import MOST_POINTS, Curve, drawn, elbow, finalise, picture, spread, table
from recordio.errors import UserError

MOST_PARTS = 12


class Settings(Hyperparameters):
    feature_dim: int = hyper("Width.", ge=1)
    k: int = hyper("Parts.", ge=1, refinable=True)


@dataclass
class Parts:
    """State and model at once."""

    settings: Settings
    total: float
    feature_dim: int = 1
    metrics: dict[str, float] = field(default_factory=dict)

    def finalise(self) -> Parts:
        if self.settings.k > MOST_PARTS:
            raise UserError(f"at most {MOST_PARTS} parts")
        self.metrics["part"] = self.total / self.settings.k
        return self

    def save(self, directory: Path, host: str) -> None:
        (directory / f"model_{host}").write_text(str(self.metrics["part"]))


def restore(settings: Any, arrays: Arrays, _: dict[str, Any]) -> Any:
    return Parts(settings, float(arrays["total"][0]))


def declared(curve: tuple[str, str] | None) -> Algorithm:
    unused: Any = None
    return Algorithm(
        name="parts",
        title="Parts",
        description="",
        dimension="parts",
        hyperparameters=Settings,
        channels=(),
        content_types=(),
        metrics=(),
        create=unused,
        restore=restore,
        load=unused,
        evaluate=unused,
        carried="",
        alone="",
        curve=curve,
    )


@pytest.fixture(params=[("k", "part")])
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(algorithms, "algorithm", lambda _: declared(request.param))
    (tmp_path / "model").mkdir()
    strings = {"k": "4", "feature_dim": "1"}
    write_state(tmp_path / "model" / "state_1", SavedState("parts", strings, {"total": np.array([60.0])}, {}))
    return tmp_path / "model"


def test_a_refined_model_holds_its_state(tmp_path: Path, model: Path) -> None:
    archive = finalise(model, {"k": "5"}, tmp_path / "five")
    unpack(archive, tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "model_algo-1").read_text() == "12.0"
    again = finalise(tmp_path / "five", {"k": "6"}, tmp_path / "six")
    unpack(again, tmp_path / "unpacked-again")
    assert (tmp_path / "unpacked-again" / "model_algo-1").read_text() == "10.0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_dim": "2"}, "'feature_dim' can't change after training: expected one of k"),
        ({"parts": "2"}, "'parts' can't change after training: expected one of k"),
        ({"k": "0"}, "The value '0' is not valid for the 'k' hyperparameter"),
        ({"k": "13"}, "at most 12 parts"),
    ],
)
def test_what_can_not_be_refined_leaves_no_output(
    tmp_path: Path, model: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        finalise(model, changes, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_elbow_goes_to_twice_the_trained_value(model: Path) -> None:
    assert elbow(model) == Curve("k", "part", tuple((k, 60 / k) for k in range(1, 9)))


def test_the_elbow_ends_where_the_state_does_unless_more_was_asked_for(model: Path) -> None:
    strings = {"k": "10", "feature_dim": "1"}
    write_state(model / "state_0", SavedState("parts", strings, {"total": np.array([60.0])}, {}))
    assert elbow(model).points[-1][0] == MOST_PARTS
    with pytest.raises(UserError, match="at most 12 parts"):
        elbow(model, largest=13)


@pytest.mark.parametrize("model", [None], indirect=True)
def test_an_algorithm_without_a_curve_says_so(model: Path) -> None:
    with pytest.raises(UserError, match="parts has no elbow"):
        elbow(model)


@pytest.mark.parametrize("largest", [1, 2, 19, 20, 21, 1000])
def test_values_are_spread_from_one_to_the_largest(largest: int) -> None:
    values = spread(largest)
    assert (values[0], values[-1]) == (1, largest)
    assert values == sorted(set(values))
    assert len(values) == min(largest, MOST_POINTS)


def test_bars_are_in_proportion() -> None:
    lines = table(Curve("k", "msd", ((1, 40.0), (2, 10.0)))).splitlines()
    assert lines[0].split() == ["k", "msd"]
    assert [line.count("█") for line in lines[1:]] == [40, 10]
    assert "█" not in table(Curve("k", "msd", ((1, 0.0),)))


@pytest.mark.parametrize("name", ["k", "num_components"])
def test_numbers_stand_under_their_names(name: str) -> None:
    head, line = table(Curve(name, "msd", ((12, 40.0),))).splitlines()
    assert head.index(name) + len(name) == line.index("12") + 2
    assert head.index("msd") + 3 == line.index("40") + 2


def test_the_picture_shows_every_point() -> None:
    (axes,) = drawn(Curve("k", "msd", ((1, 40.0), (20, 10.0)))).axes
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] >= 40
    assert axes.get_xlim()[1] >= 20


def test_a_picture_of_no_known_format_is_refused(tmp_path: Path) -> None:
    curve = Curve("k", "msd", ((1, 40.0), (2, 10.0)))
    with pytest.raises(UserError, match=r"--output .*elbow\.txt: "):
        picture(curve, tmp_path / "elbow.txt")
    picture(curve, tmp_path / "elbow.svg")
    assert "<svg" in (tmp_path / "elbow.svg").read_text()
