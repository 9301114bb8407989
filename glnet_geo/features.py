"""Reading vector files: the area of interest that a map is confined to.

The only module that opens them. Polygons are kept in pixels of the scene's grid, where a window is
an upright box however the grid lies on the ground.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import shapely
from geopandas import GeoSeries
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.exceptions import ProjError
from rasterio.features import geometry_mask
from shapely import GeometryType

from glnet_geo.errors import FeaturesError
from glnet_geo.grid import Grid, Window
from glnet_geo.raster import reason_of

Mask = npt.NDArray[np.bool_]
"""H x W, True where a pixel's centre lies inside."""

Geometries = npt.NDArray[Any]
"""Shapely geometries, N."""

_log = logging.getLogger(__name__)

_COLLECTIONS = (GeometryType.MULTIPOLYGON, GeometryType.GEOMETRYCOLLECTION)
# An edge along a parallel, 10 degrees long, strays by 2 cm from the chords of its 1/1000ths in UTM.
_STEPS = 1000
_MARGIN = 0.25  # pixels: more than rounding, less than from a pixel's centre to its border


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """The polygons of a vector file as they are.

    Attributes:
        path: The file.
        polygons: N, with the file's CRS or None.
    """

    path: Path
    polygons: GeoSeries


@dataclass(frozen=True, slots=True, eq=False)
class AreaOfInterest:
    """The polygons of a vector file on the grid of a scene.

    Attributes:
        polygons: Index of the polygons, in pixels of the grid: x is the column and y the row, both
            counted from the upper left corner of the first pixel.
        digest: sha256, in hexadecimal, of the polygons' WKB in the grid's CRS, before invalid ones
            are mended.
    """

    polygons: shapely.STRtree
    digest: str

    @classmethod
    def read(cls, path: Path, grid: Grid) -> AreaOfInterest:
        """Reads any vector file that GDAL opens, in any CRS; what is no polygon does not count.

        Args:
            path: GeoPackage, GeoJSON, Shapefile, KML or the like.
            grid: The scene's grid. Without a CRS it takes a file without one, in its coordinates.

        Raises:
            FeaturesError: The file is missing, no vector file, or has no polygons or several layers
                of them; only one of file and grid has a CRS, the one cannot be transformed into
                the other, or the area lies outside the grid.
        """
        return cls.place(read_outlines(path), grid)

    @classmethod
    def place(cls, outlines: Outlines, grid: Grid, must_overlap: bool = True) -> AreaOfInterest:
        """Places the polygons of a file on a grid, as `read` does.

        Args:
            outlines: The polygons.
            grid: The grid.
            must_overlap: Whether an area outside the grid is an error.
        """
        path, polygons = outlines.path, outlines.polygons
        placed = _reproject(path, polygons, grid)
        digest = hashlib.sha256(b"".join(shapely.to_wkb(placed)))
        area = cls(shapely.STRtree(_mend(_to_pixels(placed, grid))), digest.hexdigest())
        if must_overlap and not area.touches(grid.window):
            raise FeaturesError(
                f"{path} ({_label(polygons.crs)}) does not overlap the scene "
                f"({grid.crs_label or 'no CRS'}). {_overlap_advice(grid)}"
            )
        return area

    def touches(self, window: Window) -> bool:
        """Whether the area comes near the centre of any pixel of a window of the grid.

        Cheap, and never False where `mask` has a True; the opposite may happen.
        """
        return bool(self.polygons.query(_box(window), predicate="intersects").size)

    def mask(self, window: Window) -> Mask:
        """Which pixels of a window of the grid have their centre inside the area, H x W."""
        shape = (window.height, window.width)
        box = _box(window)
        near = self.polygons.geometries[self.polygons.query(box)]
        # GDAL visits every vertex in every row: a coastline takes seconds unless it is cut first.
        pieces = _polygons_in(shapely.intersection(near, box))
        if not pieces.size:
            return np.zeros(shape, np.bool_)
        corner = Grid(*shape).crop(window).transform
        inside: Mask = geometry_mask(pieces, shape, corner, invert=True)
        return inside


