"""Servers as a platform runs them: a process of its own on a free port, real sockets, real signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import algorithms
from serving.server import run
from serving.settings import Settings
from tests.unit.serving.toy import TOY

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30


def main(name: str, folder: str) -> int:
    """What `serve` comes to, for an algorithm of the table or the toy of the unit tests."""
    algorithm = TOY if name == TOY.name else algorithms.algorithm(name)
    return run(algorithm, Path(folder), Settings.from_environment(os.environ, model=Path(folder)))


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def error(self) -> str:
        assert self.headers["content-type"] == "application/json", self
        return str(json.loads(self.body)["error"])


@dataclass
class Served:
    """A server while the `with` block lasts. `output` is its log, once it has ended."""

    algorithm: str
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    port: int = 0
    output: str = ""

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        self.log = (self.folder.parent / f"{self.folder.name}-{self.port}.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.served", self.algorithm, str(self.folder)],
            env={**kept, "PYTHONPATH": str(ROOT), "SAGEMAKER_BIND_TO_PORT": str(self.port), **self.variables},
            cwd="/",
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None and time.monotonic() < give_up:
            try:
                self.get("/ping")
                return self
            except ConnectionError:
                time.sleep(0.02)
        self.stop(signal.SIGKILL)
        raise AssertionError(f"the server did not start:\n{self.output}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end and give the exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
            self.log.seek(0)
            self.output = self.log.read()
            self.log.close()
        return code

    def workers(self) -> list[int]:
        """Process ids."""
        master = self.process.pid
        return [int(word) for word in Path(f"/proc/{master}/task/{master}/children").read_text().split()]

    def get(self, path: str) -> Reply:
        return self.ask("GET", path)

    def invoke(self, body: Any, content_type: str = "text/csv", path: str = "/invocations", **headers: str) -> Reply:
        return self.ask("POST", path, body, {"Content-Type": content_type, **headers})

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            return reply(connection.getresponse())
        finally:
            connection.close()

    @contextmanager
    def wire(self, sent: bytes) -> Iterator[socket.socket]:
        """A connection on which some bytes have been sent."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as connection:
            connection.sendall(sent)
            yield connection

    def raw(self, sent: bytes) -> Reply:
        """The reply to bytes that no HTTP library would send."""
        with self.wire(sent) as connection:
            return read(connection)


def read(connection: socket.socket) -> Reply:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return reply(response)


def reply(response: http.client.HTTPResponse) -> Reply:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, response.read(), headers)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
