"""Rounds: contenders that run in turn, so that ratios within a round can be compared where other programs run too."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import psutil

DISTURBED = 0.1  # of the CPU, used by others
LEAST_SECONDS = 0.3  # that a contender runs: the kernel counts its CPU in hundredths of a second


class Timing(NamedTuple):
    """One run of one contender.

    seconds   on the clock
    cpu       seconds of all threads of this process, and of processes that it started and that ended
    others    part of the machine's CPU that other processes used meanwhile; those it started are its own
    """

    seconds: float
    cpu: float
    others: float


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: Collection[float]) -> Spread:
        return cls(statistics.median(figures), min(figures), max(figures))

    def times(self, factor: float) -> Spread:
        return Spread(factor * self.median, factor * self.least, factor * self.most)

    def __str__(self) -> str:
        if short(self.least) == short(self.most):
            return short(self.median)
        return f"{short(self.median)} ({short(self.least)}–{short(self.most)})"


def short(figure: float) -> str:
    """Three digits, without an exponent."""
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


@dataclass(frozen=True)
class Rounds:
    """Timings by contender, round by round.

    quiet   whether others used little of the CPU. If not, seconds are those of the CPU, which others disturb less; they
            add up those of all threads.
    """

    rounds: list[dict[str, Timing]]
    quiet: bool

    def seconds(self, name: str) -> Spread:
        return Spread.of([self._seconds(one[name]) for one in self.rounds])

    def ratio(self, left: str, right: str) -> Spread:
        """How many times as long as `right` one run of `left` takes."""
        return Spread.of([self._seconds(one[left]) / self._seconds(one[right]) for one in self.rounds])

    @property
    def load(self) -> str:
        """How far to believe them."""
        others = f"others used up to {max(map(_disturbance, self.rounds)):.0%} of the CPU"
        return f"{len(self.rounds)} rounds; {others}{'' if self.quiet else ', so seconds are those of the CPU'}"

    def _seconds(self, timing: Timing) -> float:
        return timing.seconds if self.quiet else timing.cpu


def measured(contenders: Mapping[str, Callable[[], object]], wanted: int, unwatched: Collection[str] = ()) -> Rounds:
    """Quiet rounds, as many as wanted; twice as many are tried. If none was quiet, all count.

    unwatched   contenders that take so long that somebody always disturbs them
    """
    rounds: list[dict[str, Timing]] = []
    quiet: list[dict[str, Timing]] = []
    while len(quiet) < wanted and len(rounds) < 2 * wanted:
        rounds.append({name: timed(run) for name, run in contenders.items()})
        watched = {name: timing for name, timing in rounds[-1].items() if name not in unwatched}
        quiet += rounds[-1:] if _disturbance(watched) < DISTURBED else []
    return Rounds(quiet or rounds, bool(quiet))


def _disturbance(timings: Mapping[str, Timing]) -> float:
    return max(timing.others for timing in timings.values())


def timed(run: Callable[[], object]) -> Timing:
    """Time one run: the mean of as many as take LEAST_SECONDS."""
    mine, everyone, cpu, start = _own(), _busy(), _cpu(), time.perf_counter()
    runs, seconds = 0, 0.0
    while seconds < LEAST_SECONDS:
        run()
        runs, seconds = runs + 1, time.perf_counter() - start
    cpu = _cpu() - cpu
    others = _busy() - everyone - (_own() - mine)
    return Timing(seconds / runs, cpu / runs, max(0.0, others) / (seconds * (psutil.cpu_count() or 1)))


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _busy() -> float:
    """Seconds of CPU of all processes."""
    now = psutil.cpu_times()
    return float(sum(now) - now.idle - now.iowait)


def _own() -> float:
    """Seconds of CPU of this process and of those that it started."""
    this = psutil.Process()
    ended = this.cpu_times()
    running = [ended, *(process.cpu_times() for process in this.children(recursive=True))]
    return float(sum(one.user + one.system for one in running) + ended.children_user + ended.children_system)
