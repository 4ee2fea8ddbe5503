"""Artifacts of earlier jobs: opened aside, and asked which algorithm they are of."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from algorithms.artifacts.archives import unpack
from local.storage.service import Place, Uri
from recordio.errors import UserError

ARCHIVE = "model.tar.gz"
DESCRIPTIONS = ("model.json", ".model.json")  # hidden where every other file is a part of the model
LARGEST_DESCRIPTION_BYTES = 16 * 1024**2  # of thousands of candidates


@contextlib.contextmanager
def opened(model: Place) -> Iterator[Path]:
    """The folder of an artifact's files; an archive is unpacked for as long as the block lasts.

    model   model.tar.gz, here or in storage, the folder that a job put it in, or a folder of unpacked files
    """
    if isinstance(model, Uri):
        from local.storage.downloads import fetched_file

        with tempfile.TemporaryDirectory(prefix="onepass-") as aside, opened(fetched_file(model, Path(aside))) as files:
            yield files
        return
    archive = model / ARCHIVE if model.is_dir() else model
    if archive.is_file():
        with tempfile.TemporaryDirectory(prefix="onepass-") as folder:
            unpack(archive, Path(folder))
            yield Path(folder)
    elif model.is_dir():
        yield model
    else:
        raise UserError(f"{model} does not exist, expected {ARCHIVE} or a folder of model files")


def algorithm_name(directory: Path) -> str | None:
    """The algorithm that the artifact names itself, or None when it was made elsewhere."""
    name = described(directory).get("algorithm")
    return name if isinstance(name, str) else None


def described(directory: Path) -> dict[str, Any]:
    """What the artifact tells of itself; nothing when it was made elsewhere, or this is damaged."""
    for name in DESCRIPTIONS:
        try:
            with (directory / name).open("rb") as file:
                found = json.loads(file.read(LARGEST_DESCRIPTION_BYTES))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}
    return {}
