"""Runs the jobs of a batch on Dask: on processes of this machine, or on a cluster that is there."""

from __future__ import annotations

import importlib
import logging
import pickle
from collections.abc import Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from types import ModuleType, TracebackType
from typing import Any, Self
from uuid import uuid4

from glnet_geo.cluster_client import client_of, quiet_dask
from glnet_geo.dask_worker import (
    Needs,
    Report,
    UnfitWorkerError,
    call_as_bytes,
    find_lack,
    run_job,
    shared_paths,
)
from glnet_geo.engines import Job, Outcome
from glnet_geo.errors import BatchError

_log = logging.getLogger(__name__)

_LOOK_EVERY = 2.0  # seconds between two looks at the workers
_ALONE = 60.0  # seconds without workers between two warnings
_START = 120.0  # seconds that local workers may take to start
_RETURNS = 3  # times that a job may be given back by workers that lack something


class DaskEngine:
    """Runs jobs on Dask workers; made by `local` or `connect`.

    Args:
        client: A client of the cluster.
        where: What follows the number of workers in the log.
        needs: What workers must have; None if they have what this process has.
        closing: What to close in the end.
    """

    def __init__(self, client: Any, where: str, needs: Needs | None, closing: ExitStack) -> None:
        self._client = client
        self._where = where
        self._needs = needs
        self._closing = closing
        # Keys of one group: the scheduler keeps them until a worker has room, light ones first.
        self._name = f"glnet-geo-{uuid4().hex}"
        self._numbers = count()
        # The futures are held here too: a job is forgotten with its last one.
        self._under_way: dict[Any, tuple[Job, bool, int, Any]] = {}
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._workers: dict[str, int] = {}
        self._looked = self._accompanied = monotonic()

    @classmethod
    def local(cls, n_workers: int, memory_limit: int | None = None) -> Self:
        """Starts processes on this machine; they end with the engine.

        Args:
            n_workers: How many. They share the cores, and the GPUs if there are several.
            memory_limit: Bytes that each may take; if None, its share of the machine's.

        Raises:
            BatchError: Dask is not installed, or no process starts.
        """
        distributed = _distributed()
        from glnet_geo.local_workers import start_workers  # which imports Dask

        with ExitStack() as stack:
            stack.enter_context(quiet_dask())
            client = stack.enter_context(start_workers(distributed, n_workers, memory_limit))
            engine = cls(client, "local", None, stack)
            engine._wait_for_workers(
                n_workers, _START, "The workers do not start. Take fewer with --workers."
            )
            engine._closing = stack.pop_all()
            return engine

    @classmethod
    def connect(
        cls, address: str, shared: Sequence[Path], timeout: float = 10.0, patience: float = 30.0
    ) -> Self:
        """Connects to the scheduler of a running cluster.

        Args:
            address: Its address, such as tcp://10.0.0.1:8786.
            shared: Files and folders that the workers must see under the same paths. Into folders
                they must be able to write; each holds a small file while the engine is there.
            timeout: Seconds to wait for the scheduler.
            patience: Seconds to wait for a first worker.

        Raises:
            BatchError: Dask is not installed, the scheduler does not answer or has no workers, or
                a worker lacks the package or a path.
        """
        distributed = _distributed()
        with ExitStack() as stack:
            stack.enter_context(quiet_dask())
            client = stack.enter_context(client_of(distributed, address, timeout))
            needs = stack.enter_context(shared_paths(shared))
            engine = cls(client, f"at {address}", needs, stack)
            engine._wait_for_workers(
                1,
                patience,
                f"The Dask scheduler at {address} has had no workers for {patience:.0f} s. "
                "Start some, or leave --scheduler out.",
            )
            lacks = engine._find_lacks(list(engine._workers))
            for worker, lack in lacks.items():
                raise BatchError(
                    f"The worker {worker} {lack} ({len(lacks)} of {len(engine._workers)} workers "
                    "lack something). Workers need the same glnet-geo, and the inputs, the model "
                    "and the output folder under the same paths."
                )
            engine._closing = stack.pop_all()
            return engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        # What Dask leaves behind it complains about when it is collected: nothing here keeps it.
        self._under_way.clear()
        self._ended = SimpleQueue()
        del self._client
        self._closing.close()

    @property
    def slots(self) -> int:
        """Threads of the workers that are there, at least 1."""
        return max(1, sum(self._workers.values()))

    def describe(self) -> str:
        """Where jobs run, for the log."""
        n = len(self._workers)
        noun = "worker" if n == 1 else "workers"
        return f"{n} local {noun}" if self._needs is None else f"{n} {noun} {self._where}"

    def submit(self, job: Job, *, light: bool = False) -> None:
        """Takes a job, see `Engine.submit`."""
        self._submit(job, light, _RETURNS)

    def _submit(self, job: Job, light: bool, returns: int) -> None:
        level = logging.getLogger("glnet_geo").getEffectiveLevel()
        future = self._client.submit(
            pickle.loads,
            call_as_bytes(run_job, job, self._needs, level),
            key=(self._name, next(self._numbers)),
            priority=int(light),
            pure=False,
        )
        self._under_way[future.key] = job, light, returns, future
        future.add_done_callback(self._ended.put)

    def next_outcome(self, timeout: float | None = None) -> Outcome | None:
        """Waits for a job to end, see `Engine.next_outcome`.

        Raises:
            BatchError: The connection to the scheduler is lost.
        """
        end = None if timeout is None else monotonic() + timeout
        while self._under_way:
            self._look_after_workers()
            left = _LOOK_EVERY if end is None else min(_LOOK_EVERY, max(0.0, end - monotonic()))
            try:
                outcome = self._outcome_of(self._ended.get(timeout=left))
            except Empty:
                outcome = None
            if outcome is not None or (end is not None and monotonic() >= end):
                return outcome
        return None

    def _outcome_of(self, future: Any) -> Outcome | None:
        """How a job ended, or None where it was given back because of the worker."""
        job, light, returns, _ = self._under_way.pop(future.key)
        if future.status == "error":
            error = future.exception()
            if self._needs is not None and returns and _is_of_worker(error):
                self._count_workers()
                self._dismiss_unfit(list(self._workers))
                self._submit(job, light, returns - 1)
                return None
            return Outcome(job, None, _readable(error))
        try:
            report: Report = pickle.loads(future.result())
        except (CancelledError, OSError):
            raise self._lost() from None
        report.replay_log()
        return Outcome(job, report.result, report.error)

    def _lost(self) -> BatchError:
        return BatchError(
            f"The connection to the Dask scheduler {self._where} is lost. Run the command again: "
            "it goes on with what is not done."
        )

    def _look_after_workers(self) -> None:
        """Counts the workers now and then, looks at new ones, and warns when there are none."""
        if monotonic() < self._looked + _LOOK_EVERY:
            return
        before = self._workers
        self._count_workers()
        new = [worker for worker in self._workers if worker not in before]
        if self._needs is not None and new:
            self._dismiss_unfit(new)
        if self._workers:
            self._accompanied = monotonic()
        elif monotonic() > self._accompanied + _ALONE:
            self._accompanied = monotonic()
            _log.warning("There have been no Dask workers for a minute; waiting for new ones.")

    def _count_workers(self) -> None:
        try:
            self._workers = dict(self._client.nthreads())
        except (CancelledError, OSError):
            raise self._lost() from None
        self._looked = monotonic()

    def _wait_for_workers(self, n_workers: int, patience: float, message: str) -> None:
        end = monotonic() + patience
        while len(self._workers) < n_workers:
            if monotonic() > end:
                raise BatchError(message)
            sleep(0.1)
            self._count_workers()

    def _find_lacks(self, workers: Sequence[str]) -> dict[str, str]:
        """What workers lack, by address."""
        replies = self._client.run(
            pickle.loads, call_as_bytes(find_lack, self._needs), workers=workers, on_error="return"
        )
        lacks = {worker: _lack_of(reply) for worker, reply in replies.items()}
        return {worker: lack for worker, lack in lacks.items() if lack}

    def _dismiss_unfit(self, workers: Sequence[str]) -> None:
        """Closes workers that came later and lack something: one would fail job after job."""
        lacks = self._find_lacks(workers)
        for worker, lack in lacks.items():
            _log.warning("The worker %s %s; it is closed.", worker, lack)
            self._workers.pop(worker)
        if lacks:
            self._client.retire_workers(list(lacks))


