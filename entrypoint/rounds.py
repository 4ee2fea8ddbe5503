"""Rounds: the training loop of a guest, an engine that wants all records at hand and learns them in rounds."""

from __future__ import annotations

import logging
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from algorithms.contract import Guest
from entrypoint.ahead import batches_ahead
from entrypoint.checkpoints import Position
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
    for name, keep in (("train", state.update), ("validation", state.hold_out)):
        if channel := job.channels.get(name):
            ahead = batches_ahead(channel.batches(READ_RECORDS), job.stopping)
            try:
                for batch in ahead:
                    keep(batch)
                    if name == "train":
                        job.reads.add(len(batch))
            finally:
                ahead.close()
    records, stops = job.collective.sums(np.array([job.reads.records, job.stopping.is_set()]))[0].tolist()
    if stops:
        job.stopping.set()
        return position
    if not records:
        raise UserError("Unable to read data channel 'train'. It holds no records.")
    job.start_up.phase("records")
    for round_ in state.rounds():
        sys.stdout.write(round_.line + "\n")
        if position.epoch == 0:
            job.start_up.phase("first round")
            job.start_up.log()
        position = Position(round_.number + 1, hosts=job.collective.hosts)
        stops = job.collective.sums(np.array([job.stopping.is_set()], np.int64))[0].any()
        job.checkpoints.save_when_due(partial(job.resuming.saved, state, position), now=bool(stops))
        if stops:
            job.stopping.set()
            break
    job.report.timer("update.time", since)
    return position
