"""Who the process is after giving up root."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.privileges import drop_privileges
from tests.unit.entrypoint.forked import as_user, forked, open_folder

IMAGE = {"ONEPASS_USER": "1000"}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")


def after(base: Path, variables: dict[str, str], *, only_reads: bool) -> Callable[[], str]:
    def action() -> str:
        drop_privileges(base, variables, only_reads=only_reads)
        return f"{os.getresuid()} {os.getresgid()} {os.getgroups() if os.getuid() else 'root'}"

    return action


def ids(user: int, group: int) -> str:
    return f"{(user,) * 3} {(group,) * 3} []"


ROOT = f"{(0,) * 3} {(0,) * 3} root"


@pytest.mark.parametrize(
    ("owners", "variables", "only_reads", "expected"),
    [
        ({"model": (1234, 99)}, IMAGE, False, ids(1234, 99)),
        ({"model": (1234, 99)}, IMAGE, True, ids(1234, 99)),
        ({"": (1234, 99)}, IMAGE, False, ids(1234, 99)),
        ({"": (1234, 99), "model": (0, 0)}, IMAGE, False, ROOT),
        ({"model": (0, 0)}, IMAGE, False, ROOT),
        ({"model": (0, 0)}, IMAGE, True, ids(1000, 1000)),
        ({}, IMAGE, True, ids(1000, 1000)),
        ({"model": (1234, 99)}, {}, False, ROOT),
        ({"model": (1234, 99)}, {"ONEPASS_USER": "root"}, True, ROOT),
    ],
)
def test_the_owner_of_the_folder_decides(
    owners: dict[str, tuple[int, int]], variables: dict[str, str], only_reads: bool, expected: str
) -> None:
    with open_folder() as folder:
        for name, owner in owners.items():
            (folder / name).mkdir(exist_ok=True)
            os.chown(folder / name, *owner)
        assert forked(after(folder, variables, only_reads=only_reads)) == expected


def test_a_missing_folder() -> None:
    assert forked(after(Path("/no/such/folder"), IMAGE, only_reads=False)) == ROOT
    assert forked(after(Path("/no/such/folder"), IMAGE, only_reads=True)) == ids(1000, 1000)


@pytest.mark.parametrize(
    ("path", "mode"), [("", 0o700), ("model", 0o700), ("model/1", 0o750), ("model/1", 0o754), ("model/1/x", 0o640)]
)
def test_a_server_stays_root_where_only_root_may_read(path: str, mode: int) -> None:
    with open_folder() as folder:
        (folder / "model" / "1").mkdir(parents=True)
        (folder / "model" / "1" / "x").touch()
        (folder / path).chmod(mode)
        assert forked(after(folder, IMAGE, only_reads=True)) == ROOT


def test_a_user_stays_what_it_is() -> None:
    with open_folder() as folder:
        (folder / "model").mkdir()
        os.chown(folder / "model", 1234, 99)
        assert as_user(after(folder, IMAGE, only_reads=False), 1000) == ids(1000, 1000)


def test_without_the_capability_it_stays_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setgroups", refused)
    os.chown(tmp_path, 1234, 99)
    drop_privileges(tmp_path, IMAGE, only_reads=False)
    assert caplog.messages == ["Going on as root, since becoming user 1234 is not allowed: Operation not permitted"]
    assert os.getuid() == 0
