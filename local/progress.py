"""What a user sees while a job runs: its log lines, or in a terminal one bar drawn from its metric lines."""

from __future__ import annotations

import contextlib
import re
import sys
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress

PROGRESS = re.compile(r"#progress_metric: host=\S+, completed (\d+(?:\.\d+)?)\d* %")
THROUGHPUT = re.compile(r"#throughput_metric: host=\S+, train throughput=(\d+(?:\.\d+)?\S*) records/second")
QUALITY = re.compile(r"#quality_metric: host=\S+,.* (\S+ \S+) <(?:loss|score)>=(\S+)")
LAST_LINES = 20  # shown when a job fails of which only a bar was seen


class Display(Protocol):
    def line(self, text: str) -> None:
        """A line of the job's log, or a piece of one."""
        ...

    def failed(self) -> None:
        """Show what was kept back."""
        ...


class Log:
    """Every line as it comes."""

    def line(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def failed(self) -> None:
        pass


class Bar:
    """Share done, time, rate and latest scores on one line; warnings above it."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, rate="")
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._scores: dict[str, str] = {}

    def line(self, text: str) -> None:
        self._last.append(text)
        if found := PROGRESS.search(text):
            self._progress.update(self._task, total=100, completed=float(found[1]))
        elif found := THROUGHPUT.search(text):
            with contextlib.suppress(ValueError):
                self._progress.update(self._task, rate=f"{float(found[1]):,.0f} records/s")
        elif found := QUALITY.search(text):
            self._scores[found[1]] = found[2]
        elif " WARNING " in text:
            self._progress.console.print(text.rstrip(), markup=False, highlight=False)

    def scores(self) -> str:
        return "  ".join(f"{name} {value}" for name, value in self._scores.items())

    def failed(self) -> None:
        for text in self._last:
            self._progress.console.print(text.rstrip(), markup=False, highlight=False)


@contextlib.contextmanager
def shown(title: str, *, logs: bool) -> Iterator[Display]:
    """Log lines where asked for or where nobody watches a terminal, else a bar, and the scores when it is done."""
    if logs or not sys.stdout.isatty():
        yield Log()
        return
    from rich import progress as bars

    columns = (
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("{task.fields[rate]}"),
    )
    with bars.Progress(*columns) as progress:
        bar = Bar(progress, title)
        yield bar
    if bar.scores():
        progress.console.print(bar.scores(), highlight=False)