def read_outlines(path: Path) -> Outlines:
    """The polygons of the only layer that has any.

    Raises:
        FeaturesError: See `AreaOfInterest.read`.
    """
    return Outlines(path, _read_polygons(path))


def _read_polygons(path: Path) -> GeoSeries:
    """The polygons of the only layer that has any, N, with the file's CRS or None."""
    _check_file(path)
    try:
        with _quiet():
            layers = {
                name: layer
                for name, kind in pyogrio.list_layers(path)
                if _may_hold_polygons(kind) and (layer := _read_layer(path, name)).size
            }
    except (DataSourceError, DataLayerError, ProjError, shapely.errors.ShapelyError) as error:
        # What follows is pyogrio's advice to those who call it.
        reason = reason_of(error).partition("; It might help")[0].rstrip(".")
        raise FeaturesError(f"{path} cannot be read as a vector file: {reason}.") from error
    if not layers:
        raise FeaturesError(f"{path} has no polygons. Draw the area as a polygon.")
    if len(layers) > 1:
        raise FeaturesError(
            f"{path} has several layers with polygons: {', '.join(layers)}. "
            "Export the one that is the area to a file of its own."
        )
    (polygons,) = layers.values()
    if not np.isfinite(shapely.get_coordinates(polygons)).all():
        raise FeaturesError(f"{path} has coordinates that are not finite. Draw the area anew.")
    return polygons


def _check_file(path: Path) -> None:
    if not path.exists():
        raise FeaturesError(f"{path} does not exist.")
    # A file geodatabase is a folder by its nature.
    if path.is_dir() and path.suffix.lower() != ".gdb":
        raise FeaturesError(f"{path} is a folder, not a vector file.")


def _may_hold_polygons(kind: str | None) -> bool:
    """By the geometry type that the layer declares; None is a table."""
    return kind is not None and "Point" not in kind and "Line" not in kind


def _read_layer(path: Path, name: str) -> GeoSeries:
    meta, _, wkb, _ = pyogrio.raw.read(path, layer=name, columns=[], force_2d=True)
    geometries = shapely.from_wkb(wkb, on_invalid="fix")  # closes open rings
    missing = shapely.is_missing(geometries).sum()
    if missing:
        _log.warning(
            "%s has %d of %d features without a usable geometry. Check that the file is complete.",
            path,
            missing,
            geometries.size,
        )
    return GeoSeries(_polygons_in(geometries), crs=meta["crs"])


def _polygons_in(geometries: Geometries) -> Geometries:
    """Every polygon with a place, out of collections of any depth."""
    parts = shapely.get_parts(geometries)
    while np.isin(shapely.get_type_id(parts), _COLLECTIONS).any():
        parts = shapely.get_parts(parts)
    is_polygon = shapely.get_type_id(parts) == GeometryType.POLYGON
    polygons: Geometries = parts[is_polygon & ~shapely.is_empty(parts)]
    return polygons


def _mend(polygons: Geometries) -> Geometries:
    """Valid polygons that cover what the rings go around, M."""
    # The other method leaves a hole where a ring drawn by hand crosses itself.
    return _polygons_in(shapely.make_valid(polygons, method="structure", keep_collapsed=False))


def _reproject(path: Path, polygons: GeoSeries, grid: Grid) -> Geometries:
    """The polygons in the CRS of the grid, their edges bent as the CRS bends them."""
    _check_crs(path, polygons, grid)
    if grid.crs is None or polygons.crs == grid.crs:
        unchanged: Geometries = polygons.to_numpy()
        return unchanged
    left, bottom, right, top = polygons.total_bounds
    step = max(right - left, top - bottom) / _STEPS
    try:
        dense = polygons.segmentize(step) if step else polygons
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


def _overlap_advice(grid: Grid) -> str:
    if grid.crs is None and grid.transform.is_identity:
        return "Draw it in pixels: x is the column, y the row, counted down from the top."
    return "Check the CRS and the coordinates of both."


def _to_pixels(geometries: Geometries, grid: Grid) -> Geometries:
    to_pixel = ~grid.transform

    def move(coordinates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(to_pixel @ (coordinates[:, 0], coordinates[:, 1]))

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


@contextmanager
def _quiet() -> Iterator[None]:
    """Without GDAL's warnings about files that it reads all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
