from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from recordio.errors import PlatformError
from serving.metrics import Meter
from serving.server import options, writable_folder
from serving.settings import Settings


def test_first_folder_that_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    (tmp_path / "file").touch()
    candidates = (str(tmp_path / "none"), str(tmp_path / "file"), str(tmp_path))
    assert writable_folder(candidates) == tmp_path
    with pytest.raises(PlatformError, match=r"No folder can be written to: expected one of .*none, .*file, or TMPDIR"):
        writable_folder(candidates[:2])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert writable_folder(candidates[:2]) == tmp_path


def test_rights_given_up_after_the_import_stay_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(os, "getegid", lambda: 54322)
    found = options(Settings(), Meter(("other",)))
    assert (found["user"], found["group"]) == (54321, 54322)


def test_the_platform_waits_longer_for_the_end_than_open_requests_take() -> None:
    assert options(Settings(), Meter(("other",)))["graceful_timeout"] < 30


def test_workers_count_in_rows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(("other",), workers=2)
    taken: list[int] = []
    monkeypatch.setattr(meter, "take_row", taken.append)
    hooks = options(Settings(workers=2), meter)
    arbiter = SimpleNamespace(WORKERS={})
    for process in (101, 102, 103):
        worker = SimpleNamespace()
        hooks["pre_fork"](arbiter, worker)
        arbiter.WORKERS[process] = worker
        hooks["post_fork"](arbiter, worker)
        arbiter.WORKERS = {
            number: other for number, other in arbiter.WORKERS.items() if process != 102 or number != 101
        }
    assert taken == [0, 1, 0]  # 103 takes the place of 101, which died meanwhile
