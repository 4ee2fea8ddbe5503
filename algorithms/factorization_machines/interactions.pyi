import numpy as np
from numpy.typing import NDArray

def located(
    features: NDArray[np.int32], where: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]] | None: ...
def margins(
    starts: NDArray[np.int32],
    slots: NDArray[np.int32],
    values: NDArray[np.float32],
    weights: NDArray[np.float32],
    bias: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
def gradients(
    starts: NDArray[np.int32],
    slots: NDArray[np.int32],
    values: NDArray[np.float32],
    places: NDArray[np.int32],
    rows: int,
    weights: NDArray[np.float32],
    sums: NDArray[np.float32],
    slopes: NDArray[np.float32],
) -> NDArray[np.float32]: ...
def step(
    rows: NDArray[np.int32],
    gradient: NDArray[np.float32],
    kept: NDArray[np.float32],
    counts: NDArray[np.int64],
    moves: tuple[float, float, float, float, float],
    factors: tuple[float, float],
    linear: tuple[float, float],
) -> None: ...
