"""The door of a command: errors become a log line, a failure file and an exit code, in one place."""

from __future__ import annotations

import contextlib
import errno
import logging
import traceback
from collections.abc import Callable
from pathlib import Path

from recordio.errors import AlgorithmError, PlatformError, UserError

SUCCESS, ALGORITHM, CUSTOMER, PLATFORM = 0, 1, 2, 3
PREFIXES = {ALGORITHM: "Algorithm Error: ", CUSTOMER: "Customer Error: ", PLATFORM: "Platform Error: "}
LONGEST_FAILURE_CHARACTERS = 16_384  # the platform shows the first 1024
# What the file system of a container can do to us; other OSErrors are more likely our own mistakes.
DISK_ERRORS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EIO, errno.ESTALE, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EMFILE, errno.ENFILE),
)
TOO_BIG = ("array is too big", "Maximum allowed dimension exceeded")

log = logging.getLogger(__name__)


def exit_code(action: Callable[[], int | None], failure: Path | None) -> int:
    """Run a command; on an error, log it, write the failure file and give the code that tells who can mend it.

    action   may give an exit code of its own; None is success
    """
    if failure is not None:
        with contextlib.suppress(OSError):  # of a job that ran here before
            failure.unlink(missing_ok=True)
    try:
        return action() or SUCCESS
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # the one door, also for panics of compiled libraries, which are no Exceptions
        code = _code(error)
        text = PREFIXES[code] + _text(error)
        if code == ALGORITHM:
            log.error("%s", "".join(traceback.format_exception(error)).rstrip())
        log.error("%s", text)
        if failure is not None:
            _write(failure, text)
        return code


def _code(error: BaseException) -> int:
    if isinstance(error, UserError) or _out_of_memory(error):
        return CUSTOMER
    if isinstance(error, PlatformError) or (isinstance(error, OSError) and error.errno in DISK_ERRORS):
        return PLATFORM
    return ALGORITHM


def _out_of_memory(error: BaseException) -> bool:
    """Also numpy's ValueErrors for an array that no address space holds, since settings alone can ask for one."""
    return isinstance(error, MemoryError) or (isinstance(error, ValueError) and str(error).startswith(TOO_BIG))


def _text(error: BaseException) -> str:
    """`message (caused by Class)`, a blank line, `Caused by: cause`, as clients of the original know it."""
    if _out_of_memory(error):
        return f"Out of Memory. Please use a larger instance type or reduce batch size. {error}".rstrip()
    if isinstance(error, UserError | PlatformError | AlgorithmError):
        message = str(error)
    elif isinstance(error, OSError) and error.filename is not None:
        message = f"{error.filename}: {error.strerror}"
    else:
        message = f"{type(error).__name__}: {error}"
    cause = error.__cause__
    return message if cause is None else f"{message} (caused by {type(cause).__name__})\n\nCaused by: {cause}"


def _write(failure: Path, text: str) -> None:
    try:
        failure.parent.mkdir(parents=True, exist_ok=True)
        failure.write_text(text[:LONGEST_FAILURE_CHARACTERS], encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        log.error("The failure file can't be written: %s", error)
