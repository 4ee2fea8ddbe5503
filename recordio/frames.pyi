from typing import Any

from numpy.typing import NDArray

class Column:
    def __init__(
        self,
        number: int,
        name: str,
        values: NDArray[Any],
        ends: NDArray[Any],
        keys: NDArray[Any] | None = None,
        width: int = 0,
    ) -> None: ...

def frames(columns: list[Column], records: int) -> bytes: ...
