"""The message aialgs.data.Record in numbers, where we look at its bytes ourselves.

The schema is that of the SageMaker SDK's record.proto and of the developer guide, "Common data formats for training".
"""

from typing import Any

import numpy as np

FEATURES, LABEL = 1, 2  # numbers of the maps in Record
KEY = "values"  # of the one entry that either map has
TENSORS = {"float32_tensor": 2, "float64_tensor": 3, "int32_tensor": 7}  # names and numbers in Value
VALUES, KEYS, SHAPE = 1, 2, 3  # numbers in a tensor
DTYPES: dict[str, np.dtype[Any]] = {
    "float32_tensor": np.dtype("<f4"),
    "float64_tensor": np.dtype("<f8"),
    "int32_tensor": np.dtype("<i4"),
}
