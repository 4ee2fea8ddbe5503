"""The models that a server holds: one from start to end, or a table that the platform fills and empties."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition

from algorithms.contract import Algorithm, Model
from algorithms.numerics import machine
from recordio.errors import PlatformError, UserError
from serving.errors import AlreadyLoaded, Busy, NoRoom, NotFound, NotLoaded
from serving.settings import folder_bytes

log = logging.getLogger(__name__)


def load(algorithm: Algorithm, folder: Path) -> Model:
    """Load an artifact; unknown files beside it don't matter. Raises NotLoaded with the reason, or NoRoom."""
    try:
        return algorithm.load(folder)
    except MemoryError as error:
        raise NoRoom("unable to load model: it needs more memory than is free") from error
    except (UserError, PlatformError, OSError) as error:
        raise NotLoaded(f"unable to load model: {error}") from error
    except Exception as error:  # a door of its own: /ping must tell that there is no model, whatever the fault
        log.exception("unable to load model")
        raise NotLoaded(f"unable to load model: {type(error).__name__}") from error


class OneModel:
    """The model of a server that serves one, or the reason why there is none."""

    def __init__(self, algorithm: Algorithm, folder: Path) -> None:
        self.reason: str | None = None
        try:
            self._model: Model | None = load(algorithm, folder)
        except (NotLoaded, NoRoom) as error:
            self._model, self.reason = None, str(error)
            log.error("%s", error)

    @property
    def model(self) -> Model:
        if self._model is None:
            raise NotLoaded(self.reason or "unable to load model")
        return self._model


@dataclass
class Entry:
    """A model of the table; `users` requests are computing with it."""

    name: str
    url: str
    model: Model = field(repr=False)
    users: int = 0

    def described(self) -> dict[str, str]:
        return {"modelName": self.name, "modelUrl": self.url}


class ModelTable:
    """Models by the platform's opaque names, of one algorithm, from folders under one folder."""

    def __init__(
        self,
        algorithm: Algorithm,
        folder: Path,
        timeout_seconds: float = 60,
        memory_free: Callable[[], int] = machine.memory_free,
    ) -> None:
        self._algorithm = algorithm
        self._folder = folder
        self._timeout_seconds = timeout_seconds
        self._memory_free = memory_free
        self._entries: dict[str, Entry] = {}
        self._loading: dict[str, int] = {}  # bytes by name
        self._changed = Condition()

    def load(self, name: str, url: str) -> None:
        """Raises AlreadyLoaded, NoRoom, NotLoaded, or UserError for a folder that is not one of the models'."""
        folder = self._inside(url)
        needed = folder_bytes(folder) * self._algorithm.load_factor
        with self._changed:
            if name in self._entries or name in self._loading:
                raise AlreadyLoaded(f"Model {name[:100]!r} is loaded already")
            free = self._memory_free() - sum(self._loading.values())
            if needed > free:
                raise NoRoom(f"Model {name[:100]!r} needs about {needed} bytes of memory to load, and {free} are free")
            self._loading[name] = needed
        try:
            model = load(self._algorithm, folder)
        finally:
            with self._changed:
                del self._loading[name]
        with self._changed:
            self._entries[name] = Entry(name, url, model)

    def unload(self, name: str) -> None:
        """Take a model out; returns when the last request that computes with it has ended."""
        with self._changed:
            entry = self._entry(name)
            del self._entries[name]
            if not self._changed.wait_for(lambda: entry.users == 0, self._timeout_seconds):
                raise Busy(f"Model {name[:100]!r} takes no more requests, but one is still being computed")

    def described(self, name: str) -> dict[str, str]:
        with self._changed:
            return self._entry(name).described()

    def page(self, after: str | None, limit: int) -> tuple[list[dict[str, str]], str | None]:
        """Some models in the order of their names, and the name to go on after, if there are more."""
        with self._changed:
            names = sorted(self._entries)
            start = 0 if after is None else bisect_right(names, after)
            shown = names[start : start + limit]
            more = shown[-1] if shown and start + limit < len(names) else None
            return [self._entries[name].described() for name in shown], more

    @contextmanager
    def using(self, name: str) -> Iterator[Model]:
        """A model that stays until the end, though it may be unloaded meanwhile."""
        with self._changed:
            entry = self._entry(name)
            entry.users += 1
        try:
            yield entry.model
        finally:
            with self._changed:
                entry.users -= 1
                self._changed.notify_all()

    def _entry(self, name: str) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise NotFound(f"Model {name[:100]!r} is not loaded")
        return entry

    def _inside(self, url: str) -> Path:
        """The folder of a model, links followed, so that no path leads out of the folder of models."""
        try:
            folder = Path(url).resolve()
            found = folder.is_relative_to(self._folder.resolve()) and folder.is_dir()
        except (OSError, ValueError, RuntimeError):  # a NUL byte, a name too long, a loop of links
            found = False
        if not found:
            raise UserError(f"url: got {url[:200]!r}, expected a folder under {self._folder}")
        return folder
