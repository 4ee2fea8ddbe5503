"""K-Means jobs that read the same records from a file and from a FIFO: execution time, start-up time, throughput.

Start-up is the time to the first update, as the job's log tells it; throughput is the stream over the time after it.
Roofline: a File job reads and learns as a Pipe job does, so the pipe costs no more than a second copy of each byte.
"""

from __future__ import annotations

import re
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.recordio.data import BATCH, RECORDIO, WIDTHS, as_recordio, dense
from benchmarks.recordio.feeding import Feeder
from benchmarks.recordio.picture import draw
from benchmarks.recordio.tables import verdict
from benchmarks.rounds import DISTURBED, Spread, timed
from tests.contract.cases import CASES
from tests.contract.jobs import Job

SIZE, COPIES = 400e6, 3  # the file holds the same records several times
AIM = 0.9  # of the rate in File mode
MODES = ("File", "Pipe")


@dataclass(frozen=True)
class Run:
    """Seconds of one job, start to end, start to first update, and of CPU; and its bytes."""

    seconds: float
    start_up: float
    cpu: float
    size: int

    @property
    def rate(self) -> float:
        return self.size / (self.seconds - self.start_up)


def run(rounds: int) -> None:
    print("\n| K-Means, k = 10 | mode | execution, s | start-up, s | CPU, s | MB/s after start-up | Pipe / File |")
    print("|---|---|---|---|---|---|---|")
    found = {width: _runs(width, rounds) for width in WIDTHS}
    draw(found)


def _runs(width: int, rounds: int) -> list[dict[str, Run]]:
    """Rounds of both modes in turn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.pbr"
        data = as_recordio(*dense(width, SIZE))
        with path.open("wb") as file:
            for _ in range(COPIES):
                file.write(data)
        del data
        every: list[dict[str, Run]] = []
        quiet: list[dict[str, Run]] = []
        with Feeder(path) as feeder:
            while len(quiet) < rounds and len(every) < 2 * rounds:
                found, others = _round(width, path, feeder)
                every.append(found)
                quiet += [found] if others < DISTURBED else []
    some = quiet or every
    for mode in MODES:
        cells = [str(Spread.of([getattr(one[mode], name) for one in some])) for name in ("seconds", "start_up", "cpu")]
        cells.append(str(Spread.of([one[mode].rate / 1e6 for one in some])))
        ratio = Spread.of([one[mode].rate / one["File"].rate for one in some])
        cells.append("" if mode == "File" else f"{ratio}, {verdict(ratio.median, AIM)}")
        print(f"| {width} features | {mode} | {' | '.join(cells)} |")
    print(f"| *{len(some)} rounds, {'quiet' if quiet else 'all disturbed'}* | | | | | | |", flush=True)
    return some


def _round(width: int, path: Path, feeder: Feeder) -> tuple[dict[str, Run], float]:
    found: dict[str, Run] = {}
    worst = 0.0
    for mode in MODES:

        def once(mode: str = mode) -> None:
            found[mode] = _job(width, path, feeder, mode)

        worst = max(worst, timed(once).others)
    return found, worst


def _job(width: int, path: Path, feeder: Feeder, mode: str) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder), next(case for case in CASES if case.name == "kmeans"))
        job.configure({"k": "10", "feature_dim": str(width), "mini_batch_size": str(BATCH)})
        job.channels(train={"TrainingInputMode": mode, "ContentType": RECORDIO})
        channel = Path(folder) / "input" / "data" / "train"
        if mode == "Pipe":
            feeder.feed(channel.with_name("train_0"))
        else:
            channel.mkdir()
            (channel / "data.pbr").symlink_to(path)
        began, cpu = time.monotonic(), _cpu_of_children()
        code, output = job.run()
        seconds, cpu = time.monotonic() - began, _cpu_of_children() - cpu
    match = re.search(r"([0-9.]+) s to the first update", output)
    assert code == 0 and match, output
    return Run(seconds, float(match[1]), cpu, path.stat().st_size)


def _cpu_of_children() -> float:
    """Seconds of those that have ended, which the feeder has not."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
