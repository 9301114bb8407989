from __future__ import annotations

import logging

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from glnet_geo.buffers import Buffers
from glnet_geo.map_options import MapOptions
from glnet_geo.prediction import predict
from glnet_geo.preflight import compare, look, preflight
from glnet_geo.scene_setup import set_up
from tests.models import small_card, small_model
from tests.rasters import noise, placed_tif

RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def shares(*levels):
    """Histograms of bands that lie around some of 32 levels."""
    found = np.zeros((len(levels), 32))
    for band, level in zip(found, levels, strict=True):
        band[level - 1 : level + 2] = 0.25, 0.5, 0.25
    return found


@pytest.fixture(scope="module")
def seasoned(tmp_path_factory):
    """A model that knows 0.5 m scenes with little red, some green and much blue."""
    path = tmp_path_factory.mktemp("model") / "seasoned.safetensors"
    histogram = tuple(map(tuple, shares(5, 14, 24).tolist()))
    return small_model(path, gsd=0.5, histogram=histogram)


def colored(height=300, width=400):
    """A scene like those of the model."""
    rng = np.random.default_rng(0)
    middles = np.array([5, 14, 24])[:, None, None] * 8 + 4
    return (middles + rng.normal(0, 6, (3, height, width))).clip(0, 255).astype(np.uint8)


def warnings_of(scene, model, tmp_path, **changes):
    options = MapOptions(model=str(model), device="cpu", **changes)
    with set_up(scene, options, tmp_path, Buffers()) as setup:
        return list(preflight(setup))


def test_nothing_is_said_of_a_scene_like_the_training_scenes(tmp_path, seasoned):
    scene = placed_tif(tmp_path / "scene.tif", colored())
    assert warnings_of(scene, seasoned, tmp_path) == []


def test_swapped_bands_are_told_by_their_histograms(tmp_path, seasoned):
    scene = placed_tif(tmp_path / "scene.tif", colored()[::-1])
    (warning,) = warnings_of(scene, seasoned, tmp_path)
    assert "taken as red, green, blue look like blue, green, red" in warning


def test_three_bands_in_a_ring_are_named_in_the_scenes_order():
    card = small_card(histogram=tuple(map(tuple, shares(5, 14, 24).tolist())))
    (warning,) = compare("scene.tif", shares(14, 24, 5), card)
    assert "look like green, blue, red" in warning


def test_bands_that_are_marked_as_other_colours_are_told(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(100, 100), marks=RGB)
    (warning,) = warnings_of(scene, model, tmp_path, bands=(3, 2, 1))
    assert "band 3, marked blue, as red" in warning and "band 1, marked red, as blue" in warning
    assert warnings_of(scene, model, tmp_path) == []


def test_a_scene_of_other_brightness_is_told(tmp_path, seasoned):
    scene = placed_tif(tmp_path / "scene.tif", np.full((3, 200, 200), 250, np.uint8))
    (warning,) = warnings_of(scene, seasoned, tmp_path)
    # 252, the middle of its level, against the mean of 44, 116 and 196.
    assert "does not look like" in warning and "133 of 255" in warning


def test_nodata_has_no_part_in_the_histogram(tmp_path, seasoned):
    pixels = colored()
    pixels[:, 50:] = 0
    scene = placed_tif(tmp_path / "scene.tif", pixels, nodata=0)
    assert warnings_of(scene, seasoned, tmp_path) == []


def test_too_few_pixels_tell_nothing(tmp_path, seasoned):
    scene = placed_tif(tmp_path / "scene.tif", np.full((3, 30, 30), 250, np.uint8))
    with set_up(scene, MapOptions(model=str(seasoned)), tmp_path, Buffers()) as setup:
        assert look(setup) is None


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 256, "blockysize": 256}])
def test_histogram_is_that_of_the_scene(tmp_path, seasoned, layout):
    pixels = noise(700, 900)
    scene = placed_tif(tmp_path / "scene.tif", pixels, **layout)
    with set_up(scene, MapOptions(model=str(seasoned)), tmp_path, Buffers()) as setup:
        found = look(setup)
    assert found.shape == (3, 32) and found.sum(1) == pytest.approx([1, 1, 1])
    assert found == pytest.approx(1 / 32, rel=0.1)


def test_bit_depth_is_told_unless_values_are_given(tmp_path, seasoned):
    scene = placed_tif(tmp_path / "scene.tif", colored().astype(np.uint16) * 16)
    depth = [one for one in warnings_of(scene, seasoned, tmp_path) if "uint16" in one]
    assert len(depth) == 1 and "--scale" in depth[0]
    assert warnings_of(scene, seasoned, tmp_path, scale=((0.0, 4080.0),)) == []


def test_pixels_far_coarser_than_the_cards_are_told(tmp_path, seasoned):
    coarse = Affine(2, 0, 500_000, 0, -2, 5_000_000)
    scene = placed_tif(tmp_path / "scene.tif", colored(64, 64), transform=coarse)
    warnings = warnings_of(scene, seasoned, tmp_path)
    assert "has 2 m pixels" in warnings[0] and "trained at 0.5 m" in warnings[0]


def test_predict_says_the_same_as_plan(tmp_path, seasoned, caplog):
    scene = placed_tif(tmp_path / "scene.tif", colored(120, 120)[::-1], marks=RGB)
    expected = warnings_of(scene, seasoned, tmp_path, bands=(3, 1, 2))
    assert len(expected) == 2
    with caplog.at_level(logging.WARNING):
        predict(scene, tmp_path / "map.tif", model=str(seasoned), bands=(3, 1, 2))
    assert [record.getMessage() for record in caplog.records] == expected
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.tags()["BANDS"] == "3,1,2"
