"""The documentation is true: generated parts are up to date, links lead somewhere, and every command works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import algorithms
from docs.generate import generated

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("name", algorithms.TABLE)
def test_generated_parts_are_up_to_date(name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text()
    assert generated(page, name) == page, "run make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def commands(page: Path) -> str:
    """All blocks marked `sh`, one after the other, as a reader would type them. `console` blocks are only shown."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return "\n".join(block for block in blocks if not block.startswith("make test"))  # which runs this very test


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_work(page: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in (".git", "quickstart", "results", "build"):
            (checkout / entry.name).symlink_to(entry)
    (checkout / ".venv").unlink()
    (checkout / ".venv" / "bin").mkdir(parents=True)
    for program in ("python", "onepass"):
        script = checkout / ".venv" / "bin" / program
        script.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).with_name(program)}" "$@"\n')
        script.chmod(0o755)
    # The environment is there already, and so are the records of the quickstart.
    script = commands(page).replace("make quickstart", ".venv/bin/python examples/quickstart.py")
    if "quickstart.py" not in script and "quickstart/" in script:
        script = ".venv/bin/python examples/quickstart.py\n" + script
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


def test_documented_console_commands_exist() -> None:
    """Commands in `console` blocks that need Docker, a server or a network name real files and programs."""
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
                for word in re.findall(r"-f (\S+)", command):
                    assert (ROOT / word).exists(), command
                program = command.split()[0].split("/")[-1]
                elsewhere = ("docker", "kubectl", ".venv")  # not on every machine that runs this test
                assert shutil.which(program) or any(word in command for word in elsewhere)
