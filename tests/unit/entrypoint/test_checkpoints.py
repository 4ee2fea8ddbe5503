"""Checkpoints: the newest whole one counts, and what can't be written harms no older one."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from algorithms.artifacts.states import SavedState, read_state, write_state
from entrypoint.checkpoints import Checkpoints, Position
from entrypoint.collective import Collective
from recordio.errors import PlatformError, UserError
from tests.unit.entrypoint.forked import as_user, open_folder, with_file_limit


def state(number: int, size: int = 1, **position: int) -> SavedState:
    where = position or {"epoch": 0, "records": number, "hosts": 1}
    return SavedState("toy", {}, {"total": np.full(size, number, np.float64)}, {}, where)


def save(kept: Checkpoints, *numbers: int, size: int = 1) -> None:
    for number in numbers:
        kept.save_when_due(lambda number=number: state(number, size), now=True)  # type: ignore[misc]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def newest(folder: Path, host: str = "algo-1") -> int | None:
    found = Checkpoints(folder, host).latest()
    return None if found is None else found.position["records"]


def test_two_are_kept_and_the_newest_counts(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "new" / "folder", "algo-1")
    assert kept.latest() is None
    save(kept, *range(4))
    assert names(tmp_path / "new" / "folder") == ["checkpoint_algo-1-000000002", "checkpoint_algo-1-000000003"]
    assert newest(tmp_path / "new" / "folder") == 3


def test_a_new_process_goes_on_with_the_numbers(tmp_path: Path) -> None:
    save(Checkpoints(tmp_path, "algo-1"), 1, 2)
    save(Checkpoints(tmp_path, "algo-1"), 3)
    assert names(tmp_path) == ["checkpoint_algo-1-000000001", "checkpoint_algo-1-000000002"]
    (tmp_path / "checkpoint_algo-1-000000002").rename(tmp_path / "checkpoint_algo-1-999999999")
    save(Checkpoints(tmp_path, "algo-1"), 4, 5)  # numbers with a digit more are still newer
    assert newest(tmp_path) == 5 and len(names(tmp_path)) == 2


@pytest.mark.parametrize("damage", [b"", b"\x00" * 99, None])
def test_a_damaged_newest_one_is_passed_over(
    tmp_path: Path, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Checkpoints(tmp_path, "algo-1")
    save(kept, 1, 2)
    torn = tmp_path / "checkpoint_algo-1-000000001"
    torn.write_bytes(torn.read_bytes()[:-5] if damage is None else damage)
    with caplog.at_level(logging.INFO):
        resumed = Checkpoints(tmp_path, "algo-1")
        found = resumed.latest()
    assert found is not None and found.position["records"] == 1
    assert "Checkpoint checkpoint_algo-1-000000001 passed over: 'checkpoint_algo-1-000000001' is" in caplog.text
    assert f"Resuming from checkpoint {tmp_path}/checkpoint_algo-1-000000000." in caplog.text
    save(resumed, 3)
    assert names(tmp_path) == ["checkpoint_algo-1-000000000", "checkpoint_algo-1-000000002"], "a whole one went first"
    torn.write_bytes(b"")
    (tmp_path / "checkpoint_algo-1-000000002").write_bytes(b"")
    (tmp_path / "checkpoint_algo-1-000000000").write_bytes(b"")
    assert newest(tmp_path) is None


def test_a_newest_one_that_is_cut_anywhere_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(Checkpoints(tmp_path, "algo-1"), 1, 2)
    torn = tmp_path / "checkpoint_algo-1-000000001"
    content = torn.read_bytes()
    for length in range(len(content)):
        caplog.clear()
        torn.write_bytes(content[:length])
        assert newest(tmp_path) == 1
        assert [each.levelno for each in caplog.records] == [logging.WARNING], "told once"


@pytest.mark.parametrize(
    "position",
    [{}, {"epoch": 1}, {"epoch": -1, "records": 0, "hosts": 1}, {"epoch": 0, "records": 0, "hosts": 1, "x": 1}],
)
def test_a_state_without_a_position_is_no_checkpoint(tmp_path: Path, position: dict[str, int]) -> None:
    saved = SavedState("toy", {}, {}, {}, position)
    with pytest.raises(UserError, match="expected epoch, records and hosts"):
        Position.of(saved)
    write_state(tmp_path / "checkpoint_algo-1-000000007", saved)
    assert newest(tmp_path) is None


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    others = [
        "checkpoint_algo-10-000000001",
        "checkpoint_algo-1-000000009.sagemaker-uploaded",
        "checkpoint_algo-1-x",
        "checkpoint_algo-1-",
        "xgboost-checkpoint.3",
        "notes.txt",
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"not a state")
    (tmp_path / "checkpoint_algo-1-000000005").mkdir()
    (tmp_path / ".partial-0-checkpoint_algo-1-000000009.sagemaker-ignore").write_bytes(b"left by a kill")
    kept = Checkpoints(tmp_path, "algo-1")
    assert kept.latest() is None
    save(kept, 1, 2, 3)
    ours = ["checkpoint_algo-1-000000001", "checkpoint_algo-1-000000002", "checkpoint_algo-1-000000005"]
    assert names(tmp_path) == sorted(others + ours)


def test_hosts_share_a_folder(tmp_path: Path) -> None:
    save(Checkpoints(tmp_path, "algo-1"), 1, 2, 3)
    save(Checkpoints(tmp_path, "algo-10"), 7)
    assert (newest(tmp_path, "algo-1"), newest(tmp_path, "algo-10"), newest(tmp_path, "algo")) == (3, 7, None)


class CutOff(Exception):
    """What a kill looks like from inside."""


class Cut(Collective):
    """A host that is killed where it waits for the others, the first time or a later one."""

    def __init__(self, at: int) -> None:
        self.left = at

    def barrier(self) -> None:
        self.left -= 1
        if not self.left:
            raise CutOff


def cluster(folder: Path, hosts: int) -> list[Checkpoints]:
    return [Checkpoints(folder, f"algo-{number + 1}", hosts=hosts) for number in range(hosts)]


def records_of(kept: Checkpoints) -> int | None:
    found = kept.latest()
    return None if found is None else found.position["records"]


def records_of_others(kept: Checkpoints, together: bool) -> list[int]:
    return sorted(read_state(path).position["records"] for path in kept.of_another_cluster(together=together))


@pytest.mark.parametrize("together", [True, False])
def test_a_move_to_another_number_of_hosts_can_be_cut_off(tmp_path: Path, together: bool) -> None:
    """Until the leader has saved, it begins anew; from then on it is done."""

    def save_moved(kept: Checkpoints, collective: Collective, *, leader: bool) -> None:
        kept.replace(lambda: state(0, epoch=1, records=7, hosts=2), collective, leader=leader)

    for number, one in enumerate(cluster(tmp_path, 3)):
        for records in (10, 20):
            one.save_when_due(lambda here=records + number: state(0, epoch=0, records=here, hosts=3), now=True)  # type: ignore[misc]
    for _ in range(3):  # each time in a process of its own
        leader, other = cluster(tmp_path, 2)
        assert records_of_others(leader, together) == [20, 21, 22]
        with pytest.raises(CutOff):
            save_moved(other, Cut(at=1), leader=False)
        with pytest.raises(CutOff):
            save_moved(leader, Cut(at=1), leader=True)
        assert [records_of(kept) for kept in cluster(tmp_path, 2)] == [None, 7]
    leader, other = cluster(tmp_path, 2)
    leader.of_another_cluster(together=together)
    save_moved(other, Collective(), leader=False)
    with pytest.raises(CutOff):
        save_moved(leader, Cut(at=2), leader=True)
    leader, other = cluster(tmp_path, 2)
    assert leader.of_another_cluster(together=together) == []
    assert [records_of(kept) for kept in (leader, other)] == [7, 7]


def test_a_move_that_was_cut_off_keeps_what_is_new(tmp_path: Path) -> None:
    for one in cluster(tmp_path, 3):
        save(one, 1, 2)
        one.save_when_due(lambda: state(0, epoch=0, records=3, hosts=3), now=True)
    leader, other = cluster(tmp_path, 2)
    with pytest.raises(CutOff):
        other.replace(lambda: state(0, epoch=1, records=7, hosts=2), Cut(at=1), leader=False)
    leader, other = cluster(tmp_path, 2)
    assert len(leader.of_another_cluster(together=False)) == 3
    for one in (other, leader):
        one.replace(lambda: state(0, epoch=1, records=8, hosts=2), Collective(), leader=one is leader)
    assert [records_of(kept) for kept in cluster(tmp_path, 2)] == [8, 8]
    assert len(names(tmp_path)) == 2, "what the three had saved is still there"


def test_a_checkpoint_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(Checkpoints(tmp_path, "algo-1"), 1, 2)
    read = []
    monkeypatch.setattr("entrypoint.checkpoints.read_state", lambda path: read.append(path.name) or read_state(path))
    kept = Checkpoints(tmp_path, "algo-1")
    assert kept.of_another_cluster(together=False) == [] and records_of(kept) == 2
    assert read == ["checkpoint_algo-1-000000001"]


def test_a_file_is_not_deleted_while_it_is_uploaded(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "algo-1")
    save(kept, 0)
    mark = tmp_path / "checkpoint_algo-1-000000000.sagemaker-uploading"
    mark.touch()
    save(kept, 1, 2)
    assert "checkpoint_algo-1-000000000" in names(tmp_path) and "checkpoint_algo-1-000000001" in names(tmp_path)
    mark.unlink()
    save(kept, 3)
    assert names(tmp_path) == ["checkpoint_algo-1-000000002", "checkpoint_algo-1-000000003"]


def test_saving_waits_for_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("entrypoint.checkpoints.time.monotonic", lambda: now[0])
    kept = Checkpoints(tmp_path, "algo-1", every_seconds=5)
    made = []

    def snapshot() -> SavedState:
        made.append(now[0])
        return state(len(made))

    for now[0] in (1001.0, 1004.9, 1005.0, 1006.0, 1010.1, 1010.2):
        kept.save_when_due(snapshot)
    assert made == [1005.0, 1010.1], "a snapshot costs time, and is made only when it is saved"
    kept.save_when_due(snapshot, now=True)
    assert made == [1005.0, 1010.1, 1010.2]


def test_without_a_folder_nothing_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        kept = Checkpoints(None, "algo-1", every_seconds=0)
    assert caplog.messages == ["Checkpoint loading and saving are disabled."]
    assert kept.latest() is None
    kept.save_when_due(lambda: pytest.fail("made a snapshot"), now=True)


def test_a_full_disk_is_told_and_older_ones_stay(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "algo-1")
    save(kept, 1, 2)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    text = with_file_limit(lambda: save(kept, 3, size=10_000), size=1000)
    assert text == f"PlatformError: The checkpoint folder {tmp_path} can't be written: File too large"
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before
    assert newest(tmp_path) == 2


def test_a_folder_that_takes_no_files() -> None:
    with open_folder() as folder:
        kept = Checkpoints(folder, "algo-1")
        save(kept, 1)
        text = as_user(lambda: save(kept, 2))
        expected = "can't be written: Permission denied. Let user 65534 read and write there."
        assert text == f"PlatformError: The checkpoint folder {folder} {expected}"
        text = as_user(lambda: Checkpoints(folder, "algo-1"))
        assert text == f"PlatformError: The checkpoint folder {folder} {expected}", "told at the first checkpoint only"
        assert newest(folder) == 1
        text = as_user(lambda: Checkpoints(folder / "new", "algo-1"))
        assert text == f"PlatformError: The checkpoint folder {folder}/new {expected}"
        with pytest.raises(PlatformError, match=r"can't be written: File exists\. Expected a folder"):
            Checkpoints(folder / "checkpoint_algo-1-000000000", "algo-1")


def together(folder: Path) -> list[str]:
    """Checkpoints that a host alone goes on from, of hosts that had parts of one model."""
    return [path.name for path in Checkpoints(folder, "algo-1").of_another_cluster(together=True)]


def test_parts_of_one_model_are_those_of_one_step(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for host, saves in (("algo-1", 3), ("algo-2", 2), ("algo-3", 3)):
        kept = Checkpoints(tmp_path, host, hosts=3)
        for number in range(saves):
            where = {"epoch": 0, "records": 10 * number, "hosts": 3}
            kept.save_when_due(lambda where=where: state(0, **where), now=True)  # type: ignore[misc]
    assert together(tmp_path) == [f"checkpoint_algo-{number}-000000001" for number in (1, 2, 3)]
    newest = Checkpoints(tmp_path, "algo-1").of_another_cluster(together=False)
    assert [path.name[-11:] for path in newest] == ["3-000000002", "1-000000002", "2-000000001"]
    (tmp_path / "checkpoint_algo-2-000000001").unlink()
    with caplog.at_level(logging.WARNING):
        assert together(tmp_path) == []
    assert "not all of those have one of the same step" in caplog.text
    assert Checkpoints(tmp_path, "algo-1", hosts=3).of_another_cluster(together=True) == []
