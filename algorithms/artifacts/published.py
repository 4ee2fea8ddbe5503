"""The files of an artifact that users see: model_<host>, in the original's format, and model.json, for readers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from algorithms.contract import Model
from recordio.errors import UserError

FORMAT_VERSION = 1
ARCHIVES = (".gz", ".tar", ".zip")
LARGEST_JSON_BYTES = 64 * 2**20


@contextmanager
def model_file(directory: Path, holds: str) -> Iterator[bytes]:
    """The content of model_*, from whichever host, and nothing else: artifacts made elsewhere have only that.

    holds   what users would look for in it
    Raises UserError when there is no such file. UserErrors of the block are told of the file.
    """
    found = sorted(path for path in directory.glob("model_*") if path.is_file() and path.suffix not in ARCHIVES)
    if not found:
        raise UserError(f"The model has no file model_<host>, such as model_algo-1, with the {holds}.")
    try:
        yield found[0].read_bytes()
    except UserError as error:
        raise UserError(f"{found[0].name}: {error}") from error


def describe(directory: Path, algorithm: str, model: Model, hyperparameters: Mapping[str, Any], **more: Any) -> None:
    """Write model.json. No one needs it; `more` is what else is worth knowing."""
    facts = {
        "algorithm": algorithm,
        "format_version": FORMAT_VERSION,
        "feature_dim": model.feature_dim,
        "metrics": {name: value if math.isfinite(value) else None for name, value in model.metrics.items()},
        "hyperparameters": dict(hyperparameters),
        **more,
    }
    (directory / "model.json").write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n")


def json_object(members: Mapping[str, bytes], name: str) -> Mapping[str, Any]:
    """A member of an archive that holds one JSON object. Raises UserError."""
    content = members[name]
    if len(content) > LARGEST_JSON_BYTES:
        raise UserError(f"{name}: got {len(content)} bytes, the limit is {LARGEST_JSON_BYTES}")
    try:
        given = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise UserError(f"{name}: got a {type(given).__name__}, expected an object")
    return given
