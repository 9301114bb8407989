"""Reading vector files: polygons, and what their columns say of them.

The only module that opens them as input.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import shapely
from geopandas import GeoSeries
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.exceptions import ProjError
from shapely import GeometryType

from glnet_geo.errors import FeaturesError
from glnet_geo.opening import reason_of
from glnet_geo.safe_vectors import check_vector_file

Geometries = npt.NDArray[Any]
"""Shapely geometries, N."""

VECTOR_SUFFIXES = (
    *(".gpkg", ".shp", ".geojson", ".json", ".geojsonl", ".geojsons"),
    *(".fgb", ".gdb", ".kml", ".gml", ".sqlite", ".parquet", ".geoparquet"),
)
"""How the names of vector files end, in lower case."""

_log = logging.getLogger(__name__)

_FAR = 1e30  # what is further away, or not a number, is no place: shapefiles have -1e38 for none
_COLLECTIONS = (GeometryType.MULTIPOLYGON, GeometryType.GEOMETRYCOLLECTION)
_ERRORS = (DataSourceError, DataLayerError, ProjError, shapely.errors.ShapelyError)
_EXPORT = "Export the one that is the area to a file of its own."


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """The polygons of a vector file as they are.

    Attributes:
        path: The file.
        polygons: N, with the file's CRS or None.
        rows: N: the feature of the file that each polygon is of, ascending; empty for polygons
            that are of no file.
        columns: What the features' columns hold, by name: as long as there are features.
        layer: Name of the file's layer that they are from.
    """

    path: Path
    polygons: GeoSeries
    rows: npt.NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    layer: str = ""


def read_outlines(
    path: Path,
    layer: str | None = None,
    columns: Sequence[str] = (),
    advice: str = _EXPORT,
    safe: bool = False,
    warn: bool = True,
) -> Outlines:
    """The polygons of one layer.

    Args:
        path: Any vector file that GDAL opens.
        layer: Its layer; None for the only one that has any polygons.
        columns: Names of columns to read as well; those that the layer lacks are left out.
        advice: What to do about several layers with polygons, for the message.
        safe: Whether nothing of the file is trusted, see `safe_vectors`.
        warn: Whether to warn of features that have no geometry.

    Raises:
        FeaturesError: The file is missing, no vector file, has no such layer, no polygons or, with
            no layer given, several layers of them.
    """
    _check_file(path, safe)
    with failing_as_features_error(path):
        names = _layers(path)
        if layer is not None and layer not in names:
            raise FeaturesError(f"{path} has no layer {layer!r}. It has {', '.join(names)}.")
        layers = {
            name: outlines
            for name, kind in names.items()
            if layer in (None, name)
            and _may_hold_polygons(kind)
            and (outlines := _read_layer(path, name, columns, warn)).polygons.size
        }
    if not layers:
        where = f"{path}, layer {layer!r}," if layer is not None else path
        raise FeaturesError(f"{where} has no polygons. Points and lines do not count.")
    if len(layers) > 1:
        raise FeaturesError(
            f"{path} has several layers with polygons: {', '.join(layers)}. {advice}"
        )
    (outlines,) = layers.values()
    if not (np.abs(shapely.get_coordinates(outlines.polygons)) < _FAR).all():
        raise FeaturesError(
            f"{path} has coordinates that are not finite, or beyond all bounds. Draw the area anew."
        )
    return outlines


def polygons_in(geometries: Geometries) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """Every polygon with a place, out of collections of any depth.

    Returns:
        The polygons, M, and for each the index of what it comes from, ascending.
    """
    parts, rows = shapely.get_parts(geometries, return_index=True)
    while np.isin(shapely.get_type_id(parts), _COLLECTIONS).any():
        parts, inner = shapely.get_parts(parts, return_index=True)
        rows = rows[inner]
    is_polygon = shapely.get_type_id(parts) == GeometryType.POLYGON
    keep = is_polygon & ~shapely.is_empty(parts)
    return parts[keep], rows[keep]


def is_vector(path: Path) -> bool:
    """Whether a file's name is that of a vector file."""
    return path.suffix.lower() in VECTOR_SUFFIXES


