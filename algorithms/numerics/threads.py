"""How many threads a product of matrices gets."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

SMALL = 1 << 28  # multiplications; a few milliseconds on one core


def few_threads(multiplications: int) -> AbstractContextManager[Any]:
    """One thread for products that are small.

    Threads of BLAS wait for each other busily, after every product. Where another process or our own reader holds a
    core, products that take microseconds then take milliseconds: twenty times as long, measured on two cores.
    """
    return _blas().limit(limits=1) if multiplications < SMALL else nullcontext()


def one_thread() -> AbstractContextManager[Any]:
    """One thread for what calls BLAS very often, such as eigenvalues; also in libraries that were loaded just now."""
    limited: AbstractContextManager[Any] = _found().limit(limits=1)
    return limited


@cache
def _blas() -> Any:
    return _found()


def _found() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController().select(user_api="blas")
