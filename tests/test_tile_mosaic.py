"""Adjacent tiles read as one scene."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from glnet_geo.errors import RasterError
from glnet_geo.grid import Window
from glnet_geo.raster import SceneReader
from glnet_geo.scene_facts import read_facts
from glnet_geo.tile_groups import group_tiles
from glnet_geo.tile_mosaic import PlacedTile, TileMosaic
from tests.rasters import UTM, noise, placed_tif

SIDE = 40


def cut(folder, pixels, side=SIDE, **profile):
    """Tiles of a scene by name."""
    paths = {}
    for row in range(0, pixels.shape[1], side):
        for column in range(0, pixels.shape[2], side):
            name = f"t{row // side}{column // side}"
            place = UTM["transform"] @ type(UTM["transform"]).translation(column, row)
            part = pixels[:, row : row + side, column : column + side]
            paths[name] = placed_tif(folder / f"{name}.tif", part, transform=place, **profile)
    return paths


def opened(paths, failures=None, attempts=1, open_tile=SceneReader):
    (mosaic,) = group_tiles({name: read_facts(path) for name, path in paths.items()})
    tiles = [PlacedTile(name, paths[name], place) for name, place in mosaic.places.items()]
    return TileMosaic(tiles, mosaic.grid, open_tile, {} if failures is None else failures, attempts)


@pytest.mark.parametrize("window", [Window(0, 0, 100, 130), Window(33, 35, 20, 50)])
def test_a_window_is_that_of_the_undivided_scene(tmp_path, window):
    pixels = noise(100, 130)
    pixels[:, 20:50, 30:60] = 0
    whole = placed_tif(tmp_path / "whole.tif", pixels, nodata=0)
    with opened(cut(tmp_path, pixels, nodata=0)) as mosaic, SceneReader(whole) as scene:
        ours, theirs = mosaic.read(window), scene.read(window)
        np.testing.assert_array_equal(ours.pixels[:, ours.valid], theirs.pixels[:, theirs.valid])
        np.testing.assert_array_equal(ours.valid, theirs.valid)
        assert ours.grid.transform.almost_equals(theirs.grid.transform)
        view, other = mosaic.view(61, 77), scene.view(61, 77)
        part = Window(20, 20, 30, 40)
        np.testing.assert_array_equal(view.read(part).valid, other.read(part).valid)
        np.testing.assert_array_equal(view.read(part).pixels, other.read(part).pixels)


def test_gaps_have_no_data(tmp_path):
    paths = cut(tmp_path, noise(80, 120))
    del paths["t01"]
    with opened(paths) as mosaic:
        valid = mosaic.read(mosaic.grid.window).valid
    assert not valid[:SIDE, SIDE : 2 * SIDE].any() and valid.sum() == 5 * SIDE * SIDE


def test_where_tiles_overlap_the_first_with_data_counts(tmp_path):
    shift = type(UTM["transform"]).translation(SIDE - 3, 0)
    one, other = noise(SIDE, SIDE, seed=1) | 1, noise(SIDE, SIDE, seed=2) | 1
    one[:, :10] = 0
    paths = {
        "a": placed_tif(tmp_path / "a.tif", one, nodata=0),
        "b": placed_tif(tmp_path / "b.tif", other, nodata=0, transform=UTM["transform"] @ shift),
    }
    with opened(paths) as mosaic:
        chip = mosaic.read(mosaic.grid.window)
    assert (chip.pixels[:, 10:, SIDE - 3 : SIDE] == one[:, 10:, -3:]).all()
    assert (chip.pixels[:, :10, SIDE - 3 : SIDE] == other[:, :10, :3]).all()


def test_a_broken_tile_is_told_and_has_no_data(tmp_path):
    paths = cut(tmp_path, noise(80, 80).astype(np.uint16))
    data = paths["t11"].read_bytes()
    paths["t11"].write_bytes(data[: len(data) // 2])
    failures = {}
    with opened(paths, failures) as mosaic:
        chip = mosaic.read(mosaic.grid.window)
        assert not chip.valid[SIDE:, SIDE:].any() and chip.valid.sum() == 3 * SIDE * SIDE
        assert failures.keys() == {"t11"} and "t11.tif cannot be read" in failures["t11"]
        assert mosaic.sample(64).shape[0] == 3


def test_nothing_readable_is_an_error(tmp_path):
    paths = cut(tmp_path, noise(40, 80))
    tiles = [PlacedTile(name, path, Window(0, 0, 40, 40)) for name, path in paths.items()]
    for path in paths.values():
        path.write_text("no raster")
    with pytest.raises(RasterError, match=r"t00.*; .*t01"):
        TileMosaic(tiles, tiles and read_grid(tmp_path), SceneReader, {})


def read_grid(folder):
    return read_facts(placed_tif(folder / "grid.tif", noise(40, 80))).grid


def test_tiles_are_tried_as_often_as_told_and_opened_once(tmp_path):
    paths = cut(tmp_path, noise(40, 80))
    opens = []

    def open_tile(path, fails):
        opens.append(path.name)
        if len(opens) <= fails:
            raise RasterError("not yet")
        return SceneReader(path)

    failures = {}
    with opened(paths, failures, 3, partial(open_tile, fails=2)) as mosaic:
        mosaic.read(mosaic.grid.window)
        mosaic.read(mosaic.grid.window)
    assert opens == ["t00.tif"] * 3 + ["t01.tif"] and not failures


def test_a_tile_that_changed_its_size_is_told(tmp_path):
    paths = cut(tmp_path, noise(40, 80))
    failures = {}
    mosaic = opened(paths, failures)
    mosaic.close()
    placed_tif(paths["t01"], noise(20, 20))
    assert not mosaic.read(mosaic.grid.window).valid[:, SIDE:].any()
    assert "changed its size" in failures["t01"]


def test_the_sample_is_from_all_over(tmp_path):
    """Not of one column of tiles, as every so many of a list by rows would be."""
    pixels = np.zeros((1, 20 * 16, 20 * 16), np.uint16)
    pixels[:] = np.arange(pixels.shape[2])
    with opened(cut(tmp_path, pixels, 20)) as mosaic:
        values = mosaic.sample(256)
    assert len(np.unique(values // 20)) > 10
