from typing import Any

import numpy as np
from numpy.typing import NDArray

def clamped(
    values: NDArray[Any],
    centre: float,
    lowest: float,
    highest: float,
    least: NDArray[Any],
    most: NDArray[Any],
    gaps: NDArray[Any],
) -> None: ...
def count(
    values: NDArray[Any],
    classes: NDArray[np.uint8],
    scales: NDArray[Any],
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None: ...
