from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyproj import Transformer

from glnet_geo.dataset_check import check_dataset
from glnet_geo.datasets import LabelledScene, load_dataset
from glnet_geo.georeference import grid_of
from glnet_geo.opening import open_raster
from glnet_geo.scene_check import CheckedScene
from glnet_geo.split_leaks import _boxes_meet, _near, leaks
from tests.rasters import noise, placed_tif

SIDE = 120


def ids(height=SIDE, width=SIDE, low=1, high=6):
    return np.random.default_rng(0).integers(low, high, (1, height, width), np.uint8)


def at(east, north=5_000_000, pixel=0.5):
    return {"transform": Affine(pixel, 0, east, 0, -pixel, north)}


@pytest.fixture
def folder(tmp_path):
    """Two good scenes, side by side."""
    for name, east in (("a", 500_000), ("b", 500_060)):
        placed_tif(tmp_path / f"{name}.tif", noise(SIDE, SIDE), **at(east))
        placed_tif(tmp_path / f"{name}_labels.tif", ids(), **at(east))
    write(tmp_path, ("a", "train"), ("b", "val"))
    return tmp_path


def write(folder, *scenes, model="frame = 64\npatch_size = 64\nglobal_size = 64"):
    entries = "".join(
        f'[[scenes]]\nimage = "{name}.tif"\nlabels = "{name}_labels.tif"\nsplit = "{split}"\n'
        for name, split in scenes
    )
    (folder / "d.toml").write_text(f'name = "d"\nlegend = "dubai"\n{entries}[model]\n{model}\n')


def put(folder, name, place):
    """A scene with labels somewhere."""
    placed_tif(folder / f"{name}.tif", noise(SIDE, SIDE), **place)
    placed_tif(folder / f"{name}_labels.tif", ids(), **place)


def check(folder):
    return check_dataset(load_dataset(folder / "d.toml"), folder / "sheet.png", overwrite=True)


def test_a_good_dataset_is_told_and_shown(cli, folder):
    result = cli("train", folder / "d.toml", "--check")
    assert result.code == 0 and "0 errors, 0 warnings" in result.out
    assert "120 x 120 px, 0.5 m, EPSG:32633, 100.0 % labelled" in result.out
    with Image.open(folder / "d.check.png") as sheet:
        assert sheet.width > 3 * 320 and sheet.height > 6 * 320
    again = cli("train", folder / "d.toml", "--check", "--json")
    found = json.loads(again.out)
    assert again.code == 0 and found["errors"] == [] and len(found["scenes"]) == 2
    assert sum(found["pixels"]["train"].values()) == SIDE * SIDE
    named = ("train", folder / "d.toml", "--check", "-o", folder / "d.check.png")
    result = cli(*named)
    assert result.code == 1 and "--overwrite" in result.error
    assert cli(*named, "--overwrite").code == 0


def test_every_scene_that_is_wrong_is_named(cli, folder):
    labels = ids()
    labels[0, 0, :3], labels[0, 1, 0] = 77, 88
    placed_tif(folder / "b_labels.tif", labels, **at(500_060))
    for name in "cde":
        placed_tif(folder / f"{name}.tif", noise(SIDE, SIDE), **at(501_000))
        placed_tif(folder / f"{name}_labels.tif", 0 * ids(), **at(501_000))
    (folder / "c_labels.tif").unlink()
    placed_tif(folder / "d_labels.tif", ids(), **at(600_000))
    write(folder, ("a", "train"), ("b", "val"), ("c", "val"), ("d", "val"), ("e", "val"))
    found = check(folder)
    text = "\n".join(found.errors)
    assert len(found.errors) == 4 and found.exit_code == 1
    assert "b_labels.tif: no class of 'dubai' has 77 (3), 88 (1)" in text
    assert "c_labels.tif does not exist" in text
    assert "d_labels.tif" in text and "overlap" in text
    assert "e_labels.tif: no pixel has a label" in text
    result = cli("train", folder / "d.toml", "--check", "-q")
    assert result.code == 1 and result.out.count("  error: ") == 4


