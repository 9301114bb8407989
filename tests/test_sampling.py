from __future__ import annotations

import logging

import numpy as np
import pytest

from glnet_geo.census import take_census
from glnet_geo.datasets import LabelledScene
from glnet_geo.errors import DatasetError
from glnet_geo.grid import Window
from glnet_geo.labelled_scene import OpenScene, ScenePool
from glnet_geo.legend import DUBAI, IGNORED
from glnet_geo.sampling import STILL, Augmentation, FrameSampler
from tests.rasters import noise, placed_tif

TURNED = Augmentation(scale=1, brightness=0, contrast=1, color=0)


def scene(folder, labels, name="a", image=None, **options):
    """A scene with labels H x W: ids of DUBAI, 0 for none."""
    image = noise(*labels.shape) if image is None else image
    placed_tif(folder / f"{name}.tif", image)
    placed_tif(folder / f"{name}_labels.tif", labels[None])
    files = folder / f"{name}.tif", folder / f"{name}_labels.tif"
    return LabelledScene(*files, "train", **options)


def ids(height, width, least=1):
    return np.random.default_rng(1).integers(least, 6, (height, width), np.uint8)


def sampler(scenes, size=100, augmentation=STILL, **options):
    return FrameSampler(ScenePool(scenes, DUBAI, 3), size, augmentation, **options)


def draws(made, count=20, size=100):
    return [made.draw(np.random.default_rng(seed), size) for seed in range(count)]


def test_samples_vary_and_repeat(tmp_path):
    made = sampler([scene(tmp_path, ids(150, 200))], augmentation=Augmentation())
    first, again, other = (made.draw(np.random.default_rng(seed), 100) for seed in (0, 0, 1))
    assert first.pixels.shape == (3, 100, 100) and first.target.shape == (100, 100)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert (first.pixels != other.pixels).any() and first.image == "a.tif"


