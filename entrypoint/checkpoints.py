"""Checkpoints: state and stream position, so that a killed job goes on as if nothing had happened."""

from __future__ import annotations

import glob
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from algorithms.artifacts.states import SavedState, read_state, write_state
from entrypoint.collective import Collective
from entrypoint.folders import Folder
from recordio.errors import UserError

EVERY_SECONDS = 5.0
CHEAP = 0.01  # part of the time that saving may take sooner
KEPT = 2  # the newest may turn out to be damaged
PREFIX = "checkpoint_"
NAMED = re.compile(rf"{PREFIX}.+-\d{{9,}}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Position:
    """Where a host of so many stands: `records` of its pass `epoch` are learned, and all passes before it."""

    epoch: int = 0
    records: int = 0
    hosts: int = 1

    @property
    def begun(self) -> bool:
        return bool(self.epoch or self.records)

    def as_values(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def of(cls, saved: SavedState) -> Position:
        """Raises UserError for a state that holds none."""
        values = saved.position
        names = {"epoch", "records", "hosts"}
        if values.keys() != names or not all(isinstance(n, int) and n >= 0 for n in values.values()):
            raise UserError(f"got position {str(dict(values))[:100]!r}, expected epoch, records and hosts")
        return cls(**values)


class Checkpoints:
    """The checkpoint files of one host in a folder shared by all; None as folder keeps none.

    Raises PlatformError wherever the folder can't be written or read; older checkpoints are then as they were.
    """

    def __init__(self, directory: Path | None, host: str, every_seconds: float = EVERY_SECONDS, hosts: int = 1) -> None:
        self._directory = directory
        self._hosts = hosts
        self._prefix = f"{PREFIX}{host}-"
        self._every_seconds = every_seconds
        self._saved_at = time.monotonic()
        self._save_seconds = 0.0
        self._damaged: set[Path] = set()
        self._known: dict[Path, SavedState] = {}  # what was read, and will be asked for again
        self._superseded: list[Path] = []
        if directory is None:
            log.info("Checkpoint loading and saving are disabled.")
        else:
            Folder("checkpoint", directory).prepare()

    def latest(self) -> SavedState | None:
        """The newest checkpoint that is whole."""
        for number, found in self._whole():
            if Position.of(found).hosts == self._hosts:
                return self._resumed(number, found)
        return None

    def of_another_cluster(self, *, together: bool) -> list[Path]:
        """The newest of each host, the furthest first, where this one's is not from a cluster of the size there is now.

        together   whether they are of use only if all hosts have one of the same step
        """
        mine = next(self._whole(), None)
        before = None if mine is None else Position.of(mine[1]).hosts
        if mine is not None and before == self._hosts:
            self._known = {self._path(mine[0]): mine[1]}
        if self._directory is None or before == self._hosts:
            return []
        names = [path.name for path in self._directory.iterdir() if NAMED.fullmatch(path.name)]
        steps: dict[tuple[int, int, int], list[Path]] = {}
        newest: list[tuple[int, int, Path]] = []
        for host in sorted({name.rpartition("-")[0].removeprefix(PREFIX) for name in names}):
            theirs = Checkpoints(self._directory, host)
            whole = [(Position.of(found), number) for number, found in theirs._whole() if self._of(found, before)]
            for position, number in whole[:1]:
                newest.append((position.epoch, position.records, theirs._path(number)))
                self._superseded += [path for path in theirs._files() if theirs._number(path) <= number]
            for position, number in whole:
                steps.setdefault((position.epoch, number, position.hosts), []).append(theirs._path(number))
        if not together:
            return [path for *_, path in sorted(newest, reverse=True)]
        complete = [step for step, paths in steps.items() if len(paths) == step[2]]
        if steps and not complete:
            log.warning("Checkpoints of other hosts passed over: not all of those have one of the same step.")
        return steps[max(complete)] if complete else []

    def replace(self, state: Callable[[], SavedState], collective: Collective, *, leader: bool) -> None:
        """Save, and remove what hosts of another cluster had saved.

        The leader, which looks for those, comes last: a job that is killed meanwhile goes on from them once more.
        """
        for number, found in [*self._whole()]:
            if Position.of(found).hosts == self._hosts:  # of such a job
                self._path(number).unlink()
        if not leader:
            self.save_when_due(state, now=True)
        collective.barrier()
        if leader:
            self.save_when_due(state, now=True)
        collective.barrier()
        for path in self._superseded:
            path.unlink(missing_ok=True)

    def latest_of_all(self, collective: Collective) -> SavedState | None:
        """The newest that all hosts have, saved between the same two steps; those after it are removed."""
        found = {number: each for number, each in self._whole() if Position.of(each).hosts == self._hosts}
        told = collective.gathered({"numbers": np.array([*found], np.int64)}, {})
        common = set.intersection(*({*arrays["numbers"].tolist()} for arrays, _ in told))
        agreed = max(common, default=-1)
        if agreed < 0 and found:
            log.warning("Checkpoints passed over: not all hosts have one of the same step.")
        for path in self._files():
            if self._number(path) > agreed:
                path.unlink()
        return self._resumed(agreed, found[agreed]) if agreed in found else None

    def due(self) -> bool:
        return self._directory is not None and time.monotonic() - self._saved_at >= self._every_seconds

    def cheap(self) -> bool:
        """Whether one is due, or took so little that it may be saved sooner."""
        since = time.monotonic() - self._saved_at
        return self.due() or (self._directory is not None and since * CHEAP >= self._save_seconds)

    def save_when_due(self, state: Callable[[], SavedState], *, now: bool = False) -> None:
        """Save if the interval has passed, or `now`."""
        if self._directory is None or not (now or self.due()):
            return
        began = time.monotonic()
        files = self._files()
        number = self._number(files[-1]) + 1 if files else 0
        whole = [path for path in files if path not in self._damaged]
        with Folder("checkpoint", self._directory).written():
            write_state(self._path(number), state())
            for old in (*self._damaged, *whole[: -KEPT + 1]):
                if not old.with_name(old.name + ".sagemaker-uploading").exists():
                    old.unlink(missing_ok=True)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - began

    def _of(self, saved: SavedState, hosts: int | None) -> bool:
        """Whether it is of a cluster of so many hosts, or of any but this one where that is not known."""
        found = Position.of(saved).hosts
        return found != self._hosts if hosts is None else found == hosts

    def _resumed(self, number: int, found: SavedState) -> SavedState:
        log.info("Resuming from checkpoint %s.", self._path(number))
        return found

    def _path(self, number: int) -> Path:
        assert self._directory is not None
        return self._directory / f"{self._prefix}{number:09d}"

    def _whole(self) -> Iterator[tuple[int, SavedState]]:
        """From the newest to the oldest; a damaged one is passed over with a warning."""
        for path in reversed(self._files()):
            if path in self._damaged:
                continue
            try:
                found = self._known.pop(path, None) or read_state(path)
                Position.of(found)
            except UserError as error:
                log.warning("Checkpoint %s passed over: %s", path.name, error)
                self._damaged.add(path)
                continue
            yield self._number(path), found

    def _files(self) -> list[Path]:
        """From the oldest to the newest."""
        if self._directory is None:
            return []
        found = self._directory.glob(f"{glob.escape(self._prefix)}*")
        ours = [path for path in found if path.name.removeprefix(self._prefix).isdecimal() and path.is_file()]
        return sorted(ours, key=self._number)

    def _number(self, path: Path) -> int:
        return int(path.name.removeprefix(self._prefix))
