"""Tables of results, in Markdown: rates of contenders, ratios within a round, and whether an aim is met."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.rounds import Rounds, Spread, measured, short


@dataclass(frozen=True)
class Work:
    """Something to time; `size` is what one run handles, in bytes unless the table says otherwise."""

    run: Callable[[], object]
    size: float

    @classmethod
    def through(cls, batches: Callable[[], Iterator[object]], size: float) -> Work:
        """Going through batches, of which none is kept."""

        def run() -> None:
            for _ in batches():
                pass

        return cls(run, size)


@dataclass(frozen=True)
class Ratio:
    """The rate of one contender over another's; it should be `aim`."""

    left: str
    right: str
    aim: float | None = None


@dataclass(frozen=True)
class Rate:
    """A contender's own rate; it should be `aim`, in units of the table."""

    name: str
    aim: float


def header(unit: str) -> None:
    print(f"\n| case | contender | {unit} | compared |\n|---|---|---|---|", flush=True)


def table(
    case: str, works: Mapping[str, Work], judged: Sequence[Ratio | Rate], rounds: int, *, unit: float = 1e9
) -> None:
    """Time the works in turn and print a row for each."""
    found = measured({name: work.run for name, work in works.items()}, rounds)
    for place, (name, work) in enumerate(works.items()):
        seconds = found.seconds(name)
        rate = Spread(*(work.size / unit / time for time in (seconds.median, seconds.most, seconds.least)))
        own = [one for one in judged if (one.left if isinstance(one, Ratio) else one.name) == name]
        compared = "; ".join(_judged(one, works, found, rate.median) for one in own)
        print(f"| {'' if place else case} | {name} | {rate} | {compared} |")
    print(f"| | *{found.load}* | | |", flush=True)


def _judged(one: Ratio | Rate, works: Mapping[str, Work], found: Rounds, rate: float) -> str:
    if isinstance(one, Rate):
        return verdict(rate, one.aim)
    sizes = works[one.left].size / works[one.right].size
    ratio = found.ratio(one.right, one.left).times(sizes)
    return f"{ratio} × {one.right}" + ("" if one.aim is None else f", {verdict(ratio.median, one.aim)}")


def verdict(found: float, aim: float) -> str:
    return f"aim {short(aim)}: {'met' if found >= aim else 'missed'}"
