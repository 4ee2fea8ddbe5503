"""A train channel of the toy, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from entrypoint.channels import DataChannel
from entrypoint.environment import ChannelConfig
from recordio.batch import Batch
from recordio.content_types import ContentType
from recordio.errors import UserError
from tests.unit.entrypoint.conftest import Base
from tests.unit.toy import ALGORITHM

CSV = "text/csv;label_size=0"
LABELLED: dict[str, Any] = {"width": None, "labelled": True, "label_size": 1, "sparse": True, "missing": True}


def channel(base: Base, content_type: str = CSV, width: int | None = 2, **changed: Any) -> DataChannel:
    own = ("sparse", "missing", "labelled", "label_size")
    algorithm = replace(ALGORITHM, **{name: changed.pop(name) for name in own if name in changed})
    weighted = changed.pop("weighted", False)
    config = ChannelConfig("train", content_type=content_type, **changed)
    return DataChannel(config, base.data, ContentType.parse(content_type), algorithm, width, base.stopping, weighted)


def rows(found: DataChannel, size: int = 100) -> list[list[float]]:
    return [row for batch in found.batches(size) for row in dense(batch).tolist()]


def dense(batch: Batch) -> NDArray[Any]:
    assert isinstance(batch.features, np.ndarray)
    return batch.features


def error_of(action: Callable[[], object], kind: type[Exception] = UserError) -> str:
    with pytest.raises(kind) as caught:
        action()
    assert type(caught.value) is kind
    cause = caught.value.__cause__
    return f"{caught.value} | {cause}"
