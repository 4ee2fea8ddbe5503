"""`onepass train --hosts N` with every algorithm: hosts as processes that learn together."""

from __future__ import annotations

import re
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from algorithms.artifacts.states import read_state
from local.models import opened
from tests.contract.cases import CASES, Case
from tests.contract.jobs import record_bytes, wait_for
from tests.contract.test_local_models import ONEPASS, good, onepass, options, typed
from tests.contract.test_training import training_metrics as metrics_of

pytest.importorskip("torch", reason="several hosts need the extra torch")

PARTS = 4  # of which three hosts get unequal shards
HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hosts")


@pytest.fixture(scope="module")
def data(folder: Path, case: Case) -> Path:
    path = folder / f"{case}-data"
    path.mkdir()
    for part in range(PARTS):
        (path / f"part-{part}.pbr").write_bytes(record_bytes(case.records(700, part)))
    return path


def training(case: Case, data: Path, output: Path, *arguments: object, **changed: str) -> list[object]:
    return [
        "train",
        case,
        "--channel",
        f"train={data}",
        *typed(case),
        *options(case, **changed),
        "--output",
        output,
        *arguments,
    ]


@pytest.fixture(scope="module")
def of_one_host(folder: Path, case: Case, data: Path) -> dict[str, float]:
    output = folder / f"{case}-one"
    good(*training(case, data, output))
    return training_metrics(case, output)


def training_metrics(case: Case, output: Path) -> dict[str, float]:
    with opened(output) as files:
        return metrics_of(case, files, case.records(700, 0))


@pytest.mark.parametrize(
    ("hosts", "mode", "distribution"), [(2, "File", "FullyReplicated"), (3, "Pipe", "ShardedByS3Key")]
)
def test_hosts_learn_what_one_would(
    tmp_path: Path,
    case: Case,
    data: Path,
    of_one_host: dict[str, float],
    hosts: int,
    mode: str,
    distribution: str,
) -> None:
    options = ("--hosts", hosts, "--input-mode", mode, "--distribution", distribution)
    output = good(*training(case, data, tmp_path, *options))
    for host in HOSTS[:hosts]:
        assert f"{host} | " in output
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        names = tar.getnames()
    assert case.model_name("127.0.0.1") in names and len(names) == len(set(names))
    found = training_metrics(case, tmp_path)
    assert found.keys() == of_one_host.keys() and found
    for name, value in of_one_host.items():
        assert found[name] == pytest.approx(value, rel=case.merge_tolerance)


def test_bad_data_of_one_host_ends_the_job_in_its_name(tmp_path: Path, case: Case, data: Path) -> None:
    for path in data.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "part-3.pbr").unlink()
    rows = [np.zeros((1, case.width + more), np.float32) for more in (1, 2)]  # of any width, or as the settings say
    (tmp_path / "part-3.pbr").write_bytes(b"".join(record_bytes((row, np.zeros(1, np.float32))) for row in rows))
    output = tmp_path / "out"
    run = onepass(*training(case, tmp_path, output, "--hosts", 2, "--distribution", "ShardedByS3Key"))
    assert run.returncode == 2, run.stdout + run.stderr
    assert run.stderr.startswith(f"{HOSTS[1]}: Customer Error: ")
    assert re.search(rf"got {case.width + 1} features, expected {case.width}", run.stderr) or case.guest
    assert "features, expected" in run.stderr
    assert not output.exists()


def test_wrong_settings_are_told_once(tmp_path: Path, case: Case, data: Path) -> None:
    run = onepass(*training(case, data, tmp_path / "out", "--hosts", 2, nonsense="1"))
    assert run.returncode == 2
    assert run.stderr.count("'nonsense' was unexpected") == 1


def test_one_signal_keeps_the_model_of_what_all_have_seen(tmp_path: Path, case: Case, data: Path) -> None:
    arguments = training(case, data, tmp_path, "--hosts", 2, **case.lasting(1_000_000))
    process = subprocess.Popen(
        [*ONEPASS, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    await_hosts(iter(process.stdout), "to the first update")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, ""), output
    assert "Stopped early: the model is of the records seen so far." in output
    assert training_metrics(case, tmp_path)


@pytest.mark.parametrize(("before", "hosts"), [(2, 1), (1, 2), (2, 4)])
def test_a_job_goes_on_with_another_number_of_hosts(
    tmp_path: Path, case: Case, data: Path, of_one_host: dict[str, float], before: int, hosts: int
) -> None:
    """Killed, it goes on from what all had learned: nothing is lost, the pass begins anew."""
    checkpoints = tmp_path / "checkpoints"
    kept = ("--checkpoint", checkpoints)
    cut = training(
        *(case, data, tmp_path / "cut", "--hosts", before, *kept, "--distribution", "ShardedByS3Key"),
        **case.lasting(1_000_000),
    )
    process = subprocess.Popen([*ONEPASS, *map(str, cut)], stdout=subprocess.PIPE, text=True)
    wait_for(lambda: len({*hosts_of(checkpoints)}) == before, "checkpoints of all hosts")
    running = psutil.Process(process.pid).children(recursive=True)
    for each in running:
        each.kill()
    psutil.wait_procs(running, timeout=30)
    process.communicate()
    saved = [read_state(path) for path in checkpoints.glob("checkpoint_*[0-9]")]
    at_least = int(case.hyperparameters.get(case.algorithm.lasting, "1"))
    lasting = case.lasting(max(at_least, *(1 + one.position["epoch"] for one in saved)))
    output = good(*training(case, data, tmp_path / "out", "--hosts", hosts, *kept, **lasting))
    assert f"Resuming on {hosts} hosts from checkpoints of {before}." in output
    found = training_metrics(case, tmp_path / "out")
    for name, value in of_one_host.items():
        if case.guest:  # it may have learned for more rounds, and so better
            assert found[name] < value * (1 + case.merge_tolerance)
            continue
        assert found[name] == pytest.approx(value, rel=max(0.01, case.merge_tolerance))
    assert len({*hosts_of(checkpoints)}) == hosts


def hosts_of(checkpoints: Path) -> list[str]:
    return [path.name.rpartition("-")[0] for path in checkpoints.glob("checkpoint_*[0-9]")]


def await_hosts(lines: Iterator[str], words: str) -> None:
    """Until the log of two hosts has these words."""
    waited_for = set(HOSTS[:2])
    while waited_for:
        line = next(lines)
        if words in line:
            waited_for.discard(line.split(" | ")[0])
