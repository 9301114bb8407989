"""Scenes through a segmenter: every pixel once, on the scene's own grid, honest about the data."""

from __future__ import annotations

import threading
import tracemalloc
from contextlib import contextmanager
from functools import partial

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from glnet_geo.blending import StripFiles
from glnet_geo.features import AreaOfInterest
from glnet_geo.frame_source import Footing, FrameSource
from glnet_geo.legend import DUBAI, NODATA
from glnet_geo.mapping import map_scene
from glnet_geo.radiometry import Stretch, find_stretch
from glnet_geo.raster import SceneReader
from glnet_geo.tiling import ViewAxis
from glnet_geo.validity import Validity
from tests.rasters import noise, placed_tif
from tests.segmenters import ByValue


class Kept:
    """A map in memory that takes each pixel once, row of frames by row of frames."""

    def __init__(self, grid):
        self.labels = np.zeros((grid.height, grid.width), np.uint8)
        self.parts = []

    @contextmanager
    def part(self, index, rows):
        assert index == len(self.parts)
        assert rows.top == (self.parts[-1].bottom if self.parts else 0)
        assert rows.left == 0 and rows.width == self.labels.shape[1]
        self.parts.append(rows)
        yield self
        assert self.labels[rows.slices].all(), "a pixel is missing"

    def write(self, labels, window):
        assert labels.shape == (window.height, window.width)
        assert self.parts[-1].contains(window)
        assert not self.labels[window.slices].any(), "a pixel was written twice"
        self.labels[window.slices] = labels


def run_map(path, segmenter, tmp_path, *, view=None, area=None, spool=True, validity=None):
    choice = {"validity": validity} if validity else {}
    open_scene = partial(SceneReader, path, None, 3, **choice)
    with open_scene() as scene:
        grid, stretch = scene.grid, find_stretch(scene)
    footing = Footing.of_scene(grid)
    if view is not None:
        footing = Footing(ViewAxis(grid.height, view[0]), ViewAxis(grid.width, view[1]))
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    chosen = AreaOfInterest.read(area, grid) if area else None
    source = FrameSource(open_scene, footing, stretch, chosen, folder if spool else None)
    kept = Kept(grid)
    map_scene(source, segmenter, kept, StripFiles(folder))
    assert sum(part.height for part in kept.parts) == grid.height
    assert not [path for path in folder.iterdir() if path.name == "spool"]
    return kept.labels


@pytest.mark.parametrize("size", [(1, 1), (40, 300), (333, 101), (257, 390)])
def test_every_pixel_gets_its_own_class(tmp_path, size):
    pixels = noise(*size)
    labels = run_map(placed_tif(tmp_path / "scene.tif", pixels), ByValue(), tmp_path)
    np.testing.assert_array_equal(labels, DUBAI.ids[pixels[0] % 5])


def test_nodata_stays_nodata_and_does_not_reach_the_network(tmp_path):
    pixels = np.maximum(noise(150, 400), 1)
    pixels[:, :, :250] = 0
    pixels[1, 5, 300] = 0  # one band alone makes a pixel invalid
    segmenter = ByValue()
    labels = run_map(placed_tif(tmp_path / "scene.tif", pixels, nodata=0), segmenter, tmp_path)
    invalid = (pixels == 0).any(axis=0)
    assert (labels[invalid] == NODATA).all()
    np.testing.assert_array_equal(labels[~invalid], DUBAI.ids[pixels[0][~invalid] % 5])
    frames = segmenter.frames(150, 400)
    assert 0 < len(segmenter.seen) < len(frames), "frames without data run for nothing"
    assert all((chip.pixels > 0).all() for chip in segmenter.seen), "black reaches the network"


