"""Training jobs on this machine: laid out, fed, watched, and packed as the platform does."""

from __future__ import annotations

import contextlib
import datetime
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from local import launching, platform
from local.hosts import at_fault, clusters, run
from local.platform import Host, Job
from local.processes import Command
from local.progress import Display, shown
from local.results import check_output, keep
from local.stopping import Stopping
from local.storage.downloads import fetched
from local.storage.service import Place

GRACE_SECONDS = 120  # between asking a job to stop and ending it


def job_name(what: str) -> str:
    """A name as the platform takes it: letters, digits and hyphens, 63 at most."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d-%H-%M-%S-%f")[:-3]
    words = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in what)
    return f"{words[:39].strip('-') or 'job'}-{now}"


def train(
    job: Job, algorithm: str, output: Place, *, hosts: int = 1, image: str | None = None, logs: bool = False
) -> int:
    """Run a job on hosts side by side, as containers of `image` if there is one, else as processes.

    `output` gets model.tar.gz and output.tar.gz. Returns the exit code of the job, or of the host that made it fail.
    Raises UserError when a channel can't be read or `output` can't be written.
    """
    launching.check(algorithm, image)
    check_output(output, job.name)
    with tempfile.TemporaryDirectory(prefix="onepass-", ignore_cleanup_errors=True) as folder:
        root = Path(folder).resolve()
        job = replace(job, channels=tuple(fetched(channel, root / "objects") for channel in job.channels))
        members = [Host(cluster, root) for cluster in clusters(hosts, contained=image is not None)]
        with shown(algorithm, [host.name for host in members], logs=logs) as display:
            codes, stopped = _run(members, job, algorithm, image, display)
            failed = at_fault(codes)
            message = "" if failed is None else _failure_message(failed, codes[failed], display)
        if failed is not None:
            print(message if hosts == 1 else f"{failed.name}: {message}", file=sys.stderr)
            return codes[failed]
        keep(root, output, job.name)
        if stopped:
            print("Stopped early: the model is of the records seen so far.")
        return 0


def _run(
    members: Sequence[Host], job: Job, algorithm: str, image: str | None, display: Display
) -> tuple[dict[Host, int], bool]:
    """Exit codes in the order of their ends, and whether the user asked for the end."""
    with contextlib.ExitStack() as stack:
        stopping = stack.enter_context(Stopping(GRACE_SECONDS))
        network = stack.enter_context(launching.network()) if image is not None and len(members) > 1 else None
        commands = {}
        for host in members:
            platform.lay_out(host, job)
            commands[host] = _command(host, job, algorithm, image, network)
        return run(commands, job, display, stopping), stopping.asked


def _command(host: Host, job: Job, algorithm: str, image: str | None, network: str | None) -> Command:
    if image is not None:
        mounts, variables = launching.training_mounts(host, job), job.variables(platform.OPT_ML)
        return launching.container("train", host.base, image, variables, mounts=mounts, network=network, host=host.name)
    platform.link(host, job)
    variables = job.variables(host.base) | launching.beside(host.cluster)
    return launching.process("train", host.base, algorithm, variables)


def _failure_message(host: Host, code: int, display: Display) -> str:
    if host.failure:
        return host.failure
    display.failed(host.name)
    return f"The job ended with exit code {code} and left no failure message; its last log lines are above."
