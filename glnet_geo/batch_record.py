"""What a batch knows of each of its scenes: what its manifest, its tables and its catalog show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from glnet_geo.grid import Grid
from glnet_geo.legend import NODATA


class State(StrEnum):
    """How far a scene is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What one learns of a scene by opening it.

    Attributes:
        grid: Its grid.
        n_bands: Its bands, masks among them.
        dtype: Type of its pixels, as NumPy names it.
        is_striped: Whether narrow windows cost as much as wide ones.
    """

    grid: Grid
    n_bands: int
    dtype: str
    is_striped: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "grid": self.grid.to_dict(),
            "bands": self.n_bands,
            "dtype": self.dtype,
            "striped": self.is_striped,
        }

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> SceneFacts:
        """Reads the JSON form."""
        grid = Grid.from_dict(table["grid"])
        return cls(grid, table["bands"], table["dtype"], table["striped"])


@dataclass(frozen=True, slots=True)
class SceneRecord:
    """A scene of a batch.

    Attributes:
        name: Path of its outputs in the batch's folder, with `/` and without extension; unique.
        scene: Its path or URL.
        identity: What changes when the scene does: size and time of its file, or the URL.
        state: How far it is.
        settings: Digest of the model and the parameters that it was mapped with.
        facts: What one learns by opening it; None before that.
        outputs: Finished files, relative to the batch's folder with `/`: the class raster, then
            polygons.
        attempts: How often it was tried.
        seconds: Work that went into it; that of frames which tiles share is divided among them.
        error: Why it failed, in one line.
        pixels: Pixels of its map by class id, `NODATA` for those without data.
        areas_m2: Square metres by class id, likewise; None for a map without a place.
        polygons: How many were made of it; None without polygons.
        acquired: When the scene was taken, RFC 3339; None where nothing says so.
    """

    name: str
    scene: str
    identity: str
    state: State = State.PENDING
    settings: str = ""
    facts: SceneFacts | None = None
    outputs: tuple[str, ...] = ()
    attempts: int = 0
    seconds: float = 0.0
    error: str = ""
    pixels: Mapping[int, int] = field(default_factory=dict)
    areas_m2: Mapping[int, float] | None = None
    polygons: int | None = None
    acquired: str | None = None

    @property
    def has_data(self) -> bool:
        """Whether any pixel of its map has a class."""
        return any(count and key != NODATA for key, count in self.pixels.items())

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, without the name."""
        return {
            "scene": self.scene,
            "identity": self.identity,
            "state": str(self.state),
            "settings": self.settings,
            "facts": self.facts and self.facts.to_dict(),
            "outputs": list(self.outputs),
            "attempts": self.attempts,
            "seconds": round(self.seconds, 3),
            "error": self.error,
            "pixels": {str(key): count for key, count in self.pixels.items()},
            "areas_m2": self.areas_m2 and {str(key): a for key, a in self.areas_m2.items()},
            "polygons": self.polygons,
            "acquired": self.acquired,
        }

    @classmethod
    def from_dict(cls, name: str, table: Mapping[str, Any]) -> SceneRecord:
        """Reads the JSON form.

        Raises:
            KeyError: Something is missing; likewise TypeError and ValueError.
        """
        areas = table["areas_m2"]
        return cls(
            name,
            table["scene"],
            table["identity"],
            State(table["state"]),
            table["settings"],
            table["facts"] and SceneFacts.from_dict(table["facts"]),
            tuple(table["outputs"]),
            table["attempts"],
            table["seconds"],
            table["error"],
            {int(key): count for key, count in table["pixels"].items()},
            None if areas is None else {int(key): area for key, area in areas.items()},
            table["polygons"],
            table["acquired"],
        )
