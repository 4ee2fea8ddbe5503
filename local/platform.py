"""The platform's side of /opt/ml: folders, config files with string values, variables.

A base directory stands for /opt/ml. The user's data is linked into it, or mounted read-only into a container, and
never written to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recordio.errors import UserError

OPT_ML = Path("/opt/ml")
HOST = "algo-1"
CHANNEL_NAME = re.compile(r"[A-Za-z0-9.\-_]{1,64}")


@dataclass(frozen=True)
class Channel:
    """Where a channel's data is and how the job gets it.

    path         a file or a folder of the user
    compressed   gzip, which the platform undoes on the way into a pipe
    """

    name: str
    path: Path
    content_type: str | None = None
    mode: str = "File"
    compressed: bool = False

    def __post_init__(self) -> None:
        if not CHANNEL_NAME.fullmatch(self.name):
            raise UserError(f"Channel '{self.name}': expected a name of letters, digits, '.', '-' and '_'")
        if not self.path.exists():
            raise UserError(f"Channel {self.name}: {self.path} does not exist, expected a file or a folder")

    @property
    def piped(self) -> bool:
        return self.mode == "Pipe"

    @property
    def config(self) -> dict[str, str]:
        config = {"TrainingInputMode": self.mode, "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
        return config if self.content_type is None else {"ContentType": self.content_type} | config

    def places(self, data: Path) -> Path:
        """Where the path itself shows up under input/data: a single file comes alone, without its neighbours."""
        return data / self.name / self.path.name if self.path.is_file() else data / self.name


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


def lay_out(base: Path, job: Job) -> None:
    """Make the folders and config files of a job, on one host."""
    for folder in ("input/config", "input/data", "model", "output/data", "output/metrics/sagemaker"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    _config(base, "hyperparameters", dict(job.hyperparameters))
    _config(base, "inputdataconfig", {channel.name: channel.config for channel in job.channels})
    _config(
        base,
        "resourceconfig",
        {
            "current_host": HOST,
            "current_instance_type": "local",
            "current_group_name": "homogeneousCluster",
            "hosts": [HOST],
            "network_interface_name": "eth0",
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "instance_type": "local", "hosts": [HOST]}
            ],
        },
    )
    if job.checkpoints is not None:
        job.checkpoints.mkdir(parents=True, exist_ok=True)
        _config(base, "checkpointconfig", {"LocalPath": str(OPT_ML / "checkpoints")})


def link(base: Path, job: Job) -> None:
    """Show a process the channels in File mode and the checkpoints, where they are."""
    for channel in job.channels:
        if not channel.piped:
            place = channel.places(base / "input" / "data")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(channel.path.resolve())
    if job.checkpoints is not None:
        (base / "checkpoints").symlink_to(job.checkpoints.resolve())


def _config(base: Path, name: str, content: dict[str, Any]) -> None:
    (base / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
