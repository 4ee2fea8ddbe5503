"""Stands in for Docker with Compose: runs the services of a file as processes of this project's `entrypoint`.

The paths below /opt/ml that a service mounts are linked into a folder that stands for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml


def main(arguments: list[str]) -> int:
    match arguments:
        case ["compose", "version"]:
            print("Docker Compose version v2.30.0")
        case ["context", "inspect", *_]:
            print('[{"Endpoints": {"docker": {"Host": "unix:///var/run/docker.sock"}}}]')
        case ["images", "-q", image]:
            print(image)
        case ["compose", "-f", file, "up", *_]:
            return up(yaml.safe_load(Path(file).read_text())["services"])
    return 0


def up(services: dict[str, dict[str, Any]]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        running = [start(service, Path(folder, name)) for name, service in services.items()]

        def stop(*_: object) -> None:
            for process in running:
                process.terminate()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        return max(process.wait() for process in running)


def start(service: dict[str, Any], base: Path) -> subprocess.Popen[bytes]:
    for volume in sorted(service["volumes"], key=lambda volume: str(volume.split(":")[1])):  # outer ones first
        source, target, *_ = volume.split(":")
        point = base / Path(target).relative_to("/opt/ml")
        point.parent.mkdir(parents=True, exist_ok=True)
        Path(source).mkdir(parents=True, exist_ok=True)
        if point.resolve() != Path(source).resolve():
            if point.exists():
                point.rmdir()  # a mount point
            point.symlink_to(source)
    variables = dict(each.split("=", 1) for each in service["environment"])
    if ports := service.get("ports"):
        variables["SAGEMAKER_BIND_TO_PORT"] = ports[0].split(":")[0]
    variables |= {"ALGORITHM": service["image"].split(":")[0], "SAGEMAKER_BASE_DIR": str(base)}
    command = [sys.executable, "-m", "entrypoint", service.get("command", "train")]
    return subprocess.Popen(command, env={**os.environ, **variables})


sys.exit(main(sys.argv[1:]))