def test_frames_are_read_in_another_thread_with_its_own_handle(tmp_path, monkeypatch):
    users = {}
    read = SceneReader.read

    def recording(self, window):
        users.setdefault(id(self), set()).add(threading.get_ident())
        return read(self, window)

    monkeypatch.setattr(SceneReader, "read", recording)
    segmenter = ByValue()
    path = placed_tif(tmp_path / "scene.tif", np.maximum(noise(200, 600), 1), nodata=0)
    run_map(path, segmenter, tmp_path, view=(150, 450))
    assert segmenter.threads == {threading.get_ident()}
    assert all(len(threads) == 1 for threads in users.values()), "a handle was shared"


@pytest.mark.parametrize("view", [None, (197, 511)])
def test_a_striped_scene_is_read_in_bands_of_full_width(tmp_path, monkeypatch, view):
    pixels = np.maximum(noise(260, 700), 1)
    pixels[:, 100:140, 300:500] = 0
    striped = placed_tif(tmp_path / "striped.tif", pixels, nodata=0, blockysize=16)
    place = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    tiled = placed_tif(tmp_path / "tiled.tif", pixels, nodata=0, **place)
    expected = run_map(tiled, ByValue(), tmp_path, view=view)
    windows = []
    read = SceneReader.read

    def recording(self, window):
        if self.path == striped:
            windows.append(window)
        return read(self, window)

    monkeypatch.setattr(SceneReader, "read", recording)
    labels = run_map(striped, ByValue(), tmp_path, view=view)
    np.testing.assert_array_equal(labels, expected)
    rows = sum(window.height for window in windows if window.width == 700)
    assert 260 <= rows < 2 * 260, "rows are read again and again"
    if view is None:
        assert all(window.width == 700 for window in windows)


def test_rows_of_a_very_wide_scene_are_read_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("glnet_geo.spooling._BAND_BYTES", 3 * 700 * 10)
    pixels = noise(150, 700)
    path = placed_tif(tmp_path / "scene.tif", pixels, blockysize=1)
    heights = []
    read = SceneReader.read

    def recording(self, window):
        heights.append(window.height)
        return read(self, window)

    monkeypatch.setattr(SceneReader, "read", recording)
    labels = run_map(path, ByValue(), tmp_path)
    np.testing.assert_array_equal(labels, DUBAI.ids[pixels[0] % 5])
    assert max(heights) == 10


def test_indices_of_a_striped_palette_stay_indices(tmp_path):
    indices = np.random.default_rng(0).choice([0, 10], (120, 600)).astype(np.uint8)
    striped = placed_tif(tmp_path / "striped.tif", indices)
    with rasterio.open(striped, "r+") as dataset:
        dataset.write_colormap(1, {0: (0, 0, 0), 10: (9, 99, 200)})
    segmenter = ByValue()
    open_scene = partial(SceneReader, striped, None, 1)
    footing = Footing(ViewAxis(120, 60), ViewAxis(600, 300))
    source = FrameSource(open_scene, footing, Stretch(), None, tmp_path)
    frames = [frame for frame in source.read(segmenter.frames(60, 300)) if frame]
    assert set(np.unique([np.unique(frame.chip.pixels) for frame in frames])) == {0, 10}


def test_scattered_valid_pixels_are_mapped_in_a_view_too(tmp_path):
    pixels = np.zeros((3, 240, 260), np.uint8)
    pixels[:, ::9, ::9] = 6
    path = placed_tif(tmp_path / "scene.tif", pixels, nodata=0)
    labels = run_map(path, ByValue(), tmp_path, view=(60, 65))
    np.testing.assert_array_equal(labels == NODATA, pixels[0] == 0)


def test_a_finer_scene_is_seen_small_and_mapped_at_its_own_pixels(tmp_path):
    blocks = np.maximum(noise(130, 250), 1)
    pixels = blocks.repeat(2, axis=1).repeat(2, axis=2)
    segmenter = ByValue()
    path = placed_tif(tmp_path / "scene.tif", pixels)
    labels = run_map(path, segmenter, tmp_path, view=(130, 250))
    expected = DUBAI.ids[blocks[0] % 5].repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(labels, expected)
    assert max(chip.grid.width for chip in segmenter.seen) <= 125


