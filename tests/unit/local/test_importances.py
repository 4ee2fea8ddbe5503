"""The report of a model that measures its features, made here or elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from algorithms.artifacts.archives import pack
from algorithms.xgboost.model import XGBoostModel
from local.cli import main
from local.importances import bars, facts, measured, page, show
from recordio.errors import UserError
from tests.unit.algorithms.boosters import trained

SETTINGS = {"eta": "0.3 <b>", "num_round": "3", "seed": None}


def artifact(folder: Path, *kinds: str) -> Path:
    files = folder / "files"
    files.mkdir()
    boosters = tuple(trained(kind) for kind in kinds)
    XGBoostModel(boosters, {"rmse": 0.25}, SETTINGS).save(files, "algo-1")
    pack(files, folder / "model.tar.gz")
    return folder / "model.tar.gz"


def told(place: Path, algorithm: str | None = None) -> Any:
    found = measured(place, algorithm)
    assert found is not None
    return found


def test_measures_are_the_librarys(tmp_path: Path) -> None:
    report = facts(told(artifact(tmp_path, "names")))
    features = report.pop("features")
    assert report == {
        "algorithm": "xgboost",
        "objective": "binary:logistic",
        "booster": "gbtree",
        "feature_dim": 5,
        "rounds": 3,
        "metrics": {"rmse": 0.25},
        "hyperparameters": SETTINGS,
    }
    for measure in ("gain", "weight", "cover", "total_gain", "total_cover"):
        expected = trained("names").get_score(importance_type=measure)
        assert {one["feature"]: one[measure] for one in features} == expected
    gains = [one["gain"] for one in features]
    assert gains == sorted(gains, reverse=True)
    assert features[0]["feature"].startswith("name ")


def test_several_boosters_have_the_mean(tmp_path: Path) -> None:
    report = facts(told(artifact(tmp_path, "names", "binary:logistic")))
    assert (report["boosters"], report["rounds"]) == (2, 3)
    each = [trained(kind).get_score(importance_type="gain") for kind in ("names", "binary:logistic")]
    expected = {name: gain / 2 for scores in each for name, gain in scores.items()}  # no name is in both
    assert {one["feature"]: one["gain"] for one in report["features"]} == pytest.approx(expected)


def test_a_linear_booster_has_weights(tmp_path: Path) -> None:
    report = facts(told(artifact(tmp_path, "linear")))
    expected = trained("linear").get_score(importance_type="weight")
    assert report["outputs"] == 3
    assert {one["feature"]: one["weight"] for one in report["features"]} == pytest.approx(
        {name: sum(map(abs, values)) / 3 for name, values in expected.items()}
    )


def test_the_best_round(tmp_path: Path) -> None:
    booster = trained("trees").copy()
    booster.set_attr(best_iteration="1", best_score="0.5")
    booster.save_model(tmp_path / "model.ubj")
    report = facts(told(tmp_path, "xgboost"))
    assert (report["rounds"], report["best round"], report["best score"]) == (3, "1", "0.5")


def test_a_model_made_elsewhere(tmp_path: Path) -> None:
    trained("trees").save_model(tmp_path / "model.json.ubj")
    assert measured(tmp_path) is None
    report = facts(told(tmp_path, "xgboost"))
    assert (report["metrics"], report["hyperparameters"]) == ({}, {})
    assert report["features"][0]["feature"].startswith("f")
    with pytest.raises(UserError, match="There is no algorithm 'none'"):
        measured(tmp_path, "none")
    assert measured(tmp_path, "pca") is None


def test_the_terminal_and_the_page_show_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = told(artifact(tmp_path, "names"))
    show(report)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "xgboost: 5 features that matter",
        "objective binary:logistic, booster gbtree, feature_dim 5, rounds 3",
        "Scores: rmse 0.25",
        "Trained with eta 0.3 <b>, num_round 3",
    ]
    assert lines[5].split() == ["feature", "gain", "weight", "cover", "total_gain", "total_cover"]
    assert lines[6].count("█") == 30 and len(lines) == 11
    text = page(report)
    assert "Trained with eta 0.3 &lt;b&gt;, num_round 3" in text and text.count("<svg") == 1
    assert [label.get_text() for label in bars(report).axes[0].get_yticklabels()][-1] == report.found.features[0][0]


def test_names_are_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    booster = trained("names").copy()
    booster.feature_names = ["$x_1$", "[red]", "<script>", "d", "e"]
    booster.save_model(tmp_path / "model.ubj")
    report = told(tmp_path, "xgboost")
    show(report)
    assert "[red]" in capsys.readouterr().out
    assert "<script>" not in page(report)


def test_long_tables_end_with_how_many_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.importances.MOST_ROWS", 2)
    show(told(artifact(tmp_path, "names")))
    assert capsys.readouterr().out.splitlines()[-1] == "… and 3 more: --json and --output have all"


def test_the_command_writes_json_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = artifact(tmp_path, "trees")
    assert main(["report", str(model), "--json", "--output", str(tmp_path / "report.html")]) == 0
    assert json.loads(capsys.readouterr().out)["objective"] == "reg:squarederror"
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert main(["report", str(model)]) == 0
    assert "features that matter" in capsys.readouterr().out
