"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from algorithms.artifacts.whole import NOT_UPLOADED, PARTIAL, remove_partial, whole_artifact, whole_file
from tests.unit.entrypoint.forked import killed_at


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_name_at_the_end(tmp_path: Path) -> None:
    with whole_file(tmp_path / "model") as aside:
        aside.write_text("new")
        assert names(tmp_path) == [aside.name]
        assert aside.name.startswith(PARTIAL) and aside.name.endswith(NOT_UPLOADED)
    assert names(tmp_path) == ["model"] and (tmp_path / "model").read_text() == "new"


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "model") as aside:
        aside.write_text("half")
        raise ZeroDivisionError
    assert names(tmp_path) == ["model"] and (tmp_path / "model").read_text() == "old"


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "model"):
        pass
    assert names(tmp_path) == []


def test_a_file_system_that_takes_no_more(tmp_path: Path) -> None:
    """With a limit on file sizes, as a full disk would: in a process of its own, since the limit stays."""
    (tmp_path / "model").write_text("old")
    program = """
import resource, signal, sys
from pathlib import Path
from algorithms.artifacts.whole import whole_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with whole_file(Path(sys.argv[1])) as aside:
        aside.write_bytes(bytes(2000))
except OSError as error:
    print(error.strerror)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "model")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "File too large\n"
    assert names(tmp_path) == ["model"] and (tmp_path / "model").read_text() == "old"


def artifact(folder: Path, text: str) -> dict[str, str]:
    files = {"model.json": text, "model_algo-1": text, f"state_{text}": text}
    for name in files:
        (folder / name).write_text(text)
    return files


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith(PARTIAL)}


def test_an_artifact_replaces_another(tmp_path: Path) -> None:
    before = artifact(tmp_path, "old")
    (tmp_path / "model_other-host").touch()
    (tmp_path / "notes").write_text("kept")
    (tmp_path / "state_folder").mkdir()
    with whole_artifact(tmp_path) as aside:
        after = artifact(aside, "new")
        assert before.items() <= {name: (tmp_path / name).read_text() for name in before}.items()
    (tmp_path / "state_folder").rmdir()
    assert contents(tmp_path) == after | {"notes": "kept"}


def test_an_error_leaves_the_old_artifact(tmp_path: Path) -> None:
    before = artifact(tmp_path, "old")
    with pytest.raises(ZeroDivisionError), whole_artifact(tmp_path) as aside:
        (aside / "model_algo-1").write_text("half")
        raise ZeroDivisionError
    assert contents(tmp_path) == before


def test_an_artifact_is_whole_wherever_the_process_is_killed(tmp_path: Path) -> None:
    """At each step: the old one, none that has a model, or the new one."""
    seen = set()
    for step in range(1, 100):
        folder = tmp_path / str(step)
        folder.mkdir()
        before = artifact(folder, "old")

        def write(folder: Path = folder) -> None:
            with whole_artifact(folder) as aside:
                artifact(aside, "new")

        alive = not killed_at(step, (folder,), write)
        found = contents(folder)
        if found == before:
            seen.add("old")
        elif "model_algo-1" not in found:
            seen.add("none")
        else:
            assert set(found.values()) == {"new"} and len(found) == 3
            seen.add("new")
        if alive:
            break
    assert alive and seen == {"old", "none", "new"}


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("old")
    (tmp_path / "partial-notes").write_text("not ours")
    for block in (whole_file(tmp_path / "model"), whole_artifact(tmp_path)):
        child = os.fork()
        if child == 0:
            with block as aside:
                (aside / "x" if aside.is_dir() else aside).write_text("half")
                os.kill(os.getpid(), signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len([name for name in names(tmp_path) if name.startswith(PARTIAL)]) == 2
    remove_partial(tmp_path)
    assert names(tmp_path) == ["model", "partial-notes"] and (tmp_path / "model").read_text() == "old"
    remove_partial(tmp_path / "missing")
