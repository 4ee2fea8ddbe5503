"""Imports go one way between the rooms, and shared code names no algorithm (docs/architecture.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import algorithms

ROOT = Path(__file__).parents[2]
ROOMS = ["recordio", "algorithms", "serving", "entrypoint", "local"]  # from the lowest up


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def rooms_above(source: str, room: str) -> set[str]:
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    return {name.partition(".")[0] for name in imported(ast.parse(source))} & above


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_imports_from_one_above(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        assert not rooms_above(path.read_text(), room), path


def test_the_check_sees_an_import_from_above() -> None:
    assert rooms_above("def late():\n    from serving.app import x", "algorithms") == {"serving"}


@pytest.mark.parametrize("room", ["recordio", "serving", "entrypoint", "local"])
def test_shared_code_names_no_algorithm(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        modules = set(imported(ast.parse(path.read_text())))
        assert not modules & set(algorithms.TABLE.values()), path


@pytest.mark.parametrize("name", algorithms.TABLE)
def test_training_on_the_cpu_starts_without_heavy_libraries(name: str) -> None:
    """Start-up is budgeted: what only a GPU, several hosts, CSV or sparse records need is imported by them."""
    program = f"""
import sys
import entrypoint.training, algorithms
algorithms.algorithm({name!r})
print(*sorted(set(sys.modules) & {{"torch", "scipy", "sklearn", "pandas", "pyarrow", "flask", "matplotlib", "rich"}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""
