"""Errors of requests, and the one table from an error's class to the status of its reply."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from recordio.content_types import UnsupportedContentType
from recordio.errors import AlgorithmError, PlatformError, UserError

log = logging.getLogger(__name__)


class NotAcceptable(UserError):
    """The algorithm writes none of the types that the caller accepts."""


class TooLarge(UserError):
    """More bytes or records than this server takes in one request."""


class TooSlow(UserError):
    """The body did not arrive in time."""


class NotFound(UserError):
    """No model of that name."""


class AlreadyLoaded(UserError):
    """A model of that name is there, or on its way."""


class NoRoom(PlatformError):
    """Memory does not suffice; the platform unloads other models and tries again."""


class Busy(PlatformError):
    """All places are taken; the caller should try again."""


class NotLoaded(PlatformError):
    """The model can't be loaded; the text says why."""


# The first class that fits decides, so a class stands before those it derives from.
STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (NotFound, 404),
    (NotAcceptable, 406),
    (TooSlow, 408),
    (AlreadyLoaded, 409),
    (TooLarge, 413),
    (UnsupportedContentType, 415),
    (UserError, 400),
    (Busy, 503),
    (NoRoom, 507),
    (MemoryError, 507),
    (NotLoaded, 500),
    (PlatformError, 500),
    (AlgorithmError, 500),
)
INTERNAL = "Internal Server Error"


@dataclass(frozen=True)
class Refusal:
    """What a caller is told: a status and one sentence."""

    status: int
    sentence: str


def refusal(error: Exception) -> Refusal:
    """Translate an error for the caller, who gets no stack trace; ours to mend goes to the log with one."""
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    if isinstance(error, MemoryError):
        return Refusal(status, "The request needs more memory than this container has: send fewer records at once.")
    if isinstance(error, NotLoaded) or status != 500:
        return Refusal(status, str(error))
    log.error("%s", INTERNAL, exc_info=error)
    return Refusal(status, INTERNAL)
