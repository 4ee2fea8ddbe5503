"""What an algorithm says of its answers: outputs by name, forms of CSV, columns and their order."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from algorithms.answers import Answers, Output
from algorithms.contract import Algorithm, Arrays
from recordio.batch import Batch
from recordio.encoding import CsvForm
from recordio.errors import UserError
from serving.errors import NotAcceptable, TooLarge
from serving.inference import Inference, Reply
from serving.settings import Settings
from tests.unit.serving.toy import TOY, Scale

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
VARIABLES = {"FORM": "quoted"}


def squares(model: Scale, batch: Batch) -> Arrays:
    return {"squares": np.asarray(batch.features) ** 2}


def both(model: Scale, batch: Batch) -> Arrays:
    return {"twice": 2 * np.asarray(batch.features), **model.predict(batch)}


def answers(variables: Any) -> Answers:
    if variables.get("FORM") == "none":
        raise UserError("FORM: got none")
    outputs = {"squares": Output(lambda model: model.feature_dim, squares)}
    return (
        Answers(outputs=outputs, csv=CsvForm(ended=True))
        if not variables
        else Answers(both, ("score", "twice"), outputs, CsvForm(variables["FORM"]), variables.get("BATCH") == "1")
    )


ANSWERING = replace(TOY, answers=answers, content_type="text/libsvm", request_types=(*TOY.request_types, "text/libsvm"))


def reply(
    accept: str | None = None,
    body: bytes = b"1,2\n3,4",
    kind: str | None = CSV,
    algorithm: Algorithm = ANSWERING,
    **variables: str,
) -> Reply:
    inference = Inference.of(algorithm, Settings(records=4, variables=variables))
    return inference.reply(Scale(2), body, kind, accept)


def test_outputs_are_asked_for_by_name() -> None:
    assert reply(f"{JSON}; output=squares").body == b'{"predictions":[{"squares":[1.0,4.0]},{"squares":[9.0,16.0]}]}'
    assert reply("*/*;output=squares").content_type == JSON
    assert reply(f"{CSV};output=squares").body == b"1.0,4.0\n9.0,16.0\n"
    assert reply(f"{CSV};output=squares", FORM="quoted", BATCH="1").body == b"1.0,4.0\n9.0,16.0"
    with pytest.raises(NotAcceptable, match="got output=roots, and toy has output=squares"):
        reply(f"{JSON}; output=roots")
    with pytest.raises(NotAcceptable, match="got output=squares, and toy has none"):
        reply(f"{JSON}; output=squares", algorithm=TOY)


def test_replies_with_many_numbers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.inference.MOST_NUMBERS", 4)
    assert reply(f"{JSON}; output=squares").records == 2
    with pytest.raises(TooLarge, match="has 2 numbers for each record, and 4 at most: send fewer"):
        reply(f"{JSON}; output=squares", b"1,2\n" * 3)
    with pytest.raises(TooLarge, match="more than 4 records"):
        reply(f"{JSON}; output=squares", b"1,2\n" * 5)
    assert reply(body=b"1,2\n" * 4).records == 4


def test_other_columns_and_their_order() -> None:
    assert reply(JSON, **VARIABLES).body.startswith(b'{"predictions":[{"score":3.0,"twice":[2.0,4.0]}')
    assert reply(CSV, **VARIABLES).body == b'"[2.0, 4.0]",3.0\n"[6.0, 8.0]",7.0'
    assert reply(CSV).body == b"3.0\n7.0\n"


def test_csv_whatever_is_accepted() -> None:
    for accept in (None, JSON, LINES, CSV):
        found = reply(accept, FORM="bare", BATCH="1")
        assert (found.content_type, found.body) == (CSV, b"[2.0, 4.0],3.0\n[6.0, 8.0],7.0")


def test_variables_that_ask_for_what_is_not_there() -> None:
    with pytest.raises(UserError, match="FORM: got none"):
        reply(FORM="none")


def test_text_that_names_no_type_is_the_algorithms() -> None:
    assert json.loads(reply(body=b"0:1 1:2\n1:5\n", kind=None).body) == {
        "predictions": [{"score": 3.0}, {"score": 5.0}]
    }
    assert reply(body=b'{"instances":[{"features":[1,2]}]}', kind=None).records == 1
    assert reply(body=b"1,2\n", kind=None, algorithm=TOY).records == 1


@pytest.mark.parametrize("missing", [False, True])
def test_missing_and_infinite_values(missing: bool) -> None:
    algorithm = replace(TOY, missing=missing, load=lambda _: Scale(2))
    with pytest.raises(UserError, match="record 1: found infinite values, expected finite numbers"):
        reply(body=b"1,2\n3,inf", algorithm=algorithm)
    with pytest.raises(
        UserError, match="score is not a finite number" if missing else r"record 1: found missing \(NaN\)"
    ):
        reply(body=b'{"instances":[{"features":[1,2]},{"features":[3,null]}]}', kind=JSON, algorithm=algorithm)
