"""How functions are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compiles a function when it is first called, for all runs to come; it releases the GIL."""
    return _compiled(function)


def inlined(function: Function) -> Function:
    """As `kernel`, for a function that is to become part of those that call it."""
    return _compiled(function, forceinline=True)


def _compiled(function: Function, **options: Any) -> Function:
    compiled: Function
    try:
        compiled = njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written: for this run alone.
        compiled = njit(nogil=True, **options)(function)
    return compiled
