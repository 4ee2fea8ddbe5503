"""The training loop: from channels through a state to a model in /opt/ml/model."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import algorithms
from algorithms.artifacts.states import SavedState, artifact_name, write_state
from algorithms.artifacts.whole import remove_partial, whole_files
from algorithms.contract import Algorithm, Alone, GradientState, Model, Publishing, State
from algorithms.hyperparameters import Hyperparameters
from algorithms.numerics.device import CPU, best
from entrypoint.ahead import batches_ahead
from entrypoint.channels import DataChannel, configured_channels
from entrypoint.checkpoints import EVERY_SECONDS, Checkpoints, Position
from entrypoint.collective import Collective, joined, require_collective
from entrypoint.earlier import earlier_artifact
from entrypoint.environment import Environment
from entrypoint.peers import SILENCE_SECONDS
from entrypoint.reports import Reads, Report, StartUp, peak_mebibytes
from entrypoint.scoring import check_first_record, scored
from entrypoint.steps import in_step
from recordio.batch import Batch
from recordio.errors import UserError

SEED = 0  # the same job gives the same model
PROGRESS_SECONDS = 2.0

log = logging.getLogger(__name__)


def train(environment: Environment, stopping: threading.Event, start_up: StartUp) -> None:
    """Run one job from its config files to its artifact.

    Raises UserError, PlatformError or AlgorithmError. Nothing is in the model folder then, unless it is the test
    channel that has a fault: the model is saved before it is scored. Raises Stopped when a stop came before the hosts
    had met.
    """
    job = Job(environment, stopping, start_up)
    silence = environment.seconds("ONEPASS_SILENCE_SECONDS", SILENCE_SECONDS)
    with joined(job.environment.cluster(), stopping, silence) as collective:
        job.collective = collective
        state, position = job.begin()
        job.learn(state, position)
        learned = Position(position.epoch, position.records + job.reads.records)
        others = collective.others(partial(job.saved, state, learned))
        if others is not None:
            for other in others:
                state.merge(job.restored(other))
            if isinstance(state, GradientState):
                state.pool = Alone()
            if any(position != Position() for position in (learned, *map(Position.of, others))):
                job.finish(state)
            elif stopping.is_set():
                log.info("Stopped before the first record: there is no model to save.")
            else:
                raise UserError("Unable to read data channel 'train'. It holds no records.")
        collective.barrier()  # local clients end all containers when the first one exits: the model must be there
    log.info("Peak memory: %.0f MiB.", peak_mebibytes())
    job.report.timer("totaltime", job.report.started, setuptime=job.setup_milliseconds)


@dataclass
class Job:
    """What is known before the first record is read. Making one is the preflight: all settings are checked."""

    environment: Environment
    stopping: threading.Event
    start_up: StartUp
    algorithm: Algorithm = field(init=False)
    hyperparameters: Hyperparameters = field(init=False)
    report: Report = field(init=False)
    channels: dict[str, DataChannel] = field(init=False)
    checkpoints: Checkpoints = field(init=False)
    collective: Collective = field(default_factory=Collective, init=False)
    reads: Reads = field(default_factory=Reads, init=False)
    setup_milliseconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.algorithm = algorithms.algorithm(self.environment.algorithm)
        cluster = self.environment.cluster()
        self.report = Report(self.algorithm.dimension, cluster.host)
        self.start_up.phase("imports")
        self.hyperparameters = self._hyperparameters()
        require_collective(cluster)
        width = self._stated_width()
        self.channels = configured_channels(
            self.algorithm, self.environment.channels(), self.environment.data, width, self.stopping
        )
        for name, channel in self.channels.items():
            log.info("Reading channel %s as %s, %s mode.", name, channel.content_type, channel.config.mode)
        every = self.environment.seconds("ONEPASS_CHECKPOINT_SECONDS", EVERY_SECONDS)
        self.checkpoints = Checkpoints(self.environment.checkpoints(), cluster.host, every)
        self.environment.model.mkdir(parents=True, exist_ok=True)
        remove_partial(self.environment.model)
        for name in ("validation", "test"):
            check_first_record(self.channels.get(name))
        log.info("Number of GPUs being used: %d", int(self.algorithm.gpu and best() is not CPU))
        self.start_up.phase("preflight")

    @property
    def in_step(self) -> bool:
        """Whether hosts learn one model together, rather than each its own until they are merged."""
        return self.algorithm.pooled and self.collective.hosts > 1

    def begin(self) -> tuple[State, Position]:
        """The state to go on from: a checkpoint's, an earlier model's, or an empty one."""
        since = time.time()
        position = Position()
        saved = self.checkpoints.latest_of_all(self.collective) if self.in_step else self.checkpoints.latest()
        if saved is not None:
            self._check_same_job(saved)
            state, position = self.restored(saved), Position.of(saved)
        else:
            leader = self.environment.cluster().leader
            earlier = earlier_artifact(self.environment, self.algorithm) if leader or self.in_step else None
            state = self._continued(earlier)
        if isinstance(state, GradientState) and self.in_step:
            state.pool = self.collective
        self.report.timer("initialize.time", since)
        self.report.metrics(self.reads.metrics(), since=since, Meta="init_train_data_iter")
        self.setup_milliseconds = (time.time() - self.report.started) * 1000
        return state, position

    def _continued(self, earlier: SavedState | Model | None) -> State:
        if earlier is None:
            generator = np.random.default_rng((SEED, 0 if self.in_step else self.environment.cluster().rank))
            return self.algorithm.create(self.hyperparameters, generator)
        if not isinstance(earlier, SavedState):
            assert self.algorithm.adopt is not None
            self._check_width(str(earlier.feature_dim))
            return self.algorithm.adopt(self.hyperparameters, earlier)
        self._check_same_kind(earlier)
        state = self.restored(earlier)
        if isinstance(state, GradientState):
            state.renew()
        return state

    def learn(self, state: State, position: Position) -> None:
        """Update the state with every batch of every pass, from `position` on."""
        epochs = getattr(self.hyperparameters, "epochs", 1)
        for epoch in range(position.epoch, epochs):
            if isinstance(state, GradientState) and state.done:
                log.info("Early stop condition met. Stopping training.")
                self.report.progress(1)
                return
            since = time.time()
            records = self._learn_pass(state, epoch, position.records)
            if self._stopped() or not self._end_pass(state, epoch):
                return
            position = Position(epoch + 1)
            self.checkpoints.save_when_due(partial(self.saved, state, position), now=True)
            channel = self.channels["train"]
            seconds = time.time() - since
            self.report.data_pipeline(channel.path, epoch, seconds, self.reads.batches_since_reset, channel.size_bytes)
            self.report.timer("update.time", since, **({"epochs": epochs} if epoch == 0 else {}))
            self.report.progress((epoch + 1) / epochs)
            self.reads.reset()
            self.report.metrics(self.reads.metrics(), since=since, epoch=epoch, Meta="training_data_iter")
            self.report.throughput(records, seconds)

    def _learn_pass(self, state: State, epoch: int, learned: int) -> int:
        """One pass; its first `learned` records were learned before an interruption. Returns the records learned."""
        channel = self.channels["train"]
        size: int = self.hyperparameters.mini_batch_size  # type: ignore[attr-defined]
        epochs = getattr(self.hyperparameters, "epochs", 1)
        total_bytes = channel.total_bytes
        interval = getattr(self.hyperparameters, "batch_metrics_publish_interval", 0)
        publishing = state if interval and isinstance(state, Publishing) else None
        seen, number, shown = 0, -1, time.monotonic()
        ahead = batches_ahead(channel.batches(size), self.stopping)

        def new() -> Iterator[Batch]:
            nonlocal seen, number
            for batch in ahead:
                seen, number = seen + len(batch), number + 1
                if seen > learned:
                    yield batch

        def save(*, now: bool) -> None:
            self.checkpoints.save_when_due(partial(self.saved, state, Position(epoch, seen)), now=now)

        batches = new()
        if self.in_step:
            batches = in_step(batches, self.collective, self.stopping, self.checkpoints.due, partial(save, now=True))
        try:
            for batch in batches:
                if not self.reads.batches:
                    self.start_up.phase("first batch")
                state.update(batch)
                if not self.reads.batches:
                    self.start_up.phase("first update")
                    self.start_up.log()
                self.reads.add(len(batch))
                if publishing is not None and len(batch) and number % interval == 0:
                    for name, value in publishing.progress().items():
                        self._quality("train", name, value, epoch, number)
                if not self.in_step:  # a stop may be a spot interruption: the job then goes on from here, elsewhere
                    save(now=self.stopping.is_set())
                if total_bytes and time.monotonic() - shown > PROGRESS_SECONDS:
                    shown = time.monotonic()
                    self.report.progress((epoch + min(1, channel.size_bytes / total_bytes)) / epochs)
        finally:
            ahead.close()
        if seen < learned and not self.stopping.is_set():
            raise UserError(
                f"The checkpoint stands at record {learned} of the train channel, which now has only {seen}: "
                "resume with the data that the job began with, or remove the checkpoint"
            )
        return seen - min(seen, learned)

    def _stopped(self) -> bool:
        """Whether a stop came; hosts in step must agree on it."""
        if self.in_step and self.collective.sums(np.array([self.stopping.is_set()], np.int64))[0].any():
            self.stopping.set()
        return self.stopping.is_set()

    def _end_pass(self, state: State, epoch: int) -> bool:
        """Let a gradient state look at the validation channel. False when a stop came before it had seen all."""
        if not isinstance(state, GradientState):
            return True
        since = time.time()
        validation = None
        if channel := self.channels.get("validation"):
            validation = scored(state.held_out(), channel, self.stopping)
            if self._stopped() if self.in_step else validation is None:
                return False
        ended = state.end_pass(validation)
        for index, values in enumerate(ended.candidates):
            self.report.metrics(values, since=since, epoch=epoch, model=index)
        for name, metric, value in ended.qualities:
            self._quality(name, metric, value, epoch)
        if ended.watched is not None:
            self.report.criterion(*ended.watched, epoch)
        if ended.improved:
            log.info("Epoch %d: Loss improved. Updating best model", epoch)
        return True

    def finish(self, state: State) -> None:
        """Make the model, save it whole, print its scores."""
        since = time.time()
        model = state.finalise()
        self.report.timer("finalize.time", since)
        self._save(model, state)
        # A gradient state judges itself by records that it has not learned, where it can.
        judged = "validation" if isinstance(state, GradientState) and "validation" in self.channels else "train"
        self._scores(judged, model.metrics)
        test = self.channels.get("test")
        if test is None:
            log.info("Test data is not provided.")
        elif self.stopping.is_set():
            log.info("Stopped early: the test channel is not scored.")
        elif evaluation := scored(self.algorithm.evaluate(model, self.hyperparameters), test, self.stopping):
            self._scores("test", evaluation.finalise())
        else:
            log.info("Stopped early: the scores of a part of the test channel are left out.")

    def _scores(self, channel: str, scores: Mapping[str, float]) -> None:
        for name, value in scores.items():
            self.report.score(channel, name, value)
        for name, value in scores.items():
            self._quality(channel, name, value)

    def _quality(
        self, channel: str, name: str, value: float, epoch: int | None = None, batch: int | None = None
    ) -> None:
        metric = self.algorithm.metric(name)
        assert metric is not None, f"{self.algorithm.name} declares no metric {name}"
        self.report.quality(channel, name, metric.mark, value, epoch, batch)

    def _save(self, model: Model, state: State) -> None:
        since = time.time()
        saved = self.saved(state)
        name = artifact_name(saved.arrays)
        with whole_files(self.environment.model) as aside:
            model.save(aside, self.report.host)
            write_state(aside / name, saved)
        for earlier in self.environment.model.glob("state_*"):  # of a job that ran here before: not this model's
            if earlier.name != name:
                earlier.unlink()
        self.report.timer("model.serialize.time", since)

    def saved(self, state: State, position: Position | None = None) -> SavedState:
        arrays, values = state.snapshot()
        where = {} if position is None else position.as_values()
        return SavedState(self.algorithm.name, self.hyperparameters.as_strings(), arrays, values, where)

    def restored(self, saved: SavedState) -> State:
        return self.algorithm.restore(self.hyperparameters, saved.arrays, dict(saved.values))

    def _hyperparameters(self) -> Hyperparameters:
        declared = self.algorithm.hyperparameters
        source = declared.__module__.replace(".", os.sep) + ".py"
        given = self.environment.hyperparameters()
        log.info("Reading default configuration from %s: %s", source, json.dumps(declared.defaults()))
        path = self.environment.config / "hyperparameters.json"
        log.info("Merging with provided configuration from %s: %s", path, json.dumps(given)[:10_000])
        settings = declared.from_strings(given)
        log.info("Final configuration: %s", json.dumps(settings.as_strings()))
        return settings

    def _stated_width(self) -> int | None:
        """Features of each record; None when the data say so."""
        width = getattr(self.hyperparameters, "feature_dim", None)
        return width if isinstance(width, int) else None

    def _check_same_kind(self, saved: SavedState) -> None:
        if saved.algorithm != self.algorithm.name:
            raise UserError(f"The earlier model is one of {saved.algorithm}, expected {self.algorithm.name}")
        self._check_width(saved.hyperparameters.get("feature_dim", "auto"))

    def _check_width(self, before: str) -> None:
        now = self._stated_width()
        if now is not None and before not in ("auto", str(now)):
            raise UserError(
                f"The earlier model was trained with feature_dim {before}, this job has {now}: "
                "a model can only be continued on records of the same width"
            )

    def _check_same_job(self, saved: SavedState) -> None:
        """A checkpoint belongs to one job; only `epochs` may differ, to train on."""
        self._check_same_kind(saved)
        now: dict[str, Any] = self.hyperparameters.as_strings()
        differing = [name for name in now if name != "epochs" and now[name] != saved.hyperparameters.get(name)]
        if differing:
            name = differing[0]
            raise UserError(
                f"The checkpoint was made with {name}={saved.hyperparameters.get(name)}, this job has {now[name]}: "
                "resume with the same hyperparameters, or give another checkpoint folder"
            )
