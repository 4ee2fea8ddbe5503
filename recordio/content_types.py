"""Content types: media types with parameters, and what a client accepts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from recordio.errors import UserError
from recordio.framing import MAGIC_BYTES

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
RECORDIO = "application/x-recordio-protobuf"
LIBSVM = "text/libsvm"
PARQUET = "application/x-parquet"
NPY = "application/x-npy"
NPZ = "application/x-npz"

SHORT_NAMES = {
    "csv": CSV,
    "json": JSON,
    "jsonlines": JSON_LINES,
    "recordio-protobuf": RECORDIO,
    "libsvm": LIBSVM,
    "text/x-libsvm": LIBSVM,
    "parquet": PARQUET,
}


class UnsupportedContentType(UserError):
    """Nobody here reads or writes it. Status 415."""


@dataclass(frozen=True)
class ContentType:
    """A media type: `type` in lower case, `parameters` with names in lower case and without `q`."""

    type: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: ContentType | str) -> ContentType:
        """Read `text/csv; label_size=1`, with spaces and short names such as `csv` allowed."""
        if isinstance(text, ContentType):
            return text
        name, *rest = (part.strip() for part in text.split(";"))
        pairs = (part.partition("=") for part in rest if part)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        parameters.pop("q", None)
        return cls(SHORT_NAMES.get(name.lower(), name.lower()), parameters)

    def __str__(self) -> str:
        return "; ".join([self.type, *(f"{key}={value}" for key, value in self.parameters.items())])

    @property
    def label_size(self) -> int | None:
        """How many of the first columns of CSV are labels, or None when it isn't said.

        Raises UserError when it is not a count.
        """
        text = self.parameters.get("label_size")
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 9):
            raise UserError(f"content type {self}: got label_size={text}, expected a count such as 0 or 1")
        return int(text)

    @property
    def encoding(self) -> str:
        """The character set of text, in lower case."""
        return (self.parameters.get("charset") or self.parameters.get("encoding") or "utf-8").lower()

    @property
    def verbose(self) -> bool:
        """Whether an Accept entry asks for more columns."""
        return self.parameters.get("verbose", "").lower() == "true"


def negotiate(accept: str | None, supported: Collection[str], default: str) -> ContentType | None:
    """The content type of a reply: the first entry of `accept` that is supported, or None when none is.

    Without `accept`, or with `*/*`, it is the default. `text/*` takes the first supported text type. The order decides,
    not the q-values: clients of SageMaker send none.
    """
    if not accept or not accept.strip():
        return ContentType.parse(default)
    for entry in map(ContentType.parse, accept.split(",")):
        if entry.type in ("*/*", "*"):
            return ContentType(default, entry.parameters)
        if entry.type in supported:
            return entry
        if entry.type.endswith("/*"):
            family = entry.type.removesuffix("*")
            for candidate in (default, *supported):
                if candidate.startswith(family):
                    return ContentType(candidate, entry.parameters)
    return None


def sniff(body: bytes, text: str = CSV) -> str:
    """The content type of a request that doesn't say; `text` is that of other text than JSON."""
    if body.startswith(MAGIC_BYTES):
        return RECORDIO
    return JSON if body.lstrip()[:1] in (b"{", b"[") else text
