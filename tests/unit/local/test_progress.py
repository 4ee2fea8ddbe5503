"""The bar: what it makes of metric lines, and what it shows when a job fails."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from local.progress import LAST_LINES, Bar, Log, shown

HOSTS = ["algo-1", "algo-10"]
PREFIX = "[11/22/2026 10:00:00 INFO 139872] "


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(screen: io.StringIO) -> Progress:
    return Progress(console=Console(file=screen, width=200), auto_refresh=False)


@pytest.mark.parametrize("share", ["completed 40 % of epochs", "completed 40.0 % epochs", "completed 40.00000001 %"])
def test_progress_lines_move_the_bar(progress: Progress, share: str) -> None:
    bar = Bar(progress, "kmeans", HOSTS[:1])
    assert progress.tasks[0].total is None
    bar.line(f"{PREFIX}#progress_metric: host=algo-1, {share}\n", "algo-1")
    assert progress.tasks[0].percentage == pytest.approx(40)


def test_the_rate_and_the_latest_scores_are_kept(progress: Progress) -> None:
    bar = Bar(progress, "kmeans", HOSTS[:1])
    bar.line(f"{PREFIX}#throughput_metric: host=algo-1, train throughput=341305.295323 records/second\n", "algo-1")
    assert progress.tasks[0].fields["rate"] == "341,305 records/s"
    for line in (
        "#quality_metric: host=algo-1, epoch=0, batch=0 train rmse <loss>=72.2",
        "#quality_metric: host=algo-1, epoch=0, train rmse <loss>=91.2",
        "#quality_metric: host=algo-1, test accuracy <score>=0.922",
    ):
        bar.line(f"{PREFIX}{line}\n", "algo-1")
    assert bar.scores() == "train rmse 91.2  test accuracy 0.922"


@pytest.mark.parametrize(
    "line", ["#progress_metric: host=a, completed nan %", "throughput=x records/second", "\x1b[", ""]
)
def test_other_lines_change_nothing(progress: Progress, screen: io.StringIO, line: str) -> None:
    Bar(progress, "kmeans", HOSTS[:1]).line(line, "algo-1")
    assert progress.tasks[0].total is None
    assert screen.getvalue() == ""


def test_warnings_are_shown_and_the_end_of_the_log_only_after_a_failure(
    progress: Progress, screen: io.StringIO
) -> None:
    bar = Bar(progress, "kmeans", HOSTS[:1])
    bar.line("[11/22/2026 10:00:00 WARNING 1] Still waiting [for] the pipe\n", "algo-1")
    assert "Still waiting [for] the pipe" in screen.getvalue()
    for number in range(LAST_LINES + 1):
        bar.line(f"line {number}.\n", "algo-1")
    assert "line" not in screen.getvalue()
    bar.failed("algo-1")
    assert "line 0." not in screen.getvalue()
    assert f"line {LAST_LINES}." in screen.getvalue()


def test_log_lines_are_printed_as_they_are_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("kmeans", HOSTS[:1], logs=False) as display:
        assert isinstance(display, Log)
        display.line("half a ", "algo-1")
        display.line("line\tand a [tab]\n", "algo-1")
    assert capsys.readouterr().out == "half a line\tand a [tab]\n"


def test_the_bar_follows_the_first_of_several_hosts(progress: Progress, screen: io.StringIO) -> None:
    bar = Bar(progress, "kmeans", HOSTS)
    bar.line(f"{PREFIX}#progress_metric: host=algo-10, completed 90 % of epochs\n", "algo-10")
    assert progress.tasks[0].total is None
    bar.line(f"{PREFIX}#progress_metric: host=algo-1, completed 40 % of epochs\n", "algo-1")
    assert progress.tasks[0].percentage == 40
    bar.line("[11/22/2026 10:00:00 WARNING 1] Still waiting\n", "algo-1")
    assert screen.getvalue() == "algo-1  | [11/22/2026 10:00:00 WARNING 1] Still waiting\n"


def test_only_the_log_of_the_host_that_failed_is_shown(progress: Progress, screen: io.StringIO) -> None:
    bar = Bar(progress, "kmeans", HOSTS)
    for host in HOSTS:
        bar.line(f"last words of {host}\n", host)
    bar.failed("algo-10")
    assert screen.getvalue() == "algo-10 | last words of algo-10\n"


def test_log_lines_of_several_hosts_are_whole_and_marked(capsys: pytest.CaptureFixture[str]) -> None:
    with shown("kmeans", HOSTS, logs=False) as display:
        display.line("a piece of a long line", "algo-10")
        display.line("  another line\n", "algo-1")
    assert capsys.readouterr().out == "algo-10 | a piece of a long line\nalgo-1  |   another line\n"
