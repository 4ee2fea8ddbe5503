"""A progress bar on standard error that follows the bytes read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def metered(title: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """What to call with the bytes read so far. Only a terminal shows them."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich import console, progress  # slow to import

    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console.Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total_bytes)
        yield lambda count: bar.update(task, completed=count)
