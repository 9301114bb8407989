"""Whatever a GIS office has: palettes, collars, other resolutions, strips, URLs."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.enums import ColorInterp, Resampling
from rasterio.shutil import copy as copy_raster

from glnet_geo import scene_view
from glnet_geo.errors import RasterError
from glnet_geo.grid import Window
from glnet_geo.opening import gdal_environment
from glnet_geo.raster import Chip, SceneReader, read_classes
from glnet_geo.scene_view import mean_taps, nearest_taps
from glnet_geo.validity import Validity
from tests.rasters import UTM, coordinate_coded, noise, placed_tif, write_tif

RED, GREEN, BLUE = ColorInterp.red, ColorInterp.green, ColorInterp.blue
ALPHA, OTHER = ColorInterp.alpha, ColorInterp.undefined
NIR = ColorInterp.nir
RGB = ("red", "green", "blue")
COLORS = {0: (10, 20, 30, 255), 1: (110, 120, 130, 255), 2: (7, 8, 9, 0)}
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.tif"


def read_all(path: Path | str, **choice: Any) -> Chip:
    with SceneReader(path, **choice) as scene:
        return scene.read(scene.grid.window)


def view_all(path: Path | str, height: int, width: int, **choice: Any) -> Chip:
    with SceneReader(path, **choice) as scene:
        view = scene.view(height, width)
        return view.read(view.grid.window)


def invalid(chip: Chip) -> set[tuple[int, int]]:
    return {(int(row), int(column)) for row, column in np.argwhere(~chip.valid)}


def refusal(path: Path | str, **choice: Any) -> str:
    with pytest.raises(RasterError) as caught:
        read_all(path, **choice)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def palette_tif(
    path: Path, indices: np.ndarray, colors: dict[int, Any] = COLORS, **profile: Any
) -> Path:
    placed_tif(path, indices, photometric="palette", **profile)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, colors)
    return path


def write_vrt(path: Path, size: tuple[int, int], bands: list[tuple[str, str, str]]) -> Path:
    """A mosaic of (data type, file beside it, more XML) a band."""
    xml = "".join(
        f'<VRTRasterBand dataType="{dtype}" band="{k}">{more}<SimpleSource><SourceFilename '
        f'relativeToVRT="1">{name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand>"
        for k, (dtype, name, more) in enumerate(bands, 1)
    )
    place = "<GeoTransform>0,1,0,0,0,-1</GeoTransform>"
    path.write_text(
        f'<VRTDataset rasterXSize="{size[1]}" rasterYSize="{size[0]}">{place}{xml}</VRTDataset>'
    )
    return path


class TestNames:
    def named(self, path: Path, descriptions: list[str], **more: Any) -> Path:
        values = np.arange(10, 10 + len(descriptions), dtype=np.uint8)
        placed_tif(path, np.tile(values[:, None, None], (1, 4, 5)), **more)
        with rasterio.open(path, "r+") as dataset:
            dataset.descriptions = descriptions
        return path

    def test_bands_by_description_and_mark(self, path: Path) -> None:
        self.named(path, ["B8", "", "", "swir 1"], marks=(OTHER, BLUE, RED, NIR))
        chip = read_all(path, bands=["SWIR 1", "red", "nir", "b8", "2"])
        assert chip.pixels[:, 0, 0].tolist() == [13, 12, 13, 10, 11]

    def test_the_models_bands_are_found(self, path: Path) -> None:
        self.named(path, ["Blue", "Green", "Red", "NIR"], marks=(OTHER,) * 4)
        with SceneReader(path, None, 3, names=RGB) as scene:
            assert scene.bands == (3, 2, 1)
            assert not scene.bands_are_guessed
        with SceneReader(path, n_bands=2, names=("nir", "red")) as scene:
            assert scene.read(Window(1, 1, 1, 1)).pixels.ravel().tolist() == [13, 12]

    @pytest.mark.parametrize(
        ("n_bands", "bands", "is_guess"),
        [(3, None, True), (3, [1, 2, 3], False), (4, None, False), (None, None, False)],
    )
    def test_a_guess_is_known_as_one(
        self, path: Path, n_bands: int | None, bands: list[int] | None, is_guess: bool
    ) -> None:
        self.named(path, ["a", "b", "c", "d"], marks=(OTHER,) * 4)
        with SceneReader(path, bands, n_bands, names=RGB) as scene:
            assert scene.bands_are_guessed is is_guess

    def test_the_message_lists_what_there_is(self, path: Path) -> None:
        self.named(path, ["", "", "", "B8"], marks=(BLUE, GREEN, RED, OTHER))
        message = refusal(path, bands=["nir"])
        assert message.startswith(
            f"{path} has no band 'nir'. It has 1 (blue), 2 (green), 3 (red), 4 (B8). Choose bands"
        )


class TestPalettes:
    def test_colours_where_three_bands_are_needed(self, path: Path) -> None:
        indices = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)
        with SceneReader(palette_tif(path, indices), n_bands=3, names=RGB) as scene:
            chip = scene.read(scene.grid.window)
            assert (scene.bands, scene.n_bands, scene.dtype) == ((1,), 3, np.uint8)
            assert not scene.bands_are_guessed
        assert chip.pixels[:, 0].tolist() == [[10, 110, 110], [20, 120, 120], [30, 130, 130]]
        assert chip.pixels.dtype == np.uint8

    def test_transparent_entries_are_invalid(self, tmp_path: Path) -> None:
        indices = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)
        image = Image.fromarray(indices, "L").convert("P")
        image.putdata(indices.ravel().tolist())
        image.putpalette([10, 20, 30, 110, 120, 130, 7, 8, 9])
        image.save(tmp_path / "scene.png", transparency=b"\xff\x00\xff")
        chip = read_all(tmp_path / "scene.png", n_bands=3)
        assert invalid(chip) == {(0, 1), (0, 2), (1, 0)}
        assert chip.pixels[:, 1, 2].tolist() == [7, 8, 9]

    def test_nodata_is_an_index(self, path: Path) -> None:
        indices = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)
        palette_tif(path, indices, nodata=0)
        assert invalid(read_all(path, n_bands=3)) == {(0, 0), (1, 1)}
        found = invalid(read_all(path, n_bands=3, validity=Validity(nodata=2)))
        assert (1, 2) in found

    def test_entries_that_are_not_in_the_table_are_invalid(self, tmp_path: Path) -> None:
        placed_tif(tmp_path / "ids.tif", np.array([[0, 1, 3]], np.uint8))
        entry = '<Entry c1="{0}" c2="{0}" c3="{0}" c4="255"/>'
        table = f"<ColorTable>{entry.format(10)}{entry.format(20)}</ColorTable>"
        mark = "<ColorInterp>Palette</ColorInterp>"
        vrt = write_vrt(tmp_path / "scene.vrt", (1, 3), [("Byte", "ids.tif", mark + table)])
        chip = read_all(vrt, n_bands=3)
        assert chip.pixels[:, 0, :2].tolist() == [[10, 20]] * 3
        assert invalid(chip) == {(0, 2)}

    @pytest.mark.parametrize("n_bands", [1, None])
    def test_indices_are_read_else(self, path: Path, n_bands: int | None) -> None:
        indices = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)
        palette_tif(path, indices)
        np.testing.assert_array_equal(read_all(path, n_bands=n_bands).pixels[0], indices)
        np.testing.assert_array_equal(read_classes(path), indices)

    def test_sixteen_bits(self, path: Path) -> None:
        indices = np.array([[0, 300]], np.uint16)
        palette_tif(path, indices, {0: (1, 2, 3, 255), 300: (4, 5, 6, 255)})
        assert read_all(path, n_bands=3).pixels[:, 0].tolist() == [[1, 4], [2, 5], [3, 6]]

    def test_a_sample_is_of_colours(self, path: Path) -> None:
        indices = np.random.default_rng(0).integers(0, 2, (60, 80), np.uint8)
        with SceneReader(palette_tif(path, indices), n_bands=3) as scene:
            sample = scene.sample(20)
        assert sample.shape == (3, 15 * 20)
        assert {tuple(color) for color in sample.T.tolist()} == {(10, 20, 30), (110, 120, 130)}

    def test_a_view_mixes_colours_and_never_indices(self, path: Path) -> None:
        palette_tif(path, np.array([[0, 1, 0, 0], [1, 1, 0, 5]], np.uint8))
        colors = view_all(path, 1, 2, n_bands=3, validity=Validity(nodata=5)).pixels
        assert colors[:, 0].tolist() == [[85, 10], [95, 20], [105, 30]]
        indices = view_all(path, 1, 2).pixels
        assert indices.tolist() == [[[1, 5]]]

    @pytest.mark.parametrize("dtype", ["Byte", "Int32"])
    def test_a_palette_without_colours_is_refused(self, tmp_path: Path, dtype: str) -> None:
        placed_tif(tmp_path / "ids.tif", np.zeros((4, 5), np.uint8))
        band = (dtype, "ids.tif", "<ColorInterp>Palette</ColorInterp>")
        vrt = write_vrt(tmp_path / "scene.vrt", (4, 5), [band])
        assert "gdal_translate -expand rgb" in refusal(vrt, n_bands=3)
        assert read_all(vrt).pixels.shape == (1, 4, 5)


class TestValidity:
    def test_any_valid_band_is_enough_if_asked_for(self, path: Path) -> None:
        pixels = np.full((3, 4, 5), 9, np.uint8)
        pixels[0, 0, 1] = 0
        pixels[:, 2, 3] = 0
        placed_tif(path, pixels, nodata=0)
        chip = read_all(path, validity=Validity(any_valid=True))
        assert invalid(chip) == {(2, 3)}
        assert chip.pixels[:, 0, 1].tolist() == [0, 9, 9]
        assert invalid(read_all(path)) == {(0, 1), (2, 3)}

    def test_any_valid_leaves_infinite_values_where_they_are(self, path: Path) -> None:
        pixels = np.ones((2, 4, 5), np.float32)
        pixels[0, 0, 1], pixels[1, 1, 1] = np.nan, np.inf
        pixels[:, 2, 2] = np.nan, -np.inf
        chip = read_all(placed_tif(path, pixels), validity=Validity(any_valid=True))
        assert invalid(chip) == {(2, 2)}
        np.testing.assert_array_equal(chip.pixels, pixels)

    @pytest.mark.parametrize("declared", [None, 7])
    def test_a_nodata_value_that_is_given_replaces_the_files(
        self, path: Path, declared: int | None
    ) -> None:
        pixels = np.full((2, 4, 5), 9, np.uint8)
        pixels[0, 0, 1], pixels[1, 1, 1], pixels[1, 2, 2] = 0, 0, 7
        placed_tif(path, pixels, nodata=declared)
        assert invalid(read_all(path, validity=Validity(nodata=0))) == {(0, 1), (1, 1)}

    def test_it_does_not_replace_other_masks(self, tmp_path: Path) -> None:
        pixels, mask = np.full((3, 4, 5), 9, np.uint8), np.full((4, 5), 255, np.uint8)
        pixels[0, 0, 1], mask[2, 3] = 0, 0
        masked = placed_tif(tmp_path / "mask.tif", pixels, mask=mask)
        marks = (RED, GREEN, BLUE, ALPHA)
        transparent = placed_tif(tmp_path / "rgba.tif", np.stack([*pixels, mask]), marks=marks)
        for scene in (masked, transparent):
            assert invalid(read_all(scene, validity=Validity(nodata=0))) == {(0, 1), (2, 3)}

    @pytest.mark.parametrize("nodata", [None, 200])
    def test_alpha_counts_beside_a_nodata_value(self, path: Path, nodata: float | None) -> None:
        pixels = np.full((4, 4, 5), 9, np.uint8)
        pixels[3] = 255
        pixels[0, 0, 1], pixels[0, 1, 1], pixels[3, 2, 3] = 7, 200, 0
        placed_tif(path, pixels, nodata=7, marks=(RED, GREEN, BLUE, ALPHA))
        value = (1, 1) if nodata else (0, 1)
        assert invalid(read_all(path, validity=Validity(nodata=nodata))) == {value, (2, 3)}

    def test_a_mask_beside_the_file(self, path: Path) -> None:
        mask = np.full((4, 5), 255, np.uint8)
        mask[2, 3] = 0
        placed_tif(path, np.zeros((3, 4, 5), np.uint8))
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(mask)
        assert Path(f"{path}.msk").exists()
        with gdal_environment():
            assert invalid(read_all(path)) == {(2, 3)}

    @pytest.mark.parametrize(("tolerance", "limit"), [(0, 0), (2, 2), (2.5, 2), (300, 299)])
    def test_values_near_nodata_are_invalid(self, path: Path, tolerance: float, limit: int) -> None:
        values = np.arange(300, dtype=np.uint16)[None, None]
        chip = read_all(placed_tif(path, values, nodata=0), validity=Validity(tolerance=tolerance))
        np.testing.assert_array_equal(chip.valid[0], values[0, 0] > limit)

    def test_near_on_both_sides_and_to_the_value_given(self, path: Path) -> None:
        placed_tif(path, np.arange(20, dtype=np.uint8)[None, None], nodata=0)
        chip = read_all(path, validity=Validity(nodata=10, tolerance=2))
        assert invalid(chip) == {(0, value) for value in range(8, 13)}

    def test_a_tolerance_is_kept_to_band_by_band(self, tmp_path: Path) -> None:
        values = np.arange(20, dtype=np.uint8)[None, None]
        placed_tif(tmp_path / "low.tif", values, nodata=3)
        nodata = ("<NoDataValue>3</NoDataValue>", "<NoDataValue>12</NoDataValue>", "")
        bands = [("Byte", "low.tif", text) for text in nodata]
        vrt = write_vrt(tmp_path / "scene.vrt", (1, 20), bands)
        chip = read_all(vrt, validity=Validity(tolerance=1))
        assert invalid(chip) == {(0, value) for value in (2, 3, 4, 11, 12, 13)}
        assert invalid(read_all(vrt, bands=[3])) == set()

    def test_a_value_in_decimals_is_the_float32_of_the_file(self, path: Path) -> None:
        pixels = np.ones((1, 4, 5), np.float32)
        pixels[0, 0, 1], pixels[0, 1, 1] = np.finfo(np.float32).min, 0.1
        placed_tif(path, pixels)
        assert invalid(read_all(path, validity=Validity(nodata=-3.4028235e38))) == {(0, 1)}
        assert invalid(read_all(path, validity=Validity(nodata=0.1))) == {(1, 1)}

    @pytest.mark.parametrize("nodata", [-9999, 0.5, 1e300, math.nan])
    def test_a_value_that_the_type_cannot_hold_is_nowhere(self, path: Path, nodata: float) -> None:
        placed_tif(path, np.arange(250, dtype=np.uint8)[None, None])
        assert invalid(read_all(path, validity=Validity(nodata=nodata))) == set()

    @pytest.mark.parametrize("nodata", [None, math.nan])
    def test_a_tolerance_to_nothing_is_refused(self, path: Path, nodata: float | None) -> None:
        placed_tif(path, np.ones((1, 4, 5), np.float32), nodata=nodata)
        message = refusal(path, validity=Validity(tolerance=3))
        assert "Give one with --nodata" in message
        assert invalid(read_all(path, validity=Validity(nodata=1, tolerance=3)))

    @pytest.mark.parametrize("tolerance", [-1, math.inf, math.nan])
    def test_a_tolerance_is_a_distance(self, tolerance: float) -> None:
        with pytest.raises(ValueError, match="distance"):
            Validity(tolerance=tolerance)

    @pytest.mark.parametrize(("any_valid", "share"), [(False, 0.005), (True, 0.03)])
    def test_a_tolerance_takes_the_collar_of_a_jpeg_away(
        self, path: Path, any_valid: bool, share: float
    ) -> None:
        scene = noise(256, 256) // 2 + 100
        collar = np.add.outer(np.arange(256), np.arange(256)) < 200
        placed_tif(path, np.where(collar, 0, scene).astype(np.uint8), nodata=0, compress="jpeg")
        assert read_all(path, validity=Validity(any_valid)).valid[collar].mean() > share
        found = read_all(path, validity=Validity(any_valid, tolerance=40)).valid
        assert found[collar].mean() < 1e-3
        assert found[~collar].mean() > 0.999

    def test_it_counts_in_samples(self, path: Path) -> None:
        values = np.tile(np.arange(100, dtype=np.uint8), (2, 100, 1))
        values[0, :, 50:] = 0
        with SceneReader(placed_tif(path, values, nodata=0)) as scene:
            assert scene.sample(1000).shape == (2, 49 * 100)
        with SceneReader(path, validity=Validity(any_valid=True, tolerance=9)) as scene:
            assert set(scene.sample(1000)[1]) == set(range(10, 100))

    def test_tags_say_what_was_chosen(self) -> None:
        assert Validity().tags() == {}
        assert Validity(True, 0, 2.5).tags() == {
            "VALID_WHERE": "any band is",
            "SCENE_NODATA": "0",
            "SCENE_NODATA_TOLERANCE": "2.5",
        }
        assert Validity(tolerance=2).tags()["SCENE_NODATA"] == "the file's"


class TestView:
    def test_means_by_shared_area(self, path: Path) -> None:
        pixels = np.array([[[0, 10, 20, 30, 40]], [[100, 100, 0, 0, 200]]], np.float32)
        chip = view_all(placed_tif(path, pixels), 1, 2)
        expected = [[(0 + 10 + 20 / 2) / 2.5, (20 / 2 + 30 + 40) / 2.5], [80, 80]]
        np.testing.assert_allclose(chip.pixels[:, 0], expected, rtol=1e-6)
        assert chip.valid.all()

    def test_whole_numbers_are_rounded_half_up(self, path: Path) -> None:
        pixels = np.array([[[1, 2, 2, 2, 0, 1]]], np.int16)
        assert view_all(placed_tif(path, pixels), 1, 3).pixels.tolist() == [[[2, 2, 1]]]

    def test_smaller_pixels_are_interpolated(self, path: Path) -> None:
        pixels = np.array([[[0, 40]], [[8, 0]]], np.float32)
        chip = view_all(placed_tif(path, pixels), 1, 4)
        assert chip.pixels.tolist() == [[[0, 10, 30, 40]], [[8, 6, 2, 0]]]

    def test_nodata_does_not_bleed(self, path: Path) -> None:
        pixels = np.full((2, 4, 4), 100, np.uint8)
        pixels[1, :3, 0] = pixels[0, 0, 2] = pixels[0, 1, 2] = pixels[0, 2, 2] = 0
        chip = view_all(placed_tif(path, pixels, nodata=0), 1, 2)
        assert chip.pixels.tolist() == [[[100, 100]], [[100, 100]]]
        larger = view_all(path, 16, 16)
        assert set(larger.pixels[:, larger.valid].ravel()) == {100}

    @pytest.mark.parametrize("side", [4, 10])
    def test_one_valid_pixel_makes_the_larger_one_valid(self, path: Path, side: int) -> None:
        pixels = np.zeros((1, side, side), np.uint8)
        pixels[0, 1, 2] = 77
        chip = view_all(placed_tif(path, pixels, nodata=0), 1, 1)
        assert chip.valid.item() and chip.pixels.item() == 77

    def test_where_nothing_is_valid_there_is_zero(self, path: Path) -> None:
        pixels = np.full((1, 4, 4), -9999, np.float32)
        pixels[:, :, 2:] = 5
        chip = view_all(placed_tif(path, pixels, nodata=-9999), 2, 2)
        assert chip.pixels.tolist() == [[[0, 5], [0, 5]]]
        assert chip.valid.tolist() == [[False, True], [False, True]]

    @pytest.mark.parametrize("kind", ["nodata", "mask", "alpha", "nan"])
    @pytest.mark.parametrize("size", [(5, 6), (24, 33)])
    def test_all_masks_are_alike(self, path: Path, kind: str, size: tuple[int, int]) -> None:
        pixels = np.random.default_rng(0).integers(1, 255, (3, 11, 14)).astype(np.float32)
        hole = np.random.default_rng(1).random((11, 14)) < 0.7
        holed = np.where(hole, np.nan, pixels)
        mask = np.where(hole, 0, 255).astype(np.uint8)
        marks = (RED, GREEN, BLUE, ALPHA)
        match kind:
            case "nodata":
                placed_tif(path, np.nan_to_num(holed, nan=0), nodata=0)
            case "mask":
                placed_tif(path, np.nan_to_num(holed, nan=9e9), mask=mask)
            case "alpha":
                placed_tif(path, np.stack([*pixels, mask.astype(np.float32)]), marks=marks)
            case "nan":
                placed_tif(path, holed)
        expected = view_all(placed_tif(path.with_name("nan.tif"), holed), *size)
        chip = view_all(path, *size)
        np.testing.assert_array_equal(chip.valid, expected.valid)
        np.testing.assert_array_equal(chip.pixels, expected.pixels)
        assert 0 < chip.valid.mean() < 1

    def test_a_dark_band_of_a_valid_pixel_is_not_left_out(self, path: Path) -> None:
        pixels = np.array([[[0, 100]], [[50, 50]]], np.uint8)
        placed_tif(path, pixels, nodata=0)
        chip = view_all(path, 1, 1, validity=Validity(any_valid=True))
        assert chip.pixels.ravel().tolist() == [50, 50]

    def test_a_value_that_is_not_finite_stays_in_its_pixel(self, path: Path) -> None:
        pixels = np.ones((2, 1, 10), np.float32)
        pixels[0, 0, 5] = np.inf
        placed_tif(path, pixels)
        chip = view_all(path, 1, 4, validity=Validity(any_valid=True))
        assert np.isfinite(chip.pixels[0, 0]).tolist() == [True, True, False, True]
        assert chip.valid.all() and (chip.pixels[1] == 1).all()

    def test_a_tolerance_keeps_the_collar_out_of_means(self, path: Path) -> None:
        pixels = np.array([[[0, 3, 200, 200], [1, 200, 200, 200]]], np.uint8)
        placed_tif(path, pixels, nodata=0)
        chip = view_all(path, 1, 2, validity=Validity(tolerance=3))
        assert chip.pixels.tolist() == [[[200, 200]]]
        assert chip.valid.all()

    @pytest.mark.parametrize("size", [(50, 70), (37, 41), (100, 140), (33, 200)])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    def test_gdal_finds_the_same(self, path: Path, size: tuple[int, int], dtype: Any) -> None:
        placed_tif(path, noise(100, 140).astype(dtype))
        shrinks = size[0] <= 100 and size[1] <= 140
        method = Resampling.average if shrinks else Resampling.bilinear
        if size == (33, 200):  # GDAL's bilinear shrinks with another kernel
            placed_tif(path, np.broadcast_to(noise(1, 140).astype(dtype), (3, 100, 140)))
        with rasterio.open(path) as dataset:
            expected = dataset.read(out_shape=(3, *size), resampling=method)
        found = view_all(path, *size).pixels
        tolerance = 1e-3 if dtype == np.float32 else 1
        np.testing.assert_allclose(found.astype(float), expected, atol=tolerance)

    @pytest.mark.parametrize(
        "place",
        [
            UTM,
            {
                **UTM,
                "transform": Affine.translation(500_000, 5_000_000)
                @ Affine.rotation(30)
                @ Affine.scale(0.5, -0.5),
            },
            {**UTM, "transform": Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000)},
            {"crs": "EPSG:4326", "transform": Affine(1e-5, 0, 10, 0, -1e-5, 60)},
            {"transform": Affine(2, 0, 30, 0, -2, 40)},
        ],
        ids=["utm", "rotated", "south-up", "degrees", "no crs"],
    )
    @pytest.mark.parametrize("size", [(15, 10), (60, 90)])
    def test_its_grid_has_the_same_extent(
        self, path: Path, place: dict[str, Any], size: tuple[int, int]
    ) -> None:
        write_tif(path, coordinate_coded(30, 40), **place)
        with SceneReader(path) as scene:
            grid, whole = scene.view(*size).grid, scene.grid
            chip = scene.view(*size).read(Window(5, 3, 7, 4))
        assert (grid.height, grid.width) == size
        assert grid.crs == whole.crs
        for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
            here = grid.transform @ (corner[0] * size[1], corner[1] * size[0])
            assert here == pytest.approx(whole.transform @ (corner[0] * 40, corner[1] * 30))
        if whole.pixel_area_m2 is None:
            assert grid.pixel_area_m2 is None
        else:
            area = whole.pixel_area_m2 * 30 * 40
            assert grid.pixel_area_m2 == pytest.approx(area / (size[0] * size[1]))
        assert chip.grid == grid.crop(Window(5, 3, 7, 4))

    def test_a_place_is_not_made_up(self, path: Path) -> None:
        write_tif(path, coordinate_coded(30, 40), crs="EPSG:32633")
        with SceneReader(path) as scene:
            assert not scene.view(15, 20).grid.is_georeferenced

    def test_what_lies_where(self, path: Path) -> None:
        rows, columns = np.mgrid[:60, :90].astype(np.float32)
        placed_tif(path, np.stack([rows, columns]), **TILED)
        with SceneReader(path) as scene:
            chip = scene.view(20, 45).read(Window(7, 11, 3, 5))
        np.testing.assert_allclose(chip.pixels[0, :, 0], 3 * np.arange(7, 10) + 1, rtol=1e-6)
        np.testing.assert_allclose(chip.pixels[1, 0], 2 * np.arange(11, 16) + 0.5, rtol=1e-6)

    def test_at_the_scenes_size_it_is_the_scene(self, path: Path) -> None:
        pixels = noise(30, 40)
        pixels[:, :10, :10] = 0
        placed_tif(path, pixels, nodata=0)
        with SceneReader(path) as scene:
            window = Window(5, 6, 20, 30)
            plain, seen = scene.read(window), scene.view(30, 40).read(window)
        np.testing.assert_array_equal(seen.pixels, plain.pixels)
        np.testing.assert_array_equal(seen.valid, plain.valid)
        assert seen.grid == plain.grid

    def test_bands_of_different_types(self, tmp_path: Path) -> None:
        placed_tif(tmp_path / "small.tif", np.full((4, 6), 200, np.uint8))
        placed_tif(tmp_path / "large.tif", np.full((4, 6), 60_000, np.uint16))
        bands = [("Byte", "small.tif", ""), ("UInt16", "large.tif", "")]
        vrt = write_vrt(tmp_path / "both.vrt", (4, 6), bands)
        chip = view_all(vrt, 3, 4)
        assert chip.pixels.dtype == np.uint16
        assert chip.pixels[:, 1, 1].tolist() == [200, 60_000]

    @pytest.mark.parametrize(
        "window", [Window(8, 0, 3, 3), Window(-1, 0, 3, 3), Window(0, 18, 1, 3)]
    )
    def test_a_window_outside_is_a_mistake(self, path: Path, window: Window) -> None:
        placed_tif(path, noise(30, 40))
        with SceneReader(path) as scene, pytest.raises(ValueError, match="reaches outside"):
            scene.view(10, 20).read(window)

    def test_a_damaged_scene_says_so(self, path: Path) -> None:
        content = placed_tif(path, noise(300, 300)).read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(RasterError, match="cannot be read"):
            view_all(path, 100, 100)


class TestWindowsOfViews:
    @pytest.fixture(scope="class")
    @staticmethod
    def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SceneReader]:
        pixels = noise(97, 131)
        pixels[:, :30, :40] = 0
        pixels[1, 50:60, 80:] = 0
        path = tmp_path_factory.mktemp("views") / "scene.tif"
        with SceneReader(placed_tif(path, pixels, nodata=0, **TILED)) as scene:
            yield scene

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_a_window_is_the_slice_of_the_view(self, scene: SceneReader, data: Any) -> None:
        height = data.draw(st.integers(1, 250), label="height")
        width = data.draw(st.integers(1, 250), label="width")
        view = scene.view(height, width)
        top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
        window = Window(
            top,
            left,
            data.draw(st.integers(1, height - top)),
            data.draw(st.integers(1, width - left)),
        )
        whole, part = view.read(view.grid.window), view.read(window)
        np.testing.assert_array_equal(part.pixels, whole.pixels[:, *window.slices])
        np.testing.assert_array_equal(part.valid, whole.valid[window.slices])

    @pytest.mark.parametrize(
        ("size", "chunk"),
        [((40, 50), 300), ((97, 50), 300), ((200, 170), 2000), ((5, 3), 1), ((5, 3), 2000)],
    )
    def test_nor_do_the_chunks_show(
        self,
        scene: SceneReader,
        size: tuple[int, int],
        chunk: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        view = scene.view(*size)
        whole = view.read(view.grid.window)
        monkeypatch.setattr(scene_view, "_CHUNK", chunk)
        chunked = view.read(view.grid.window)
        np.testing.assert_array_equal(chunked.pixels, whole.pixels)
        np.testing.assert_array_equal(chunked.valid, whole.valid)

    @given(source=st.integers(1, 10**6), size=st.integers(1, 10**6), data=st.data())
    def test_taps_share_out_the_axis(self, source: int, size: int, data: Any) -> None:
        first = data.draw(st.integers(0, size - 1))
        count = min(size - first, 3)
        if source / size > 10**4:
            return
        taps = mean_taps(first, count, source, size)
        assert taps.index.min() >= 0 and taps.index.max() < source
        np.testing.assert_allclose(taps.weight.sum(axis=1), 1)
        assert (taps.weight >= 0).all()
        position = np.arange(first, first + count)
        center = (position + 0.5) * source / size - 0.5
        mean = (taps.index * taps.weight).sum(axis=1)
        if size >= source:
            np.testing.assert_allclose(mean, center.clip(0, source - 1), atol=1e-6)
        else:
            start, stop = position * source / size, (position + 1) * source / size
            ends = np.floor(start), np.ceil(stop) - 1
            assert (taps.index.min(axis=1) >= ends[0] - 1e-6).all()
            assert (taps.index.max(axis=1) <= ends[1] + 1e-6).all()
            np.testing.assert_allclose(mean, center, atol=0.5)
        nearest = nearest_taps(first, count, source, size).index[:, 0]
        np.testing.assert_allclose(nearest, center, atol=0.5 + 1e-6)

    @pytest.mark.parametrize("size", [(300, 450), (3, 4)])
    def test_memory_follows_the_window_not_the_scene(
        self, path: Path, size: tuple[int, int]
    ) -> None:
        profile = {"count": 1, "height": 6000, "width": 9000, "dtype": "uint16", "sparse_ok": True}
        with rasterio.open(path, "w", **UTM, **profile, **TILED):
            pass
        with gdal_environment(), SceneReader(path) as scene:
            view = scene.view(*size)
            tracemalloc.start()
            try:
                view.read(view.grid.window)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert peak < 9000 * 6000 * 2 / 2


class TestOverviews:
    def with_overviews(self, path: Path, pixels: np.ndarray, **profile: Any) -> Path:
        placed_tif(path, pixels, **TILED, **profile)
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4], Resampling.average)
        return path

    def spoil(self, path: Path) -> None:
        """Makes the scene all 1, but not its overviews."""
        with rasterio.open(path, "r+") as dataset:
            dataset.write(np.ones(dataset.shape, dataset.dtypes[0]), 1)

    @pytest.mark.parametrize(
        ("size", "is_used"),
        [((100, 150), True), ((90, 75), True), ((30, 40), True), ((101, 150), False)],
    )
    def test_they_are_used_where_they_are_fine_enough(
        self, path: Path, size: tuple[int, int], is_used: bool
    ) -> None:
        self.with_overviews(path, np.full((1, 200, 300), 50, np.uint8))
        self.spoil(path)
        assert set(view_all(path, *size).pixels.ravel()) == {50 if is_used else 1}

    @pytest.mark.parametrize(
        "validity", [Validity(any_valid=True), Validity(nodata=0), Validity(nodata=0, tolerance=1)]
    )
    def test_they_are_not_where_they_were_made_by_another_rule(
        self, path: Path, validity: Validity
    ) -> None:
        self.with_overviews(path, np.full((1, 200, 300), 50, np.uint8), nodata=7)
        self.spoil(path)
        pixels = view_all(path, 50, 75, validity=validity).pixels
        assert 50 not in pixels

    @pytest.mark.parametrize("shape", [(200, 300), (203, 301), (67, 1025)])
    def test_the_view_is_nearly_that_of_the_scene(self, path: Path, shape: tuple[int, int]) -> None:
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        pixels = np.stack([rows, columns]).astype(np.float32) + 1
        hole = np.s_[:, : shape[0] // 2, : shape[1] // 2]
        pixels[hole] = 0
        plain = placed_tif(path.with_name("plain.tif"), pixels, nodata=0)
        self.with_overviews(path, pixels, nodata=0)
        size = (shape[0] // 5, shape[1] // 5)
        expected, found = view_all(plain, *size), view_all(path, *size)
        differing = expected.valid != found.valid
        assert differing.sum() <= sum(size)
        both = expected.valid & found.valid
        np.testing.assert_allclose(found.pixels[:, both], expected.pixels[:, both], atol=2)

    @pytest.mark.parametrize("size", [(100, 150), (61, 77), (50, 75)])
    def test_small_windows_are_slices_too(self, path: Path, size: tuple[int, int]) -> None:
        self.with_overviews(path, noise(203, 301), nodata=0)
        rng = np.random.default_rng(0)
        with SceneReader(path) as scene:
            view = scene.view(*size)
            whole = view.read(view.grid.window)
            for _ in range(200):
                top, left = (int(rng.integers(0, length)) for length in size)
                height = min(int(rng.integers(1, 4)), size[0] - top)
                width = min(int(rng.integers(1, 60)), size[1] - left)
                window = Window(top, left, height, width)
                part = view.read(window)
                np.testing.assert_array_equal(part.pixels, whole.pixels[:, *window.slices])
                np.testing.assert_array_equal(part.valid, whole.valid[window.slices])

    def test_a_mask_that_came_later_counts(self, path: Path) -> None:
        self.with_overviews(path, noise(200, 300))
        mask = np.full((200, 300), 255, np.uint8)
        mask[:100] = 0
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(mask)
        valid = view_all(path, 50, 75).valid
        assert not valid[:25].any() and valid[25:].all()


class TestFiles:
    @pytest.mark.parametrize(
        ("width", "profile", "is_striped"),
        [
            (600, {}, True),
            (600, {"blockysize": 40}, True),
            (600, TILED, False),
            (600, {"tiled": True, "blockxsize": 256, "blockysize": 256}, False),
            (512, {}, False),
            (300, {"tiled": True, "blockxsize": 512, "blockysize": 512}, False),
        ],
    )
    def test_strips(
        self, path: Path, width: int, profile: dict[str, Any], is_striped: bool
    ) -> None:
        with SceneReader(placed_tif(path, noise(40, width), **profile)) as scene:
            assert scene.is_striped is is_striped

    @pytest.mark.parametrize("name", ["scene.png", "scene.jpg"])
    def test_pictures_are_striped(self, tmp_path: Path, name: str) -> None:
        Image.fromarray(noise(40, 600).transpose(1, 2, 0)).save(tmp_path / name)
        with SceneReader(tmp_path / name) as scene:
            assert scene.is_striped
            assert scene.files == (tmp_path / name,)

    def test_a_mosaic_consists_of_its_tiles(self, tmp_path: Path) -> None:
        tile = placed_tif(tmp_path / "tile.tif", noise(4, 5))
        copy_raster(str(tile), str(tmp_path / "scene.vrt"), driver="VRT")
        with SceneReader(tmp_path / "scene.vrt") as scene:
            assert set(scene.files) == {tmp_path / "scene.vrt", tile}

    def test_the_mask_beside_a_file_is_one_of_them(self, path: Path) -> None:
        placed_tif(path, noise(4, 5))
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(np.zeros((4, 5), np.uint8))
        with SceneReader(path) as scene:
            assert set(scene.files) == {path, Path(f"{path}.msk")}
