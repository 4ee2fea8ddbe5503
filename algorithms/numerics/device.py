"""Where dense products run: NumPy on the CPU, torch on a CUDA GPU, by one namespace of the array API."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import array_api_compat.numpy as cpu_namespace
import numpy as np
from numpy.typing import NDArray

Array = Any  # of the device's namespace: numpy.ndarray or torch.Tensor


@dataclass(frozen=True)
class Device:
    """xp     namespace of the array API
    where  what its functions take as `device`
    """

    xp: Any
    where: Any

    def put(self, array: NDArray[Any]) -> Array:
        return self.xp.asarray(array, device=self.where)

    def get(self, array: Array) -> NDArray[Any]:
        return array if isinstance(array, np.ndarray) else array.cpu().numpy()

    @property
    def is_cpu_numpy(self) -> bool:
        return self.xp is cpu_namespace


CPU = Device(cpu_namespace, "cpu")


def best() -> Device:
    """The GPU where there is one. torch takes a second to import, so the driver's files are looked at first."""
    if not Path("/dev/nvidiactl").exists() or importlib.util.find_spec("torch") is None:
        return CPU
    import torch

    return torch_device("cuda") if torch.cuda.is_available() else CPU


def torch_device(name: str) -> Device:
    """A device of torch by its own name: `cuda`, `cpu`."""
    import array_api_compat.torch as namespace

    return Device(namespace, name)
