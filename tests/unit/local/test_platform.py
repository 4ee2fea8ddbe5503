"""The layout of /opt/ml: what the job's container would find there on the platform."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.cluster import Cluster
from entrypoint.environment import Environment
from local.jobs import job_name
from local.platform import Channel, Host, Job, lay_out, link
from recordio.errors import UserError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2\n")
    (tmp_path / "data" / "b.csv").write_text("3,4\n")
    return tmp_path / "data"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(Cluster("algo-1", ("algo-1",)), tmp_path / "job")


def config(host: Host, name: str) -> object:
    return json.loads((host.base / "input" / "config" / f"{name}.json").read_text())


def test_config_files_are_those_of_the_platform(host: Host, data: Path) -> None:
    channels = (Channel("train", data, "text/csv;label_size=0", "Pipe"), Channel("test", data))
    lay_out(host, Job("job", {"k": "10", "epochs": "2"}, channels))
    assert config(host, "hyperparameters") == {"k": "10", "epochs": "2"}
    assert config(host, "inputdataconfig") == {
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
    resources = config(host, "resourceconfig")
    assert isinstance(resources, dict)
    assert (resources["current_host"], resources["hosts"]) == ("algo-1", ["algo-1"])
    assert not (host.base / "input" / "config" / "checkpointconfig.json").exists()
    assert (host.base / "output").is_dir()


def test_our_own_container_side_reads_what_is_laid_out(tmp_path: Path, host: Host, data: Path) -> None:
    job = Job("job", {"k": "10"}, (Channel("train", data, "text/csv"),), tmp_path / "saved")
    lay_out(host, job)
    link(host, job)
    environment = Environment(host.base, "kmeans")
    assert environment.hyperparameters() == {"k": "10"}
    assert environment.channels()["train"].content_type == "text/csv"
    assert environment.cluster() == host.cluster
    checkpoints = environment.checkpoints()
    assert checkpoints is not None
    assert checkpoints.resolve() == tmp_path / "saved"


def test_several_hosts_have_their_own_folders_and_write_to_one_model(tmp_path: Path, data: Path) -> None:
    names = ("algo-1", "algo-10", "algo-2")
    job = Job("job", {"k": "10"}, (Channel("train", data),), tmp_path / "saved")
    for name in names:
        host = Host(Cluster(name, names, "lo"), tmp_path / "job")
        lay_out(host, job)
        link(host, job)
        (host.base / "model" / f"model_{name}").touch()
        (host.base / "output" / "data" / name).touch()
        (host.base / "output" / "failure").write_text(name)
        (host.base / "checkpoints" / name).touch()
        assert Environment(host.base, "kmeans").cluster() == host.cluster
    for folder, prefix in (("job/model", "model_"), ("job/output/data", ""), ("saved", "")):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == [prefix + name for name in names]
    assert [(tmp_path / "job" / name / "output" / "failure").read_text() for name in names] == list(names)


def test_data_is_linked_and_pipes_are_not(host: Host, data: Path) -> None:
    channels = (Channel("train", data), Channel("test", data / "a.csv"), Channel("pipe", data, mode="Pipe"))
    job = Job("job", {}, channels)
    lay_out(host, job)
    link(host, job)
    shown = host.base / "input" / "data"
    assert sorted(path.name for path in (shown / "train").iterdir()) == ["a.csv", "b.csv"]
    assert [path.name for path in (shown / "test").iterdir()] == ["a.csv"]
    assert not (shown / "pipe").exists()


def test_hosts_share_the_files_of_a_sharded_channel(tmp_path: Path, data: Path) -> None:
    (data / "deep").mkdir()
    (data / "deep" / "c.csv").write_text("5,6\n")
    names = ("algo-1", "algo-2", "algo-3", "algo-4")
    shards = []
    for name in names:
        host = Host(Cluster(name, names), tmp_path / "job")
        job = Job("job", {}, (Channel("train", data, sharded=True), Channel("test", data)))
        lay_out(host, job)
        link(host, job)
        folder = host.base / "input" / "data" / "train"
        shards.append([str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()])
        assert len(list((host.base / "input" / "data" / "test").iterdir())) == 3
    assert shards == [["a.csv"], ["b.csv"], ["deep/c.csv"], []]


@pytest.mark.parametrize("name", ["", "a/b", "..x/", ".", "..", "tab\t", "n" * 65])
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
