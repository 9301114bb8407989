"""Pictures of a page at several sizes."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from glnet_geo.pyramids import (
    Level,
    level_sizes,
    majorities,
    means,
    n_bytes,
    palette_pyramid,
    photo_pyramid,
)

COLORS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)


def image_of(uri: str) -> Image.Image:
    kind, _, data = uri.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == f"data:image/{image.format.lower()}"
    return image


def joined(level: Level, bands: int = 4) -> np.ndarray:
    """The tiles of a level put together, H x W x bands."""
    whole = np.zeros((level.height, level.width, bands), np.uint8)
    places = [
        (top, left)
        for top in range(0, level.height, level.tile)
        for left in range(0, level.width, level.tile)
    ]
    for (top, left), uri in zip(places, level.tiles, strict=True):
        tile = np.asarray(image_of(uri).convert("RGBA" if bands == 4 else "RGB"))
        whole[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return whole


def test_sizes_are_those_of_overviews():
    sizes = level_sizes(1001, 10, 10**6)
    assert sizes[-1] == (1001, 10) and sizes[-2] == (501, 5) and sizes[-3] == (251, 3)
    assert sizes[0] == (1, 1)
    assert level_sizes(10_000, 10_000, 7_000_000)[-1] == (2500, 2500)
    assert level_sizes(1, 1, 100) == [(1, 1)]


def test_the_commonest_of_four_wins():
    labels = np.array([[1, 2, 0, 0, 7], [2, 3, 5, 6, 7], [4, 4, 9, 9, 2]], np.uint8)
    assert majorities(labels).tolist() == [[2, 0, 7], [4, 9, 2]]
    assert majorities(np.array([[3]], np.uint8)).tolist() == [[3]]


def test_means_are_those_of_valid_pixels():
    pixels = np.array([[[10, 20, 200], [31, 99, 100]]], np.uint8)
    valid = np.array([[True, True, False], [True, False, False]])
    mean, known = means(pixels, valid)
    assert mean[0, 0, 0] == 20  # of 10, 20 and 31
    assert known.tolist() == [[True, False]]


def test_palette_has_exactly_its_colours_and_transparency():
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 4, (130, 205), np.uint8)
    labels = np.kron(coarse, np.ones((13, 9), np.uint8))[:-1]
    levels = palette_pyramid(labels, COLORS, 10**7)
    finest = levels[-1]
    assert (finest.height, finest.width, finest.tile) == (*labels.shape, 512)
    assert len(finest.tiles) == 4 * 4
    expected = np.zeros((*labels.shape, 4), np.uint8)
    expected[labels < 3] = np.column_stack([COLORS, [255] * 3])[labels[labels < 3]]
    np.testing.assert_array_equal(joined(finest)[..., 3], expected[..., 3])
    is_class = labels < 3
    np.testing.assert_array_equal(joined(finest)[is_class], expected[is_class])
    coarsest = levels[0]
    assert len(coarsest.tiles) == 1 and max(coarsest.height, coarsest.width) <= 1536
    shades = joined(coarsest).reshape(-1, 4)
    assert {tuple(one) for one in shades[shades[:, 3] > 0]} == {
        (*one, 255) for one in COLORS.tolist()
    }


def test_levels_fit_into_the_budget():
    labels = np.random.default_rng(0).integers(0, 3, (3000, 3000), np.uint8)
    plenty, little = (palette_pyramid(labels, COLORS, budget) for budget in (10**7, 400_000))
    assert [one.height for one in plenty] == [1500, 3000]
    assert n_bytes(plenty) > 400_000 > n_bytes(little)
    assert [one.height for one in little] == [750]


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (5, 3)])
def test_small_pictures(shape):
    levels = palette_pyramid(np.zeros(shape, np.uint8), COLORS, 10**6)
    assert [(one.height, one.width) for one in levels] == [shape]
    assert joined(levels[0])[0, 0].tolist() == [255, 0, 0, 255]


def test_without_any_class_all_is_transparent():
    (level,) = palette_pyramid(np.zeros((4, 6), np.uint8), np.empty((0, 3), np.uint8), 10**6)
    assert not joined(level)[..., 3].any()


def test_photo_keeps_its_colours_nearly_and_what_is_not_valid_clear():
    pixels = np.zeros((3, 1700, 1700), np.uint8)
    pixels[0, :, :850], pixels[1, :, 850:] = 200, 150
    valid = np.ones((1700, 1700), np.bool_)
    valid[:300] = False
    levels = photo_pyramid(pixels, valid, 10**7)
    assert [one.height for one in levels] == [850, 1700]
    for level in levels:
        whole = joined(level)
        edge, middle = level.height * 300 // 1700, level.width // 2
        assert not whole[: edge - 1, :, 3].any() and (whole[edge + 1 :, :, 3] == 255).all()
        left, right = whole[edge + 9 :, : middle - 9], whole[edge + 9 :, middle + 9 :]
        assert np.abs(left[..., :3].astype(int) - (200, 0, 0)).max() < 12
        assert np.abs(right[..., :3].astype(int) - (0, 150, 0)).max() < 12
