"""What a job leaves: model.tar.gz and output.tar.gz, in a folder of this machine or in storage."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from algorithms.artifacts.archives import pack
from local.storage.service import Place, Uri, check_writable, upload
from recordio.errors import PlatformError, UserError

MODEL, OTHERS = "model.tar.gz", "output.tar.gz"


def check_output(output: Place, job: str) -> None:
    """Better now than after hours of training. Raises UserError for a place that can't be written to."""
    if isinstance(output, Uri):
        check_writable(_below(output, job).below(MODEL))
        return
    found = next(folder for folder in (output, *output.absolute().parents) if folder.exists())
    if not found.is_dir() or not os.access(found, os.W_OK):
        raise UserError(f"--output {output}: {found} is not a folder that can be written to")


def keep(root: Path, output: Place, job: str) -> None:
    """Pack what the hosts left in `root`; in storage as the platform does, below the name of the job."""
    folder = root / "packed" if isinstance(output, Uri) else output
    folder.mkdir(parents=True, exist_ok=True)
    for content, name in ((root / "model", MODEL), (root / "output" / "data", OTHERS)):
        if content.is_dir() and not content.is_symlink() and any(content.iterdir()):
            pack(content, folder / name)
            place = _uploaded(folder / name, _below(output, job), job) if isinstance(output, Uri) else folder / name
            print(f"{name}: {place}")
        elif name == MODEL:
            print("The job left no model.")


def _below(output: Uri, job: str) -> Uri:
    return output.below(job).below("output")


def _uploaded(archive: Path, folder: Uri, job: str) -> Uri:
    """Where it went. Work of hours isn't lost when it can't be uploaded."""
    place = folder.below(archive.name)
    try:
        upload(archive, place)
    except (UserError, PlatformError) as error:
        kept = Path(job)
        kept.mkdir(exist_ok=True)
        shutil.move(archive, kept / archive.name)
        raise type(error)(f"{error}. The archive was kept as {kept / archive.name}") from error
    return place
