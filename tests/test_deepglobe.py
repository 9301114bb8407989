from __future__ import annotations

import logging
import re

import numpy as np
import pytest
from PIL import Image

from glnet_geo.datasets import load_dataset
from glnet_geo.errors import DatasetError
from glnet_geo.legend import DEEPGLOBE
from glnet_geo.sampling import OpenScene

LINE = 'deepglobe = "land"'


def write(folder, *ids, masks=True, image="", mask=""):
    for one in ids:
        for name, there in ((f"{image}/{one}_sat.jpg", True), (f"{mask}/{one}_mask.png", masks)):
            if there:
                path = folder / name.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (0, 255, 255)).save(path)


def load(folder, text=LINE, data=None):
    path = folder / "data.toml"
    path.write_text(text)
    return load_dataset(path, data)


def ids(dataset, split):
    return [scene.image.name.removesuffix("_sat.jpg") for scene in dataset.split(split)]


@pytest.fixture
def land(tmp_path):
    write(tmp_path / "land", *"123456")
    return tmp_path / "land"


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, "glnet_geo")
    return caplog


def test_one_line_is_enough(land, log):
    write(land, "7", "8", masks=False)
    dataset = load(land.parent)
    assert dataset.name == "deepglobe" and dataset.legend == DEEPGLOBE
    assert len(dataset.scenes) == 6 and dataset.scenes[0].labels == land / "1_mask.png"
    with OpenScene(dataset.scenes[0], dataset.legend, 3) as scene:
        assert (scene.read_positions(scene.grid.window) == 1).all()  # cyan is urban
    texts = [record.getMessage() for record in log.records]
    assert len(texts) == 2 and "2 images in" in texts[0] and "no mask" in texts[0]
    assert re.search(r"6 images are split by a hash of their ids into \d train", texts[1])
    assert "455 / 207 / 142" in texts[1]


def test_hash_keeps_the_papers_proportions(tmp_path):
    folder = tmp_path / "land"
    folder.mkdir()
    for one in range(803):  # as many as the archive has
        for name in (f"{one}_sat.jpg", f"{one}_mask.png"):
            (folder / name).touch()
    dataset = load(tmp_path)
    assert [len(dataset.split(split)) for split in ("train", "val", "test")] == [454, 207, 142]
    # It is no stretch of the numbers: neighbours in the archive may be neighbours on the ground.
    assert abs(np.mean([int(one) for one in ids(dataset, "val")]) - 401) < 60
    before = {scene.image.name: scene.split for scene in dataset.scenes}
    for one in range(0, 803, 80):
        (folder / f"{one}_mask.png").unlink()
    after = {scene.image.name: scene.split for scene in load(tmp_path).scenes}
    assert sum(before[name] != split for name, split in after.items()) < 16


@pytest.mark.parametrize(("count", "splits"), [(1, [1, 0, 0]), (2, [1, 1, 0]), (5, [3, 1, 1])])
def test_few_images_are_split_too(tmp_path, count, splits):
    write(tmp_path / "land", *map(str, range(count)))
    dataset = load(tmp_path)
    assert [len(dataset.split(split)) for split in ("train", "val", "test")] == splits


def test_name_legend_and_model_may_be_given(land):
    text = f'name = "mine"\n{LINE}\nlegend = "loveda"\n[model]\nframe = 1024'
    dataset = load(land.parent, text)
    assert (dataset.name, dataset.legend.name) == ("mine", "loveda")
    assert dataset.model == {"frame": 1024}


def test_data_is_where_the_folder_starts_from(land, tmp_path_factory):
    assert load(tmp_path_factory.mktemp("recipe"), data=land.parent).scenes[0].image.parent == land


@pytest.mark.parametrize("place", [".", ".."])
def test_lists_in_the_folder_or_beside_it(land, place, log):
    (land / place / "train.txt").write_text("\ufeff# the paper's\r\n1_sat.jpg\r\n\r\n2\r\n2\r\n")
    (land / place / "valid.txt").write_text("x/3_sat.jpg  # odd\nx\\4_mask.png\n", "utf-8")
    dataset = load(land.parent)
    assert [ids(dataset, split) for split in ("train", "val", "test")] == [
        ["1", "2"],
        ["3", "4"],
        [],
    ]
    assert [record.getMessage() for record in log.records] == [
        "2 images are in no list and are left out."
    ]


