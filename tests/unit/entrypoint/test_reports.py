"""Log and metric lines, read with the platform's own expressions (contract 1.12 to 1.15)."""

from __future__ import annotations

import json
import logging
import math
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from entrypoint.reports import Reads, Report, StartUp, seconds_since_start

REPORT = Report("AWS/KMeansWebscale", "algo-1")


def metrics_of(output: str) -> list[dict[str, Any]]:
    lines = re.findall(r"^#metrics (\{.*\})$", output, re.MULTILINE)
    return [json.loads(line) for line in lines]


def test_metrics_lines(capsys: pytest.CaptureFixture[str]) -> None:
    since = time.time() - 2
    REPORT.metrics({"epochs": 10, "update.time": 2077.36}, since=since, epoch=0, Meta="training_data_iter")
    output = capsys.readouterr().out
    assert output.startswith("#metrics {") and output.endswith("}\n\n") and output.count("\n") == 2
    (line,) = metrics_of(output)
    assert list(line) == ["StartTime", "EndTime", "Dimensions", "Metrics"]
    assert line["StartTime"] == since and 2 <= line["EndTime"] - since < 60
    assert list(line["Dimensions"].items()) == [
        ("Algorithm", "AWS/KMeansWebscale"),
        ("Host", "algo-1"),
        ("Operation", "training"),
        ("epoch", 0),
        ("Meta", "training_data_iter"),
    ]
    assert '"epochs": {"sum": 10.0, "count": 1, "min": 10, "max": 10}' in output
    assert '"update.time": {"sum": 2077.36, "count": 1, "min": 2077.36, "max": 2077.36}' in output


def test_timers_are_milliseconds(capsys: pytest.CaptureFixture[str]) -> None:
    REPORT.timer("update.time", time.time() - 3, epochs=1)
    (line,) = metrics_of(capsys.readouterr().out)
    assert list(line["Metrics"]) == ["epochs", "update.time"]
    assert 3000 <= line["Metrics"]["update.time"]["sum"] < 60_000
    assert list(line["Dimensions"]) == ["Algorithm", "Host", "Operation"]


