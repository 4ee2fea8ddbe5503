"""Models that can hold code, made models that can't: only when told to, and in another process."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.testing import assert_array_equal

from algorithms.artifacts.archives import pack, unpack
from algorithms.xgboost.model import load
from local.cli import main
from local.foreign import convert
from recordio.batch import Batch
from recordio.errors import UserError
from tests.unit.algorithms.boosters import records, trained


def predicted(folder: Path) -> Any:
    return load(folder).predict(Batch(records(7)))["score"]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickled_model_is_written_as_ubjson(
    tmp_path: Path, protocol: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").write_bytes(pickle.dumps(trained("classes"), protocol))
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "xgboost-model"
    assert main(["convert-model", "--trust", str(tmp_path / "in"), str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert target.read_bytes().startswith(b"{L")
    assert_array_equal(predicted(tmp_path / "out"), trained("classes").predict(xgboost.DMatrix(records(7))))


def test_a_pickled_estimator(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).normal(size=300)
    estimator = xgboost.XGBRegressor(n_estimators=3, n_jobs=1).fit(records(), labels)
    (tmp_path / "in").write_bytes(pickle.dumps(estimator))
    (tmp_path / "out").mkdir()
    convert(tmp_path / "in", tmp_path / "out" / "xgboost-model", trust=True)
    assert_array_equal(predicted(tmp_path / "out"), estimator.predict(records(7)))


def test_nothing_is_opened_without_trust(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "in").write_bytes(pickle.dumps(Trap()))
    assert main(["convert-model", str(tmp_path / "in"), str(tmp_path / "out")]) == 2
    assert "--trust opens it here; only do so if you trust who made it" in capsys.readouterr().err
    assert not (tmp_path / "sprung").exists() and not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="got a NoneType, expected a Booster"):
        convert(tmp_path / "in", tmp_path / "out", trust=True)
    assert (tmp_path / "sprung").exists()  # as the caller wanted it


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_what_can_hold_no_code_needs_no_trust(tmp_path: Path, form: str) -> None:
    trained("trees").save_model(tmp_path / f"in.{form}")
    convert(tmp_path / f"in.{form}", tmp_path / "xgboost-model", trust=False)
    (tmp_path / f"in.{form}").unlink()
    assert_array_equal(predicted(tmp_path), trained("trees").predict(xgboost.DMatrix(records(7))))


def test_an_archive_of_several(tmp_path: Path) -> None:
    files, out = tmp_path / "files", tmp_path / "out"
    for folder in (files, out):
        folder.mkdir()
    (files / "xgboost-model-0").write_bytes(pickle.dumps(trained("trees")))
    (files / "xgboost-model-1").write_bytes(trained("pruned").save_raw("json"))
    (files / ".note").write_text("kept")
    pack(files, tmp_path / "model.tar.gz")
    convert(tmp_path / "model.tar.gz", out / "model.tar.gz", trust=True)
    unpack(out / "model.tar.gz", out / "files")
    assert sorted(path.name for path in (out / "files").iterdir()) == [".note", "xgboost-model-0", "xgboost-model-1"]
    assert all((out / "files" / f"xgboost-model-{number}").read_bytes().startswith(b"{L") for number in (0, 1))
    with pytest.raises(UserError, match=r"expected a name that ends in \.tar\.gz"):
        convert(tmp_path / "model.tar.gz", out / "model", trust=True)


@pytest.mark.parametrize("content", [b"", b"binf\0\0\0\0", b"\x80\x04no pickle", b"cos\nnothing\n", b"{L\xff"])
def test_what_can_not_be_opened(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in").write_bytes(content)
    with pytest.raises(UserError, match=r"in can't be opened \(.*\)\. A model of an earlier version .*--python"):
        convert(tmp_path / "in", tmp_path / "out", trust=True)
    assert not (tmp_path / "out").exists()


def test_another_python_opens_it(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(pickle.dumps(trained("trees")))
    (tmp_path / "python").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexec {sys.executable} "$@"\n')
    (tmp_path / "python").chmod(0o755)
    convert(tmp_path / "in", tmp_path / "out", trust=True, python=tmp_path / "python")
    assert (tmp_path / "asked").read_text().startswith("-I ")
    with pytest.raises(UserError, match=r"--python .*/none: No such file or directory"):
        convert(tmp_path / "in", tmp_path / "out", trust=True, python=tmp_path / "none")


def test_whose_model_it_is(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(pickle.dumps(trained("trees")))
    with pytest.raises(UserError, match="--algorithm: got pca, expected one that has foreign models: xgboost"):
        convert(tmp_path / "in", tmp_path / "out", trust=True, algorithm="pca")
    with pytest.raises(UserError, match="none is no file"):
        convert(tmp_path / "none", tmp_path / "out", trust=True)
