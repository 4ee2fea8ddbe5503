"""State files: the snapshot of a state in a safetensors file, which holds arrays and text and can't hold code.

One format serves the artifact (`state_<uuid>`, so that training goes on from a model or answers for another k) and
checkpoints. The text is one JSON object under the metadata key `onepass`, after a CRC-32 of itself and the arrays,
so that a torn or damaged file is found before it is used.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from algorithms.artifacts.whole import whole_file
from algorithms.contract import Arrays
from recordio.errors import PlatformError, UserError

VERSION = 1
TYPES = {"f8": "F64", "f4": "F32", "f2": "F16", "b1": "BOOL"} | {
    f"{kind}{size}": f"{kind.upper()}{8 * size}" for kind in "iu" for size in (1, 2, 4, 8)
}


@dataclass(frozen=True)
class SavedState:
    """A state at rest.

    arrays, values   its snapshot
    position         where in the stream it stands; empty in an artifact
    """

    algorithm: str
    hyperparameters: Mapping[str, str]
    arrays: Arrays
    values: Mapping[str, Any]
    position: Mapping[str, int] = field(default_factory=dict)


def write_state(path: Path, state: SavedState) -> None:
    """Write one file, whole or not at all."""
    arrays = {name: np.asarray(array, order="C") for name, array in state.arrays.items()}
    text = json.dumps(
        {
            "version": VERSION,
            "algorithm": state.algorithm,
            "hyperparameters": dict(state.hyperparameters),
            "values": dict(state.values),
            "position": dict(state.position),
        }
    )
    # The library would copy all arrays, and hide the file from other users.
    with whole_file(path) as aside, aside.open("wb") as file:
        for part in _laid_out(arrays, "onepass", f"{_checksum(arrays, text):08x} {text}"):
            file.write(part)


def read_state(path: Path) -> SavedState:
    """Read one file.

    Raises UserError when it is damaged, of another kind, or of a later version; PlatformError when it can't be read.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            checksum, _, written = (file.metadata() or {})["onepass"].partition(" ")
            text = json.loads(written)
            if text["version"] != VERSION:
                raise UserError(f"{path.name!r} is a state of version {text['version']!r}, expected {VERSION}")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        if f"{_checksum(arrays, written):08x}" != checksum:
            raise UserError(f"{path.name!r} is damaged: its content does not match its checksum")
        mappings = [text[name] for name in ("hyperparameters", "values", "position")]
        if not all(isinstance(mapping, dict) for mapping in mappings):
            raise TypeError("its text is of another form")
        hyperparameters, values, position = mappings
        return SavedState(str(text["algorithm"]), hyperparameters, arrays, values, position)
    except OSError as error:
        raise PlatformError(f"{path} can't be read: {error}") from error
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path.name!r} is not a state file of this project, or is cut short ({error})") from error


def packed(arrays: Arrays, values: Mapping[str, Any]) -> bytearray:
    """A snapshot on its way to a peer; no file."""
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return bytearray().join(_laid_out(ordered, "values", json.dumps(dict(values))))


def unpacked(content: bytearray) -> tuple[Arrays, dict[str, Any]]:
    """The other way round; the arrays lie where they came."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    values = json.loads(header.pop("__metadata__")["values"])
    types = {name: dtype for dtype, name in TYPES.items()}
    arrays: Arrays = {
        name: np.ndarray(told["shape"], types[told["dtype"]], content, start + told["data_offsets"][0])
        for name, told in header.items()
    }
    return arrays, values


def artifact_name(arrays: Arrays) -> str:
    """`state_<uuid>`, as the original names it; the same arrays give the same name."""
    return f"state_{uuid.uuid5(uuid.NAMESPACE_OID, str(_checksum(arrays)))}"


def find_state(directory: Path) -> Path | None:
    """The state file of an unpacked artifact, or None."""
    found = sorted(path for path in directory.glob("state_*") if path.is_file())
    return found[0] if found else None


def _laid_out(arrays: Arrays, key: str, text: str) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file with one key of text; every array begins where its type wants it to."""
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    ends = np.cumsum([arrays[name].nbytes for name in names]).tolist()
    header: dict[str, Any] = {"__metadata__": {key: text}}
    for name, start, end in zip(names, [0, *ends], ends, strict=False):
        dtype = TYPES[arrays[name].dtype.str[1:]]
        header[name] = {"dtype": dtype, "shape": arrays[name].shape, "data_offsets": (start, end)}
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    yield len(told).to_bytes(8, "little") + told
    for name in names:
        yield arrays[name].reshape(-1).view(np.uint8).data


def _checksum(arrays: Arrays, text: str = "") -> int:
    total = zlib.crc32(text.encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        total = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), total)
        total = zlib.crc32(array.reshape(-1).view(np.uint8).data, total)
    return total
