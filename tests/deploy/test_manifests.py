"""The manifests of deploy/: what Kubernetes takes, what the code knows, and their steps as they run."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import numpy as np
import pytest
import yaml

import algorithms
from algorithms.artifacts.archives import pack
from entrypoint import doors
from entrypoint.channels import configured_channels
from entrypoint.environment import Environment
from serving.server import GRACE_SECONDS
from serving.settings import Settings
from tests.contract.jobs import record_bytes
from tests.contract.served import Served

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy").glob("*.yaml"))
VERSIONS = ("1.29", kubernetes_validate.latest_version())  # from the first that the manifests need to the newest known
SCALING = {
    "minReplicas",
    "maxReplicas",
    "scaleMetric",
    "scaleTarget",
}  # what a predictor has beside the fields of a pod
NAME = "kmeans"
WIDTH = 64


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def resource(file: str, kind: str) -> dict[str, Any]:
    (found,) = (each for each in documents(ROOT / "deploy" / file) if each["kind"] == kind)
    return found


def pod(document: dict[str, Any]) -> dict[str, Any]:
    """The pod that a document makes."""
    spec = document["spec"]
    if document["kind"] == "InferenceService":
        return {name: value for name, value in spec["predictor"].items() if name not in SCALING}
    found: dict[str, Any] = spec["template"]["spec"]
    return found


PODS = {
    document["kind"]: pod(document)
    for path in FILES
    for document in documents(path)
    if document["kind"] in ("Job", "Deployment", "InferenceService")
}
JOB = resource("training.yaml", "Job")["spec"]
LAYOUT = PODS["Job"]["initContainers"][0]
TRAIN = PODS["Job"]["containers"][0]


def containers(of: dict[str, Any]) -> list[dict[str, Any]]:
    return [*of.get("initContainers", ()), *of["containers"]]


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container.get("env", ())}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_kubernetes_takes_them(path: Path, version: str) -> None:
    for document in documents(path):
        own = document["kind"] == "InferenceService"  # KServe's; its predictor is a pod
        checked = {"apiVersion": "v1", "kind": "Pod", "spec": pod(document)} if own else document
        kubernetes_validate.validate(checked, version, strict=True)


def test_the_check_sees_a_field_that_there_is_not() -> None:
    job = resource("training.yaml", "Job")
    job["spec"]["template"]["spec"]["containers"][0]["readOnly"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("of", PODS.values(), ids=PODS)
def test_volumes_rights_and_limits(of: dict[str, Any]) -> None:
    assert of["securityContext"]["runAsNonRoot"] and not of["automountServiceAccountToken"]
    assert of["enableServiceLinks"] is False
    names = {volume["name"] for volume in of["volumes"]}
    for container in containers(of):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert {mount["name"] for mount in container["volumeMounts"]} <= names
        assert container["image"].endswith(f"/{NAME}:1")


def test_names_and_numbers_that_stand_in_several_places() -> None:
    job = resource("training.yaml", "Job")
    name = job["metadata"]["name"]
    service, policy = (resource("training.yaml", kind) for kind in ("Service", "NetworkPolicy"))
    assert PODS["Job"]["subdomain"] == service["metadata"]["name"] == name  # the step writes $JOB.$JOB
    label = {"batch.kubernetes.io/job-name": name}
    assert service["spec"]["selector"] == policy["spec"]["podSelector"]["matchLabels"] == label
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": {"matchLabels": label}}]}]
    assert JOB["completions"] == JOB["parallelism"] == int(variables(LAYOUT)["HOSTS"])
    config = next(volume for volume in PODS["Job"]["volumes"] if volume["name"] == "config")
    assert config["configMap"]["name"] == resource("training.yaml", "ConfigMap")["metadata"]["name"]
    claims = {document["metadata"]["name"] for document in documents(ROOT / "deploy" / "claims.yaml")}
    for of in PODS.values():
        assert {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in of["volumes"]
            if "persistentVolumeClaim" in volume
        } <= claims


def test_what_is_tried_again() -> None:
    rules = [
        (rule["action"], rule["onExitCodes"]) for rule in JOB["podFailurePolicy"]["rules"] if "onExitCodes" in rule
    ]
    assert {codes["containerName"] for _, codes in rules} == {TRAIN["name"]}
    stopped = Environment(Path(), NAME, variables(TRAIN)).stopped_exit_code
    assert [(action, codes["values"]) for action, codes in rules] == [
        ("FailJob", [doors.ALGORITHM, doors.CUSTOMER]),
        ("Ignore", [stopped]),
    ]
    assert stopped not in (0, doors.ALGORITHM, doors.CUSTOMER, doors.PLATFORM)


class Machine:
    """What a pod of the job sees: its volumes as folders, below which the paths of its mounts lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for volume in PODS["Job"]["volumes"]:
            (folder / volume["name"]).mkdir(parents=True)
        for name, content in resource("training.yaml", "ConfigMap")["data"].items():
            (folder / "config" / name).write_text(content)
        (folder / "records" / "train").mkdir()

    def here(self, text: str, container: dict[str, Any]) -> str:
        places = {mount["mountPath"]: str(self.folder / mount["name"]) for mount in container["volumeMounts"]}
        return re.sub(rf"(?<!\w)({'|'.join(places)})\b", lambda found: places[found[0]], text)

    def layout(self, index: int = 0, hosts: int = 1) -> Environment:
        *shell, script = LAYOUT["args"]
        given = {
            **variables(LAYOUT),
            "HOSTS": str(hosts),
            "JOB": NAME,
            "JOB_UID": "1-2",
            "JOB_COMPLETION_INDEX": str(index),
        }
        done = subprocess.run(
            [*shell, self.here(script, LAYOUT)],
            env={"PATH": os.environ["PATH"], **given},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return Environment(self.folder / "ml", NAME)

    def train(self, **changed: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "entrypoint", *TRAIN["args"]],
            env={
                **{name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
                **{"PYTHONPATH": str(ROOT), "ALGORITHM": NAME, "SAGEMAKER_BASE_DIR": str(self.folder / "ml")},
                **variables(TRAIN),
                **changed,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("hosts", [1, 3, 12])
def test_hosts_agree_and_share_the_files(tmp_path: Path, hosts: int) -> None:
    read, seen, leaders = [], set(), []
    for index in range(hosts):
        machine = Machine(tmp_path / str(index))
        records = machine.folder / "records" / "train"
        for name in ("a b.pbr", "deep/a b.pbr", *(f"part-{number}.pbr" for number in range(11))):
            (records / name).parent.mkdir(exist_ok=True)
            (records / name).write_text(name)
        for name in ("_SUCCESS", ".part-0.pbr.crc", "_temporary/part-0.pbr"):
            (records / name).parent.mkdir(exist_ok=True)
            (records / name).write_text("no records")
        environment = machine.layout(index, hosts)
        cluster = environment.cluster()
        assert cluster.host == f"{NAME}-{index}.{NAME}" and cluster.interface == "eth0"
        seen.add(cluster.hosts)
        leaders += [index] * cluster.leader
        read.append([path.read_text() for path in sorted((environment.data / "train").iterdir())])
    assert len(seen) == 1 and leaders == [0] and len(seen.pop()) == hosts
    every = [name for index in range(13) for name in read[index % hosts][index // hosts :][:1]]
    assert every == sorted(["a b.pbr", "deep/a b.pbr", *(f"part-{number}.pbr" for number in range(11))])


def test_config_files_are_read(tmp_path: Path) -> None:
    import threading

    environment = Machine(tmp_path).layout()
    algorithm = algorithms.algorithm(NAME)
    settings = algorithm.hyperparameters.from_strings(environment.hyperparameters())
    assert settings.feature_dim == WIDTH  # type: ignore[attr-defined]
    stopping = threading.Event()
    assert configured_channels(algorithm, environment.channels(), environment.data, WIDTH, stopping).keys() == {"train"}
    folder = environment.checkpoints()
    assert folder is not None and folder.resolve() == tmp_path / "results" / "checkpoints" / "1-2"
    assert environment.model.resolve() == tmp_path / "results" / "model"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("trained"))
    rows = np.random.default_rng(0).normal(size=(500, WIDTH)).astype(np.float32)
    (machine.folder / "records" / "train" / "a.pbr").write_bytes(record_bytes((rows, None)))
    machine.layout()
    code, output = machine.train()
    assert code == 0, output
    yield machine


def test_the_model_and_checkpoints_are_on_the_volume(trained: Machine) -> None:
    assert algorithms.algorithm(NAME).load(trained.folder / "results" / "model").feature_dim == WIDTH
    assert any((trained.folder / "results" / "checkpoints" / "1-2").iterdir())


def test_a_wrong_setting_ends_the_job_with_its_message(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "config" / "hyperparameters.json").write_text('{"k": "0", "feature_dim": "64"}')
    machine.layout()
    code, _ = machine.train()
    assert code in JOB["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    message = Path(machine.here(TRAIN["terminationMessagePath"], TRAIN))
    assert message.read_text().startswith("Customer Error: ")


def test_what_is_written_lies_on_volumes() -> None:
    """The root file system is read-only. Scratch files go to /tmp, all else below /opt/ml."""
    writable = {mount["mountPath"] for mount in TRAIN["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/opt/ml", "/results", "/tmp"}


@pytest.mark.parametrize("kind", ["Deployment", "InferenceService"])
def test_probes_ask_what_the_server_answers(kind: str, trained: Machine, tmp_path: Path) -> None:
    (container,) = PODS[kind]["containers"]
    assert [each["containerPort"] for each in container["ports"]] == [Settings().port]
    (mount,) = container["volumeMounts"]
    assert Path(mount["mountPath"]) == Environment(Path("/opt/ml"), NAME).model
    model = trained.folder / mount["name"] / mount.get("subPath", "")
    if kind == "InferenceService":
        model = tmp_path / "model"
        (tmp_path / "results").mkdir()
        pack(trained.folder / "results" / "model", tmp_path / "results" / "model.tar.gz")
        unpack(PODS[kind]["initContainers"][0], tmp_path)
    with Served(NAME, model) as server:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            get = container[probe]["httpGet"]
            assert get["port"] == Settings().port and server.get(get["path"]).status == 200
        assert server.invoke(",".join(["0"] * WIDTH)).status == 200
        if kind == "Deployment":
            notes = resource("serving.yaml", kind)["spec"]["template"]["metadata"]["annotations"]
            assert notes["prometheus.io/port"] == str(Settings().port)
            assert server.get(notes["prometheus.io/path"]).status == 200


def unpack(container: dict[str, Any], folder: Path) -> None:
    """Run the init container; its mounts are folders of their volumes' names."""
    python, *arguments = container["args"]
    assert python == "python"
    for mount in container["volumeMounts"]:
        arguments[-1] = arguments[-1].replace(mount["mountPath"], str(folder / mount["name"]))
    subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT)


def test_the_endpoint_ends_within_its_grace_time() -> None:
    (container,) = PODS["Deployment"]["containers"]
    command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert PODS["Deployment"]["terminationGracePeriodSeconds"] > int(seconds) + GRACE_SECONDS
    selector = resource("serving.yaml", "Service")["spec"]
    deployment = resource("serving.yaml", "Deployment")["spec"]
    assert selector["selector"] == deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"]
    assert [port["targetPort"] for port in selector["ports"]] == [Settings().port]


def snippets(page: str) -> list[Any]:
    text = (ROOT / "docs" / page).read_text()
    return [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def test_documented_changes_fit() -> None:
    """Each block of YAML in the page is part of a pod: volumes replace those of their names, its steps come first."""
    assert snippets("kubernetes.md")
    for changes in snippets("kubernetes.md"):
        (kind,) = changes
        changed = copy.deepcopy(PODS[kind])
        names = {volume["name"] for volume in changes[kind].get("volumes", ())}
        changed["volumes"] = [
            *(volume for volume in changed["volumes"] if volume["name"] not in names),
            *changes[kind].get("volumes", ()),
        ]
        changed["initContainers"] = [*changes[kind]["initContainers"], *changed.get("initContainers", ())]
        for container in containers(changed):
            assert {mount["name"] for mount in container["volumeMounts"]} <= {
                each["name"] for each in changed["volumes"]
            }
        for version in VERSIONS:
            kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod", "spec": changed}, version, strict=True)
