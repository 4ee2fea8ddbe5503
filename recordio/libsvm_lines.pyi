from typing import Any

from numpy.typing import DTypeLike, NDArray

from recordio.streams import Text

Found = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], bool, int, str | None]

def largest_index(text: Text) -> int: ...
def read(text: Text, start: int, width: int, most: int, dtype: DTypeLike) -> Found: ...
