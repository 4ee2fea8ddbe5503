"""Actions in a forked process: as another user, or under limits that can't be lifted again."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir")


def forked(action: Callable[[], object]) -> str:
    """What `action` gives or raises, as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = str(action())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}" if str(error) else traceback.format_exc()
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def as_user(action: Callable[[], object], user: int = NOBODY) -> str:
    """The same without root's rights over files."""

    def dropped() -> object:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        return action()

    return forked(dropped)


def with_file_limit(action: Callable[[], object], size: int) -> str:
    """The same where no file may grow beyond `size` bytes, as on a full disk."""

    def limited() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return action()

    return forked(limited)


def killed_at(step: int, folders: tuple[Path, ...], action: Callable[[], object]) -> bool:
    """Kill the process right before a step in these folders: to open, make, rename or remove. False when it ends.

    An error of the action is raised here, as its text.
    """

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in STEPS and str(arguments[0]).startswith(inside):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def audited() -> str:
        sys.addaudithook(audit)
        action()
        return "ended"

    left, inside = step, tuple(map(str, folders))
    text = forked(audited)
    assert text in ("", "ended"), text
    return not text


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; those of pytest belong to one."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
