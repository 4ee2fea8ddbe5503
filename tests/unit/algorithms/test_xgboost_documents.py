"""Model files before the library reads them: what it wrote passes unchanged, and nothing else reaches it."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from algorithms.artifacts import ubjson
from algorithms.xgboost.documents import checked
from algorithms.xgboost.trees import MOST_DEPTH
from recordio.errors import UserError
from tests.unit.algorithms.boosters import KINDS, OBJECTIVES, trained

ROOT = Path(__file__).parents[3]


def document(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(trained(kind).save_raw("json")))
    return found


def opened(content: bytes) -> xgboost.Booster:
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(checked(content)))
    return booster


def refusal(content: bytes) -> str:
    with pytest.raises(UserError) as caught:
        checked(content)
    return str(caught.value)


@pytest.mark.parametrize("form", ["ubj", "json"])
@pytest.mark.parametrize("kind", [*KINDS, *OBJECTIVES])
def test_what_the_library_wrote_passes_unchanged(kind: str, form: str) -> None:
    booster = trained(kind)
    assert opened(bytes(booster.save_raw(form))).save_raw("ubj") == booster.save_raw("ubj")


def test_models_of_earlier_versions() -> None:
    """Without what was added since, and with the types of JSON as they were."""
    old = document("trees")
    model = old["learner"]["gradient_booster"]["model"]
    del model["cats"], model["iteration_indptr"], old["learner"]["feature_names"], old["learner"]["feature_types"]
    model["gbtree_model_param"]["size_leaf_vector"] = "0"
    old["learner"]["learner_model_param"] = {
        "base_score": "5E-1",
        "num_class": "0",
        "num_feature": old["learner"]["learner_model_param"]["num_feature"],
    }
    for tree in model["trees"]:
        for name in ("categories", "categories_nodes", "categories_segments", "categories_sizes", "split_type"):
            del tree[name]
        tree["default_left"] = [bool(left) for left in tree["default_left"]]
        tree["tree_param"]["size_leaf_vector"] = "0"
    new = copy.deepcopy(document("trees"))
    new["learner"]["learner_model_param"]["base_score"] = "[5E-1]"
    booster = opened(json.dumps(old).encode())
    assert booster.get_dump() == opened(json.dumps(new).encode()).get_dump()
    assert booster.num_boosted_rounds() == 3


PICKLED = "is a Python pickle, which could run any code, so it is not opened: `onepass convert-model --trust IN OUT`"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_told_and_not_opened(protocol: int) -> None:
    assert refusal(pickle.dumps(trained("trees"), protocol)).startswith(PICKLED)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "starts with b'', expected the { of JSON or UBJSON"),
        (b"binf\0\0", "the binary form that xgboost gave up in version 3.1, `onepass convert-model"),
        (b"\0\0\0?", "starts with b'\\x00\\x00\\x00?', expected"),
        (b"{}", "the model: has no learner"),
        (b'{"learner":', "is no JSON"),
        (b'{"learner":{},"learner":{}}', "has a name twice in one object"),
        (b'{"a":' * 100_000, "is no JSON"),
        (b"{L" + b"\x7f" + b"\xff" * 7, "got a length of 9223372036854775807, and fewer bytes than that"),
        (b"{L" + b"\xff" * 8, "got a length of -1"),
        (ubjson.encode({"learner": 1})[:-1] + ubjson.encode({"learner": 1})[1:], "got 'learner' twice in one object"),
        (b"{" + b"L\0\0\0\0\0\0\0\1a[" * 50, "expected a value"),
        (ubjson.encode({"a": []})[:-1] + b"[" * 40, "got"),
        (ubjson.encode({"learner": {}, "version": []}) + b"\0", "got more after the end"),
    ],
)
def test_bytes_that_are_no_model(content: bytes, words: str) -> None:
    assert words in refusal(content)


def learner(found: Any) -> Any:
    return found["learner"]


def model(found: Any) -> Any:
    booster = learner(found)["gradient_booster"]
    return booster.get("gbtree", booster)["model"]


def tree(found: Any) -> Any:
    return model(found)["trees"][1]


def node(name: str, place: int, value: Any) -> Callable[[Any], None]:
    def change(found: Any) -> None:
        tree(found)[name][place] = value

    return change


def parameter(name: str, value: Any) -> Callable[[Any], None]:
    def change(found: Any) -> None:
        learner(found)["learner_model_param"][name] = value

    return change


def put(where: Callable[[Any], Any], name: str, value: Any) -> Callable[[Any], None]:
    def change(found: Any) -> None:
        where(found)[name] = value

    return change


def without(where: Callable[[Any], Any], name: str) -> Callable[[Any], None]:
    def change(found: Any) -> None:
        del where(found)[name]

    return change


def cycle(found: Any) -> None:
    """The last inner node leads back to the first child of the root."""
    one = tree(found)
    last = max(place for place, left in enumerate(one["left_children"]) if left != -1)
    one["left_children"][last] = one["left_children"][0]


def chain(found: Any) -> None:
    """A tree as deep as it has inner nodes."""
    one, inner = tree(found), MOST_DEPTH + 1
    nodes = 2 * inner + 1
    one["left_children"] = [place + 1 if place % 2 == 0 and place < nodes - 1 else -1 for place in range(nodes)]
    one["right_children"] = [place + 2 if place % 2 == 0 and place < nodes - 1 else -1 for place in range(nodes)]
    one["parents"] = [2**31 - 1, *((place - 1) // 2 * 2 for place in range(1, nodes))]
    for name in ("base_weights", "loss_changes", "split_conditions", "sum_hessian"):
        one[name] = [0.0] * nodes
    for name in ("default_left", "split_indices", "split_type"):
        one[name] = [0] * nodes
    one["tree_param"]["num_nodes"] = f"{nodes}"


CHANGES: list[tuple[str, Callable[[Any], None], str]] = [
    ("trees", node("left_children", 0, 10**6), "tree 1, node 0: has a child that is not in the tree"),
    ("trees", node("left_children", 0, 0), "tree 1, node 0: expected children from 1 on"),
    ("trees", node("right_children", 0, -1), "tree 1, node 0: expected children from 1 on"),
    ("trees", node("right_children", 0, 1), "tree 1, node 1: is the child of two nodes"),
    ("trees", cycle, "tree 1, node 1: is the child of two nodes"),
    ("trees", chain, f"a tree is deeper than {MOST_DEPTH} nodes"),
    ("trees", node("parents", 0, 0), "tree 1, node 0: is a root with a parent"),
    ("trees", node("parents", 1, 2**31 - 1), "tree 1, node 1: has a parent that is not in the tree"),
    ("trees", node("parents", 1, 1), "tree 1, node 1: names another parent than the node above it"),
    ("trees", node("split_indices", 0, 5), "tree 1, node 0: asks for a feature that is not one of 5"),
    ("trees", node("split_indices", 0, -1), "tree 1, node 0: asks for a feature that is not one of 5"),
    ("trees", node("left_children", 0, 2**40), "tree 1, left_children: expected integers of 32 bits"),
    ("trees", node("left_children", 0, 1.0), "tree 1, left_children: expected integers of 32 bits"),
    ("trees", node("left_children", 0, "1"), "tree 1, left_children: expected a list of numbers"),
    ("trees", node("left_children", 0, None), "tree 1, left_children: expected a list of numbers"),
    ("trees", node("left_children", 0, [1]), "tree 1, left_children: expected a list of numbers"),
    ("trees", put(tree, "parents", [-1]), "tree 1, parents: got 1 numbers, expected"),
    ("trees", put(tree, "tree_param", {"num_nodes": "0", "size_leaf_vector": "1"}), "num_nodes: got 0, expected 1 to"),
    ("trees", put(tree, "surprise", 1), "tree 1: got 'surprise', which no version of xgboost known here writes"),
    ("trees", without(tree, "parents"), "tree 1: has no parents"),
    ("trees", put(model, "trees", {}), "trees: expected a list"),
    ("trees", put(model, "trees", []), "num_trees: got 3 for 0 trees"),
    ("trees", put(model, "tree_info", [0, 1, 0]), "tree_info: expected outputs of 0 to 0"),
    ("trees", put(model, "iteration_indptr", [0, 1, 9]), "iteration_indptr: expected numbers that rise from 0 to 3"),
    ("trees", put(model, "iteration_indptr", [0, 2, 1, 3]), "iteration_indptr: expected numbers that rise from 0 to 3"),
    ("classes", without(model, "iteration_indptr"), ""),
    ("classes", put(model, "tree_info", [0, 0, 0, 1, 1, 1, 2, 2, 3]), "tree_info: expected outputs of 0 to 2"),
    ("classes", parameter("num_class", "7"), "base_score: got 3 numbers for 7 outputs"),
    ("softmax", put(learner, "objective", {"name": "multi:softmax"}), "got None classes, and num_class 3"),
    ("trees", parameter("num_feature", "0"), "num_feature: got 0, expected 1 to"),
    ("trees", parameter("num_feature", "4294967296"), "num_feature: got 4294967296, expected 1 to"),
    ("trees", parameter("num_feature", 5), "num_feature: got '5', expected a number in a text"),
    ("trees", parameter("base_score", "nan"), "base_score: got 'nan', expected finite numbers"),
    ("trees", parameter("base_score", "[]"), "base_score: got '[]', expected finite numbers"),
    ("trees", parameter("base_score", ["1"]), "expected finite numbers"),
    ("trees", put(learner, "objective", {}), "objective: has no name"),
    ("trees", put(learner, "attributes", {"best_iteration": 1}), "attributes: expected texts"),
    ("trees", put(learner, "feature_names", ["a"]), "feature_names: expected 5 texts or none"),
    ("trees", put(learner, "gradient_booster", {"name": "x"}), "got 'x', expected gbtree, dart or gblinear"),
    ("trees", put(lambda found: found, "version", [3]), "version: got 1 numbers, expected 3"),
    ("dart", lambda found: learner(found)["gradient_booster"]["weight_drop"].pop(), "weight_drop: got 8 numbers"),
    (
        "dart",
        put(lambda found: learner(found)["gradient_booster"], "gbtree", {"name": "dart"}),
        "dart: holds no gbtree",
    ),
    ("linear", put(model, "weights", [1.0]), "weights: got 1 numbers, expected 18"),
    ("categories", node("categories_nodes", 0, 1), "nodes that split by categories are not those that have some"),
    ("categories", node("categories_sizes", 0, 0), "sets of categories are not among"),
    ("categories", node("categories_segments", 0, 2**62), "sets of categories are not among"),
    ("categories", node("categories", 0, 1 << 24), "expected categories of 0 to 16777215"),
    ("categories", node("categories", 0, -1), "expected categories of 0 to 16777215"),
    ("categories", node("split_type", 0, 2), "nodes that split by categories are not those that have some"),
    ("vectors", put(tree, "leaf_weights", [1.0, 2.0]), "tree 1: has leaves without values"),
    ("vectors", without(tree, "leaf_weights"), "leaves of several values are read from xgboost 3.1 on"),
    ("vectors", node("right_children", -1, 99), "tree 1: has leaves without values"),
    ("vectors", put(model, "tree_info", [0, 1, 0]), "tree_info: expected outputs of 0 to"),
]


@pytest.mark.parametrize(("kind", "change", "words"), CHANGES)
def test_what_prediction_would_follow_astray(kind: str, change: Callable[[Any], None], words: str) -> None:
    found = document(kind)
    change(found)
    if not words:
        checked(json.dumps(found).encode())
        return
    assert words in refusal(json.dumps(found).encode())
    with pytest.raises(UserError):
        checked(ubjson.encode(found))


def test_ubjson_comes_back() -> None:
    value = {
        "a": [None, True, False, 3, -(2**40), 0.5, "é", [], {}],
        "b": np.arange(3, dtype=np.int32),
        "c": np.array([0.5, np.inf], np.float32),
        "d": np.array([2**40]),
        "e": np.array([255], np.uint8),
    }
    found = ubjson.decode(ubjson.encode(value))
    assert found["a"] == value["a"]
    for name in "bcde":
        np.testing.assert_array_equal(found[name], value[name])
    assert ubjson.decode(b"[i\x05U\xffI\x01\x00]") == [5, 255, 256]


def test_no_damaged_file_ends_the_process() -> None:
    """Thousands were tried; these are some of them, in a process of their own, for one that crashes takes all along."""
    program = ROOT / "tests" / "unit" / "algorithms" / "damaged_models.py"
    done = subprocess.run(
        [sys.executable, program, "600"], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    served, refused = map(int, done.stdout.split())
    assert served > 30 and refused > 300
