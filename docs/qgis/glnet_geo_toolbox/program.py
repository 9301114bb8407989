"""Runs `glnet-geo` as a process of its own, and passes on what it says."""

from __future__ import annotations

import os
import queue
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence

from qgis.core import QgsProcessingException, QgsProcessingFeedback

_PATIENCE_S = 0.2  # between two looks at whether the run is cancelled
# Those of QGIS name its own Python, GDAL and PROJ, which are not the program's.
_FOREIGN = (
    *("PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE"),
    *("GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA"),
)


def run_program(program: str, words: Sequence[str], feedback: QgsProcessingFeedback) -> None:
    """Runs `glnet-geo`, tells what it says, and ends it when the run is cancelled.

    Args:
        program: Its name or path.
        words: Command, arguments and options.
        feedback: Takes its lines and its progress, and may cancel it.

    Raises:
        QgsProcessingException: There is no such program, or it fails; the text is its own.
    """
    path = shutil.which(os.path.expanduser(program))
    if path is None:
        raise QgsProcessingException(
            f"There is no program {program!r}. Install glnet-geo, and give its path as the "
            "parameter 'glnet-geo program'."
        )
    as_typed = subprocess.list2cmdline if os.name == "nt" else shlex.join
    feedback.pushCommandInfo(as_typed([program, *words]))
    environment = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    process = subprocess.Popen(
        [path, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        encoding="utf-8",
        errors="replace",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    errors = []
    with process:
        for line in _lines(process, feedback):
            if found := re.search(r": (\d+) of (\d+) ", line):
                feedback.setProgress(100 * int(found[1]) / max(int(found[2]), 1))
            if line.startswith("Error: "):
                errors.append(line)
            elif line.startswith("Warning: "):
                feedback.pushWarning(line)
            else:
                feedback.pushInfo(line)
    if process.returncode and not feedback.isCanceled():
        raise QgsProcessingException(
            "\n".join(errors) or f"glnet-geo ended with code {process.returncode}."
        )


def _lines(process: subprocess.Popen[str], feedback: QgsProcessingFeedback) -> Iterator[str]:
    """What a process says, until it ends; it is ended where the run is cancelled."""
    said: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        for line in process.stdout or ():
            said.put(line.rstrip())
        said.put(None)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        if feedback.isCanceled():
            process.kill()
        try:
            line = said.get(timeout=_PATIENCE_S)
        except queue.Empty:
            continue
        if line is None:
            return
        yield line
