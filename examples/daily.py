"""Daily: models of data that drift, kept up to date by each day's records alone.

Run it with `.venv/bin/python examples/daily.py`. A planted truth turns a little every day. Four ways to have a model
for tomorrow are compared by their loss on tomorrow's records, and by the records that they read: all days again, the
day alone, the day on top of yesterday's model, and the same with a half-life. The jobs of all days run in this process;
the last one runs as a command, too, and gives the same model. Results are in results/daily/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from commands import console, run
from rich.table import Table

from algorithms import algorithm
from algorithms.artifacts.archives import pack, unpack
from algorithms.artifacts.states import SavedState, artifact_name, write_state
from algorithms.contract import Algorithm, GradientState, Model, State
from algorithms.numerics.threads import few_threads
from recordio.batch import Batch

FOLDER = Path("results/daily")
DAYS, RECORDS = 40, 200
HALF_LIFE = RECORDS
WAYS = {  # with colour and width of their lines
    "all days again": ("0.8", 5),
    "the day alone": ("C1", 1.5),
    "on top of yesterday's model": ("C0", 1.5),
    "with a half-life of a day": ("C2", 1.5),
}

Given = dict[str, object]


def truths(rng: np.random.Generator, turn: float, *shape: int) -> Iterator[np.ndarray[Any, Any]]:
    """What each day's records are made by: of the same size in the mean, some radians away from the day before."""
    truth = rng.normal(size=shape)
    for _ in range(DAYS + 1):
        truth = np.cos(turn) * truth + np.sin(turn) * rng.normal(size=shape)
        yield truth


def clusters(rng: np.random.Generator) -> Iterator[Batch]:
    for centres in truths(rng, 0.06, 8, 6):
        rows = 3 * centres[rng.integers(8, size=RECORDS)] + rng.normal(size=(RECORDS, 6))
        yield Batch(rows.astype(np.float32))


def axes(rng: np.random.Generator) -> Iterator[Batch]:
    for basis in truths(rng, 0.06, 4, 30):
        yield Batch((rng.normal(size=(RECORDS, 4)) @ basis + rng.normal(size=(RECORDS, 30))).astype(np.float32))


def clicks(rng: np.random.Generator) -> Iterator[Batch]:
    for weights in truths(rng, 0.15, 20):
        x = rng.normal(size=(RECORDS, 20))
        clicked = rng.random(RECORDS) < 1 / (1 + np.exp(-x @ weights))
        yield Batch(x.astype(np.float32), clicked.astype(np.float32))


TASKS: dict[str, tuple[Given, Callable[[np.random.Generator], Iterator[Batch]], str]] = {
    "kmeans": ({"k": 8, "feature_dim": 6, "mini_batch_size": 100}, clusters, "squared distance to a centre"),
    "pca": ({"num_components": 4, "feature_dim": 30, "mini_batch_size": 100}, axes, "error of reconstruction"),
    "linear-learner": (
        {
            "predictor_type": "binary_classifier",
            "binary_classifier_model_selection_criteria": "loss_function",
            "feature_dim": 20,
            "mini_batch_size": 20,
            "num_models": 8,
        },
        clicks,
        "log loss",
    ),
}


def settings(kind: Algorithm, given: Given, **more: object) -> Any:
    return kind.hyperparameters.from_strings({name: str(value) for name, value in {**given, **more}.items()})


def job(kind: Algorithm, given: Any, records: list[Batch], earlier: State | None = None) -> State:
    """What a training job does: from nothing, or from an earlier state as the model channel brings it."""
    if earlier is None:
        state = kind.create(given, np.random.default_rng((0, 0)))
    else:
        arrays, values = earlier.snapshot()
        state = kind.restore(given, arrays, values)
        if isinstance(state, GradientState):
            state.renew()
    size = given.mini_batch_size
    for _ in range(given.epochs):
        for day in records:
            for start in range(0, len(day), size):
                state.update(day[start : start + size])
        if isinstance(state, GradientState):
            state.end_pass(None)
    return state


def loss(kind: Algorithm, given: Any, model: Model, records: Batch) -> float:
    evaluation = kind.evaluate(model, given)
    evaluation.update(records)
    scores = {name: kind.metric(name) for name in evaluation.finalise()}
    first = next(name for name, metric in scores.items() if metric is not None and metric.mark == "loss")
    return evaluation.finalise()[first]


