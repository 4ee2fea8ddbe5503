"""Limits: what bytes from outside may cost at most."""

from dataclasses import dataclass

WIDEST = 2**31 - 1  # columns of a sparse record, whose indices have 32 bits


@dataclass(frozen=True)
class Limits:
    """Bounds that decoding keeps, whatever the bytes claim. Memory follows the bytes that came, up to these.

    record_bytes     one RecordIO record, parts joined; one JSON document
    line_bytes       one line of CSV, libsvm or JSON Lines
    dense_width      columns of a dense record, and values in any one record; a JSON document may cost about as many
                     numbers in all
    sparse_width     columns of a sparse record; only its non-zeros take memory
    overhead_bytes   of one protobuf Record, what is not values, keys or shape: names, map entries, unknown fields
    json_depth       lists and objects inside one another
    """

    record_bytes: int = 512 * 2**20
    line_bytes: int = 128 * 2**20
    dense_width: int = 10_000_000
    sparse_width: int = WIDEST
    overhead_bytes: int = 2**20
    json_depth: int = 64

    def __post_init__(self) -> None:
        if self.sparse_width > WIDEST:
            raise ValueError(f"got sparse_width {self.sparse_width}, expected at most {WIDEST}")


LIMITS = Limits()
