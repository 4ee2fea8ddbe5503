"""The report of a choice: every candidate of a model, what it was judged by, and why the winner won.

Read from `selection` in the artifact's model.json, whichever algorithm wrote it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.models import LARGEST_DESCRIPTION_BYTES, opened
from local.storage.service import Place
from recordio.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 16  # of a curve in a terminal


@dataclass(frozen=True)
class Candidate:
    """One model that was trained.

    number     its place among the candidates, from 0
    score      by the criterion; None where it has no meaning, as of a model that diverged
    threshold  None where there is none
    curves     the objective after each pass, by channel
    """

    number: int
    hyperparameters: Mapping[str, object]
    score: float | None
    loss: float | None
    threshold: float | None
    curves: Mapping[str, tuple[float | None, ...]]

    @property
    def curve(self) -> tuple[float | None, ...]:
        """That of the channel that it was judged on."""
        return next(iter(self.curves.values()), ())


@dataclass(frozen=True)
class Selection:
    """candidates   the winner first, then from best to worst"""

    algorithm: str
    criterion: str
    objective: str
    channel: str
    winner: int
    reason: str
    candidates: tuple[Candidate, ...]

    @property
    def varied(self) -> list[str]:
        """Hyperparameters in which candidates differ."""
        names = dict.fromkeys(name for one in self.candidates for name in one.hyperparameters)
        first = self.candidates[0].hyperparameters
        return [
            name for name in names if any(one.hyperparameters.get(name) != first.get(name) for one in self.candidates)
        ]

    @property
    def shared(self) -> dict[str, object]:
        """Those that all have in common."""
        varied = set(self.varied)
        return {name: value for name, value in self.candidates[0].hyperparameters.items() if name not in varied}

    @property
    def sentence(self) -> str:
        return f"Candidate {self.winner} won on the {self.channel} channel: {self.reason}."


def selection(model: Place) -> Selection:
    """Raises UserError when the artifact tells of no candidates."""
    with opened(model) as directory:
        try:
            with (directory / "model.json").open("rb") as file:
                facts = json.loads(file.read(LARGEST_DESCRIPTION_BYTES))
        except FileNotFoundError:
            raise UserError(
                f"{model} has no model.json: of models made elsewhere, only those of some algorithms have a report, if "
                "--algorithm names theirs"
            ) from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{model}: model.json is damaged ({error})") from error
    if not isinstance(facts, dict) or not facts.get("selection"):
        raise UserError(f"{model} was not chosen among candidates: its algorithm trains one model")
    try:
        return _selection(facts["selection"], str(facts.get("algorithm", "")))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{model}: model.json is damaged ({type(error).__name__}: {error})") from error


def facts(found: Selection) -> dict[str, Any]:
    """As values that JSON has; candidates from best to worst."""
    return {
        "algorithm": found.algorithm,
        "criterion": found.criterion,
        "objective": found.objective,
        "channel": found.channel,
        "winner": found.winner,
        "reason": found.reason,
        "candidates": [
            {
                "number": one.number,
                "hyperparameters": dict(one.hyperparameters),
                "score": one.score,
                "loss": one.loss,
                "threshold": one.threshold,
                "curves": {channel: list(values) for channel, values in one.curves.items()},
            }
            for one in found.candidates
        ],
    }


def header(found: Selection) -> list[str]:
    """Names of the columns of `rows`."""
    judged = [] if found.criterion == found.objective else [found.criterion]
    threshold = ["threshold"] if any(one.threshold is not None for one in found.candidates) else []
    return ["candidate", *found.varied, *judged, found.objective, *threshold]


def rows(found: Selection) -> list[list[str]]:
    """A row of texts for each candidate, under `header`."""
    names = header(found)
    return [
        [
            f"{one.number}",
            *(text_of(one.hyperparameters.get(name)) for name in found.varied),
            *([text_of(one.score)] if found.criterion in names and found.criterion != found.objective else []),
            text_of(one.loss),
            *([text_of(one.threshold)] if "threshold" in names else []),
        ]
        for one in found.candidates
    ]


def show(found: Selection) -> None:
    """Print the table."""
    from rich.table import Table
    from rich.text import Text

    screen = console()
    names = header(found)
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(Text(name), justify="right", overflow="fold")
    table.add_column(Text(f"{found.channel} curve"), no_wrap=True)
    for row, one in zip(rows(found), found.candidates, strict=True):
        style = "bold green" if one.number == found.winner else ""
        table.add_row(*(Text(cell) for cell in row), Text(bars(one.curve)), style=style)
    screen.print(Text(found.sentence, "bold"))
    if found.shared:
        screen.print(Text("All have " + ", ".join(f"{name} {text_of(value)}" for name, value in found.shared.items())))
    screen.print()
    screen.print(table)


def console() -> Console:
    """Lines are cut to a terminal's width, and to no width elsewhere."""
    from rich.console import Console

    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=10_000)


def bars(values: tuple[float | None, ...]) -> str:
    """A curve in a line of text, from its own lowest to its highest value; of a long one, evenly spaced points."""
    count = min(len(values), MOST_BARS)
    some = [values[step * (len(values) - 1) // max(count - 1, 1)] for step in range(count)]
    known = [value for value in some if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = (high - low) or 1.0
    return "".join("·" if value is None else BARS[round((value - low) / span * (len(BARS) - 1))] for value in some)


def _selection(given: Mapping[str, Any], algorithm: str) -> Selection:
    criterion, objective = str(given["criterion"]), str(given["objective"])
    found = [_candidate(number, one) for number, one in enumerate(given["candidates"])]
    winner = found[given["winner"]]
    sign = 1 if criterion == objective else -1  # losses are better when smaller

    def rank(one: Candidate) -> tuple[float, float, int]:
        score = math.inf if one.score is None else sign * one.score
        return score, math.inf if one.loss is None else one.loss, one.number

    others = sorted((one for one in found if one is not winner), key=rank)
    channel, reason = str(given["channel"]), str(given["reason"])
    return Selection(algorithm, criterion, objective, channel, winner.number, reason, (winner, *others))


def _candidate(number: int, given: Mapping[str, Any]) -> Candidate:
    curves = {str(name): tuple(map(_number, values)) for name, values in given["curves"].items()}
    hyperparameters = {str(name): value for name, value in given["hyperparameters"].items()}
    score, loss, threshold = (_number(given.get(name)) for name in ("score", "loss", "threshold"))
    return Candidate(number, hyperparameters, score, loss, threshold, curves)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    found = float(value)
    return found if math.isfinite(found) else None


def text_of(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
