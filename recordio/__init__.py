"""Record input and output: bytes of any content type to batches, and back.

    for batch in batches("train.pbr", "application/x-recordio-protobuf", size=5000):
        batch.features  # (5000, width) float32, or a scipy.sparse.csr_array
        batch.labels  # (5000,), or None

Errors count records and columns from 0.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recordio.batch import Batch
from recordio.content_types import ContentType, UnsupportedContentType, negotiate, sniff
from recordio.decoding import batches, blocks, decode
from recordio.encoding import encode
from recordio.errors import AlgorithmError, DataError, PlatformError, UserError
from recordio.framing import records, write_record
from recordio.image_records import ImageRecord, images, write_images
from recordio.limits import LIMITS, Limits
from recordio.rebatching import rebatch

if TYPE_CHECKING:
    from recordio.writers import writer
    from recordio.writing import write_dense, write_sparse

__all__ = [
    "LIMITS",
    "AlgorithmError",
    "Batch",
    "ContentType",
    "DataError",
    "ImageRecord",
    "Limits",
    "PlatformError",
    "UnsupportedContentType",
    "UserError",
    "batches",
    "blocks",
    "decode",
    "encode",
    "images",
    "negotiate",
    "rebatch",
    "records",
    "sniff",
    "write_dense",
    "write_images",
    "write_record",
    "write_sparse",
    "writer",
]


def __getattr__(name: str) -> Any:
    if name in ("write_dense", "write_sparse"):  # they bring protobuf, which a server of CSV need not wait for
        return getattr(import_module("recordio.writing"), name)
    if name == "writer":
        return import_module("recordio.writers").writer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