def column_names(path: Path, layer: str | None = None, safe: bool = False) -> list[str]:
    """Names of the columns of the layers that may hold polygons, each once.

    Args:
        path: Any vector file that GDAL opens.
        layer: The only one that is meant; None for all.
        safe: Whether nothing of the file is trusted, see `safe_vectors`.

    Raises:
        FeaturesError: The file is missing or no vector file.
    """
    _check_file(path, safe)
    with failing_as_features_error(path):
        fields = (
            _fields(path, name)
            for name, kind in _layers(path).items()
            if layer in (None, name) and _may_hold_polygons(kind)
        )
        return list(dict.fromkeys(chain.from_iterable(fields)))


def _check_file(path: Path, safe: bool) -> None:
    if not path.exists():
        raise FeaturesError(f"{path} does not exist.")
    # A file geodatabase is a folder by its nature.
    if path.is_dir() and path.suffix.lower() != ".gdb":
        raise FeaturesError(f"{path} is a folder, not a vector file.")
    if safe:
        check_vector_file(path)


def _may_hold_polygons(kind: str | None) -> bool:
    """By the geometry type that the layer declares; None is a table."""
    return kind is not None and "Point" not in kind and "Line" not in kind


def _layers(path: Path) -> dict[str, str | None]:
    """The geometry type that each layer declares, by name."""
    if is_parquet(path):
        return {path.stem: "Unknown"}
    return {str(name): kind for name, kind in pyogrio.list_layers(path)}


def _fields(path: Path, layer: str) -> tuple[str, ...]:
    if is_parquet(path):
        frame = read_parquet(path)
        return tuple(str(name) for name in frame.columns if name != frame.geometry.name)
    return tuple(map(str, pyogrio.read_info(path, layer=layer)["fields"]))


def _read_layer(path: Path, name: str, columns: Sequence[str], warn: bool) -> Outlines:
    wanted = [field for field in _fields(path, name) if field in columns] if columns else []
    if is_parquet(path):
        frame = read_parquet(path)
        crs, geometries = frame.crs, shapely.force_2d(frame.geometry.to_numpy())
        values = {field: frame[field].to_numpy(object) for field in wanted}
    else:
        meta, _, wkb, data = pyogrio.raw.read(path, layer=name, columns=wanted, force_2d=True)
        crs, geometries = meta["crs"], shapely.from_wkb(wkb, on_invalid="fix")  # closes open rings
        values = dict(zip(map(str, meta["fields"]), data, strict=True))
    missing = shapely.is_missing(geometries).sum()
    if missing and warn:
        _log.warning(
            "%s has %d of %d features without a usable geometry. Check that the file is complete.",
            path,
            missing,
            geometries.size,
        )
    polygons, rows = polygons_in(geometries)
    return Outlines(path, GeoSeries(polygons, crs=crs), rows, values, name)


def is_parquet(path: Path) -> bool:
    """Whether it is GeoParquet, which the GDAL of pyogrio's wheels does not read."""
    return path.suffix.lower() in (".parquet", ".geoparquet")


def read_parquet(path: Path) -> geopandas.GeoDataFrame:
    """Reads a GeoParquet file.

    Raises:
        FeaturesError: It is none, or a library for it is not installed.
    """
    try:
        return geopandas.read_parquet(path)
    except ImportError as error:
        advice = "pip install glnet-geo[parquet]"
        raise FeaturesError(f"{path} needs another library: {advice}") from error
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own are ValueErrors
        raise FeaturesError(f"{path} cannot be read as GeoParquet: {reason_of(error)}.") from error


@contextmanager
def failing_as_features_error(path: Path) -> Iterator[None]:
    """Makes one line of GDAL's errors, and keeps its warnings about what it reads all the same."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            warnings.simplefilter("ignore", UserWarning)
            yield
    except UnicodeDecodeError as error:
        raise FeaturesError(
            f"{path} has texts that are not in {error.encoding}, as it says they are. Save it in "
            "UTF-8, or correct the .cpg file of a shapefile."
        ) from error
    except _ERRORS as error:
        # What follows is pyogrio's advice to those who call it.
        reason = reason_of(error).partition("; It might help")[0].rstrip(".")
        raise FeaturesError(f"{path} cannot be read as a vector file: {reason}.") from error
