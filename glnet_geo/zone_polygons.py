"""Zones of a vector file on the grid of a raster."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS, Transformer
from pyproj.crs import ProjectedCRS
from pyproj.crs.coordinate_operation import LambertCylindricalEqualAreaConversion

from glnet_geo.features import mend, place, to_ground, to_pixels
from glnet_geo.grid import Grid
from glnet_geo.ground import Floats, Ground
from glnet_geo.outlines import Geometries, Outlines

LEAST_PIXELS = 1e-6
"""Of a zone on or off the raster: what is less counts as nothing."""

_STEPS = 1000  # chords along the extent of what lies outside: the error of its area is < 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class ZonePolygons:
    """The polygons of Z zones.

    Attributes:
        polygons: Valid ones; those of a zone do not overlap each other. x is the column, y minus
            the row.
        zones: For each the index of its zone, ascending.
        outside: Area of each zone outside the raster, in the unit of the ground, Z.
    """

    polygons: Geometries
    zones: npt.NDArray[np.intp]
    outside: Floats

    @classmethod
    def of(cls, outlines: Outlines, count: int, grid: Grid, ground: Ground) -> ZonePolygons:
        """Places zones on a grid.

        Args:
            outlines: Their polygons; a row is a zone.
            count: How many zones there are, those without polygons included.
            grid: The grid.
            ground: How large its pixels are.

        Raises:
            FeaturesError: Only one of file and grid has a CRS, or the one cannot be transformed
                into the other.
        """
        placed = to_pixels(place(outlines, grid), grid)
        rows, first = np.unique(outlines.rows, return_inverse=True)
        # Mended as a whole: parts of a zone that overlap each other count once.
        whole = shapely.multipolygons(placed, indices=first)
        polygons, which = mend(whole)
        zones = rows[which]
        raster = shapely.box(0, 0, grid.width, grid.height)
        shapely.prepare(raster)
        is_beyond = ~shapely.covers(raster, polygons)
        beyond = shapely.difference(polygons[is_beyond], raster)
        areas = np.bincount(zones[is_beyond], _areas(beyond, grid, ground), count)
        # Less is rounding along a border that zone and raster share.
        outside = np.where(areas < LEAST_PIXELS * ground.mean_area, 0.0, areas)
        return cls(shapely.transform(polygons, _upwards), zones, outside)


def _upwards(coordinates: Floats) -> Floats:
    return coordinates * (1, -1)


def _areas(polygons: Geometries, grid: Grid, ground: Ground) -> Floats:
    """Areas of polygons in pixels of a grid that lie outside of it."""
    is_curved = ground.metric.shape[1] > 1
    if not is_curved or not polygons.size:
        areas: Floats = shapely.area(polygons) * ground.row_area[0]
        return areas
    return _curved_areas(polygons, grid)


def _curved_areas(polygons: Geometries, grid: Grid) -> Floats:
    """Square metres on the ellipsoid, as `georeference` has them, where there are no rows.

    The cylindrical equal-area projection stretches the latitudes alone, so it serves the whole
    globe, and longitudes beyond 180 degrees do not jump.
    """
    crs = CRS(grid.crs)
    equal = ProjectedCRS(LambertCylindricalEqualAreaConversion(), geodetic_crs=crs.geodetic_crs)
    transformer = Transformer.from_crs(crs, equal, always_xy=True)
    pole = math.inf
    if crs.is_geographic:
        pole = math.pi / 2 / crs.axis_info[0].unit_conversion_factor
    scale = transformer.transform(1.0, 0.0)[0]

    def to_equal(coordinates: Floats) -> Floats:
        latitudes = np.clip(coordinates[:, 1], -pole, pole)
        _, y = transformer.transform(np.zeros_like(latitudes), latitudes)
        return np.column_stack([coordinates[:, 0] * scale, y])

    there = to_ground(polygons, grid)
    left, bottom, right, top = shapely.total_bounds(there)
    dense = shapely.segmentize(there, max(right - left, top - bottom) / _STEPS)
    areas: Floats = shapely.area(shapely.transform(dense, to_equal))
    return areas
