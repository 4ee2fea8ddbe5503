"""One pass, many answers: another model from the state in an artifact, with no data read.

Only hyperparameters that their declaration calls refinable may differ from those of the training job.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import algorithms
from algorithms.artifacts.archives import pack
from algorithms.artifacts.states import SavedState, artifact_name, find_state, read_state, write_state
from algorithms.contract import Algorithm, Model
from local.models import ARCHIVE, opened
from local.platform import HOST
from local.storage.service import Place
from recordio.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_POINTS = 20  # of a curve


@dataclass(frozen=True)
class Curve:
    """A training metric against a hyperparameter: (value, metric) pairs, values rising."""

    hyperparameter: str
    metric: str
    points: tuple[tuple[int, float], ...]


def finalise(model: Place, changes: Mapping[str, str], output: Path) -> Path:
    """Write model.tar.gz with the model for other hyperparameters; it keeps the state, too.

    Raises UserError when the artifact holds no state, or for a hyperparameter that can't change any more.
    """
    algorithm, saved = _saved(model)
    changed = replace(saved, hyperparameters={**saved.hyperparameters, **_refinable(algorithm, changes)})
    with tempfile.TemporaryDirectory(prefix="onepass-") as folder:
        _model(algorithm, changed).save(Path(folder), HOST)
        write_state(Path(folder) / artifact_name(changed.arrays), changed)
        output.mkdir(parents=True, exist_ok=True)
        pack(Path(folder), output / ARCHIVE)
    return output / ARCHIVE


def elbow(model: Place, largest: int | None = None) -> Curve:
    """The curve that the algorithm declares, from 1 up to `largest`, or to twice the trained value.

    Raises UserError when the algorithm declares none or the artifact holds no state.
    """
    algorithm, saved = _saved(model)
    if algorithm.curve is None:
        raise UserError(f"{algorithm.name} has no elbow: no hyperparameter of it can change after training")
    name, metric = algorithm.curve
    trained = int(saved.hyperparameters[name])
    points = []
    for value in spread(largest or 2 * trained):
        changed = replace(saved, hyperparameters={**saved.hyperparameters, name: str(value)})
        try:
            points.append((value, float(_model(algorithm, changed).metrics[metric])))
        except UserError:
            if largest is not None or value <= trained:
                raise
            break  # the state does not reach twice as far
    return Curve(name, metric, tuple(points))


def spread(largest: int) -> list[int]:
    """At most `MOST_POINTS` whole numbers from 1 to `largest`, evenly apart."""
    count = min(largest, MOST_POINTS)
    return sorted({1 + round(step * (largest - 1) / max(count - 1, 1)) for step in range(count)})


def table(curve: Curve) -> str:
    """The curve as lines of text with bars."""
    longest = 40
    highest = max(metric for _, metric in curve.points)
    left, right = max(6, len(curve.hyperparameter)), max(12, len(curve.metric))
    lines = [f"{curve.hyperparameter:>{left}}  {curve.metric:>{right}}"]
    for value, metric in curve.points:
        bar = "█" * round(longest * metric / highest) if highest > 0 else ""
        lines.append(f"{value:>{left}}  {metric:>{right}.6g}  {bar}")
    return "\n".join(lines)


def picture(curve: Curve, path: Path) -> None:
    """Draw the curve into a file whose name says the format, such as elbow.png."""
    try:
        drawn(curve).savefig(path)
    except (OSError, ValueError) as error:  # ValueError: no such format
        raise UserError(f"--output {path}: {error}") from error


def drawn(curve: Curve) -> Figure:
    from matplotlib.figure import Figure  # slow to import
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot(xlabel=curve.hyperparameter, ylabel=curve.metric)
    axes.plot(*zip(*curve.points, strict=True), marker="o")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    return figure


def _saved(model: Place) -> tuple[Algorithm, SavedState]:
    with opened(model) as directory:
        path = find_state(directory)
        if path is None:
            raise UserError(f"{model} holds no file state_*: only artifacts of this project can be finalised again")
        saved = read_state(path)
    return algorithms.algorithm(saved.algorithm), saved


def _refinable(algorithm: Algorithm, changes: Mapping[str, str]) -> Mapping[str, str]:
    refinable = [item.name for item in algorithm.hyperparameters.declared() if item.refinable]
    fixed = [name for name in changes if name not in refinable]
    if fixed:
        raise UserError(
            f"'{fixed[0]}' can't change after training: expected one of {', '.join(refinable) or 'none'}"
            f" (train again for another {fixed[0]})"
        )
    return changes


def _model(algorithm: Algorithm, saved: SavedState) -> Model:
    settings = algorithm.hyperparameters.from_strings(saved.hyperparameters)
    return algorithm.restored(settings, saved.arrays, saved.values).finalise()
