"""Training processes forked from one that has imported everything, so that a life takes a fraction of a second."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import algorithms
from tests.contract.jobs import Job

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["pytest", "torch.distributed", "entrypoint.train", "entrypoint.training", *algorithms.TABLE.values()]
)


def up() -> None:
    """Have it ready, so that what follows can be timed."""
    process = _context.Process(target=os.getpid)
    process.start()
    process.join()


def start(job: Job, log: Path, **variables: str) -> ForkServerProcess:
    """As `Job.start`, with the output added to a file."""
    variables = {"SAGEMAKER_BASE_DIR": str(job.base), "ALGORITHM": job.case.name, **variables}
    process = _context.Process(target=_train, args=(variables, log))
    process.start()
    return process


def _train(variables: dict[str, str], log: Path) -> None:
    from entrypoint.train import train

    with log.open("ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    os.environ.update(variables)
    os._exit(train())
