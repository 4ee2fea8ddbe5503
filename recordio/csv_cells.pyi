from typing import Any

from numpy.typing import DTypeLike, NDArray

from recordio.streams import Text

def layout(text: Text) -> tuple[int, int]: ...
def read(text: Text, start: int, columns: int, dtype: DTypeLike) -> tuple[NDArray[Any], int, int]: ...
