from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordio.limits import Limits

Csr = tuple[NDArray[Any], NDArray[Any], NDArray[Any], int]

def block(
    data: bytes | bytearray | memoryview,
    start: int,
    stop: int,
    *,
    rows: int | None,
    dtype: np.dtype[Any],
    width: int | None,
    limits: Limits,
) -> Block | None: ...

class Block:
    rows: int
    room: int
    def extend(self, data: bytes | bytearray | memoryview, start: int, stop: int) -> int: ...
    def arrays(self) -> tuple[NDArray[Any] | Csr, NDArray[Any]]: ...
