"""How `train` and `serve` are started: as a process of this Python, or as a container of any image."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

import algorithms
from local.platform import OPT_ML, Job
from local.processes import Command

CONTAINER_PORT = 8080


def process(verb: str, base: Path, algorithm: str, variables: Mapping[str, str]) -> Command:
    """The container's side, run here, with `base` for /opt/ml. Raises UserError for an unknown algorithm."""
    if algorithm not in algorithms.TABLE:
        algorithms.algorithm(algorithm)  # raises with the nearest name; for a known one it would import much
    # -P: a file of the user's folder that is named like a module must not be imported in its place.
    arguments = (sys.executable, "-P", "-m", "entrypoint", verb)
    return Command(arguments, {**variables, "SAGEMAKER_BASE_DIR": str(base), "ALGORITHM": algorithm})


def container(
    verb: str,
    base: Path,
    image: str,
    variables: Mapping[str, str],
    *,
    mounts: Mapping[str, Path],
    port: int | None = None,
) -> Command:
    """`docker run IMAGE train|serve`, with `base` as /opt/ml.

    mounts   folders and files below /opt/ml by their place there; read-only but for checkpoints
    port     of this machine, for the server
    """
    name = f"onepass-{uuid.uuid4().hex[:12]}"
    # Removed by us, not by --rm, with which some engines lose the exit code.
    options = ["--name", name, *_user()]
    for place, path in {"": base, **mounts}.items():
        writable = place in ("", "checkpoints")
        options += ["-v", f"{path.resolve()}:{OPT_ML / place}{'' if writable else ':ro'}"]
    for variable, value in variables.items():
        options += ["-e", f"{variable}={value}"]
    if port is not None:
        options += ["-p", f"127.0.0.1:{port}:{CONTAINER_PORT}"]
    return Command(("docker", "run", *options, image, verb), remover=("docker", "rm", "--force", name))


def training_mounts(base: Path, job: Job) -> dict[str, Path]:
    """The channels in File mode and the checkpoints, by their place below /opt/ml."""
    data = Path("input", "data")
    mounts = {}
    for channel in job.channels:
        if not channel.piped:
            place = channel.places(data)
            # Docker makes missing mount points itself, and they would belong to root.
            (base / data / channel.name).mkdir()
            if channel.path.is_file():
                (base / place).touch()
            mounts[str(place)] = channel.path
    if job.checkpoints is not None:
        (base / "checkpoints").mkdir()
        mounts["checkpoints"] = job.checkpoints
    return mounts


def _user() -> tuple[str, ...]:
    """Run as the user, so that what the job writes is theirs. In rootless Docker that user is the container's root."""
    try:
        asked = ("docker", "info", "--format", "{{.SecurityOptions}}")
        info = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ()
    return () if "rootless" in info.stdout else ("--user", f"{os.getuid()}:{os.getgid()}")
