"""The model channel: what a job goes on with, and what it refuses to."""

from __future__ import annotations

import gzip
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms.artifacts.archives import pack
from recordio.errors import PlatformError, UserError
from tests.unit import toy
from tests.unit.entrypoint.conftest import RECORDS, Base, fails, mean_of, record_bytes


def earlier_job(base: Base, records: Any = RECORDS[:20]) -> Base:
    base.config("hyperparameters", {"feature_dim": "3"})
    base.file("train/a.pbr", record_bytes(records))
    base.train()
    return base


@pytest.mark.parametrize("form", ["archive", "other name", "folder", "file"])
def test_the_model_channel_continues(job: Base, form: str, tmp_path: Path) -> None:
    earlier = earlier_job(Base(tmp_path / "earlier"), RECORDS[:20] + 100)
    if form == "file":
        pack(earlier.model, job.data / "model")
    elif form == "folder":
        (earlier.model).rename(job.data / "model")
    else:
        (job.data / "model").mkdir()
        pack(earlier.model, job.data / "model" / ("model.tar.gz" if form == "archive" else "job-7.tar.gz"))
    job.config("inputdataconfig", {"train": {}, "model": {"ContentType": "application/x-sagemaker-model"}})
    job.train()
    expected = np.concatenate([RECORDS[:20] + 100, RECORDS]).mean(axis=0)
    assert np.allclose(mean_of(job), expected, rtol=1e-6)


def not_a_model(job: Base, content: dict[str, bytes] | None, **config: str) -> None:
    job.config("inputdataconfig", {"train": {}, "model": config})
    if content is not None:
        (job.data / "model").mkdir()
        for name, each in content.items():
            job.file(f"model/{name}", each)


@pytest.mark.parametrize(
    ("content", "config", "kind", "text"),
    [
        (None, {}, PlatformError, "Data channel 'model': {data}/model does not exist"),
        ({}, {}, UserError, "The model channel holds no state to continue from: got nothing, expected model.tar.gz of"),
        ({"model_algo-1": b"", "x\ny": b""}, {}, UserError, "got 'model_algo-1', 'x\\ny', expected"),
        (
            {"model_algo-1": b""},
            {},
            UserError,
            "state_*; a model alone is not enough, since a mean does not say of how",
        ),
        ({"state_1": b"junk"}, {}, UserError, "'state_1' is not a state file of this project, or is cut short"),
        ({"model.tar.gz": b"junk"}, {}, UserError, "model.tar.gz: "),
        ({"model.tar.gz": gzip.compress(bytes(10_240))}, {}, UserError, "holds no state to continue from: got nothing"),
        ({}, {"TrainingInputMode": "Pipe"}, UserError, "The model channel is in Pipe mode, expected File"),
    ],
)
def test_model_channels_that_hold_none(
    job: Base, content: dict[str, bytes] | None, config: dict[str, str], kind: type[Exception], text: str
) -> None:
    not_a_model(job, content, **config)
    assert text.format(data=job.data) in fails(job, kind)
    assert job.model_files() == {}


def from_model(settings: Any, model: toy.ToyModel) -> toy.ToyState:
    """A state that counts a model as one record."""
    state = toy.ToyState(settings)
    state.count, state.total = 1, model.mean.copy()
    return state


def test_a_model_alone_is_continued_where_the_algorithm_can(job: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy, "ALGORITHM", replace(toy.ALGORITHM, adopt=from_model))
    job.config("inputdataconfig", {"train": {}, "model": {}})
    job.file("model/model_algo-1", b"[100.0, 200.0, 300.0]")
    job.train()
    expected = np.vstack([[[100, 200, 300]], RECORDS]).mean(axis=0)
    assert np.allclose(mean_of(job), expected, rtol=1e-6)
    job.file("model/model_algo-1", b"[1, 2]")
    assert "other values of feature_dim (was 2, now 3). Give" in fails(job)
    (job.data / "model" / "model_algo-1").unlink()
    assert "holds no state to continue from: got nothing" in fails(job)


def test_what_may_not_change_is_refused_in_one_answer(job: Base, tmp_path: Path) -> None:
    earlier = earlier_job(Base(tmp_path / "earlier"))
    earlier.model.rename(job.data / "model")
    job.config("hyperparameters", {"feature_dim": "4", "unit": "km", "scale": "2"})
    job.config("inputdataconfig", {"train": {}, "model": {}})
    assert fails(job) == (
        "The earlier model can't be continued with other values of feature_dim (was 3, now 4); unit (was m, now km). "
        "Give the earlier values, or train a new model without the model channel"
    )
    assert job.model_files() == {}


def test_the_log_says_what_goes_on(job: Base, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    earlier_job(Base(tmp_path / "earlier")).model.rename(job.data / "model")
    job.config("hyperparameters", {"feature_dim": "3", "mini_batch_size": "7", "scale": "2"})
    job.config("inputdataconfig", {"train": {}, "model": {}})
    with caplog.at_level(logging.INFO):
        job.train()
    assert [line for line in caplog.messages if "earlier" in line or "changed" in line] == [
        "Continuing the earlier model with the sum of all records. The train channel is read from its first record on.",
        "Hyperparameters that changed: mini_batch_size (was 10, now 7); scale (was 1.0, now 2.0).",
    ]


def test_a_checkpoint_counts_more_than_the_earlier_model(job: Base, tmp_path: Path) -> None:
    earlier_job(Base(tmp_path / "earlier"), RECORDS[:20] + 100).model.rename(job.data / "model")
    job.config("inputdataconfig", {"train": {}, "model": {}})
    job.config("checkpointconfig", {})
    job.train()
    once = job.model_files()
    job.train()
    assert job.model_files() == once, "the earlier model was added a second time"
