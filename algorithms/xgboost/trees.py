"""Trees of a model document: everything that prediction follows, checked for all trees at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.xgboost.fields import array, count, mapping, names
from recordio.errors import UserError

MOST_DEPTH = 4096  # the library follows a tree by recursion
MOST_CATEGORIES = 1 << 24  # a set of them is a row of bits
NOWHERE = (1 << 31) - 1  # parent of a root; feature of a node that was deleted

NODES = {  # of each node, by the type of the library's readers
    "default_left": "u1",
    "left_children": "i4",
    "loss_changes": "f4",
    "parents": "i4",
    "right_children": "i4",
    "split_conditions": "f4",
    "split_indices": "i4",
    "sum_hessian": "f4",
}
CATEGORIES = {"categories": "i4", "categories_nodes": "i4", "categories_segments": "i8", "categories_sizes": "i8"}

Tree = dict[str, Any]


def checked_trees(given: Mapping[str, Any], features: int, outputs: int) -> dict[str, Any]:
    """The model of gbtree. Names of categories are left out: records here hold their numbers. Raises UserError."""
    names(given, "model", ("gbtree_model_param", "tree_info", "trees"), ("cats", "iteration_indptr"))
    parameters = mapping(given["gbtree_model_param"], "gbtree_model_param")
    names(parameters, "gbtree_model_param", ("num_trees",), ("num_parallel_tree", "size_leaf_vector"))
    if not isinstance(given["trees"], list):
        raise UserError("trees: expected a list")
    trees = [_tree(number, mapping(tree, f"tree {number}")) for number, tree in enumerate(given["trees"])]
    if count(parameters["num_trees"], "num_trees", 0, NOWHERE) != len(trees):
        raise UserError(f"num_trees: got {parameters['num_trees']} for {len(trees)} trees")
    parallel = count(parameters.get("num_parallel_tree", "1"), "num_parallel_tree", 0, NOWHERE) or 1
    info = array(given["tree_info"], "tree_info", "i4", len(trees))
    if trees:
        _check_nodes(trees, features)
        _check_outputs(trees, info, outputs)
    rounds = _rounds(given.get("iteration_indptr"), info, parallel)
    nothing = np.empty(0, np.int32)
    return {
        "cats": {"enc": [], "feature_segments": nothing, "sorted_idx": nothing},
        "gbtree_model_param": {"num_parallel_tree": f"{parallel}", "num_trees": f"{len(trees)}"},
        "iteration_indptr": rounds.tolist(),
        "tree_info": info.tolist(),
        "trees": trees,
    }


def _tree(number: int, given: Mapping[str, Any]) -> Tree:
    """One tree with its arrays in the library's types, and of equal length."""
    where = f"tree {number}"
    categorical = (*CATEGORIES, "split_type")
    names(
        given, where, ("base_weights", "tree_param", *NODES), ("id", "leaf_weights", "leaf_child_counts", *categorical)
    )
    parameters = mapping(given["tree_param"], where)
    names(parameters, where, ("num_nodes", "size_leaf_vector"), ("num_deleted", "num_feature"))
    nodes = count(parameters["num_nodes"], f"{where}, num_nodes", 1, NOWHERE)
    # 0 stands for 1 in models of old
    size = max(1, count(parameters["size_leaf_vector"], f"{where}, size_leaf_vector", 0, NOWHERE))
    found: Tree = {name: array(given[name], f"{where}, {name}", kind, nodes) for name, kind in NODES.items()}
    found["base_weights"] = array(given["base_weights"], f"{where}, base_weights", "f4", nodes * size)
    found["split_type"] = array(given.get("split_type", [0] * nodes), f"{where}, split_type", "u1", nodes)
    for name, kind in CATEGORIES.items():
        found[name] = array(given.get(name, []), f"{where}, {name}", kind)
    if size > 1:
        if "leaf_weights" not in given:
            raise UserError(f"{where}: has no leaf_weights: leaves of several values are read from xgboost 3.1 on")
        found["leaf_weights"] = array(given["leaf_weights"], f"{where}, leaf_weights", "f4")
    deleted = (found["split_indices"][1:] == NOWHERE) & (found["default_left"][1:] != 0)
    found["id"] = number
    found["tree_param"] = {
        "num_deleted": f"{0 if size > 1 else np.count_nonzero(deleted)}",
        "num_feature": f"{count(parameters.get('num_feature', '0'), where, 0, NOWHERE)}",
        "num_nodes": f"{nodes}",
        "size_leaf_vector": f"{size}",
    }
    return found


