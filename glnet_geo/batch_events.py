"""What a batch tells while it runs, and its counts."""

from __future__ import annotations

from collections.abc import Iterable

from glnet_geo.batch_record import SceneRecord, State
from glnet_geo.manifest import Manifest


class BatchEvents:
    """Takes what a batch tells; whoever wants to know something overrides its method."""

    def scanned(self, done: int, total: int) -> None:
        """So many of the scenes have been opened."""

    def begun(self, scenes: int, skipped: int, engine: str) -> None:
        """The work begins: scenes to do, scenes done before, and where it runs."""

    def planned(self, megapixels: float) -> None:
        """So much more is known to be done."""

    def worked(self, megapixels: float, running: Iterable[str]) -> None:
        """So much more is done, or time has passed; and what is under way."""

    def ended(self, record: SceneRecord, done: int, failed: int) -> None:
        """A scene is done or has failed; how many have so far."""


class Tally:
    """Keeps how scenes end, and counts them.

    Args:
        manifest: Where they are recorded.
        events: Told of each.

    Attributes:
        done: Scenes that are done.
        failed: Scenes that have failed.
    """

    def __init__(self, manifest: Manifest, events: BatchEvents) -> None:
        self._manifest = manifest
        self._events = events
        self.done = self.failed = 0

    def end(self, record: SceneRecord) -> None:
        """A scene is done or has failed."""
        self._manifest.record(record)
        self.done += record.state is State.DONE
        self.failed += record.state is State.FAILED
        self._events.ended(record, self.done, self.failed)
