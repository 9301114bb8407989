"""Windowed reading, validity, areas, and class maps that are whole or not there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from pyproj import Geod
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC

from glnet_geo.errors import OutputError, RasterError
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import DEEPGLOBE, NODATA, LandCover, Legend
from glnet_geo.opening import gdal_environment
from glnet_geo.raster import Chip, SceneReader, read_classes
from glnet_geo.raster_output import class_map, write_scene
from glnet_geo.sidecar import sidecar_path
from tests.rasters import UTM, coordinate_coded, write_tif

RED, GREEN, BLUE = ColorInterp.red, ColorInterp.green, ColorInterp.blue
OTHER, ALPHA = ColorInterp.undefined, ColorInterp.alpha
ROTATED = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
SOUTH_UP = Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000)
LEGEND = Legend("two", (LandCover(0, "a<b>&ü", (1, 2, 3)), LandCover(2, "Wald", (0, 128, 0))))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.tif"


def read_all(path: Path, **choice: Any) -> Chip:
    with SceneReader(path, **choice) as scene:
        return scene.read(scene.grid.window)


def grid_of(path: Path) -> Grid:
    with SceneReader(path) as scene:
        return scene.grid


def invalid(path: Path, **choice: Any) -> set[tuple[int, int]]:
    """(row, column) of the pixels that are not valid."""
    return {(int(row), int(column)) for row, column in np.argwhere(~read_all(path, **choice).valid)}


def refusal(path: Path, **choice: Any) -> str:
    """The message with which a raster is refused: one line."""
    with pytest.raises(RasterError) as caught:
        read_all(path, **choice)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


def polynomials() -> RPC:
    terms = [1.0] + [0.0] * 19
    axes = ("height", "lat", "line", "long", "samp")
    scaling = {f"{axis}_{part}": 1.0 for axis in axes for part in ("off", "scale")}
    parts = {f"{axis}_{part}_coeff": terms for axis in ("line", "samp") for part in ("num", "den")}
    return RPC(**scaling, **parts, err_bias=None, err_rand=None)


class TestReading:
    @pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}])
    @pytest.mark.parametrize(
        "window", [Window(0, 0, 40, 70), Window(3, 5, 11, 7), Window(39, 69, 1, 1)]
    )
    def test_a_window_is_the_slice_of_the_scene(
        self, path: Path, profile: dict[str, Any], window: Window
    ) -> None:
        pixels = coordinate_coded(40, 70, bands=3)
        with SceneReader(write_tif(path, pixels, **UTM, **profile)) as scene:
            chip = scene.read(window)
        np.testing.assert_array_equal(chip.pixels, pixels[:, *window.slices])
        assert chip.pixels.dtype == np.uint16
        assert chip.valid.all()
        assert chip.valid.shape == (window.height, window.width)

    @pytest.mark.parametrize("transform", [UTM["transform"], ROTATED, SOUTH_UP])
    def test_a_window_keeps_its_place_on_the_ground(self, path: Path, transform: Affine) -> None:
        write_tif(path, coordinate_coded(40, 70), crs="EPSG:32633", transform=transform)
        with SceneReader(path) as scene:
            chip = scene.read(Window(3, 5, 11, 7))
            assert chip.grid.crs == scene.grid.crs
        assert chip.grid.transform @ (0, 0) == pytest.approx(transform @ (5, 3))
        assert chip.grid.transform @ (7, 11) == pytest.approx(transform @ (12, 14))

    def test_the_grid_is_the_files(self, path: Path) -> None:
        grid = grid_of(write_tif(path, coordinate_coded(40, 70), **UTM))
        assert (grid.height, grid.width) == (40, 70)
        assert grid.transform == UTM["transform"]
        assert grid.crs is not None
        assert 'ID["EPSG",32633]' in grid.crs

    def test_a_plain_image_has_no_place(self, path: Path) -> None:
        grid = grid_of(write_tif(path, coordinate_coded(40, 70)))
        assert not grid.is_georeferenced
        assert grid.pixel_area_m2 is None
        assert grid.transform.is_identity

    def test_a_transform_without_crs_is_kept(self, path: Path) -> None:
        grid = grid_of(write_tif(path, coordinate_coded(4, 7), transform=SOUTH_UP))
        assert (grid.transform, grid.crs, grid.pixel_area_m2) == (SOUTH_UP, None, None)

    def test_a_sample_is_of_valid_pixels_from_all_over(self, path: Path) -> None:
        pixels = coordinate_coded(60, 200, bands=2)
        pixels[1, :, :20] = 0
        write_tif(path, pixels, nodata=0, **UTM)
        with SceneReader(path) as scene:
            sample = scene.sample(50)
            everything = scene.sample(1000)
        assert sample.shape[0] == 2
        assert 600 <= sample.shape[1] <= 15 * 50
        assert sample.min() > 0
        columns = sample[0] % 200
        assert columns.min() in range(20, 25)
        assert columns.max() >= 195
        assert everything.shape == (2, 60 * 180)

    def test_chip_arrays_must_fit_their_grid(self) -> None:
        pixels, valid = np.zeros((3, 4, 5), np.uint8), np.ones((4, 5), bool)
        Chip(pixels, valid, Grid(4, 5))
        for wrong in (Grid(5, 4), Grid(4, 6)):
            with pytest.raises(ValueError, match=r"\(3, 4, 5\) .*\(4, 5\) do not fit"):
                Chip(pixels, valid, wrong)

    def test_gdal_keeps_to_its_cache(self) -> None:
        with gdal_environment(cache_mb=64):
            assert rasterio.env.getenv()["GDAL_CACHEMAX"] == 64 * 2**20  # bytes


class TestValidity:
    def test_nodata_in_one_band_makes_the_pixel_invalid(self, path: Path) -> None:
        pixels = np.full((3, 4, 5), 9, np.uint8)
        pixels[0, 0, 1] = 0
        pixels[:, 2, 3] = 0
        assert invalid(write_tif(path, pixels, nodata=0, **UTM)) == {(0, 1), (2, 3)}

    def test_only_the_chosen_bands_count(self, path: Path) -> None:
        pixels = np.full((3, 4, 5), 9, np.uint8)
        pixels[0, 0, 1] = pixels[2, 3, 4] = 0
        write_tif(path, pixels, nodata=0, **UTM)
        assert invalid(path, bands=[2, 3]) == {(3, 4)}

    def test_without_nodata_zero_is_a_value(self, path: Path) -> None:
        assert invalid(write_tif(path, np.zeros((3, 4, 5), np.uint8), **UTM)) == set()

    @pytest.mark.parametrize("profile", [{}, {"nodata": np.nan}, {"nodata": -9999}])
    def test_what_is_not_finite_is_invalid(self, path: Path, profile: dict[str, Any]) -> None:
        pixels = np.ones((2, 4, 5), np.float32)
        pixels[0, 0, 1], pixels[1, 1, 1], pixels[1, 2, 2] = np.nan, np.inf, -np.inf
        assert invalid(write_tif(path, pixels, **profile, **UTM)) == {(0, 1), (1, 1), (2, 2)}

    def test_a_number_as_nodata_of_floats(self, path: Path) -> None:
        pixels = np.ones((2, 4, 5), np.float32)
        pixels[0, 0, 1], pixels[1, 3, 3] = -9999, np.nan
        assert invalid(write_tif(path, pixels, nodata=-9999, **UTM)) == {(0, 1), (3, 3)}

    def test_alpha_is_validity_and_no_band_of_the_model(self, path: Path) -> None:
        pixels = np.full((4, 4, 5), 9, np.uint8)
        pixels[3] = 255
        pixels[3, 0, :2] = 0
        write_tif(path, pixels, marks=(RED, GREEN, BLUE, ALPHA), **UTM)
        assert invalid(path) == {(0, 0), (0, 1)}
        with SceneReader(path) as scene:
            assert scene.bands == (1, 2, 3)

    def test_an_internal_mask_is_validity(self, path: Path) -> None:
        mask = np.full((4, 5), 255, np.uint8)
        mask[2, 3] = 0
        write_tif(path, np.zeros((3, 4, 5), np.uint8), mask=mask, **UTM)
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        assert invalid(path) == {(2, 3)}

    def test_validity_moves_with_the_window(self, path: Path) -> None:
        pixels = np.full((1, 20, 30), 9, np.uint8)
        pixels[0, 11, 17] = 0
        with SceneReader(write_tif(path, pixels, nodata=0, **UTM)) as scene:
            valid = scene.read(Window(10, 15, 4, 6)).valid
        assert np.argwhere(~valid).tolist() == [[1, 2]]


class TestBands:
    @pytest.mark.parametrize(
        ("marks", "n_bands", "bands"),
        [
            ((BLUE, GREEN, RED, OTHER), 3, (3, 2, 1)),
            ((OTHER, RED, GREEN, BLUE), 3, (2, 3, 4)),
            ((ALPHA, RED, GREEN, BLUE), 3, (2, 3, 4)),
            ((BLUE, GREEN, RED, OTHER), 4, (1, 2, 3, 4)),
            ((BLUE, GREEN, RED, OTHER), 2, (1, 2)),
            ((BLUE, GREEN, RED, OTHER), None, (1, 2, 3, 4)),
            ((BLUE, GREEN, OTHER, OTHER), 3, (1, 2, 3)),
            ((RED, GREEN, BLUE, ALPHA), None, (1, 2, 3)),
            ((ColorInterp.gray, OTHER, OTHER, OTHER), 1, (1,)),
        ],
    )
    def test_bands_are_chosen_by_their_marks(
        self,
        path: Path,
        marks: Sequence[ColorInterp],
        n_bands: int | None,
        bands: tuple[int, ...],
    ) -> None:
        pixels = np.arange(4, dtype=np.uint8)[:, None, None] + np.full((4, 4, 5), 10, np.uint8)
        write_tif(path, pixels, marks=marks, **UTM)
        with SceneReader(path, n_bands=n_bands) as scene:
            assert scene.bands == bands
            found = scene.read(scene.grid.window).pixels
        assert found[:, 0, 0].tolist() == [9 + band for band in bands]

    def test_named_bands_come_in_the_order_named(self, path: Path) -> None:
        pixels = coordinate_coded(4, 5, bands=4)
        write_tif(path, pixels, **UTM)
        chip = read_all(path, bands=[4, 1, 3], n_bands=3)
        np.testing.assert_array_equal(chip.pixels, pixels[[3, 0, 2]])

    def test_too_few_bands(self, path: Path) -> None:
        message = refusal(write_tif(path, coordinate_coded(4, 5, bands=2), **UTM), n_bands=3)
        assert "has 2 bands" in message
        assert "3 are needed" in message
        assert "--bands" in message

    @pytest.mark.parametrize(("bands", "chosen"), [([1], "1 band "), ([1, 2, 3, 4], "4 bands ")])
    def test_another_number_of_bands_chosen_than_needed(
        self, path: Path, bands: list[int], chosen: str
    ) -> None:
        write_tif(path, coordinate_coded(4, 5, bands=4), **UTM)
        message = refusal(path, bands=bands, n_bands=3)
        assert f"{chosen}chosen" in message
        assert "3 are needed" in message
        assert "--bands" in message

    @pytest.mark.parametrize("band", [0, -1, 3])
    def test_a_band_that_is_not_there(self, path: Path, band: int) -> None:
        write_tif(path, coordinate_coded(4, 5, bands=2), **UTM)
        message = refusal(path, bands=[1, band])
        assert f"no band {band}. It has 1 (gray), 2 (undefined)." in message
        assert "--bands" in message


class TestRefusals:
    def test_a_missing_file(self, path: Path) -> None:
        assert f"{path} does not exist" in refusal(path)

    def test_a_folder(self, tmp_path: Path) -> None:
        assert "is a folder" in refusal(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"two\nlines of text"])
    def test_a_file_that_is_no_raster(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        assert "is not a raster" in refusal(path)

    @pytest.mark.parametrize("profile", [{}, {"compress": "deflate"}])
    def test_a_truncated_file_fails_when_read(self, path: Path, profile: dict[str, Any]) -> None:
        pixels = np.random.default_rng(0).integers(0, 60_000, (3, 100, 100), np.uint16)
        content = write_tif(path, pixels, **UTM, **profile).read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with SceneReader(path) as scene:
            assert (scene.grid.height, scene.grid.width) == (100, 100)
        assert f"{path} cannot be read" in refusal(path)

    def test_ground_control_points_only(self, path: Path) -> None:
        corners = ((0, 0, 10, 50), (0, 5, 11, 50), (4, 0, 10, 49), (4, 5, 11, 49))
        gcps = [GroundControlPoint(*corner) for corner in corners]
        message = refusal(write_tif(path, coordinate_coded(4, 5), gcps=gcps, crs="EPSG:4326"))
        assert "ground control points" in message
        assert f"gdalwarp {path}" in message

    def test_rational_polynomials_only(self, path: Path) -> None:
        message = refusal(write_tif(path, coordinate_coded(4, 5), rpcs=polynomials()))
        assert "rational polynomial" in message
        assert f"gdalwarp -rpc {path}" in message

    def test_polynomials_beside_a_transform_do_no_harm(self, path: Path) -> None:
        write_tif(path, coordinate_coded(4, 5), rpcs=polynomials(), **UTM)
        with rasterio.open(path) as dataset:
            assert dataset.rpcs is not None
        assert grid_of(path).transform == UTM["transform"]


class TestPixelArea:
    def area(self, path: Path, crs: str, transform: Affine) -> float:
        grid = grid_of(write_tif(path, coordinate_coded(60, 80), crs=crs, transform=transform))
        assert grid.pixel_area_m2 is not None
        assert grid.gsd_m == pytest.approx(grid.pixel_area_m2**0.5)
        return grid.pixel_area_m2

    @pytest.mark.parametrize("transform", [UTM["transform"], ROTATED, SOUTH_UP])
    def test_half_a_metre_in_utm(self, path: Path, transform: Affine) -> None:
        assert self.area(path, "EPSG:32633", transform) == pytest.approx(0.25)

    def test_us_survey_feet(self, path: Path) -> None:
        transform = Affine(2, 0, 1_000_000, 0, -2, 200_000)
        expected = (2 * 1200 / 3937) ** 2
        assert self.area(path, "EPSG:2263", transform) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(
        "transform",
        [
            Affine(1e-3, 0, 10, 0, -1e-3, 60),
            Affine(5e-6, 0, 10, 0, -5e-6, 60),
            Affine(0.1, 0, 178, 0, -0.1, 60),
            Affine(1e-3, 5e-4, 10, 5e-4, -1e-3, 60),
            Affine(1e-3, 0, 10, 0, 1e-3, -60),
        ],
        ids=["scene", "close up", "date line", "rotated", "south-up"],
    )
    def test_degrees(self, path: Path, transform: Affine) -> None:
        steps = np.linspace(0, 1, 200, endpoint=False)
        there, back, zero, one = steps, 1 - steps, np.zeros(200), np.ones(200)
        columns = np.concatenate([there, one, back, zero]) * 80
        rows = np.concatenate([zero, there, one, back]) * 60
        geodesic, _ = Geod(ellps="WGS84").polygon_area_perimeter(*(transform @ (columns, rows)))
        expected = abs(geodesic) / (60 * 80)
        assert self.area(path, "EPSG:4326", transform) == pytest.approx(expected, rel=1e-3)

    @pytest.mark.parametrize("crs", ["EPSG:3857", "ESRI:102100"])
    def test_web_mercator_at_60_degrees_is_a_quarter_of_its_own_metres(
        self, path: Path, crs: str
    ) -> None:
        transform = Affine(10, 0, 1_000_000, 0, -10, 8_399_738)
        assert self.area(path, crs, transform) == pytest.approx(0.25 * 100, rel=0.01)

    def test_a_local_crs_has_no_known_area(self, path: Path) -> None:
        crs = 'LOCAL_CS["site",UNIT["metre",1]]'
        grid = grid_of(write_tif(path, coordinate_coded(4, 5), crs=crs, transform=SOUTH_UP))
        assert grid.pixel_area_m2 is None
        assert grid.gsd_m is None
        assert grid.transform == SOUTH_UP


def random_labels(height: int, width: int, legend: Legend = LEGEND) -> npt.NDArray[np.uint8]:
    values = np.append(legend.ids, np.uint8(NODATA))
    return np.random.default_rng(0).choice(values, (height, width))


def write_map(
    path: Path,
    labels: npt.NDArray[np.uint8],
    grid: Grid | None = None,
    error: BaseException | None = None,
    tags: dict[str, str] | None = None,
) -> npt.NDArray[np.int64]:
    """Writes a class map in windows of uneven sizes, or fails in the middle; its counts."""
    grid = grid or Grid(*labels.shape, UTM["transform"], "EPSG:32633", 0.25)
    middle = grid.width // 3
    with class_map(path, grid, LEGEND, tags or {}) as writer:
        for rows in grid.window.rows(200):
            for window in (
                Window(rows.top, 0, rows.height, middle),
                Window(rows.top, middle, rows.height, grid.width - middle),
            ):
                writer.write(labels[window.slices], window)
            if error is not None:
                raise error
    return writer.counts


class TestClassMap:
    def test_it_holds_what_was_written(self, path: Path) -> None:
        labels = random_labels(700, 900)
        counts = write_map(path, labels)
        np.testing.assert_array_equal(read_classes(path), labels)
        np.testing.assert_array_equal(counts, np.bincount(labels.ravel(), minlength=256))
        assert sorted(file.name for file in path.parent.iterdir()) == [
            "scene.tif",
            "scene.tif.aux.xml",
        ]

    def test_it_is_a_cloud_optimized_geotiff(self, path: Path) -> None:
        write_map(path, random_labels(700, 900))
        with rasterio.open(path) as dataset:
            assert dataset.driver == "GTiff"
            assert dataset.block_shapes == [(512, 512)]
            assert dataset.compression.name == "deflate"
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert dataset.overviews(1) == [2]

    def test_overviews_hold_only_classes_that_are_there(self, path: Path) -> None:
        # The colour of 1 is the mean of the others': averaged colours would come out as 1.
        greys = Legend("greys", tuple(LandCover(i, str(i), (100 * i,) * 3) for i in range(3)))
        labels = np.zeros((600, 600), np.uint8)
        labels[:, ::2] = 2
        grid = Grid(600, 600, UTM["transform"], "EPSG:32633")
        with class_map(path, grid, greys, {}) as writer:
            writer.write(labels, grid.window)
        with rasterio.open(path, overview_level=0) as dataset:
            assert dataset.shape == (300, 300)
            assert set(np.unique(dataset.read(1))) <= {0, 2}

    def test_a_small_map_needs_no_overviews(self, path: Path) -> None:
        labels = random_labels(3, 5)
        write_map(path, labels)
        np.testing.assert_array_equal(read_classes(path), labels)
        with rasterio.open(path) as dataset:
            assert dataset.overviews(1) == []

    def test_names_colours_and_nodata(self, path: Path) -> None:
        write_map(path, random_labels(30, 40), tags={"MODEL": "demo"})
        with rasterio.open(path) as dataset:
            assert dataset.dtypes == ("uint8",)
            assert dataset.nodata == 255
            assert dataset.colorinterp == (ColorInterp.palette,)
            assert dataset.descriptions == ("land cover",)
            colors = dataset.colormap(1)
            tags = dataset.tags()
        assert (colors[0], colors[2]) == ((1, 2, 3, 255), (0, 128, 0, 255))
        assert {key: tags[key] for key in ("MODEL", "CLASS_0", "CLASS_2")} == {
            "MODEL": "demo",
            "CLASS_0": "a<b>&ü",
            "CLASS_2": "Wald",
        }
        names = ET.parse(sidecar_path(path)).findall("PAMRasterBand/CategoryNames/Category")
        assert [name.text or "" for name in names] == ["a<b>&ü", "", "Wald"]

    def test_colours_and_names_survive_a_lost_sidecar(self, path: Path) -> None:
        write_map(path, random_labels(30, 40))
        sidecar_path(path).unlink()
        with rasterio.open(path) as dataset:
            assert dataset.colormap(1)[2] == (0, 128, 0, 255)
            assert dataset.tags()["CLASS_2"] == "Wald"
            assert dataset.nodata == 255

    def test_nodata_reads_as_invalid(self, path: Path) -> None:
        labels = random_labels(30, 40)
        write_map(path, labels)
        np.testing.assert_array_equal(read_all(path).valid, labels != NODATA)

    @pytest.mark.parametrize(
        "place",
        [
            UTM,
            {**UTM, "transform": ROTATED},
            {**UTM, "transform": SOUTH_UP},
            {"crs": "EPSG:4326", "transform": Affine(1e-5, 0, 10, 0, -1e-5, 60)},
            {"crs": "EPSG:3857", "transform": Affine(1, 0, 1e6, 0, -1, 8e6)},
            {"crs": "EPSG:2263", "transform": Affine(1, 0, 1e6, 0, -1, 2e5)},
            {"transform": SOUTH_UP},
            {},
        ],
        ids=["utm", "rotated", "south-up", "degrees", "web", "feet", "no crs", "plain image"],
    )
    def test_it_lies_where_the_scene_lies(self, tmp_path: Path, place: dict[str, Any]) -> None:
        scene = grid_of(write_tif(tmp_path / "scene.tif", coordinate_coded(30, 40), **place))
        labels = random_labels(30, 40)
        write_map(tmp_path / "map.tif", labels, scene)
        assert grid_of(tmp_path / "map.tif") == scene
        np.testing.assert_array_equal(read_classes(tmp_path / "map.tif"), labels)

    def test_a_plain_image_gets_no_place(self, path: Path) -> None:
        write_map(path, random_labels(3, 5), Grid(3, 5))
        with pytest.warns(NotGeoreferencedWarning):
            rasterio.open(path).close()

    def test_a_missing_folder_is_an_output_error(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"map\.tif cannot be written"):
            write_map(tmp_path / "nowhere" / "map.tif", random_labels(3, 4))

    def test_an_existing_map_and_its_sidecar_are_replaced(self, path: Path) -> None:
        write_map(path, np.zeros((30, 40), np.uint8))
        sidecar_path(path).write_text("what QGIS left there")
        write_map(path, np.full((20, 10), 2, np.uint8))
        assert (read_classes(path) == 2).all()
        assert ET.parse(sidecar_path(path)).getroot().tag == "PAMDataset"


FAILURES = [ValueError("a bug"), KeyboardInterrupt(), RasterError("The scene is damaged.")]


class TestFailedClassMap:
    @pytest.mark.parametrize("error", FAILURES)
    def test_nothing_is_left(self, path: Path, error: BaseException) -> None:
        with pytest.raises(type(error)) as caught:
            write_map(path, random_labels(700, 600), error=error)
        assert caught.value is error
        assert list(path.parent.iterdir()) == []

    @pytest.mark.parametrize("error", FAILURES)
    def test_an_existing_output_is_untouched(self, path: Path, error: BaseException) -> None:
        write_map(path, random_labels(30, 40))
        before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
        with pytest.raises(type(error)):
            write_map(path, np.zeros((700, 600), np.uint8), error=error)
        assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before

    def test_a_map_with_a_hole_is_not_passed_off_as_whole(self, path: Path) -> None:
        grid = Grid(30, 40, UTM["transform"], "EPSG:32633")
        with pytest.raises(OutputError), class_map(path, grid, LEGEND, {}) as writer:
            writer.write(np.zeros((10, 40), np.uint8), Window(0, 0, 10, 40))
        assert list(path.parent.iterdir()) == []


FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path

import numpy as np

from glnet_geo.errors import OutputError
from glnet_geo.grid import Grid
from glnet_geo.legend import DEEPGLOBE
from glnet_geo.raster_output import class_map, write_scene

grid = Grid(600, 600)
labels = np.random.default_rng(0).integers(0, 7, (600, 600), np.uint8)


def write(path):
    if sys.argv[2] == "scene":
        write_scene(path, np.stack([labels] * 3), grid)
        return
    with class_map(path, grid, DEEPGLOBE, {}) as writer:
        writer.write(labels, grid.window)


folder = Path(sys.argv[1])
write(folder / "roomy.tif")
size = (folder / "roomy.tif").stat().st_size
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
# The strips fill the disk; the finished file does; its last byte does, of which GDAL says nothing.
for limit in (size // 2, size * 85 // 100, size - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    for name in ("new.tif", "existing.tif"):
        try:
            write(folder / name)
            message = None
        except OutputError as error:
            message = str(error)
        files = {file.name: file.stat().st_size for file in folder.iterdir()}
        print(json.dumps({"message": message, "files": files}))
"""


