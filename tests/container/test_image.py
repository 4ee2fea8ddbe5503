"""The image in a container: train and serve as users and platforms run it. `make test-container` builds it first."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from local.models import opened
from tests.contract.cases import CASES, Case
from tests.contract.jobs import RECORDIO, Feeder, Job, record_bytes, wait_for
from tests.contract.test_training import slowly, training_metrics

pytestmark = pytest.mark.container

IMAGE = os.environ.get("IMAGE", "")
SLIM = f"{IMAGE}-slim"
FILE = {"TrainingInputMode": "File", "ContentType": RECORDIO}
LARGEST_MEGABYTES = {"full": 1300, "slim": 600}


@pytest.fixture(scope="module")
def case() -> Case:
    assert shutil.which("docker") and IMAGE, "make test-container sets IMAGE and needs Docker"
    name = run(IMAGE, "cat", "/opt/onepass/algorithm").strip()
    return next(case for case in CASES if case.name == name)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def run(*arguments: str, code: int = 0) -> str:
    """`docker run`, but that some engines lose the exit code with --rm."""
    name = f"onepass-test-{uuid.uuid4().hex[:12]}"
    command = ["docker", "run", "--name", name, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    finally:
        docker("rm", "--force", name)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def job(case: Case, tmp_path: Path) -> Job:
    job = Job(tmp_path, case)
    job.channels(train=FILE)
    job.files("train", {"a.pbr": record_bytes(case.records(2000, 1))})
    return job


def open_to_all(base: Path) -> None:
    for path in (base, *base.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)


def mount(job: Job) -> list[str]:
    return ["-v", f"{job.base}:/opt/ml"]


@pytest.mark.parametrize("variant", LARGEST_MEGABYTES)
def test_size_and_settings(case: Case, variant: str) -> None:
    image = IMAGE if variant == "full" else SLIM
    found = json.loads(docker("image", "inspect", image))[0]
    assert found["Size"] / 1e6 < LARGEST_MEGABYTES[variant]
    assert found["Config"]["Entrypoint"][0].startswith("/") and found["Config"]["Cmd"] == ["train"]
    assert run(image, "printenv", "ALGORITHM").strip() == case.name
    spec = "import importlib.util; print(importlib.util.find_spec('torch') is not None)"
    assert run(image, "python", "-c", spec).strip() == str(variant == "full")


RUNS = {
    "as root": ([], False),
    "as any user": (["--user", "12345:12345"], True),
    "read-only": (["--read-only"], False),
    "read-only, any user, no capabilities": (
        ["--read-only", "--user", "12345", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"],
        True,
    ),
}


@pytest.mark.parametrize("how", RUNS)
def test_trains_and_serves(job: Job, case: Case, how: str) -> None:
    options, others = RUNS[how]
    if others:  # the folder belongs to someone else, as with a volume that is shared
        open_to_all(job.base)
    output = run(*options, *mount(job), IMAGE)  # with no argument the image trains
    assert "to the first update" in output
    model = case.algorithm.load(job.base / "model")
    features, _ = case.records(3, 5)
    with served(job, *options) as url:
        rows = [{"features": row} for row in features.tolist()]
        body, headers = (
            json.dumps({"instances": rows}).encode(),
            dict.fromkeys(("Content-Type", "Accept"), "application/json"),
        )
        request = urllib.request.Request(f"{url}/invocations", body, headers)
        reply = json.load(urllib.request.urlopen(request, timeout=10))
        from recordio.batch import Batch

        expected = model.predict(Batch(features))
        for name, column in expected.items():
            assert [row[name] for row in reply[case.algorithm.envelope]] == column.tolist()


@contextmanager
def served(job: Job, *options: str) -> Iterator[str]:
    name = f"onepass-test-{uuid.uuid4().hex[:12]}"
    docker("run", "--detach", "--name", name, "-p", "127.0.0.1::8080", *options, *mount(job), IMAGE, "serve")
    try:
        port = docker("port", name, "8080/tcp").strip().rpartition(":")[2]
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{url}/ping"), "/ping")
        yield url
        docker("stop", "--time", "30", name)  # then SIGKILL, which would leave 137
        assert json.loads(docker("inspect", name))[0]["State"]["ExitCode"] == 0
    finally:
        docker("rm", "--force", name)


def answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=2).status == 200)
    except OSError:
        return False


def test_files_belong_to_the_owner_of_the_folder(job: Job) -> None:
    """Started as root, the container works as the user whose folder it got."""
    for path in (job.base, *job.base.rglob("*")):
        os.chown(path, 4321, 4321)
    run(*mount(job), IMAGE, "train")
    assert {path.stat().st_uid for path in (job.base / "model").iterdir()} == {4321}


def test_pipe_mode(job: Job, case: Case) -> None:
    run(*mount(job), IMAGE, "train")
    expected = job.model_files
    shutil.rmtree(job.base / "model")
    (job.base / "model").mkdir()
    job.channels(train={**FILE, "TrainingInputMode": "Pipe"})
    Feeder(job, "train", [[record_bytes(case.records(2000, 1))]])
    run(*mount(job), IMAGE, "train")
    assert job.model_files == expected


def test_killed_and_resumed(job: Job, case: Case) -> None:
    run(*mount(job), IMAGE, "train")
    expected = job.model_files
    shutil.rmtree(job.base / "model")
    (job.base / "model").mkdir()
    job.channels(train={**FILE, "TrainingInputMode": "Pipe"})
    job.config("checkpointconfig", {"LocalPath": "/opt/ml/checkpoints"})
    content = record_bytes(case.records(2000, 1))
    name = f"onepass-test-{uuid.uuid4().hex[:12]}"
    often = ["-e", "ONEPASS_CHECKPOINT_SECONDS=0"]
    Feeder(job, "train", [slowly(content, 200, 0.05)])
    docker("run", "--detach", "--name", name, *often, *mount(job), IMAGE, "train")
    try:
        wait_for(lambda: any((job.base / "checkpoints").glob("checkpoint_*")), "a checkpoint")
    finally:
        docker("kill", name)
        docker("rm", "--force", name)
    (job.base / "input/data/train_0").unlink(missing_ok=True)
    Feeder(job, "train", [[content]])
    assert "Resuming from checkpoint" in run(*often, *mount(job), IMAGE, "train")
    assert job.model_files == expected


def test_sigterm_reaches_training(job: Job, case: Case) -> None:
    job.channels(train={**FILE, "TrainingInputMode": "Pipe"})
    if case.guest:
        job.configure(**case.lasting(1_000_000))
        Feeder(job, "train", [[record_bytes(case.records(1000, 1))]])
    else:
        Feeder(job, "train", [slowly(record_bytes(case.records(20_000, 1)), 2000, 0.05)])
    name = f"onepass-test-{uuid.uuid4().hex[:12]}"
    docker("run", "--detach", "--name", name, *mount(job), IMAGE, "train")
    try:
        wait_for(lambda: "to the first update" in docker("logs", name), "the first update")
        docker("stop", "--time", "60", name)
        assert json.loads(docker("inspect", name))[0]["State"]["ExitCode"] == 0
    finally:
        docker("rm", "--force", name)
    assert case.algorithm.load(job.base / "model").feature_dim == case.width


def test_bad_hyperparameters(job: Job, case: Case) -> None:
    job.configure({case.algorithm.lasting: "none of them"})
    assert "Customer Error: " in run(*mount(job), IMAGE, "train", code=2)
    assert job.failure.startswith("Customer Error: ") and "'none of them'" in job.failure


def test_other_commands_are_run(tmp_path: Path) -> None:
    """SDK 3.x cleans up with `docker run IMAGE chmod`; script mode wants bash."""
    (tmp_path / "inside").write_text("x")
    run("-v", f"{tmp_path}:/delete", IMAGE, "chmod", "-R", "777", "/delete")
    assert (tmp_path / "inside").stat().st_mode & 0o777 == 0o777
    assert run(IMAGE, "/bin/bash", "-c", "echo here").strip() == "here"
    assert "expected train, serve or a program" in run(IMAGE, "no-such-thing", code=127)


def test_slim_variant_names_the_full_one(job: Job) -> None:
    job.config("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]})
    output = run(*mount(job), SLIM, "train", code=3)
    assert "the slim variant of this image leaves out: use the full image" in output


NAMES = ["zeta", "host-2", "beta.local", "alpha"]  # the leader is the first by name, and here starts last


@dataclass(frozen=True)
class Host:
    job: Job
    container: str

    @property
    def code(self) -> int:
        return int(docker("wait", self.container).strip())

    @property
    def log(self) -> str:
        return docker("logs", self.container)


@contextmanager
def cluster(
    base: Path, case: Case, shards: dict[str, dict[str, bytes]], **hyperparameters: str
) -> Iterator[list[Host]]:
    """Containers on a network of their own, with own addresses, that find each other by name."""
    network = f"onepass-test-{uuid.uuid4().hex[:12]}"
    hosts = [Host(Job(base / name, case), f"{network}-{name}") for name in shards]
    docker("network", "create", network)
    try:
        for (name, files), host in zip(shards.items(), hosts, strict=True):
            host.job.configure(**hyperparameters)
            host.job.channels(train=FILE)
            host.job.config(
                "resourceconfig", {"current_host": name, "hosts": [*shards], "network_interface_name": "eth0"}
            )
            host.job.files("train", {"_marker": b"", **files})
            options = ["--detach", "--name", host.container, "--network", network, "--network-alias", name]
            docker("run", *options, *mount(host.job), IMAGE, "train")
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(["docker", "rm", "--force", host.container], capture_output=True, check=False)
        docker("network", "rm", network)


def test_several_hosts_in_containers(case: Case, tmp_path: Path) -> None:
    """Unequal shards, of which the leader's is empty."""
    sizes = dict(zip(NAMES, (1500, 400, 1100, 0), strict=True))
    shards = {name: {"a.pbr": record_bytes(case.records(size, size))} if size else {} for name, size in sizes.items()}
    with cluster(tmp_path, case, shards) as hosts:
        assert [host.code for host in hosts] == [0] * len(hosts), "\n".join(host.log for host in hosts)
    *others, leader = hosts
    assert case.algorithm.load(leader.job.base / "model").feature_dim == case.width
    assert case.model_name(NAMES[-1]) in leader.job.model_files
    assert [host.job.model_files for host in others] == [{}] * len(others)
    alone = Job(tmp_path / "alone", case)
    alone.channels(train=FILE)
    alone.files("train", {f"{name}.pbr": files["a.pbr"] for name, files in shards.items() if files})
    run(*mount(alone), IMAGE, "train")
    held = case.records(1000, 2)
    expected, found = (training_metrics(case, job.base / "model", held) for job in (alone, leader.job))
    assert found == {name: pytest.approx(value, rel=case.merge_tolerance) for name, value in expected.items()}


