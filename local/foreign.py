"""Foreign models made our own: opened by a program of their algorithm, in a process that does nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import algorithms
from algorithms.artifacts.archives import pack, unpack
from algorithms.artifacts.whole import whole_file
from algorithms.foreign import Foreign
from recordio.errors import UserError

SHOWN = 500  # characters of what a program said
KEPT = ("PATH", "LD_LIBRARY_PATH")


def convert(
    source: Path, target: Path, *, trust: bool, algorithm: str | None = None, python: Path | None = None
) -> None:
    """Write the same model in a form that can't hold code; of a model.tar.gz, each of its files.

    trust    whether files that may hold code are opened
    python   which one opens them; this one unless given
    Raises UserError.
    """
    foreign = _foreign(algorithm)
    if not source.is_file():
        raise UserError(f"{source} is no file")
    if not source.name.endswith(".tar.gz"):
        with whole_file(target) as aside:
            aside.write_bytes(_converted(source, foreign, trust, python))
        return
    if not target.name.endswith(".tar.gz"):
        raise UserError(f"{target}: expected a name that ends in .tar.gz, as {source} does")
    with tempfile.TemporaryDirectory(prefix="onepass-") as folder:
        unpack(source, Path(folder))
        for path in sorted(Path(folder).iterdir()):
            if path.is_file() and not path.name.startswith("."):
                path.write_bytes(_converted(path, foreign, trust, python))
        pack(Path(folder), target)


def _foreign(algorithm: str | None) -> Foreign:
    able = {name: found for name in algorithms.TABLE if (found := algorithms.algorithm(name).foreign) is not None}
    name = algorithm or next(iter(able)) if len(able) == 1 or algorithm else None
    if name not in able:
        raise UserError(f"--algorithm: got {algorithm}, expected one that has foreign models: {', '.join(able)}")
    return able[name]


def _converted(source: Path, foreign: Foreign, trust: bool, python: Path | None) -> bytes:
    try:
        return foreign.renewed(source.name, source.read_bytes())
    except UserError as error:
        if not trust:
            raise UserError(f"{error}. --trust opens it here; only do so if you trust who made it") from None
    with tempfile.TemporaryDirectory(prefix="onepass-") as folder:
        written = Path(folder) / "model.json"
        command = [python or sys.executable, "-I", foreign.program, source.absolute(), written]
        variables = {name: os.environ[name] for name in KEPT if name in os.environ}
        try:
            done = subprocess.run(  # noqa: S603 - our program; the file is the caller's to trust
                command, cwd=folder, env=variables, capture_output=True, check=False, text=True, errors="replace"
            )
        except OSError as error:
            raise UserError(f"--python {python}: {error.strerror}") from error
        if done.returncode or not written.is_file():
            said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("  ")]
            reason = next(
                (line for line in said if "Error" in line), said[-1] if said else f"exit code {done.returncode}"
            )
            raise UserError(
                f"{source.name} can't be opened ({reason[:SHOWN]}). A model of an earlier version of its library is "
                "opened by that version: --python names a Python that has it"
            )
        return foreign.renewed(source.name, written.read_bytes())
