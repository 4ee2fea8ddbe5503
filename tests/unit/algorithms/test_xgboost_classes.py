"""Names of classes: from the hyperparameter to the booster, on to what goes on from it, and into replies."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

import algorithms
import recordio
from algorithms.xgboost.classes import write_names
from algorithms.xgboost.importances import importances
from algorithms.xgboost.model import XGBoostModel, load
from algorithms.xgboost.state import XGBoostState
from recordio.batch import Batch
from recordio.errors import UserError
from recordio.protobuf import Record
from serving.inference import Inference
from serving.settings import Settings
from tests.unit.algorithms.boosters import CLASSES, records, trained
from tests.unit.algorithms.test_xgboost_answers import CSV, JSON, KINDS, LINES, RECORDIO, ROWS, WANTED, ask, predicted

NAMES = ["setosa, wild", 'the "blue" one', "línea\r\n鳶尾 👩‍🔬"]
KEYS = {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label,labels,raw_score"}


def state(**given: str) -> XGBoostState:
    settings = {"num_round": "4", "nthread": "1", "num_class": "3", "objective": "multi:softprob", **given}
    return filled(XGBoostState(algorithms.algorithm("xgboost").hyperparameters.from_strings(settings)))


def filled(some: XGBoostState) -> XGBoostState:
    x = records()
    some.update(Batch(x, np.digitize(np.nansum(x, axis=1), (-1, 1)).astype(np.float32)))
    return some


def learned(some: XGBoostState) -> XGBoostModel:
    list(some.rounds())
    return some.finalise()


def called(booster: xgboost.Booster) -> Any:
    return json.loads(booster.attr("class_names") or "null")


def given(kind: str, names: list[str] | str | None) -> xgboost.Booster:
    """A booster with such an attribute, made elsewhere."""
    booster = trained(KINDS.get(kind, kind)).copy()
    booster.set_attr(class_names=json.dumps(names, ensure_ascii=False) if isinstance(names, list) else names)
    return booster


def stored(folder: Path, *boosters: xgboost.Booster) -> Path:
    for number, booster in enumerate(boosters):
        booster.save_model(folder / f"part-{number}.{'json' if number % 2 else 'ubj'}")
    return folder


@pytest.mark.parametrize("suffix", ["ubj", "json"])
def test_names_travel_with_the_booster_and_change_nothing_else(tmp_path: Path, suffix: str) -> None:
    named, plain = learned(state(class_names=json.dumps(NAMES))), learned(state())
    named.save(tmp_path, "algo-1")
    (model,) = load(tmp_path).boosters
    assert called(model) == NAMES
    assert model.get_dump(with_stats=True) == plain.boosters[0].get_dump(with_stats=True)
    model.save_model(tmp_path / f"again.{suffix}")
    (tmp_path / "xgboost-model").unlink()
    assert load(tmp_path).class_names == tuple(NAMES)
    np.testing.assert_array_equal(load(tmp_path).scores(Batch(ROWS)), plain.scores(Batch(ROWS)))
    again = xgboost.Booster(model_file=tmp_path / f"again.{suffix}")
    again.set_attr(class_names=None)
    assert again.save_raw() == plain.boosters[0].save_raw()


@pytest.mark.parametrize(
    "settings",
    [{}, {"booster": "dart", "rate_drop": "0.5"}, {"early_stopping_rounds": "1", "eval_metric": "mlogloss"}],
    ids=str,
)
def test_names_after_an_interruption(settings: dict[str, str]) -> None:
    def begun(some: XGBoostState) -> XGBoostState:
        some.hold_out(Batch(ROWS, np.zeros(len(ROWS), np.float32)))
        return some

    cut = begun(state(class_names="a,b,c", **settings))
    with closing(cut.rounds()) as rounds:
        list(islice(rounds, 2))
    assert called(cut.finalise().boosters[0]) == ["a", "b", "c"]
    again = begun(filled(XGBoostState.restore(cut.settings, *cut.snapshot())))
    assert called(learned(again).boosters[0]) == ["a", "b", "c"]


@pytest.mark.parametrize(("then", "expected"), [({}, ["a", "b", "c"]), ({"class_names": "d,e,f"}, ["d", "e", "f"])])
@pytest.mark.parametrize("settings", [{}, {"early_stopping_rounds": "1", "eval_metric": "mlogloss"}], ids=str)
def test_names_of_a_model_that_goes_on(then: dict[str, str], expected: list[str], settings: dict[str, str]) -> None:
    further = XGBoostState.adopt(state(**then, **settings).settings, learned(state(class_names="a,b,c")))
    further.hold_out(Batch(ROWS, np.zeros(len(ROWS), np.float32)))
    model = learned(filled(further))
    assert model.boosters[0].num_boosted_rounds() > 4
    assert called(model.boosters[0]) == expected


def test_boosters_of_all_folds_have_the_names(tmp_path: Path) -> None:
    model = learned(state(class_names="a,b,c", _kfold="2", _num_cv_round="2"))
    assert [called(booster) for booster in model.boosters] == [["a", "b", "c"]] * 4
    model.save(tmp_path, "algo-1")
    assert load(tmp_path).class_names == ("a", "b", "c")


@pytest.mark.parametrize("objective", WANTED["predicted_label"])
def test_names_in_replies(tmp_path: Path, objective: str) -> None:
    names = NAMES if objective.startswith("multi:") else NAMES[:2]
    served = load(stored(tmp_path, given(objective, names)))
    scores = predicted(objective).tolist()
    wanted = [
        {
            "predicted_label": names[int(WANTED["predicted_label"][objective](score))],
            "labels": names,
            "raw_score": WANTED["raw_score"][objective](score),
        }
        for score in scores
    ]
    assert len({one["predicted_label"] for one in wanted}) > 1 or objective == "binary:hinge"
    assert ask(served, JSON, **KEYS) == ask(served, LINES, **KEYS) == wanted
    assert ask(served, CSV, **KEYS) == "\n".join(
        ",".join(
            (
                '"' + one["predicted_label"].replace('"', '""') + '"',
                '"' + json.dumps(names, ensure_ascii=False).replace('"', '""') + '"',
                repr(one["raw_score"]),
            )
        )
        for one in wanted
    )
    plain = load(stored(tmp_path, given(objective, None)))
    for accept in (None, CSV, JSON, LINES, RECORDIO):
        assert ask(served, accept) == ask(plain, accept)
    assert ask(served, JSON, b'{"instances":[]}', JSON, **KEYS) == []


def test_names_in_recordio(tmp_path: Path) -> None:
    served = load(stored(tmp_path, given("multi:softprob", NAMES)))
    inference = Inference.of(algorithms.algorithm("xgboost"), Settings(variables=KEYS))
    found = [
        Record.FromString(payload).label
        for payload in recordio.records(inference.reply(served, b"1,2,3,4,5\n-1,-2,-3,-4,-5", CSV, RECORDIO).body)
    ]
    scores = served.scores(Batch(np.array([[1, 2, 3, 4, 5], [-1, -2, -3, -4, -5]], np.float32)))
    for one, score in zip(found, scores, strict=True):
        assert list(one["predicted_label"].bytes.value) == [NAMES[score.argmax()].encode()]
        assert list(one["labels"].bytes.value) == [name.encode() for name in NAMES]
        assert list(one["raw_score"].float32_tensor.values) == [score.max()]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("cat,dog,bird", "got 'cat,dog,bird', expected a JSON list of texts"),
        ('{"0": "cat"}', "expected a JSON list of texts"),
        ('["cat", "dog", 3]', "expected a JSON list of texts"),
        ("[" * 100_000, "expected a JSON list of texts"),
        ("1" * 5_000, "expected a JSON list of texts"),
        (json.dumps(["cat", "dog"]), "got 2 names, expected 3, one for each class"),
        ("[]", "got 0 names, expected 3"),
        (json.dumps(["cat", "dog", "cat"]), "got 'cat' for class 2, expected a text"),
        (json.dumps(["cat", r"C:\users", "dog"]), r"got 'C:\\users' for class 1, expected a text"),
        (json.dumps(["cat", "a\0", "dog"]), r"got 'a\x00' for class 1, expected a text"),
        (json.dumps(["cat", "", "dog"]), "got '' for class 1, expected a text"),
        (json.dumps(["\udc80", "cat", "dog"]), r"got '\udc80' for class 0, expected a text"),
    ],
    ids=lambda text: text[:20],
)
def test_an_attribute_of_another_kind_is_told_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, what: str
) -> None:
    with caplog.at_level(logging.WARNING):
        served = load(stored(tmp_path, given("multi:softmax", text)))
    (line,) = caplog.messages
    assert line.startswith("The attribute class_names of a booster is passed over: ")
    assert what in line and len(line) < 300
    assert ask(served, JSON, **KEYS) == ask(XGBoostModel((trained("softmax"),)), JSON, **KEYS)


def test_objectives_without_classes_have_no_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    served = load(stored(tmp_path, given("reg:squarederror", ["a", "b"])))
    assert served.class_names == ()
    assert not caplog.messages
    scores = ask(served, JSON, SAGEMAKER_INFERENCE_OUTPUT="predicted_score")
    assert scores == [{"predicted_score": score} for score in predicted("reg:squarederror").tolist()]


def test_names_of_an_ensemble(tmp_path: Path) -> None:
    kind = "binary:logistic"
    served = load(stored(tmp_path, given(kind, None), given(kind, ["no", "yes"]), given(kind, ["no", "yes"])))
    assert [one["labels"] for one in ask(served, JSON, **KEYS)] == [["no", "yes"]] * len(ROWS)
    alone = ask(served, JSON, **KEYS, SAGEMAKER_INFERENCE_ENSEMBLE="false")
    assert [one["labels"] for one in alone] == [[0, 1]] * len(ROWS)
    stored(tmp_path, given(kind, None), given(kind, ["no", "yes"]), given(kind, ["no", "no, thanks"]))
    with pytest.raises(
        UserError, match=r"^part-2.ubj: class 1 is called 'no, thanks', expected 'yes' as in files before"
    ):
        load(tmp_path)


def test_a_report_has_the_names(tmp_path: Path) -> None:
    booster = trained("classes").copy()
    write_names(booster, ["a", "b", "c"])
    assert importances(load(stored(tmp_path, booster))).facts["classes"] == "a / b / c"
    assert len(load(tmp_path).class_names) == CLASSES
