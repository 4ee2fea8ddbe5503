"""The command `train`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from entrypoint import doors
from entrypoint.environment import Environment
from entrypoint.peers import Stopped, in_the_network
from entrypoint.privileges import drop_privileges
from entrypoint.reports import StartUp, start_logging
from entrypoint.stopping import stop_requested, stops_ignored

log = logging.getLogger(__name__)


def train() -> int:
    """Run the job that /opt/ml describes; the exit code tells who can mend what went wrong."""
    start_up = StartUp()
    start_up.phase("interpreter")
    stopping = stop_requested()
    start_logging()
    print("Docker entrypoint called with argument(s): train")
    print("Running default environment configuration script", flush=True)
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")  # before anything can fail
    drop_privileges(base, os.environ, only_reads=False)

    def job() -> int:
        # Imported here, so that a fault in what it needs reaches the failure file, and a stop is heard meanwhile.
        from entrypoint.training import train as run

        environment = Environment.from_variables()
        code = environment.stopped_exit_code
        try:
            run(environment, stopping, start_up)
        except Stopped:
            log.info("Stopped before the first record: there is no model to save.")
        return code if stopping.is_set() else doors.SUCCESS

    code = doors.exit_code(job, base / "output" / "failure")
    stops_ignored()
    sys.stdout.flush()
    if in_the_network():
        os._exit(code)  # the interpreter would pull the ground from under what waits there
    return code
