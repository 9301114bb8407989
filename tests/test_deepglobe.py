from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from glnet_geo.datasets import load_dataset
from glnet_geo.errors import DatasetError
from glnet_geo.labelled_scene import OpenScene
from glnet_geo.legend import DEEPGLOBE


def make_pair(images, masks, name, seed=0):
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    ids = np.random.default_rng(seed).integers(0, 7, (16, 16), np.uint8)
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(images / f"{name}_sat.jpg")
    # Not quite pure, as where masks were stored with losses.
    colors = np.clip(DEEPGLOBE.rgb_table()[ids].astype(int), 9, 240).astype(np.uint8)
    Image.fromarray(colors).save(masks / f"{name}_mask.png")
    return ids


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate(("119", "606", "855")):
        make_pair(tmp_path / "land-train", tmp_path / "land-train", name, seed)
    return tmp_path / "land-train"


def load(folder, text='deepglobe = "land-train"'):
    path = folder.parent / "data.toml"
    path.write_text(text)
    return load_dataset(path)


def splits(dataset):
    return {scene.image.name.removesuffix("_sat.jpg"): scene.split for scene in dataset.scenes}


def test_one_line_is_a_dataset(folder, caplog):
    caplog.set_level(logging.INFO)
    dataset = load(folder)
    assert dataset.name == "deepglobe" and dataset.legend == DEEPGLOBE
    assert sorted(splits(dataset)) == ["119", "606", "855"] and "no lists" in caplog.text
    assert splits(load(folder)) == splits(dataset)


def test_masks_are_rounded_to_pure_colours(folder):
    ids = make_pair(folder, folder, "119")
    scene = next(one for one in load(folder).scenes if "119" in one.image.name)
    with OpenScene(scene, DEEPGLOBE, 3) as opened:
        found = opened.read_positions(opened.grid.window)
    np.testing.assert_array_equal(found, np.where(ids == 0, 255, ids))


def test_lists_say_the_split(folder):
    (folder.parent / "train.txt").write_text("# ours\n119_sat.jpg\n\n")
    (folder / "crossvali.txt").write_text("x/606\n")
    assert splits(load(folder)) == {"119": "train", "606": "val"}
    (folder.parent / "mine.txt").write_text("855\n606_mask.png")
    text = 'deepglobe = { folder = "land-train", train = "mine.txt" }'
    assert splits(load(folder, text)) == {"855": "train", "606": "train"}


def test_the_authors_folders_are_splits(tmp_path, caplog):
    for name, split in (("1", "train"), ("2", "crossvali")):
        make_pair(tmp_path / "data" / split / "Sat", tmp_path / "data" / split / "Label", name)
    (tmp_path / "data" / "offical_crossvali" / "Sat").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "data" / "offical_crossvali" / "Sat" / "3_sat.jpg")
    dataset = load(tmp_path / "data", 'name = "dg"\ndeepglobe = "data"')
    assert dataset.name == "dg" and splits(dataset) == {"1": "train", "2": "val"}
    assert "1 images have no mask" in caplog.text


def test_what_is_wrong_is_said(folder):
    (folder.parent / "list.txt").write_text("119\n7\n8\n")
    (folder.parent / "empty").mkdir()
    for text, message in (
        ('deepglobe = "nowhere"', "not a folder"),
        ('deepglobe = "empty"', "no image ID_sat.jpg"),
        ('deepglobe = { folder = "land-train", val = "list.txt" }', "names 7 and 1 more"),
        ('deepglobe = { folder = "land-train", val = "none.txt" }', "cannot be read as a list"),
        ('deepglobe = { folder = "land-train", dev = "list.txt" }', "unknown key 'dev'"),
        ('deepglobe = "land-train"\nscenes = []', "scenes has no place"),
    ):
        with pytest.raises(DatasetError, match=message) as caught:
            load(folder, text)
        assert "\n" not in str(caught.value)
