"""Class rasters for tests, and the polygons that were made of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from rasterio.features import rasterize, shapes

from glnet_geo.grid import Grid
from glnet_geo.legend import LandCover, Legend
from glnet_geo.raster_output import class_map
from tests.rasters import UTM

NAMED = Legend(
    "town",
    (
        LandCover(0, "building", (60, 16, 152)),
        LandCover(1, "bare land", (132, 41, 246)),
        LandCover(4, "Wald & Wiese", (0, 128, 0)),
    ),
)
_NOWHERE = -(2**31) + 1  # what is drawn where there is no polygon


def ids(*rows: Sequence[int], dtype: str = "uint8") -> npt.NDArray[Any]:
    """Class ids, row by row."""
    return np.array(rows, dtype)


def patches(height: int, width: int, seed: int = 0, classes: int = 5) -> npt.NDArray[np.uint8]:
    """Class ids from 0 in patches of 6 x 7 pixels, with salt; 0 is for nodata."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, classes, (height // 6 + 1, width // 7 + 1), np.uint8)
    labels: npt.NDArray[np.uint8] = np.kron(coarse, np.ones((6, 7), np.uint8))[:height, :width]
    is_salt = generator.random((height, width)) < 0.05
    labels[is_salt] = generator.integers(0, classes, int(is_salt.sum()), np.uint8)
    return labels


def named_map(path: Path, labels: npt.NDArray[np.uint8], legend: Legend = NAMED) -> Path:
    """A class raster as `predict` writes it."""
    grid = Grid(*labels.shape, UTM["transform"], UTM["crs"])
    tags = {"MODEL": "dubai-urban 1.0", "MODEL_SHA256": "ab12", "SCENE": "scene.tif", "BANDS": "1"}
    with class_map(path, grid, legend, tags) as writer:
        writer.write(labels, grid.window)
    return path


def town(path: Path) -> Path:
    """A map with names: building in 4 + 3 pixels, bare land in 3 + 3 + 1, Wald in 3 + 1."""
    return named_map(
        path, ids([0, 0, 1, 1, 4], [0, 0, 1, 4, 4], [1, 1, 0, 255, 1], [1, 4, 0, 0, 255])
    )


def read_polygons(output: Path, layer: str = "landcover") -> geopandas.GeoDataFrame:
    """The features of a file, in their order."""
    if output.suffix in (".parquet", ".geoparquet"):
        return geopandas.read_parquet(output)
    return pyogrio.read_dataframe(output, layer=layer if output.suffix == ".gpkg" else 0)


def layers_of(output: Path) -> list[str]:
    """The layers of a GeoPackage but the table of styles."""
    return [name for name, _ in pyogrio.list_layers(output).tolist() if name != "layer_styles"]


def metadata_of(output: Path, layer: str = "landcover") -> dict[str, str]:
    """What a layer of a GeoPackage says of itself."""
    metadata: dict[str, str] = pyogrio.read_info(output, layer=layer)["layer_metadata"]
    return metadata


def style_of(output: Path, layer: str = "landcover") -> dict[str, tuple[int, ...]]:
    """Names and colours with which QGIS shows a layer of a GeoPackage."""
    query = "SELECT styleQML FROM layer_styles WHERE f_table_name = ? AND useAsDefault = 1"
    with closing(sqlite3.connect(output)) as database:
        ((qml,),) = database.execute(query, [layer]).fetchall()
    root = ET.fromstring(qml)
    fills = [one.attrib["value"] for one in root.iterfind(".//Option[@name='color']")]
    names = [one.attrib["value"] for one in root.iterfind(".//category")]
    colors = (tuple(int(part) for part in fill.split(",")[:3]) for fill in fills)
    return dict(zip(names, colors, strict=True))


def check_exact(raster: Path, found: geopandas.GeoDataFrame, connectivity: int = 4) -> None:
    """Polygons are a valid coverage, one a region, and drawn they give back the raster."""
    with rasterio.open(raster) as dataset:
        labels, is_valid = dataset.read(1).astype(np.int32), dataset.read_masks(1) > 0
        transform = dataset.transform
    assert found.geometry.is_valid.all()
    assert shapely.coverage_is_valid(found.geometry.values)
    drawn = np.full(labels.shape, _NOWHERE, np.int32)
    if len(found):
        pairs = zip(found.geometry, found.class_id, strict=True)
        rasterize(pairs, out=drawn, transform=transform)
    np.testing.assert_array_equal(drawn, np.where(is_valid, labels, _NOWHERE))
    # Connected polygons that cover the same pixels and are as many as the regions are these.
    regions = shapes(labels, mask=is_valid, connectivity=connectivity)
    assert len(found) == sum(1 for _ in regions)


def check_same(found: geopandas.GeoDataFrame, expected: geopandas.GeoDataFrame) -> None:
    """The same features with the same values in the same order, to the last bit."""
    assert list(found.columns) == list(expected.columns)
    assert found.to_wkb().equals(expected.to_wkb())
