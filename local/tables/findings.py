"""What an inspection found, as values for JSON and as a table for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from local.tables.formats import printable
from local.tables.tallies import MOST_DISTINCT, Tally

MOST_FAULTS = 5
MOST_COLUMNS = 5
MOST_LABELS = 10


@dataclass
class Report:
    """What was found.

    found    formats to files
    images   formats of encoded images to records
    header   names in the first line of CSV
    faults   the first few: where, what was found, what was expected
    whole    whether everything was read
    """

    name: str
    files: int
    size_bytes: int = 0
    gzip: bool = False
    found: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    images: Counter[str] = field(default_factory=Counter)
    header: list[str] | None = None
    faults: list[str] = field(default_factory=list)
    whole: bool = True


def facts(report: Report) -> dict[str, Any]:
    """The report as values that JSON has."""
    tally = report.tally
    found: dict[str, Any] = {
        "name": report.name,
        "format": ", ".join(sorted(report.found)) or None,
        "files": report.files,
        "bytes": report.size_bytes,
        "gzip": report.gzip,
        "records": tally.records,
        "whole": report.whole,
        "faults": report.faults,
    }
    if report.images:
        found["images"] = dict(report.images.most_common())
    if tally.width:
        found |= {
            "width": tally.width,
            "kind": " and ".join(sorted(tally.kinds)),
            "density": tally.nonzeros / tally.cells,
            "values": {
                **tally.values.facts(tally.cells - tally.stored),
                "missing": tally.values.missing,
                "infinite": tally.values.infinite,
                "missing_columns": dict(tally.missing_columns(MOST_COLUMNS)),
            },
        }
    if report.header is not None:
        found["header"] = report.header[:MOST_COLUMNS]
    if tally.label_count:
        distinct = tally.distinct
        found["labels"] = {
            "count": tally.label_count,
            **tally.labels.facts(),
            "missing": tally.labels.missing,
            "infinite": tally.labels.infinite,
            "distinct": None if distinct is None else len(distinct),
            "most": {_label(label): count for label, count in (distinct or Counter()).most_common(MOST_LABELS)},
        }
    return found


def table(report: Report) -> list[tuple[str, str]]:
    """The report as lines of a name and a text."""
    found = facts(report)
    files = f", {report.files} files" if report.files > 1 else ""
    rows = [
        ("format", f"{found['format'] or 'unknown'}{', gzip' * report.gzip}"),
        ("size", f"{report.size_bytes:,} bytes{files}"),
        ("records", f"{found['records']:,}{'' if report.whole else ' or more'}"),
    ]
    if report.images:
        rows.append(("images", _counts(found["images"])))
    if "width" in found:
        values, most = found["values"], found["values"]["missing_columns"]
        rows += [
            ("features", f"{found['width']:,}, {found['kind']}, density {found['density']:.3g}"),
            ("values", _range(values)),
            ("missing", f"{values['missing']:,}{', most in columns ' * bool(most)}{_counts(most)}"),
            ("infinite", f"{values['infinite']:,}"),
        ]
    if report.header is not None:
        more = ", …" if len(report.header) > MOST_COLUMNS else ""
        rows.append(("header", ", ".join(name[:40] for name in found["header"]) + more))
    if "labels" in found:
        labels = found["labels"]
        rows.append(("labels", f"{labels['count']} a record, {_range(labels)}"))
        if labels["missing"] or labels["infinite"]:
            rows.append(("", f"{labels['missing']:,} missing, {labels['infinite']:,} infinite"))
        if labels["distinct"] is None:
            rows.append(("", f"more than {MOST_DISTINCT:,} distinct"))
        else:
            more = ", …" if labels["distinct"] > MOST_LABELS else ""
            rows.append(("", f"{labels['distinct']:,} distinct: {_counts(labels['most'])}{more}"))
    elif report.tally.records:
        rows.append(("labels", "none"))
    rows += [("fault", fault) for fault in report.faults]
    if len(report.faults) == MOST_FAULTS:
        rows.append(("", "reading stopped after so many faults"))
    return [(name, printable(text)) for name, text in rows]


def _label(label: float) -> str:
    return str(int(label)) if label.is_integer() else f"{label:.9g}"


def _range(numbers: dict[str, Any]) -> str:
    known = {name: "-" if numbers[name] is None else f"{numbers[name]:.6g}" for name in ("min", "max", "mean")}
    return ", ".join(f"{name} {number}" for name, number in known.items())


def _counts(counts: dict[Any, int]) -> str:
    return ", ".join(f"{what} ({count:,})" for what, count in counts.items())
