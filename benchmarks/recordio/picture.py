"""The picture of File against Pipe for docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "file-and-pipe.png"
COLOURS = {"File": "#b0b7c3", "Pipe": "#d1495b"}
PANELS = {
    "execution time, s": lambda run: run.seconds,
    "start-up time, s": lambda run: run.start_up,
    "throughput after start-up, MB/s": lambda run: run.rate / 1e6,
}


def draw(found: Mapping[int, Sequence[Mapping[str, Any]]]) -> None:
    """Medians as bars, the range over the rounds as lines.

    found   rounds of runs by mode, for each number of features
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(9, 3))
    for axis, (title, value) in zip(axes, PANELS.items(), strict=True):
        for place, (mode, colour) in enumerate(COLOURS.items()):
            figures = [[value(one[mode]) for one in rounds] for rounds in found.values()]
            middles = [statistics.median(some) for some in figures]
            reach = [
                [middle - min(some) for middle, some in zip(middles, figures, strict=True)],
                [max(some) - middle for middle, some in zip(middles, figures, strict=True)],
            ]
            places = [group + 0.4 * (place - 0.5) for group in range(len(found))]
            bars = axis.bar(places, middles, 0.38, yerr=reach, color=colour, label=mode, capsize=3, ecolor="#555555")
            axis.bar_label(bars, fmt="{:.3g}", label_type="center", fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(len(found)), [f"{width} features" for width in found])
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle("K-Means, k = 10, RecordIO-protobuf: File and Pipe mode", fontsize=11)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=80)
    print(f"wrote {PICTURE}")
