"""Model files as documents: JSON or UBJSON, checked before the library sees them.

The library's readers follow lengths and indices as a file gives them, beyond the end of memory or in circles. So a file
is read here, everything that prediction follows is checked, and the library gets what was checked, written anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from algorithms.artifacts import ubjson
from algorithms.xgboost.fields import array, count, mapping, names, text_list, texts
from algorithms.xgboost.trees import checked_trees
from recordio.errors import UserError
from recordio.limits import LIMITS

MOST_OUTPUTS = 1 << 20
OF_TEXT = (b'"', b"}", b" ", b"\n", b"\r", b"\t")  # what may follow the first brace of JSON; UBJSON has a length there
OF_PICKLES = (b"\x80", b"ccopy")  # of protocol 2 and later; of those before
CONVERT = "`onepass convert-model --trust IN OUT` makes a model of it that is"


def checked(content: bytes) -> bytes:
    """The same model as UBJSON that the library can read and predict with in safety.

    Raises UserError for all that is no such model.
    """
    if content.startswith(OF_PICKLES):
        raise UserError(f"is a Python pickle, which could run any code, so it is not opened: {CONVERT} served")
    if not content.startswith(b"{"):
        raise UserError(
            f"starts with {content[:4]!r}, expected the {{ of JSON or UBJSON. If it is in the binary form that xgboost "
            f"gave up in version 3.1, {CONVERT} served, where an older xgboost is installed"
        )
    document = _json(content) if content[1:2] in OF_TEXT else ubjson.decode(content)
    return ubjson.encode(_document(mapping(document, "the model")))


def _json(content: bytes) -> Any:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):  # one reader would take the first, and another the last
            raise UserError("has a name twice in one object")
        return found

    try:
        return json.loads(content, object_pairs_hook=members)
    except (ValueError, RecursionError) as error:
        raise UserError(f"is no JSON: {error}") from error


def _document(given: Mapping[str, Any]) -> dict[str, Any]:
    names(given, "the model", ("learner", "version"))
    version = array(given["version"], "version", "i4", 3)
    learner = mapping(given["learner"], "learner")
    names(
        learner,
        "learner",
        ("attributes", "gradient_booster", "learner_model_param", "objective"),
        ("feature_names", "feature_types"),
    )
    parameters = _parameters(mapping(learner["learner_model_param"], "learner_model_param"))
    features = int(parameters["num_feature"])
    outputs = max(int(parameters["num_class"]), int(parameters["num_target"]))
    checked_learner = {
        # empty ones the library takes, and can't give back
        "attributes": {name: text for name, text in texts(learner["attributes"], "attributes").items() if text},
        "feature_names": text_list(learner.get("feature_names", []), "feature_names", features),
        "feature_types": text_list(learner.get("feature_types", []), "feature_types", features),
        "gradient_booster": _booster(mapping(learner["gradient_booster"], "gradient_booster"), features, outputs),
        "learner_model_param": parameters,
        "objective": _objective(mapping(learner["objective"], "objective"), parameters["num_class"]),
    }
    return {"learner": checked_learner, "version": version.tolist()}


def _parameters(given: Mapping[str, Any]) -> dict[str, str]:
    where = "learner_model_param"
    names(given, where, ("base_score", "num_class", "num_feature"), ("boost_from_average", "num_target"))
    features = count(given["num_feature"], "num_feature", 1, LIMITS.dense_width)
    classes = count(given["num_class"], "num_class", 0, MOST_OUTPUTS)
    targets = count(given.get("num_target", "1"), "num_target", 1, MOST_OUTPUTS)
    average = count(given.get("boost_from_average", "1"), "boost_from_average", 0, 1)
    text = given["base_score"]
    if _scores(text) not in {1, max(classes, targets)}:
        raise UserError(f"base_score: got {_scores(text)} numbers for {max(classes, targets)} outputs")
    return {
        "base_score": text,
        "boost_from_average": f"{average}",
        "num_class": f"{classes}",
        "num_feature": f"{features}",
        "num_target": f"{targets}",
    }


def _scores(text: Any) -> int:
    """How many finite numbers stand in a text such as 5E-1 or [5E-1,2E-1]."""
    try:
        numbers = [float(number) for number in text.removeprefix("[").removesuffix("]").split(",")]
    except (AttributeError, ValueError):
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"base_score: got {str(text)[:40]!r}, expected finite numbers")
    return len(numbers)


def _objective(given: Mapping[str, Any], classes: str) -> dict[str, Any]:
    """The name, and parameters of its own as objects of texts."""
    name = given.get("name")
    if not isinstance(name, str):
        raise UserError("objective: has no name")
    found: dict[str, Any] = {"name": name}
    for key, value in given.items():
        if key in ("ti+", "tj-"):  # what unbiased ranking has learned of positions
            found[key] = array(value, key, "f4")
        elif key != "name":
            found[key] = texts(value, f"objective, {key}")
    own = found.get("softmax_multiclass_param", {}).get("num_class")
    if name.startswith("multi:") and not own == classes != "0":
        raise UserError(f"objective {name}: got {own} classes, and num_class {classes}")
    return found


def _booster(given: Mapping[str, Any], features: int, outputs: int) -> dict[str, Any]:
    name = given.get("name")
    if name == "gbtree":
        names(given, name, ("name", "model"))
        return {"name": name, "model": checked_trees(mapping(given["model"], "model"), features, outputs)}
    if name == "dart":
        names(given, name, ("name", "gbtree", "weight_drop"))
        inner = mapping(given["gbtree"], "gbtree")
        if inner.get("name") != "gbtree":
            raise UserError("dart: holds no gbtree")
        trees = _booster(inner, features, outputs)
        weights = array(given["weight_drop"], "weight_drop", "f4", len(trees["model"]["trees"]))
        return {"name": name, "gbtree": trees, "weight_drop": weights.tolist()}
    if name == "gblinear":
        names(given, name, ("name", "model"))
        return {"name": name, "model": _linear(mapping(given["model"], "model"), (features + 1) * outputs)}
    raise UserError(f"gradient_booster: got {str(name)[:40]!r}, expected gbtree, dart or gblinear")


def _linear(given: Mapping[str, Any], length: int) -> dict[str, Any]:
    names(given, "model", ("weights",), ("boosted_rounds",))
    rounds = count(str(given.get("boosted_rounds", 0)), "boosted_rounds", 0, (1 << 31) - 1)
    return {"weights": array(given["weights"], "weights", "f4", length), "boosted_rounds": rounds}
