"""Rounds: the training loop of a guest, an engine that wants all records at hand and learns them in rounds."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from algorithms.artifacts.whole import whole_file
from algorithms.contract import Guest
from entrypoint.ahead import batches_ahead
from entrypoint.checkpoints import Position
from entrypoint.reports import PROGRESS_SECONDS
from recordio.errors import UserError

if TYPE_CHECKING:
    from entrypoint.training import Job

READ_RECORDS = 5000  # in one batch

log = logging.getLogger(__name__)


def learn_in_rounds(job: Job, state: Guest, position: Position) -> Position:
    """Give the state its records, and let it learn from where it stands; returns where it stands then.

    Raises UserError when no host has records.
    """
    since = time.time()
    read = _read(job, state)
    records, stops = job.collective.sums(np.array([read, job.stopping.is_set()], np.int64))[0].tolist()
    if stops:
        job.stopping.set()
        return position
    if not records:
        raise UserError("Unable to read data channel 'train'. It holds no records.")
    first, shown = True, time.monotonic()
    saving = bool(getattr(job.hyperparameters, "save_model_on_termination", False)) and job.environment.cluster().leader
    with closing(job.collective.watched(state.rounds())) as rounds:
        for each in rounds:
            sys.stdout.write(each.line + "\n")
            if first:
                job.start_up.phase("first round")
                job.start_up.log()
                first = False
            if time.monotonic() - shown > PROGRESS_SECONDS:
                shown = time.monotonic()
                job.report.progress(each.part)
            position = Position(each.number, hosts=job.collective.hosts)
            asked = np.array([job.stopping.is_set(), job.checkpoints.cheap()], np.int64)
            stops, saves = job.collective.sums(asked)[0].tolist()
            if stops:
                if not job.stopping.is_set():
                    log.info("Another host stops: finishing with what has been seen.")
                    job.stopping.set()
                break
            if saves:  # on all hosts, or on none: the same number is the same round
                job.checkpoints.save_when_due(partial(job.resuming.saved, state, position), now=True)
            if saving:
                job.save(state.finalise(), state)
    job.checkpoints.save_when_due(partial(job.resuming.saved, state, position), now=True)
    if not job.stopping.is_set():
        _report(job, state)
    channel, seconds = job.channels["train"], time.time() - since
    job.report.data_pipeline(channel.path, 0, seconds, job.reads.batches, channel.size_bytes)
    job.report.timer("update.time", since)
    job.report.progress(1)
    job.reads.reset()
    job.report.metrics(job.reads.metrics(), since=since, epoch=0, Meta="training_data_iter")
    job.report.throughput(job.reads.records, seconds)
    return position


def _read(job: Job, state: Guest) -> int:
    """Give the state what its channels hold; returns the records of the train channel."""
    for name, keep in (("train", state.update), ("validation", state.hold_out)):
        if name not in job.channels:
            continue
        ahead = batches_ahead(job.channels[name].batches(READ_RECORDS), job.stopping)
        try:
            for batch in ahead:
                if name == "train":
                    if not job.reads.batches:
                        job.start_up.phase("first batch")
                    job.reads.add(len(batch))
                keep(batch)
        finally:
            ahead.close()
    return job.reads.records


def _report(job: Job, state: Guest) -> None:
    """Files beside the model."""
    reports = state.reports()
    folder = job.environment.output / "data"
    if reports and job.environment.cluster().leader:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in reports.items():
            with whole_file(folder / name) as aside:
                aside.write_bytes(content)
