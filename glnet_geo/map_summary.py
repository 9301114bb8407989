"""What a finished prediction says of itself."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glnet_geo.grid import Grid
from glnet_geo.legend import NODATA, Legend


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """A raster of what is told of every pixel besides its class.

    Attributes:
        path: The file.
        meaning: What its values are.
    """

    path: Path
    meaning: str


@dataclass(frozen=True, slots=True)
class MapSummary:
    """What a finished prediction says of itself.

    Attributes:
        output: The class raster.
        grid: Its grid.
        legend: Its classes.
        pixels: Pixels by class id; `NODATA` for those without data.
        areas_m2: Square metres by class id, likewise; None for a map without a place.
        area_rule: Where these areas come from, see `Ground.rule`.
        model: Name and version of the model.
        seconds: Time taken, reading and writing included.
        peak_bytes: Most memory that this process has held so far; None where the operating
            system does not say.
        layers: What else was written, by name: probabilities, confidence, disagreement.
    """

    output: Path
    grid: Grid
    legend: Legend
    pixels: Mapping[int, int]
    areas_m2: Mapping[int, float] | None
    area_rule: str
    model: str
    seconds: float
    peak_bytes: int | None
    layers: Mapping[str, LayerSummary] = field(default_factory=dict)

    @property
    def megapixels_per_second(self) -> float:
        """Pixels of the scene, data or not, in the time taken."""
        return self.grid.height * self.grid.width / 1e6 / max(self.seconds, 1e-9)

    def share(self, class_id: int) -> float | None:
        """Share of a class in the pixels that have data, 0-1; None without any."""
        with_data = sum(count for key, count in self.pixels.items() if key != NODATA)
        return self.pixels.get(class_id, 0) / with_data if with_data else None

    def area_ha(self, class_id: int) -> float | None:
        """Area of a class in hectares; None without a CRS."""
        return None if self.areas_m2 is None else self.areas_m2.get(class_id, 0.0) / 1e4

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "output": str(self.output),
            "width": self.grid.width,
            "height": self.grid.height,
            "crs": self.grid.crs_label,
            "gsd_m": self.grid.gsd_m,
            "area_rule": self.area_rule,
            "model": self.model,
            "classes": [
                {
                    "id": c.id,
                    "name": c.name,
                    "pixels": self.pixels.get(c.id, 0),
                    "share": self.share(c.id),
                    "area_ha": self.area_ha(c.id),
                }
                for c in self.legend.classes
            ],
            "nodata_pixels": self.pixels.get(NODATA, 0),
            "seconds": round(self.seconds, 3),
            "megapixels_per_second": round(self.megapixels_per_second, 4),
            "peak_bytes": self.peak_bytes,
            "layers": {
                name: {"output": str(layer.path), "values": layer.meaning}
                for name, layer in self.layers.items()
            },
        }


def peak_bytes() -> int | None:
    """Most memory that this process has held so far; None where the system does not say."""
    try:
        # getrusage() starts with the peak of the process that started this one.
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        status = ""
    if found := re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE):
        return int(found[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, others in KiB (getrusage(2)).
    return peak if sys.platform == "darwin" else peak * 1024
