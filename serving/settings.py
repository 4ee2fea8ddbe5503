"""Settings of the server, read once from the container's variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from algorithms.numerics import machine
from recordio.errors import UserError

MIB = 1 << 20
WORKER_NAMES = ("MODEL_SERVER_WORKERS", "SAGEMAKER_MODEL_SERVER_WORKERS", "NUM_WORKERS")
TIMEOUT_NAMES = (
    "MODEL_SERVER_TIMEOUT",
    "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS",
    "SAGEMAKER_MODEL_SERVER_TIMEOUT",
)
PLATFORM_MIB = 100  # of all concurrent requests of a batch transform together
STRATEGIES = {"MULTIRECORD": "MULTI_RECORD", "SINGLERECORD": "SINGLE_RECORD"}


@dataclass(frozen=True)
class Settings:
    """How to serve.

    workers           processes; with several models one, so that all requests find the models that were loaded
    threads           requests that one worker computes at once
    connections       requests that one worker holds open at once, most of them waiting for bytes or for a thread
    timeout_seconds   for a request's body to come in, and again for its turn to be computed
    body_bytes        of a request, also when unpacked
    records           in one request
    accept            type of replies for callers that don't mind; None leaves it to the algorithm
    local_batch       a batch transform of the SDK's local mode, which spells strategies its own way
    variables         all of them, for those that are an algorithm's own
    """

    port: int = 8080
    workers: int = 1
    threads: int = 2
    connections: int = 256
    timeout_seconds: int = 60
    body_bytes: int = 25 * MIB
    records: int = 1_000_000
    accept: str | None = None
    batch: bool = False
    local_batch: bool = False
    strategy: str = "MULTI_RECORD"
    multi_model: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(
        cls,
        variables: Mapping[str, str],
        *,
        model: Path | None = None,
        processors: int | None = None,
        memory_bytes: int | None = None,
    ) -> Settings:
        """Read the variables of contract 4.6 to 4.8.

        model        folder of the model: its size bounds the default number of workers
        processors   of this machine unless given; memory_bytes likewise
        Raises UserError that names the variable and what it takes.
        """
        multi_model = _flag(variables, "SAGEMAKER_MULTI_MODEL")
        batch = _flag(variables, "SAGEMAKER_BATCH")
        payload_bytes = _count(variables, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 0, least=0, most=1 << 20) * MIB
        body_bytes = _count(variables, "MAX_CONTENT_LENGTH", cls.body_bytes, least=1, most=1 << 40)
        workers = _first(variables, WORKER_NAMES, 0, least=0, most=1024)
        return cls(
            port=_count(variables, "SAGEMAKER_BIND_TO_PORT", cls.port, least=1, most=65535),
            workers=1 if multi_model else workers or _workers(model, processors, memory_bytes),
            threads=_count(variables, "MODEL_SERVER_THREADS", cls.threads, least=1, most=64),
            timeout_seconds=_first(variables, TIMEOUT_NAMES, cls.timeout_seconds, least=1, most=86400),
            body_bytes=max(body_bytes, payload_bytes) if batch else body_bytes,
            records=_count(variables, "MAX_RECORDS", cls.records * (10 if batch else 1), least=1, most=1 << 31),
            accept=variables.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "").strip() or None,
            batch=batch,
            local_batch=variables.get("SAGEMAKER_BATCH") == "True",
            strategy=_strategy(variables),
            multi_model=multi_model,
            variables=dict(variables),
        )

    def execution_parameters(self) -> dict[str, int | str]:
        """What a batch transform should send, where its caller left that open."""
        concurrent = min(self.workers, PLATFORM_MIB)
        payload = min(self.body_bytes // MIB, PLATFORM_MIB // concurrent)
        # 0 would ask the platform for bodies without end.
        local = {"MULTI_RECORD": "MultiRecord", "SINGLE_RECORD": "SingleRecord"}
        strategy = local[self.strategy] if self.local_batch else self.strategy
        return {"MaxConcurrentTransforms": concurrent, "BatchStrategy": strategy, "MaxPayloadInMB": max(1, payload)}


def _workers(model: Path | None, processors: int | None, memory_bytes: int | None) -> int:
    """One worker a processor, as far as memory holds the model for each."""
    processors = processors or machine.processors()
    if model is None or not model.is_dir():
        return processors
    return max(1, min(processors, (memory_bytes or machine.memory_limit()) // max(1, folder_bytes(model))))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files under a folder; those that can't be seen count nothing."""
    total = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(inside) / name).lstat().st_size
    return total


def _strategy(variables: Mapping[str, str]) -> str:
    given = variables.get("SAGEMAKER_BATCH_STRATEGY", "").strip() or "MULTI_RECORD"
    strategy = STRATEGIES.get(given.upper().replace("_", ""))
    if strategy is None:
        raise UserError(f"SAGEMAKER_BATCH_STRATEGY: got '{given[:100]}', expected MULTI_RECORD or SINGLE_RECORD")
    return strategy


def _flag(variables: Mapping[str, str], name: str) -> bool:
    given = variables.get(name, "").strip().lower()
    if given not in ("", "true", "false", "1", "0"):
        raise UserError(f"{name}: got '{given[:100]}', expected true or false")
    return given in ("true", "1")


def _first(variables: Mapping[str, str], names: tuple[str, ...], default: int, *, least: int, most: int) -> int:
    """The first of several variables that is set."""
    name = next((name for name in names if variables.get(name, "").strip()), names[0])
    return _count(variables, name, default, least=least, most=most)


def _count(variables: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    given = variables.get(name, "").strip()
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 19 and least <= int(given) <= most):
        raise UserError(f"{name}: got '{given[:100]}', expected an integer between {least} and {most}")
    return int(given)
