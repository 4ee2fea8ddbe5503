"""The MXNet symbol of a linear model, as JSON: data -> dot(weight) -> broadcast_add(bias) -> output(label)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

MXNET_VERSION = 10301  # of the format; any later MXNet reads it
BIAS_RATE = 10.0  # times the learning rate of the weights


def linear_symbol(features: int, outputs: int, output: str, *, bias: bool) -> bytes:
    """Weights are `fc0_weight` (features, outputs), the bias `fc0_bias` (1, outputs), the label is `out_label`.

    output   operator that makes scores of margins, such as LogisticRegressionOutput
    """
    nodes: list[dict[str, Any]] = []

    def add(op: str, name: str, *inputs: int, attributes: Mapping[str, str] | None = None) -> int:
        attrs = {"attrs": dict(attributes)} if attributes else {}
        nodes.append({"op": op, "name": name, **attrs, "inputs": [[number, 0, 0] for number in inputs]})
        return len(nodes) - 1

    data = add("null", "data")
    weight = add("null", "fc0_weight", attributes={"__shape__": f"({features}, {outputs})"})
    margins = add("dot", "dot0", data, weight)
    if bias:
        shape = {"__lr_mult__": str(BIAS_RATE), "__shape__": f"(1, {outputs})"}
        margins = add("broadcast_add", "broadcast_add0", margins, add("null", "fc0_bias", attributes=shape))
    head = add(output, "out", margins, add("null", "out_label"))
    symbol = {
        "nodes": nodes,
        "arg_nodes": [number for number, node in enumerate(nodes) if node["op"] == "null"],
        "node_row_ptr": list(range(len(nodes) + 1)),
        "heads": [[head, 0, 0]],
        "attrs": {"mxnet_version": ["int", MXNET_VERSION]},
    }
    return json.dumps(symbol, indent=2).encode()
