"""Which part of each cell of a grid polygons cover, as exactextract tells it.

https://isciences.github.io/exactextract/ is the library; its version 0.3 has two flaws that are met
here. Polygons have y upwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from exactextract import exact_extract
from exactextract.feature import Feature, FeatureSource
from exactextract.raster import NumPyRasterSource

from glnet_geo.ground import Floats
from glnet_geo.outlines import Geometries

_LATTICE = 2.0**-28  # pixels
_ROUNDING = 1e-7  # of a cell, for each: exactextract's parts are single-precision floats


class _Polygon(Feature):  # type: ignore[misc]
    """A polygon as exactextract takes it, without attributes."""

    def __init__(self, wkb: bytes) -> None:
        Feature.__init__(self)
        self._wkb = wkb

    def geometry(self) -> bytes:
        return self._wkb

    def fields(self) -> list[str]:
        return []


class _Polygons(FeatureSource):  # type: ignore[misc]
    def __init__(self, polygons: Geometries) -> None:
        super().__init__()
        self._blobs = shapely.to_wkb(polygons)

    def __iter__(self) -> Iterator[_Polygon]:
        return map(_Polygon, self._blobs)

    def count(self) -> int:
        return len(self._blobs)

    def srs_wkt(self) -> None:
        return None


def covered_cells(
    polygons: Geometries, cells: npt.NDArray[Any], bounds: tuple[float, float, float, float]
) -> Iterator[tuple[npt.NDArray[np.int64], Floats]]:
    """For each polygon the cells of a grid that it covers, in rows, and which part of each.

    Args:
        polygons: Polygons on the grid.
        cells: An array of the grid's shape.
        bounds: Left, bottom, right and top of the grid, whose cells are squares.
    """
    left, _, right, top = bounds
    side = (right - left) / cells.shape[1]
    areas = shapely.area(polygons) / side**2
    grid = NumPyRasterSource(cells, *bounds)
    results = exact_extract(grid, _Polygons(polygons), ["cell_id", "coverage"])
    for polygon, area, result in zip(polygons, areas, results, strict=True):
        found = result["properties"]
        places, shares = found["cell_id"], found["coverage"]
        # exactextract 0.3 leaves out cells that lie inside and that the border meets in two of
        # their corners alone.
        if abs(shares.sum() - area) > _ROUNDING * (len(shares) + 1):
            corner = left, top
            places, shares = _covered_by_parts(polygon, cells.shape[1], corner, side)
        yield places, shares


def _covered_by_parts(
    polygon: shapely.Polygon, columns: int, corner: tuple[float, float], side: float
) -> tuple[npt.NDArray[np.int64], Floats]:
    """As `covered_cells`, cell by cell, which takes some hundred times as long."""
    left, bottom, right, top = shapely.bounds(polygon)
    across = np.arange(np.floor((left - corner[0]) / side), np.ceil((right - corner[0]) / side))
    down = np.arange(np.floor((corner[1] - top) / side), np.ceil((corner[1] - bottom) / side))
    row, column = (one.ravel() for one in np.meshgrid(down, across, indexing="ij"))
    x, y = corner[0] + column * side, corner[1] - row * side
    parts = shapely.intersection(polygon, shapely.box(x, y - side, x + side, y))
    shares: Floats = shapely.area(parts) / side**2
    is_covered = shares > 0
    return (row * columns + column).astype(np.int64)[is_covered], shares[is_covered]


def cut_exactly(polygons: Geometries, boxes: Any) -> Geometries:
    """Polygons cut by boxes, on a lattice.

    Differences that float64 has hardly room for, such as 1e-20 pixels from a border, and spikes
    without an area crash exactextract 0.3; on the lattice its arithmetic is exact.
    """
    with np.errstate(all="ignore"):  # GEOS tries again where numbers are too small
        cut: Geometries = shapely.intersection(polygons, boxes, grid_size=_LATTICE)
    return cut
