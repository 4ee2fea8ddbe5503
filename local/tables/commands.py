"""The commands `convert` and `inspect`: their arguments, and what they do with them."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.tables.findings import Report

CONVERT_EXAMPLES = """examples:
  onepass convert train.csv train.pbr --label-column 0
  onepass convert train.parquet train.pbr --label-column species
  onepass convert table.npy records/ --shards 8
  onepass convert records/ - --to csv | head
  zcat big.libsvm.gz | onepass convert - big.npz --from libsvm --width 100000

Formats: csv, parquet, npy, npz, libsvm, jsonl, recordio-protobuf. IN may be gzip. Sparse records stay sparse where the
other format has a form for them. The output appears when it is whole; until then it is a file beside it whose name
starts with a dot."""

INSPECT_EXAMPLES = """examples:
  onepass inspect train.pbr
  onepass inspect records/ --json
  zcat big.csv.gz | onepass inspect -

The exit code is 2 when something is wrong with the data, and then the first faults say where."""


def convert_arguments(added: argparse.ArgumentParser) -> None:
    added.add_argument("input", metavar="IN", help="a file, a folder of files, or - for standard input")
    added.add_argument("output", metavar="OUT", help="a file, a folder with --shards, or - for standard output")
    added.add_argument("--from", metavar="TYPE", dest="from_type", help="format of IN (default: what its ending says)")
    added.add_argument("--to", metavar="TYPE", dest="to_type", help="format of OUT (default: what its ending says)")
    added.add_argument(
        "--label-column",
        metavar="COLUMN",
        dest="label_columns",
        action="append",
        default=[],
        help="number from 0, from the end when negative, or name; of CSV, Parquet, .npy; may be given again",
    )
    added.add_argument(
        "--shards", metavar="N", type=_count, help="write N files of equal size, recordio-protobuf without --to"
    )
    added.add_argument("--width", metavar="N", type=_count, help="features of libsvm from standard input")
    added.add_argument("--float64", action="store_true", help="keep double precision (default: float32)")
    added.add_argument("--force", action="store_true", help="replace OUT")


def inspect_arguments(added: argparse.ArgumentParser) -> None:
    added.add_argument("input", metavar="FILE", help="a file, a folder of files, or - for standard input")
    added.add_argument("--json", action="store_true", help="print JSON instead of a table")


def convert(given: argparse.Namespace) -> int:
    import numpy as np

    from local.tables.converting import Reading, convert, listed

    reading = Reading(
        content_type=_type("--from", given.from_type),
        label_columns=tuple(given.label_columns),
        width=given.width,
        dtype=np.float64 if given.float64 else np.float32,
    )
    to = _type("--to", given.to_type)
    try:
        summary = convert(given.input, given.output, reading, to=to, shards=given.shards, force=given.force)
    except BrokenPipeError:  # whoever reads has seen enough
        return 141  # as a shell gives it
    if summary.header is not None:
        name, names = summary.header
        print(f"{name}: skipped the header: {listed(names)}", file=sys.stderr)
    print(summary, file=sys.stderr if given.output == "-" else sys.stdout)
    return 0


def inspect(given: argparse.Namespace) -> int:
    from local.tables.findings import facts
    from local.tables.inspecting import inspect

    report = inspect(given.input)
    if given.json:
        print(json.dumps(facts(report)))
    else:
        _print(report)
    return 2 if report.faults else 0


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"got '{text}', expected a whole number above 0")
    return int(text)


def _type(option: str, name: str | None) -> str | None:
    from local.tables.formats import NAMES
    from recordio.errors import UserError

    if name is not None and name not in NAMES:
        raise UserError(f"{option} {name}: expected one of {', '.join(NAMES)}")
    return None if name is None else NAMES[name]


def _print(report: Report) -> None:
    from local.tables.findings import table

    rows = table(report)
    if not sys.stdout.isatty():
        width = max(len(name) for name, _ in rows)
        print("\n".join(f"{name:<{width}}  {value}" for name, value in rows))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid: Any = Table.grid(padding=(0, 2))
    for name, value in rows:
        grid.add_row(Text(name, "bold"), Text(value, "red" if name == "fault" else ""))
    Console().print(grid)
