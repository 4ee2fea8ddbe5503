"""The training loop: from channels through a state to a model in /opt/ml/model."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

import algorithms
from algorithms.artifacts.states import SavedState, artifact_name, write_state
from algorithms.artifacts.whole import whole_artifact
from algorithms.contract import Agreeing, Algorithm, Alone, Evaluation, GradientState, Guest, Model, Publishing, State
from algorithms.hyperparameters import Hyperparameters
from algorithms.numerics.device import CPU, best
from entrypoint.ahead import batches_ahead
from entrypoint.channels import DataChannel, configured_channels
from entrypoint.checkpoints import EVERY_SECONDS, Checkpoints, Position
from entrypoint.collective import Collective, joined, require_collective
from entrypoint.environment import Environment
from entrypoint.folders import Folder
from entrypoint.peers import SILENCE_SECONDS
from entrypoint.reports import PROGRESS_SECONDS, Reads, Report, StartUp, peak_mebibytes
from entrypoint.resuming import Resuming
from entrypoint.rounds import learn_in_rounds
from entrypoint.scoring import check_first_record, scored
from entrypoint.steps import in_step
from recordio.batch import Batch
from recordio.errors import UserError

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
        job.join(collective)
        state, position = job.begin()
        if isinstance(state, Guest):
            learned = learn_in_rounds(job, state, position)
            others: Iterable[SavedState] | None = () if job.environment.cluster().leader else None
        else:
            job.learn(state, position)
            learned = replace(position, records=position.records + job.reads.records)
            others = collective.others(partial(job.resuming.saved, state, learned))
        if others is not None:
            begun = learned.begun
            for other in others:
                begun |= Position.of(other).begun
                state.merge(job.resuming.restored(other))
            if isinstance(state, GradientState | Guest):
                state.pool = Alone()
            if begun:
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
    collective: Collective = field(init=False)
    resuming: Resuming = field(init=False)
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
        weighted = self.algorithm.weighted is not None and self.algorithm.weighted(self.hyperparameters)
        self.channels = configured_channels(
            self.algorithm, self.environment.channels(), self.environment.data, width, self.stopping, weighted
        )
        for name, channel in self.channels.items():
            log.info("Reading channel %s as %s, %s mode.", name, channel.content_type, channel.config.mode)
        every = self.environment.seconds("ONEPASS_CHECKPOINT_SECONDS", EVERY_SECONDS)
        self.checkpoints = Checkpoints(self.environment.checkpoints(), cluster.host, every, len(cluster.hosts))
        Folder("model", self.environment.model).prepare(writes=cluster.leader)
        for name in ("validation", "test"):
            check_first_record(self.channels.get(name))
        log.info("Number of GPUs being used: %d", int(self.algorithm.gpu and best() is not CPU))
        self.start_up.phase("preflight")

    def join(self, collective: Collective) -> None:
        """Learn together with other hosts."""
        self.collective = collective
        self.resuming = Resuming(self.algorithm, self.hyperparameters, self.environment, self.checkpoints, collective)

    def begin(self) -> tuple[State, Position]:
        """The state to go on from, and where it stands."""
        since = time.time()
        state, position = self.resuming.begin()
        self.report.timer("initialize.time", since)
        self.report.metrics(self.reads.metrics(), since=since, Meta="init_train_data_iter")
        self.setup_milliseconds = (time.time() - self.report.started) * 1000
        return state, position

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
            position = Position(epoch + 1, hosts=self.collective.hosts)
            self.checkpoints.save_when_due(partial(self.resuming.saved, state, position), now=True)
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

        def agree() -> None:
            if self.resuming.in_step and isinstance(state, Agreeing):
                state.agree()

        def save(*, now: bool) -> None:
            agree()
            records = max(seen, learned)  # it may be due before the first batch
            position = Position(epoch, records, self.collective.hosts)
            self.checkpoints.save_when_due(partial(self.resuming.saved, state, position), now=now)

        batches = new()
        if self.resuming.in_step:
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
                if not self.resuming.in_step:
                    # A stop may be a spot interruption: the job then goes on from here, elsewhere.
                    save(now=self.stopping.is_set())
                if total_bytes and time.monotonic() - shown > PROGRESS_SECONDS:
                    shown = time.monotonic()
                    self.report.progress((epoch + min(1, channel.size_bytes / total_bytes)) / epochs)
        finally:
            ahead.close()
        agree()
        if seen < learned and not self.stopping.is_set():
            raise UserError(
                f"The checkpoint stands at record {learned} of the train channel, which now has only {seen}: "
                "resume with the data that the job began with, or remove the checkpoint"
            )
        return seen - min(seen, learned)

    def _stopped(self) -> bool:
        """Whether a stop came; hosts in step must agree on it."""
        if self.resuming.in_step and self.collective.sums(np.array([self.stopping.is_set()], np.int64))[0].any():
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
            if self._stopped() if self.resuming.in_step else validation is None:
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
        self.save(model, state)
        # A gradient state judges itself by records that it has not learned, where it can.
        judges = isinstance(state, GradientState | Guest) and "validation" in self.channels
        judged = "validation" if judges else "train"
        self._scores(judged, model.metrics)
        test = self.channels.get("test")
        if test is None:
            log.info("Test data is not provided.")
        elif self.stopping.is_set():
            log.info("Stopped early: the test channel is not scored.")
        elif evaluation := scored(self._evaluation(model), test, self.stopping):
            self._scores("test", evaluation.finalise())
        else:
            log.info("Stopped early: the scores of a part of the test channel are left out.")

    def _evaluation(self, model: Model) -> Evaluation:
        assert self.algorithm.evaluate is not None, f"{self.algorithm.name} has a test channel"
        return self.algorithm.evaluate(model, self.hyperparameters)

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

    def save(self, model: Model, state: State) -> None:
        since = time.time()
        saved, folder = self.resuming.saved(state), self.environment.model
        with Folder("model", folder).written(), whole_artifact(folder, self.algorithm.artifact) as aside:
            model.save(aside, self.report.host)
            if not self.algorithm.stateless:
                write_state(aside / artifact_name(saved.arrays), saved)
        self.report.timer("model.serialize.time", since)

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