def test_a_damaged_image_is_found_at_its_end(folder):
    image = folder / "a.tif"
    Image.fromarray(np.moveaxis(noise(SIDE, SIDE), 0, -1)).save(folder / "a.jpg", quality=95)
    whole = (folder / "a.jpg").read_bytes()
    image.unlink()
    (folder / "a.tif").write_bytes(whole[: len(whole) // 2])
    found = check(folder)
    assert len(found.errors) == 1 and "a.tif" in found.errors[0]


def test_ground_that_two_splits_share_is_measured(folder):
    placed_tif(folder / "b.tif", noise(SIDE, SIDE), **at(500_030))
    placed_tif(folder / "b_labels.tif", ids(), **at(500_030))
    (leak,) = check(folder).errors
    assert "share 0.18 ha of ground, 50 % of the smaller one" in leak
    write(folder, ("a", "train"), ("b", "train"))
    found = check(folder)
    assert not found.errors and 'no scene has split = "val"' in found.warnings[0].lower()


def test_one_image_in_two_splits_is_an_error(folder):
    write(folder, ("a", "train"), ("a", "val"))
    (twice,) = check(folder).errors
    assert "a.tif is in train and val" in twice


def test_one_image_in_blocks_and_as_a_whole_is_an_error(folder):
    write(folder, ("a", "blocks"), ("a", "val"), model='[blocks]\nsize = "10m"\nval = 0.3')
    (twice,) = check(folder).errors
    assert "a.tif is in train and val" in twice


def test_blocks_of_one_lattice_do_not_leak(folder):
    put(folder, "b", at(500_030))
    write(folder, ("a", "blocks"), ("b", "blocks"), model='[blocks]\nsize = "10m"\nval = 0.3')
    assert not check(folder).errors


def test_blocks_that_do_not_agree_leak(folder):
    put(folder, "b", at(500_030))
    write(folder, ("a", "blocks"), ("b", "blocks"), model='[blocks]\nsize = "20px"\nval = 0.3')
    (leak,) = check(folder).errors  # blocks in pixels begin at each scene's own corner
    assert "share 0.18 ha" in leak and "blocks do not agree" in leak
    to_32 = Transformer.from_crs("EPSG:32633", "EPSG:32632", always_xy=True)
    east, north = to_32.transform(500_030, 5_000_000)
    put(folder, "b", {**at(east, north), "crs": "EPSG:32632"})
    write(folder, ("a", "blocks"), ("b", "blocks"), model='[blocks]\nsize = "10m"\nval = 0.3')
    (leak,) = check(folder).errors
    assert "blocks do not agree" in leak


def test_ground_is_shared_whatever_the_crs(folder):
    to_degrees = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    west, north = to_degrees.transform(500_030, 5_000_000)
    east, south = to_degrees.transform(500_090, 4_999_940)
    place = Affine((east - west) / SIDE, 0, west, 0, (south - north) / SIDE, north)
    put(folder, "b", {"transform": place, "crs": "EPSG:4326"})
    (leak,) = check(folder).errors
    assert float(re.search(r"share ([0-9.]+) ha", leak)[1]) == pytest.approx(0.18, abs=0.005)
    # The world does not fit into a UTM zone, while the zone's scene has its place in the world.
    put(folder, "b", {"transform": Affine(3, 0, -180, 0, -1.5, 90), "crs": "EPSG:4326"})
    (leak,) = check(folder).errors
    assert "share 0.36 ha of ground, 100 % of the smaller one" in leak


def test_a_site_without_a_place_on_the_globe_is_compared_with_itself(folder):
    site = 'LOCAL_CS["site",UNIT["metre",1]]'
    for name, east in (("a", 0), ("b", 45)):
        put(folder, name, {**at(east), "crs": site})
    put(folder, "c", at(500_000))
    write(folder, ("a", "train"), ("b", "val"), ("c", "val"))
    (leak,) = check(folder).errors
    assert "share ground, 25 % of the smaller one" in leak


@pytest.mark.parametrize("scale", [0.1, 1e-6])
def test_neighbours_do_not_share_ground(folder, scale):
    for name, column in (("a", 0), ("b", SIDE)):
        # Coordinates in files are rounded.
        place = Affine(scale, 0, round(500 + column * scale, 9), 0, -scale, 45)
        crs = "EPSG:32633" if scale == 0.1 else "EPSG:4326"
        put(folder, name, {"transform": place, "crs": crs})
    assert not check(folder).errors


@given(st.tuples(*[st.integers(-179, 179)] * 4), st.tuples(*[st.integers(-90, 90)] * 4))
def test_boxes_meet_round_the_globe(longitudes, latitudes):
    west, east, other_west, other_east = longitudes
    (south, north), (other_south, other_north) = sorted(latitudes[:2]), sorted(latitudes[2:])
    box = np.array([west, south, east, north])
    other = np.array([other_west, other_south, other_east, other_north])
    degrees = set(range(-180, 180))

    def along(left, right):
        return {
            x for x in degrees if (left <= x <= right if left <= right else not right < x < left)
        }

    meet = along(west, east) & along(other_west, other_east)
    meet = bool(meet) and south <= other_north and other_south <= north
    assert _boxes_meet(box, np.array([other, np.full(4, np.nan)])).tolist() == [meet, False]
    round_it = np.array([-180, -90, 180, 90])
    assert _boxes_meet(round_it, other[None])[0] and _boxes_meet(other, round_it[None])[0]


def test_only_neighbours_of_many_tiles_are_compared(folder):
    with open_raster(folder / "a.tif") as dataset:
        grid = grid_of(folder / "a.tif", dataset)
    tiles = []
    for k in range(400):
        place = Affine(0.5, 0, 500_000 + 60 * (k % 20), 0, -0.5, 5_000_000 - 60 * (k // 20))
        scene = LabelledScene(Path(f"{k}.tif"), Path("x"), "val" if k % 5 == 0 else "train")
        tiles.append(CheckedScene(scene, replace(grid, transform=place), 0.5, np.zeros(5), ()))
    assert len(list(_near([one.grid for one in tiles]))) <= 400 * 4
    assert list(leaks(tiles)) == []
    same_place = [replace(one, grid=grid) for one in tiles]
    assert len(list(leaks(same_place))) == 100


def test_what_cannot_be_read_is_not_said_to_lack_classes(folder):
    (folder / "a_labels.tif").unlink()
    found = check(folder)
    assert len(found.errors) == 1 and not found.warnings


def test_all_files_that_are_missing_are_named_once(cli, folder):
    result = cli("train", folder / "d.toml", "--check", "--data", folder / "nowhere")
    assert result.code == 1 and "labelled px" not in result.out
    for name in ("a", "a_labels", "b", "b_labels"):
        assert result.out.count(f"{name}.tif does not exist") == 1
    assert "4 errors, 0 warnings" in result.out and not (folder / "d.check.png").exists()


def test_unknown_values_are_all_in_the_json(folder):
    labels = ids()
    labels[0, 0] = np.arange(6, 6 + SIDE)
    placed_tif(folder / "a_labels.tif", labels, **at(500_000))
    found = check(folder)
    (error,) = found.errors
    assert "6 (1), 7 (1)" in error and "and 100 more" in error
    assert len(found.to_dict()["scenes"][0]["unknown"]) == SIDE


def test_a_band_that_is_the_same_everywhere_is_named(folder):
    image = noise(SIDE, SIDE)
    image[1] = 7
    placed_tif(folder / "a.tif", image, **at(500_000))
    image[:] = np.array([10, 20, 30], np.uint8)[:, None, None]
    placed_tif(folder / "b.tif", image, **at(500_060))
    one, other = check(folder).warnings
    assert "a.tif has the value 7 all over band 2" in one
    assert "b.tif has the value 10, 20, 30 everywhere" in other


def test_what_may_be_meant_so_is_a_warning(folder):
    placed_tif(folder / "a.tif", np.full((3, SIDE, SIDE), 9, np.uint8), **at(500_000))
    placed_tif(folder / "b.tif", noise(SIDE, SIDE), **at(500_060, pixel=2.5))
    placed_tif(folder / "b_labels.tif", ids(low=2), **at(500_060, pixel=2.5))
    write(folder, ("a", "train"), ("b", "val"), model="frame = 64\npatch_size = 64\ngsd = 0.5")
    found = check(folder)
    text = "\n".join(found.warnings)
    assert not found.errors and len(found.warnings) == 3
    assert "a.tif has the value 9 everywhere" in text
    assert "'building' is nowhere in val" in text
    assert "b.tif has 2.5 m pixels, where 0.5 m are usual" in text
    put(folder, "b", at(500_060, pixel=1.0))
    assert not any("usual" in one for one in check(folder).warnings)


def test_a_class_that_is_scored_but_not_learned_is_an_error(folder):
    placed_tif(folder / "a_labels.tif", ids(high=5), **at(500_000))
    (error,) = check(folder).errors
    assert "'water' is nowhere in train, but in val" in error
    write(folder, ("a", "train"))
    found = check(folder)
    assert not found.errors
    assert [one for one in found.warnings if "'water' is nowhere in train" in one]


def test_labels_on_another_grid_are_noted(folder):
    placed_tif(folder / "a_labels.tif", ids(), **at(500_000, pixel=0.6))
    found = check(folder)
    assert not found.errors
    assert any("aligned" in note for one in found.scenes for note in one.notes)
