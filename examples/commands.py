"""What the examples share: commands as a user types them, printed before they run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

ONEPASS = str(Path(sys.executable).with_name("onepass"))
console = Console()


def show(command: list[str]) -> None:
    console.print(f"\n$ onepass {shlex.join(command)}", style="bold", markup=False, highlight=False, soft_wrap=True)


def run(*command: str) -> None:
    show([*command])
    subprocess.run([ONEPASS, *command], check=True)


@contextmanager
def served(model: Path) -> Iterator[str]:
    """Serve the model on a free port for the length of the block, which gets the URL."""
    command = ["serve", str(model), "--port", "0"]
    show(command)
    with subprocess.Popen([ONEPASS, *command], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield next(
                word.rstrip(":") for line in server.stdout for word in line.split() if word.startswith("http://")
            )
        finally:
            server.terminate()
            server.communicate()  # it says goodbye; without a reader it would complain


def ask(model: Path, rows: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """Serve the model and send the rows as one JSON request: an answer for each."""
    with served(model) as url:
        console.print(f"$ curl {url}/invocations -H 'Content-Type: application/json' -d @records.json", style="bold")
        body = json.dumps({"instances": [{"features": row} for row in rows.tolist()]}).encode()
        request = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as reply:
            (answers,) = json.load(reply).values()
    return list(answers)
