"""A lock that lets one run at a time work on an output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor


@contextmanager
def run_lock(path: Path) -> Iterator[bool]:
    """Holds a lock until the block ends, or the process, however it does.

    Args:
        path: A file for nothing but the lock; made if need be, and removed with the block. What a
            killed process leaves of it locks nothing.

    Yields:
        Whether nobody else holds the lock. Also where the file system has no locks.

    Raises:
        OSError: The file cannot be made.
    """
    descriptor = _locked(path)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        # While it is locked, or the file that goes could be another run's.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)
        if os.name == "nt":
            # Windows removes no open files, be they ours or another run's.
            with suppress(OSError):
                path.unlink()


def _locked(path: Path) -> int | None:
    """Opens and locks the file at a path; None where somebody else has locked it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_free = lock_descriptor(descriptor, blocking=False)
        except OSError:
            is_free = True  # no locks here
        if is_free and _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)
        if not is_free:
            return None


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one at a path: a run that ended may have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
