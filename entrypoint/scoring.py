"""Scoring: held-out channels through an evaluation."""

from __future__ import annotations

import logging
import threading

from algorithms.contract import Evaluation
from entrypoint.ahead import batches_ahead
from entrypoint.channels import DataChannel

SCORING_RECORDS = 5000  # in one batch

log = logging.getLogger(__name__)


def check_first_record(channel: DataChannel | None) -> None:
    """Find faults of a held-out channel before hours of training. A pipe waits: each opening uses up one pass."""
    if channel is not None and not channel.pipe:
        next(channel.batches(1), None)


def scored(evaluation: Evaluation, channel: DataChannel, stopping: threading.Event) -> Evaluation | None:
    """The evaluation of one pass over a channel; None when a stop came first."""
    ahead = batches_ahead(channel.batches(SCORING_RECORDS), stopping)
    try:
        for batch in ahead:
            evaluation.update(batch)
    finally:
        ahead.close()
    return None if stopping.is_set() else evaluation
