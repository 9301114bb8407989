from __future__ import annotations

import numpy as np
import pytest

from glnet_geo.datasets import load_dataset
from glnet_geo.errors import DatasetError, GlnetGeoError
from glnet_geo.grid import Window
from glnet_geo.labelled_scene import OpenScene
from glnet_geo.legend import DUBAI, IGNORED
from glnet_geo.model_options import PAPER_OPTIONS, ModelOptions, resolve_options
from tests.rasters import noise, placed_tif

SCENE = 'image = "a.tif"\nlabels = "l.tif"\nsplit = "train"'


def dataset_file(folder, text):
    path = folder / "data.toml"
    path.write_text(text)
    return path


def minimal(scene=SCENE, top='legend = "dubai"', model=""):
    return f'name = "d"\n{top}\n[[scenes]]\n{scene}\n{model}'


def test_dataset_file(tmp_path):
    legend = (
        'legend = { name = "town", ignore = [0], classes = ['
        '{ id = 1, name = "roof", color = "#ff0000" }, { id = 7, name = "rest", color = "#00ff00" }'
        "] }"
    )
    scene = SCENE + "\nbands = [4, 3, 2]\nlabels_map = { 255 = 1 }"
    path = dataset_file(tmp_path, minimal(scene, legend, "[model]\nframe = 1024\ngsd = 0.3"))
    dataset = load_dataset(path)
    (only,) = dataset.split("train")
    assert only.image == tmp_path / "a.tif" and only.bands == (4, 3, 2)
    assert only.labels_map == {255: 1} and dataset.split("val") == ()
    assert dataset.legend.ids.tolist() == [1, 7]
    assert resolve_options(dataset.model) == ModelOptions(frame=1024, gsd=0.3)
    assert load_dataset(path, tmp_path / "other").scenes[0].image == tmp_path / "other/a.tif"


def test_reference_preset(tmp_path):
    text = minimal(model='[model]\npreset = "reference"')
    assert resolve_options(load_dataset(dataset_file(tmp_path, text)).model) == PAPER_OPTIONS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "cannot be read as TOML"),
        ('legend = "dubai"\nscenes = []', "needs 'name'"),
        ('name = "d"\nlegend = "dubai"', "needs 'scenes'"),
        (minimal(top='legend = "atlantis"'), "neither a file nor a legend"),
        (minimal(top="legend = 3"), "neither a name"),
        (minimal(top=""), "neither a name"),
        (minimal(SCENE + '\ncolour = "red"'), "unknown key 'colour'"),
        (minimal('image = "a.tif"\nsplit = "train"'), "needs 'labels'"),
        (minimal(SCENE.replace("train", "training")), "one of train, val, test"),
        (minimal(SCENE.replace("train", "val")), 'no scene has split = "train"'),
        (minimal(SCENE + '\nbands = "rgb"'), "bands"),
        (minimal(SCENE + "\nlabels_map = { 300 = 1 }"), "outside 0-255"),
        (minimal(SCENE + "\nlabels_map = { 3 = 900 }"), "labels_map"),
        (minimal(model="[model]\nframes = 5"), "unknown key 'frames'"),
        (minimal(model="[model]\nframe = 5"), "frame in [model]"),
        (minimal(model="[model]\npatch_size = 5000"), "exceeds frame"),
        (minimal(model="[model]\nwidths = [1]"), "widths"),
        (minimal(model="[model]\ngsd = -1"), "gsd"),
        (minimal(model="[model]\nglobal_size = 510"), "multiple of 4"),
        ("a = " + "[" * 5000, "cannot be read as TOML"),
        (minimal(model='[model]\npreset = "big"'), "preset"),
    ],
)
def test_what_is_wrong_with_a_dataset_file_is_named(tmp_path, text, message):
    path = dataset_file(tmp_path, text)
    with pytest.raises(DatasetError) as caught:
        load_dataset(path)
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_dataset_file(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        load_dataset(tmp_path / "none.toml")


def open_scene(folder, image, labels, extra=""):
    placed_tif(folder / "a.tif", image)
    placed_tif(folder / "l.tif", labels)
    dataset = load_dataset(dataset_file(folder, minimal(SCENE + extra)))
    return OpenScene(dataset.scenes[0], DUBAI, 3)


def label_ids(height, width):
    return np.random.default_rng(1).integers(0, 6, (1, height, width), np.uint8)


def test_window_of_a_scene_has_its_pixels_and_positions(tmp_path):
    image, labels = noise(90, 110), label_ids(90, 110)
    with open_scene(tmp_path, image, labels) as scene:
        sample = scene.read(Window(13, 21, 64, 64), 64)
    inside = np.s_[13:77, 21:85]
    np.testing.assert_array_equal(sample.pixels, image[(slice(None), *inside)])
    # Ids 1-5 are positions 0-4; 0 is ignored, and 0 - 1 is 255 in uint8 as well.
    np.testing.assert_array_equal(sample.target, labels[0][inside] - 1)


def test_colours_are_labels_too(tmp_path):
    labels = label_ids(90, 110).clip(1)
    colors = DUBAI.rgb_table()[labels[0]].transpose(2, 0, 1)
    with open_scene(tmp_path, noise(90, 110), colors, "\npalette = true") as scene:
        target = scene.read_positions(scene.grid.window)
    np.testing.assert_array_equal(target, labels[0] - 1)


def test_labels_map_entries_do_not_build_on_each_other(tmp_path):
    labels = np.array([[[1, 2, 3, 1]]], np.uint8).repeat(90, 1).repeat(25, 2)
    extra = "\nlabels_map = { 1 = 2, 2 = 1 }"
    with open_scene(tmp_path, noise(90, 100), labels, extra) as scene:
        assert scene.read_positions(Window(0, 0, 1, 100))[0, [0, 30, 60, 99]].tolist() == [
            1,
            0,
            2,
            1,
        ]


def test_labels_map_and_nodata(tmp_path):
    labels = label_ids(90, 110)
    labels[0, 0, 0], labels[0, 0, 1] = 99, 3
    image = noise(90, 110).clip(1)
    image[:, 0, 1] = 0
    placed_tif(tmp_path / "a.tif", image, nodata=0)
    placed_tif(tmp_path / "l.tif", labels)
    text = minimal(SCENE + "\nlabels_map = { 99 = 5 }")
    dataset = load_dataset(dataset_file(tmp_path, text))
    with OpenScene(dataset.scenes[0], DUBAI, 3) as scene:
        target = scene.read(Window(0, 0, 90, 90), 90).target
    assert target[0, 0] == 4 and target[0, 1] == IGNORED


@pytest.mark.parametrize(
    ("labels", "extra", "message"),
    [
        (np.full((1, 90, 110), 77, np.uint8), "", "value 77"),
        (np.full((1, 90, 110), 700, np.uint16), "", "outside 0-255"),
        (np.full((3, 90, 110), 9, np.uint8), "\npalette = true", "colour #090909"),
        (np.ones((1, 90, 111), np.uint8), "", "must be equal"),
    ],
)
def test_labels_that_do_not_fit_are_named(tmp_path, labels, extra, message):
    with (
        pytest.raises(GlnetGeoError, match=message) as caught,
        open_scene(tmp_path, noise(90, 110), labels, extra) as scene,
    ):
        scene.read_positions(scene.grid.window)
    assert "l.tif" in str(caught.value)
