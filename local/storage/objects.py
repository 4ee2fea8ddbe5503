"""The objects of a channel, from a folder or from storage: which of them a host gets, and in which order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from local.storage.service import Place, Stored, Uri, objects_below
from recordio.errors import UserError

if TYPE_CHECKING:
    from local.platform import Channel

PREFIX, MANIFEST, AUGMENTED = ("S3Prefix", "ManifestFile", "AugmentedManifestFile")

Content = Path | Stored | bytes  # a file of this machine, an object of storage, or the bytes themselves
Objects = Sequence[Content | tuple[Content, ...]]


def objects_at(place: Place, data_type: str = PREFIX, attributes: Sequence[str] = ()) -> Objects:
    """Files in the order of their paths; objects in the order of their keys, or of the manifest.

    Of a folder, only what the job would read in File mode; of storage, every object, as on the platform.
    Raises UserError when nothing is there or it can't be read, DataError for a manifest that is none.
    """
    if isinstance(place, Uri):
        from local.storage import manifests

        if data_type == MANIFEST:
            return manifests.objects_listed(place)
        if data_type == AUGMENTED:
            return manifests.AugmentedManifest(place, attributes)
        return objects_below(place)
    from entrypoint.files import data_files  # slow

    files = data_files(place)
    for file in files:
        if not os.access(file, os.R_OK):
            raise UserError(f"{file} can't be read; check who may read it")
    return files


def shard(channel: Channel, number: int, host: int = 0, hosts: int = 1) -> Iterator[Content]:
    """What host `host` of `hosts` gets in pass `number`, both counted from 0.

    A shuffle seed gives each pass an order of its own, the same on all hosts. Of a sharded channel a host gets every
    n-th object in that order, so it may get none, and others in the next pass.
    """
    objects = channel.objects
    order: Sequence[int] = range(len(objects))
    if channel.shuffle_seed is not None:
        import numpy as np

        order = np.random.default_rng((channel.shuffle_seed % 2**64, number)).permutation(len(objects)).tolist()
    for index in order[host::hosts] if channel.sharded else order:
        found = objects[index]
        yield from found if isinstance(found, tuple) else (found,)
