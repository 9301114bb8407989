"""What is known about each polygon: the values of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.arrow_stream import Field
from glnet_geo.class_table import ClassTable
from glnet_geo.ground import Ground
from glnet_geo.lattice import LatticePolygons
from glnet_geo.vector_output import CLASS, CLASS_ID
from glnet_geo.vector_summary import ClassTotal


class PolygonFields:
    """The values of the fields, and their totals.

    Args:
        classes: Names of the classes.
        ground: How large the pixels are.
        is_exact: Whether areas are those of the pixels that were counted; else of the rings.
        has_confidence: Whether the polygons have a mean of measured values.
        texts: More fields by name: what they say of each class, by id.

    Attributes:
        fields: The fields.
        totals: What was written, by class id.
        n_vertices: Vertices of what was written, each ring's first one counted once.
    """

    def __init__(
        self,
        classes: ClassTable,
        ground: Ground,
        is_exact: bool,
        has_confidence: bool,
        texts: Mapping[str, Mapping[int, str]] = MappingProxyType({}),
    ) -> None:
        self._classes, self._ground = classes, ground
        self._is_exact = is_exact
        self._texts = texts
        self.fields = [
            Field(CLASS_ID, "integer"),
            Field(CLASS, "text"),
            *(Field(name, "text") for name in texts),
            Field("area_px" if ground.unit == "px" else "area_m2", "real"),
            Field(f"perimeter_{ground.unit}", "real"),
            *([Field("confidence", "real")] if has_confidence else []),
        ]
        self.totals: dict[int, ClassTotal] = {}
        self.n_vertices = 0

    def columns(self, polygons: LatticePolygons) -> list[npt.NDArray[Any]]:
        """The values for some features, at least one."""
        areas = self._areas(polygons)
        lengths = self._ground.ring_lengths(polygons.x, polygons.y, polygons.rings)
        ids, which = np.unique(polygons.value, return_inverse=True)
        names = np.array([self._classes.of(int(one)).name for one in ids], np.object_)
        self._add(ids, which, areas)
        self.n_vertices += len(polygons.x) - (len(polygons.rings) - 1)
        more = [
            np.array([values.get(int(one), "") for one in ids], np.object_)[which]
            for values in self._texts.values()
        ]
        columns = [polygons.value, names[which], *more, areas, _by_feature(lengths, polygons)]
        if polygons.sums.shape[1]:
            with np.errstate(invalid="ignore"):
                columns.append(polygons.sums[:, 0] / polygons.sums[:, 1])
        return columns

    def _areas(self, polygons: LatticePolygons) -> npt.NDArray[np.float64]:
        if not self._is_exact:
            of_rings = self._ground.ring_areas(polygons.x, polygons.y, polygons.rings)
            return -_by_feature(of_rings, polygons)
        if self._ground.is_uniform:
            # Rounded once, so that it is exactly the pixels times the area of one.
            areas: npt.NDArray[np.float64] = polygons.pixels * self._ground.row_area[0]
            return areas
        return polygons.area

    def _add(
        self,
        ids: npt.NDArray[np.int64],
        which: npt.NDArray[np.intp],
        areas: npt.NDArray[np.float64],
    ) -> None:
        counts, sums = np.bincount(which), np.bincount(which, areas)
        for one, count, area in zip(ids.tolist(), counts.tolist(), sums.tolist(), strict=True):
            before = self.totals.get(one, ClassTotal(self._classes.of(one), 0, 0.0))
            self.totals[one] = ClassTotal(
                before.land_cover, before.polygons + count, before.area + area
            )


def _by_feature(
    of_rings: npt.NDArray[np.float64], polygons: LatticePolygons
) -> npt.NDArray[np.float64]:
    sums: npt.NDArray[np.float64] = np.add.reduceat(of_rings, polygons.first_rings[:-1])
    return sums
