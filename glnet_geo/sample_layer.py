"""The points of a sample as a layer of a GeoPackage that is labelled in QGIS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glnet_geo.arrow_stream import Blobs, Field
from glnet_geo.errors import OutputError
from glnet_geo.geopackage import add_styles, check_replaced, features_of
from glnet_geo.grid import Grid
from glnet_geo.layer_writer import LayerWriter
from glnet_geo.qgis_style import MOST_CLASSES, labelling_qml
from glnet_geo.vector_layer import DISK_HINT, Layer, configure_gdal
from glnet_geo.vector_output import can_hold_layers

LAYER = "sample"
"""Name of the layer."""

ID, STRATUM, MAP_CLASS, REFERENCE = "id", "stratum", "map_class", "reference"
"""Names of its fields."""

_FIELDS = (
    Field(ID, "integer"),
    Field(STRATUM, "integer"),
    Field(MAP_CLASS, "text"),
    Field(REFERENCE, "text"),
)
# A point in WKB (OGC 06-103r4, 8.2): byte order, type and coordinates, without gaps.
_POINT = np.dtype([("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])


@dataclass(frozen=True, slots=True, eq=False)
class DrawnPixels:
    """Pixels of a class raster in the order in which they are to be labelled.

    Attributes:
        places: Each pixel counted from the raster's first one, N.
        strata: Class id of each, N.
    """

    places: npt.NDArray[np.int64]
    strata: npt.NDArray[np.int64]


def check_sample_output(output: Path) -> None:
    """Refuses an output that is no GeoPackage, or one that holds something else as well.

    Raises:
        OutputError: It does.
    """
    if not can_hold_layers(output):
        raise OutputError(
            f"{output} cannot hold a sample: the strata's weights go to the metadata of a "
            "GeoPackage. Name a .gpkg file."
        )
    if output.exists():
        check_replaced([LAYER], output)


def write_sample(
    path: Path,
    output: Path,
    pixels: DrawnPixels,
    grid: Grid,
    legend: Mapping[int, str],
    metadata: Mapping[str, str],
) -> None:
    """Writes a new GeoPackage.

    Args:
        path: The file to make.
        output: What it will be, for messages.
        pixels: The pixels, whose centres become points.
        grid: The raster's grid.
        legend: Names of the classes, by id; QGIS offers them for the reference.
        metadata: What is to be known about the layer.

    Raises:
        OutputError: The disk is full, or GDAL cannot write the raster's CRS.
    """
    crs = grid.crs if grid.is_georeferenced else None
    configure_gdal()
    writer = LayerWriter(Layer(path, LAYER, crs, "Point", _FIELDS, metadata), output)
    names = [legend[one].encode() for one in pixels.strata.tolist()]
    n_points = len(names)
    writer.write(
        [
            _points(pixels.places, grid),
            np.arange(1, n_points + 1, dtype=np.int64),
            pixels.strata,
            Blobs.of(names),
            Blobs.of([b""] * n_points),
        ]
    )
    writer.close()
    if features_of(path, LAYER) != n_points:
        raise OutputError(f"{output} cannot be written: its end is missing{DISK_HINT}.")
    if len(legend) <= MOST_CLASSES:
        qml = labelling_qml([*legend.values()], REFERENCE, hidden=(STRATUM, MAP_CLASS))
        add_styles(path, {LAYER: qml}, output)


def _points(places: npt.NDArray[np.int64], grid: Grid) -> Blobs:
    """The centres of pixels in WKB."""
    rows, columns = (one + 0.5 for one in np.divmod(places, grid.width))
    place = grid.transform
    records = np.empty(len(places), _POINT)
    records["order"], records["type"] = 1, 1
    records["x"] = place.a * columns + place.b * rows + place.c
    records["y"] = place.d * columns + place.e * rows + place.f
    offsets = np.arange(len(places) + 1, dtype=np.int64) * _POINT.itemsize
    return Blobs(records.view(np.uint8), offsets)
