"""What the arguments of `onepass train` say of channels, with the objects that are found for them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from local.platform import Channel, of_channel
from local.storage.objects import AUGMENTED, PREFIX, Objects, objects_at
from local.storage.service import Place, Uri, one_object
from recordio.errors import UserError

Value = TypeVar("Value")

OPTIONS = (
    "content_type",
    "input_mode",
    "compression",
    "record_wrapper",
    "distribution",
    "shuffle_seed",
    "s3_data_type",
    "attribute_names",
)


def channels(given: argparse.Namespace) -> tuple[Channel, ...]:
    """Raises UserError for what contradicts itself, is missing, or can't be read."""
    places = once("--channel", given.channels)
    options = {name: _by_channel(name, getattr(given, name), list(places)) for name in OPTIONS}
    found = []
    for name, place in places.items():
        own = {option: values[name] for option, values in options.items() if name in values}
        with of_channel(name):
            source = _source(place, own)
        channel = Channel(
            name,
            source,
            own.get("content_type"),
            own.get("input_mode", "File"),
            compressed=own.get("compression") == "Gzip",
            wrapped=own.get("record_wrapper") == "RecordIO",
            sharded=own.get("distribution") == "ShardedByS3Key",
            shuffle_seed=own.get("shuffle_seed"),
        )
        if channel.content_type is None and _all_csv(channel):
            channel = replace(channel, content_type="text/csv")
        found.append(channel)
    if given.model is not None:
        with of_channel("model"):
            model = [one_object(given.model)] if isinstance(given.model, Uri) else given.model
        found.append(Channel("model", model, "application/x-sagemaker-model"))
    return tuple(found)


def once(option: str, pairs: Sequence[tuple[str, Value]]) -> dict[str, Value]:
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{option} {twice[0]} is given twice: leave one out")
    return dict(pairs)


def _by_channel(option: str, pairs: Sequence[tuple[str | None, Any]], names: Sequence[str]) -> dict[str, Any]:
    """A value without a name is of every channel that has none of its own."""
    common: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in pairs:
        if name is None:
            common = dict.fromkeys(names, value)
        elif name in names:
            own[name] = value
        else:
            option = f"--{option.replace('_', '-')}"
            raise UserError(f"{option} {name}=…: got channel '{name}', expected one of {', '.join(names)}")
    return common | own


def _source(place: Place, own: Mapping[str, Any]) -> Path | Objects:
    """The path itself, or what is found in storage."""
    data_type, attributes = own.get("s3_data_type", PREFIX), own.get("attribute_names", ())
    if bool(attributes) != (data_type == AUGMENTED):
        raise UserError(f"expected --attribute-names together with --s3-data-type {AUGMENTED}")
    if data_type == AUGMENTED and own.get("input_mode") != "Pipe":
        raise UserError(f"--s3-data-type {AUGMENTED} needs --input-mode Pipe")
    if isinstance(place, Uri):
        return objects_at(place, data_type, attributes)
    if data_type != PREFIX:
        raise UserError(f"got {place}, expected an s3:// URI with --s3-data-type {data_type}")
    return place


def _all_csv(channel: Channel) -> bool:
    """What is called otherwise the job takes for its default."""
    found = False
    for item in channel.objects:
        if isinstance(item, bytes | tuple):
            return False
        if not item.name.rpartition("/")[2].startswith((".", "_")):
            if not item.name.endswith((".csv", ".csv.gz")):
                return False
            found = True
    return found
