"""Metrics of all workers, summed where they are scraped.

Counts live in memory that the workers share with the process that forked them, a row for each worker, so that no
worker waits for another and no file is needed. A worker that takes the place of a dead one goes on counting in its row.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterable
from threading import Lock

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

STATUSES = (200, 204, 400, 404, 405, 406, 408, 409, 413, 415, 424, 500, 503, 507)
OTHER = len(STATUSES)  # column of any other status
BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SECONDS = OTHER + 1  # first column of the histogram: a count for each bound, one beyond them, and the sum
TOTAL_SECONDS = SECONDS + len(BOUNDS_SECONDS) + 1
RECORDS = TOTAL_SECONDS + 1
COLUMNS = RECORDS + 1


class Meter:
    """Counts by route and status, seconds by route, records predicted.

    routes   names that a request may be counted under; the last one takes every other
    """

    def __init__(self, routes: tuple[str, ...], workers: int = 1) -> None:
        self.routes = {name: index for index, name in enumerate(routes)}
        self.ready = True
        shape = (workers, len(routes), COLUMNS)
        self._table = np.frombuffer(mmap.mmap(-1, int(np.prod(shape)) * 8), np.float64).reshape(shape)
        self._row = self._table[0]
        self._lock = Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def take_row(self, worker: int) -> None:
        """Count as this worker, from 0, from now on."""
        self._row = self._table[worker % len(self._table)]

    def count(self, route: str | None, status: int, seconds: float, records: int) -> None:
        row = self._row[self.routes.get(route or "", -1)]
        with self._lock:
            row[STATUSES.index(status) if status in STATUSES else OTHER] += 1
            row[SECONDS + bisect_left(BOUNDS_SECONDS, seconds)] += 1
            row[TOTAL_SECONDS] += seconds
            row[RECORDS] += records

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """As prometheus_client asks its collectors."""
        table = self._table.sum(axis=0)
        requests = CounterMetricFamily("onepass_requests", "Requests answered.", labels=("route", "status"))
        seconds = HistogramMetricFamily("onepass_request_seconds", "Time from headers to reply.", labels=("route",))
        for route, index in self.routes.items():
            for column in range(SECONDS):
                if table[index, column]:
                    status = "other" if column == OTHER else str(STATUSES[column])
                    requests.add_metric((route, status), table[index, column])
            counts = table[index, SECONDS:TOTAL_SECONDS].cumsum()
            bounds = [*map(str, BOUNDS_SECONDS), "+Inf"]
            if counts[-1]:
                seconds.add_metric((route,), list(zip(bounds, counts, strict=True)), table[index, TOTAL_SECONDS])
        yield requests
        yield seconds
        yield CounterMetricFamily("onepass_records", "Records predicted.", value=table[:, RECORDS].sum())
        yield GaugeMetricFamily("onepass_ready", "Whether inference can be served.", value=int(self.ready))
