"""The platform's side with an image of someone else: channels, pipes, signals, archives, exit codes."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "local_programs"


class Machine:
    """A folder with data and a `docker` that runs `image.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / "out"
        self.data = folder / "data"
        (self.data / "deep").mkdir(parents=True)
        (self.data / "b.csv").write_text("3,4\n")
        (self.data / "a.csv").write_text("1,2\n")
        (self.data / "deep" / "c.csv").write_text("5,6\n")
        (self.data / "_SUCCESS").write_text("not data")
        (folder / "bin").mkdir()
        docker = folder / "bin" / "docker"
        docker.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAMS / "docker.py"} "$@"\n')
        docker.chmod(0o755)
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        self.variables = os.environ | {"PATH": path, "DOCKER_NOTES": str(folder), "TMPDIR": str(folder)}

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "local.cli", *map(str, arguments)]
        return subprocess.Popen(
            command, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )

    def train(self, *arguments: object, **hyperparameters: object) -> tuple[int, str, str]:
        process = self.start(*self.training(*arguments, **hyperparameters))
        output, errors = process.communicate(timeout=30)
        return process.returncode, output, errors

    def training(self, *arguments: object, **hyperparameters: object) -> list[object]:
        pairs = [f"{name}={value}" for name, value in hyperparameters.items()]
        options = [option for pair in pairs for option in ("-H", pair)]
        return ["train", "someone", "--image", "else/where:1", "--output", self.output, *options, *arguments]

    def facts(self, name: str = "facts.json") -> dict[str, object]:
        with tarfile.open(self.output / "model.tar.gz") as tar:
            file = tar.extractfile(name)
            assert file is not None
            facts: dict[str, object] = json.load(file)
            return facts

    def calls(self) -> list[list[str]]:
        """The arguments of each call of `docker`, in order."""
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    def run_call(self) -> list[str]:
        return next(call for call in self.calls() if call[0] == "run")

    def leftovers(self) -> list[Path]:
        return list(self.folder.glob("onepass-*/*/input"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_folder_in_file_mode(machine: Machine) -> None:
    code, output, errors = machine.train("--channel", f"train={machine.data}")
    assert (code, errors) == (0, "")
    assert "completed 100 %" in output
    assert f"model.tar.gz: {machine.output / 'model.tar.gz'}" in output
    assert machine.facts()["seen"] == {"train_0": "not data1,2\n3,4\n5,6\n"}
    assert not machine.leftovers()


def test_a_single_file_comes_without_its_neighbours(machine: Machine) -> None:
    assert machine.train("--channel", f"train={machine.data / 'a.csv'}")[0] == 0
    assert machine.facts()["seen"] == {"train_0": "1,2\n"}


def test_pipes_carry_every_pass_of_every_channel(machine: Machine) -> None:
    channels = ("--channel", f"train={machine.data}", "--channel", f"test={machine.data / 'a.csv'}")
    code, _, errors = machine.train(*channels, "--input-mode", "Pipe", epochs=3)
    assert (code, errors) == (0, "")
    expected = {f"train_{number}": "1,2\n3,4\n5,6\n" for number in range(3)}
    assert machine.facts()["seen"] == expected | {f"test_{number}": "1,2\n" for number in range(3)}
    assert not machine.leftovers()


def test_docker_is_called_as_the_platform_does(machine: Machine) -> None:
    machine.train("--channel", f"train={machine.data}", "--checkpoint", machine.folder / "saved")
    call = machine.run_call()
    assert call[-2:] == ["else/where:1", "train"]
    assert call[call.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    mounts = [call[place + 1] for place, option in enumerate(call) if option == "-v"]
    assert mounts[0].endswith("/algo-1:/opt/ml")
    job = mounts[0].removesuffix("/algo-1:/opt/ml")
    assert mounts[1:] == [
        f"{machine.data}:/opt/ml/input/data/train:ro",
        f"{job}/model:/opt/ml/model",
        f"{job}/output/data:/opt/ml/output/data",
        f"{machine.folder / 'saved'}:/opt/ml/checkpoints",
    ]
    variables = [call[place + 1] for place, option in enumerate(call) if option == "-e"]
    assert any(variable.startswith("TRAINING_JOB_NAME=someone-") for variable in variables)
    assert (machine.folder / "saved" / "saved").exists()


def test_the_failure_message_and_the_exit_code_are_passed_on(machine: Machine) -> None:
    code, _, errors = machine.train("--channel", f"train={machine.data}", act="fail")
    assert (code, errors) == (2, "Customer Error: the answer is 42\n")
    assert not machine.output.exists()
    assert not machine.leftovers()


def test_a_job_that_vanishes_is_a_failure(machine: Machine) -> None:
    code, _, errors = machine.train("--channel", f"train={machine.data}", act="vanish")
    assert code == 128 + signal.SIGKILL
    assert "exit code 137 and left no failure message" in errors


def test_no_model_is_said(machine: Machine) -> None:
    code, output, _ = machine.train("--channel", f"train={machine.data}", act="learn nothing")
    assert code == 0
    assert "The job left no model." in output
    assert not (machine.output / "model.tar.gz").exists()


def test_other_output_is_packed_beside_the_model(machine: Machine) -> None:
    machine.train("--channel", f"train={machine.data}", act="explain")
    with tarfile.open(machine.output / "output.tar.gz") as tar:
        assert tar.getnames() == ["why.txt"]


def test_hosts_are_containers_on_a_network_of_their_own(machine: Machine) -> None:
    code, output, errors = machine.train("--channel", f"train={machine.data}", "--input-mode", "Pipe", "--hosts", 2)
    assert (code, errors) == (0, "")
    for host, name in (("algo-1", "facts.json"), ("algo-2", "facts_algo-2.json")):
        assert f"{host} | #progress_metric: host={host}, completed 100 %" in output
        assert machine.facts(name)["seen"] == {"train_0": "1,2\n3,4\n5,6\n"}
    calls = machine.calls()
    network = next(call[2] for call in calls if call[:2] == ["network", "create"])
    options = [dict(zip(call[1::2], call[2::2], strict=False)) for call in calls if call[0] == "run"]
    found = sorted((each["--network"], each["--network-alias"], each["--hostname"]) for each in options)
    assert found == [(network, "algo-1", "algo-1"), (network, "algo-2", "algo-2")]
    assert_nothing_is_left(machine)


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_each_host_gets_its_shard_which_may_be_empty(machine: Machine, mode: str) -> None:
    channel = ("--channel", f"train={machine.data}", "--input-mode", mode, "--distribution", "ShardedByS3Key")
    for hosts, expected in ((2, ["1,2\n5,6\n", "3,4\n"]), (4, ["1,2\n", "3,4\n", "5,6\n", ""])):
        code, _, errors = machine.train(*channel, "--hosts", hosts)
        assert (code, errors) == (0, "")
        names = ["facts.json", *(f"facts_algo-{number}.json" for number in range(2, hosts + 1))]
        assert [machine.facts(name)["seen"] for name in names] == [{"train_0": text} for text in expected]


def assert_nothing_is_left(machine: Machine) -> None:
    """Every container was removed, and then the network."""
    calls = machine.calls()
    named = {call[call.index("--name") + 1] for call in calls if call[0] == "run"}
    assert named == {call[-1] for call in calls if call[0] == "rm"}
    if len(named) > 1:
        network = next(call[2] for call in calls if call[:2] == ["network", "create"])
        assert calls[-1] == ["network", "rm", network]
    assert not machine.leftovers()


def test_one_host_that_fails_ends_the_job_in_its_name(machine: Machine) -> None:
    """The others would wait for ever."""
    code, _, errors = machine.train("--channel", f"train={machine.data}", "--hosts", 3, act="fail@algo-2")
    assert (code, errors) == (2, "algo-2: Customer Error: the answer is 42\n")
    assert not machine.output.exists()
    assert_nothing_is_left(machine)


def test_one_host_that_vanishes_is_named(machine: Machine) -> None:
    code, _, errors = machine.train("--channel", f"train={machine.data}", "--hosts", 2, act="vanish@algo-1")
    assert code == 128 + signal.SIGKILL
    assert errors.startswith("algo-1: The job ended with exit code 137 and left no failure message")
    assert_nothing_is_left(machine)


@pytest.mark.parametrize("times", [1, 2])
def test_signals_reach_every_host(machine: Machine, times: int) -> None:
    act = "wait" if times == 1 else "deaf"
    process = machine.start(*machine.training("--channel", f"train={machine.data}", "--hosts", 2, act=act))
    assert process.stdout is not None
    lines = iter(process.stdout)
    await_lines(lines, {"algo-1 | waiting\n", "algo-2 | waiting\n"})
    process.send_signal(signal.SIGINT)
    if times == 2:
        await_lines(lines, {"algo-1 | not listening\n", "algo-2 | not listening\n"})
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    if times == 1:
        assert process.returncode == 0
        assert [machine.facts(name)["stopped"] for name in ("facts.json", "facts_algo-2.json")] == [True, True]
    else:
        assert process.returncode == 128 + signal.SIGKILL
        assert not machine.output.exists()
    assert_nothing_is_left(machine)


def await_lines(lines: Iterator[str], expected: set[str]) -> None:
    while expected:
        expected.discard(next(lines))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_the_first_signal_keeps_the_model_of_what_was_seen(machine: Machine, mode: str, number: int) -> None:
    arguments = machine.training("--channel", f"train={machine.data / 'a.csv'}", "--input-mode", mode, act="wait")
    process = machine.start(*arguments)
    assert process.stdout is not None
    assert any(line == "waiting\n" for line in process.stdout)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert "Stopped early" in output
    assert machine.facts()["stopped"] is True
    assert machine.facts()["seen"] == {"train_0": "1,2\n"}


def test_the_second_signal_ends_the_job_at_once(machine: Machine) -> None:
    process = machine.start(*machine.training("--channel", f"train={machine.data}", act="deaf"))
    assert process.stdout is not None
    assert any(line == "waiting\n" for line in process.stdout)
    process.send_signal(signal.SIGINT)
    assert any(line == "not listening\n" for line in process.stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL
    assert not machine.output.exists()


def test_a_channel_that_can_not_be_read_ends_the_job_without_a_model(machine: Machine) -> None:
    """A pipe that just ended there would look like the end of the data."""
    (machine.data / "a.csv").write_bytes(gzip.compress(b"1,2\n" * 1000)[:-9])
    arguments = ("--channel", f"train={machine.data}", "--input-mode", "Pipe", "--compression", "Gzip")
    code, _, errors = machine.train(*arguments)
    assert code == 2
    assert "onepass train: Channel train: " in errors
    assert "a.csv can't be read: " in errors
    assert not machine.output.exists()


def test_a_server_of_someone_else(machine: Machine) -> None:
    machine.train("--channel", f"train={machine.data}")
    process = machine.start("serve", machine.output, "--image", "else/where:1", "--port", "0")
    assert process.stdout is not None
    found = re.search(r"http://\S+?:\d+", process.stdout.readline())
    assert found is not None
    with urllib.request.urlopen(f"{found[0]}/ping") as reply:
        assert reply.status == 200
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert not list(machine.folder.glob("onepass-*/model"))


def test_a_taken_port_is_told(machine: Machine) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        process = machine.start("serve", machine.data, "--image", "else/where:1", "--port", port)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert f"Port {port} can't be used (Address already in use): choose another with --port" in errors
