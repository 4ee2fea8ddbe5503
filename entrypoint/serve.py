"""The command `serve`."""

from __future__ import annotations

import logging
import os

import algorithms
from entrypoint import doors
from entrypoint.environment import Environment
from entrypoint.privileges import drop_privileges
from entrypoint.reports import start_logging
from serving.server import run
from serving.settings import Settings

log = logging.getLogger(__name__)


def serve() -> int:
    """Answer requests until SIGTERM."""
    start_logging()

    def server() -> int:
        environment = Environment.from_variables()
        drop_privileges(environment.base, environment.variables, only_reads=True)
        algorithm = algorithms.algorithm(environment.algorithm)
        settings = Settings.from_environment(os.environ, model=environment.model)
        folder = environment.base / "models" if settings.multi_model else environment.model
        return run(algorithm, folder, settings)

    return doors.exit_code(server, None)
