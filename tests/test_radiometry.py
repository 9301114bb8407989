"""Pixel values to 0-255: one mapping a scene, monotone, and quiet about missing data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from glnet_geo.grid import Window
from glnet_geo.radiometry import Stretch, find_stretch, shrink
from glnet_geo.raster import SceneReader
from tests.rasters import UTM, write_tif


def stretched(
    path: Path, pixels: npt.NDArray[Any], **profile: Any
) -> tuple[Stretch, npt.NDArray[np.uint8]]:
    """The mapping of a scene with these pixels, and the pixels mapped."""
    write_tif(path, pixels, **UTM, **profile)
    with SceneReader(path) as scene:
        stretch = find_stretch(scene)
        return stretch, stretch.apply(scene.read(scene.grid.window).pixels)


def ramp(dtype: str, low: float, high: float) -> npt.NDArray[Any]:
    """100 x 100 evenly spaced values in random places."""
    values = np.linspace(low, high, 10_000).astype(dtype)
    return np.random.default_rng(0).permutation(values).reshape(1, 100, 100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.tif"


def test_uint8_passes_unchanged(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(90, 120, (3, 20, 30), np.uint8)
    stretch, mapped = stretched(path, pixels)
    assert stretch == Stretch()
    np.testing.assert_array_equal(mapped, pixels)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("uint16", 0, 9_999),
        ("uint16", 40_000, 65_000),
        ("int16", -20_000, 20_000),
        ("float32", 0, 1),
        ("float32", -3e-4, 2e-4),
        ("float64", 1e6, 2e6),
    ],
)
def test_the_stretch_is_monotone_and_spans_the_percentiles(
    path: Path, dtype: str, low: float, high: float
) -> None:
    pixels = ramp(dtype, low, high)
    _, mapped = stretched(path, pixels)
    assert mapped.dtype == np.uint8
    order = np.argsort(pixels, axis=None)
    steps = np.diff(mapped.ravel()[order].astype(int))
    assert steps.min() >= 0
    assert steps.max() == 1, "every value between 0 and 255 is used"
    first, last = mapped.ravel()[order][[100, 9_899]]
    assert first <= 1
    assert last >= 254
    assert (mapped == 0).sum() == pytest.approx(120, abs=15), "1 %, and half a step above"
    assert (mapped == 255).sum() == pytest.approx(120, abs=15)


def test_percentiles_are_those_of_each_band(path: Path) -> None:
    pixels = np.concatenate([ramp("uint16", 0, 1_000), ramp("uint16", 30_000, 60_000)])
    stretch, mapped = stretched(path, pixels)
    np.testing.assert_allclose(stretch.low, np.percentile(pixels, 1, axis=(1, 2)))
    np.testing.assert_allclose(stretch.high, np.percentile(pixels, 99, axis=(1, 2)))
    assert mapped[0].mean() == pytest.approx(127.5, abs=1)
    assert mapped[1].mean() == pytest.approx(127.5, abs=1)


def test_the_mapping_belongs_to_the_whole_scene(path: Path) -> None:
    dark, bright = ramp("uint16", 100, 900), ramp("uint16", 5_000, 9_000)
    write_tif(path, np.concatenate([dark, bright], axis=2), **UTM)
    with SceneReader(path) as scene:
        stretch = find_stretch(scene)
        assert stretch == find_stretch(scene)
        whole = stretch.apply(scene.read(scene.grid.window).pixels)
        window = Window(10, 20, 50, 60)
        part = stretch.apply(scene.read(window).pixels)
    np.testing.assert_array_equal(part, whole[..., *window.slices])
    assert part.max() < 64, "a dark window stays dark"
    assert whole[..., 100:].min() > 128


def test_percentiles_of_a_large_scene_come_from_all_over_it(path: Path) -> None:
    pixels = np.tile(np.arange(4_000, dtype=np.uint16), (1, 20, 1))
    stretch, _ = stretched(path, pixels)
    assert stretch.low[0] == pytest.approx(40, abs=8)
    assert stretch.high[0] == pytest.approx(3_960, abs=8)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint16", 0), ("uint16", 65_535), ("float32", -9_999), ("float32", np.nan)],
)
def test_nodata_has_no_say(path: Path, dtype: str, nodata: float) -> None:
    pixels = ramp(dtype, 1_000, 2_000)
    pixels[:, :60] = nodata
    stretch, mapped = stretched(path, pixels, nodata=nodata)
    data = pixels[:, 60:]
    assert stretch.low[0] == pytest.approx(np.percentile(data, 1))
    assert stretch.high[0] == pytest.approx(np.percentile(data, 99))
    assert mapped[:, 60:].mean() == pytest.approx(127.5, abs=2)


def test_what_is_not_finite_has_no_say_and_becomes_zero(path: Path) -> None:
    pixels = ramp("float32", 1, 2)
    odd = np.array([np.nan, np.inf, -np.inf], np.float32)
    pixels[0, 0, :90] = np.tile(odd, 30)
    stretch, mapped = stretched(path, pixels)
    assert 1 < stretch.low[0] < 1.02
    assert 1.98 < stretch.high[0] < 2
    assert (mapped[0, 0, :90] == 0).all()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_constant_band_is_not_divided_by_zero(path: Path, dtype: str) -> None:
    pixels = np.concatenate([np.full((1, 100, 100), 700, dtype), ramp(dtype, 0, 1_000)])
    pixels[0, 0, :2] = (100, 900)
    stretch, mapped = stretched(path, pixels)
    assert stretch.low[0] == stretch.high[0] == 700
    assert mapped[0, 0, :2].tolist() == [0, 255]
    assert len(np.unique(mapped[0, 1:])) == 1
    assert np.ptp(mapped[1]) == 255


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 7), ("float32", np.nan)])
def test_a_scene_without_data_has_a_mapping(path: Path, dtype: str, nodata: float) -> None:
    stretch, mapped = stretched(path, np.full((2, 5, 6), nodata, dtype), nodata=nodata)
    assert len(stretch.low) == len(stretch.high) == 2
    assert np.isfinite(stretch.low + stretch.high).all()
    assert mapped.shape == (2, 5, 6)


@pytest.mark.parametrize("size", [(10, 20), (33, 47), (64, 9), (120, 150)])
def test_shrink_is_pillow_band_by_band(size: tuple[int, int]) -> None:
    height, width = size
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 81), np.uint8)
    small = shrink(pixels, height, width)
    assert small.shape == (4, height, width)
    assert small.dtype == np.uint8
    for band, found in zip(pixels, small, strict=True):
        picture = Image.fromarray(band).resize((width, height), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(found, np.asarray(picture))


def test_shrink_equals_pillow_on_colour() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 40, 50), np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    expected = np.asarray(picture.resize((17, 13), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(shrink(pixels, 13, 17), expected.transpose(2, 0, 1))


def test_shrink_to_the_same_size_changes_nothing() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (3, 8, 9), np.uint8)
    np.testing.assert_array_equal(shrink(pixels, 8, 9), pixels)


def test_huge_float64_values_keep_their_order(path: Path) -> None:
    ramp64 = np.linspace(1e299, 1e300, 10_000).reshape(1, 100, 100)
    _, mapped = stretched(path, ramp64)
    assert (np.diff(mapped.ravel().astype(int)) >= 0).all() and mapped[0, -1, -1] == 255
