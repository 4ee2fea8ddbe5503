from typing import Any

from numpy.typing import DTypeLike, NDArray

from recordio.streams import Text

def read(text: Text, start: int, most: int, dtype: DTypeLike) -> tuple[NDArray[Any], NDArray[Any], int]: ...
def extent(text: Text) -> tuple[int, int]: ...
