from __future__ import annotations

from pathlib import Path

import pytest

from recordio.errors import UserError
from serving.settings import MIB, Settings


def settings(**variables: str) -> Settings:
    return Settings.from_environment(variables, processors=4, memory_bytes=1 << 30)


def test_defaults() -> None:
    assert settings() == Settings(workers=4)
    assert Settings().body_bytes >= 26_214_400


@pytest.mark.parametrize(
    ("variables", "workers"),
    [
        ({"MODEL_SERVER_WORKERS": "3", "SAGEMAKER_MODEL_SERVER_WORKERS": "5", "NUM_WORKERS": "7"}, 3),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "5", "NUM_WORKERS": "7"}, 5),
        ({"NUM_WORKERS": "7"}, 7),
        ({"NUM_WORKERS": "0"}, 4),
        ({"MODEL_SERVER_WORKERS": " "}, 4),
        ({"MODEL_SERVER_WORKERS": "3", "SAGEMAKER_MULTI_MODEL": "true"}, 1),
    ],
)
def test_workers(variables: dict[str, str], workers: int) -> None:
    assert settings(**variables).workers == workers


@pytest.mark.parametrize(("model_bytes", "workers"), [(100, 4), (300, 3), (900, 1), (5000, 1)])
def test_workers_fit_the_memory(tmp_path: Path, model_bytes: int, workers: int) -> None:
    (tmp_path / "model_algo-1").write_bytes(bytes(model_bytes))
    found = Settings.from_environment({}, model=tmp_path, processors=4, memory_bytes=1000)
    assert found.workers == workers


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, 60),
        ({"MODEL_SERVER_TIMEOUT": "5", "SAGEMAKER_MODEL_SERVER_TIMEOUT": "6"}, 5),
        ({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "6"}, 6),
        ({"SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "7"}, 7),
    ],
)
def test_timeout(variables: dict[str, str], seconds: int) -> None:
    assert settings(**variables).timeout_seconds == seconds


@pytest.mark.parametrize(
    ("variables", "limit"),
    [
        ({}, 25 * MIB),
        ({"MAX_CONTENT_LENGTH": "1000"}, 1000),
        ({"MAX_CONTENT_LENGTH": "1000", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "100"}, 1000),
        ({"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "100"}, 100 * MIB),
        ({"SAGEMAKER_BATCH": "True", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6"}, 25 * MIB),
        ({"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}, 25 * MIB),
    ],
)
def test_body_limit(variables: dict[str, str], limit: int) -> None:
    assert settings(**variables).body_bytes == limit


@pytest.mark.parametrize(
    ("variables", "strategy"),
    [
        ({}, "MULTI_RECORD"),
        ({"SAGEMAKER_BATCH": "true"}, "MULTI_RECORD"),
        ({"SAGEMAKER_BATCH": "True"}, "MultiRecord"),
        ({"SAGEMAKER_BATCH": "True", "SAGEMAKER_BATCH_STRATEGY": "SingleRecord"}, "SingleRecord"),
        ({"SAGEMAKER_BATCH": "TRUE", "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD"}, "SINGLE_RECORD"),
    ],
)
def test_strategy_is_spelled_as_the_platform_does(variables: dict[str, str], strategy: str) -> None:
    found = settings(**variables)
    assert found.execution_parameters()["BatchStrategy"] == strategy
    assert found.batch == ("SAGEMAKER_BATCH" in variables)


def test_concurrent_payloads_stay_within_the_platforms_sum() -> None:
    for workers in (1, 2, 8, 300):
        found = Settings(workers=workers).execution_parameters()
        concurrent, payload = found["MaxConcurrentTransforms"], found["MaxPayloadInMB"]
        assert isinstance(concurrent, int)
        assert isinstance(payload, int)
        assert 1 <= concurrent * payload <= 100
    assert Settings(body_bytes=10).execution_parameters()["MaxPayloadInMB"] == 1  # 0 would mean without limit


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "http", "an integer between 1 and 65535"),
        ("SAGEMAKER_BIND_TO_PORT", "65536", "an integer between 1 and 65535"),
        ("MODEL_SERVER_WORKERS", "-1", "an integer between 0 and 1024"),
        ("NUM_WORKERS", "²", "an integer between 0 and 1024"),
        ("MODEL_SERVER_THREADS", "0", "an integer between 1 and 64"),
        ("MODEL_SERVER_TIMEOUT", "1.5", "an integer between 1 and 86400"),
        ("MAX_CONTENT_LENGTH", "6MB", "an integer between 1 and "),
        ("MAX_RECORDS", "9" * 30, "an integer between 1 and "),
        ("SAGEMAKER_BATCH", "yes", "true or false"),
        ("SAGEMAKER_MULTI_MODEL", "2", "true or false"),
        ("SAGEMAKER_BATCH_STRATEGY", "Both", "MULTI_RECORD or SINGLE_RECORD"),
    ],
)
def test_wrong_values_name_the_variable(name: str, value: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        settings(**{name: value})
    assert str(error.value).startswith(f"{name}: got '{value}', expected {expected}")
