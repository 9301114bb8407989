"""A folder with the files that the documentation's commands take for given."""

from __future__ import annotations

import shutil
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
import torch
from affine import Affine
from PIL import Image
from rasterio.windows import Window

from glnet_geo.demonstration import run_demo
from glnet_geo.legend import DEEPGLOBE
from glnet_geo.models.reference import PREFIX
from tests import reference

ROOT = Path(__file__).parent.parent
_SIDE = 640
_PICTURE = 260
_CHECKPOINTS = {"g": "global", "g2l": "global2local", "l2g": "local2global"}
_OWN_NAMES = {"land": "open ground", "vegetation": "green"}
"""What docs/own-classes.md calls some of the demonstration's classes."""


def make_stage(folder: Path) -> Path:
    """Makes the files that all documents share, from the demonstration's scene."""
    made = folder / "made"
    run_demo(made, size=_SIDE)
    scene, landcover = folder / "scene.tif", folder / "landcover.tif"
    shutil.copy(made / "scene.tif", scene)
    for name in ("landcover.tif", "landcover.tif.aux.xml", "landcover.gpkg"):
        shutil.copy(made / name, folder / name)
    truth = _polygons(made / "truth.tif", folder / "truth.gpkg")
    two = truth[truth["class"].isin(("building", "land"))]
    _renamed(two, folder / "north.gpkg", {})
    half = _SIDE // 2
    for name, top in (("north", 0), ("south", half)):
        _cut(scene, folder / f"{name}.tif", Window(0, top, _SIDE, half))
    _cut(made / "truth.tif", folder / "south_labels.tif", Window(0, half, _SIDE, half), 2)
    shutil.copy(made / "truth.tif", folder / "truth.tif")
    shutil.copy(made / "truth.tif", folder / "landcover-2019.tif")
    shutil.copy(landcover, folder / "landcover-2024.tif")
    _renamed(truth, folder / "town.gpkg", _OWN_NAMES, 20)
    _renamed(truth, folder / "held_out.gpkg", _OWN_NAMES, -40)
    box = shapely.box(*rasterio.open(scene).bounds).buffer(-40)
    geopandas.GeoSeries([box], crs=truth.crs).to_file(folder / "city.gpkg")
    left, bottom, right, top = box.bounds
    halves = [shapely.box(left, bottom, right, top - 99), shapely.box(left, top - 99, right, top)]
    districts = geopandas.GeoDataFrame({"name": ["South", "North"]}, geometry=halves, crs=truth.crs)
    districts.to_crs(4326).to_file(folder / "districts.gpkg")
    _tiles(scene, folder)
    upload = folder / "upload"
    upload.mkdir()
    years = (folder / f"landcover-{year}.tif" for year in (2019, 2024))
    for path in (scene, landcover, folder / "truth.gpkg", folder / "districts.gpkg", *years):
        shutil.copy(path, upload / path.name)
    shutil.rmtree(made)
    return folder


