"""The `model` channel: an earlier artifact to continue from."""

from __future__ import annotations

import tempfile
from pathlib import Path

from algorithms.artifacts.archives import unpack
from algorithms.artifacts.states import SavedState, find_state, read_state
from algorithms.contract import Algorithm, Model
from entrypoint.environment import Environment
from recordio.errors import PlatformError, UserError

SHOWN_FILES = 5


def earlier_artifact(environment: Environment, algorithm: Algorithm) -> SavedState | Model | None:
    """The state in the model channel, packed as any *.tar.gz or unpacked; None without such a channel.

    A model stands in for a state where the algorithm can go on from one.
    Raises UserError when the channel holds nothing to go on from, PlatformError when its folder is missing.
    """
    channel = environment.channels().get("model")
    folder = environment.data / "model"
    if channel is None:
        return None
    if channel.mode == "Pipe":
        raise UserError("The model channel is in Pipe mode, expected File")
    if not folder.exists():
        raise PlatformError(f"Data channel 'model': {folder} does not exist")
    archives = [folder] if folder.is_file() else sorted(folder.glob("*.tar.gz"))
    if not archives:
        return _read(folder, algorithm)
    with tempfile.TemporaryDirectory() as scratch:
        unpack(archives[0], Path(scratch))
        return _read(Path(scratch), algorithm)


def _read(folder: Path, algorithm: Algorithm) -> SavedState | Model:
    path = find_state(folder)
    if path is None and algorithm.adopt is not None and (algorithm.stateless or any(folder.glob("model_*"))):
        return algorithm.load(folder)
    if path is None:
        found = ", ".join(repr(entry.name) for entry in sorted(folder.iterdir())[:SHOWN_FILES]) or "nothing"
        reason = f"; a model alone is not enough, since {algorithm.alone}" if any(folder.glob("model_*")) else ""
        raise UserError(
            f"The model channel holds no state to continue from: got {found}, expected model.tar.gz of an earlier "
            f"job, with a file state_*{reason}"
        )
    return read_state(path)
