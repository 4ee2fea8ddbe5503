"""Resuming: what a job goes on from, a checkpoint, an earlier model, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from algorithms.artifacts.states import SavedState, read_state
from algorithms.contract import Algorithm, GradientState, Guest, Model, State
from algorithms.hyperparameters import Hyperparameters
from algorithms.spellings import as_string
from entrypoint.checkpoints import Checkpoints, Position
from entrypoint.collective import Collective
from entrypoint.earlier import earlier_artifact
from entrypoint.environment import Environment
from recordio.errors import UserError

SEED = 0  # the same job gives the same model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Difference:
    """A hyperparameter that is another one now than it was."""

    name: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.name} (was {self.before}, now {self.now})"

    @property
    def open(self) -> bool:
        """Whether the records will tell if they fit."""
        return self.name == "feature_dim" and "auto" in (self.before, self.now)


@dataclass(frozen=True)
class Resuming:
    """States of one job, at rest and back."""

    algorithm: Algorithm
    hyperparameters: Hyperparameters
    environment: Environment
    checkpoints: Checkpoints
    collective: Collective

    @property
    def in_step(self) -> bool:
        """Whether hosts learn one model together, rather than each its own until they are merged."""
        return self.algorithm.pooled and self.collective.hosts > 1

    def begin(self) -> tuple[State, Position]:
        """The state to go on from, and where it stands.

        Raises UserError for a checkpoint or a model of another kind of job.
        """
        leader = self.environment.cluster().leader
        moved = self.checkpoints.of_another_cluster(together=self.algorithm.sharded) if leader else []
        if self.algorithm.pooled and not self.algorithm.sharded:
            moved = moved[:1]  # each of them had the whole model
        if parts := int(self.collective.sums(np.array([len(moved)]))[0][0]):
            state, position = self._moved(moved, parts)
        elif saved := self.checkpoints.latest_of_all(self.collective) if self.in_step else self.checkpoints.latest():
            self._check_same_job(saved)
            state, position = self.restored(saved), Position.of(saved)
        else:
            state, position = self._anew(), Position(hosts=self.collective.hosts)
        if isinstance(state, GradientState | Guest) and self.in_step:
            state.pool = self.collective
        return state, position

    def saved(self, state: State, position: Position | None = None) -> SavedState:
        arrays, values = state.snapshot()
        where = {} if position is None else position.as_values()
        return SavedState(self.algorithm.name, self.hyperparameters.as_strings(), arrays, values, where)

    def restored(self, saved: SavedState) -> State:
        return self.algorithm.restored(self.hyperparameters, saved.arrays, saved.values)

    def continued(self, earlier: SavedState | Model | None) -> State:
        """An empty state, or the one to go on from with new records.

        Raises UserError that names all hyperparameters that differ and may not.
        """
        if earlier is None:
            generator = np.random.default_rng((SEED, 0 if self.in_step else self.environment.cluster().rank))
            return self.algorithm.create(self.hyperparameters, generator)
        fixed = [item.name for item in self.algorithm.hyperparameters.declared() if item.fixed]
        if isinstance(earlier, SavedState):
            self._check_algorithm(earlier)
            differing = self._differing(earlier.hyperparameters)
        else:
            differing = self._differing(
                {name: as_string(getattr(earlier, name)) for name in fixed if hasattr(earlier, name)}
            )
        wrong = [one for one in differing if one.name in fixed and not one.open]
        if wrong:
            raise UserError(
                f"The earlier model can't be continued with other values of {'; '.join(map(str, wrong))}. "
                "Give the earlier values, or train a new model without the model channel"
            )
        if isinstance(earlier, SavedState):
            state, what = self.restored(earlier), self.algorithm.carried
        else:
            assert self.algorithm.adopt is not None
            state, what = self.algorithm.adopt(self.hyperparameters, earlier), self.algorithm.alone
        if isinstance(state, GradientState):
            state.renew()
        log.info("Continuing the earlier model with %s. The train channel is read from its first record on.", what)
        if differing:
            log.info("Hyperparameters that changed: %s.", "; ".join(map(str, differing)))
        return state

    def _anew(self) -> State:
        """The state of a job that begins."""
        reads = self.environment.cluster().leader or self.in_step
        earlier = earlier_artifact(self.environment, self.algorithm) if reads else None
        state = self.continued(earlier)
        if earlier is not None:
            self._advise()
        return state

    def _moved(self, paths: list[Path], parts: int) -> tuple[State, Position]:
        """Go on from what the leader found of a cluster of another size; the pass that it was in begins anew.

        Hosts in step had one model: all get it, or part by part what is theirs of it. Of others, the leader goes on
        from all that they had learned.
        """
        state, epochs = None, []
        for number in range(parts):
            saved = self._of_this_job(paths[number]) if paths else None
            if saved is not None and not number:
                before = Position.of(saved).hosts
                log.info("Resuming on %d hosts from checkpoints of %d.", self.collective.hosts, before)
            facts = {} if saved is None else {"epoch": Position.of(saved).epoch, "values": dict(saved.values)}
            arrays = {} if saved is None or not self.in_step else saved.arrays
            (arrays, told), *_ = self.collective.gathered(arrays, facts)
            epochs.append(told["epoch"])
            part = None
            if self.in_step:
                part = self.algorithm.restored(self.hyperparameters, arrays, told["values"])
                part.pool = self.collective  # type: ignore[attr-defined]  # one of gradients, or a guest
            elif saved is not None:
                part = self.restored(saved)
            if state is None:
                state = part
            elif part is not None:
                state.merge(part)
        position = Position(min(epochs), hosts=self.collective.hosts)
        leader = self.environment.cluster().leader
        if self.algorithm.once and not position.epoch:
            if leader:
                log.info("Each record must count once: the first pass begins anew, forgetting its beginning.")
            state = None
        state = state or self._anew()
        self.checkpoints.replace(partial(self.saved, state, position), self.collective, leader=leader)
        return state, position

    def _of_this_job(self, path: Path) -> SavedState:
        saved = read_state(path)
        self._check_same_job(saved)
        return saved

    def _advise(self) -> None:
        """Several passes over new records alone draw a model to them, unless held-out ones judge it."""
        epochs, judging = getattr(self.hyperparameters, "epochs", 1), "validation"
        judged = any(channel.name == judging for channel in self.algorithm.channels)
        if epochs > 1 and judged and judging not in self.environment.channels():
            log.info(
                "%d passes over new records make them count for more than those of the earlier model: give a "
                "validation channel, or epochs=1.",
                epochs,
            )

    def _check_algorithm(self, saved: SavedState) -> None:
        if saved.algorithm != self.algorithm.name:
            raise UserError(f"The earlier model is one of {saved.algorithm}, expected {self.algorithm.name}")

    def _differing(self, before: Mapping[str, str]) -> list[Difference]:
        """Hyperparameters that have another value now; those not told of are passed over."""
        now = self.hyperparameters.as_strings()
        return [Difference(name, before[name], now[name]) for name in now if before.get(name, now[name]) != now[name]]

    def _check_same_job(self, saved: SavedState) -> None:
        """A checkpoint belongs to one job, which may go on for longer."""
        self._check_algorithm(saved)
        differing = [one for one in self._differing(saved.hyperparameters) if one.name != self.algorithm.lasting]
        if differing:
            first = differing[0]
            raise UserError(
                f"The checkpoint was made with {first.name}={first.before}, this job has {first.now}: "
                "resume with the same hyperparameters, or give another checkpoint folder"
            )
