"""The command line with every algorithm: train, serve, and answer again from one pass."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.contract.cases import CASES, Case
from tests.contract.jobs import RECORDIO, record_bytes

ONEPASS = (sys.executable, "-m", "local.cli")


def onepass(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*ONEPASS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def good(*arguments: object) -> str:
    run = onepass(*arguments)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def options(case: Case, **changed: str) -> list[str]:
    return [word for name, value in (case.hyperparameters | changed).items() for word in ("-H", f"{name}={value}")]


def typed(case: Case) -> list[str]:
    """For an algorithm that takes records of no stated type for something else."""
    return [] if case.algorithm.content_type == RECORDIO else ["--content-type", f"train={RECORDIO}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def data(folder: Path, case: Case) -> Path:
    path = folder / f"{case}-data"
    path.mkdir()
    for part in range(3):
        (path / f"part-{part}.pbr").write_bytes(record_bytes(case.records(700, part)))
    return path


@pytest.fixture(scope="module")
def model(folder: Path, case: Case, data: Path) -> Path:
    output = folder / f"{case}-model"
    good("train", case, "--channel", f"train={data}", *typed(case), *options(case), "--output", output)
    return output / "model.tar.gz"


def test_a_pipe_gives_the_model_of_the_file(folder: Path, case: Case, data: Path, model: Path) -> None:
    output = folder / f"{case}-piped"
    channel = ("--channel", f"train={data}", *typed(case))
    good("train", case, *channel, "--input-mode", "Pipe", *options(case), "--output", output)
    assert (output / "model.tar.gz").read_bytes() == model.read_bytes()


def test_an_earlier_model_goes_on(folder: Path, case: Case, data: Path, model: Path) -> None:
    output = folder / f"{case}-continued"
    good(
        "train", case, "--channel", f"train={data}", *typed(case), "--model", model, *options(case), "--output", output
    )
    assert (output / "model.tar.gz").read_bytes() != model.read_bytes()


def test_a_fault_reaches_standard_error_with_its_exit_code(folder: Path, case: Case, data: Path) -> None:
    output = folder / f"{case}-none"
    run = onepass(
        "train", case, "--channel", f"train={data}", *typed(case), *options(case, nonsense="1"), "--output", output
    )
    assert run.returncode == 2
    assert "'nonsense' was unexpected" in run.stderr
    assert not output.exists()


def test_a_served_model_answers(case: Case, model: Path) -> None:
    command = [*ONEPASS, "serve", str(model), "--port", "0", "--workers", "1"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = next(filter(None, (re.search(r"Ready at (http://\S+?:\d+)", line) for line in server.stdout)))
        headers = {"Content-Type": RECORDIO, "Accept": "application/json"}
        request = urllib.request.Request(
            f"{found[1]}/invocations", record_bytes((case.records(5, 9)[0], None)), headers
        )
        told = server.stdout.readline()  # a request that it takes
        assert f"Content-Type: {'text/csv' if 'text/csv' in case.algorithm.request_types else RECORDIO}'" in told
        with urllib.request.urlopen(request) as reply:
            assert len(json.load(reply)[case.algorithm.envelope]) == 5
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
        assert server.returncode == 0
    finally:
        server.kill()


def test_one_pass_answers_again(folder: Path, case: Case, model: Path) -> None:
    if case.algorithm.curve is None:
        pytest.skip("declares no curve")
    name, _ = case.algorithm.curve
    output = folder / f"{case}-refined"
    good("finalise", model, "-H", f"{name}=3", "--output", output)
    assert (output / "model.tar.gz").read_bytes() != model.read_bytes()
    back = folder / f"{case}-back"
    good("finalise", output, "-H", f"{name}={case.hyperparameters[name]}", "--output", back)
    assert (back / "model.tar.gz").read_bytes() == model.read_bytes()


def test_what_was_fixed_in_training_stays_so(folder: Path, case: Case, model: Path) -> None:
    if case.algorithm.stateless:
        assert (
            "holds no file state_*"
            in onepass("finalise", model, "-H", "feature_dim=3", "--output", folder / "no").stderr
        )
        return
    output = folder / f"{case}-refused"
    run = onepass("finalise", model, "-H", "feature_dim=3", "--output", output)
    assert run.returncode == 2
    assert "'feature_dim' can't change after training: expected one of" in run.stderr
    assert not output.exists()


def test_the_elbow_is_printed_and_drawn(folder: Path, case: Case, model: Path) -> None:
    if case.algorithm.curve is None:
        told = onepass("elbow", model).stderr
        assert "has no elbow" in told or case.algorithm.stateless
        return
    name, metric = case.algorithm.curve
    points = json.loads(good("elbow", model, "--largest", "12", "--json"))
    assert [point[name] for point in points] == list(range(1, 13))
    assert points[0][metric] > points[-1][metric]
    text = good("elbow", model, "--output", folder / f"{case}.png")
    assert text.splitlines()[0].split() == [name, metric]
    assert "█" in text
    assert (folder / f"{case}.png").read_bytes().startswith(b"\x89PNG")


def test_the_algorithm_is_listed_and_described(case: Case) -> None:
    assert f"{case} " in good("algorithms")
    table = good("describe", case)
    for item in case.algorithm.hyperparameters.declared():
        assert f"| `{item.name}` | {'required' if item.required else '`'}" in table
    described = json.loads(good("describe", case, "--format", "json", "--image", "here/it:2"))
    assert described["TrainingSpecification"]["TrainingImage"] == "here/it:2"
