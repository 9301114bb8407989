"""Polygons of vector files on the grid of a scene: the area of interest that it is confined to.

Polygons are kept in pixels of the scene's grid, where a window is an upright box however the grid
lies on the ground.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from geopandas import GeoSeries
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.features import geometry_mask, rasterize

from glnet_geo.errors import FeaturesError
from glnet_geo.grid import Grid, Window
from glnet_geo.opening import reason_of
from glnet_geo.outlines import Geometries, polygons_in
from glnet_geo.outlines import Outlines as Outlines  # who places outlines looks for them here
from glnet_geo.outlines import read_outlines as read_outlines

Mask = npt.NDArray[np.bool_]
"""H x W, True where a pixel's centre lies inside."""

# An edge along a parallel, 10 degrees long, strays by 2 cm from the chords of its 1/1000ths in UTM.
_STEPS = 1000
_CHORD_M = 1000  # the longest edge near a scene: it strays by 2 cm at 45 degrees
_RADIUS_M = 6.4e6
_MARGIN = 0.25  # pixels: more than rounding, less than from a pixel's centre to its border


@dataclass(frozen=True, slots=True, eq=False)
class GridPolygons:
    """Polygons on a grid.

    Attributes:
        tree: Index of valid polygons, in pixels of the grid: x is the column and y the row, both
            counted from the upper left corner of the first pixel.
        sources: For each of them the index of the polygon that it was made of, ascending.
    """

    tree: shapely.STRtree
    sources: npt.NDArray[np.intp]

    @classmethod
    def of(cls, polygons: Geometries, grid: Grid) -> GridPolygons:
        """Takes polygons in the grid's CRS; invalid ones are mended."""
        valid, sources = mend(to_pixels(polygons, grid))
        return cls(shapely.STRtree(valid), sources)

    def near(self, window: Window) -> npt.NDArray[np.intp]:
        """Sources of the polygons that come near the centre of any pixel of a window.

        Cheap, and complete; some may have no pixel's centre inside.
        """
        near: npt.NDArray[np.intp] = self.tree.query(_box(window), predicate="intersects")
        return self.sources[near]

    def mask(self, window: Window) -> Mask:
        """Which pixels of a window have their centre inside a polygon, H x W."""
        shape = (window.height, window.width)
        pieces, _ = self._cut(window)
        if not pieces.size:
            return np.zeros(shape, np.bool_)
        corner = Grid(*shape).crop(window).transform
        inside: Mask = geometry_mask(pieces, shape, corner, invert=True)
        return inside

    def burn(self, window: Window, values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """The values of the polygons in which the pixels' centres lie, H x W.

        Args:
            window: A window of the grid.
            values: A value for each source, not 0. Later sources win over earlier ones.

        Returns:
            0 outside of all polygons.
        """
        pieces, sources = self._cut(window)
        return _burnt(pieces, values[sources], window)

    def burn_both(
        self, window: Window, values: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """As `burn`, and once more with earlier sources winning over later ones."""
        pieces, sources = self._cut(window)
        last = _burnt(pieces, values[sources], window)
        return last, _burnt(pieces[::-1], values[sources[::-1]], window)

    def _cut(self, window: Window) -> tuple[Geometries, npt.NDArray[np.intp]]:
        """The parts of the polygons around a window's pixels, and their sources, ascending."""
        box = _box(window)
        near = np.sort(self.tree.query(box))
        # GDAL visits every vertex in every row: a coastline takes seconds unless it is cut first.
        pieces, rows = polygons_in(shapely.intersection(self.tree.geometries[near], box))
        return pieces, self.sources[near[rows]]


@dataclass(frozen=True, slots=True, eq=False)
class AreaOfInterest:
    """The polygons of a vector file on the grid of a scene.

    Attributes:
        polygons: The polygons on the grid.
        digest: sha256, in hexadecimal, of the polygons' WKB in the grid's CRS, before invalid ones
            are mended.
    """

    polygons: GridPolygons
    digest: str

    @classmethod
    def read(cls, path: Path, grid: Grid, safe: bool = False) -> AreaOfInterest:
        """Reads any vector file that GDAL opens, in any CRS; what is no polygon does not count.

        Args:
            path: GeoPackage, GeoJSON, Shapefile, KML or the like.
            grid: The scene's grid. Without a CRS it takes a file without one, in its coordinates.
            safe: Whether nothing of the file is trusted, see `safe_vectors`.

        Raises:
            FeaturesError: The file is missing, no vector file, or has no polygons or several layers
                of them; only one of file and grid has a CRS, the one cannot be transformed into
                the other, or the area lies outside the grid.
        """
        return cls.place(read_outlines(path, safe=safe), grid)

    @classmethod
    def place(cls, outlines: Outlines, grid: Grid, must_overlap: bool = True) -> AreaOfInterest:
        """Places the polygons of a file on a grid, as `read` does.

        Args:
            outlines: The polygons.
            grid: The grid.
            must_overlap: Whether an area outside the grid is an error.
        """
        placed = place(outlines, grid)
        digest = hashlib.sha256(b"".join(shapely.to_wkb(placed)))
        area = cls(GridPolygons.of(placed, grid), digest.hexdigest())
        if must_overlap and not area.touches(grid.window):
            raise FeaturesError(no_overlap(outlines, grid, "the scene"))
        return area

    def touches(self, window: Window) -> bool:
        """Whether the area comes near the centre of any pixel of a window of the grid.

        Cheap, and never False where `mask` has a True; the opposite may happen.
        """
        return bool(self.polygons.near(window).size)

    def mask(self, window: Window) -> Mask:
        """Which pixels of a window of the grid have their centre inside the area, H x W."""
        return self.polygons.mask(window)


def _burnt(
    pieces: Geometries, values: npt.NDArray[np.int32], window: Window
) -> npt.NDArray[np.int32]:
    """The value of the last piece in which each pixel's centre lies, or 0, H x W."""
    shape = (window.height, window.width)
    if not pieces.size:
        return np.zeros(shape, np.int32)
    shapes = zip(pieces, values.tolist(), strict=True)
    corner = Grid(*shape).crop(window).transform
    burnt: npt.NDArray[np.int32] = rasterize(shapes, shape, transform=corner, dtype="int32")
    return burnt


def mend(polygons: Geometries) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """Valid polygons that cover what the rings go around, M, and of which polygon each is."""
    # The other method leaves a hole where a ring drawn by hand crosses itself.
    how = {"method": "structure", "keep_collapsed": False}
    mended = shapely.make_valid(polygons, **how)
    # Of some hundred thousand, GEOS 3.14 leaves one that crosses itself by a hair.
    is_broken = ~shapely.is_valid(mended)
    mended[is_broken] = shapely.make_valid(mended[is_broken], **how)
    return polygons_in(mended)


def place(outlines: Outlines, grid: Grid) -> Geometries:
    """The polygons of a file in the CRS of a grid, their edges bent as the CRS bends them.

    Raises:
        FeaturesError: Only one of file and grid has a CRS, or the one cannot be transformed into
            the other.
    """
    path, polygons = outlines.path, outlines.polygons
    _check_crs(path, polygons, grid)
    if not grid.transform.determinant:
        raise FeaturesError(
            f"The scene's pixels have no extent on the ground, so {path} has no place on it. Give "
            "the scene its own: gdal_edit.py -a_ullr"
        )
    if grid.crs is None or polygons.crs == grid.crs:
        unchanged: Geometries = polygons.to_numpy()
        return unchanged
    try:
        dense = GeoSeries(_segmentized(polygons, grid), crs=polygons.crs)
        placed: Geometries = dense.to_crs(grid.crs).to_numpy()
    except ProjError as error:
        raise FeaturesError(
            f"{path} cannot be reprojected from {_label(polygons.crs)} to {grid.crs_label}: "
            f"{reason_of(error)}. Save it in the CRS of the scene."
        ) from error
    if not np.isfinite(shapely.get_coordinates(placed)).all():
        raise FeaturesError(
            f"{path} ({_label(polygons.crs)}) reaches where {grid.crs_label}, the CRS of the "
            "scene, is not defined. Check the CRS of the file, or cut it to around the scene."
        )
    return placed


def _segmentized(polygons: GeoSeries, grid: Grid) -> Geometries:
    """Polygons with so many vertices along their edges that these bend with a CRS."""
    left, bottom, right, top = polygons.total_bounds
    steps = np.full(len(polygons), max(right - left, top - bottom) / _STEPS)
    crs = polygons.crs
    unit_m = crs.axis_info[0].unit_conversion_factor * (_RADIUS_M if crs.is_geographic else 1)
    # A file may span the globe; what comes near the grid is to be as exact all the same.
    steps[_near(polygons, grid)] = min(steps[0], _CHORD_M / unit_m)
    dense: Geometries = polygons.to_numpy(copy=True)
    # GEOS does not take rings whose points are all the same, as rounding makes them.
    rings, which = shapely.get_rings(dense, return_index=True)
    for k in np.unique(which[~_has_extent(rings)]):
        holes = np.array(dense[k].interiors, object)
        dense[k] = shapely.Polygon(dense[k].exterior, holes[_has_extent(holes)])
    is_long = _has_extent(dense)
    dense[is_long] = shapely.segmentize(dense[is_long], steps[is_long])
    return dense


def _has_extent(geometries: Geometries) -> Mask:
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    has_extent: Mask = (bounds[:, 2:] > bounds[:, :2]).any(axis=1)
    return has_extent


def _near(polygons: GeoSeries, grid: Grid) -> Mask:
    """Whose bounds meet those of a grid, in the polygons' CRS, N."""
    outline = _extent(Path(), grid).polygons
    way = Transformer.from_crs(grid.crs, polygons.crs, always_xy=True)
    left, bottom, right, top = way.transform_bounds(*outline.total_bounds)
    if not left <= right:  # across the date line, or nowhere
        return np.ones(len(polygons), np.bool_)
    bounds = shapely.bounds(polygons.to_numpy()).T
    is_near: Mask = (bounds[0] <= right) & (bounds[2] >= left)
    is_near &= (bounds[1] <= top) & (bounds[3] >= bottom)
    return is_near


def _check_crs(path: Path, polygons: GeoSeries, grid: Grid) -> None:
    if polygons.crs is None and grid.crs is not None:
        raise FeaturesError(
            f"{path} has no CRS. Give it its own, for example that of the scene: "
            f"ogr2ogr -a_srs {grid.crs_label} area.gpkg {path}"
        )
    if polygons.crs is not None and grid.crs is None:
        raise FeaturesError(
            f"The scene has no CRS, so {path} ({_label(polygons.crs)}) has no place on it. "
            "Georeference the scene (gdal_translate -a_srs), or save the area in the scene's own "
            "coordinates as a GeoPackage without a CRS."
        )


def no_overlap(outlines: Outlines, grid: Grid, scene: object) -> str:
    """The message about polygons that do not overlap a scene."""
    advice = "Check the CRS and the coordinates of both."
    if grid.crs is None and grid.transform.is_identity:
        advice = "Draw it in pixels: x is the column, y the row, counted down from the top."
    return (
        f"{outlines.path} ({_label(outlines.polygons.crs)}) does not overlap {scene} "
        f"({grid.crs_label or 'no CRS'}). {advice}"
    )


def extent_on(path: Path, extent: Grid, grid: Grid) -> AreaOfInterest:
    """What a raster covers, as an area on the grid of another one, overlapping or not.

    Args:
        path: The raster, for messages.
        extent: Its grid.
        grid: The other grid.

    Raises:
        FeaturesError: See `place`.
    """
    return AreaOfInterest.place(_extent(path, extent), grid, must_overlap=False)


def share_on(path: Path, extent: Grid, grid: Grid) -> float:
    """Which part of a raster lies on the grid of another one, 0-1.

    Args:
        path: The raster, for messages.
        extent: Its grid.
        grid: The other grid.

    Returns:
        0 where they only share a border, but for rounding.

    Raises:
        FeaturesError: See `place`.
    """
    outline = to_pixels(place(_extent(path, extent), grid), grid)
    if not shapely.intersects(outline, _box(grid.window)).any():
        return 0.0
    whole = shapely.box(0, 0, grid.width, grid.height)
    covered = shapely.area(shapely.intersection(outline, whole)).sum()
    return float(covered / shapely.area(outline).sum())


def _extent(path: Path, grid: Grid) -> Outlines:
    corners = ((0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height))
    outline = shapely.Polygon([grid.transform @ corner for corner in corners])
    return Outlines(path, GeoSeries([outline], crs=grid.crs))


def to_pixels(geometries: Geometries, grid: Grid) -> Geometries:
    """Geometries in a grid's CRS as `GridPolygons` has them: x is the column, y the row."""
    return _moved(geometries, ~grid.transform)


def to_ground(geometries: Geometries, grid: Grid) -> Geometries:
    """The way back from `to_pixels`."""
    return _moved(geometries, grid.transform)


def _moved(geometries: Geometries, transform: Any) -> Geometries:
    def move(coordinates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(transform @ (coordinates[:, 0], coordinates[:, 1]))

    moved: Geometries = shapely.transform(geometries, move)
    return moved


def _box(window: Window) -> shapely.Polygon:
    """Around the centres of a window's pixels, in pixels of the grid.

    Inside the window's border, so that an area that only shares the border stays outside.
    """
    return shapely.box(
        window.left + _MARGIN,
        window.top + _MARGIN,
        window.right - _MARGIN,
        window.bottom - _MARGIN,
    )


def _label(crs: Any) -> str:
    """A CRS of pyproj or None as people name it: EPSG:32640, or its own name."""
    if crs is None:
        return "no CRS"
    return ":".join(crs.to_authority() or (crs.name,))
