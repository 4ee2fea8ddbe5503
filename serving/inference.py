"""From the bytes of a request to the bytes of its reply. Knows nothing of HTTP but the two content types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from algorithms.answers import Answers, Output
from algorithms.contract import Algorithm, Arrays, Model
from recordio.batch import Batch
from recordio.content_types import CSV, RECORDIO, ContentType, UnsupportedContentType, negotiate, sniff
from recordio.decoding import blocks, decode
from recordio.encoding import CsvForm, encode
from recordio.errors import AlgorithmError, DataError, UserError
from recordio.framing import MAGIC_BYTES
from serving.errors import NotAcceptable, TooLarge
from serving.settings import Settings

SLICE_RECORDS = 8192
SLICE_CELLS = 1 << 22  # of a dense batch: a sparse one may be thousands of times smaller
MOST_NUMBERS = 1 << 24  # in a reply that was asked for by name: a record may have millions


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
    answers: Answers
    default: str
    records: int

    @classmethod
    def of(cls, algorithm: Algorithm, settings: Settings) -> Inference:
        """Raises UserError when the default type of replies is not one of the algorithm's, and as its `answers` do."""
        supported = algorithm.reply_types
        default = negotiate(settings.accept, supported, supported[0])
        if default is None:
            got, expected = settings.accept, ", ".join(supported)
            raise UserError(f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT: got '{got}', expected one of {expected}")
        return cls(algorithm, algorithm.answers(settings.variables), default.type, settings.records)

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
        output = self._output(accepted)
        asked = ContentType.parse(content_type or sniff(body, self._text))
        if asked.type not in self.algorithm.request_types:
            raise UnsupportedContentType(f"content-type {asked.type[:100]} not supported")
        try:
            columns, records = self._answer(model, body, asked, output)
        except DataError as error:
            raise DataError(f"Unable to evaluate payload provided: {error}") from error
        if output is not None:
            form = CsvForm(ended=self.answers.csv.ended)
        else:
            form = self.answers.csv
            accepted = ContentType(CSV) if self.answers.csv_only else accepted
            if accepted.type != CSV and self.answers.names:
                columns = {name: columns[name] for name in sorted(columns, key=self.answers.names.index)}
        return Reply(encode(columns, accepted, self.algorithm.envelope, form), accepted.type, records)

    @property
    def _text(self) -> str:
        """The content type of a body that says nothing and looks like text."""
        return CSV if self.algorithm.content_type == RECORDIO else self.algorithm.content_type

    def _output(self, accepted: ContentType) -> Output | None:
        """What is asked for by name."""
        name = accepted.parameters.get("output")
        if name is None:
            return None
        if name not in self.answers.outputs:
            known = ", ".join(f"output={name}" for name in self.answers.outputs) or "none"
            raise NotAcceptable(f"Accept: got output={name[:100]}, and {self.algorithm.name} has {known}")
        return self.answers.outputs[name]

    def _answer(self, model: Model, body: bytes, asked: ContentType, output: Output | None) -> tuple[Arrays, int]:
        """Reply columns of all records, and how many there are. Predicts as it decodes: neither holds them all."""
        predict = self.answers.columns if output is None else output.columns
        each = 0 if output is None else output.numbers(model)
        most = self.records if output is None else min(self.records, MOST_NUMBERS // each)
        found: list[Arrays] = []
        records = 0
        for block in _decoded(body, asked, model.feature_dim):
            if records + len(block) > self.records:
                raise TooLarge(f"The request holds more than {self.records} records: send fewer, or set MAX_RECORDS")
            if records + len(block) > most:
                raise TooLarge(f"The reply has {each} numbers for each record, and {MOST_NUMBERS} at most: send fewer")
            for part in _slices(block, self.algorithm.sparse, each):
                _check_finite(part, records, self.algorithm.missing)
                found.append(predict(model, part))
                records += len(part)
        if not found:
            found = [predict(model, Batch(np.empty((0, model.feature_dim), np.float32)))]
        columns = {name: np.concatenate([arrays[name] for arrays in found]) for name in found[0]}
        for name, column in columns.items():
            if len(column) != records:
                raise AlgorithmError(
                    f"{self.algorithm.name}: predict gave {len(column)} values of {name}, expected {records}"
                )
            if column.dtype != object and (row := _not_finite(column)) is not None:
                raise DataError(
                    f"record {row}: {name} is not a finite number: these features are too large for the model"
                )
        return columns, records


def _decoded(body: bytes, content_type: ContentType, width: int) -> Iterator[Batch]:
    if content_type.type == RECORDIO and not body.startswith(MAGIC_BYTES):
        yield decode(body, content_type, width=width)  # one bare Record, as batch transform cuts them
    else:
        yield from blocks(body, content_type, width=width)


def _slices(block: Batch, sparse: bool, numbers: int) -> Iterator[Batch]:
    """Parts of a size that bounds the memory of prediction, made dense unless the algorithm takes sparse ones.

    numbers   of the reply, for each record
    """
    keep = sparse and issparse(block.features)
    cells = max(1, numbers, 0 if keep else block.width)
    step = max(1, min(SLICE_RECORDS, SLICE_CELLS // cells))
    for start in range(0, len(block), step):
        part = block[start : start + step] if len(block) > step else block
        features = part.features
        if issparse(features) and not keep:
            features = features.toarray()
        if not keep:
            features = np.require(features, requirements=("C", "A"))
        yield Batch(features, part.labels)


def _check_finite(part: Batch, first: int, missing: bool) -> None:
    """missing   whether records may hold nan"""
    values = part.features.data if issparse(part.features) else part.features
    if np.isfinite(values).all() or (missing and not np.isinf(values).any()):
        return
    dense = part.features.toarray() if issparse(part.features) else part.features
    wrong = np.isinf(dense) if missing else ~np.isfinite(dense)
    row = int(wrong.any(axis=1).argmax())
    kind = "missing (NaN)" if np.isnan(dense[row][wrong[row]]).any() else "infinite"
    raise DataError(f"record {first + row}: found {kind} values, expected finite numbers")


def _not_finite(table: NDArray[Any]) -> int | None:
    """The first row that holds nan or infinity."""
    if np.isfinite(table).all():
        return None
    return int(np.flatnonzero(~np.isfinite(table.reshape(len(table), -1)).all(axis=1))[0])
