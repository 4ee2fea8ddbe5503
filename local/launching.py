"""How `train` and `serve` are started: as a process of this Python, or as a container of any image."""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import algorithms
from algorithms.numerics.machine import processors
from entrypoint.cluster import Cluster
from local.platform import OPT_ML, Host, Job
from local.processes import Command, finish
from recordio.errors import PlatformError

CONTAINER_PORT = 8080


def check(algorithm: str, image: str | None) -> None:
    """Raise UserError for an algorithm that is unknown and that no image stands for."""
    if image is None and algorithm not in algorithms.TABLE:
        algorithms.algorithm(algorithm)  # raises with the nearest name; for a known one it would import much


def beside(cluster: Cluster) -> dict[str, str]:
    """The variables of a process that shares this machine with other hosts: their port, its part of the processors."""
    port = {"ONEPASS_PORT": str(cluster.port)}
    if len(cluster.hosts) == 1 or os.environ.get("OMP_NUM_THREADS"):
        return port
    return port | {"OMP_NUM_THREADS": str(max(1, processors() // len(cluster.hosts)))}


def process(verb: str, base: Path, algorithm: str, variables: Mapping[str, str]) -> Command:
    """The container's side, run here, with `base` for /opt/ml. Raises UserError for an unknown algorithm."""
    check(algorithm, None)
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
    network: str | None = None,
    host: str | None = None,
) -> Command:
    """`docker run IMAGE train|serve`, with `base` as /opt/ml.

    mounts   folders and files below /opt/ml by their place there; a server, and below input a job, can only read them
    port     of this machine, for the server
    network  where other containers find this one by the name `host`
    """
    name = _new_name()
    # Removed by us, not by --rm, with which some engines lose the exit code.
    options = ["--name", name, *_user()]
    for place, path in {"": base, **mounts}.items():
        read_only = place and (verb == "serve" or Path(place).parts[0] == "input")
        options += ["-v", f"{path.resolve()}:{OPT_ML / place}{':ro' if read_only else ''}"]
    for variable, value in variables.items():
        options += ["-e", f"{variable}={value}"]
    if port is not None:
        options += ["-p", f"127.0.0.1:{port}:{CONTAINER_PORT}"]
    if network is not None and host is not None:
        options += ["--network", network, "--network-alias", host, "--hostname", host]
    return Command(("docker", "run", *options, image, verb), remover=("docker", "rm", "--force", name))


def training_mounts(host: Host, job: Job) -> dict[str, Path]:
    """What a job reads, and what hosts share, by their place below /opt/ml."""
    mounts = host.inputs(job) | host.shared(job)
    for place, path in mounts.items():
        # Docker makes missing mount points itself, and they would belong to root.
        point = host.base / place
        (point.parent if path.is_file() else point).mkdir(parents=True, exist_ok=True)
        if path.is_file():
            point.touch()
    return mounts


@contextlib.contextmanager
def network() -> Iterator[str]:
    """A network of Docker for as long as the block lasts; its name."""
    name = _new_name()
    try:
        made = finish("docker", "network", "create", name)
        if made.returncode:
            raise PlatformError(f"Docker makes no network for the hosts: {made.stderr.strip()}")
        yield name
    finally:
        finish("docker", "network", "rm", name)


def _new_name() -> str:
    return f"onepass-{uuid.uuid4().hex[:12]}"


def _user() -> tuple[str, ...]:
    """Run as the user, so that what the job writes is theirs. In rootless Docker that user is the container's root."""
    info = finish("docker", "info", "--format", "{{.SecurityOptions}}")
    return () if "rootless" in info.stdout else ("--user", f"{os.getuid()}:{os.getgid()}")
