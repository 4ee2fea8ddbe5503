"""Wrong twins: real algorithms with one fault each. A check that lets its twin pass is worth nothing."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.contract import Algorithm, Arrays, Model, Round, State
from algorithms.hyperparameters import Hyperparameters
from entrypoint.channels import DataChannel
from recordio.batch import Batch
from tests.contract.cases import Case
from tests.contract.laws import Subject


class Through:
    """A state that passes everything on to the real one."""

    def __init__(self, real: State) -> None:
        self.real = real

    def update(self, batch: Batch) -> None:
        self.real.update(batch)

    def merge(self, other: Through) -> None:
        self.real.merge(other.real)

    def finalise(self) -> Model:
        return self.real.finalise()

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        return self.real.snapshot()

    def __getattr__(self, name: str) -> Any:
        """What only some kinds of states have."""
        return getattr(self.real, name)


class Hoarding(Through):
    """Keeps every record."""

    def __init__(self, real: State) -> None:
        super().__init__(real)
        self.kept: list[Batch] = []

    def update(self, batch: Batch) -> None:
        self.kept.append(batch)
        self.real.update(batch)


class Forgetful(Through):
    """Its snapshot lacks the latest batch, or round."""

    def __init__(self, real: State) -> None:
        super().__init__(real)
        self.before = real.snapshot()

    def update(self, batch: Batch) -> None:
        arrays, values = self.real.snapshot()
        self.before = {name: array.copy() for name, array in arrays.items()}, dict(values)
        self.real.update(batch)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return partial(self._rounds, found) if name == "rounds" else found

    def _rounds(self, real: Callable[[], Generator[Round]]) -> Generator[Round]:
        for each in real():
            yield each
            self.before = self.real.snapshot()

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        return self.before


class Amnesiac(Through):
    """Starts again when it is restored."""

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        return {"nothing": np.zeros(1)}, {}


class Sated(Through):
    """Learns nothing more once it was saved."""

    def __init__(self, real: State) -> None:
        super().__init__(real)
        self.full = False

    def update(self, batch: Batch) -> None:
        if not self.full:
            super().update(batch)

    def snapshot(self) -> tuple[Arrays, dict[str, Any]]:
        arrays, values = self.real.snapshot()
        return arrays | {"full": np.ones(1)}, values


class Remembering(Through):
    """Keeps the latest batch, for the faults below."""

    def __init__(self, real: State) -> None:
        super().__init__(real)
        self.latest: Batch | None = None

    def update(self, batch: Batch) -> None:
        self.latest = batch
        self.real.update(batch)


class Finishing(Remembering):
    """Learns while it finalises."""

    def finalise(self) -> Model:
        model = self.real.finalise()
        if self.latest is not None:
            self.real.update(self.latest)
            if hasattr(self.real, "rounds"):
                next(self.real.rounds(), None)
        return model


class Greedy(Remembering):
    """Learns something of its own with every merge: other features, with labels of other records."""

    def merge(self, other: Through) -> None:
        super().merge(other)
        if self.latest is not None:
            labels = self.latest.labels
            wrong = Batch(self.latest.features * 3, None if labels is None else labels[::-1])
            for _ in range(30):
                self.real.update(wrong)


class Deaf(Through):
    """Does not hear what others have seen."""

    def merge(self, other: Through) -> None:
        pass


class Crowded:
    """A model whose replies depend on the company."""

    def __init__(self, real: Model) -> None:
        self.real = real

    def predict(self, batch: Batch) -> Arrays:
        return {name: column + np.float32(len(batch)) for name, column in self.real.predict(batch).items()}


class Crowding(Through):
    def finalise(self) -> Any:
        return Crowded(self.real.finalise())


class Unbatched(DataChannel):
    """Passes on whatever pieces a read gives, the longest first."""

    def batches(self, size: int) -> Iterator[Batch]:
        pieces = [piece for path in sorted(self.path.rglob("*.pbr")) for piece in self._decoded(path, path.name, None)]
        yield from sorted(pieces, key=len, reverse=True)


def twin(case: Case, kind: type[Through]) -> Subject:
    """The case's algorithm with states of a wrong kind."""
    real = case.algorithm

    def create(settings: Any, generator: np.random.Generator) -> Any:
        return kind(real.create(settings, generator))

    def restore(settings: Any, arrays: Arrays, values: dict[str, Any]) -> Any:
        if "nothing" in arrays:
            return kind(real.create(settings, np.random.default_rng(0)))
        restored = kind(real.restore(settings, {name: arrays[name] for name in arrays if name != "full"}, values))
        if isinstance(restored, Sated):
            restored.full = "full" in arrays
        return restored

    def adopt(settings: Any, model: Any) -> Any:
        assert real.adopt is not None
        forgot = kind is Amnesiac
        adopted = kind(real.create(settings, np.random.default_rng(0)) if forgot else real.adopt(settings, model))
        if isinstance(adopted, Sated):
            adopted.full = True
        return adopted

    return Subject(case, replace(real, create=create, restore=restore, adopt=real.adopt and adopt))


def unbatched(case: Case) -> Subject:
    return Subject(case, case.algorithm, Unbatched)


def trusting(case: Case) -> Subject:
    """Believes what an artifact says of its own size."""
    real = case.algorithm

    def load(folder: Path) -> Model:
        content = (folder / case.model_name()).read_bytes()
        struct.unpack_from("<QQQ", content)
        return real.load(folder)

    return Subject(case, replace(real, load=load))


def candid(case: Case) -> Subject:
    """Lets out whatever goes wrong with a state."""
    algorithm = Candid(**{field.name: getattr(case.algorithm, field.name) for field in fields(Algorithm)})
    return Subject(case, algorithm)


class Candid(Algorithm):
    def restored(self, settings: Hyperparameters, arrays: Arrays, values: Mapping[str, Any]) -> State:
        return self.restore(settings, arrays, dict(values))