def test_a_coarser_scene_is_seen_large_and_mapped_at_its_own_pixels(tmp_path):
    pixels = np.full((3, 60, 90), 7, np.uint8)
    pixels[:, :, 45:] = 13
    path = placed_tif(tmp_path / "scene.tif", pixels)
    labels = run_map(path, ByValue(), tmp_path, view=(180, 270))
    np.testing.assert_array_equal(labels, DUBAI.ids[pixels[0] % 5])


def test_in_a_view_nodata_is_that_of_the_scenes_own_pixels(tmp_path):
    pixels = np.full((3, 300, 330), 6, np.uint8)
    pixels[:, 51, 77] = 0
    pixels[:, 100:, 200:] = 0
    path = placed_tif(tmp_path / "scene.tif", pixels, nodata=0)
    labels = run_map(path, ByValue(), tmp_path, view=(100, 110))
    np.testing.assert_array_equal(labels == NODATA, pixels[0] == 0)


@pytest.mark.parametrize("view", [None, (110, 190)])
def test_an_area_of_interest_limits_map_and_work(tmp_path, view):
    pixels = noise(220, 380)
    path = placed_tif(tmp_path / "scene.tif", pixels)
    with SceneReader(path) as scene:
        corner = scene.grid.transform @ (30, 20)
        other = scene.grid.transform @ (90, 75)
    area = tmp_path / "area.gpkg"
    box = shapely.box(corner[0], other[1], other[0], corner[1])
    geopandas.GeoSeries([box], crs="EPSG:32633").to_file(area)
    segmenter = ByValue()
    labels = run_map(path, segmenter, tmp_path, view=view, area=area)
    inside = np.zeros((220, 380), bool)
    inside[20:75, 30:90] = True
    np.testing.assert_array_equal(labels != NODATA, inside)
    height, width = view or (220, 380)
    assert 0 < len(segmenter.seen) < len(segmenter.frames(height, width))
    if view is None:
        np.testing.assert_array_equal(labels[inside], DUBAI.ids[pixels[0][inside] % 5])
        # What lies around the area is context: the network sees it.
        seen = segmenter.seen[0]
        np.testing.assert_array_equal(seen.pixels, pixels[:, : seen.grid.height, : seen.grid.width])


def test_a_striped_scene_keeps_pixels_that_are_valid_through_one_band(tmp_path):
    pixels = (noise(130, 600) // 2 + 100).astype(np.float32)
    pixels[1, 30:60] = np.nan
    pixels[:, 90:95] = np.nan
    path = placed_tif(tmp_path / "scene.tif", pixels)
    validity = Validity(any_valid=True)
    labels = run_map(path, ByValue(), tmp_path, validity=validity)
    np.testing.assert_array_equal((labels == NODATA).all(axis=1), np.isnan(pixels[0, :, 0]))
    plain = run_map(path, ByValue(), tmp_path, validity=validity, spool=False)
    np.testing.assert_array_equal(labels, plain)


def test_memory_follows_the_frame_not_the_scene(tmp_path):
    peaks = []
    for side in (600, 2400):
        path = placed_tif(tmp_path / f"{side}.tif", noise(side, side), tiled=True)
        segmenter = ByValue(extent=280)
        segmenter.seen = Forgetful()
        open_scene = partial(SceneReader, path, None, 3)
        with open_scene() as scene:
            source = FrameSource(open_scene, Footing.of_scene(scene.grid), find_stretch(scene))
        tracemalloc.start()
        map_scene(source, segmenter, Nowhere(), StripFiles(tmp_path))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0], peaks


class Forgetful(list):
    """Keeps nothing."""

    def append(self, item):
        pass


class Nowhere:
    """A map that nobody keeps."""

    @contextmanager
    def part(self, index, rows):
        yield self

    def write(self, labels, window):
        pass
