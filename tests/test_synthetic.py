"""The synthetic scene: what it promises about shape, truth and repeatability."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from glnet_geo.scenery import BUILDING, LAND, ROAD, VEGETATION, WATER, Canvas, Solid
from glnet_geo.synthetic import SyntheticScene, make_scene


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return make_scene(1024, 1024, seed=1)


def test_every_class_has_its_share(scene: SyntheticScene) -> None:
    shares = np.bincount(scene.labels.ravel(), minlength=6) / scene.labels.size
    bands = {
        BUILDING: (0.05, 0.35),
        LAND: (0.2, 0.65),
        ROAD: (0.05, 0.3),
        VEGETATION: (0.04, 0.35),
        WATER: (0.05, 0.2),
    }
    assert all(low < shares[land_cover] < high for land_cover, (low, high) in bands.items())
    assert set(np.unique(scene.labels)) == set(bands)


def test_classes_look_their_part(scene: SyntheticScene) -> None:
    mean = {c: scene.pixels[:, scene.labels == c].mean(axis=1) for c in range(1, 6)}
    assert mean[WATER].max() < mean[VEGETATION].min() < mean[LAND].min()
    assert mean[ROAD].mean() < mean[BUILDING].mean() < mean[LAND].mean()
    assert mean[VEGETATION].argmax() == 1, "vegetation is green"


def test_the_seed_decides() -> None:
    first, again, other = make_scene(96, 96, 5), make_scene(96, 96, 5), make_scene(96, 96, 6)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.pixels != other.pixels).mean() > 0.5
    assert (first.labels != other.labels).any()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 257), (391, 130), (1, 1)])
def test_any_size_works(height: int, width: int) -> None:
    scene = make_scene(height, width, seed=3)
    assert scene.pixels.shape == (3, height, width)
    assert scene.labels.shape == (height, width)
    assert scene.pixels.dtype == scene.labels.dtype == np.uint8
    assert scene.pixels.flags.c_contiguous
    assert 1 <= scene.labels.min() <= scene.labels.max() <= 5


def test_shadows_leave_the_truth_alone() -> None:
    canvas = Canvas(
        Image.new("RGB", (60, 60)), Image.new("L", (60, 60), ROAD), Image.new("L", (60, 60))
    )
    roof = np.array([(30, 30), (40, 30), (40, 40), (30, 40)], float)
    canvas.solids.append(Solid(roof, 10, 20, (200, 200, 200), BUILDING))
    canvas.raise_solids()
    labels, shaded = np.asarray(canvas.labels), np.asarray(canvas.shade) > 0
    assert shaded[22, 22], "the shadow falls up and left"
    assert not shaded[30:41, 30:41].any(), "the roof itself is in the sun"
    assert (labels[30:41, 30:41] == BUILDING).all()
    assert (labels == BUILDING).sum() == 11 * 11
    assert (labels[shaded] == ROAD).all()
