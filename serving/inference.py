"""From the bytes of a request to the bytes of its reply. Knows nothing of HTTP but the two content types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from algorithms.contract import Algorithm, Model
from recordio.batch import Batch
from recordio.content_types import RECORDIO, ContentType, UnsupportedContentType, negotiate, sniff
from recordio.decoding import blocks, decode
from recordio.encoding import encode
from recordio.errors import AlgorithmError, DataError, UserError
from recordio.framing import MAGIC_BYTES
from serving.errors import NotAcceptable, TooLarge
from serving.settings import Settings

SLICE_RECORDS = 8192
SLICE_CELLS = 1 << 22  # of a dense batch: a sparse one may be thousands of times smaller


@dataclass(frozen=True)
class Reply:
    body: bytes
    content_type: str
    records: int


@dataclass(frozen=True)
class Inference:
    """How one algorithm answers requests.

    default   type of replies for callers that don't mind
    records   most of them in one request
    """

    algorithm: Algorithm
    default: str
    records: int

    @classmethod
    def of(cls, algorithm: Algorithm, settings: Settings) -> Inference:
        """Raises UserError when the default type of replies is not one of the algorithm's."""
        supported = algorithm.reply_types
        default = negotiate(settings.accept, supported, supported[0])
        if default is None:
            got, expected = settings.accept, ", ".join(supported)
            raise UserError(f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT: got '{got}', expected one of {expected}")
        return cls(algorithm, default.type, settings.records)

    def reply(self, model: Model, body: bytes, content_type: str | None, accept: str | None) -> Reply:
        """Predict every record of a request.

        Raises UserError when the caller can mend it; DataError names the record.
        """
        accepted = negotiate(accept, self.algorithm.reply_types, self.default)
        if accepted is None:
            raise NotAcceptable(
                f"Accept type {(accept or '')[:200]} is not supported. "
                f"Please use supported accept types: [{', '.join(self.algorithm.reply_types)}]."
            )
        asked = ContentType.parse(content_type or sniff(body))
        if asked.type not in self.algorithm.request_types:
            raise UnsupportedContentType(f"content-type {asked.type[:100]} not supported")
        try:
            columns, records = _predict(self.algorithm, model, body, asked, self.records)
        except DataError as error:
            raise DataError(f"Unable to evaluate payload provided: {error}") from error
        return Reply(encode(columns, accepted, self.algorithm.envelope), accepted.type, records)


def _predict(
    algorithm: Algorithm, model: Model, body: bytes, content_type: ContentType, most: int
) -> tuple[dict[str, NDArray[Any]], int]:
    """Reply columns of all records, and how many there are. Predicts as it decodes, so that neither holds them all."""
    found = []
    records = 0
    for block in _decoded(body, content_type, model.feature_dim):
        if records + len(block) > most:
            raise TooLarge(f"The request holds more than {most} records: send fewer, or set MAX_RECORDS")
        for part in _slices(block, algorithm.sparse):
            if not algorithm.missing:
                _check_finite(part, records)
            found.append(model.predict(part))
            records += len(part)
    if not found:
        found = [model.predict(Batch(np.empty((0, model.feature_dim), np.float32)))]
    columns = {name: np.concatenate([arrays[name] for arrays in found]) for name in found[0]}
    for name, column in columns.items():
        if len(column) != records:
            raise AlgorithmError(f"{algorithm.name}: predict gave {len(column)} values of {name}, expected {records}")
        if (row := _not_finite(column)) is not None:
            raise DataError(f"record {row}: {name} is not a finite number: these features are too large for the model")
    return columns, records


def _decoded(body: bytes, content_type: ContentType, width: int) -> Iterator[Batch]:
    if content_type.type == RECORDIO and not body.startswith(MAGIC_BYTES):
        yield decode(body, content_type, width=width)  # one bare Record, as batch transform cuts them
    else:
        yield from blocks(body, content_type, width=width)


def _slices(block: Batch, sparse: bool) -> Iterator[Batch]:
    """Parts of a size that bounds the memory of prediction, made dense unless the algorithm takes sparse ones."""
    keep = sparse and issparse(block.features)
    step = SLICE_RECORDS if keep else max(1, min(SLICE_RECORDS, SLICE_CELLS // max(1, block.width)))
    for start in range(0, len(block), step):
        part = block[start : start + step] if len(block) > step else block
        features = part.features
        if issparse(features) and not keep:
            features = features.toarray()
        if not keep:
            features = np.require(features, requirements=("C", "A"))
        yield Batch(features, part.labels)


def _check_finite(part: Batch, first: int) -> None:
    if issparse(part.features) and np.isfinite(part.features.data).all():
        return
    dense = part.features.toarray() if issparse(part.features) else part.features
    if (row := _not_finite(dense)) is not None:
        kind = "missing (NaN)" if np.isnan(dense[row]).any() else "infinite"
        raise DataError(f"record {first + row}: found {kind} values, expected finite numbers")


def _not_finite(table: NDArray[Any]) -> int | None:
    """The first row that holds nan or infinity."""
    if np.isfinite(table).all():
        return None
    return int(np.flatnonzero(~np.isfinite(table.reshape(len(table), -1)).all(axis=1))[0])
