from __future__ import annotations

import pytest

from glnet_geo.datasets import load_dataset
from glnet_geo.errors import DatasetError
from glnet_geo.grid import Grid

SCENE = 'image = "a.tif"\nlabels = "l.gpkg"\nsplit = "train"'
BLOCKS = '[blocks]\nsize = "8px"\nbuffer = "2px"\nval = 0.25\ntest = 0.25'
DIVIDED = SCENE.replace("train", "blocks")


def load(folder, *scenes, end="", legend='"dubai"'):
    path = folder / "data.toml"
    entries = "\n".join(f"[[scenes]]\n{scene}" for scene in scenes)
    path.write_text(f'name = "d"\nlegend = {legend}\n{entries}\n{end}\n', encoding="utf-8")
    return load_dataset(path)


def test_keys_of_vector_labels(tmp_path):
    more = 'gsd = 2\nattribute = "kind"\nlayer = "roofs"\nunlabelled = "LAND"\naoi = "town.gpkg"'
    (scene,) = load(tmp_path, f"{SCENE}\n{more}").scenes
    assert scene.gsd == 2.0 and scene.attribute == "kind" and scene.layer == "roofs"
    assert scene.unlabelled == "land"  # as the legend spells it
    assert scene.aoi == tmp_path / "town.gpkg" and scene.blocks is None


def test_what_is_not_given(tmp_path):
    (scene,) = load(tmp_path, SCENE).scenes
    assert (scene.gsd, scene.attribute, scene.layer, scene.aoi) == (None,) * 4
    assert scene.unlabelled == "ignore" and not scene.palette and scene.labels_map == {}


def test_labels_map_has_ids_and_names(tmp_path):
    entry = '\nlabels_map = { 7 = 1, "08" = 2, Roof = 1, "bare soil" = 2, "straße" = 3 }'
    (scene,) = load(tmp_path, SCENE + entry).scenes
    assert scene.labels_map == {7: 1, 8: 2, "Roof": 1, "bare soil": 2, "straße": 3}


def test_files_of_a_run_are_listed_once(tmp_path):
    dataset = load(tmp_path, DIVIDED + '\naoi = "z.gpkg"', SCENE, end=BLOCKS)
    assert [path.name for path in dataset.files] == ["a.tif", "l.gpkg", "z.gpkg"]


def test_scene_in_blocks_is_there_for_each_split(tmp_path):
    whole = SCENE.replace("a.tif", "b.tif").replace("train", "val")
    dataset = load(tmp_path, DIVIDED, whole, end=BLOCKS)
    names = [(scene.image.name, scene.split) for scene in dataset.scenes]
    assert names == [("a.tif", "train"), ("a.tif", "val"), ("a.tif", "test"), ("b.tif", "val")]
    grid = Grid(200, 200)
    shares = {
        scene.split: scene.blocks.mask(grid, grid.window).mean()
        for scene in dataset.scenes
        if scene.blocks
    }
    assert shares["val"] == pytest.approx(0.25, abs=0.02)
    assert shares["test"] == pytest.approx(0.25, abs=0.02)
    assert 0.1 < shares["train"] < 0.4  # the buffer takes its part of a half
    assert dataset.split("val")[1].blocks is None


def test_split_without_a_share_is_left_out(tmp_path):
    dataset = load(tmp_path, DIVIDED, end='[blocks]\nsize = "50m"')
    assert [scene.split for scene in dataset.scenes] == ["train", "val"]


def test_blocks_do_not_depend_on_where_the_data_lies(tmp_path):
    load(tmp_path, DIVIDED, end=BLOCKS)
    here, there = (
        load_dataset(tmp_path / "data.toml", folder) for folder in (None, tmp_path / "elsewhere")
    )
    assert [one.blocks for one in here.scenes] == [one.blocks for one in there.scenes]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('palette = "yes"', "palette of scene a.tif is neither true nor false"),
        ("palette = 1", "palette of scene a.tif"),
        ("gsd = 0", "gsd of scene a.tif is not a positive number"),
        ('gsd = "0.5"', "gsd of scene a.tif"),
        ("gsd = true", "gsd of scene a.tif"),
        ("gsd = inf", "gsd of scene a.tif"),
        ("gsd = nan", "gsd of scene a.tif"),
        ("attribute = 3", "needs 'attribute' (str)"),
        ('attribute = ""', "attribute of scene a.tif is empty"),
        ("layer = 0", "needs 'layer'"),
        ("aoi = [1]", "needs 'aoi'"),
        ('aoi = " "', "aoi of scene a.tif is empty"),
        ('aoi = "a\\u0000b"', "aoi of scene a.tif is empty or no plain text"),
        (
            'unlabelled = "lnad"',
            "'lnad'. It is one of ignore, building, land, road, vegetation, water.",
        ),
        ("unlabelled = 2", "needs 'unlabelled'"),
        ("bands = []", "bands of scene a.tif"),
        ("bands = [0]", "bands of scene a.tif"),
        ("bands = [true]", "bands of scene a.tif"),
        ("bands = {}", "bands of scene a.tif"),
        ("labels_map = 3", "labels_map of scene a.tif"),
        ("labels_map = { roof = true }", "labels_map of scene a.tif"),
        ('labels_map = { roof = "building" }', "labels_map of scene a.tif"),
        ("labels_map = { -1 = 2 }", "has the key -1, which is outside 0-255"),
        ("blocks = 3", "unknown key 'blocks'"),
    ],
)
def test_what_is_wrong_with_a_scene_is_named(tmp_path, more, message):
    with pytest.raises(DatasetError) as caught:
        load(tmp_path, f"{SCENE}\n{more}")
    assert message in str(caught.value) and "data.toml: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scene", "end", "message"),
    [
        (SCENE, BLOCKS, 'no scene has split = "blocks"'),
        (DIVIDED, "", "there is no [blocks] table"),
        (DIVIDED, "blocks = 3", "unknown key 'blocks'"),
        (DIVIDED, '[blocks]\nsize = "5"', "size of [blocks]: '5' is not a length"),
        (DIVIDED, '[blocks]\nsize = "9m"\nval = 0', "are both 0"),
        (SCENE.replace("a.tif", ""), "", "image of scene  is empty"),
        (SCENE, "[[model]]\nframe = 512", "[model] is not a table"),
        ("", "", "scene ? needs 'split'"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(tmp_path, scene, end, message):
    with pytest.raises(DatasetError) as caught:
        load(tmp_path, scene, end=end)
    assert message in str(caught.value) and "\n" not in str(caught.value)