# The expressions that the platform registers, contract 1.15.
@pytest.mark.parametrize(
    ("expression", "write", "value"),
    [
        (
            r"#quality_metric: host=\S+, train msd <loss>=(\S+)",
            lambda: REPORT.quality("train", "msd", "loss", 0.064),
            0.064,
        ),
        (
            r"#quality_metric: host=\S+, test msd <loss>=(\S+)",
            lambda: REPORT.quality("test", "msd", "loss", 1e-9),
            1e-9,
        ),
        (
            r"#quality_metric: host=\S+, test accuracy <score>=(\S+)",
            lambda: REPORT.quality("test", "accuracy", "score", math.nan),
            math.nan,
        ),
        (
            r"#quality_metric: host=\S+, epoch=\S+, train rmse <loss>=(\S+)",
            lambda: REPORT.quality("train", "rmse", "loss", 91.2137, epoch=0),
            91.2137,
        ),
        (
            r"#quality_metric: host=\S+, epoch=\S+, batch=\S+ train rmse <loss>=(\S+)",
            lambda: REPORT.quality("train", "rmse", "loss", 72.235, epoch=0, batch=500),
            72.235,
        ),
        (
            r"#test_score \(\S+\) : \('rmse', (\S+)\)",
            lambda: REPORT.score("test", "rmse", 0.19088356774389661),
            0.19088356774389661,
        ),
        (r"#progress_metric: host=\S+, completed (\S+) %", lambda: REPORT.progress(1 / 15), 6.667),
        (r"#progress_metric: host=\S+, completed (\S+) % of epochs", lambda: REPORT.progress(1), 100),
        (
            r"#throughput_metric: host=\S+, train throughput=(\S+) records/second",
            lambda: REPORT.throughput(1000, 4),
            250,
        ),
        (r"train throughput=(\S+) records/second", lambda: REPORT.throughput(0, 0), 0),
        (r"#test_score \(algo-1\) : \('accuracy', (\S+)\)", lambda: REPORT.score("test", "accuracy", 0.922), 0.922),
    ],
)
def test_lines_for_the_platforms_expressions(
    expression: str, write: Any, value: float, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        write()
    (message,) = caplog.messages
    found = re.search(expression, message)
    assert found is not None, message
    assert float(found[1]) == pytest.approx(value, rel=1e-3, nan_ok=True)


def test_a_final_line_is_not_taken_for_one_of_an_epoch(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        REPORT.quality("train", "rmse", "loss", 1.0, epoch=3)
    assert caplog.messages == ["#quality_metric: host=algo-1, epoch=3, train rmse <loss>=1.0"]
    assert not re.search(r"#quality_metric: host=\S+, train rmse", caplog.messages[0])


def test_values_of_numpy_print_as_numbers(caplog: pytest.LogCaptureFixture) -> None:
    import numpy as np

    with caplog.at_level(logging.INFO):
        REPORT.quality("test", "msd", "loss", np.float64(0.5))
    assert caplog.messages == ["#quality_metric: host=algo-1, test msd <loss>=0.5"]


def test_data_pipeline_line(capsys: pytest.CaptureFixture[str]) -> None:
    REPORT.data_pipeline("/opt/ml/input/data/train", 2, 0.0084, 3, 99840)
    output = capsys.readouterr().out
    assert re.fullmatch(
        r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] \[tensorio\] \[info\] epoch_stats="
        r'\{"data_pipeline": "/opt/ml/input/data/train", "epoch": 2, "duration": 8, "num_examples": 3, '
        r'"num_bytes": 99840\}\n',
        output,
    )


def test_reads_are_counted_over_passes() -> None:
    reads = Reads()
    for batches in ((10, 10, 5), (10, 4)):
        for records in batches:
            reads.add(records)
        reads.reset()
    reads.add(3)
    assert reads.metrics() == {
        "Total Records Seen": 42,
        "Total Batches Seen": 6,
        "Max Records Seen Between Resets": 25,
        "Max Batches Seen Between Resets": 3,
        "Reset Count": 2,
        "Number of Records Since Last Reset": 3,
        "Number of Batches Since Last Reset": 1,
    }
    assert all(type(value) is int for value in reads.metrics().values())


def test_log_lines_of_a_process() -> None:
    program = r"""
import logging, sys
from entrypoint.reports import start_logging
start_logging()
logging.getLogger("a").info("tab\t \u00e9 \ud800")
logging.getLogger("b").debug("not shown")
logging.getLogger("c").error("%s", "100%")
print("plain")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={"LC_ALL": "C", "PYTHONUTF8": "0"}, check=True
    )
    first, second, third = done.stdout.decode("utf-8").splitlines()
    prefix = r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d %s \d+\] "
    assert re.fullmatch(prefix % "INFO" + r"tab\t é \\ud800", first)
    assert re.fullmatch(prefix % "ERROR" + "100%", second)
    assert third == "plain" and done.stderr == b""


def test_start_up_line(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("entrypoint.reports.time.time", lambda: now[0])
    monkeypatch.setattr("entrypoint.reports.seconds_since_start", lambda: 0.25)
    start_up = StartUp()
    for name, now[0] in (("interpreter", 1000.0), ("imports", 1000.1), ("first update", 1000.4)):
        start_up.phase(name)
    with caplog.at_level(logging.INFO):
        start_up.log()
    expected = "Start-up: interpreter 0.25 s, imports 0.10 s, first update 0.30 s; 0.65 s to the first update."
    assert caplog.messages == [expected]


def test_the_age_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    age = seconds_since_start()
    assert 0.1 < age < 24 * 3600
    monkeypatch.setattr("builtins.open", raising)
    assert seconds_since_start() == 0


def raising(*_: object, **__: object) -> None:
    raise FileNotFoundError
