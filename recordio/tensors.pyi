from typing import Any

from numpy.typing import DTypeLike, NDArray

from recordio.limits import Limits

Csr = tuple[NDArray[Any], NDArray[Any], NDArray[Any], int]

def read(
    data: bytes | bytearray | memoryview, start: int, stop: int, *, dtype: DTypeLike, width: int | None, limits: Limits
) -> tuple[int, NDArray[Any] | Csr, NDArray[Any]] | None: ...
