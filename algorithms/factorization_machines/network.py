"""Factorization machines as MXNet networks: names, shapes and symbols of the sparse and of the dense one.

A model that learned sparse records keeps `v` (features, factors), `w1_weight` (features, 1) and `w0_weight` (1,); one
that learned dense records keeps `v` (factors, features), `Linear_Plus_Bias_weight` (1, features) and
`Linear_Plus_Bias_bias` (1,).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from algorithms.artifacts.symbols import Graph
from recordio.errors import UserError

Network = Literal["sparse", "dense"]

FACTORS = "arg:v"
SPARSE_WEIGHTS, SPARSE_BIAS = "arg:w1_weight", "arg:w0_weight"
DENSE_WEIGHTS, DENSE_BIAS = "arg:Linear_Plus_Bias_weight", "arg:Linear_Plus_Bias_bias"
OUTPUTS = {"binary_classifier": "LogisticRegressionOutput", "regressor": "LinearRegressionOutput"}

Parts = tuple[NDArray[Any], NDArray[Any] | None, float | None]  # factors (features, factors), linear (features,), bias


def arrays(network: Network, parts: Parts) -> dict[str, NDArray[np.float32]]:
    """By the names of a file of parameters. The dense network has one node for weights and bias, so it keeps both."""
    factors, linear, bias = parts
    level = None if bias is None else np.array([bias], np.float32)
    if network == "sparse":
        kept = {
            FACTORS: factors,
            SPARSE_WEIGHTS: None if linear is None else linear[:, None],
            SPARSE_BIAS: level,
        }
        return {name: array for name, array in kept.items() if array is not None}
    return {
        FACTORS: factors.T,
        DENSE_WEIGHTS: np.zeros((1, len(factors)), np.float32) if linear is None else linear[None],
        DENSE_BIAS: np.zeros(1, np.float32) if level is None else level,
    }


def parts(found: Mapping[str, NDArray[Any]]) -> tuple[Network, Parts]:
    """The other way round. Raises UserError when the arrays are those of neither network."""
    factors = found.get(FACTORS)
    if factors is None or factors.ndim != 2 or not factors.size:
        raise UserError(f"expected an array {FACTORS} with features and factors")
    network: Network = "dense" if DENSE_WEIGHTS in found else "sparse"
    if network == "dense":
        factors, linear, bias = factors.T, found.get(DENSE_WEIGHTS), found.get(DENSE_BIAS)
    else:
        linear, bias = found.get(SPARSE_WEIGHTS), found.get(SPARSE_BIAS)
    for name, array, size in (("weights", linear, len(factors)), ("bias", bias, 1)):
        if array is not None and array.size != size:
            raise UserError(f"got {name} of shape {array.shape} with {len(factors)} features, expected {size} in all")
    return network, (
        factors,
        None if linear is None else linear.reshape(-1),
        None if bias is None else float(bias.reshape(-1)[0]),
    )


def symbol(network: Network, features: int, factors: int, output: str, *, linear: bool, bias: bool) -> bytes:
    """w0 + data w + (sum of squares of (data v) - (data^2)(v^2)) / 2, and an output with the label `out_label`."""
    graph = Graph()
    data = graph.variable("data")
    v = graph.variable("v", (features, factors) if network == "sparse" else (factors, features))
    squares = [graph.add("square", f"square_{name}", node) for name, node in (("data", data), ("v", v))]
    if network == "sparse":
        sums = graph.add("dot", "sums", data, v)
        own = graph.add("dot", "own", *squares)
    else:
        whole = {"num_hidden": str(factors), "no_bias": "True"}
        sums = graph.add("FullyConnected", "sums", data, v, attributes=whole)
        own = graph.add("FullyConnected", "own", *squares, attributes=whole)
    pairs = graph.add("elemwise_sub", "pairs", graph.add("square", "square_sums", sums), own)
    along = graph.add("sum", "pair_sum", pairs, attributes={"axis": "1", "keepdims": "True"})
    margins = graph.add("_mul_scalar", "pair_half", along, attributes={"scalar": "0.5"})
    if network == "dense":
        name = "Linear_Plus_Bias"
        held = [graph.variable(f"{name}_weight", (1, features)), graph.variable(f"{name}_bias", (1,))]
        flat = graph.add("FullyConnected", name, data, *held, attributes={"num_hidden": "1"})
        margins = graph.add("elemwise_add", "linear_and_pairs", flat, margins)
    else:
        if linear:
            flat = graph.add("dot", "w1", data, graph.variable("w1_weight", (features, 1)))
            margins = graph.add("elemwise_add", "linear_and_pairs", flat, margins)
        if bias:
            margins = graph.add("broadcast_add", "w0", margins, graph.variable("w0_weight", (1,)))
    return graph.encode(graph.add(output, "out", margins, graph.variable("out_label")))
