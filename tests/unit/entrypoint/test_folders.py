"""Folders that hosts share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from entrypoint.folders import Folder


def test_hosts_may_prepare_one_folder_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each clears what lies aside, also what another tries out the folder with."""
    folder, write = tmp_path / "model", Path.write_bytes

    def cleared_meanwhile(path: Path, content: bytes) -> int:
        written = write(path, content)
        Folder("model", folder).prepare(writes=False)
        return written

    monkeypatch.setattr(Path, "write_bytes", cleared_meanwhile)
    with ThreadPoolExecutor(4) as hosts:
        for done in [hosts.submit(Folder("model", folder).prepare) for _ in range(100)]:
            done.result()
    assert not [*folder.iterdir()]
