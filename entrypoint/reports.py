"""Log and metric lines, exactly as clients' regular expressions read them (contract 1.12 to 1.14)."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRESS_SECONDS = 2.0  # between two lines of how far a job is

log = logging.getLogger(__name__)


def start_logging() -> None:
    """`[MM/DD/YYYY HH:MM:SS LEVEL thread] message` lines on standard output, flushed one by one."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO,
        format="[%(asctime)s %(levelname)s %(thread)d] %(message)s",
        datefmt="%m/%d/%Y %H:%M:%S",
    )


@dataclass
class Reads:
    """What has been read of one channel, for the iterator reports. Totals are cumulative over passes."""

    records: int = 0
    batches: int = 0
    most_records: int = 0
    most_batches: int = 0
    resets: int = 0
    records_since_reset: int = 0
    batches_since_reset: int = 0

    def add(self, records: int) -> None:
        self.records += records
        self.batches += 1
        self.records_since_reset += records
        self.batches_since_reset += 1
        self.most_records = max(self.most_records, self.records_since_reset)
        self.most_batches = max(self.most_batches, self.batches_since_reset)

    def reset(self) -> None:
        self.resets += 1
        self.records_since_reset = self.batches_since_reset = 0

    def metrics(self) -> dict[str, int]:
        return {
            "Total Records Seen": self.records,
            "Total Batches Seen": self.batches,
            "Max Records Seen Between Resets": self.most_records,
            "Max Batches Seen Between Resets": self.most_batches,
            "Reset Count": self.resets,
            "Number of Records Since Last Reset": self.records_since_reset,
            "Number of Batches Since Last Reset": self.batches_since_reset,
        }


@dataclass
class Report:
    """Writes the lines of one host.

    dimension   the algorithm's name in #metrics lines, such as AWS/KMeansWebscale
    """

    dimension: str
    host: str
    started: float = field(default_factory=time.time)

    def metrics(self, values: Mapping[str, float], *, since: float, **dimensions: object) -> None:
        """One #metrics line: JSON, without the prefix of log lines."""
        dimensions = {"Algorithm": self.dimension, "Host": self.host, "Operation": "training", **dimensions}
        observed = {
            name: {"sum": float(value), "count": 1, "min": value, "max": value} for name, value in values.items()
        }
        line = {"StartTime": since, "EndTime": time.time(), "Dimensions": dimensions, "Metrics": observed}
        sys.stdout.write(f"#metrics {json.dumps(line)}\n\n")

    def timer(self, name: str, since: float, **others: float) -> None:
        """A duration in milliseconds, up to now."""
        self.metrics({**others, name: (time.time() - since) * 1000}, since=since)

    def quality(
        self, channel: str, name: str, mark: str, value: float, epoch: int | None = None, batch: int | None = None
    ) -> None:
        """mark   loss or score"""
        when = "" if epoch is None else f"epoch={epoch}, " if batch is None else f"epoch={epoch}, batch={batch} "
        log.info("#quality_metric: host=%s, %s%s %s <%s>=%s", self.host, when, channel, name, mark, value)

    def score(self, channel: str, name: str, value: float) -> None:
        """A final score, as a tuple."""
        log.info("#%s_score (%s) : (%r, %s)", channel, self.host, name, value)

    def criterion(self, name: str, value: float, epoch: int) -> None:
        """What early stopping looked at."""
        log.info(
            "#early_stopping_criteria_metric: host=%s, epoch=%d, criteria=%s, value=%s", self.host, epoch, name, value
        )

    def progress(self, fraction: float) -> None:
        log.info("#progress_metric: host=%s, completed %s %% of epochs", self.host, f"{100 * fraction:.4g}")

    def throughput(self, records: int, seconds: float) -> None:
        rate = records / max(seconds, 1e-9)
        log.info("#throughput_metric: host=%s, train throughput=%s records/second", self.host, rate)

    def data_pipeline(self, path: object, epoch: int, seconds: float, batches: int, size_bytes: int) -> None:
        """The native reader's line; num_examples counts batches, duration is in milliseconds."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}"
        stats: dict[str, Any] = {
            "data_pipeline": str(path),
            "epoch": epoch,
            "duration": round(seconds * 1000),
            "num_examples": batches,
            "num_bytes": size_bytes,
        }
        # One write a line: another thread's line must not come between it and its end.
        sys.stdout.write(f"[{stamp}] [tensorio] [info] epoch_stats={json.dumps(stats)}\n")


class StartUp:
    """Where the time from process start to the first update goes."""

    def __init__(self) -> None:
        self._began = time.time() - seconds_since_start()
        self._last = self._began
        self._phases: list[str] = []

    def phase(self, name: str) -> None:
        """What ended just now."""
        now = time.time()
        self._phases.append(f"{name} {now - self._last:.2f} s")
        self._last = now

    def log(self) -> None:
        log.info("Start-up: %s; %.2f s to the first update.", ", ".join(self._phases), time.time() - self._began)


def seconds_since_start() -> float:
    """Age of this process, to 10 ms, interpreter included; 0 where the kernel does not tell."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 - start-up path
            ticks = int(file.read().rpartition(")")[2].split()[19])
    except OSError:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak_mebibytes() -> float:
    """Most memory that this process has held so far; 0 where the kernel does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0.0)
