"""The commands of the image: what is run, and how a stop is heard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import algorithms
from entrypoint.__main__ import main
from entrypoint.stopping import stop_requested
from tests.unit.entrypoint.conftest import Base, record_bytes
from tests.unit.entrypoint.forked import forked


def entrypoint(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ALGORITHM"} | variables
    command = [sys.executable, "-m", "entrypoint", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def test_help_tells_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("-h", "--help"):
        assert main([flag]) == 0
        assert "usage: python -m entrypoint [train | serve | COMMAND" in capsys.readouterr().out


def test_another_word_is_a_program_of_the_image(tmp_path: Path) -> None:
    """Clients clean up with `IMAGE chmod -R 777 /delete`."""
    (tmp_path / "file").touch(0o600)
    assert entrypoint("chmod", "-R", "777", str(tmp_path)).returncode == 0
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o777
    assert entrypoint("sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize("word", ["trian", "", "/etc/passwd"])
def test_a_word_that_is_no_program(word: str) -> None:
    done = entrypoint(word)
    assert done.returncode == 127
    assert done.stderr.startswith(f"{word}: ") and "expected train, serve or a program of this image" in done.stderr


def test_train_is_what_happens_without_a_word(base: Base) -> None:
    done = entrypoint(SAGEMAKER_BASE_DIR=str(base.path))
    assert done.returncode == 3
    text = "Platform Error: The variable ALGORITHM is not set: expected the name of an algorithm, one of "
    text += ", ".join(sorted({*algorithms.TABLE} - {"toy"}))  # which is in the table of this process alone
    assert (base.path / "output" / "failure").read_text() == text
    assert done.stdout.startswith(
        "Docker entrypoint called with argument(s): train\nRunning default environment configuration script\n["
    )
    assert done.stdout.endswith(f"] {text}\n") and "Traceback" not in done.stdout


def test_a_whole_job(base: Base) -> None:
    """The table of algorithms is patched in this process, so the command runs in a fork of it."""
    from entrypoint.train import train

    base.config("hyperparameters", {"feature_dim": "2"})
    base.file("train/a.pbr", record_bytes(np.array([[1, 2]])))

    def action() -> int:
        os.environ |= {"SAGEMAKER_BASE_DIR": str(base.path), "ALGORITHM": "toy"}
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return train()

    assert forked(action) == "0"
    assert (base.model / "model_algo-1").read_text() == "[1.0, 2.0]"
    assert not (base.path / "output" / "failure").exists()
    base.config("hyperparameters", {"feature_dim": "3"})
    assert forked(action) == "2"
    assert (base.path / "output" / "failure").read_text().startswith("Customer Error: Incorrect configuration or train")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_ask_for_a_stop(number: signal.Signals) -> None:
    def action() -> str:
        requested = stop_requested()
        before = requested.is_set()
        os.kill(os.getpid(), number)
        return f"{before} {requested.wait(5)}"

    assert forked(action) == "False True"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_comes_after_the_end_changes_nothing(base: Base, number: signal.Signals) -> None:
    """A platform that ends a cluster may ask a host to stop that is just ending by itself."""
    code = (
        "import os, sys\nfrom entrypoint.train import train\n"
        "class Late:\n"
        f"    def __del__(self, kill=os.kill, process=os.getpid()): kill(process, {int(number)})\n"
        "late = Late()  # cleared away when the interpreter hears no signals any more\n"
        "sys.exit(train())"
    )
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(base.path), "ALGORITHM": "kmeans"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=60, check=False)
    assert done.returncode == 2
