"""Classes by zone: figures, and the tables that they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from glnet_geo.class_table import MapClass
from glnet_geo.color_values import color_text
from glnet_geo.grid import Grid
from glnet_geo.ground import Floats
from glnet_geo.table_columns import TableColumn, distinct

_HECTARE = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class ZoneStatistics:
    """How much of each class there is in each of Z zones; the whole raster may be the only one.

    Areas are in hectares, or in pixels where the raster has no place on the ground.

    Attributes:
        raster: The class raster, as given.
        grid: Its grid.
        area_rule: Where areas come from, see `Ground`.
        unit: "ha" or "px".
        zone_file: The file of the zones; None for the whole raster.
        names: What to call each zone, Z.
        attributes: What the file says of the zones.
        has_place: Whether each zone has a polygon at all, Z.
        classes: K classes, by id: those that occur in any zone, or those that were chosen.
        areas: Area of each class in each zone, Z x K.
        mapped: Area of each zone that has a class, chosen or not, Z.
        nodata: Area of each zone where the raster has no data, Z.
        outside: Area of each zone outside the raster, Z.
        output: The table that was written, if any.
        plot: The chart that was written, if any.
        seconds: Time taken.
        peak_bytes: Most memory that this process has held so far; None where the operating
            system does not say.
    """

    raster: str
    grid: Grid
    area_rule: str
    unit: Literal["ha", "px"]
    zone_file: Path | None
    names: tuple[str, ...]
    attributes: tuple[TableColumn, ...]
    has_place: npt.NDArray[np.bool_]
    classes: tuple[MapClass, ...]
    areas: Floats
    mapped: Floats
    nodata: Floats
    outside: Floats
    output: Path | None = None
    plot: Path | None = None
    seconds: float = 0.0
    peak_bytes: int | None = None

    @property
    def zone_areas(self) -> Floats:
        """Area of each zone, Z: mapped, without data, and outside."""
        areas: Floats = self.mapped + self.nodata + self.outside
        return areas

    @property
    def shares(self) -> Floats:
        """Share of each class in what is mapped of each zone, 0-1, Z x K; NaN where nothing is."""
        return _ratio(self.areas, self.mapped[:, None])

    @property
    def mapped_shares(self) -> Floats:
        """Which part of each zone is mapped, 0-1, Z; NaN where it has no place."""
        return _ratio(self.mapped, self.zone_areas)

    @property
    def is_outside(self) -> npt.NDArray[np.bool_]:
        """Which zones lie wholly outside the raster, Z."""
        is_outside: npt.NDArray[np.bool_] = self.has_place & (self.mapped + self.nodata == 0)
        return is_outside

    def wide_table(self) -> list[TableColumn]:
        """A row a zone: its attributes, its own figures, and two columns for each class.

        The attributes keep their names. Where one of the others has the same, whatever the case,
        it becomes `name_2`, `name_3` and so on.
        """
        unit, shares = self.unit, self.shares
        columns = [
            *self.attributes,
            _figures(f"zone_{unit}", self.zone_areas),
            _figures(f"mapped_{unit}", self.mapped),
            _figures(f"nodata_{unit}", self.nodata),
            _figures(f"outside_{unit}", self.outside),
            _figures("mapped_share", self.mapped_shares),
        ]
        for place, one in enumerate(self.classes):
            columns += [
                _figures(f"{one.name}_{unit}", self.areas[:, place]),
                _figures(f"{one.name}_share", shares[:, place]),
            ]
        return distinct(columns)

    def long_table(self) -> list[TableColumn]:
        """A row for each zone and class: the zone's attributes, class, area and share."""
        times = len(self.names)
        return distinct(
            [
                *(one.repeated(len(self.classes)) for one in self.attributes),
                TableColumn("class_id", "int64", [one.id for one in self.classes] * times),
                TableColumn("class", "text", [one.name for one in self.classes] * times),
                _figures(self.unit, self.areas),
                _figures("share", self.shares),
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: the whole table, and how it came about."""
        return {
            "output": _text(self.output),
            "plot": _text(self.plot),
            "raster": self.raster,
            "zones_file": _text(self.zone_file),
            "crs": self.grid.crs_label,
            "area_rule": self.area_rule,
            "unit": self.unit,
            "classes": [
                {"id": one.id, "name": one.name, "color": color_text(_packed(one.rgb))}
                for one in self.classes
            ],
            "zones": self._zones(),
            "seconds": round(self.seconds, 3),
            "peak_bytes": self.peak_bytes,
        }

    def _zones(self) -> list[dict[str, Any]]:
        figures = {
            "area": self.zone_areas,
            "mapped": self.mapped,
            "nodata": self.nodata,
            "outside": self.outside,
            "mapped_share": self.mapped_shares,
        }
        own = {name: _cells(values) for name, values in figures.items()}
        attributes = distinct(self.attributes)
        areas, shares = _cells(self.areas), _cells(self.shares)
        count = len(self.classes)

        def classes(place: int) -> list[dict[str, Any]]:
            here = slice(place * count, (place + 1) * count)
            rows = zip(self.classes, areas[here], shares[here], strict=True)
            return [
                {"id": one.id, "class": one.name, "area": area, "share": share}
                for one, area, share in rows
            ]

        return [
            {
                "name": name,
                "attributes": {one.name: one.values[place] for one in attributes},
                **{key: values[place] for key, values in own.items()},
                "classes": classes(place),
            }
            for place, name in enumerate(self.names)
        ]


def _figures(name: str, values: Floats) -> TableColumn:
    return TableColumn(name, "figure", _cells(values))


def _cells(values: Floats) -> list[float | None]:
    """Figures row by row; none where a zone has no place, or nothing to be a share of."""
    return [None if np.isnan(one) else one for one in values.ravel().tolist()]


def _ratio(parts: Floats, whole: Floats) -> Floats:
    parts, whole = np.broadcast_arrays(parts, whole)
    shares: Floats = np.full(parts.shape, np.nan)
    return np.divide(parts, whole, out=shares, where=whole > 0)


def in_unit(areas: Floats, unit: str) -> Floats:
    """Areas in square metres or pixels, in hectares or pixels."""
    return areas / _HECTARE if unit == "m" else areas


def _packed(rgb: tuple[int, int, int]) -> int:
    red, green, blue = rgb
    return red << 16 | green << 8 | blue


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
