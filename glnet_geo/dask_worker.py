"""What a Dask worker does for a batch: looks whether it can, runs a job, reports."""

from __future__ import annotations

import logging
import os
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from secrets import token_hex
from typing import Any

from glnet_geo.engines import Job
from glnet_geo.errors import GlnetGeoError

_PROBE = ".glnet-geo-probe-"


class UnfitWorkerError(Exception):
    """A worker that lacks what the batch needs was given a job; it did not begin with it."""


class _Call:
    """Unpickles to what a call returns.

    The scheduler unpickles the functions that it is sent: with `pickle.loads` for a function and
    bytes for its argument it needs no more than Python, and a worker's lack of the package is an
    error of the call instead of a job that nobody takes.
    """

    def __init__(self, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self._parts = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._parts


def call_as_bytes(function: Callable[..., object], *arguments: object) -> bytes:
    """A call such that `pickle.loads` makes it and returns what it returns."""
    return pickle.dumps(_Call(function, arguments))


@dataclass(frozen=True, slots=True)
class SharedPath:
    """A path that workers and coordinator must both see.

    Attributes:
        path: A file, or a folder.
        size: Bytes of the file.
        probe: Name of a file in the folder that is there while the batch runs, and holds its own
            name; None for a file.
    """

    path: str
    size: int
    probe: str | None

    def lack(self) -> str | None:
        """What is wrong with it here, if anything."""
        here = Path(self.path)
        try:
            if self.probe is None:
                is_same = here.stat().st_size == self.size
            else:
                is_same = (here / self.probe).read_text() == self.probe
        except OSError:
            is_same = False
        if not is_same:
            return f"does not see {self.path}" if not here.exists() else f"sees another {self.path}"
        if self.probe is not None and not os.access(here, os.W_OK):
            return f"cannot write in {self.path}"
        return None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a worker must have.

    Attributes:
        version: Version of this package.
        paths: Paths that it must see.
    """

    version: str
    paths: tuple[SharedPath, ...]


def package_version() -> str:
    """Version of this package as it is installed."""
    try:
        return version("glnet-geo")
    except PackageNotFoundError:
        return "of no known version"


@contextmanager
def shared_paths(paths: Sequence[Path]) -> Iterator[Needs]:
    """What workers must have to share paths; folders hold a probe as long as this lasts."""
    probes: list[Path] = []
    shared: list[SharedPath] = []
    try:
        for path in (path.absolute() for path in paths):
            if path.is_dir():
                _remove_probes(path)
                probe = path / f"{_PROBE}{token_hex(8)}"
                probes.append(probe)
                probe.write_text(probe.name)
                shared.append(SharedPath(str(path), 0, probe.name))
            else:
                shared.append(SharedPath(str(path), path.stat().st_size, None))
        yield Needs(package_version(), tuple(shared))
    finally:
        for probe in probes:
            probe.unlink(missing_ok=True)


def _remove_probes(folder: Path) -> None:
    """Removes what a batch left that was killed."""
    for probe in folder.glob(f"{_PROBE}*"):
        probe.unlink(missing_ok=True)


def find_lack(needs: Needs) -> str | None:
    """What this process lacks, or None."""
    here = package_version()
    if here != needs.version:
        return f"has glnet-geo {here}, here is {needs.version}"
    return next(filter(None, (path.lack() for path in needs.paths)), None)


@cache
def _check_once(needs: Needs) -> None:
    if lack := find_lack(needs):
        raise UnfitWorkerError(lack)


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker sends of a job.

    Attributes:
        result: What the job returned; None with an error.
        error: What it raised.
        log: What it logged: logger, level, message.
    """

    result: Any
    error: Exception | None
    log: Sequence[tuple[str, int, str]]

    def replay_log(self) -> None:
        """Logs in this process what the job logged in its own."""
        for name, level, message in self.log:
            logging.getLogger(name).log(level, "%s", message)


def run_job(job: Job, needs: Needs | None, level: int) -> bytes:
    """Runs a job in a worker.

    Args:
        job: The job.
        needs: What the worker must have, looked at before its first job.
        level: From which level on it logs.

    Returns:
        Its pickled `Report`: errors that do not pickle are bound to meet here, not on the way.

    Raises:
        UnfitWorkerError: The worker lacks something.
    """
    if needs is not None:
        _check_once(needs)
    with _collected_log(level) as log:
        try:
            return pickle.dumps(Report(job(), None, log))
        except Exception as error:
            return pickle.dumps(Report(None, _portable(error), log))


def _portable(error: Exception) -> Exception:
    """The error such that it can be sent, with the place of a bug."""
    place = traceback.format_exc()
    if not isinstance(error, GlnetGeoError):
        error.add_note(f"In the worker:\n{place}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}\nIn the worker:\n{place}")
    return error


@contextmanager
def _collected_log(level: int) -> Iterator[list[tuple[str, int, str]]]:
    """What this package logs in this thread."""
    lines: list[tuple[str, int, str]] = []
    thread = threading.get_ident()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                lines.append((record.name, record.levelno, record.getMessage()))

    logger, collector = logging.getLogger("glnet_geo"), Collector()
    logger.setLevel(level)
    logger.addHandler(collector)
    try:
        yield lines
    finally:
        logger.removeHandler(collector)
