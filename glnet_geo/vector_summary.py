"""What a finished vectorization says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glnet_geo.class_table import MapClass
from glnet_geo.grid import Grid


@dataclass(frozen=True, slots=True)
class ClassTotal:
    """What was written of one class.

    Attributes:
        land_cover: The class.
        polygons: How many features.
        area: Their area, in square metres or pixels.
    """

    land_cover: MapClass
    polygons: int
    area: float


@dataclass(frozen=True, slots=True)
class VectorSummary:
    """What a finished vectorization says of itself.

    Attributes:
        output: The vector file.
        layers: Its layers that were written.
        grid: The raster's grid.
        totals: What was written, by class id.
        area_rule: How areas were measured.
        unit: "m" where areas are in square metres, "px" where they are in pixels.
        vertices: Vertices, each ring's first one counted once.
        seconds: Time taken, reading and writing included.
        peak_bytes: Most memory that this process has held so far; None where the operating
            system does not say.
    """

    output: Path
    layers: tuple[str, ...]
    grid: Grid
    totals: tuple[ClassTotal, ...]
    area_rule: str
    unit: str
    vertices: int
    seconds: float
    peak_bytes: int | None

    @property
    def polygons(self) -> int:
        """Features in all."""
        return sum(one.polygons for one in self.totals)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        area = "area_px" if self.unit == "px" else "area_m2"
        return {
            "output": str(self.output),
            "layers": list(self.layers),
            "crs": self.grid.crs_label,
            "polygons": self.polygons,
            "vertices": self.vertices,
            "area_rule": self.area_rule,
            "classes": [
                {
                    "id": one.land_cover.id,
                    "name": one.land_cover.name,
                    "polygons": one.polygons,
                    area: one.area,
                }
                for one in self.totals
            ],
            "seconds": round(self.seconds, 3),
            "peak_bytes": self.peak_bytes,
        }
