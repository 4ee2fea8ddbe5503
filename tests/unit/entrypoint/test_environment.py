"""Config files as real platforms and local clients write them, or fail to (contract 1.2 to 1.6)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoint.environment import LARGEST_CONFIG_BYTES, ChannelConfig, Environment
from recordio.errors import PlatformError, UserError
from tests.unit.entrypoint.conftest import Base

NOTHING = [None, b"", b" \n\t ", b"{}", b"\xef\xbb\xbf{}"]
NO_OBJECT = [b"{", b"nil", b"\xff\xfe\x00", b"\x00", b"[]", b'"text"', b"1", b"null", b"{'k': 1}", b"[" * 100_000]


def put(base: Base, name: str, content: object) -> None:
    if content is not None:
        base.config(name, content)


@pytest.mark.parametrize("content", NOTHING)
def test_missing_and_empty_files_mean_defaults(base: Base, content: bytes | None) -> None:
    for name in ("hyperparameters", "inputdataconfig", "resourceconfig"):
        put(base, name, content)
    environment = base.environment()
    assert environment.hyperparameters() == {}
    assert environment.channels() == {}
    cluster = environment.cluster()
    assert (cluster.host, cluster.hosts, cluster.interface, cluster.leader) == ("algo-1", ("algo-1",), "eth0", True)
    assert environment.checkpoints() is None


@pytest.mark.parametrize("content", NO_OBJECT, ids=lambda content: repr(content[:10]))
def test_files_that_are_no_object(base: Base, content: bytes) -> None:
    for name in ("hyperparameters", "inputdataconfig", "resourceconfig", "checkpointconfig"):
        put(base, name, content)
    environment = base.environment()
    for read in (environment.channels, environment.cluster, environment.checkpoints):
        with pytest.raises(PlatformError, match=r"config\.json( is not JSON: |: got \w+, expected one JSON object)"):
            read()
    with pytest.raises(UserError, match=r"hyperparameters\.json( is not JSON: |: got \w+, expected one JSON object)"):
        environment.hyperparameters()


def test_files_that_are_too_large_or_too_deep(base: Base) -> None:
    put(base, "resourceconfig", b" " * (LARGEST_CONFIG_BYTES + 1))
    with pytest.raises(PlatformError, match="is larger than 4194304 bytes"):
        base.environment().cluster()
    for depth in (17, 500, 900, 990, 995):
        put(base, "hyperparameters", b'{"k":' + b"[" * depth + b"]" * depth + b"}")
        with pytest.raises(UserError, match=r"inside one another|is not JSON: maximum recursion"):
            base.environment().hyperparameters()
    put(base, "hyperparameters", {"k": [[[{"a": []}]]]})
    assert base.environment().hyperparameters() == {"k": [[[{"a": []}]]]}


def test_numbers_that_python_refuses_to_read(base: Base) -> None:
    put(base, "hyperparameters", b'{"k": ' + b"9" * 5000 + b"}")
    with pytest.raises(UserError, match=r"hyperparameters\.json is not JSON: Exceeds the limit"):
        base.environment().hyperparameters()


def test_a_folder_in_place_of_a_file(base: Base) -> None:
    (base.path / "input/config/resourceconfig.json").mkdir(parents=True)
    with pytest.raises(PlatformError, match=r"resourceconfig\.json can't be read: Is a directory"):
        base.environment().cluster()


def test_the_platforms_channels(base: Base) -> None:
    put(
        base,
        "inputdataconfig",
        {
            "train": {
                "ContentType": "text/csv;label_size=0",
                "TrainingInputMode": "Pipe",
                "S3DistributionType": "ShardedByS3Key",
                "RecordWrapperType": "RecordIO",
                "CompressionType": "Gzip",
                "Unknown": {"a": [1]},
            },
            "test": {"TrainingInputMode": "File"},
            "code": {"TrainingInputMode": "File"},
            "sm_drivers": {},
        },
    )
    assert base.environment().channels() == {
        "train": ChannelConfig("train", "Pipe", "text/csv;label_size=0", wrapped=True),
        "test": ChannelConfig("test"),
    }


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        *((given, "File") for given in (None, "", "File", "file", "FILE")),
        *((given, "Pipe") for given in ("Pipe", "pipe", "PIPE")),
        *((given, "FastFile") for given in ("FastFile", "fastfile")),
    ],
)
def test_input_modes_in_any_case(base: Base, given: str | None, mode: str) -> None:
    put(base, "inputdataconfig", {"train": {"TrainingInputMode": given, "ContentType": None}})
    assert base.environment().channels() == {"train": ChannelConfig("train", mode)}


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        ({"train": []}, PlatformError, "channel train: got '[]', expected an object"),
        ({"train": "s3://x"}, PlatformError, "channel train: got 's3://x', expected an object"),
        (
            {"train": {"TrainingInputMode": "Tube"}},
            UserError,
            "Channel train: got TrainingInputMode 'Tube', expected one of File, FastFile, Pipe",
        ),
        ({"train": {"TrainingInputMode": ["File"]}}, UserError, "got TrainingInputMode \"['File']\""),
        ({"train": {"ContentType": "text/csv\n[x] forged"}}, UserError, r"got ContentType 'text/csv\n[x] forged'"),
        ({"train": {"ContentType": "x" * 257}}, UserError, "expected a content type"),
        ({"../train": {}}, UserError, "Got channel name '../train', expected up to 64 letters"),
        ({"": {}}, UserError, "Got channel name ''"),
        ({"a\nb": {}}, UserError, r"Got channel name 'a\nb'"),
    ],
)
def test_channels_that_no_request_can_hold(base: Base, content: object, error: type[Exception], text: str) -> None:
    put(base, "inputdataconfig", content)
    with pytest.raises(error) as caught:
        base.environment().channels()
    assert text in str(caught.value)


def test_without_a_config_each_folder_is_a_channel(base: Base) -> None:
    for name in ("train/part", "test", ".cache", "_logs", "lost+found", "..data", "code"):
        (base.data / name).mkdir(parents=True)
    base.file("train-manifest", b"{}")
    os.mkfifo(base.data / "train_0")
    (base.data / "linked").symlink_to(base.data / "test")
    assert base.environment().channels() == {name: ChannelConfig(name) for name in ("linked", "test", "train")}
    put(base, "inputdataconfig", {"test": {}})
    assert list(base.environment().channels()) == ["test"]


def test_the_platforms_hosts(base: Base) -> None:
    put(
        base,
        "resourceconfig",
        {
            "current_host": "algo-2",
            "current_instance_type": "ml.c5.xlarge",
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1", "algo-2", "algo-10"],
            "network_interface_name": "ethwe",
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "hosts": ["algo-2", "algo-1", "algo-10"]}
            ],
            "topology": None,
        },
    )
    cluster = base.environment().cluster()
    assert cluster.hosts == ("algo-1", "algo-10", "algo-2")  # as names: algo-10 comes before algo-2
    assert (cluster.rank, cluster.leader, cluster.interface) == (2, False, "ethwe")


@pytest.mark.parametrize(
    ("content", "hosts"),
    [
        ({"current_host": "algo-1-ab12c"}, ("algo-1-ab12c",)),
        ({"hosts": ["b", "a"]}, ("a", "b")),
        ({"hosts": None, "current_host": None, "network_interface_name": None}, ("algo-1",)),
        ({"hosts": ["sagemaker-local"], "current_host": "sagemaker-local"}, ("sagemaker-local",)),
        ({"hosts": ["127.0.0.1", "::1"], "current_host": "::1"}, ("127.0.0.1", "::1")),
    ],
)
def test_hosts_of_other_clients(base: Base, content: object, hosts: tuple[str, ...]) -> None:
    put(base, "resourceconfig", content)
    assert base.environment().cluster().hosts == hosts


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"hosts": "algo-1"}, "got hosts 'algo-1', expected a list of names"),
        ({"hosts": [1]}, "expected a list of names"),
        ({"hosts": [""]}, "expected a list of names"),
        ({"hosts": ["../../etc"]}, "expected a list of names"),
        ({"hosts": ["a\nb"]}, r"got hosts \"['a\\nb']\", expected a list of names"),
        ({"current_host": {"a": 1}}, "expected a list of names"),
        ({"hosts": ["a", "a"]}, "a host is named twice in ['a', 'a']"),
        ({"hosts": ["a", "b"], "current_host": "c"}, "current_host 'c' is not one of the hosts ['a', 'b']"),
        ({"hosts": ["a"], "current_host": ["a"]}, "is not one of the hosts"),
    ],
)
def test_hosts_that_can_not_be(base: Base, content: object, text: str) -> None:
    put(base, "resourceconfig", content)
    with pytest.raises(PlatformError) as caught:
        base.environment().cluster()
    assert text.replace(r"\"", '"') in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "checkpoints"),
        ({}, "checkpoints"),
        ({"LocalPath": ""}, "checkpoints"),
        ({"LocalPath": None, "S3Uri": "s3://b"}, "checkpoints"),
        ({"LocalPath": "/opt/ml/checkpoints/"}, "checkpoints"),
        ({"LocalPath": "/opt/ml/state"}, "state"),
        ({"LocalPath": "state"}, "state"),
        ({"LocalPath": "/var/state"}, "/var/state"),
    ],
)
def test_the_checkpoint_folder_moves_with_the_base(base: Base, content: object, place: str) -> None:
    put(base, "checkpointconfig", content)
    assert base.environment().checkpoints() == base.path / place


def test_files_of_other_names_are_ignored(base: Base) -> None:
    """The public bring-your-own example ships an empty resourceConfig.json; platforms add files of their own."""
    for name in ("resourceConfig", "Hyperparameters", "init-config", "debughookconfig", "trainingjobconfig"):
        base.config(name, b"not JSON")
    environment = base.environment()
    assert (environment.hyperparameters(), environment.cluster().hosts) == ({}, ("algo-1",))


def test_variables(base: Base) -> None:
    assert Environment.from_variables({"ALGORITHM": "pca"}).base == Path("/opt/ml")
    assert Environment.from_variables({"ALGORITHM": "pca", "SAGEMAKER_BASE_DIR": ""}).base == Path("/opt/ml")
    for variables in ({}, {"ALGORITHM": ""}):
        with pytest.raises(PlatformError, match="The variable ALGORITHM is not set: expected the name of an algorithm"):
            Environment.from_variables(variables)
    assert base.environment().seconds("EVERY", 5) == 5 and base.environment(EVERY="").seconds("EVERY", 5) == 5
    assert base.environment(EVERY="0.5").seconds("EVERY", 5) == 0.5
    for text in ("soon", "-1", "nan"):
        with pytest.raises(PlatformError, match=f"The variable EVERY is '{text}', expected a number of seconds"):
            base.environment(EVERY=text).seconds("EVERY", 5)
    assert base.environment().stopped_exit_code == 0
    assert base.environment(ONEPASS_STOPPED_EXIT_CODE="143").stopped_exit_code == 143
    for text in ("256", "-1", "SIGTERM", "9" * 5000):
        with pytest.raises(PlatformError, match="The variable ONEPASS_STOPPED_EXIT_CODE is '"):
            _ = base.environment(ONEPASS_STOPPED_EXIT_CODE=text).stopped_exit_code


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
channel_fields = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("TrainingInputMode", "ContentType", "RecordWrapperType"), json_values)
)
configs = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("hosts", "current_host", "network_interface_name", "LocalPath"), json_values),
        "train": channel_fields | json_values,
    },
)


@given(content=configs.map(json.dumps).map(str.encode) | st.binary(max_size=40))
def test_any_content_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    base = Base(tmp_path_factory.getbasetemp() / "any_config")
    for name in ("hyperparameters", "inputdataconfig", "resourceconfig", "checkpointconfig"):
        base.config(name, content)
    environment = base.environment()
    for read in (environment.hyperparameters, environment.channels, environment.cluster, environment.checkpoints):
        try:
            read()
        except (UserError, PlatformError) as error:
            assert str(error).isprintable()
