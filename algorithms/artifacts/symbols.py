"""MXNet symbols as JSON: the networks that MXNet runs when it opens an artifact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MXNET_VERSION = 10301  # of the format; any later MXNet reads it
BIAS_RATE = 10.0  # times the learning rate of the weights


class Graph:
    """Nodes of a symbol in the order of their computation, each named by its number."""

    def __init__(self) -> None:
        self._nodes: list[dict[str, Any]] = []

    def add(self, op: str, name: str, *inputs: int, attributes: Mapping[str, str] | None = None) -> int:
        attrs = {"attrs": dict(attributes)} if attributes else {}
        self._nodes.append({"op": op, "name": name, **attrs, "inputs": [[number, 0, 0] for number in inputs]})
        return len(self._nodes) - 1

    def variable(self, name: str, shape: tuple[int, ...] | None = None, **attributes: str) -> int:
        """An array that is given by name."""
        shaped = {} if shape is None else {"__shape__": str(shape)}
        return self.add("null", name, attributes=attributes | shaped)

    def encode(self, head: int) -> bytes:
        """head   the node that is the output"""
        symbol = {
            "nodes": self._nodes,
            "arg_nodes": [number for number, node in enumerate(self._nodes) if node["op"] == "null"],
            "node_row_ptr": list(range(len(self._nodes) + 1)),
            "heads": [[head, 0, 0]],
            "attrs": {"mxnet_version": ["int", MXNET_VERSION]},
        }
        return json.dumps(symbol, indent=2).encode()


def linear_symbol(features: int, outputs: int, output: str, *, bias: bool) -> bytes:
    """A linear model: data -> dot(weight) -> broadcast_add(bias) -> output(label).

    Weights are `fc0_weight` (features, outputs), the bias `fc0_bias` (1, outputs), the label is `out_label`.

    output   operator that makes scores of margins, such as LogisticRegressionOutput
    """
    graph = Graph()
    data = graph.variable("data")
    margins = graph.add("dot", "dot0", data, graph.variable("fc0_weight", (features, outputs)))
    if bias:
        weight = graph.variable("fc0_bias", (1, outputs), __lr_mult__=str(BIAS_RATE))
        margins = graph.add("broadcast_add", "broadcast_add0", margins, weight)
    return graph.encode(graph.add(output, "out", margins, graph.variable("out_label")))
