"""Exit codes and the failure file, to the letter of contract 1.9."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from entrypoint.doors import LONGEST_FAILURE_CHARACTERS, exit_code
from recordio.errors import AlgorithmError, DataError, PlatformError, UserError
from tests.unit.entrypoint.conftest import Base
from tests.unit.entrypoint.forked import as_user, open_folder


def raising(error: BaseException, cause: BaseException | None = None) -> Callable[[], None]:
    def action() -> None:
        raise error from cause

    return action


class Panic(BaseException):
    """As compiled libraries raise."""


MEMORY = "Customer Error: Out of Memory. Please use a larger instance type or reduce batch size."

ERRORS = {
    "user": (UserError("k is wrong"), None, 2, "Customer Error: k is wrong"),
    "data": (DataError("record 3"), None, 2, "Customer Error: record 3"),
    "cause": (
        UserError("Unable to read."),
        DataError("a.csv, record 3: got x"),
        2,
        "Customer Error: Unable to read. (caused by DataError)\n\nCaused by: a.csv, record 3: got x",
    ),
    "platform": (
        PlatformError("no file"),
        OSError(errno.ENOENT, "No such file", "x"),
        3,
        "Platform Error: no file (caused by FileNotFoundError)\n\nCaused by: [Errno 2] No such file: 'x'",
    ),
    "algorithm": (AlgorithmError("a bug"), None, 1, "Algorithm Error: a bug"),
    "unexpected": (ZeroDivisionError("division"), None, 1, "Algorithm Error: ZeroDivisionError: division"),
    "key": (
        KeyError("x"),
        ValueError("y"),
        1,
        "Algorithm Error: KeyError: 'x' (caused by ValueError)\n\nCaused by: y",
    ),
    "panic": (Panic("in Rust"), None, 1, "Algorithm Error: Panic: in Rust"),
    "memory": (MemoryError(), None, 2, MEMORY),
    "full": (
        OSError(errno.ENOSPC, "No space left on device", "/opt/ml/model/x"),
        None,
        3,
        "Platform Error: /opt/ml/model/x: No space left on device",
    ),
    "full, no name": (
        OSError(errno.ENOSPC, "No space left on device"),
        None,
        3,
        "Platform Error: OSError: [Errno 28] No space left on device",
    ),
    "read-only": (
        OSError(errno.EROFS, "Read-only file system", "m"),
        None,
        3,
        "Platform Error: m: Read-only file system",
    ),
    "forbidden": (
        PermissionError(errno.EACCES, "Permission denied", "m"),
        None,
        3,
        "Platform Error: m: Permission denied",
    ),
    "a bug with files": (OSError(errno.EBADF, "Bad file"), None, 1, "Algorithm Error: OSError: [Errno 9] Bad file"),
    "recursion": (RecursionError("too deep"), None, 1, "Algorithm Error: RecursionError: too deep"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_codes_and_texts(base: Base, name: str, caplog: pytest.LogCaptureFixture) -> None:
    error, cause, code, text = ERRORS[name]
    failure = base.path / "output" / "failure"
    assert exit_code(raising(error, cause), failure) == code
    assert failure.read_text() == text
    assert caplog.messages[-1] == text and caplog.records[-1].levelno == logging.ERROR
    traced = [message for message in caplog.messages if "Traceback (most recent call last)" in message]
    assert bool(traced) == (code == 1), "only a bug of ours is shown with its trace"
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (2**50, "Unable to allocate 8.00 PiB"),
        ((2**40, 2**40), "array is too big"),
        (2**63 - 1, "array is too big|Maximum allowed"),
        (2**63, "Maximum allowed dimension exceeded"),
    ],
)
def test_memory_of_arrays(base: Base, shape: int | tuple[int, int], reason: str) -> None:
    def action() -> None:
        np.empty(shape)

    assert exit_code(action, base.path / "failure") == 2
    text = (base.path / "failure").read_text()
    assert any(text.startswith(f"{MEMORY} {part}") for part in reason.split("|")), text


def test_success_leaves_no_failure_file(base: Base) -> None:
    failure = base.path / "failure"
    assert exit_code(lambda: None, failure) == 0
    assert not failure.exists()
    exit_code(raising(UserError("of an earlier run")), failure)
    assert exit_code(lambda: None, failure) == 0
    assert not failure.exists()


def test_an_exit_is_passed_on(base: Base) -> None:
    for error in (SystemExit(0), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            exit_code(raising(error), base.path / "failure")
    assert not (base.path / "failure").exists()


def test_serving_writes_no_file() -> None:
    assert exit_code(raising(PlatformError("no port")), None) == 3


def test_a_failure_file_that_can_not_be_written(base: Base, caplog: pytest.LogCaptureFixture) -> None:
    (base.path / "failure").mkdir(parents=True)
    assert exit_code(raising(UserError("wrong")), base.path / "failure") == 2
    assert "Customer Error: wrong" in caplog.messages
    assert caplog.messages[-1].startswith("The failure file can't be written: [Errno 21] Is a directory")
    (base.path / "file").touch()
    assert exit_code(raising(UserError("wrong")), base.path / "file" / "failure") == 2


def test_a_folder_of_another_user() -> None:
    with open_folder() as folder:
        assert as_user(lambda: exit_code(raising(UserError("wrong")), folder / "failure")) == "2"
        (folder / "failure").write_text("earlier")
        assert as_user(lambda: exit_code(lambda: None, folder / "failure")) == "0"


def test_text_is_utf8_and_bounded(base: Base) -> None:
    failure = base.path / "failure"
    exit_code(raising(UserError("é\ud800 " + "x" * 1_000_000)), failure)
    written = failure.read_bytes().decode("utf-8")
    assert written.startswith("Customer Error: é\\ud800 xxx")
    assert len(written) <= LONGEST_FAILURE_CHARACTERS + 5


def test_the_message_stands_in_what_the_platform_shows(tmp_path: Path) -> None:
    exit_code(raising(UserError("first"), ValueError("x" * 5000)), tmp_path / "failure")
    assert (
        (tmp_path / "failure")
        .read_text()[:1024]
        .startswith("Customer Error: first (caused by ValueError)\n\nCaused by: x")
    )