@pytest.mark.parametrize("victim", ["alpha", "host-2"], ids=["leader", "other"])
def test_a_killed_container_ends_the_others(case: Case, tmp_path: Path, victim: str) -> None:
    shards = {name: {"a.pbr": record_bytes(case.records(1000, 1))} for name in NAMES[1:]}
    with cluster(tmp_path, case, shards, **case.lasting(1_000_000)) as hosts:
        for host in hosts:
            wait_for(lambda host=host: "to the first update" in host.log, "the first update")  # type: ignore[misc]
        lost, *others = sorted(hosts, key=lambda host: host.job.base.name != victim)
        docker("kill", lost.container)
        since = time.monotonic()
        assert [host.code for host in others] == [3] * len(others), "\n".join(host.log for host in others)
        assert time.monotonic() - since < 60
        for host in others:
            assert host.job.failure.startswith(f"Platform Error: Nothing was heard of the host {victim} for 30 s")
            assert host.job.model_files == {}


@pytest.mark.parametrize("good", [True, False])
def test_onepass_trains_on_several_hosts(case: Case, tmp_path: Path, good: bool) -> None:
    """As a user does it: a shard for each container, one model, and nothing left behind in the end."""
    data, output = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    for part in range(4):
        (data / f"part-{part}.pbr").write_bytes(record_bytes(case.records(1000, part)))
    if not good:
        (data / "part-1.pbr").write_bytes(b"no records")
    settings = [word for name, value in case.hyperparameters.items() for word in ("-H", f"{name}={value}")]
    channel = [f"--channel=train={data}", f"--content-type=train={RECORDIO}", "--distribution=ShardedByS3Key"]
    command = [sys.executable, "-m", "local.cli", "train", case.name, "--image", IMAGE, "--hosts", "4", *channel]
    command += settings
    command += ["--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    if good:
        assert done.returncode == 0, done.stdout + done.stderr
        with opened(output) as files:
            assert {case.model_name()} == {path.name for path in files.glob("*model*") if path.suffix != ".json"}
            assert case.algorithm.load(files).feature_dim == case.width
    else:
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.startswith("algo-2: Customer Error: Unable to read data channel 'train'.")
    names = docker("network", "ls", "--format", "{{.Name}}") + docker("ps", "--all", "--format", "{{.Names}}")
    assert not re.search(r"^onepass-[0-9a-f]{12}$", names, re.MULTILINE)
