"""Fuzz one decoder: python tests/fuzz/fuzz.py DECODER [options of libFuzzer, such as -max_total_time=60].

What is found goes to build/fuzz/DECODER, beside a corpus that grows there; see README.md.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import atheris

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
MEMORY_BYTES = 2**29  # that one input may take, beyond what the program has when it starts
LONGEST = {"npz": 2500, "parquet": 1500}  # bytes of an input; all others: 512
PLAIN_SHARE = 0.4  # of mutations, which know nothing of a format


class Target:
    """One decoder. What it needs is loaded at the first input, when libFuzzer is there to be told of compiled code."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._check: Callable[[str, bytes], Any] | None = None
        self._mutation: Any = None

    def check(self, data: bytes) -> None:
        if self._check is None:
            self._load()
        self._check(self._name, data)  # type: ignore[misc]

    def _load(self) -> None:
        # Modules built with coverage look for libFuzzer's functions, which Python has loaded where they are not seen.
        ctypes.CDLL(sys.modules["atheris.core_with_libfuzzer"].__file__, mode=ctypes.RTLD_GLOBAL | os.RTLD_NOLOAD)
        with atheris.instrument_imports(include=["recordio"]):
            import laws
            import seeds
        for body in seeds.bodies(self._name):
            laws.check(self._name, bytes(laws.OPTION_BYTES) + body)
        self._check = laws.check
        if "ASAN_OPTIONS" not in os.environ:
            _bound_memory()

    def mutate(self, data: bytes, most: int, seed: int) -> bytes:
        from mutations import MUTATIONS

        random = Random(seed)
        head, body = data[:3].ljust(3, b"\0"), data[3:]
        mutation = MUTATIONS.get(self._name)
        if mutation is None or not body or random.random() < PLAIN_SHARE:
            return bytes(atheris.Mutate(data, most))
        if random.randrange(8) == 0:
            head = random.randbytes(3)
        return (head + mutation(body, lambda part: bytes(atheris.Mutate(part, len(part) + 64)), random))[:most]


def _bound_memory() -> None:
    """Let what takes too much memory fail with MemoryError, which no decoder may raise."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, resource.RLIM_INFINITY))


def main() -> None:
    name, *options = sys.argv[1:]
    if name not in (names := sorted(path.name for path in CORPUS.iterdir())):
        sys.exit(f"got decoder {name}, expected one of {', '.join(names)}")
    found = ROOT / "build/fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    defaults = ["-timeout=10", "-rss_limit_mb=2000", f"-max_len={LONGEST.get(name, 512)}", f"-artifact_prefix={found}-"]
    target = Target(name)
    arguments = [sys.argv[0], *defaults, *options, str(found), str(CORPUS / name)]
    atheris.Setup(arguments, target.check, custom_mutator=target.mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
