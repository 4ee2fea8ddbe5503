from typing import Any

from numpy.typing import DTypeLike, NDArray

from recordio.streams import Text

Array = NDArray[Any]
Found = tuple[Array, Array | None, Array | None, Array, Array, Array, bool, int, str | None]

def largest_index(text: Text, labelled: bool) -> int: ...
def read(text: Text, start: int, width: int, most: int, dtype: DTypeLike, labelled: bool) -> Found: ...
