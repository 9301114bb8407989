"""Mosaics of all kinds through `glnet_geo.batch`, against the undivided scene."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine

from glnet_geo import MapOptions, batch, predict
from glnet_geo.models.glnet import Form
from tests.models import small_model
from tests.rasters import UTM, placed_tif

WGS84 = {"crs": "EPSG:4326", "transform": Affine(6e-6, 0, 55.1, 0, -5e-6, 25.2)}
ROTATED = {"crs": "EPSG:32633", "transform": UTM["transform"] @ Affine.rotation(20)}


@pytest.fixture(scope="module")
def at_one_metre(tmp_path_factory):
    """A model that sees the ground in pixels of a metre, both ways between its branches."""
    folder = tmp_path_factory.mktemp("model")
    return small_model(folder / "metre.safetensors", Form.BOTH_WAYS, gsd=1.0)


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 4000, (3, 90, 110))
    fine = np.kron(coarse, np.ones((1, 8, 8), int)) + rng.integers(0, 800, (3, 720, 880))
    fine[:, 300:340, 500:560] = 0
    return fine.astype(np.uint16)


def tiles_of(folder, pixels, side, place):
    folder.mkdir()
    for row in range(0, pixels.shape[1], side):
        for column in range(0, pixels.shape[2], side):
            part = pixels[:, row : row + side, column : column + side]
            here = {**place, "transform": place["transform"] @ Affine.translation(column, row)}
            placed_tif(folder / f"t{row // side}-{column // side}.tif", part, nodata=0, **here)
    return folder


def joined(folder, side, shape):
    labels = np.zeros(shape, np.uint8)
    for path in folder.glob("t*.tif"):
        row, column = (int(part) * side for part in path.stem[1:].split("-"))
        with rasterio.open(path) as dataset:
            labels[row : row + side, column : column + side] = dataset.read(1)
    return labels


@pytest.mark.parametrize("place", [UTM, WGS84, ROTATED], ids=["utm", "degrees", "rotated"])
def test_tiles_at_another_resolution_have_the_undivided_map(tmp_path, at_one_metre, pixels, place):
    scene = placed_tif(tmp_path / "scene.tif", pixels, nodata=0, **place)
    options = {"model": str(at_one_metre), "scale": ((0, 5000),), "device": "cpu"}
    predict(scene, tmp_path / "map.tif", **options)
    tiles = tiles_of(tmp_path / "tiles", pixels, 130, place)
    report = batch([str(tiles)], tmp_path / "out", maps=MapOptions(**options))
    assert report.exit_code == 0
    with rasterio.open(tmp_path / "map.tif") as dataset:
        whole = dataset.read(1)
    labels = joined(tmp_path / "out", 130, whole.shape)
    assert len(np.unique(whole)) > 2
    np.testing.assert_array_equal(labels, whole)


def test_values_are_stretched_by_the_whole_mosaic(tmp_path, at_one_metre, pixels):
    dark = pixels.copy()
    dark[:, :, :400] //= 6
    tiles = tiles_of(tmp_path / "tiles", dark, 130, UTM)
    broken = tiles / "t1-1.tif"
    broken.write_bytes(broken.read_bytes()[:2000])
    maps = MapOptions(model=str(at_one_metre), device="cpu")
    report = batch([str(tiles)], tmp_path / "out", maps=maps)
    assert [record.name for record in report.records if record.error] == ["t1-1"]
    scales = set()
    for path in (tmp_path / "out").glob("t*.tif"):
        with rasterio.open(path) as dataset:
            scales.add(dataset.tags()["SCALE"])
    assert len(scales) == 1
