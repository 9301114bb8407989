"""What runs the jobs of a batch: the protocol of an engine, and the one that is this process."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore
from types import TracebackType
from typing import Any, Protocol, Self

_LIGHT_WAITING = 3  # light jobs that may be under way: each may hold the pixels of a tile


class Job(Protocol):
    """A piece of work; small, for it is pickled: paths, not handles.

    A worker that dies has its job run again elsewhere, so a job can be run twice.
    """

    @property
    def label(self) -> str:
        """What it is, for people."""

    def prepare(self) -> None:
        """Reads ahead what the call needs, or nothing.

        Called at most once, before the call, perhaps in another thread; never in a worker.
        """

    def discard(self) -> None:
        """Lets go of what was prepared, where the call does not come."""

    def __call__(self) -> Any:
        """Does the work, prepared or not."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """How a job ended.

    Attributes:
        job: The job.
        result: What it returned; None with an error.
        error: What it raised.
    """

    job: Job
    result: Any
    error: BaseException | None


class Engine(Protocol):
    """Runs jobs. A context manager, used by one thread; what is under way at its end is dropped."""

    @property
    def slots(self) -> int:
        """Jobs that run at a time; worth keeping busy are two or three times as many."""

    def submit(self, job: Job, *, light: bool = False) -> None:
        """Takes a job.

        Args:
            job: The job.
            light: Whether it is cheap follow-up work, such as writing a tile's file: it goes
                before other jobs.
        """

    def next_outcome(self, timeout: float | None = None) -> Outcome | None:
        """Waits for a job to end, for so many seconds.

        Returns:
            How a job ended, each once; None if none did in time, or none is under way.
        """

    def describe(self) -> str:
        """Where jobs run, for the log."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


class InProcessEngine:
    """Runs heavy jobs in the thread that waits for outcomes, so that Ctrl-C reaches them.

    While one runs, a thread prepares the next one, and another runs the light jobs. A caller that
    submits light jobs faster than they run waits in `submit`.
    """

    slots = 1

    def __init__(self) -> None:
        self._heavy: deque[Job] = deque()
        self._running: Job | None = None
        self._prepared: tuple[Job, Future[None]] | None = None
        self._ahead = ThreadPoolExecutor(1, "read ahead")
        self._beside = ThreadPoolExecutor(1, "light jobs")
        self._room = BoundedSemaphore(_LIGHT_WAITING)
        self._light: SimpleQueue[Outcome] = SimpleQueue()
        self._n_light = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        for threads in (self._ahead, self._beside):
            threads.shutdown(wait=False, cancel_futures=True)
        # What they are at cannot be stopped; it is one job's reading or writing.
        for threads in (self._ahead, self._beside):
            threads.shutdown()
        # Ctrl-C may have come while a job waited for what is read ahead for it.
        ahead = None if self._prepared is None else self._prepared[0]
        for job in (self._running, ahead):
            if job is not None:
                job.discard()

    def describe(self) -> str:
        """Where jobs run, for the log."""
        return "in this process"

    def submit(self, job: Job, *, light: bool = False) -> None:
        """Takes a job, see `Engine.submit`."""
        if not light:
            self._heavy.append(job)
            return
        self._room.acquire()
        self._n_light += 1
        self._beside.submit(self._run_light, job)

    def next_outcome(self, timeout: float | None = None) -> Outcome | None:
        """Waits for a job to end, see `Engine.next_outcome`; heavy jobs take their time here."""
        try:
            if self._n_light and (self._light.qsize() or not self._heavy):
                outcome = self._light.get(timeout=timeout)
                self._n_light -= 1
                return outcome
        except Empty:
            return None
        return self._run_heavy(self._heavy.popleft()) if self._heavy else None

    def _run_light(self, job: Job) -> None:
        try:
            outcome = Outcome(job, job(), None)
        except BaseException as error:
            # Nobody looks at this thread: whatever it is, the caller is told.
            outcome = Outcome(job, None, error)
        self._light.put(outcome)
        self._room.release()

    def _run_heavy(self, job: Job) -> Outcome:
        prepared, self._prepared, self._running = self._prepared, None, job
        try:
            if prepared is not None and prepared[0] is job:
                prepared[1].result()
            if self._heavy:
                following = self._heavy[0]
                self._prepared = following, self._ahead.submit(following.prepare)
            outcome = Outcome(job, job(), None)
        except Exception as error:
            outcome = Outcome(job, None, error)
        self._running = None
        return outcome
