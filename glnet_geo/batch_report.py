"""What is asked of a batch, and what it says in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from glnet_geo.batch_record import SceneRecord, State
from glnet_geo.polygon_options import PolygonOptions


class Work(StrEnum):
    """What is to be done for a scene."""

    NOTHING = "done"
    POLYGONS = "polygons"
    MAP = "map"
    BLOCKED = "blocked"  # a file that no batch has written has the name of its map or polygons


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What a batch does besides mapping scene by scene.

    Attributes:
        pattern: Which files of folders are scenes, see `find_inputs`.
        asset: Which asset of STAC items is, likewise.
        neighbours: Whether adjacent tiles on one grid are mapped as one scene.
        polygons: What to make of each map; None for nothing.
        merge: Whether polygons are made of all maps together, uncut at the edges of tiles.
        report: Whether a page shows all scenes; one that is there is kept up to date anyway.
        retries: How often what failed is tried again.
        fail_fast: Whether the first scene that fails ends all.
        overwrite: Whether scenes that are done are done again, and files replaced that no batch
            has written.
    """

    pattern: str | None = None
    asset: str | None = None
    neighbours: bool = True
    polygons: PolygonOptions | None = None
    merge: bool = False
    report: bool = False
    retries: int = 1
    fail_fast: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a batch has done; owns the counts and the exit code.

    Attributes:
        folder: Where the maps are.
        records: The scenes in order.
        work: What this run was to do for each, by name.
        products: Files that describe all maps or join them.
        seconds: How long this run took.
        engine: Where it ran.
    """

    folder: Path
    records: tuple[SceneRecord, ...]
    work: Mapping[str, Work]
    products: tuple[Path, ...] = ()
    seconds: float = 0.0
    engine: str = ""

    @property
    def to_do(self) -> frozenset[str]:
        """Names of the scenes for which there was something to do."""
        return frozenset(name for name, work in self.work.items() if work is not Work.NOTHING)

    def in_state(self, state: State) -> list[SceneRecord]:
        """The scenes that are so far."""
        return [record for record in self.records if record.state is state]

    @property
    def done_now(self) -> list[SceneRecord]:
        """The scenes that this run has mapped."""
        return [record for record in self.in_state(State.DONE) if record.name in self.to_do]

    @property
    def skipped(self) -> int:
        """How many were done before."""
        return len(self.records) - len(self.to_do)

    @property
    def megapixels(self) -> float:
        """Pixels that this run has mapped, in millions."""
        sizes = (record.facts.grid for record in self.done_now if record.facts)
        return sum(grid.height * grid.width for grid in sizes) / 1e6

    @property
    def exit_code(self) -> int:
        """0 where every scene is done."""
        return 0 if all(record.state is State.DONE for record in self.records) else 1

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "folder": str(self.folder),
            "scenes": len(self.records),
            "done": len(self.done_now),
            "skipped": self.skipped,
            "failed": {one.name: one.error for one in self.in_state(State.FAILED)},
            "pending": [one.name for one in self.in_state(State.PENDING)],
            "products": [str(path) for path in self.products],
            "megapixels": round(self.megapixels, 3),
            "seconds": round(self.seconds, 3),
            "engine": self.engine,
        }
