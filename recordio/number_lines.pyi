from typing import Any

from numpy.typing import NDArray

def tables(
    first: NDArray[Any], second: NDArray[Any], opening: bytes, middle: bytes, closing: bytes
) -> memoryview[int]: ...
def entries(
    labels: NDArray[Any], values: NDArray[Any], indices: NDArray[Any], ends: NDArray[Any]
) -> memoryview[int]: ...
