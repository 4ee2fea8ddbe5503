"""A declaration as tables and as a CreateAlgorithm request."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest

import algorithms
from algorithms.contract import Algorithm, Metric
from algorithms.description import create_algorithm, markdown
from algorithms.hyperparameters import Ge, Hyperparameters, hyper
from tests.unit.toy import ALGORITHM as TOY


class Forms(Hyperparameters):
    feature_dim: int = hyper("Features.", ge=1)
    rate: float = hyper("Rate.", default=1e-4, gt=0, tune=(0.1, 1))
    shift: float = hyper("Shift.", default=0.0)
    level: int = hyper("Level.", default=3, gt=0, lt=10, refinable=True)
    flag: bool = hyper("Flag.", default=True)
    method: Literal["a", "b"] = hyper("Method.", default="a", tune=("a", "b"))
    factor: Literal["auto"] | Annotated[int, Ge(1)] = hyper("Factor.", default="auto", tune=(4, 10))
    trials: Literal["auto"] | Annotated[int, Ge(1)] = hyper("Trials.", default="auto")
    scores: list[Literal["msd", "ssd"]] = hyper("Scores.", default=["msd"])
    words: list[str] = hyper("Words.", default=["x"])
    text: str = hyper("Text.", default="")
    limit: Annotated[float, Ge(0)] | None = hyper("Limit.", default=None)


FORMS = replace(
    TOY,
    hyperparameters=Forms,
    metrics=(Metric("msd", "loss", "Mean."), Metric("auc", "score", "Area.", ("train", "validation"))),
)


def subject(name: str) -> Algorithm:
    return {"toy": TOY, "forms": FORMS}.get(name) or algorithms.algorithm(name)


every_algorithm = pytest.mark.parametrize("name", ["toy", "forms", *algorithms.TABLE])


def parameters(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["Name"]: one for one in request["TrainingSpecification"]["SupportedHyperParameters"]}


@every_algorithm
def test_request_fits_the_service_model(name: str) -> None:
    """Against the model that boto3 itself checks requests with, where it is installed."""
    loaders, model, validate = (pytest.importorskip(f"botocore.{name}") for name in ("loaders", "model", "validate"))
    service = model.ServiceModel(loaders.Loader().load_service_model("sagemaker", "service-2"))
    shape = service.operation_model("CreateAlgorithm").input_shape
    report = validate.ParamValidator().validate(create_algorithm(subject(name), "image:1"), shape)
    assert not report.has_errors(), report.generate_report()


@every_algorithm
def test_request_keeps_the_services_limits(name: str) -> None:
    """Lengths and patterns of the API reference, which boto3 does not check."""
    request = json.loads(json.dumps(create_algorithm(subject(name), "image:1")))
    training = request["TrainingSpecification"]
    assert re.fullmatch("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", request["AlgorithmName"])
    assert len(request["AlgorithmDescription"]) <= 1024
    number = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
    for one in training["SupportedHyperParameters"]:
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,256}", one["Name"]) and len(one["Description"]) <= 1024
        assert len(one.get("DefaultValue", "")) <= 2500 and not (one["IsRequired"] and "DefaultValue" in one)
        assert (one["Type"] == "FreeText") == ("Range" not in one)
        assert not (one["Type"] == "FreeText" and one["IsTunable"]), "the platform tunes no free text"
        if one["Type"] in ("Integer", "Continuous"):
            ends = one["Range"][f"{one['Type']}ParameterRangeSpecification"]
            assert all(number.fullmatch(end) for end in ends.values()), ends
            assert float(ends["MinValue"]) <= float(one.get("DefaultValue", ends["MinValue"]))
            assert float(one.get("DefaultValue", ends["MinValue"])) <= float(ends["MaxValue"])
        if one["Type"] == "Categorical":
            choices = one["Range"]["CategoricalParameterRangeSpecification"]["Values"]
            assert one.get("DefaultValue", choices[0]) in choices and len(choices) <= 30
    assert 1 <= len(training["TrainingChannels"]) <= 8
    for channel in training["TrainingChannels"]:
        assert len(channel["SupportedContentTypes"]) == len(set(channel["SupportedContentTypes"]))
    metrics = {one["Name"]: one["Regex"] for one in training["MetricDefinitions"]}
    assert len(metrics) == len(training["MetricDefinitions"]) <= 40
    assert all(
        len(name) <= 255 and len(regex) <= 500 and re.compile(regex).groups == 1 for name, regex in metrics.items()
    )
    assert {one["MetricName"] for one in training["SupportedTuningJobObjectiveMetrics"]} <= set(metrics)
    types = request["InferenceSpecification"]["SupportedContentTypes"]
    assert len(types) == len(set(types))


def test_forms_become_types_and_ranges() -> None:
    found = parameters(create_algorithm(FORMS, "image:1"))
    assert found["feature_dim"] == {
        "Name": "feature_dim",
        "Description": "Features.",
        "IsRequired": True,
        "IsTunable": False,
        "Type": "Integer",
        "Range": {"IntegerParameterRangeSpecification": {"MinValue": "1", "MaxValue": "2147483647"}},
    }
    ranges = {name: next(iter(one["Range"].values())) for name, one in found.items() if "Range" in one}
    assert ranges["rate"] == {"MinValue": "0", "MaxValue": "1e+300"} and found["rate"]["DefaultValue"] == "0.0001"
    assert ranges["shift"] == {"MinValue": "-1e+300", "MaxValue": "1e+300"}
    assert ranges["limit"]["MinValue"] == "0" and "DefaultValue" not in found["limit"]
    assert ranges["level"] == {"MinValue": "1", "MaxValue": "9"}
    assert ranges["flag"] == {"Values": ["true", "false"]} and found["flag"]["DefaultValue"] == "true"
    assert ranges["method"] == {"Values": ["a", "b"]}
    assert {name for name, one in found.items() if one["Type"] == "FreeText"} == {"trials", "scores", "words", "text"}
    assert found["scores"]["DefaultValue"] == '["msd"]'


def test_auto_or_number_can_be_tuned_as_the_number() -> None:
    factor = parameters(create_algorithm(FORMS, "image:1"))["factor"]
    assert (factor["Type"], factor["IsTunable"], factor["IsRequired"]) == ("Integer", True, False)
    assert "DefaultValue" not in factor, "auto is no integer"


def test_channels_and_objectives() -> None:
    training = create_algorithm(FORMS, "image:1")["TrainingSpecification"]
    channels = {channel["Name"]: channel for channel in training["TrainingChannels"]}
    assert list(channels) == ["train", "test", "model"]
    assert channels["train"]["IsRequired"] and not channels["model"]["IsRequired"]
    assert channels["model"]["SupportedContentTypes"] == ["application/x-sagemaker-model"]
    assert channels["model"]["SupportedInputModes"] == ["File"]
    assert training["SupportedTuningJobObjectiveMetrics"] == [
        {"Type": "Minimize", "MetricName": "test:msd"},
        {"Type": "Maximize", "MetricName": "validation:auc"},
    ]
    regexes = {one["Name"]: one["Regex"] for one in training["MetricDefinitions"]}
    assert regexes["test:msd"] == r"#quality_metric: host=\S+, test msd <loss>=(\S+)"


def test_tables_for_the_documentation() -> None:
    text = markdown(FORMS)
    for line in [
        "| `feature_dim` | required | an integer greater than 0 | Features. |",
        "| `rate` | `0.0001` | a number greater than 0 | Rate. |",
        "| `level` | `3` | an integer between 1 and 9 | Level. May change in `onepass finalise`. |",
        "| `flag` | `true` | `true`, `false` | Flag. |",
        "| `method` | `a` | `a`, `b` | Method. |",
        "| `factor` | `auto` | `auto` or an integer greater than 0 | Factor. |",
        "| `limit` | `none` | a number of at least 0 | Limit. |",
        '| `scores` | `["msd"]` | list of `msd`, `ssd` | Scores. |',
        '| `words` | `["x"]` | list | Words. |',
        "| `train` | yes | Records. |",
        "| `model` | no | An earlier `model.tar.gz` of this algorithm, to continue it with new data. |",
        "| `train:msd`, `test:msd` | smaller | Mean. |",
        "| `train:auc`, `validation:auc` | larger | Area. |",
    ]:
        assert line in text.split("\n"), line
    widths = {line.count("|") for line in text.split("\n") if line.startswith("|")}
    assert widths == {4, 5}, "a table row has a cell too many"
