"""The message aialgs.data.Record as the protobuf library knows it, and one Record to one row."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from recordio.errors import DataError
from recordio.limits import LIMITS, Limits
from recordio.rows import NO_LABELS, Row, Vector, row
from recordio.schema import DTYPES, FEATURES, KEY, LABEL, TENSORS
from recordio.wire import fields

ITEM_SIZES = {TENSORS["float32_tensor"]: 4, TENSORS["float64_tensor"]: 8}  # of values that are no varints


def _schema() -> descriptor_pb2.FileDescriptorProto:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="aialgs.data", syntax="proto2")

    def message(name: str, parent: Any = file.message_type) -> Any:
        return parent.add(name=name)

    def add(to: Any, name: str, number: int, kind: str, *, repeated: bool = False, of: str = "") -> Any:
        label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
        full = f".aialgs.data.{of}" if of else None
        return to.field.add(name=name, number=number, type=getattr(kinds, kind), label=label, type_name=full)

    for name, kind in ("Float32Tensor", "TYPE_FLOAT"), ("Float64Tensor", "TYPE_DOUBLE"), ("Int32Tensor", "TYPE_INT32"):
        tensor = message(name)
        for number, (part, part_kind) in enumerate(
            (("values", kind), ("keys", "TYPE_UINT64"), ("shape", "TYPE_UINT64")), start=1
        ):
            add(tensor, part, number, part_kind, repeated=True).options.packed = True

    raw = message("Bytes")
    add(raw, "value", 1, "TYPE_BYTES", repeated=True)
    add(raw, "content_type", 2, "TYPE_STRING")

    value = message("Value")
    value.oneof_decl.add(name="value")
    for name, of, number in (
        ("float32_tensor", "Float32Tensor", 2),
        ("float64_tensor", "Float64Tensor", 3),
        ("int32_tensor", "Int32Tensor", 7),
        ("bytes", "Bytes", 9),
    ):
        add(value, name, number, "TYPE_MESSAGE", of=of).oneof_index = 0

    record = message("Record")
    for number, (name, entry) in enumerate((("features", "FeaturesEntry"), ("label", "LabelEntry")), start=1):
        pair = message(entry, record.nested_type)
        pair.options.map_entry = True
        add(pair, "key", 1, "TYPE_STRING")
        add(pair, "value", 2, "TYPE_MESSAGE", of="Value")
        add(record, name, number, "TYPE_MESSAGE", repeated=True, of=f"Record.{entry}")
    for number, name in enumerate(("uid", "metadata", "configuration"), start=3):
        add(record, name, number, "TYPE_STRING")
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_schema())
Record: Any = message_factory.GetMessageClass(_pool.FindMessageTypeByName("aialgs.data.Record"))


def parse_record(payload: bytes, *, width: int | None = None, limits: Limits = LIMITS) -> Row:
    """The row that one serialised Record holds under the key "values".

    width    columns, when the caller knows them: sparse records may then leave out their shape
    Raises DataError when it is not a Record, or not one row of numbers.
    """
    if len(payload) > limits.overhead_bytes:
        _check_size(payload, limits)
    record = Record()
    try:
        record.ParseFromString(payload)
    except DecodeError:
        raise DataError("got bytes that are not a protobuf Record") from None
    if (features := _tensor(record.features, "features")) is None:
        raise DataError("got no features, expected values")
    if (label := _tensor(record.label, "label")) is not None and len(label[1]):
        raise DataError("got a sparse label, expected values without keys")
    values, keys, shape = features
    return row(values, keys, shape, NO_LABELS if label is None else label[0], width=width, limits=limits)


def _tensor(entries: Any, name: str) -> tuple[Vector, Vector, list[int]] | None:
    """Values, keys and shape of the tensor in a map; None when the map is empty."""
    if KEY not in entries:
        if entries:
            raise DataError(f'got {name} named {sorted(entries, key=repr)[0][:40]!r}, expected "{KEY}"')
        return None
    value = entries[KEY]
    kind = value.WhichOneof("value")
    if kind not in TENSORS:
        raise DataError(f"got {name} of type {kind or 'unknown'}, expected one of {', '.join(TENSORS)}")
    tensor = getattr(value, kind)
    # uint64 keys beyond any limit survive as uint64, so that the message can name them.
    return (
        np.fromiter(tensor.values, DTYPES[kind], len(tensor.values)),
        np.fromiter(tensor.keys, np.uint64, len(tensor.keys)),
        list(tensor.shape[:1000]),
    )


def _check_size(payload: bytes, limits: Limits) -> None:
    """Refuse a large record that would take many times its bytes in memory.

    A small map entry takes 100 times its bytes, and a key of one byte takes eight.
    """
    overhead = 0
    spans = [(0, len(payload), 0)]
    # Record, map entry, Value, and the tensors that these lead to.
    for known in (FEATURES, LABEL), (2,), tuple(TENSORS.values()):
        inner = []
        for start, end, _ in spans:
            for field in fields(payload, start, end):
                overhead += 2  # tag and length
                if field.number in known:
                    inner.append((field.start, field.end, field.number))
                else:
                    overhead += field.end - field.start
                _check_overhead(overhead, limits)
        spans = inner
    for start, end, kind in spans:
        for field in fields(payload, start, end):
            overhead += 2
            _check_overhead(overhead, limits)
            content = np.frombuffer(payload, np.uint8, field.end - field.start, field.start)
            if field.number == 1 and kind in ITEM_SIZES:
                count = len(content) // ITEM_SIZES[kind]
            else:
                count = int((content < 0x80).sum())  # last bytes of varints
            if count > limits.dense_width:
                raise DataError(f"got {count} numbers in one record, the limit is {limits.dense_width}")


def _check_overhead(overhead: int, limits: Limits) -> None:
    if overhead > limits.overhead_bytes:
        raise DataError(f"got more than {limits.overhead_bytes} bytes around the values of one record")
