"""What a comparison of two maps found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glnet_geo.change_legend import UNCHANGED, ChangeLegend, Transition
from glnet_geo.change_matrix import ChangeMatrix
from glnet_geo.class_table import MapClass
from glnet_geo.grid import Grid
from glnet_geo.remote import ScenePath, without_secrets
from glnet_geo.vector_summary import VectorSummary

HECTARE = 1e4  # square metres


@dataclass(frozen=True, slots=True, eq=False)
class ChangeSummary:
    """What a comparison of two maps found.

    Attributes:
        old: The old map.
        new: The new map.
        output: The map of changes; its table and picture lie beside it.
        grid: Its grid, that of the old map.
        classes: The classes of the matrices, K; those that either map has where both have data.
        legend: The transitions that the map of changes has.
        mapped: From what to what, as the maps say.
        kept: The same where what is suppressed counts as what it was.
        suppressed: What each rule suppressed that was asked for: "confidence", "tolerance",
            "min_area". Each change counts under the first rule that did.
        rules: These rules as they were given.
        not_compared: Pixels of the grid where one of the maps has no data.
        area_rule: How areas were measured.
        unit: "m" where areas are in square metres, "px" where they are in pixels.
        is_aligned: Whether the new map was brought onto the old one's grid.
        notes: What to know beside the figures.
        polygons: What was made of the changes, if anything.
        seconds: Time taken, reading and writing included.
        peak_bytes: Most memory that this process has held so far; None where the operating
            system does not say.
    """

    old: ScenePath
    new: ScenePath
    output: Path
    grid: Grid
    classes: tuple[MapClass, ...]
    legend: ChangeLegend
    mapped: ChangeMatrix
    kept: ChangeMatrix
    suppressed: Mapping[str, ChangeMatrix]
    rules: Mapping[str, str]
    not_compared: int
    area_rule: str
    unit: str
    is_aligned: bool
    notes: tuple[str, ...]
    polygons: VectorSummary | None
    seconds: float
    peak_bytes: int | None

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """The map of changes, the table and the picture."""
        return change_files(self.output)

    @property
    def pixels(self) -> int:
        """Pixels that are compared."""
        return int(self.mapped.pixels[-1, -1])

    @property
    def area(self) -> float:
        """Their area, in the unit."""
        return float(self.mapped.areas[-1, -1])

    def extent_of(self, transition: Transition) -> tuple[int, float]:
        """Pixels and area, in the unit, of a transition in the map of changes."""
        place = self.classes.index(transition.old), self.classes.index(transition.new)
        return int(self.kept.pixels[place]), float(self.kept.areas[place])

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; areas in hectares, which rasters without a place do not have."""
        hectare = None if self.unit == "px" else HECTARE
        changed, changed_area = self.kept.changed
        return {
            "old": without_secrets(str(self.old)),
            "new": without_secrets(str(self.new)),
            "output": str(self.output),
            "table": str(self.files[1]),
            "picture": str(self.files[2]),
            "width": self.grid.width,
            "height": self.grid.height,
            "crs": self.grid.crs_label,
            "aligned": self.is_aligned,
            "area_rule": self.area_rule,
            "rules": dict(self.rules),
            "pixels": self.pixels,
            "area_ha": None if hectare is None else self.area / hectare,
            "not_compared_pixels": self.not_compared,
            "changed_pixels": changed,
            "changed_area_ha": None if hectare is None else changed_area / hectare,
            "classes": [{"id": one.id, "name": one.name} for one in self.classes],
            "transitions": [self._transition_dict(one, hectare) for one in self.legend.transitions],
            "unchanged_id": UNCHANGED.id,
            "nodata": self.legend.nodata,
            "matrix": {"rows": "old", "columns": "new", **self.kept.to_dict(hectare)},
            "matrix_as_mapped": self.mapped.to_dict(hectare),
            "suppressed": {rule: one.to_dict(hectare) for rule, one in self.suppressed.items()},
            "notes": list(self.notes),
            "polygons": None if self.polygons is None else self.polygons.to_dict(),
            "seconds": round(self.seconds, 3),
            "peak_bytes": self.peak_bytes,
        }

    def _transition_dict(self, one: Transition, hectare: float | None) -> dict[str, Any]:
        pixels, area = self.extent_of(one)
        return {
            "id": one.id,
            "name": one.name,
            "old": one.old.name,
            "new": one.new.name,
            "color": "#{:02x}{:02x}{:02x}".format(*one.rgb),
            "pixels": pixels,
            "area_ha": None if hectare is None else area / hectare,
        }


def change_files(output: Path) -> tuple[Path, Path, Path]:
    """The map of changes, and its table and picture beside it."""
    return output, output.with_suffix(".csv"), output.with_suffix(".png")
