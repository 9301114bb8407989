from __future__ import annotations

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from glnet_geo.errors import GlnetGeoError
from glnet_geo.grid import Grid
from glnet_geo.legend import DEEPGLOBE, DUBAI, NODATA
from glnet_geo.models.glnet import Form, GLNet
from glnet_geo.prediction import map_scene, predict
from glnet_geo.raster import Chip, SceneReader
from glnet_geo.segmenter import GLNetSegmenter, choose_device
from glnet_geo.tiling import plan_frames
from tests.models import small_card, small_model
from tests.rasters import UTM, noise, placed_tif

CPU = torch.device("cpu")


class ByValue:
    """Scores by the first band alone: classes are values 0, 1, ... modulo the class count."""

    def __init__(self, legend=DUBAI, extent=100):
        self.legend = legend
        self._extent = extent
        self.seen = []

    def frames(self, grid):
        return list(plan_frames(grid.height, grid.width, self._extent, 20, 60))

    def __call__(self, chip):
        self.seen.append(chip)
        return np.stack([chip.pixels[0] % len(self.legend) == k for k in range(len(self.legend))])


def run_map(path, segmenter):
    with SceneReader(path, n_bands=3) as scene:
        labels = np.zeros((scene.grid.height, scene.grid.width), np.uint8)

        def write(part, window):
            assert part.shape == (window.height, window.width)
            assert not labels[window.slices].any(), "a pixel was written twice"
            labels[window.slices] = part

        map_scene(scene, segmenter, write)
    return labels


@pytest.mark.parametrize("size", [(1, 1), (40, 300), (333, 101), (257, 390)])
def test_every_pixel_gets_its_own_class(tmp_path, size):
    pixels = noise(*size)
    labels = run_map(placed_tif(tmp_path / "scene.tif", pixels), ByValue())
    np.testing.assert_array_equal(labels, DUBAI.ids[pixels[0] % 5])


def test_nodata_stays_nodata_and_does_not_reach_the_network(tmp_path):
    pixels = np.maximum(noise(150, 400), 1)
    pixels[:, :, :250] = 0
    pixels[1, 5, 300] = 0  # one band alone makes a pixel invalid
    segmenter = ByValue()
    labels = run_map(placed_tif(tmp_path / "scene.tif", pixels, nodata=0), segmenter)
    invalid = (pixels == 0).any(axis=0)
    assert (labels[invalid] == NODATA).all()
    np.testing.assert_array_equal(labels[~invalid], DUBAI.ids[pixels[0][~invalid] % 5])
    frames = segmenter.frames(Grid(150, 400))
    assert 0 < len(segmenter.seen) < len(frames), "frames without data run for nothing"
    assert all((chip.pixels > 0).all() for chip in segmenter.seen), "black reaches the network"


def segment(form=Form.BOTH_WAYS, size=(256, 256), reference=False, **changes):
    card = small_card(form, **changes)
    torch.manual_seed(1)
    net = GLNet(card.architecture).eval()
    chip = Chip(noise(*size), np.ones(size, bool), Grid(*size))
    return GLNetSegmenter(net, card, CPU, reference)(chip)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("size", [(1, 1), (30, 200), (256, 256), (130, 311)])
def test_scores_cover_frames_of_any_shape(form, size):
    scores = segment(form, size)
    assert scores.shape == (5, *size) and np.isfinite(scores).all()
    assert scores.dtype == np.float32


def test_ignored_classes_are_predicted_under_reference_only():
    scores = segment(legend=DEEPGLOBE)
    assert (scores[0] == -np.inf).all() and np.isfinite(scores[1:]).all()
    assert np.isfinite(segment(legend=DEEPGLOBE, reference=True)).all()


def test_reference_frames_have_the_trained_extent():
    card = small_card()
    net = GLNet(card.architecture).eval()
    grid = Grid(300, 700)
    reads = [f.read for f in GLNetSegmenter(net, card, CPU, reference=True).frames(grid)]
    assert {(r.height, r.width) for r in reads} == {(256, 256)}


def test_map_lies_on_the_scenes_grid(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(301, 407))
    summary = predict(scene, tmp_path / "map.tif", model=str(model))
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert (dataset.height, dataset.width, dataset.count) == (301, 407, 1)
        assert dataset.transform == UTM["transform"] and dataset.crs == UTM["crs"]
        assert dataset.dtypes == ("uint8",) and dataset.nodata == NODATA
        assert dataset.tags()["MODEL"] == "small 0.1" and dataset.tags()["CLASS_5"] == "water"
        labels = dataset.read(1)
    assert set(np.unique(labels)) <= set(DUBAI.ids)
    assert summary.pixels == {int(v): int((labels == v).sum()) for v in np.unique(labels)}
    shares = [summary.share(c.id) for c in DUBAI.classes]
    assert sum(shares) == pytest.approx(1)
    assert sum(summary.area_ha(c.id) for c in DUBAI.classes) == pytest.approx(301 * 407 / 4 / 1e4)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "map.tif",
        "map.tif.aux.xml",
        "scene.tif",
    ]


def test_second_run_gives_the_same_map(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(260, 300))
    maps = []
    for _ in range(2):
        predict(scene, tmp_path / "map.tif", model=str(model), overwrite=True)
        maps.append((tmp_path / "map.tif").read_bytes())
    assert maps[0] == maps[1]


def test_float_scene_is_stretched_over_the_whole_scene(tmp_path, model):
    pixels = noise(260, 300)
    scaled = (pixels * 12.5 - 300).astype(np.float32)
    scaled[:, :20] = np.nan
    predict(placed_tif(tmp_path / "f.tif", scaled), tmp_path / "f_map.tif", model=str(model))
    with rasterio.open(tmp_path / "f_map.tif") as dataset:
        labels = dataset.read(1)
    assert (labels[:20] == NODATA).all() and (labels[20:] != NODATA).all()


def test_scene_without_data_gives_a_map_without_data(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", np.zeros((3, 300, 280), np.uint8), nodata=0)
    summary = predict(scene, tmp_path / "map.tif", model=str(model))
    assert summary.pixels == {NODATA: 300 * 280}
    assert summary.share(1) is None


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_picture_without_place_keeps_its_pixels(tmp_path, model, caplog, suffix):
    path = tmp_path / f"scene{suffix}"
    Image.fromarray(noise(120, 200).transpose(1, 2, 0)).save(path)
    summary = predict(path, tmp_path / "map.tif", model=str(model))
    with rasterio.open(path) as source, rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.crs is None and dataset.transform == source.transform
        assert (dataset.height, dataset.width) == (120, 200)
    assert summary.area_ha(1) is None
    assert "has no CRS or no transform" in caplog.text


def test_other_ground_resolution_is_warned_of(tmp_path, caplog):
    model = small_model(tmp_path / "m.safetensors", Form.GLOBAL, gsd=10.0)
    scene = placed_tif(tmp_path / "scene.tif", noise(100, 100))
    predict(scene, tmp_path / "map.tif", model=str(model))
    assert "0.5 m pixels" in caplog.text and "trained at 10 m" in caplog.text


def test_device_that_is_not_there():
    assert choose_device("cpu") == CPU
    with pytest.raises(GlnetGeoError, match="cannot be used here"):
        choose_device("cuda:7")
    with pytest.raises(GlnetGeoError, match="cannot be used here"):
        choose_device("toaster")
