"""What a batch tells while it runs."""

from __future__ import annotations

from collections.abc import Iterable

from glnet_geo.batch_record import SceneRecord


class BatchEvents:
    """Takes what a batch tells; whoever wants to know something overrides its method."""

    def scanned(self, done: int, total: int) -> None:
        """So many of the scenes have been looked at."""

    def begun(self, scenes: int, megapixels: float, skipped: int, engine: str) -> None:
        """The work begins: scenes and megapixels to do, scenes done before, and where it runs."""

    def worked(self, megapixels: float, running: Iterable[str]) -> None:
        """So much more is done, or time has passed; and what is under way."""

    def ended(self, record: SceneRecord, done: int, failed: int) -> None:
        """A scene is done or has failed; how many have so far."""
