"""A client of a Dask cluster that is there, and Dask's own messages kept away."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from glnet_geo.errors import BatchError

_log = logging.getLogger(__name__)

_LOGGERS = (
    *("distributed", "distributed.client", "distributed.gc"),
    *("tornado", "tornado.application", "asyncio"),
)
"""Those that Dask gives levels of their own."""


@contextmanager
def quiet_dask() -> Iterator[None]:
    """Keeps Dask's own messages from the user: what matters of them comes as an error."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        # A loop that has ended leaves futures that nobody awaits; asyncio logs their errors, such
        # as a deadline that passed at that moment, when they are collected.
        gc.collect()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def client_of(distributed: ModuleType, address: str, timeout: float) -> Iterator[Any]:
    """A client of a cluster that is there."""
    problem = f"There is no Dask scheduler at {address!r}"
    try:
        # A client that finds none leaves threads behind and complains when it is collected.
        asyncio.run(_knock(distributed, address, timeout))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            client = distributed.Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise BatchError(f"{problem}: {reason}. Give one such as tcp://host:8786.") from None
    with client:
        for warning in warned:
            _log.warning("%s", " ".join(str(warning.message).split()))
        yield client


async def _knock(distributed: ModuleType, address: str, timeout: float) -> None:
    options = distributed.Security().get_connection_args("client")
    # Dask itself waits for ever where somebody takes the call and says nothing.
    try:
        connecting = distributed.comm.connect(address, timeout=timeout, **options)
        comm = await asyncio.wait_for(connecting, timeout + 1)
    except TimeoutError as error:
        raise OSError(str(error) or f"no answer within {timeout:g} s") from None
    await comm.close()
