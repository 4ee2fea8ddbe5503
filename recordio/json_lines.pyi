from typing import Any

from numpy.typing import DTypeLike, NDArray

from recordio.streams import Text

def layout(text: Text, start: int) -> tuple[int, int, int]: ...
def read(
    text: Text, start: int, width: int, label_count: int, dtype: DTypeLike
) -> tuple[NDArray[Any], NDArray[Any], int]: ...
