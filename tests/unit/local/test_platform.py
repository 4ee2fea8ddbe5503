"""The layout of /opt/ml: what the job's container would find there on the platform."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.environment import Environment
from local.jobs import job_name
from local.platform import Channel, Job, lay_out, link
from recordio.errors import UserError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2\n")
    (tmp_path / "data" / "b.csv").write_text("3,4\n")
    return tmp_path / "data"


def config(base: Path, name: str) -> object:
    return json.loads((base / "input" / "config" / f"{name}.json").read_text())


def test_config_files_are_those_of_the_platform(tmp_path: Path, data: Path) -> None:
    channels = (Channel("train", data, "text/csv;label_size=0", "Pipe"), Channel("test", data))
    lay_out(tmp_path / "ml", Job("job", {"k": "10", "epochs": "2"}, channels))
    assert config(tmp_path / "ml", "hyperparameters") == {"k": "10", "epochs": "2"}
    assert config(tmp_path / "ml", "inputdataconfig") == {
        "train": {
            "ContentType": "text/csv;label_size=0",
            "TrainingInputMode": "Pipe",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        },
        "test": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        },
    }
    resources = config(tmp_path / "ml", "resourceconfig")
    assert isinstance(resources, dict)
    assert (resources["current_host"], resources["hosts"]) == ("algo-1", ["algo-1"])
    assert not (tmp_path / "ml" / "input" / "config" / "checkpointconfig.json").exists()
    assert (tmp_path / "ml" / "model").is_dir()
    assert (tmp_path / "ml" / "output").is_dir()


def test_our_own_container_side_reads_what_is_laid_out(tmp_path: Path, data: Path) -> None:
    job = Job("job", {"k": "10"}, (Channel("train", data, "text/csv"),), tmp_path / "saved")
    lay_out(tmp_path / "ml", job)
    link(tmp_path / "ml", job)
    environment = Environment(tmp_path / "ml", "kmeans")
    assert environment.hyperparameters() == {"k": "10"}
    assert environment.channels()["train"].content_type == "text/csv"
    assert environment.cluster().host == "algo-1"
    checkpoints = environment.checkpoints()
    assert checkpoints is not None
    assert checkpoints.resolve() == tmp_path / "saved"


def test_data_is_linked_and_pipes_are_not(tmp_path: Path, data: Path) -> None:
    channels = (Channel("train", data), Channel("test", data / "a.csv"), Channel("pipe", data, mode="Pipe"))
    job = Job("job", {}, channels)
    lay_out(tmp_path / "ml", job)
    link(tmp_path / "ml", job)
    shown = tmp_path / "ml" / "input" / "data"
    assert sorted(path.name for path in (shown / "train").iterdir()) == ["a.csv", "b.csv"]
    assert [path.name for path in (shown / "test").iterdir()] == ["a.csv"]
    assert not (shown / "pipe").exists()


@pytest.mark.parametrize("name", ["", "a/b", "..x/", "tab\t", "n" * 65])
def test_channel_names_are_those_of_the_platform(data: Path, name: str) -> None:
    with pytest.raises(UserError, match="expected a name of letters"):
        Channel(name, data)


def test_a_missing_path_is_told_with_its_channel(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Channel train: .*nowhere does not exist"):
        Channel("train", tmp_path / "nowhere")


@pytest.mark.parametrize("what", ["kmeans", "registry.example.com/team/kmeans:1", "é", "x" * 100])
def test_job_names_fit_the_platform(what: str) -> None:
    name = job_name(what)
    assert len(name) <= 63
    assert all(part.isascii() and part.isalnum() for part in name.replace("--", "-").split("-"))
