"""Features with a table beside them, as GeoPackage or Parquet."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import shapely

from glnet_geo.errors import OutputError
from glnet_geo.feature_table import FeatureTable
from glnet_geo.table_columns import TableColumn, free_name
from glnet_geo.vector_formats import geo_metadata
from glnet_geo.vector_layer import (
    DISK_HINT,
    GEOMETRY,
    GEOPACKAGE,
    NEW_GEOPACKAGE,
    configure_gdal,
    without_crs_warning,
    writing,
)

_MOST_COLUMNS = 1990  # of a GeoPackage: SQLite has 2000 (https://www.sqlite.org/limits.html)
_FID = "fid"
_POLYGONAL = (-1, shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)  # -1: missing
_DTYPES = {
    "boolean": "bool",
    "int32": "int32",
    "int64": "int64",
    "float32": "float32",
    "float64": "float64",
    "figure": "float64",
}
_ZONE = re.compile(r"(?:Z|([-+])(\d\d):?(\d\d)(?::?\d\d)?)$")
_UTC = 100  # in GDAL's time zones, which count quarters of an hour; 0 is unknown


def check_columns(output: Path, columns: Sequence[TableColumn]) -> None:
    """Refuses more columns than a GeoPackage can have.

    Raises:
        OutputError: There are more.
    """
    if len(columns) > _MOST_COLUMNS:
        raise OutputError(
            f"{output} would have {len(columns):,} columns, and a GeoPackage has {_MOST_COLUMNS:,} "
            "at most. Choose some classes with --classes, or a .csv file."
        )


def write_geopackage(
    path: Path,
    output: Path,
    layer: str,
    features: FeatureTable,
    columns: Sequence[TableColumn],
    metadata: Mapping[str, str],
) -> None:
    """Writes features as they are, with a table beside them.

    Args:
        path: The file to make.
        output: What it will be, for messages.
        layer: Name of its layer.
        features: Geometries and CRS.
        columns: The table; names differ whatever the case.
        metadata: What is to be known about the layer.

    Raises:
        OutputError: The disk is full.
    """
    configure_gdal()
    taken = {one.name.casefold() for one in columns}
    names = {"GEOMETRY_NAME": free_name(GEOMETRY, taken), "FID": free_name(_FID, taken)}
    arrays = [_array(one) for one in columns]
    offsets = {
        one.name: np.array([_gdal_zone(value) for value in one.values])
        for one in columns
        if one.kind == "datetime"
    }
    has_z = bool(shapely.has_z(features.geometries).any())
    is_polygonal = np.isin(shapely.get_type_id(features.geometries), _POLYGONAL).all()
    kind = "MultiPolygon" if is_polygonal else "Unknown"
    with writing(output, DISK_HINT), without_crs_warning():
        pyogrio.raw.write(
            path,
            shapely.to_wkb(features.geometries, output_dimension=3 if has_z else 2),
            [array for array, _ in arrays],
            [one.name for one in columns],
            field_mask=[mask for _, mask in arrays],
            layer=layer,
            driver=GEOPACKAGE,
            geometry_type=f"{kind} Z" if is_polygonal and has_z else kind,
            promote_to_multi=bool(is_polygonal),
            crs=features.crs,
            gdal_tz_offsets=offsets,
            layer_metadata=dict(metadata),
            dataset_options=NEW_GEOPACKAGE,
            layer_options=names,
        )
        info = pyogrio.read_info(path, layer=layer)
    # GDAL may close a file on a full disk without a word. The extent comes last.
    if info["features"] != len(features.geometries) or info["total_bounds"] is None:
        raise OutputError(f"{output} cannot be written: its end is missing{DISK_HINT}.")


def _array(column: TableColumn) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Values as pyogrio writes them, and which are missing."""
    values = column.values
    if column.kind == "text":
        return np.array(values, object), None
    if column.kind in ("date", "datetime"):
        unit = "D" if column.kind == "date" else "ms"
        local = [None if one is None else _ZONE.sub("", one) for one in values]
        return np.array(local, f"datetime64[{unit}]"), None
    missing = np.array([one is None for one in values], np.bool_)
    filled = [0 if one is None else one for one in values]
    return np.array(filled, _DTYPES[column.kind]), missing


def _gdal_zone(value: str | None) -> int:
    found = _ZONE.search(value or "")
    if found is None:
        return 0
    if found[1] is None:
        return _UTC
    quarters = int(found[2]) * 4 + int(found[3]) // 15
    return _UTC + (quarters if found[1] == "+" else -quarters)


def write_parquet(
    path: Path,
    output: Path,
    features: FeatureTable | None,
    columns: Sequence[TableColumn],
    metadata: Mapping[str, str],
) -> None:
    """Writes a table as Parquet, as GeoParquet where there are features.

    Args:
        path: The file to make.
        output: What it will be, for messages.
        features: Geometries and CRS of the rows, or None.
        columns: The table; names differ whatever the case.
        metadata: What is to be known about it.

    Raises:
        OutputError: The disk is full.
    """
    import pyarrow as pa
    from pyarrow import parquet

    arrays = {one.name: _arrow_array(one) for one in columns}
    about = dict(metadata)
    if features is not None:
        geometry = free_name("geometry", {one.name.casefold() for one in columns})
        arrays[geometry] = pa.array(shapely.to_wkb(features.geometries).tolist(), pa.binary())
        present = features.geometries[~shapely.is_missing(features.geometries)]
        types = sorted({_geometry_type(one) for one in present})
        bounds = shapely.total_bounds(present).tolist()
        about["geo"] = json.dumps(geo_metadata(geometry, types, features.crs, bounds))
    with writing(output, DISK_HINT):
        parquet.write_table(
            pa.table(arrays).replace_schema_metadata(about), path, compression="zstd"
        )


def _geometry_type(geometry: Any) -> str:
    return f"{geometry.geom_type}{' Z' if geometry.has_z else ''}"


def _arrow_array(column: TableColumn) -> Any:
    import pyarrow as pa

    if column.kind == "date":
        return pa.array(_array(column)[0])
    if column.kind == "datetime":
        return _arrow_times(column)
    types = {"boolean": pa.bool_(), "text": pa.string(), "figure": pa.float64()}
    kind = types.get(column.kind) or getattr(pa, column.kind)()
    return pa.array(column.values, kind)


def _arrow_times(column: TableColumn) -> Any:
    """In UTC where all time zones are known."""
    import pyarrow as pa

    given = [one for one in column.values if one is not None]
    times, _ = _array(column)
    if not given or not all(_gdal_zone(one) for one in given):
        return pa.array(times)
    quarters = np.array([(_gdal_zone(one) or _UTC) - _UTC for one in column.values])
    return pa.array(times - quarters * np.timedelta64(15, "m"), pa.timestamp("ms", "UTC"))
