"""Stands in for Docker: notes how it was called, then runs `image.py` with the mounts that it was given.

/opt/ml is the folder that was mounted there; the other mounts are linked into it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOTES = Path(os.environ["DOCKER_NOTES"])


def main(arguments: list[str]) -> None:
    with (NOTES / "calls").open("a") as calls:
        calls.write(json.dumps(arguments) + "\n")
    match arguments[0]:
        case "info":
            print("[name=seccomp,profile=builtin]")
        case "network":
            network = NOTES / arguments[2]
            network.touch(exist_ok=False) if arguments[1] == "create" else network.unlink()
        case "rm":
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((NOTES / arguments[-1]).read_text()), signal.SIGKILL)
        case "run":
            run(arguments[1:])


def run(arguments: list[str]) -> None:
    mounts: dict[Path, Path] = {}
    while arguments[0].startswith("-"):
        option = arguments.pop(0)
        value = arguments.pop(0)
        if option == "-v":
            source, target, *_ = value.split(":")
            mounts[Path(target)] = Path(source)
        elif option == "-e":
            name, _, content = value.partition("=")
            os.environ[name] = content
        elif option == "-p":
            os.environ["PORT"] = value.split(":")[1]
        elif option == "--network":
            assert (NOTES / value).exists(), f"there is no network {value}"
        elif option == "--name":
            (NOTES / value).write_text(str(os.getpid()))
    base = mounts.pop(Path("/opt/ml"))
    for target, source in mounts.items():
        point = base / target.relative_to("/opt/ml")
        assert point.is_dir() == source.is_dir(), f"{point} is no mount point for {source}"
        point.rmdir() if point.is_dir() else point.unlink()
        point.symlink_to(source)
    _image, verb = arguments
    os.environ["BASE"] = str(base)
    os.execv(sys.executable, [sys.executable, str(HERE / "image.py"), verb])


main(sys.argv[1:])
