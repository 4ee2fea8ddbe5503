"""An algorithm's declaration in other words: tables for the documentation, CreateAlgorithm for the platform."""

from __future__ import annotations

import json
from typing import Any

from algorithms.contract import Algorithm
from algorithms.forms import Choice, Flag, Many, Number
from algorithms.hyperparameters import Declared
from algorithms.spellings import as_string

LARGEST_INTEGER = 2**31 - 1  # the platform's ranges must have both ends
LARGEST_NUMBER = 1e300
MOST_CHOICES = 30  # of a categorical one; with more, it is declared as free text


def markdown(algorithm: Algorithm) -> str:
    """Tables of hyperparameters, channels, content types and metrics."""
    lines = ["| Hyperparameter | Default | Valid | Meaning |", "|---|---|---|---|"]
    for item in algorithm.hyperparameters.declared():
        default = "required" if item.required else "`none`" if item.default is None else f"`{as_string(item.default)}`"
        again = " May change in `onepass finalise`." if item.refinable else ""
        stays = " Stays when a model is continued." if item.fixed else ""
        lines.append(f"| `{item.name}` | {default} | {_valid(item)} | {item.description}{again}{stays} |")
    lines += ["", "| Channel | Needed | Holds |", "|---|---|---|"]
    for channel in algorithm.channels:
        lines.append(f"| `{channel.name}` | {'yes' if channel.required else 'no'} | {channel.description} |")
    lines.append("| `model` | no | An earlier `model.tar.gz` of this algorithm, to continue it with new data. |")
    training = ", ".join(f"`{name}`" for name in algorithm.content_types)
    replies = ", ".join(f"`{name}`" for name in algorithm.reply_types)
    lines += ["", f"Content types in training: {training}. Replies: {replies}."]
    lines += ["", f"A job with a `model` channel goes on with {algorithm.carried}."]
    if not algorithm.stateless:
        alone = f"it goes on with {algorithm.alone}" if algorithm.adopt else f"it can't, since {algorithm.alone}"
        lines[-1] += f" From a `model_<host>` without its `state_<uuid>`, {alone}."
    lines += ["", "| Metric | Better when | Definition |", "|---|---|---|"]
    for metric in algorithm.metrics:
        names = ", ".join(f"`{channel}:{metric.name}`" for channel in metric.channels)
        lines.append(f"| {names} | {'smaller' if metric.smaller else 'larger'} | {metric.definition} |")
    return "\n".join(lines) + "\n"


def create_algorithm(algorithm: Algorithm, image: str) -> dict[str, Any]:
    """The request body of CreateAlgorithm, which makes an image a named algorithm of the platform."""
    content_types = list(algorithm.content_types)
    modes = ["File", "FastFile", "Pipe"]
    channels = [
        _channel(each.name, each.description, content_types, modes, each.required) for each in algorithm.channels
    ]
    channels.append(_channel("model", "An earlier model to continue.", ["application/x-sagemaker-model"], ["File"]))
    return {
        "AlgorithmName": f"onepass-{algorithm.name}",
        "AlgorithmDescription": algorithm.description,
        "TrainingSpecification": {
            "TrainingImage": image,
            "SupportedHyperParameters": [_parameter(item) for item in algorithm.hyperparameters.declared()],
            "SupportedTrainingInstanceTypes": ["ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge", "ml.c5.4xlarge"],
            "SupportsDistributedTraining": True,
            "MetricDefinitions": [
                {"Name": f"{channel}:{metric.name}", "Regex": metric.regex(channel)}
                for metric in algorithm.metrics
                for channel in metric.channels
            ],
            "TrainingChannels": channels,
            "SupportedTuningJobObjectiveMetrics": [
                {
                    "Type": "Minimize" if metric.smaller else "Maximize",
                    "MetricName": f"{channel}:{metric.name}",
                }
                for metric in algorithm.metrics
                for channel in metric.channels
                if channel != "train"  # a candidate must not be chosen by the records that it learned
            ],
        },
        "InferenceSpecification": {
            "Containers": [{"Image": image}],
            "SupportedContentTypes": list(algorithm.request_types),
            "SupportedResponseMIMETypes": list(algorithm.reply_types),
        },
    }


def _channel(
    name: str, description: str, content_types: list[str], modes: list[str], required: bool = False
) -> dict[str, Any]:
    return {
        "Name": name,
        "Description": description,
        "IsRequired": required,
        "SupportedContentTypes": content_types,
        "SupportedInputModes": modes,
    }


def _valid(item: Declared) -> str:
    words = []
    for form in item.forms:
        match form:
            case Choice(values):
                words += [f"`{value}`" for value in values]
            case Number():
                words.append(form.range)
            case Flag():
                words.append("`true`, `false`")
            case Many(of):
                words.append(
                    f"list of {', '.join(f'`{value}`' for value in of.values)}" if isinstance(of, Choice) else "list"
                )
            case _:
                words.append("text")
    return " or ".join(words) if len(item.forms) > 1 else ", ".join(words)


def _parameter(item: Declared) -> dict[str, Any]:
    forms = item.forms
    if item.tune is not None and len(forms) > 1:
        # The platform tunes no free text: an auto-or-number is declared as the number, and auto by leaving it out.
        forms = tuple(form for form in forms if isinstance(form, Number))
    parameter: dict[str, Any] = {
        "Name": item.name,
        "Description": item.description,
        "IsRequired": item.required,
        "IsTunable": item.tune is not None,
    }
    if item.default is not None and forms == item.forms:
        parameter["DefaultValue"] = as_string(item.default)
    match forms:
        case (Number() as form,):
            limit = LARGEST_INTEGER if form.integer else LARGEST_NUMBER
            low = form.lowest if form.lowest is not None else -limit
            high = form.highest if form.highest is not None else limit
            kind = "Integer" if form.integer else "Continuous"
            ends = {"MinValue": json.dumps(low), "MaxValue": json.dumps(high)}
            return parameter | {"Type": kind, "Range": {f"{kind}ParameterRangeSpecification": ends}}
        case (Choice(values),) if len(values) <= MOST_CHOICES:
            pass
        case (Flag(),):
            values = ("true", "false")
        case _:
            return parameter | {"Type": "FreeText"}
    choices = {"CategoricalParameterRangeSpecification": {"Values": list(values)}}
    return parameter | {"Type": "Categorical", "Range": choices}
