"""The platform's side of /opt/ml: folders, config files with string values, variables.

A base directory stands for /opt/ml. The user's data is linked into it, or mounted read-only into a container, and
never written to.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrypoint.cluster import Cluster
from local.storage.objects import Objects, objects_at, shard
from recordio.errors import PlatformError, UserError

OPT_ML = Path("/opt/ml")
HOST = "algo-1"
FAILURE_CHARACTERS = 16_384
CHANNEL_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9.\-_]{1,64}")


@contextmanager
def of_channel(name: str) -> Iterator[None]:
    """Errors of the user and of the platform say which channel they are about."""
    try:
        yield
    except (UserError, PlatformError) as error:
        raise type(error)(f"Channel {name}: {error}") from error


@dataclass(frozen=True)
class Channel:
    """Where a channel's data is and how the job gets it.

    source         a file or a folder of the user, or what was found in storage
    compressed     gzip, which the platform undoes on the way into a pipe
    wrapped        in a pipe each object is a RecordIO record
    sharded        each host gets its share of the objects, not all of them
    shuffle_seed   of the order of objects, which is another one in each pass
    """

    name: str
    source: Path | Objects
    content_type: str | None = None
    mode: str = "File"
    compressed: bool = False
    wrapped: bool = False
    sharded: bool = False
    shuffle_seed: int | None = None

    def __post_init__(self) -> None:
        if not CHANNEL_NAME.fullmatch(self.name):
            raise UserError(f"Channel '{self.name}': expected a name of letters, digits, '.', '-' and '_'")
        if isinstance(self.source, Path) and not self.source.exists():
            raise UserError(f"Channel {self.name}: {self.source} does not exist, expected a file or a folder")
        if self.piped:
            self.objects  # noqa: B018 - what can't be read is told now

    @property
    def piped(self) -> bool:
        return self.mode == "Pipe"

    @property
    def path(self) -> Path:
        """Where the data is on this machine; of objects in storage, once they were fetched."""
        assert isinstance(self.source, Path)
        return self.source

    @functools.cached_property
    def objects(self) -> Objects:
        with of_channel(self.name):
            return objects_at(self.source) if isinstance(self.source, Path) else self.source

    @property
    def config(self) -> dict[str, str]:
        config = {
            "TrainingInputMode": self.mode,
            "S3DistributionType": "ShardedByS3Key" if self.sharded else "FullyReplicated",
            "RecordWrapperType": "RecordIO" if self.wrapped else "None",
        }
        return config if self.content_type is None else {"ContentType": self.content_type} | config

    def inputs(self, data: Path, host: int, hosts: int) -> dict[Path, Path]:
        """What a host sees of it in File mode, by its place: the path itself, or the files of its shard."""
        if self.sharded and hosts > 1:
            root = self.path if self.path.is_dir() else self.path.parent
            files = [file for file in shard(self, 0, host, hosts) if isinstance(file, Path)]
            return {data / self.name / file.relative_to(root): file for file in files}
        # A single file comes alone, without its neighbours.
        return {data / self.name / self.path.name if self.path.is_file() else data / self.name: self.path}


@dataclass(frozen=True)
class Job:
    name: str
    hyperparameters: Mapping[str, str]
    channels: tuple[Channel, ...]
    checkpoints: Path | None = None

    def variables(self, base: Path) -> dict[str, str]:
        """What the platform tells every image; `base` as the job sees it."""
        return {
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": f"arn:aws:sagemaker:local:000000000000:training-job/{self.name}",
            "SAGEMAKER_METRICS_DIRECTORY": str(base / "output" / "metrics" / "sagemaker"),
            "PYTHONUNBUFFERED": "1",
        }


@dataclass(frozen=True)
class Host:
    """One of the hosts of a job.

    cluster  what it is told of itself and of the others
    root     folder of the job
    """

    cluster: Cluster
    root: Path

    @property
    def name(self) -> str:
        return self.cluster.host

    @property
    def base(self) -> Path:
        """Stands for /opt/ml of this host."""
        return self.root / self.name

    @property
    def failure(self) -> str:
        """What it wrote of why it failed; empty when that is nothing."""
        path = self.base / "output" / "failure"
        if not path.is_file() or path.is_symlink():  # an image that nobody vouches for may leave anything there
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(FAILURE_CHARACTERS).strip()

    def inputs(self, job: Job) -> dict[str, Path]:
        """The files and folders of channels in File mode, by their place below /opt/ml."""
        rank, hosts = self.cluster.rank, len(self.cluster.hosts)
        found = [channel.inputs(Path("input", "data"), rank, hosts) for channel in job.channels if not channel.piped]
        return {str(place): path for channel in found for place, path in channel.items()}

    def shared(self, job: Job) -> dict[str, Path]:
        """The folders that all hosts write to, by their place below /opt/ml.

        There is one model folder, as in local mode of the SDK, and one for what else becomes an archive.
        """
        folders = {"model": self.root / "model", "output/data": self.root / "output" / "data"}
        return folders if job.checkpoints is None else folders | {"checkpoints": job.checkpoints}


def lay_out(host: Host, job: Job) -> None:
    """Make the folders and config files of a job, on one host."""
    for folder in ("input/config", "input/data", "output/metrics/sagemaker"):
        (host.base / folder).mkdir(parents=True)
    for path in host.shared(job).values():
        path.mkdir(parents=True, exist_ok=True)
    for channel in job.channels:
        if channel.sharded and len(host.cluster.hosts) > 1 and not channel.piped:  # this host's shard may be empty
            (host.base / "input" / "data" / channel.name).mkdir()
    _config(host.base, "hyperparameters", dict(job.hyperparameters))
    _config(host.base, "inputdataconfig", {channel.name: channel.config for channel in job.channels})
    hosts, group = list(host.cluster.hosts), "homogeneousCluster"
    _config(
        host.base,
        "resourceconfig",
        {
            "current_host": host.name,
            "current_instance_type": "local",
            "current_group_name": group,
            "hosts": hosts,
            "network_interface_name": host.cluster.interface,
            "instance_groups": [{"instance_group_name": group, "instance_type": "local", "hosts": hosts}],
        },
    )
    if job.checkpoints is not None:
        _config(host.base, "checkpointconfig", {"LocalPath": str(OPT_ML / "checkpoints")})


def link(host: Host, job: Job) -> None:
    """Show a process what it reads, and what hosts share, where it is."""
    for place, path in (host.inputs(job) | host.shared(job)).items():
        (host.base / place).parent.mkdir(parents=True, exist_ok=True)
        (host.base / place).symlink_to(path.resolve())


def _config(base: Path, name: str, content: dict[str, Any]) -> None:
    (base / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
