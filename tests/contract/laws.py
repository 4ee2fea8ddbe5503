"""The laws of the design as checks of one algorithm. Each raises AssertionError when the law is broken.

`tests/contract/test_laws.py` applies them to every algorithm, and to wrong twins that they must catch.
"""

from __future__ import annotations

import io
import struct
import threading
import tracemalloc
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.artifacts.states import artifact_name, read_state, write_state
from algorithms.contract import Algorithm, Arrays, GradientState, State
from entrypoint.channels import DataChannel
from entrypoint.environment import ChannelConfig
from entrypoint.resuming import Resuming
from recordio import ContentType
from recordio.batch import Batch
from recordio.errors import UserError
from tests.contract.cases import Case, Records, learn
from tests.contract.jobs import RECORDIO, record_bytes, user_error

SEEDS = (1, 2, 3)
ROUNDS = 10  # of a guest's case


@dataclass(frozen=True)
class Subject:
    """An algorithm under check: a real one, or a twin with one fault."""

    case: Case
    algorithm: Algorithm
    channel: type[DataChannel] = DataChannel

    def settings(self, **changed: str) -> Any:
        return self.algorithm.hyperparameters.from_strings(self.case.hyperparameters | changed)

    def empty(self, seed: int = 0) -> State:
        return self.algorithm.create(self.settings(), np.random.default_rng(seed))

    def batches(self, count: int, seed: int = 1) -> list[Batch]:
        features, labels = self.case.records(count, seed)
        size = self.case.batch_records
        whole = Batch(features, labels)
        return [whole[start : start + size] for start in range(0, count, size)]

    def learned(self, batches: list[Batch], state: State | None = None) -> State:
        state = self.empty() if state is None else state
        learn(state, batches)
        return state

    def cut(self, batches: list[Batch], stop: int) -> State:
        """What has learned a part: that many batches, or of a guest that many rounds."""
        state: Any = self.empty()
        if not self.case.guest:
            return self.learned(batches[:stop], state)
        for batch in batches:
            state.update(batch)
        with closing(state.rounds()) as rounds:
            assert len(list(islice(rounds, stop))) == stop
        return state

    def rest(self, batches: list[Batch], stop: int, state: Any, *, anew: bool) -> State:
        """The other part; `anew` when the state was restored."""
        if not self.case.guest:
            return self.learned(batches[stop:], state)
        for batch in batches if anew else ():
            state.update(batch)
        numbers = [each.number for each in state.rounds()]
        assert numbers == list(range(stop + 1, ROUNDS + 1)), f"rounds {numbers} after {stop} of {ROUNDS}"
        return state

    def restored(self, state: State) -> State:
        """Through a state file, as checkpoints and artifacts go."""
        arrays, values = state.snapshot()
        arrays = {name: array.copy() for name, array in arrays.items()}
        return self.algorithm.restore(self.settings(), arrays, dict(values))


