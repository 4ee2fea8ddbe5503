"""The report of a model that measures its features: how much each matters, and what the model is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import algorithms
from algorithms.importances import Importances
from local.models import described, opened
from local.picturing import document, svg, write
from local.reporting import console, text_of
from local.storage.service import Place

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_ROWS = 50  # in a terminal; a page and JSON have all
MOST_BARS = 25
BAR = 30  # characters of the longest
KEYS = ("metrics", "hyperparameters")  # of what the artifact tells of itself


@dataclass(frozen=True)
class Measured:
    """metrics and hyperparameters are as the artifact tells them, where it does."""

    algorithm: str
    found: Importances
    metrics: Mapping[str, object]
    hyperparameters: Mapping[str, object]

    @property
    def title(self) -> str:
        return f"{self.algorithm}: {len(self.found.features)} features that matter"

    @property
    def lines(self) -> list[str]:
        """Facts, scores and the settings that have a value, a line each."""
        some = (("", self.found.facts), ("Scores: ", self.metrics), ("Trained with ", self.hyperparameters))
        return [
            head + ", ".join(f"{name} {text_of(value)}" for name, value in values.items() if value is not None)
            for head, values in some
            if values
        ]


def measured(model: Place, algorithm: str | None = None) -> Measured | None:
    """None for a model whose algorithm measures no features, or that names none. Raises UserError."""
    with opened(model) as directory:
        told = described(directory)
        name = algorithm or told.get("algorithm")
        if algorithm is None and name not in algorithms.TABLE:
            return None
        declared = algorithms.algorithm(str(name))
        if declared.importances is None:
            return None
        found = declared.importances(declared.load(directory))
    metrics, settings = (value if isinstance(value := told.get(key), dict) else {} for key in KEYS)
    return Measured(declared.name, found, metrics, settings)


def facts(report: Measured) -> dict[str, Any]:
    """As values that JSON has; features with the most important first."""
    return {
        "algorithm": report.algorithm,
        **report.found.facts,
        "metrics": dict(report.metrics),
        "hyperparameters": dict(report.hyperparameters),
        "features": [
            {"feature": name, **dict(zip(report.found.measures, values, strict=True))}
            for name, values in report.found.features
        ],
    }


def show(report: Measured) -> None:
    """Print the facts, and a table with a bar for each feature's first measure."""
    from rich.table import Table
    from rich.text import Text

    screen, shown = console(), report.found.features[:MOST_ROWS]
    table = Table(box=None, pad_edge=False)
    table.add_column(Text("feature"), overflow="fold")
    for name in report.found.measures:
        table.add_column(Text(name), justify="right")
    table.add_column("")
    largest = max((abs(values[0]) for _, values in shown), default=0.0) or 1.0
    for name, values in shown:
        bar = "█" * round(BAR * abs(values[0]) / largest)
        table.add_row(Text(name), *(Text(f"{value:.6g}") for value in values), Text(bar))
    screen.print(Text(report.title, "bold"))
    for line in report.lines:
        screen.print(Text(line))
    screen.print()
    screen.print(table)
    if len(shown) < len(report.found.features):
        screen.print(f"… and {len(report.found.features) - len(shown)} more: --json and --output have all")


def write_page(report: Measured, path: Path) -> None:
    """Raises UserError for a name that is not one of a page."""
    write(page(report), path)


def page(report: Measured) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in ("feature", *report.found.measures))
    rows = "\n".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{value:.6g}</td>' for value in values)}</tr>"
        for name, values in report.found.features
    )
    lines = "\n".join(f"<p>{escape(line)}</p>" for line in report.lines)
    picture = svg(bars(report)) if report.found.features else ""
    table = f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>'
    return document(report.title, f"{lines}\n{picture}\n{table}")


def bars(report: Measured) -> Figure:
    """The first measure of the most important features, the largest on top."""
    from matplotlib.figure import Figure  # slow to import

    shown = report.found.features[:MOST_BARS][::-1]
    figure = Figure(figsize=(10.4, 1.2 + 0.28 * len(shown)), layout="constrained")
    axes = figure.add_subplot(xlabel=report.found.measures[0])
    # A dollar sign would begin a formula.
    axes.barh(
        [name[:60].replace("$", r"\$") for name, _ in shown], [values[0] for _, values in shown], color="tab:green"
    )
    axes.grid(alpha=0.3, axis="x")
    return figure
