"""Devices that the numerics must agree on: the processor, torch on it, and the GPU where there is one."""

from __future__ import annotations

import importlib.util

from algorithms.numerics.device import CPU, Device, best, torch_device


def every_device() -> list[Device]:
    return [CPU, *torch_devices()]


def torch_devices() -> list[Device]:
    """Those of torch, if it is installed."""
    if not importlib.util.find_spec("torch"):
        return []
    return [torch_device("cpu"), *([] if best() is CPU else [best()])]