def add_deepglobe(folder: Path) -> None:
    """The authors' checkpoints, as a recipe makes them, and two pictures with their masks."""
    for name, ending in _CHECKPOINTS.items():
        state = {PREFIX + key: value for key, value in reference.checkpoint(name).items()}
        torch.save(state, folder / f"fpn_deepglobe_{ending}.pth")
    pictures = folder / "land-train"
    pictures.mkdir()
    # Patches of the paper's networks are 508 px: a scene of one takes a second instead of four.
    scene, whole = folder / "scene.tif", folder / "whole.tif"
    scene.rename(whole)
    _cut(whole, scene, Window(0, 0, _PICTURE, _PICTURE))
    with rasterio.open(scene) as source:
        pixels = source.read().transpose(1, 2, 0)
    colors = np.array([one.rgb for one in DEEPGLOBE.classes], np.uint8)
    for number in (119, 606):
        Image.fromarray(pixels).save(pictures / f"{number}_sat.jpg")
        classes = np.random.default_rng(number).integers(
            0, len(colors), (_PICTURE // 20, _PICTURE // 20)
        )
        Image.fromarray(colors[classes.repeat(20, 0).repeat(20, 1)]).save(
            pictures / f"{number}_mask.png"
        )


def add_dubai(folder: Path) -> None:
    """Scenes and labels with the names of those of the bundled model's recipe."""
    (folder / "models" / "zoo").mkdir(parents=True)
    recipe = folder / "models" / "zoo" / "dubai-urban.toml"
    shutil.copy(ROOT / "models" / "zoo" / "dubai-urban.toml", recipe)
    scenes = folder / "FOLDER"
    scenes.mkdir()
    with rasterio.open(folder / "scene.tif") as scene:
        Image.fromarray(scene.read().transpose(1, 2, 0)).save(scenes / "any.jpg")
    with rasterio.open(folder / "truth.tif") as labels:
        Image.fromarray(labels.read(1)).save(scenes / "any.png")
    for number in (4, 5, 6, 7, 8):
        shutil.copy(scenes / "any.jpg", scenes / f"tile{number}_sat.jpg")
        shutil.copy(scenes / "any.png", scenes / f"tile{number}_mask.png")


def label_sample(points: Path, truth: Path) -> None:
    """Fills in what a person would, from the truth."""
    layer = geopandas.read_file(points, layer="sample")
    with rasterio.open(truth) as labels:
        places = zip(layer.geometry.x, layer.geometry.y, strict=True)
        values = [int(one[0]) for one in labels.sample(places)]
        tags = labels.tags()
    layer["reference"] = [tags.get(f"CLASS_{value}", "") for value in values]
    layer.to_file(points, layer="sample")


def _cut(source: Path, output: Path, window: Window, most: int = 255) -> None:
    """A window of a raster, without values above a number."""
    with rasterio.open(source) as raster:
        pixels = raster.read(window=window)
        profile = raster.profile | {
            "driver": "GTiff",
            "width": window.width,
            "height": window.height,
            "transform": raster.transform @ Affine.translation(window.col_off, window.row_off),
        }
        with rasterio.open(output, "w", **profile) as cut:
            cut.write(np.where(pixels <= most, pixels, 0))


def _polygons(raster: Path, output: Path) -> geopandas.GeoDataFrame:
    from glnet_geo import vectorize

    vectorize(raster, output)
    return geopandas.read_file(output, layer="landcover")


def _renamed(
    polygons: geopandas.GeoDataFrame, output: Path, names: dict[str, str], count: int = 10**6
) -> None:
    """Some of the polygons, the largest of each class first, with other names of classes."""
    chosen = polygons.sort_values("area_m2", ascending=False)
    some = chosen.head(count) if count > 0 else chosen.iloc[20 : 20 - count]
    some = some.assign(**{"class": some["class"].replace(names)})
    some[["class", "geometry"]].to_file(output)


def _tiles(scene: Path, folder: Path) -> None:
    """The scene in two tiles, as folders, flights and a virtual raster have them."""
    tiles = folder / "tiles"
    tiles.mkdir()
    half = _SIDE // 2
    for column in (0, 1):
        tile = tiles / f"tile_{column}.tif"
        _cut(scene, tile, Window(column * half, 0, half, half))
        flight = folder / "flights" / str(column)
        flight.mkdir(parents=True)
        shutil.copy(tile, flight / f"rgb_{column}.tif")
    _virtual(tiles, folder / "county.vrt", half)


def _virtual(tiles: Path, output: Path, half: int) -> None:
    """What gdalbuildvrt writes of the two tiles."""
    with rasterio.open(tiles / "tile_0.tif") as first:
        geotransform = ", ".join(map(str, first.transform.to_gdal()))
        crs = first.crs.to_wkt()
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><ColorInterp>{color}</ColorInterp>'
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">tiles/tile_{column}.tif'
            f"</SourceFilename><SourceBand>{band}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" xSize="{half}" ySize="{half}"/>'
            f'<DstRect xOff="{column * half}" yOff="0" xSize="{half}" ySize="{half}"/>'
            "</SimpleSource>"
            for column in (0, 1)
        )
        + "</VRTRasterBand>"
        for band, color in enumerate(("Red", "Green", "Blue"), 1)
    )
    output.write_text(
        f'<VRTDataset rasterXSize="{2 * half}" rasterYSize="{half}"><SRS>{crs}</SRS>'
        f"<GeoTransform>{geotransform}</GeoTransform>{bands}</VRTDataset>"
    )
