"""What a user sees while a job runs: its log lines, or in a terminal one bar drawn from its metric lines.

Each host is followed by a thread of its own. Of several hosts, lines are marked with the name, and the bar follows the
first one.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress

PROGRESS = re.compile(r"#progress_metric: host=\S+, completed (\d+(?:\.\d+)?)\d* %")
THROUGHPUT = re.compile(r"#throughput_metric: host=\S+, train throughput=(\d+(?:\.\d+)?\S*) records/second")
QUALITY = re.compile(r"#quality_metric: host=\S+,.* (\S+ \S+) <(?:loss|score)>=(\S+)")
LAST_LINES = 20  # shown when a job fails of which only a bar was seen


class Display(Protocol):
    def line(self, text: str, host: str) -> None:
        """A line of a host's log, or a piece of one."""
        ...

    def failed(self, host: str) -> None:
        """Show what was kept back of this host."""
        ...


class Log:
    """Every line as it comes."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts
        self._lock = threading.Lock()

    def line(self, text: str, host: str) -> None:
        with self._lock:
            sys.stdout.write(marked(text, host, self._hosts))
            sys.stdout.flush()

    def failed(self, host: str) -> None:
        pass


class Bar:
    """Share done, time, rate and latest scores on one line; warnings above it."""

    def __init__(self, progress: Progress, title: str, hosts: Sequence[str]) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, rate="")
        self._hosts = hosts
        self._last: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=LAST_LINES))
        self._scores: dict[str, str] = {}

    def line(self, text: str, host: str) -> None:
        self._last[host].append(text)
        if " WARNING " in text:
            self._print(text, host)
        elif host == self._hosts[0]:
            self._measure(text)

    def _measure(self, text: str) -> None:
        if found := PROGRESS.search(text):
            self._progress.update(self._task, total=100, completed=float(found[1]))
        elif found := THROUGHPUT.search(text):
            with contextlib.suppress(ValueError):
                self._progress.update(self._task, rate=f"{float(found[1]):,.0f} records/s")
        elif found := QUALITY.search(text):
            self._scores[found[1]] = found[2]

    def _print(self, text: str, host: str) -> None:
        self._progress.console.print(marked(text, host, self._hosts).rstrip(), markup=False, highlight=False)

    def scores(self) -> str:
        return "  ".join(f"{name} {value}" for name, value in self._scores.items())

    def failed(self, host: str) -> None:
        for text in self._last[host]:
            self._print(text, host)


def marked(text: str, host: str, hosts: Sequence[str]) -> str:
    """Of several hosts, a whole line that begins with the host's name; of one, the text itself."""
    if len(hosts) == 1:
        return text
    return f"{host:<{max(map(len, hosts))}} | {text.rstrip()}\n"


@contextlib.contextmanager
def shown(title: str, hosts: Sequence[str], *, logs: bool) -> Iterator[Display]:
    """Log lines where asked for or where nobody watches a terminal, else a bar, and the scores when it is done."""
    if logs or not sys.stdout.isatty():
        yield Log(hosts)
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
        bar = Bar(progress, title, hosts)
        yield bar
    if bar.scores():
        progress.console.print(bar.scores(), highlight=False)