def model_bytes(state: State, folder: Path) -> dict[str, bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    state.finalise().save(folder, "algo-1")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def any_chunking_gives_the_same_model(subject: Subject, folder: Path) -> None:
    """Law 1: the same stream, in one file or many, in any order of the file system and cut anywhere."""
    content = record_bytes(subject.case.records(1000, 1))
    third = len(record_bytes(subject.case.records(1, 1))) * 334  # a whole number of records
    layouts = [
        {"all.pbr": content},
        {"b/2.pbr": content[third:], "a.pbr": content[:third], "_skipped": b"no data", ".hidden": b"no data"},
    ]
    models = []
    for number, layout in enumerate(layouts):
        for longest_read in (1 << 20, 97):
            root = folder / str(number) / str(longest_read)
            for name, part in layout.items():
                path = root / "train" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(part)
            channel = subject.channel(
                ChannelConfig("train"),
                root,
                ContentType.parse(RECORDIO),
                subject.algorithm,
                subject.case.width,
                threading.Event(),
            )
            with short_reads(longest_read):
                state = subject.learned(list(channel.batches(subject.case.batch_records)))
            models.append(model_bytes(state, root / "model"))
    assert all(model == models[0] for model in models[1:]), "the model depends on how the stream is cut"


def memory_follows_the_settings(subject: Subject) -> None:
    """Law 2: once sketches are full, ten times the records leave no more memory behind."""
    batches = subject.batches(3000)
    size = batches[0].features.nbytes * len(batches)

    def ten_times(state: State) -> int:
        for _ in range(10):
            for batch in batches:
                state.update(Batch(batch.features.copy(), None if batch.labels is None else batch.labels.copy()))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        state = subject.empty()
        before = ten_times(state)
        growth = ten_times(state) - before
    finally:
        tracemalloc.stop()
    # A state that kept its records would hold ten times `size` more; caches of a few batches are fine.
    assert growth < size, f"{growth} bytes more after ten times the records"


def resuming_changes_nothing(subject: Subject, folder: Path) -> None:
    """Law 3: stopped after any batch and restored from its snapshot, a state ends as the same model, to the bit."""
    batches = subject.batches(1500)
    expected = model_bytes(subject.learned(batches), folder / "whole")
    for stop in (0, 1, 3, ROUNDS if subject.case.guest else len(batches)):
        state = subject.rest(batches, stop, subject.restored(subject.cut(batches, stop)), anew=True)
        assert model_bytes(state, folder / str(stop)) == expected, f"another model when stopped after {stop} batches"


def finalising_changes_nothing(subject: Subject, folder: Path) -> None:
    """`finalise` reads the state: models on the way don't change the last one."""
    batches = subject.batches(1500)
    expected = model_bytes(subject.learned(batches), folder / "once")
    state = subject.cut(batches, 2)
    state.finalise()
    assert model_bytes(subject.rest(batches, 2, state, anew=False), folder / "twice") == expected


def a_model_can_be_continued(subject: Subject, folder: Path) -> None:
    """Law 4: A, then B in a job that continues A's artifact, is as good on other records as A and B in one job.

    B holds a tenth of all records, from one half of the space, and then A does: neither is enough alone.
    """
    if subject.case.guest:
        rounds_can_be_continued(subject, subject.batches(6000), folder)
        return
    nothing: Any = None
    settings, size = subject.settings(), int(subject.case.hyperparameters["mini_batch_size"])
    resuming = Resuming(subject.algorithm, settings, nothing, nothing, nothing)
    for seed in SEEDS:
        features, labels = subject.case.records(8000, seed)

        def job(rows: NDArray[np.int64], state: State, records: Records = (features, labels)) -> State:
            x, y = records
            parts = [rows[start : start + size] for start in range(0, len(rows), size)]
            subject.learned([Batch(x[part], None if y is None else y[part]) for part in parts], state)
            if isinstance(state, GradientState):
                state.end_pass(None)
            return state

        train, held = np.arange(6000), Batch(features[6000:], None if labels is None else labels[6000:])
        side = np.flatnonzero(features[train, 0] > np.median(features[train, 0]))[:600]
        rest = np.setdiff1d(train, side)
        for name, (earlier_rows, second) in {"small": (rest, side), "large": (side, rest)}.items():
            first = earlier_rows[: len(earlier_rows) // size * size]  # no short batch in between
            earlier = resuming.saved(job(first, subject.empty()))
            path = folder / artifact_name(earlier.arrays)
            write_state(path, earlier)
            continued = job(second, resuming.continued(read_state(path)))
            whole = job(np.concatenate((first, second)), subject.empty())
            ratio = loss(subject, continued, held) / loss(subject, whole, held)
            assert ratio <= 1.01, (seed, name, ratio)  # candidates are judged by other records: another one may win


def rounds_can_be_continued(subject: Subject, batches: list[Batch], folder: Path) -> None:
    """A guest's rounds, and more of them from its artifact, are those of one job on the same records."""
    adopt, settings = subject.algorithm.adopt, subject.settings(**subject.case.lasting(ROUNDS // 2))
    assert adopt is not None
    state = subject.algorithm.create(settings, np.random.default_rng(0))
    expected = model_bytes(subject.learned(batches), folder / "whole")
    model_bytes(subject.learned(batches, state), folder / "half")
    continued = adopt(settings, subject.algorithm.load(folder / "half"))
    found = model_bytes(subject.learned(batches, continued), folder / "continued")
    assert found[subject.case.model_name()] == expected[subject.case.model_name()]


def an_empty_state_adds_nothing(subject: Subject, folder: Path) -> None:
    """Law 5: merged with an empty state, from either side, a state gives the same model."""
    batches = subject.batches(1500)
    expected = model_bytes(subject.learned(batches), folder / "alone")
    left = subject.learned(batches)
    left.merge(subject.empty(1))
    assert model_bytes(left, folder / "left") == expected, "merging an empty state changed the model"
    right = subject.empty()
    right.merge(subject.learned(batches))
    close(subject, right, subject.learned(batches), 1e-6)
    twice = subject.empty()
    twice.merge(subject.empty(1))
    user_error(twice.finalise)


def merge_order_hardly_matters(subject: Subject) -> None:
    """Law 5: shards learned apart and merged in any order are as good as one pass."""
    batches = subject.batches(6000)
    shards = [batches[start::3] for start in range(3)]
    whole = subject.learned(batches)
    for order in ((0, 1, 2), (2, 0, 1)):
        states = [subject.learned(shards[index], subject.empty(index)) for index in order]
        states[0].merge(states[1])
        states[0].merge(states[2])
        close(subject, states[0], whole, subject.case.merge_tolerance)


def predictions_ignore_batching(subject: Subject) -> None:
    """Law 6: a record gets the same reply alone, and in any company."""
    model = subject.learned(subject.batches(1500)).finalise()
    features, labels = subject.case.records(257, 2)
    whole = model.predict(Batch(features, labels))
    for size in (1, 2, 7, 64):
        parts: list[Arrays] = [
            model.predict(Batch(features, labels)[start : start + size]) for start in range(0, 257, size)
        ]
        for name, column in whole.items():
            joined = np.concatenate([part[name] for part in parts])
            assert np.array_equal(joined, column), f"{name} depends on how many records are asked for at once"


def hostile_artifacts_are_refused(subject: Subject, folder: Path) -> None:
    """Law 7: a damaged artifact gives a UserError, never a crash, and never a model."""
    files = model_bytes(subject.learned(subject.batches(900)), folder / "good")
    name = subject.case.model_name()
    content = files[name]
    rng = np.random.default_rng(0)
    damaged = [b"", content[:7], content[:-1], content + b"\0", b"\xff" * len(content), rng.bytes(200)]
    for number, wrong in enumerate(damaged):
        place = folder / f"damaged-{number}"
        place.mkdir()
        (place / name).write_bytes(wrong)
        user_error(partial(subject.algorithm.load, place))
    for offset in range(0, 48, 4):
        place = folder / f"changed-{offset}"
        place.mkdir()
        (place / name).write_bytes(content[:offset] + struct.pack("<Q", 2**62) + content[offset + 8 :])
        try:
            model = subject.algorithm.load(place)
        except UserError:
            continue
        # Some fields carry no meaning, such as a device number: what still reads as a model must behave as one.
        assert model.feature_dim == subject.case.width
    (folder / "none").mkdir()
    user_error(partial(subject.algorithm.load, folder / "none"))


def states_of_another_layout_are_refused(subject: Subject) -> None:
    """Law 7, of states: one that lacks something gives a UserError, or is whole without it."""
    arrays, values = subject.learned(subject.batches(900)).snapshot()
    refused = 0
    for name in (*arrays, *values):
        lacking = [{key: item for key, item in items.items() if key != name} for items in (arrays, values)]
        try:
            subject.algorithm.restored(subject.settings(), *lacking)
        except UserError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"without {name}: {type(error).__name__}: {error}") from error
    assert refused


def loss(subject: Subject, state: State, held: Batch) -> float:
    """The first metric declared that is better when smaller, of held-out records."""
    evaluation = subject.algorithm.evaluate(state.finalise(), subject.settings())
    evaluation.update(held)
    scores = {name: (subject.algorithm.metric(name), value) for name, value in evaluation.finalise().items()}
    return next(value for metric, value in scores.values() if metric is not None and metric.mark == "loss")


def close(subject: Subject, left: State, right: State, tolerance: float) -> None:
    """Two states as good as each other by every training metric."""
    one, other = left.finalise().metrics, right.finalise().metrics
    assert one.keys() == other.keys() and one
    for name, value in one.items():
        assert abs(value - other[name]) <= tolerance * max(abs(value), abs(other[name])), (name, value, other[name])


class short_reads:
    """Files opened by the channels give at most `longest` bytes a read meanwhile."""

    def __init__(self, longest: int) -> None:
        self._longest = longest

    def __enter__(self) -> None:
        import entrypoint.channels as module

        self._original = module.opened

        def opened(path: Path) -> Any:
            return ShortReads(io.BytesIO(path.read_bytes()), self._longest)

        module.opened = opened

    def __exit__(self, *_: object) -> None:
        import entrypoint.channels as module

        module.opened = self._original


class ShortReads:
    def __init__(self, file: io.BytesIO, longest: int) -> None:
        self._file, self._longest = file, longest

    def read(self, size: int = -1) -> bytes:
        return self._file.read(self._longest if size < 0 else min(size, self._longest))

    def readinto(self, room: memoryview) -> int:
        return self._file.readinto(room[: self._longest])

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> ShortReads:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
