"""The Job and the Deployment of deploy/ in containers, with their steps, mounts, user and rights, but no Kubernetes."""

from __future__ import annotations

import json
import os
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import algorithms
from tests.container.test_image import IMAGE, answers, docker
from tests.contract.jobs import record_bytes, wait_for
from tests.deploy.test_manifests import LAYOUT, NAME, PODS, TRAIN, WIDTH, resource, variables

pytestmark = [pytest.mark.container, pytest.mark.skipif(not IMAGE.startswith(f"{NAME}:"), reason=f"they are of {NAME}")]

USER = PODS["Job"]["securityContext"]["runAsUser"]
HOSTS = int(variables(LAYOUT)["HOSTS"])


def owned(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, USER, USER)
    return path


class Cluster:
    """Containers on a network of their own, and volumes that are folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"onepass-test-{uuid.uuid4().hex[:12]}"
        self.containers: list[str] = []
        docker("network", "create", self.name)

    def volume(self, name: str, index: int | None) -> Path:
        """Claims are of all pods, the rest is of one."""
        shared = index is None or name in ("records", "results")
        return owned(self.folder / (name if shared else f"{name}-{index}"))

    def start(self, container: dict[str, Any], index: int | None, *options: str) -> str:
        name = f"{self.name}-{len(self.containers)}"
        self.containers.append(name)
        words = ["--name", name, "--network", self.name, "--read-only", "--user", f"{USER}:{USER}", "--cap-drop", "ALL"]
        for mount in container["volumeMounts"]:
            source = self.volume(mount["name"], index) / mount.get("subPath", "")
            words += ["-v", f"{source}:{mount['mountPath']}{':ro' if mount.get('readOnly') else ''}"]
        for key, value in variables(container).items():
            words += ["-e", f"{key}={value}"]
        docker("run", "--detach", *words, *options, IMAGE, *container["args"])
        return name

    def close(self) -> None:
        for name in self.containers:
            docker("rm", "--force", name)
        docker("network", "rm", self.name)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    tmp_path.chmod(0o755)
    cluster = Cluster(tmp_path)
    try:
        yield cluster
    finally:
        cluster.close()


def code(name: str) -> int:
    return int(docker("wait", name).strip())


def pod(cluster: Cluster, index: int, **config: str) -> str:
    """Lay out, then start to train. Returns the container's name."""
    for name, content in (resource("training.yaml", "ConfigMap")["data"] | config).items():
        (cluster.volume("config", index) / name).write_text(content)
    told = {"JOB": NAME, "JOB_UID": "1-2", "JOB_COMPLETION_INDEX": str(index)}
    step = cluster.start(LAYOUT, index, *(word for pair in told.items() for word in ("-e", "=".join(pair))))
    assert code(step) == 0, docker("logs", step)
    message = cluster.folder / f"message-{index}"  # as the kubelet makes it
    message.touch()
    message.chmod(0o666)
    alias = ["--network-alias", f"{NAME}-{index}.{NAME}", "--hostname", f"{NAME}-{index}"]
    return cluster.start(TRAIN, index, *alias, "-v", f"{message}:{TRAIN['terminationMessagePath']}")


def records(cluster: Cluster) -> None:
    for part in range(HOSTS):
        rows = np.random.default_rng(part).normal(size=(500, WIDTH)).astype(np.float32)
        (owned(cluster.volume("records", None) / "train") / f"{part}.pbr").write_bytes(record_bytes((rows, None)))


def test_a_job_is_stopped_goes_on_and_is_served(cluster: Cluster) -> None:
    records(cluster)
    long = {"hyperparameters.json": f'{{"k": "10", "feature_dim": "{WIDTH}", "epochs": "1000000"}}'}
    hosts = [pod(cluster, index, **long) for index in reversed(range(HOSTS))]  # the leader comes last
    for host in hosts:
        wait_for(lambda host=host: "to the first update" in docker("logs", host), "the first update")  # type: ignore[misc]
    docker("stop", "--time", "100", hosts[0])
    stopped = int(variables(TRAIN)["ONEPASS_STOPPED_EXIT_CODE"])
    assert [code(host) for host in hosts] == [stopped] * HOSTS

    short = {name: content.replace("1000000", "1") for name, content in long.items()}
    hosts = [pod(cluster, index, **short) for index in range(HOSTS)]
    assert [code(host) for host in hosts] == [0] * HOSTS
    assert all("Resuming from checkpoint" in docker("logs", host) for host in hosts)
    model = cluster.volume("results", None) / "model"
    assert algorithms.algorithm(NAME).load(model).feature_dim == WIDTH

    server = cluster.start(PODS["Deployment"]["containers"][0], None, "-p", "127.0.0.1::8080")
    url = f"http://127.0.0.1:{docker('port', server, '8080/tcp').strip().rpartition(':')[2]}"
    wait_for(lambda: answers(f"{url}/ping"), "/ping")
    row = ",".join(["0"] * WIDTH).encode()
    request = urllib.request.Request(f"{url}/invocations", row, {"Content-Type": "text/csv"})
    assert len(json.load(urllib.request.urlopen(request, timeout=10))["predictions"]) == 1


def test_the_message_of_a_failed_pod(cluster: Cluster) -> None:
    records(cluster)
    hosts = [pod(cluster, index, **{"hyperparameters.json": '{"k": "0"}'}) for index in range(HOSTS)]
    assert {code(host) for host in hosts} == {2}
    assert (cluster.folder / "message-0").read_text().startswith("Customer Error: ")