def test_lists_by_name(land):
    (land / "train.txt").write_text("5")
    (land.parent / "mine.txt").write_text("1\n2")
    (land / "held.txt").write_text("3")
    text = 'deepglobe = { folder = "land", train = "mine.txt", val = "land/held.txt" }'
    dataset = load(land.parent, text)
    assert ids(dataset, "train") == ["1", "2"] and ids(dataset, "val") == ["3"]


def test_a_recipe_carries_its_lists(land, tmp_path_factory):
    recipe = tmp_path_factory.mktemp("recipe")
    (recipe / "mine.txt").write_text("4")
    text = 'deepglobe = { folder = "land", train = "mine.txt" }'
    assert ids(load(recipe, text, land.parent), "train") == ["4"]


def test_listed_images_without_a_mask_are_a_warning(land, log):
    write(land, "7", "8", "9", masks=False)
    (land / "train.txt").write_text("1\n7")
    (land / "test.txt").write_text("8")
    dataset = load(land.parent)
    assert ids(dataset, "train") == ["1"] and ids(dataset, "test") == []
    assert log.records[0].levelname == "WARNING"
    assert log.records[0].getMessage().startswith("2 listed images have no mask")


def test_folders_of_the_glnet_repository(tmp_path, log):
    land = tmp_path / "land"
    write(land / "train", "1", "2", image="Sat", mask="Label")
    write(land / "crossvali", "3", image="Sat", mask="Label")
    write(land / "offical_crossvali", "4", image="Sat", masks=False)
    dataset = load(tmp_path)
    assert ids(dataset, "train") == ["1", "2"] and ids(dataset, "val") == ["3"]
    assert dataset.split("val")[0].labels == land / "crossvali/Label/3_mask.png"
    assert ids(dataset, "test") == []
    assert [record.getMessage()[:9] for record in log.records] == ["1 images "]


def test_archive_whose_masks_are_all_in_train_is_split_by_hash(tmp_path, log):
    land = tmp_path / "land"
    write(land / "train", *map(str, range(12)))
    write(land / "valid", "20", "21", masks=False)
    dataset = load(tmp_path)
    assert len(dataset.scenes) == 12 and dataset.split("val")
    assert "split by a hash" in log.records[-1].getMessage()


def test_a_second_copy_of_an_image_is_named(land):
    write(land, "1", image="Sat")
    with pytest.raises(DatasetError, match=r"1_sat\.jpg is there twice"):
        load(land.parent)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('deepglobe = "none"', "none does not exist"),
        ('deepglobe = "data.toml"', "is no folder"),
        ('deepglobe = "empty"', "no pair of ID_sat.jpg and ID_mask.png"),
        ("deepglobe = 3", "neither a folder nor a table"),
        ('deepglobe = ""', "folder of deepglobe is empty"),
        ("deepglobe = {}", "deepglobe needs 'folder'"),
        ('deepglobe = { folder = "land", trian = "a" }', "unknown key 'trian'"),
        ('deepglobe = { folder = "land", train = 3 }', "deepglobe needs 'train'"),
        ('deepglobe = { folder = "land", train = "no.txt" }', "no.txt does not exist"),
        ('deepglobe = { folder = "land", train = "land/1_sat.jpg" }', "cannot be read as a list"),
        ('deepglobe = { folder = "land", train = "bad.txt" }', "lists 77, which has no 77_sat.jpg"),
        ('deepglobe = { folder = "land", train = "bad.txt" }', "2 of 3 listed"),
        ('deepglobe = { folder = "land", val = "one.txt" }', 'no scene has split = "train"'),
        (
            'deepglobe = { folder = "land", train = "one.txt", val = "one.txt" }',
            "lists 1, which is in train already",
        ),
        (LINE + "\nscenes = []", "both given"),
        (LINE + '\n[blocks]\nsize = "9px"', "no scene has split"),
    ],
)
def test_what_is_wrong_is_named(land, text, message):
    (land.parent / "empty").mkdir()
    (land.parent / "bad.txt").write_text("1\n77\n78")
    (land.parent / "one.txt").write_text("1")
    with pytest.raises(DatasetError) as caught:
        load(land.parent, text)
    assert message in str(caught.value) and "data.toml: " in str(caught.value)
    assert "\n" not in str(caught.value)
