"""The code of docs/sagemaker.md: run with the SDKs where `make env-sagemaker` installed them, and with boto3.

Docker is stood in for by processes, the platform's API by a server that keeps what it is asked for.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

import algorithms
from algorithms.description import create_algorithm
from recordio.batch import Batch
from recordio.content_types import ContentType
from tests.contract.served import Served

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sagemaker.md").read_text()
CODE = dict(re.findall(r"^## ([^\n]*)\n.*?^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
KMEANS = algorithms.algorithm("kmeans")
SDKS = ("SDK 2", "SDK 3")
QUIET = json.dumps({"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}})
AWS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "eu-central-1"}


def run(python: Path, code: str, folder: Path, **variables: str) -> str:
    (folder / "config.yaml").write_text(QUIET)
    process = subprocess.Popen(
        [python, "-c", code],
        cwd=folder,
        env={
            **{name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
            **AWS,
            "HOME": str(folder),
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(folder / "config.yaml"),
            "AWS_EC2_METADATA_DISABLED": "true",
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=180)
    finally:
        with contextlib.suppress(ProcessLookupError):  # servers that a failed client left behind
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    return output


def python_of(client: str) -> Path:
    """The interpreter that has the client."""
    if client not in SDKS:
        return Path(sys.executable)
    python = ROOT / f".venv-sagemaker{client[-1]}" / "bin" / "python"
    if not python.exists():
        pytest.skip("make env-sagemaker installs the SDKs")
    return python


def test_all_code_is_tested() -> None:
    both = [f"{client}, {where}" for client in SDKS for where in ("local mode", "in the cloud")]
    assert list(CODE) == [*both, "boto3, in the cloud", "boto3, an endpoint here"]
    for code in CODE.values():
        compile(code, "sagemaker.md", "exec")


@pytest.fixture(scope="module")
def platform() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


class NoIam(BaseHTTPRequestHandler):
    """SDK 3 looks whether the role may do what a job needs, unless it is not allowed to look."""

    def do_POST(self) -> None:
        body = b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def iam() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), NoIam) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def client(platform: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=platform,
        region_name=AWS["AWS_DEFAULT_REGION"],
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


@pytest.mark.parametrize("name", [*SDKS, "boto3"])
def test_training_jobs_that_the_images_can_run(name: str, platform: str, iam: str, tmp_path: Path) -> None:
    python = python_of(name)
    sagemaker = client(platform, "sagemaker")
    known = {each["TrainingJobName"] for each in sagemaker.list_training_jobs()["TrainingJobSummaries"]}
    run(python, CODE[f"{name}, in the cloud"], tmp_path, AWS_ENDPOINT_URL=platform, AWS_ENDPOINT_URL_IAM=iam)
    (new,) = {each["TrainingJobName"] for each in sagemaker.list_training_jobs()["TrainingJobSummaries"]} - known
    job = sagemaker.describe_training_job(TrainingJobName=new)

    told = create_algorithm(KMEANS, job["AlgorithmSpecification"]["TrainingImage"])["TrainingSpecification"]
    channels = {channel["Name"]: channel for channel in told["TrainingChannels"]}
    for channel in job["InputDataConfig"]:
        declared = channels.pop(channel["ChannelName"])
        assert ContentType.parse(channel["ContentType"]).type in declared["SupportedContentTypes"]
        assert job["AlgorithmSpecification"]["TrainingInputMode"] in declared["SupportedInputModes"]
    assert not any(channel["IsRequired"] for channel in channels.values())
    settings: Any = KMEANS.hyperparameters.from_strings(job["HyperParameters"])
    assert (settings.k, settings.feature_dim) == (10, 4)
    assert job["ResourceConfig"]["InstanceType"] in told["SupportedTrainingInstanceTypes"]
    assert job["ResourceConfig"]["InstanceCount"] == 2 and told["SupportsDistributedTraining"]


@pytest.mark.parametrize("name", SDKS)
def test_local_mode(name: str, tmp_path: Path) -> None:
    """One host: as processes they have no names that the others could resolve."""
    python = python_of(name)
    (tmp_path / "records").mkdir()
    np.savetxt(tmp_path / "records" / "train.csv", np.random.default_rng(0).normal(size=(1000, 4)), delimiter=",")
    programs = tmp_path / "programs"
    programs.mkdir()
    docker = programs / "docker"
    program = ROOT / "tests" / "contract" / "local_programs" / "compose.py"
    docker.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "{program}" "$@"\n')
    docker.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / ".sagemaker").mkdir()
    (tmp_path / ".sagemaker" / "config.yaml").write_text(f"local:\n  serving_port: {port}\n")
    code = CODE[f"{name}, local mode"]
    assert "instance_count=2" in code
    output = run(
        python,
        code.replace("instance_count=2", "instance_count=1"),
        tmp_path,
        PATH=f"{programs}:{os.environ['PATH']}",
    )
    (archive,) = tmp_path.rglob("model.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(tmp_path / "unpacked", filter="data")
    assert KMEANS.load(tmp_path / "unpacked").feature_dim == 4
    if name == "SDK 2":
        assert "'predictions': [{'closest_cluster': " in output


def test_boto3_asks_an_endpoint_here(tmp_path: Path) -> None:
    settings = KMEANS.hyperparameters.from_strings({"k": "2", "feature_dim": "4"})
    state = KMEANS.create(settings, np.random.default_rng(0))
    state.update(Batch(np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)))
    (tmp_path / "model").mkdir()
    state.finalise().save(tmp_path / "model", "algo-1")
    with Served("kmeans", tmp_path / "model") as server:
        code = CODE["boto3, an endpoint here"].replace("localhost:8080", f"127.0.0.1:{server.port}")
        assert run(Path(sys.executable), code, tmp_path).count("closest_cluster") == 2
