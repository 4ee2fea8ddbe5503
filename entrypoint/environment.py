"""What the platform tells a container: folders, config files and variables, read once at start.

Real platforms and local clients differ in which files they write; any of them may be missing or empty, and then the
documented defaults hold.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import algorithms
from entrypoint.cluster import Cluster
from recordio.errors import PlatformError, UserError

LARGEST_CONFIG_BYTES = 4 << 20
DEEPEST_CONFIG = 16  # lists and objects inside one another
CHANNEL_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
HOST_NAME = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,252}")  # it becomes part of file names
MODES = ("File", "FastFile", "Pipe")
SCRIPT_CHANNELS = ("code", "sm_drivers")  # added by SDK 3.x for script mode; not data


@dataclass(frozen=True)
class ChannelConfig:
    """One channel of inputdataconfig.json.

    content_type   as the request gave it; None where it gave none
    wrapped        each object of a pipe stands in one RecordIO record
    """

    name: str
    mode: str = "File"
    content_type: str | None = None
    wrapped: bool = False


@dataclass(frozen=True)
class Environment:
    """The container's surroundings.

    base       /opt/ml, or where SAGEMAKER_BASE_DIR points
    algorithm  name from the table of algorithms
    """

    base: Path
    algorithm: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_variables(cls, variables: Mapping[str, str] = os.environ) -> Environment:
        """Raises PlatformError when no algorithm is named."""
        name = variables.get("ALGORITHM", "")
        if not name:
            names = ", ".join(sorted(algorithms.TABLE))
            raise PlatformError(f"The variable ALGORITHM is not set: expected the name of an algorithm, one of {names}")
        return cls(Path(variables.get("SAGEMAKER_BASE_DIR") or "/opt/ml"), name, variables)

    @property
    def config(self) -> Path:
        return self.base / "input" / "config"

    @property
    def data(self) -> Path:
        return self.base / "input" / "data"

    @property
    def model(self) -> Path:
        return self.base / "model"

    @property
    def output(self) -> Path:
        return self.base / "output"

    def hyperparameters(self) -> dict[str, Any]:
        """Content of hyperparameters.json; raises UserError when it is not one JSON object."""
        try:
            return _read(self.config / "hyperparameters.json")
        except PlatformError as error:  # the user's own words stand in this file
            raise UserError(str(error)) from None

    def channels(self) -> dict[str, ChannelConfig]:
        """The channels of inputdataconfig.json, or one File channel for each folder of input/data.

        Raises PlatformError for a file that is not of its form, UserError for what a request can't have held.
        """
        path = self.config / "inputdataconfig.json"
        configured = _read(path)
        if not configured and self.data.is_dir():
            folders = [path.name for path in sorted(self.data.iterdir()) if path.is_dir()]
            # A volume brings folders of its own, such as lost+found and ..data.
            configured = {name: {} for name in folders if CHANNEL_NAME.fullmatch(name) and name[0] not in "._"}
        channels = {}
        for name, fields in configured.items():
            if name in SCRIPT_CHANNELS:
                continue
            if not CHANNEL_NAME.fullmatch(name):
                raise UserError(f"Got channel name {name[:100]!r}, expected up to 64 letters, digits, '.', '-' and '_'")
            if not isinstance(fields, dict):
                raise PlatformError(f"{path}, channel {name}: got {str(fields)[:100]!r}, expected an object")
            mode = _match(fields.get("TrainingInputMode") or "File", MODES)
            if mode is None:
                got = str(fields["TrainingInputMode"])[:100]
                raise UserError(f"Channel {name}: got TrainingInputMode {got!r}, expected one of {', '.join(MODES)}")
            content_type = str(fields.get("ContentType") or "")
            if len(content_type) > 256 or not content_type.isprintable():
                raise UserError(f"Channel {name}: got ContentType {content_type[:100]!r}, expected a content type")
            wrapped = str(fields.get("RecordWrapperType", "None")).lower() == "recordio"
            channels[name] = ChannelConfig(name, mode, content_type or None, wrapped)
        return channels

    def cluster(self) -> Cluster:
        path = self.config / "resourceconfig.json"
        fields = _read(path)
        hosts = fields.get("hosts") or [fields.get("current_host") or "algo-1"]
        if not isinstance(hosts, list) or not all(
            isinstance(each, str) and HOST_NAME.fullmatch(each) for each in hosts
        ):
            raise PlatformError(f"{path}: got hosts {str(hosts)[:100]!r}, expected a list of names")
        if len(set(hosts)) < len(hosts):
            raise PlatformError(f"{path}: a host is named twice in {hosts}")
        host = fields.get("current_host") or hosts[0]
        if host not in hosts:
            raise PlatformError(f"{path}: current_host {str(host)[:100]!r} is not one of the hosts {hosts}")
        interface = str(fields.get("network_interface_name") or "eth0")
        return Cluster(host, tuple(sorted(hosts)), interface, self._port())

    def checkpoints(self) -> Path | None:
        """Folder for checkpoints, or None when the job has none configured."""
        path = self.config / "checkpointconfig.json"
        if not path.is_file():
            return None
        local = _read(path).get("LocalPath") or "/opt/ml/checkpoints"
        given = Path("/opt/ml", str(local))
        # Under a moved base directory the platform's default path moves too.
        return self.base / given.relative_to("/opt/ml") if given.is_relative_to("/opt/ml") else given

    @property
    def stopped_exit_code(self) -> int:
        """Of a job that was asked to end early, and did so in good order."""
        text = self.variables.get("ONEPASS_STOPPED_EXIT_CODE") or "0"
        if not text.isdecimal() or len(text) > 3 or int(text) > 255:
            raise PlatformError(f"The variable ONEPASS_STOPPED_EXIT_CODE is {text[:99]!r}, expected a number to 255")
        return int(text)

    def _port(self) -> int:
        text = self.variables.get("ONEPASS_PORT") or str(Cluster.port)
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise PlatformError(f"The variable ONEPASS_PORT is {text[:100]!r}, expected a port")
        return int(text)

    def seconds(self, variable: str, default: float) -> float:
        """Raises PlatformError for a variable that is no number of seconds."""
        text = self.variables.get(variable) or str(default)
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1
        if not seconds >= 0:  # nor nan
            raise PlatformError(f"The variable {variable} is {text[:100]!r}, expected a number of seconds")
        return seconds


def _match(given: object, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name.lower() == str(given).lower()), None)


def _read(path: Path) -> dict[str, Any]:
    """One JSON object; an empty one when the file is missing or blank."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_CONFIG_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise PlatformError(f"{path} can't be read: {error.strerror}") from error
    if len(content) > LARGEST_CONFIG_BYTES:
        raise PlatformError(f"{path} is larger than {LARGEST_CONFIG_BYTES} bytes")
    if not content.strip():
        return {}
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PlatformError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise PlatformError(f"{path}: got {type(value).__name__}, expected one JSON object")
    if _too_deep(value, DEEPEST_CONFIG):
        raise PlatformError(f"{path}: got more than {DEEPEST_CONFIG} lists and objects inside one another")
    return value


def _too_deep(value: object, levels: int) -> bool:
    inside: Iterable[object] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_too_deep(each, levels - 1) for each in inside if isinstance(each, dict | list))
