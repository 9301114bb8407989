"""Worker processes on this machine, which end when the batch does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing import active_children, resource_tracker
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from types import ModuleType
from typing import Any

from dask import config
from dask.system import cpu_count

from glnet_geo.devices import count_gpus

_SILENT = 60  # above logging.CRITICAL
_START = 10.0  # seconds that workers may take to start before they are ended all the same
_DEATHS = 2  # of workers with one job, after which it is given up at the next
_CONFIG = {
    "distributed.scheduler.allowed-failures": _DEATHS,
    # A job's data are in the job: a worker has no use for a second one that waits.
    "distributed.scheduler.worker-saturation": 1.0,
    # What fills a worker's memory is not Dask's to spill, and a paused worker would never go on.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
}
_THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Torch heeds the first ones when it is imported; the writer of class rasters does, too."""


@contextmanager
def start_workers(
    distributed: ModuleType, n_workers: int, memory_limit: int | None
) -> Iterator[Any]:
    """Starts processes of one thread each on the loopback device; gives a client of theirs.

    Args:
        distributed: The library.
        n_workers: How many.
        memory_limit: Bytes that each may take; if None, its share of the machine's.
    """
    threads = str(max(1, cpu_count() // n_workers))
    if memory_limit is None:
        memory_limit = distributed.system.MEMORY_LIMIT // n_workers
    with ExitStack() as stack:
        scratch = stack.enter_context(
            TemporaryDirectory(prefix="glnet-geo-", ignore_cleanup_errors=True)
        )
        stack.enter_context(config.set({**_CONFIG, "temporary-directory": scratch}))
        stack.enter_context(_environment(dict.fromkeys(_THREAD_LIMITS, threads)))
        stack.enter_context(_hidden_script())
        with _deaf_to_interrupts():
            cluster = distributed.LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                host="127.0.0.1",
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                memory_limit=memory_limit,
                local_directory=scratch,
                silence_logs=_SILENT,
            )
            stack.callback(_stop, cluster)
            client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        n_gpus, visible = count_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")
        for k in range(n_workers):
            options = {**cluster.new_spec["options"], "env": gpu_environment(k, n_gpus, visible)}
            cluster.worker_spec[k] = {**cluster.new_spec, "options": options}
        cluster.scale(n_workers)
        yield client


def gpu_environment(worker: int, n_gpus: int, visible: str | None) -> dict[str, str]:
    """What a worker must find in its environment to see its own GPU alone.

    Args:
        worker: Its number.
        n_gpus: GPUs that are to be divided.
        visible: CUDA_VISIBLE_DEVICES here.
    """
    if n_gpus < 2:
        return {}
    devices = visible.split(",") if visible else [str(k) for k in range(n_gpus)]
    return {"CUDA_VISIBLE_DEVICES": devices[worker % n_gpus].strip()}


def _stop(cluster: Any) -> None:
    """Ends the workers, whatever they are at: a job is a thing that can be run again."""
    # Dask waits forever for one that is killed while it starts.
    patience = monotonic() + _START
    while len(cluster.workers) < len(cluster.worker_spec) and monotonic() < patience:
        sleep(0.05)
    for process in active_children():
        if "Dask Worker" in process.name:
            process.terminate()
    cluster.close(timeout=10)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that children inherit; Dask would put its own there to stay."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _hidden_script() -> Iterator[None]:
    """Keeps children from running the user's script once more, which may have no main guard."""
    main: dict[str, Any] = sys.modules["__main__"].__dict__
    names = {"__file__", "__spec__"} & main.keys()
    before = {name: main[name] for name in names}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(before)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started here, and what that starts, does not hear Ctrl-C: this thread deals with it.

    Threads and processes inherit the signals that are blocked.
    """
    if sys.platform == "win32":
        yield
        return
    # When it is started, it unblocks them.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