def cores() -> int:
    """Cores that this process may use: its affinity and its container's share count."""
    _distributed()
    return int(importlib.import_module("dask.system").cpu_count())


def _distributed() -> ModuleType:
    """The library, which not everybody installs.

    Raises:
        BatchError: It is not installed.
    """
    try:
        import distributed
    except ImportError:
        raise BatchError(
            "Batches on several processes or machines need Dask: pip install glnet-geo[dask]"
        ) from None
    return distributed


def _lack_of(reply: object) -> str | None:
    """What a worker lacks by its reply to `find_lack`."""
    if isinstance(reply, ModuleNotFoundError) and reply.name == "glnet_geo":
        return "lacks the package glnet-geo"
    if isinstance(reply, (ImportError, AttributeError)):
        return f"has another glnet-geo ({reply})"
    # One that has gone meanwhile lacks nothing.
    return reply if isinstance(reply, str) else None


def _is_of_worker(error: BaseException) -> bool:
    """Whether a job failed before it began, for want of something."""
    return isinstance(error, (UnfitWorkerError, ImportError, AttributeError))


def _readable(error: BaseException) -> BaseException:
    if type(error).__name__ == "KilledWorker":
        times = getattr(error, "allowed_failures", 0) + 1
        return BatchError(
            f"{times} workers in a row died with it, probably for lack of memory. Give workers "
            "more memory, take fewer of them, or choose smaller frames."
        )
    return error
