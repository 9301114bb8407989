from __future__ import annotations

import json

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from glnet_geo.dataset_check import check_dataset
from glnet_geo.datasets import load_dataset
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


def test_blocks_of_one_lattice_do_not_leak(folder):
    placed_tif(folder / "b.tif", noise(SIDE, SIDE), **at(500_030))
    placed_tif(folder / "b_labels.tif", ids(), **at(500_030))
    write(folder, ("a", "blocks"), ("b", "blocks"), model='[blocks]\nsize = "10m"\nval = 0.3')
    assert not check(folder).errors


def test_what_may_be_meant_so_is_a_warning(folder):
    placed_tif(folder / "a.tif", np.full((3, SIDE, SIDE), 9, np.uint8), **at(500_000))
    placed_tif(folder / "a_labels.tif", ids(high=5), **at(500_000))
    placed_tif(folder / "b.tif", noise(SIDE, SIDE), **at(500_060, pixel=2.5))
    placed_tif(folder / "b_labels.tif", ids(low=2), **at(500_060, pixel=2.5))
    write(folder, ("a", "train"), ("b", "val"), model="frame = 64\npatch_size = 64\ngsd = 0.5")
    found = check(folder)
    text = "\n".join(found.warnings)
    assert not found.errors and len(found.warnings) == 4
    assert "a.tif has the value 9 everywhere" in text
    assert "'water' is nowhere in train" in text and "'building' is nowhere in val" in text
    assert "b.tif has 2.5 m pixels, where 0.5 m are usual" in text


def test_labels_on_another_grid_are_noted(folder):
    placed_tif(folder / "a_labels.tif", ids(), **at(500_000, pixel=0.6))
    found = check(folder)
    assert not found.errors
    assert any("aligned" in note for one in found.scenes for note in one.notes)
