"""The report of a choice as one HTML page that needs nothing from elsewhere: plots are SVG inside it."""

from __future__ import annotations

import io
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from algorithms.artifacts.whole import whole_file
from local.reporting import Selection, header, rows
from recordio.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem; text-align: right; white-space: nowrap }
th { border-bottom: 2px solid #888 }
tr.winner { background: #e3f1e3; font-weight: 600 }
svg { max-width: 100%; height: auto }
"""


def write_page(found: Selection, path: Path) -> None:
    """Raises UserError for a name that is not one of a page."""
    write(page(found), path)


def write(text: str, path: Path) -> None:
    """Write a page. Raises UserError for a name that is not one of a page."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output {path}: expected a name that ends in .html")
    with whole_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


def page(found: Selection) -> str:
    title = f"{len(found.candidates)} candidates of {found.algorithm or 'a model'}"
    head = "".join(f"<th>{escape(name)}</th>" for name in header(found))
    body = "\n".join(
        ('<tr class="winner">' if one.number == found.winner else "<tr>")
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for cells, one in zip(rows(found), found.candidates, strict=True)
    )
    shared = ", ".join(f"{escape(name)} {escape(str(value))}" for name, value in found.shared.items())
    return document(
        title,
        f"""<p>{escape(found.sentence)}</p>
{svg(curves(found))}
{svg(scores(found))}
<div class="wide"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table></div>
{f"<p>All have {shared}.</p>" if shared else ""}""",
    )


def document(title: str, body: str) -> str:
    """title   as text; body   as HTML"""
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head>
<body>
<h1>{escape(title)}</h1>
{body}
</body>
</html>
"""


def curves(found: Selection) -> Figure:
    """The objective of every candidate after each pass, a panel for each channel; the winner stands out."""
    from matplotlib.figure import Figure  # slow to import
    from matplotlib.ticker import MaxNLocator

    channels = list(dict.fromkeys(name for one in found.candidates for name in one.curves)) or [found.channel]
    figure = Figure(figsize=(5.2 * len(channels), 3.6), layout="constrained")
    for axes, channel in zip(figure.subplots(1, len(channels), squeeze=False)[0], channels, strict=True):
        for one in reversed(found.candidates):  # the winner on top
            values = [float("nan") if value is None else value for value in one.curves.get(channel, ())]
            won = one.number == found.winner
            look = {"color": "tab:green", "linewidth": 2.5, "label": f"candidate {one.number}"} if won else {}
            axes.plot(
                range(1, len(values) + 1),
                values,
                **({"color": "0.7", "linewidth": 0.8} | look),
                marker="o",
                markersize=2,
            )
        axes.set(title=channel, xlabel="pass", ylabel=found.objective)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def scores(found: Selection) -> Figure:
    """Every candidate by what decided."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="candidate", ylabel=found.criterion)
    for one in found.candidates:
        if one.score is not None:
            look = {"color": "tab:green", "markersize": 8} if one.number == found.winner else {"color": "0.6"}
            axes.plot(one.number, one.score, marker="o", **look)
    axes.grid(alpha=0.3)
    return figure


def svg(figure: Figure) -> str:
    """Equal figures give equal text; without what comes before the element, for it stands in a page."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context({"svg.hashsalt": "report"}):
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = file.getvalue()
    return text[text.index("<svg") :].rstrip()
