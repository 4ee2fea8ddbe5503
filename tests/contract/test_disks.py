"""Disks that are full and folders that are read-only: real ones, mounted in a namespace of the job's own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.cases import CASES, Case
from tests.contract.jobs import PATIENCE_SECONDS, RECORDIO, Job, record_bytes

NAMESPACE = ["unshare", "--map-root-user", "--mount", "sh", "-euc"]
PAGE_KIB = 4  # what a file in memory grows by
# What was there before is there again, on a disk of its own; what is left in the end is told to the outside.
SCRIPT = """
mount -t tmpfs -o "size=$ROOM" none "$FOLDER"
cp -a "$BEFORE/." "$FOLDER"
mount -o "remount,$RIGHTS" "$FOLDER"
set +e
"$@"
code=$?
cp -a "$FOLDER/." "$AFTER"
exit $code
"""

FULL = "No space left on device. Make room there, or mount a larger volume."
READ_ONLY = "Read-only file system. Mount it so that it can be written."


@pytest.fixture(scope="module", autouse=True)
def _namespaces() -> None:
    tried = subprocess.run([*NAMESPACE, "mount -t tmpfs none /mnt"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"NO DISK WAS FILLED: this kernel lets us mount none: {tried.stderr.strip()}")


@dataclass
class Run:
    """What a job said, and what it left on the disk."""

    code: int
    log: str
    left: dict[str, bytes]


def on_a_disk(job: Job, name: str, *, kib: int = 1024, rights: str = "rw", **variables: str) -> Run:
    """Train with one of the job's folders, and what it holds now, on a disk of its own."""
    folder, before, after = (job.base / each for each in (name, f"{name}-before", f"{name}-after"))
    folder.mkdir(exist_ok=True)
    folder.rename(before)
    folder.mkdir()
    after.mkdir(exist_ok=True)
    disk = {"FOLDER": str(folder), "BEFORE": str(before), "AFTER": str(after), "ROOM": f"{kib}k", "RIGHTS": rights}
    told = {"SAGEMAKER_BASE_DIR": str(job.base), "ALGORITHM": job.case.name}
    done = subprocess.run(
        [*NAMESPACE, SCRIPT, "sh", sys.executable, "-m", "entrypoint", "train"],
        env={**os.environ, **disk, **told, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    left = files(after)
    folder.rmdir()  # nothing was written beside the disk
    before.rename(folder)
    return Run(done.returncode, done.stdout, left)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def job_on(base: Path, case: Case, **hyperparameters: str) -> Job:
    job = Job(base, case)
    job.configure(**hyperparameters)
    job.channels(train={"ContentType": RECORDIO})
    job.files("train", {"a.pbr": record_bytes(case.records(1000, 1))})
    job.config("checkpointconfig", {})
    return job


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_full_model_folder_keeps_the_model_before(case: Case, tmp_path: Path) -> None:
    job = job_on(tmp_path / "job", case)
    before = {"model_algo-1": b"x", "state_of-before": b"y"}
    for name, content in before.items():
        (job.base / "model" / name).write_bytes(content)
    run = on_a_disk(job, "model", kib=(len(before) + 2) * PAGE_KIB)
    assert run.code == 3, run.log
    assert job.failure.startswith(f"Platform Error: The model folder {job.base}/model can't be written: {FULL}")
    assert "to the first update" in run.log and "Traceback" not in run.log
    assert run.left == before
    # What was learned is not lost: with more room, the job goes on from its last checkpoint.
    code, output = job.run()
    assert code == 0 and "Resuming from checkpoint" in output, output
    assert not before.keys() & {*job.model_files} - {"model_algo-1"}


CASE = CASES[0]


def test_a_full_checkpoint_folder_keeps_the_checkpoints_before(tmp_path: Path) -> None:
    whole = job_on(tmp_path / "whole", CASE, epochs="3")
    assert whole.run()[0] == 0
    job = job_on(tmp_path / "job", CASE, epochs="1")
    assert job.run(ONEPASS_CHECKPOINT_SECONDS="0")[0] == 0
    before = files(job.base / "checkpoints")
    assert len(before) == 2
    pages = sum(-(-len(content) // 1024 // PAGE_KIB) for content in before.values())
    job.configure(epochs="3")
    for path in (job.base / "model").iterdir():
        path.unlink()
    run = on_a_disk(job, "checkpoints", kib=(pages + 1) * PAGE_KIB, ONEPASS_CHECKPOINT_SECONDS="0")
    assert run.code == 3, run.log
    folder = job.base / "checkpoints"
    assert job.failure.startswith(f"Platform Error: The checkpoint folder {folder} can't be written: {FULL}")
    assert (run.left, job.model_files) == (before, {})
    code, output = job.run()
    assert code == 0 and "Resuming from checkpoint" in output, output
    assert job.model_files == whole.model_files


@pytest.mark.parametrize(("folder", "what"), [("model", "model"), ("checkpoints", "checkpoint")])
def test_a_read_only_folder_is_told_before_training(tmp_path: Path, folder: str, what: str) -> None:
    job = job_on(tmp_path / "job", CASE)
    assert job.run()[0] == 0
    before = files(job.base / folder)
    run = on_a_disk(job, folder, rights="ro")
    assert run.code == 3, run.log
    assert job.failure.startswith(
        f"Platform Error: The {what} folder {job.base / folder} can't be written: {READ_ONLY}"
    )
    assert "to the first update" not in run.log and "Traceback" not in run.log
    assert run.left == before


@pytest.mark.parametrize(("rights", "kib", "reason"), [("ro", 1024, "Read-only"), ("rw", PAGE_KIB, "No space left")])
def test_without_room_for_the_failure_file_the_log_tells(tmp_path: Path, rights: str, kib: int, reason: str) -> None:
    job = job_on(tmp_path / "job", CASE, k="0")
    (job.base / "output" / "other").write_text("x")
    run = on_a_disk(job, "output", rights=rights, kib=kib)
    assert run.code == 2, run.log
    assert "Customer Error: " in run.log and "The value '0' is not valid for the 'k'" in run.log
    assert "The failure file can't be written: " in run.log and reason in run.log
    job.configure()
    assert on_a_disk(job, "output", rights=rights, kib=kib).code == 0
