import numpy as np
from numpy.typing import NDArray

def touched(indices: NDArray[np.int32], places: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...
def step(
    rows: NDArray[np.int32],
    gradient: NDArray[np.float32],
    steps: int,
    kept: NDArray[np.float32],
    counts: NDArray[np.int32],
    last: NDArray[np.int64],
    rule: tuple[float, float, float, float, float, float],
    corrections: NDArray[np.float32],
    learning: NDArray[np.float32],
    decay: NDArray[np.float32],
    shrinkage: NDArray[np.float32],
) -> None: ...
def settle(
    rows: NDArray[np.int32],
    weights: NDArray[np.float32] | None,
    steps: int,
    kept: NDArray[np.float32],
    counts: NDArray[np.int32],
    last: NDArray[np.int64],
    rule: tuple[float, float, float, float, float, float],
    corrections: NDArray[np.float32],
    learning: NDArray[np.float32],
    decay: NDArray[np.float32],
    shrinkage: NDArray[np.float32],
) -> None: ...
