"""Training jobs as a platform runs them: a base folder, `python -m entrypoint train` as a process, real FIFOs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import recordio
from recordio.errors import UserError
from tests.contract.cases import Case, Records

RECORDIO = "application/x-recordio-protobuf"
PATIENCE_SECONDS = 60


def record_bytes(records: Records) -> bytes:
    from io import BytesIO

    file = BytesIO()
    recordio.write_dense(file, *records)
    return file.getvalue()


def libsvm_bytes(records: Records) -> bytes:
    features, labels = records
    labels = np.zeros(len(features), np.float32) if labels is None else labels
    lines = [
        " ".join([repr(float(label)), *(f"{at}:{float(value)!r}" for at, value in enumerate(row))])
        for label, row in zip(labels, features, strict=True)
    ]
    return "\n".join(lines).encode() + b"\n"


def csv_bytes(records: Records) -> bytes:
    features, labels = records
    table = features if labels is None else np.column_stack([labels, features])
    return "\n".join(",".join(repr(float(value)) for value in row) for row in table).encode() + b"\n"


@dataclass
class Job:
    """One job in a base folder of its own."""

    base: Path
    case: Case

    def __post_init__(self) -> None:
        for folder in ("input/config", "input/data", "model", "output"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        self.configure()

    def configure(self, hyperparameters: dict[str, Any] | None = None, **changed: str) -> None:
        settings = (self.case.hyperparameters if hyperparameters is None else hyperparameters) | changed
        self.config("hyperparameters", settings)

    def config(self, name: str, content: object) -> None:
        (self.base / "input" / "config" / f"{name}.json").write_text(json.dumps(content))

    def channels(self, **channels: dict[str, str]) -> None:
        self.config("inputdataconfig", channels)

    def files(self, channel: str, contents: dict[str, bytes]) -> None:
        for name, content in contents.items():
            path = self.base / "input" / "data" / channel / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def start(self, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "entrypoint", "train"],
            env={**os.environ, "SAGEMAKER_BASE_DIR": str(self.base), "ALGORITHM": self.case.name, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, **variables: str) -> tuple[int, str]:
        """Exit code and log."""
        process = self.start(**variables)
        try:
            output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
        return process.returncode, output

    @property
    def failure(self) -> str:
        return (self.base / "output" / "failure").read_text()

    @property
    def model_files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.base / "model").iterdir())}


class Feeder:
    """Writes the passes of a piped channel, as the platform does: a new FIFO after each pass."""

    def __init__(self, job: Job, channel: str, passes: Iterable[Iterable[bytes]]) -> None:
        self._stem = job.base / "input" / "data" / channel
        self._passes = passes
        self._stopping = threading.Event()
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self._path(0).unlink(missing_ok=True)
        os.mkfifo(self._path(0))
        self.thread.start()

    def _path(self, number: int) -> Path:
        return self._stem.with_name(f"{self._stem.name}_{number}")

    def _feed(self) -> None:
        for number, pieces in enumerate(self._passes):
            if number:
                os.mkfifo(self._path(number))
            try:
                with self._path(number).open("wb", buffering=0) as pipe:
                    for piece in pieces:
                        pipe.write(piece)
            except BrokenPipeError:
                pass  # closed early: the end of this pass
            self._path(number).unlink()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def user_error(action: Callable[[], object]) -> str:
    """The text of the UserError that an action must raise; any other outcome is a failure of the test."""
    try:
        action()
    except UserError as error:
        return str(error)
    except Exception as error:
        raise AssertionError(f"expected UserError, got {type(error).__name__}: {error}") from error
    raise AssertionError("expected UserError, got no error")