def compare(name: str) -> dict[str, list[float]]:
    """Loss on the day after each, for each way; leaves the last two days and the model of the first of them."""
    kind, (given, made, _) = algorithm(name), TASKS[name]
    days = list(made(np.random.default_rng(1)))
    once = settings(kind, given, epochs=1)
    fading = settings(kind, given, epochs=1, half_life_time_size=HALF_LIFE)
    passes = settings(kind, given, epochs=10 if name == "linear-learner" else 1)  # where a day is all there is
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    lasting: State | None = None
    following: State | None = None
    for number, tomorrow in enumerate(days[1:]):
        if number == DAYS - 1 and following is not None:
            leave(name, fading, following, days[number])
        lasting = job(kind, once, [days[number]], lasting)
        following = job(kind, fading, [days[number]], following)
        states = (job(kind, once, days[: number + 1]), job(kind, passes, [days[number]]), lasting, following)
        for way, state in zip(WAYS, states, strict=True):
            found[way].append(loss(kind, once, state.finalise(), tomorrow))
    assert following is not None
    check(name, {**given, "epochs": 1, "half_life_time_size": HALF_LIFE}, following.finalise(), days[-1])
    return found


def leave(name: str, given: Any, state: State, today: Batch) -> None:
    """Yesterday's model as an artifact, and today's records."""
    with TemporaryDirectory() as folder:
        state.finalise().save(Path(folder), "algo-1")
        arrays, values = state.snapshot()
        write_state(Path(folder) / artifact_name(arrays), SavedState(name, given.as_strings(), arrays, values))
        (FOLDER / name / "yesterday").mkdir(parents=True, exist_ok=True)
        pack(Path(folder), FOLDER / name / "yesterday" / "model.tar.gz")
    table = today.features if today.labels is None else np.column_stack([today.labels, today.features])
    np.savetxt(FOLDER / name / "today.csv", table, fmt="%.9g", delimiter=",")


def check(name: str, given: Given, expected: Model, records: Batch) -> None:
    """The last day as a command: yesterday's model, today's records."""
    columns = algorithm(name).label_size
    command = ["train", name, "--model", f"{FOLDER}/{name}/yesterday/model.tar.gz"]
    command += ["--channel", f"train={FOLDER}/{name}/today.csv", "--content-type", f"text/csv;label_size={columns}"]
    command += [word for key, value in given.items() for word in ("-H", f"{key}={value}")]
    run(*command, "--output", f"{FOLDER}/{name}/today")
    with TemporaryDirectory() as folder:
        unpack(FOLDER / name / "today" / "model.tar.gz", Path(folder) / "model")
        found = algorithm(name).load(Path(folder) / "model").predict(records)
    for column, values in expected.predict(records).items():
        assert np.array_equal(found[column], values), f"{name}: another {column} than by the command"


def draw(losses: dict[str, dict[str, list[float]]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, places = pyplot.subplots(2, 2, figsize=(10, 6.4), sharex=True, layout="constrained")
    shown = range(2, DAYS + 2)
    for place, (name, ways) in zip(places.flat, losses.items(), strict=False):
        for (color, width), values in zip(WAYS.values(), ways.values(), strict=True):
            place.plot(shown, values, color=color, linewidth=width)
        place.set_title(f"{name}: {TASKS[name][2]}, the day after")
    cost = places.flat[-1]
    for way, (color, width) in WAYS.items():
        cost.plot(shown, [number_read(way, day) for day in range(DAYS)], color=color, linewidth=width, label=way)
    cost.set_title("records read for it")
    cost.legend(frameon=False)
    for place in places[1]:
        place.set_xlabel("day")
    figure.savefig(FOLDER / "daily.png", dpi=80)


def number_read(way: str, day: int) -> int:
    return RECORDS * (day + 1 if way == "all days again" else 1)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with few_threads(0):
        losses = {name: compare(name) for name in TASKS}
    table = Table(title=f"Mean loss on the day after, days 2 to {DAYS + 1}; {RECORDS} new records a day")
    table.add_column("a model of")
    for name in losses:
        table.add_column(name, justify="right")
    table.add_column("records read", justify="right")
    for way in WAYS:
        read = sum(number_read(way, day) for day in range(DAYS))
        table.add_row(way, *(f"{np.mean(losses[name][way]):.3f}" for name in losses), f"{read:,}")
    console.print(table)
    draw(losses)
    console.print(f"The picture is {FOLDER}/daily.png; {FOLDER}/*/today/ has the models of the last day.")


if __name__ == "__main__":
    main()
