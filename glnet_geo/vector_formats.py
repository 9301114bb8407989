"""Polygons in other formats than the GeoPackage that they were written to, a batch at a time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from glnet_geo.errors import OutputError
from glnet_geo.geopackage import quoted
from glnet_geo.vector_layer import (
    BATCH,
    DISK_HINT,
    GEOMETRY,
    GEOPACKAGE,
    Layer,
    copy_layer,
    writing,
)

_SHAPEFILE = "ESRI Shapefile"
PARQUET = "Parquet"
_FORMATS = {
    ".gpkg": GEOPACKAGE,
    ".fgb": "FlatGeobuf",
    ".geojson": "GeoJSON",
    ".geojsonl": "GeoJSONSeq",
    ".geojsons": "GeoJSONSeq",
    ".parquet": PARQUET,
    ".geoparquet": PARQUET,
    ".shp": _SHAPEFILE,
}
_GEOPACKAGE_BYTES = 10**9 - 1000  # of a geometry: SQLite's limit, without what is added to WKB
_SHAPEFILE_BYTES = 2**31 - 1  # that Esri's own and most other programs read of a file
_SHAPEFILE_HEADERS = 43  # bytes by which a polygon of a shapefile is at most longer than its WKB
# All that Esri's and other programs keep beside a .shp.
_SHAPEFILE_PARTS = (
    *("shx", "dbf", "prj", "cpg", "sbn", "sbx", "fbn", "fbx", "ain", "aih", "atx", "ixs", "mxs"),
    *("qix", "qpj", "idm", "ind", "shp.xml"),
)
_FIELD_NAME = 10  # characters in a .dbf
_END = 4  # bytes, with which a GeoJSON file is complete
_DECIMALS = 7, 15  # of GeoJSON's degrees: what RFC 7946 deems enough, what a float has
_DEGREE = 111_320  # metres
_FINENESS = 40  # of the last decimal's steps at least make a pixel
_ROW_GROUP = 64 << 20  # bytes


def format_of(output: Path) -> str:
    """The format of an output by its extension, as GDAL names it.

    Raises:
        OutputError: The extension is unknown, or a library for the format is not installed.
    """
    name = _FORMATS.get(output.suffix.lower())
    if name is None:
        raise OutputError(
            f"{output} has none of the extensions of vector files: {', '.join(_FORMATS)}."
        )
    if name == PARQUET and not find_spec("pyarrow"):
        raise OutputError(f"{output} needs another library: pip install glnet-geo[parquet]")
    return name


def check_size(output: Path, features: int, size: int, largest: int) -> None:
    """Refuses more than a format can hold.

    Args:
        output: What is made.
        features: How many features it has so far.
        size: The bytes of their WKB.
        largest: The bytes of the largest of them.

    Raises:
        OutputError: It is too much.
    """
    if largest > _GEOPACKAGE_BYTES:
        raise OutputError(
            f"{output} would have a polygon of {largest // 16_000_000} million vertices, which no "
            "file can hold. Merge small regions (--min-area) or simplify (--simplify)."
        )
    is_shapefile = format_of(output) == _SHAPEFILE
    if is_shapefile and size + features * _SHAPEFILE_HEADERS > _SHAPEFILE_BYTES:
        raise OutputError(
            f"{output} would be larger than 2 GB, which no shapefile can be. Choose .gpkg or .fgb."
        )


def convert(
    layer: Layer, features: int, output: Path, folder: Path, pixel_m: float | None = None
) -> dict[Path, Path]:
    """Writes a layer in the format of an output.

    Args:
        layer: The layer.
        features: How many it has.
        output: What it will be.
        folder: Where the files are written.
        pixel_m: The shorter side of the pixels that it is made of, in metres.

    Returns:
        Where each of the files belongs, in the order in which they are put in place.

    Raises:
        OutputError: The disk is full, or the layer does not fit the format.
    """
    driver = format_of(output)
    target = folder / f"converted{output.suffix.lower()}"
    with writing(output, DISK_HINT):
        if driver == PARQUET:
            _write_parquet(layer, target)
        elif driver == _SHAPEFILE:
            _write_shapefile(layer, target)
        elif driver.startswith("GeoJSON"):
            _write_json(layer, target, driver, pixel_m)
        else:
            copy_layer(layer, target, layer.name, driver, layer_options={})
    if features and not _has_its_end(target, driver, features):
        raise OutputError(f"{output} cannot be written: its end is missing{DISK_HINT}.")
    suffixes = (f".{part}" for part in _SHAPEFILE_PARTS)
    parts = {target.with_suffix(suffix): output.with_suffix(suffix) for suffix in suffixes}
    return {part: place for part, place in parts.items() if part.exists()} | {target: output}


def _has_its_end(target: Path, driver: str, features: int) -> bool:
    """GDAL may close a file on a full disk without a word."""
    if driver.startswith("GeoJSON"):
        with target.open("rb") as file:
            file.seek(-_END, os.SEEK_END)
            return file.read().endswith(b"]\n}\n" if driver == "GeoJSON" else b"}\n")
    if driver == PARQUET:  # pyarrow does tell
        return True
    last = {"skip_features": features - 1, "max_features": 1}
    try:
        _, _, (geometry,), _ = pyogrio.raw.read(target, **last)
    except (DataSourceError, DataLayerError, ValueError):
        return False
    return geometry is not None


def remove_leftovers(output: Path, new: Sequence[Path]) -> None:
    """Removes what other programs made beside a shapefile that is no more, such as indexes."""
    if format_of(output) == _SHAPEFILE:
        for part in _SHAPEFILE_PARTS:
            leftover = output.with_suffix(f".{part}")
            if leftover not in new:
                leftover.unlink(missing_ok=True)


def _write_json(layer: Layer, target: Path, driver: str, pixel_m: float | None) -> None:
    """In longitudes and latitudes of WGS 84, as RFC 7946 has it, if there is a way to them."""
    crs = layer.crs if layer.crs is not None and _is_on_the_globe(layer.crs) else None
    options = {"COORDINATE_PRECISION": str(_decimals(pixel_m) if crs else _DECIMALS[1])}
    # GDAL's sequences follow the RFC in any case.
    if driver == "GeoJSON" and crs is not None:
        options["RFC7946"] = "YES"
    copy_layer(layer, target, layer.name, driver, crs=crs, layer_options=options)


def _decimals(pixel_m: float | None) -> int:
    """Decimals of a degree that keep the shapes of pixels."""
    least, most = _DECIMALS
    if not pixel_m:
        return least
    return min(max(math.ceil(math.log10(_DEGREE * _FINENESS / pixel_m)), least), most)


def _is_on_the_globe(crs: str) -> bool:
    try:
        Transformer.from_crs(crs, "OGC:CRS84")
    except ProjError:
        return False
    return True


def _write_shapefile(layer: Layer, target: Path) -> None:
    names = [field.name for field in layer.fields]
    columns = ", ".join(f"{quoted(name)} AS {quoted(_short(name))}" for name in names)
    query = f"SELECT {GEOMETRY}, {columns} FROM {quoted(layer.name)}"
    copy_layer(
        layer,
        target,
        target.stem,
        _SHAPEFILE,
        sql=query,
        encoding="UTF-8",
        layer_options={"2GB_LIMIT": "YES"},
    )


def _short(field: str) -> str:
    return field.replace("perimeter", "perim")[:_FIELD_NAME]


def _write_parquet(layer: Layer, target: Path) -> None:
    """GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0/), some 64 MB a row group."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    about = {**layer.metadata, "geo": json.dumps(_geo(layer))}
    with pyogrio.open_arrow(layer.source, layer=layer.name, batch_size=BATCH) as (meta, stream):
        reader = pa.RecordBatchReader.from_stream(stream)
        at = reader.schema.get_field_index(meta["geometry_name"])
        columns = [*(field.with_metadata(None) for field in reader.schema)]
        columns[at] = pa.field("geometry", columns[at].type)
        schema = pa.schema(columns, metadata=about)
        with ParquetWriter(target, schema, compression="zstd") as writer:
            for group in _row_groups(reader):
                table = pa.Table.from_batches(group).rename_columns(schema.names)
                writer.write_table(table.cast(schema), row_group_size=len(table))


def _row_groups(batches: Any) -> Iterator[list[Any]]:
    group: list[Any] = []
    for batch in batches:
        group.append(batch)
        if sum(one.nbytes for one in group) >= _ROW_GROUP:
            yield group
            group = []
    if group:
        yield group


def _geo(layer: Layer) -> dict[str, Any]:
    bounds = pyogrio.read_info(layer.source, layer=layer.name)["total_bounds"]
    found = None if bounds is None else list(bounds)
    return geo_metadata("geometry", [layer.geometry_type], layer.crs, found)


def geo_metadata(
    column: str, types: Sequence[str], crs: str | None, bounds: list[float] | None
) -> dict[str, Any]:
    """The metadata that makes a Parquet file a GeoParquet file.

    Args:
        column: The geometry's, in WKB.
        types: Which geometries there are.
        crs: Theirs.
        bounds: Least and greatest x and y of all, if there are any.
    """
    about: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": [*types],
        # Without a CRS it would be that of longitudes and latitudes.
        "crs": None if crs is None else CRS.from_user_input(crs).to_json_dict(),
    }
    if bounds is not None:
        about["bbox"] = bounds
    return {"version": "1.1.0", "primary_column": column, "columns": {column: about}}
