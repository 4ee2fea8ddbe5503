"""Steps: hosts that learn one model together update it equally often, whatever records each of them has."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import numpy as np

from entrypoint.collective import Collective
from recordio.batch import Batch

ROUND = 16  # steps between two questions whether to go on
NO_RECORDS = Batch(np.empty((0, 0), np.float32))

log = logging.getLogger(__name__)


def in_step(
    batches: Iterator[Batch],
    collective: Collective,
    stopping: threading.Event,
    due: Callable[[], bool],
    save: Callable[[], None],
) -> Iterator[Batch]:
    """The batches of this host, and empty ones while others have more. All end when none has any, or one stops.

    due, save   whether a checkpoint is; if so on one host, or with a stop, all save theirs, between the same two steps
    """
    more = True
    while True:
        left, stops, due_now = collective.sums(np.array([more, stopping.is_set(), due()], np.int64))[0].tolist()
        if stops or due_now:
            save()
        if stops and not stopping.is_set():
            log.info("Another host stops: finishing with what has been seen.")
            stopping.set()
        if stops or not left:
            return
        for _ in range(ROUND):
            batch = next(batches, None) if more else None
            more = batch is not None
            yield NO_RECORDS if batch is None else batch
