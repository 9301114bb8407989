"""Frames that are looked at in several ways."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st

from glnet_geo.checkpoint import read_model
from glnet_geo.grid import Grid
from glnet_geo.models.glnet import Form
from glnet_geo.raster import Chip
from glnet_geo.segmenter import GLNetSegmenter
from glnet_geo.synthetic import make_scene
from glnet_geo.tiling import Mirror, PatchLayout, mirrors
from tests.models import small_model
from tests.rasters import placed_tif

EVERY = [Mirror(rows, columns) for rows in (False, True) for columns in (False, True)]


@pytest.fixture(scope="module", params=list(Form))
def scores(request, tmp_path_factory):
    """Gives the scores of pixels C x H x W, looked at in some ways."""
    path = small_model(tmp_path_factory.mktemp("model") / "m.safetensors", request.param)
    net, card = read_model(path)

    def run(pixels, views):
        segmenter = GLNetSegmenter(net, card, torch.device("cpu"), views=views)
        side = pixels.shape[1:]
        chip = Chip(np.ascontiguousarray(pixels), np.ones(side, np.bool_), Grid(*side))
        return np.concatenate(list(segmenter(chip)), 1)

    return run


def test_two_views_are_the_mean_of_a_frame_and_its_mirror_image(scores):
    pixels = make_scene(150, 210).pixels
    mirrored = scores(pixels[:, :, ::-1], 1)[:, :, ::-1]
    want = (scores(pixels, 1) + mirrored) / 2
    np.testing.assert_allclose(scores(pixels, 2), want, atol=1e-5)
    assert abs(mirrored - scores(pixels, 1)).max() > 1e-3


def test_four_views_do_not_know_up_from_down(scores):
    pixels = make_scene(210, 150).pixels
    found = scores(pixels, 4)
    for axis in (1, 2):
        np.testing.assert_allclose(
            np.flip(scores(np.flip(pixels, axis), 4), axis), found, atol=1e-5
        )


@given(st.integers(60, 200), st.integers(60, 400), st.integers(60, 400), st.sampled_from(EVERY))
def test_mirrored_patches_are_the_patches_of_the_mirrored_frame(patch, height, width, mirror):
    height, width = max(height, patch), max(width, patch)
    layout = PatchLayout.cover(height, width, patch)
    places = np.arange(height * width).reshape(height, width)
    seen = np.flip(places, mirror.axes)
    mirrored = layout.mirrored(mirror)
    assert mirrored.mirrored(mirror) == layout
    found = {seen[window.slices].tobytes() for window in mirrored.windows}
    want = {np.flip(places[window.slices], mirror.axes).tobytes() for window in layout.windows}
    assert found == want


def test_other_numbers_of_views_are_refused():
    assert [len(mirrors(views)) for views in (1, 2, 4)] == [1, 2, 4]
    assert mirrors(1) == (Mirror(False, False),)
    with pytest.raises(ValueError, match="1, 2 or 4 ways, got 3"):
        mirrors(3)


def test_views_are_those_asked_for_or_the_cards(cli, tmp_path):
    scene = placed_tif(tmp_path / "scene.tif", make_scene(150, 150).pixels)
    model = small_model(tmp_path / "m.safetensors", Form.GLOBAL, views=2)
    found = {}
    for name, options in {"card": (), "4": ("--tta", 4), "reference": ("--reference",)}.items():
        output = tmp_path / f"{name}.tif"
        result = cli("predict", scene, "-o", output, "--model", model, *options)
        assert result.code == 0, result.err
        with rasterio.open(output) as dataset:
            found[name] = dataset.tags()["VIEWS"]
    assert found == {"card": "2", "4": "4", "reference": "1"}
    assert cli("predict", scene, "-o", tmp_path / "x.tif", "--tta", 3).code == 2
