"""Jobs whose runs can be counted, in other processes too."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from glnet_geo.errors import RasterError


@dataclass(frozen=True)
class Noting:
    """Notes each run in a file, works for a while and returns twice its number."""

    number: int
    notes: Path
    seconds: float = 0.0

    @property
    def label(self) -> str:
        return f"job {self.number}"

    def prepare(self) -> None:
        self.note("prepared")

    def discard(self) -> None:
        self.note("discarded")

    def note(self, what: str) -> None:
        with open(self.notes, "a") as file:
            file.write(f"{self.number} {what} {os.getpid()} {threading.current_thread().name}\n")

    def __call__(self) -> int:
        self.note("run")
        time.sleep(self.seconds)
        return 2 * self.number


@dataclass(frozen=True)
class Failing(Noting):
    """Fails, as a damaged scene does or as a bug does."""

    error: type[BaseException] = RasterError

    def __call__(self) -> int:
        raise self.error("it is damaged")


@dataclass(frozen=True)
class FailingAhead(Noting):
    """Fails when it is prepared."""

    def prepare(self) -> None:
        raise RasterError("it is damaged")


@dataclass(frozen=True)
class InterruptingAhead(Noting):
    """Sends what Ctrl-C sends, a while after it has begun to be prepared."""

    def prepare(self) -> None:
        time.sleep(self.seconds)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(self.seconds)
        self.note("prepared")


class UnportableError(Exception):
    """An error that pickles but does not unpickle."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("one text")


@dataclass(frozen=True)
class Unportable(Noting):
    def __call__(self) -> int:
        raise UnportableError(1, 2)


@dataclass(frozen=True)
class Unpicklable(Noting):
    """Returns what cannot be sent."""

    def __call__(self):
        return threading.Lock()


@dataclass(frozen=True)
class Logging(Noting):
    """Warns through the package's log."""

    def __call__(self) -> int:
        logging.getLogger("glnet_geo.tests").warning("job %d warns", self.number)
        logging.getLogger("distributed.worker").error("nobody wants to know")
        return 0


@dataclass(frozen=True)
class Deadly(Noting):
    """Kills its process, as the kernel does when memory runs out."""

    def __call__(self) -> int:
        self.note("run")
        os.kill(os.getpid(), 9)
        return 0


@dataclass(frozen=True)
class Looking(Noting):
    """Tells what its process was given."""

    def __call__(self) -> dict[str, object]:
        import torch

        from glnet_geo import raster_output

        return {
            "torch": torch.get_num_threads(),
            "gdal": raster_output.COG["num_threads"],
        }