def _check_nodes(trees: list[Tree], features: int) -> None:
    """Every path from a root ends in a leaf of its tree, and asks for features that there are."""
    starts = np.cumsum([0, *(len(tree["parents"]) for tree in trees)])
    sizes = np.diff(starts)
    first = np.repeat(starts[:-1], sizes)  # of each node, where its tree begins
    last = np.repeat(starts[1:], sizes)

    def joined(name: str) -> NDArray[np.int64]:
        return np.concatenate([tree[name] for tree in trees]).astype(np.int64)

    def refuse(wrong: NDArray[np.bool_], what: str) -> None:
        if wrong.any():
            place = int(wrong.argmax())
            tree = int(np.searchsorted(starts, place, side="right")) - 1
            raise UserError(f"tree {tree}, node {place - starts[tree]}: {what}")

    lefts, rights, parents = joined("left_children"), joined("right_children"), joined("parents")
    inner = lefts != -1
    nodes = np.arange(len(lefts))
    root = nodes == first
    refuse(inner & ((lefts < 1) | (rights < 1)), "expected children from 1 on")
    left, right = (lefts + first)[inner], (rights + first)[inner]
    within = np.zeros(len(nodes), bool)
    within[inner] = (left >= last[inner]) | (right >= last[inner])
    refuse(within, "has a child that is not in the tree")
    children = np.concatenate([left, right])
    times = np.bincount(children, minlength=len(nodes))
    refuse(times > 1, "is the child of two nodes")  # so there is no way back, since no root is a child
    above = np.full(len(nodes), -1)
    above[children] = np.tile(nodes[inner], 2)
    refuse(~root & ((parents < 0) | (parents + first >= last)), "has a parent that is not in the tree")
    refuse(~root & (above >= 0) & (parents + first != above), "names another parent than the node above it")
    refuse(root & (parents != -1) & (parents != NOWHERE), "is a root with a parent")
    asked = joined("split_indices")
    refuse(inner & ((asked < 0) | (asked >= features)), f"asks for a feature that is not one of {features}")
    _check_depth(lefts + first, rights + first, inner, starts[:-1])
    for number, tree in enumerate(trees):
        if tree["split_type"].any() or len(tree["categories_nodes"]):
            _check_categories(number, tree)


def _check_depth(
    lefts: NDArray[np.int64], rights: NDArray[np.int64], inner: NDArray[np.bool_], roots: NDArray[np.int64]
) -> None:
    level = roots
    for _ in range(MOST_DEPTH):
        level = level[inner[level]]
        if not len(level):
            return
        level = np.concatenate([lefts[level], rights[level]])
    raise UserError(f"a tree is deeper than {MOST_DEPTH} nodes")


def _check_categories(number: int, tree: Tree) -> None:
    """Each node that splits by categories has a set of at least one."""
    split, known = tree["split_type"], tree["categories"]
    where, starts, sizes = (tree[f"categories_{name}"] for name in ("nodes", "segments", "sizes"))
    if (
        (split > 1).any()
        or not np.array_equal(np.flatnonzero(split), where)
        or not len(starts) == len(sizes) == len(where)
    ):
        raise UserError(f"tree {number}: nodes that split by categories are not those that have some")
    if (starts < 0).any() or (sizes < 1).any() or (starts > len(known)).any() or (sizes > len(known) - starts).any():
        raise UserError(f"tree {number}: sets of categories are not among the {len(known)} that it has")
    if int(sizes.sum()) != len(known) or (known < 0).any() or (known >= MOST_CATEGORIES).any():
        raise UserError(f"tree {number}: expected categories of 0 to {MOST_CATEGORIES - 1}, each in one set")


def _check_outputs(trees: list[Tree], info: NDArray[np.int32], outputs: int) -> None:
    """Leaves have a value for one output, or for all."""
    sizes = {int(tree["tree_param"]["size_leaf_vector"]) for tree in trees}
    if len(sizes) > 1 or not sizes <= {1, outputs}:
        raise UserError(f"size_leaf_vector: got {sorted(sizes)[:5]}, expected 1 or {outputs} in all trees")
    if (info < 0).any() or (info >= (outputs if sizes == {1} else 1)).any():
        raise UserError(f"tree_info: expected outputs of 0 to {outputs - 1}")
    if sizes == {1}:
        return
    for number, tree in enumerate(trees):
        leaves = tree["right_children"][tree["left_children"] == -1]
        values = len(tree["leaf_weights"])
        if (leaves < 0).any() or (leaves >= values // outputs).any() or values % outputs:
            raise UserError(f"tree {number}: has leaves without values")


def _rounds(given: Any, info: NDArray[np.int32], parallel: int) -> NDArray[np.int64]:
    """Where the trees of each round begin, and where the last ones end."""
    if given is None:  # before xgboost 2.0
        each = parallel * (int(info.max(initial=0)) + 1)
        if len(info) % each:
            raise UserError(f"got {len(info)} trees, expected {each} in each round")
        return np.arange(0, len(info) + 1, each)
    rounds = array(given, "iteration_indptr", "i8")
    if not len(rounds) or rounds[0] or rounds[-1] != len(info) or (np.diff(rounds) < 0).any():
        raise UserError(f"iteration_indptr: expected numbers that rise from 0 to {len(info)}")
    return rounds
