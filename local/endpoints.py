"""An endpoint on this machine: a model served as the platform hosts it, until it is told to stop."""

from __future__ import annotations

import http.client
import socket
import tempfile
import time
from pathlib import Path

import algorithms
from local import launching
from local.models import algorithm_name, opened
from local.processes import Child, Command
from local.stopping import Stopping
from local.storage.service import Place
from recordio.content_types import CSV, RECORDIO
from recordio.errors import UserError

GRACE_SECONDS = 30  # for open requests
START_SECONDS = 480  # until the first good ping, as on the platform
PING_SECONDS = 2.0  # for an answer
POLL_SECONDS = 0.1


def serve(
    model: Place, port: int, *, algorithm: str | None = None, image: str | None = None, workers: int | None = None
) -> int:
    """Serve an artifact on a port, or on a free one if `port` is 0; returns the server's exit code.

    Raises UserError when the port is taken, the algorithm is unknown, or the server does not come up.
    """
    port = _free(port)
    variables = {} if workers is None else {"MODEL_SERVER_WORKERS": str(workers)}
    with opened(model) as directory, tempfile.TemporaryDirectory(prefix="onepass-") as folder:
        base = Path(folder).resolve()
        name = algorithm or algorithm_name(directory)
        if image is not None:
            (base / "model").mkdir()
            command = launching.container("serve", base, image, variables, mounts={"model": directory}, port=port)
        else:
            command = _process(base, directory, name, port, variables)
        with Stopping(GRACE_SECONDS) as stopping, Child(command) as child:
            stopping.add(child)
            if _ready(child, port, stopping):
                url = f"http://127.0.0.1:{port}"
                kind, file = _request(name)
                print(f"Ready at {url}: for records in a file {file},", flush=True)
                print(f"  curl -H 'Content-Type: {kind}' --data-binary @{file} {url}/invocations", flush=True)
            return child.wait()


def _request(name: str | None) -> tuple[str, str]:
    """A content type that the algorithm takes, and a name for a file of it."""
    taken = algorithms.algorithm(str(name)).request_types if name in algorithms.TABLE else (CSV,)
    return (CSV, "records.csv") if CSV in taken else (RECORDIO, "records.pbr")


def _process(base: Path, directory: Path, name: str | None, port: int, variables: dict[str, str]) -> Command:
    if name is None:
        names = ", ".join(sorted(algorithms.TABLE))
        raise UserError(f"The model does not say which algorithm made it: name it with --algorithm, one of {names}")
    (base / "model").symlink_to(directory.resolve())
    return launching.process("serve", base, name, {**variables, "SAGEMAKER_BIND_TO_PORT": str(port)})


def _free(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise UserError(f"Port {port} can't be used ({error.strerror}): choose another with --port") from error
        found: int = probe.getsockname()[1]
        return found


def _ready(child: Child, port: int, stopping: Stopping) -> bool:
    """Wait until /ping is good; False when the server ended or was told to before that."""
    deadline = time.monotonic() + START_SECONDS
    while not child.ended(POLL_SECONDS):
        if stopping.asked:
            return False
        if _pinged(port):
            return True
        if time.monotonic() > deadline:
            raise UserError(f"The server did not answer /ping within {START_SECONDS} s; its log lines are above")
    return False


def _pinged(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PING_SECONDS)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
