"""Layers of vector files, as GDAL writes them."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyogrio
from pyogrio._err import CPLE_BaseError  # GDAL's own errors have no public base class
from pyogrio.errors import DataLayerError, DataSourceError

from glnet_geo.arrow_stream import Field
from glnet_geo.errors import OutputError

GeometryType = Literal["Point", "Polygon", "MultiPolygon"]

GEOPACKAGE = "GPKG"
NEW_GEOPACKAGE = {"VERSION": "1.3"}
"""Options for a new GeoPackage: older versions of GDAL warn of a later one."""

GEOMETRY = "geom"
"""Name of the geometry column in a GeoPackage."""

BATCH = 1000
"""Features that GDAL handles before other threads get on with Python."""

DISK_HINT = " (is the disk full?)"
"""For `writing`, once all that the user chose is known to be right."""

# What GDAL and SQLite say when a disk is full, in so many words or not.
_FULL_DISK = re.compile("I/O|[Ww]rite feature|while writing|too large|gpkg_contents|end of file")

_SETTINGS = {
    # Bytes. GDAL's own limit is a share of the machine's memory; beyond it takes twice the time.
    "OGR_GPKG_MAX_RAM_USAGE_RTREE": str(128 << 20),
    # Where GDAL says what goes wrong while it closes a file; the file is looked at afterwards.
    "CPL_LOG": os.devnull,
}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of a GeoPackage as something else shall have it.

    Attributes:
        source: The GeoPackage.
        name: The layer's name there.
        crs: WKT, PROJJSON or "EPSG:...", None where coordinates have no place on the globe.
        geometry_type: That of all its features.
        fields: Its fields beside the geometry.
        metadata: What is to be known about it.
    """

    source: Path
    name: str
    crs: str | None
    geometry_type: GeometryType
    fields: Sequence[Field]
    metadata: Mapping[str, str]


def copy_layer(
    layer: Layer,
    target: Path,
    name: str,
    driver: str = GEOPACKAGE,
    where: str | None = None,
    sql: str | None = None,
    **options: Any,
) -> None:
    """Copies a layer into another file; GDAL hands the features to itself.

    Args:
        layer: The layer.
        target: The file; a GeoPackage may exist and keeps its other layers.
        name: The layer's name there.
        driver: The file's format, as GDAL names it.
        where: Which features, in SQL.
        sql: A query in the layer's place.
        options: More for `pyogrio.write_arrow`.
    """
    source: dict[str, Any] = {"sql": sql} if sql else {"layer": layer.name, "where": where}
    with (
        pyogrio.open_arrow(layer.source, batch_size=BATCH, **source) as (meta, stream),
        without_crs_warning(),
    ):
        place = {"crs": layer.crs, "geometry_name": meta["geometry_name"], **options}
        pyogrio.write_arrow(
            stream,
            target,
            layer=name,
            driver=driver,
            geometry_type=layer.geometry_type,
            layer_metadata=dict(layer.metadata),
            dataset_options=NEW_GEOPACKAGE if driver == GEOPACKAGE else {},
            **place,
        )


def configure_gdal() -> None:
    """Settings of pyogrio's GDAL for this process; those that are set already stay."""
    is_set = pyogrio.get_gdal_config_option
    new = {key: value for key, value in _SETTINGS.items() if is_set(key) is None}
    pyogrio.set_gdal_config_options(new)


@contextmanager
def without_crs_warning() -> Iterator[None]:
    """Without the warnings about a layer that has no CRS."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        warnings.filterwarnings("ignore", "No SRS set on layer", RuntimeWarning)
        yield


@contextmanager
def writing(output: Path, hint: str = "") -> Iterator[None]:
    """Turns the errors of GDAL and the system into one line about the output.

    Args:
        output: What is made.
        hint: What may be the matter where GDAL's words are those that it has for a full disk.
    """
    try:
        yield
    except (DataSourceError, DataLayerError, CPLE_BaseError) as error:
        # What comes before are whole SQL statements.
        reason = " ".join(str(error).split()).rpartition(" failed: ")[2]
        reason = reason.removeprefix("Error while writing batch to OGR layer: ").rstrip(".")
        may_be_full = _FULL_DISK.search(reason)
        raise OutputError(
            f"{output} cannot be written: {reason}{hint if may_be_full else ''}."
        ) from error
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror or error}.") from error
