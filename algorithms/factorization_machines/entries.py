"""The entries of a batch that are not zero, as compiled passes take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recordio.batch import Batch


@dataclass(frozen=True, eq=False)
class Entries:
    """starts    of each record's entries, and their end   (records + 1,)
    features  (entries,)
    values    (entries,)
    """

    starts: NDArray[np.int32]
    features: NDArray[np.int32]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, batch: Batch) -> Entries:
        features: Any = batch.features
        with np.errstate(over="ignore"):  # an infinity is refused where it shows
            if not isinstance(features, np.ndarray):
                starts, columns = (np.asarray(each, np.int32) for each in (features.indptr, features.indices))
                return cls(starts, columns, np.asarray(features.data, np.float32))
            there = features != 0
            starts = np.zeros(len(features) + 1, np.int32)
            np.cumsum(np.count_nonzero(there, axis=1), out=starts[1:])
            return cls(starts, np.nonzero(there)[1].astype(np.int32), features[there].astype(np.float32, copy=False))
