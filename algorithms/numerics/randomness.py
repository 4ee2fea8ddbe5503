"""Random generators as values that JSON can hold."""

from __future__ import annotations

from typing import Any

import numpy as np


def freeze(generator: np.random.Generator) -> dict[str, Any]:
    """The state of a generator made by `default_rng`. Its integers have 128 bits, so they travel as text."""
    state: Any = generator.bit_generator.state
    assert state["bit_generator"] == "PCG64"
    return {**state, "state": {name: str(value) for name, value in state["state"].items()}}


def thaw(state: dict[str, Any]) -> np.random.Generator:
    bits = np.random.PCG64()
    whole: Any = {**state, "state": {name: int(value) for name, value in state["state"].items()}}
    bits.state = whole
    return np.random.Generator(bits)
