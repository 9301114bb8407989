"""Tests; where pytest-xdist runs them in several processes, these divide the cores."""

import os
from pathlib import Path

_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

if _WORKERS > 1:
    # Before torch and numba are imported, and for the processes that tests start too.
    _CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (_CORES or 1) // _WORKERS)))
    # Threads that spin while they wait take the core from another worker.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # numba's index of what it has compiled knows no lock: two processes that add to it at the same
    # time may get each other's code.
    _CACHE = Path(__file__).parent.parent / "build" / "numba"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_CACHE / os.environ["PYTEST_XDIST_WORKER"]))
