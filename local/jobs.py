"""Training jobs on this machine: laid out, fed, watched, and packed as the platform does."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import tempfile
from pathlib import Path

from algorithms.artifacts.archives import pack
from local import launching, platform
from local.pipes import Feeder
from local.platform import Job
from local.processes import Child, Command
from local.progress import Display, shown
from recordio.errors import UserError

GRACE_SECONDS = 120  # between asking a job to stop and ending it
FAILURE_CHARACTERS = 16_384


def job_name(what: str) -> str:
    """A name as the platform takes it: letters, digits and hyphens, 63 at most."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d-%H-%M-%S-%f")[:-3]
    words = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in what)
    return f"{words[:39].strip('-') or 'job'}-{now}"


def train(job: Job, algorithm: str, output: Path, *, image: str | None = None, logs: bool = False) -> int:
    """Run a job, as a container of `image` if there is one; `output` gets model.tar.gz and output.tar.gz.

    Returns the job's exit code. Raises UserError when a channel can't be read or `output` can't be written.
    """
    _check_output(output)
    with tempfile.TemporaryDirectory(prefix="onepass-", ignore_cleanup_errors=True) as folder:
        base = Path(folder).resolve()
        platform.lay_out(base, job)
        command = _command(base, job, algorithm, image)
        with shown(algorithm, logs=logs) as display:
            child = Child(command, GRACE_SECONDS, logged=True)
            code = _run(child, base, job, display)
            message = _failure_message(base)
            if code and not message:
                display.failed()
                message = (
                    f"The job ended with exit code {code} and left no failure message; its last log lines are above."
                )
        if code:
            print(message, file=sys.stderr)
            return code
        _keep(base, output)
        if child.stopped:
            print("Stopped early: the model is of the records seen so far.")
        return 0


def _command(base: Path, job: Job, algorithm: str, image: str | None) -> Command:
    if image is not None:
        mounts = launching.training_mounts(base, job)
        return launching.container("train", base, image, job.variables(platform.OPT_ML), mounts=mounts)
    platform.link(base, job)
    return launching.process("train", base, algorithm, job.variables(base))


def _run(child: Child, base: Path, job: Job, display: Display) -> int:
    with contextlib.ExitStack() as stack:
        feeders = _feeders(base, job, child)
        for feeder in feeders:
            stack.enter_context(feeder)  # the pipes stand before the job looks for them
        with child:
            for line in child.lines():
                display.line(line)
            code = child.wait()
    failures = [feeder.failure for feeder in feeders if feeder.failure is not None]
    if failures:
        raise failures[0]
    return code


def _feeders(base: Path, job: Job, child: Child) -> list[Feeder]:
    piped = [channel for channel in job.channels if channel.piped]
    if not piped:
        return []
    # Both modes must see the same files in the same order. Slow to import.
    from entrypoint.channels import data_files

    data = base / "input" / "data"
    return [
        Feeder(channel.name, data_files(channel.path), data, child.kill, compressed=channel.compressed)
        for channel in piped
    ]


def _failure_message(base: Path) -> str:
    path = base / "output" / "failure"
    if not path.is_file() or path.is_symlink():  # an image that nobody vouches for may leave anything there
        return ""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(FAILURE_CHARACTERS).strip()


def _check_output(output: Path) -> None:
    """Better now than after hours of training."""
    found = next(folder for folder in (output, *output.absolute().parents) if folder.exists())
    if not found.is_dir() or not os.access(found, os.W_OK):
        raise UserError(f"--output {output}: {found} is not a folder that can be written to")


def _keep(base: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for folder, name in ((base / "model", "model.tar.gz"), (base / "output" / "data", "output.tar.gz")):
        if folder.is_dir() and not folder.is_symlink() and any(folder.iterdir()):
            pack(folder, output / name)
            print(f"{name}: {output / name}")
        elif name == "model.tar.gz":
            print("The job left no model.")