class TestFullDisk:
    @pytest.mark.parametrize("kind", ["scene", "classes"])
    def test_a_full_disk_leaves_no_output_and_spares_the_old_one(
        self, tmp_path: Path, kind: str
    ) -> None:
        pytest.importorskip("resource", reason="file size limits are POSIX")
        old = tmp_path / "existing.tif"
        old.write_bytes(b"the old map")
        run = subprocess.run(
            [sys.executable, "-c", FULL_DISK, str(tmp_path), kind],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        reports = [json.loads(line) for line in run.stdout.splitlines()]
        assert len(reports) == 6
        for report in reports:
            assert "cannot be written" in str(report["message"])
            assert "\n" not in report["message"]
            made = {"roomy.tif"} | ({"roomy.tif.aux.xml"} if kind == "classes" else set())
            assert set(report["files"]) == made | {"existing.tif"}
        assert old.read_bytes() == b"the old map"
        with SceneReader(tmp_path / "roomy.tif") as reader:
            assert reader.read(reader.grid.window).valid.any()


class TestWriteScene:
    @pytest.mark.parametrize("transform", [UTM["transform"], ROTATED, SOUTH_UP])
    def test_it_reads_back(self, path: Path, transform: Affine) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (3, 60, 700), np.uint8)
        placed = write_tif(path, pixels, crs="EPSG:32633", transform=transform)
        grid = grid_of(placed)
        write_scene(path, pixels[::-1], grid)
        chip = read_all(path)
        np.testing.assert_array_equal(chip.pixels, pixels[::-1])
        assert chip.valid.all()
        assert chip.grid == grid
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_it_is_tiled_rgb(self, path: Path) -> None:
        grid = Grid.north_up(60, 700, 500_000, 5_000_000, 0.5, "EPSG:32633")
        write_scene(path, np.zeros((3, 60, 700), np.uint8), grid)
        with rasterio.open(path) as dataset:
            assert dataset.colorinterp == (RED, GREEN, BLUE)
            assert set(dataset.block_shapes) == {(512, 512)}
            assert dataset.compression.name == "deflate"

    def test_a_missing_folder_is_an_output_error(self, tmp_path: Path) -> None:
        grid = Grid.north_up(4, 5, 500_000, 5_000_000, 0.5, "EPSG:32633")
        with pytest.raises(OutputError, match=r"scene\.tif cannot be written"):
            write_scene(tmp_path / "nowhere" / "scene.tif", np.zeros((3, 4, 5), np.uint8), grid)

    def test_a_grid_without_a_place(self, path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
        write_scene(path, pixels, Grid(4, 5))
        np.testing.assert_array_equal(read_all(path).pixels, pixels)

    def test_it_takes_the_side_file_of_a_map_away(self, path: Path) -> None:
        grid = Grid.north_up(4, 5, 500_000, 5_000_000, 0.5, "EPSG:32633")
        with class_map(path, grid, DEEPGLOBE, {}) as writer:
            writer.write(np.zeros((4, 5), np.uint8), grid.window)
        write_scene(path, np.zeros((3, 4, 5), np.uint8), grid)
        assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("window", [Window(50, 0, 20, 3), Window(-1, 0, 3, 3), Window(0, 79, 1, 2)])
def test_a_window_outside_the_grid_is_a_mistake(path: Path, window: Window) -> None:
    with (
        SceneReader(write_tif(path, coordinate_coded(60, 80), **UTM)) as reader,
        pytest.raises(ValueError, match="reaches outside"),
    ):
        reader.read(window)


class TestReadClasses:
    @pytest.mark.parametrize(
        "pixels", [np.zeros((3, 4, 5), np.uint8), np.full((1, 4, 5), 300.5, np.float32)]
    )
    def test_what_is_no_class_raster(self, path: Path, pixels: np.ndarray) -> None:
        with pytest.raises(RasterError, match="no class raster"):
            read_classes(write_tif(path, pixels, **UTM))

    def test_it_is_the_only_band_as_it_stands(self, path: Path) -> None:
        labels = random_labels(30, 40, DEEPGLOBE)
        found = read_classes(write_tif(path, labels, nodata=0, **UTM))
        np.testing.assert_array_equal(found, labels)
        assert found.dtype == np.uint8

    def test_a_missing_file(self, path: Path) -> None:
        with pytest.raises(RasterError, match="does not exist"):
            read_classes(path)


def test_complex_pixels_are_refused(path: Path) -> None:
    with pytest.raises(RasterError, match="complex pixels"):
        SceneReader(write_tif(path, np.ones((1, 4, 5), np.complex64), **UTM))


def test_metres_that_pass_for_degrees_have_no_area(path: Path) -> None:
    write_tif(path, np.zeros((1, 4, 5), np.uint8), crs="EPSG:4326", transform=UTM["transform"])
    assert grid_of(path).pixel_area_m2 is None


def test_a_crs_without_a_transform_is_no_place(path: Path) -> None:
    write_tif(path, np.zeros((1, 4, 5), np.uint8), crs="EPSG:32633")
    grid = grid_of(path)
    assert not grid.is_georeferenced and grid.pixel_area_m2 is None


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_bands_of_different_types_are_read(tmp_path: Path) -> None:
    band = '<VRTRasterBand dataType="{}" band="{}"><SimpleSource><SourceFilename relativeToVRT="1">'
    band += "{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
    small, large = np.full((1, 4, 5), 200, np.uint8), np.full((1, 4, 5), 60_000, np.uint16)
    write_tif(tmp_path / "small.tif", small)
    write_tif(tmp_path / "large.tif", large)
    bands = band.format("Byte", 1, "small.tif") + band.format("UInt16", 2, "large.tif")
    vrt = tmp_path / "both.vrt"
    vrt.write_text(f'<VRTDataset rasterXSize="5" rasterYSize="4">{bands}</VRTDataset>')
    chip = read_all(vrt)
    assert chip.pixels.dtype == np.uint16 and chip.pixels[:, 0, 0].tolist() == [200, 60_000]
