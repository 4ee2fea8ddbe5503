from __future__ import annotations

import os

from serving.metrics import BOUNDS_SECONDS, Meter


def test_seconds_fall_into_buckets() -> None:
    meter = Meter(("invocations", "other"))
    for seconds in (BOUNDS_SECONDS[0], 0.3, 1000.0):
        meter.count("invocations", 200, seconds, 1)
    lines = meter.text().decode().splitlines()
    assert 'onepass_request_seconds_bucket{le="0.001",route="invocations"} 1.0' in lines
    assert 'onepass_request_seconds_bucket{le="0.25",route="invocations"} 1.0' in lines
    assert 'onepass_request_seconds_bucket{le="0.5",route="invocations"} 2.0' in lines
    assert 'onepass_request_seconds_bucket{le="+Inf",route="invocations"} 3.0' in lines
    assert 'onepass_request_seconds_sum{route="invocations"} 1000.301' in lines


def test_strange_routes_and_statuses_make_no_new_series() -> None:
    meter = Meter(("invocations", "other"))
    meter.count(None, 418, 0.1, 0)
    meter.count("no such route", 418, 0.1, 0)
    assert 'onepass_requests_total{route="other",status="other"} 2.0' in meter.text().decode()


def test_workers_are_summed_in_the_process_that_is_asked() -> None:
    meter = Meter(("invocations", "other"), workers=3)
    for row in (1, 2):
        child = os.fork()
        if child == 0:
            meter.take_row(row)
            meter.count("invocations", 200, 0.1, row)
            os._exit(0)
        os.waitpid(child, 0)
    meter.count("invocations", 200, 0.1, 10)
    lines = meter.text().decode().splitlines()
    assert 'onepass_requests_total{route="invocations",status="200"} 3.0' in lines
    assert "onepass_records_total 13.0" in lines


def test_ready() -> None:
    meter = Meter(("other",))
    meter.ready = False
    assert "onepass_ready 0.0" in meter.text().decode()
