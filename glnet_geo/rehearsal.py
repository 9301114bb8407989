"""Some frames of a scene on trial, in a process of its own: what the whole run will take.

What a prediction needs depends on the machine, its libraries and the scene; so it is measured, by
the code of the real run. The process is new, as the real one will be, so that its start and its
peak are those of the real one.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from glnet_geo.buffers import Buffers
from glnet_geo.errors import GlnetGeoError
from glnet_geo.map_options import MapOptions
from glnet_geo.remote import ScenePath
from glnet_geo.trial import Trial, run_trial

_EXCEEDED = 3  # exit code
_WATCH_S = 0.05
_OF_AVAILABLE = 0.9  # of the machine's free memory that a trial may take


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A trial, and what its process took beside.

    Attributes:
        trial: What was measured.
        start_seconds: From the start of the process to the beginning of the work, and its end.
    """

    trial: Trial
    start_seconds: float


def rehearse(scene: ScenePath, options: MapOptions, buffers: Buffers, seconds: float) -> Rehearsal:
    """Tries some frames of a scene in a new process.

    Nothing is written but in a temporary folder, which goes.

    Args:
        scene: The scene.
        options: How it is mapped.
        buffers: What may be held in memory.
        seconds: How long frames are tried; two of them at least.

    Raises:
        GlnetGeoError: Something stands in the way of the real run too, or this machine has not the
            memory for a single frame.
    """
    with tempfile.TemporaryDirectory(prefix="glnet-geo-") as name:
        folder = Path(name)
        request = (scene, options, buffers, folder, seconds)
        command = [sys.executable, "-c", f"from {__name__} import main; main()", str(folder)]
        (folder / "request").write_bytes(pickle.dumps(request))
        started = time.monotonic()
        child = subprocess.run(command, capture_output=True, check=False)
        elapsed = time.monotonic() - started
        result = folder / "result"
        if child.returncode == 0 and result.exists():
            trial, inside = pickle.loads(result.read_bytes())
            if isinstance(trial, GlnetGeoError):
                raise trial
            return Rehearsal(trial, max(elapsed - inside, 0.0))
    if child.returncode in (_EXCEEDED, -9):
        raise GlnetGeoError(
            "This machine has not enough free memory to try a single frame of the scene. Choose "
            "smaller frames (--frame), or a lighter model."
        )
    raise RuntimeError(f"a trial failed:\n{child.stderr.decode(errors='replace')}")


def main() -> None:
    """What the process does; its argument is the folder that holds the request."""
    started = time.monotonic()
    folder = Path(sys.argv[1])
    scene, options, buffers, work, seconds = pickle.loads((folder / "request").read_bytes())
    with _watched():
        try:
            found: Trial | GlnetGeoError = run_trial(scene, options, buffers, work, seconds)
        except GlnetGeoError as error:
            found = error
    inside = time.monotonic() - started
    (folder / "result").write_bytes(pickle.dumps((found, inside)))


@contextmanager
def _watched() -> Iterator[None]:
    """Ends the process before it takes all memory of the machine, where that can be known."""
    limit, is_over = _available(), Event()
    if limit is None:
        yield
        return

    def watch(most: float) -> None:
        while not is_over.wait(_WATCH_S):
            if (_resident() or 0) > most:
                os._exit(_EXCEEDED)

    Thread(target=watch, args=(_OF_AVAILABLE * limit,), daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def _available() -> int | None:
    """Bytes that Linux could hand out."""
    return _kilobytes("/proc/meminfo", "MemAvailable")


def _resident() -> int | None:
    return _kilobytes("/proc/self/status", "VmRSS")


def _kilobytes(path: str, name: str) -> int | None:
    try:
        text = Path(path).read_text("ascii", "replace")
    except OSError:
        return None
    found = re.search(rf"^{name}:\s*(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None