def test_flips_and_turns_move_pixels_and_labels_alike(tmp_path):
    labels = ids(100, 100, 0)
    image = np.repeat(labels[None] * 10, 3, 0)
    made = sampler([scene(tmp_path, labels, image=image)], augmentation=TURNED)
    seen = set()
    for sample in draws(made):
        np.testing.assert_array_equal(sample.pixels[0] // 10 - 1, sample.target)
        seen.add(sample.target.tobytes())
    assert len(seen) == 8


def test_bands_vary_apart_from_each_other(tmp_path):
    flat = np.full((3, 100, 100), 100, np.uint8)
    colors = Augmentation(scale=1, brightness=0, contrast=1, color=0.2)
    for sample in draws(sampler([scene(tmp_path, ids(100, 100), image=flat)], 100, colors), 5):
        tones = [int(band[0, 0]) for band in sample.pixels]
        assert len(set(tones)) > 1 and all(80 <= tone <= 120 for tone in tones)


def test_census_counts_each_cell(tmp_path):
    labels = ids(350, 307, 0)
    with OpenScene(scene(tmp_path, labels), DUBAI, 3) as opened:
        census = take_census(opened, 5, 100)
    assert census.cells.shape == (5, 4, 4)
    for row in range(4):
        for column in range(4):
            cell = labels[100 * row : 100 * (row + 1), 100 * column : 100 * (column + 1)]
            expected = np.bincount(cell.ravel(), minlength=6)[1:]
            np.testing.assert_array_equal(census.cells[:, row, column], expected)
    assert census.pixels.sum() == (labels > 0).sum() and not census.unknown


def test_census_names_what_nobody_knows(tmp_path):
    labels = ids(300, 100)
    labels[:3, 0], labels[0, 1] = 77, 99
    with OpenScene(scene(tmp_path, labels), DUBAI, 3) as opened:
        assert take_census(opened, 5).unknown == {"77": 3, "99": 1}


def test_labels_that_nobody_knows_are_found_at_once(tmp_path):
    labels = ids(2000, 2000)
    labels[1999, 1999] = 77
    with pytest.raises(DatasetError, match=r"a_labels\.tif has the value 77"):
        sampler([scene(tmp_path, labels)])


def test_frames_lie_around_sparse_labels(tmp_path):
    labels = np.zeros((1000, 1200), np.uint8)
    labels[700:705, 300:310] = 3
    made = sampler([scene(tmp_path, labels), scene(tmp_path, 0 * labels, "b")], 300)
    corners = set()
    for sample in draws(made, 20, 300):
        found = np.argwhere(sample.target == 2)
        assert len(found) == 50
        corners.add(tuple(found[0]))
    assert len(corners) > 10  # not always in the same place of the frame


def test_rare_classes_are_drawn_as_often_as_others(tmp_path):
    labels = np.full((1000, 1000), 2, np.uint8)
    labels[900:910, 20:30] = 4
    one = [scene(tmp_path, labels)]
    counts = [
        sum((sample.target == 3).any() for sample in draws(sampler(one, 128, rare=rare), 60, 128))
        for rare in (0.0, 1.0)
    ]
    assert counts[0] < 10 and 18 <= counts[1] <= 42


def test_frames_have_the_resolution_that_is_asked_for(tmp_path):
    labels = np.repeat(np.arange(400, dtype=np.uint8)[None] // 100 + 1, 400, 0)
    placed = scene(tmp_path, labels)  # 0.5 m
    unplaced = scene(tmp_path, labels, "b", gsd=1.0)
    for one, extent in ((placed, 200), (unplaced, 100)):
        (sample,) = draws(sampler([one], 100, gsd=1.0), 1)
        first, last = int(sample.target[0, 0]), int(sample.target[0, -1])
        assert abs((last - first) * 100 - extent) <= 100
    assert sampler([placed], 100, gsd=1.0).pixels == 200 * 200
    assert sampler([placed], 100).pixels == 400 * 400


def test_scenes_smaller_than_a_frame_are_enlarged_with_a_warning(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    (sample,) = draws(sampler([scene(tmp_path, ids(90, 300))], 100), 1)
    assert sample.target.shape == (100, 100) and not caplog.text
    sampler([scene(tmp_path, ids(40, 300))], 100)
    assert "40 px on its shorter side" in caplog.text


def test_scenes_without_labels_are_refused(tmp_path):
    with pytest.raises(DatasetError, match='split = "train" has a label'):
        sampler([scene(tmp_path, np.zeros((90, 90), np.uint8))])


def test_invalid_pixels_have_no_labels(tmp_path):
    image = noise(100, 100).clip(1)
    image[:, 10, 20] = 0
    placed_tif(tmp_path / "n.tif", image, nodata=0)
    placed_tif(tmp_path / "n_labels.tif", ids(100, 100)[None])
    one = LabelledScene(tmp_path / "n.tif", tmp_path / "n_labels.tif", "train")
    (sample,) = draws(sampler([one]), 1)
    assert sample.target[10, 20] == IGNORED and (sample.target == IGNORED).sum() == 1


def test_labels_where_there_is_no_image_are_passed_over(tmp_path):
    image = noise(400, 400).clip(1)
    image[:, :, :300] = 0
    placed_tif(tmp_path / "n.tif", image, nodata=0)
    placed_tif(tmp_path / "n_labels.tif", ids(400, 400)[None])
    one = LabelledScene(tmp_path / "n.tif", tmp_path / "n_labels.tif", "train")
    assert all((sample.target != IGNORED).any() for sample in draws(sampler([one]), 10))


def test_large_windows_are_read_in_parts(tmp_path, monkeypatch):
    labels = np.repeat(np.repeat(ids(12, 15), 40, 0), 40, 1)
    image = np.repeat(labels[None] * 40, 3, 0)
    image[:, :60, :80] = 0
    placed_tif(tmp_path / "v.tif", image, nodata=0)
    placed_tif(tmp_path / "v_labels.tif", labels[None])
    one = LabelledScene(tmp_path / "v.tif", tmp_path / "v_labels.tif", "train")
    window = Window(40, 40, 400, 400)
    with OpenScene(one, DUBAI, 3) as opened:
        whole = opened.read(window, 50)
        monkeypatch.setattr("glnet_geo.labelled_scene._MOST_READ", 100)
        monkeypatch.setattr("glnet_geo.labelled_scene._STRIP_PIXELS", 10_000)
        parts = opened.read(window, 50)
    np.testing.assert_array_equal(parts.target, whole.target)
    inside = whole.target != IGNORED
    np.testing.assert_array_equal(parts.pixels[0][inside] // 40 - 1, whole.target[inside])


def test_many_scenes_are_not_open_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("glnet_geo.labelled_scene._MOST_OPEN", 2)
    scenes = [scene(tmp_path, ids(20, 20), name) for name in "abcd"]
    with ScenePool(scenes, DUBAI, 3) as pool:
        made = FrameSampler(pool, 20, STILL)
        assert {sample.image for sample in draws(made, 20, 20)} == {f"{n}.tif" for n in "abcd"}
        assert len(pool._open) == 2
    assert not pool._open
