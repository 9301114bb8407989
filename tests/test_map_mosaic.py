"""A virtual raster over finished maps: what GDAL and we ourselves read from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from glnet_geo.class_raster import ClassRaster
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import NODATA
from glnet_geo.map_mosaic import PlacedMap, maps_xml, overlaps, union_grid
from glnet_geo.raster_output import class_map
from glnet_geo.vectorizing import vectorize
from tests.class_maps import NAMED, check_exact, patches, read_polygons
from tests.rasters import UTM

NORTH_UP = UTM["transform"]
SOUTH_UP = Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000)
ROTATED = Affine.translation(5e5, 5e6) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
PLACES = {"north up": NORTH_UP, "south up": SOUTH_UP, "rotated": ROTATED}


def grid_of(height: int, width: int, transform: Affine = NORTH_UP) -> Grid:
    return Grid(height, width, transform, rasterio.crs.CRS.from_epsg(32633).to_wkt())


def write_map(path: Path, labels: npt.NDArray[np.uint8], grid: Grid) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    with class_map(path, grid, NAMED, {}) as writer:
        writer.write(labels, grid.window)


def mosaic(
    folder: Path,
    labels: npt.NDArray[np.uint8],
    windows: Sequence[Window],
    transform: Affine = NORTH_UP,
    names: str = "tile-{}.tif",
) -> Path:
    """Cuts labels into maps and puts them together again."""
    grid = grid_of(*labels.shape, transform)
    maps = [PlacedMap(names.format(k), window) for k, window in enumerate(windows)]
    for one in maps:
        write_map(folder / one.path, labels[one.window.slices].copy(), grid.crop(one.window))
    path = folder / "all.vrt"
    path.write_bytes(maps_xml(maps, grid, NAMED, {"MODEL": "m < 1.0"}))
    return path


QUARTERS = [
    Window(0, 0, 20, 30),
    Window(0, 30, 20, 25),
    Window(20, 0, 25, 30),
    Window(20, 30, 25, 25),
]


def labels_of(height: int = 45, width: int = 55) -> npt.NDArray[np.uint8]:
    return np.array([0, 1, 4, NODATA], np.uint8)[patches(height, width, classes=4)]


@pytest.mark.parametrize("place", PLACES)
def test_maps_side_by_side_read_like_one_raster(tmp_path: Path, place: str) -> None:
    labels = labels_of()
    path = mosaic(tmp_path, labels, QUARTERS, PLACES[place])
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), labels)
        assert dataset.transform.almost_equals(PLACES[place], 1e-9)
        assert dataset.crs.to_epsg() == 32633
        assert dataset.nodata == NODATA
        assert dataset.descriptions == ("land cover",)
        assert dataset.colorinterp == (ColorInterp.palette,)
        assert dataset.tags()["MODEL"] == "m < 1.0"
        # One entry a class (and fillers up to the last), or QGIS shows 256 rows.
        assert list(dataset.colormap(1)) == [0, 1, 2, 3, 4]


def test_it_has_the_names_and_colours_of_its_maps(tmp_path: Path) -> None:
    path = mosaic(tmp_path, labels_of(), QUARTERS)
    with ClassRaster(path) as raster, ClassRaster(tmp_path / "tile-0.tif") as tile:
        found = [raster.classes.of(k) for k in (0, 1, 4)]
        assert found == [tile.classes.of(k) for k in (0, 1, 4)]
        assert [one.name for one in found] == ["building", "bare land", "Wald & Wiese"]
        assert set(raster.files) >= {tmp_path / f"tile-{k}.tif" for k in range(4)}


def test_gdal_takes_names_and_the_attribute_table(tmp_path: Path) -> None:
    path = mosaic(tmp_path, labels_of(), QUARTERS)
    copy = tmp_path / "copy.vrt"
    rasterio.shutil.copy(path, copy, driver="VRT")
    band = ET.parse(copy).find("VRTRasterBand")
    assert band is not None
    names = [one.text or "" for one in band.iterfind("CategoryNames/Category")]
    assert names == ["building", "bare land", "", "", "Wald & Wiese"]
    rows = [[f.text for f in row] for row in band.iterfind("GDALRasterAttributeTable/Row")]
    assert rows[-1] == ["4", "Wald & Wiese", "0", "128", "0"]


def test_nodata_hides_no_other_map_where_they_overlap(tmp_path: Path) -> None:
    first, second = np.full((8, 8), 1, np.uint8), np.full((8, 8), 4, np.uint8)
    first[:, 6:], second[:, :3] = NODATA, NODATA
    grid = grid_of(8, 12)
    windows = [Window(0, 0, 8, 8), Window(0, 4, 8, 8)]
    for k, labels in enumerate((first, second)):
        write_map(tmp_path / f"{k}.tif", labels, grid.crop(windows[k]))
    maps = [PlacedMap(f"{k}.tif", window) for k, window in enumerate(windows)]
    (tmp_path / "all.vrt").write_bytes(maps_xml(maps, grid, NAMED, {}))
    with rasterio.open(tmp_path / "all.vrt") as dataset:
        row = dataset.read(1)[0].tolist()
    # The second one's nodata at 4 to 6 leaves the first one's classes (up to 5) and nodata.
    assert row == [1] * 6 + [NODATA] + [4] * 5


@pytest.mark.parametrize(
    ("windows", "complex_ones"),
    [
        (QUARTERS, []),
        ([*QUARTERS, Window(19, 29, 1, 1)], [0, 4]),
        ([Window(5, 0, 5, 5), Window(0, 0, 6, 5), Window(30, 30, 1, 1)], [0, 1]),
        ([Window(0, 0, 5, 5), Window(0, 0, 5, 5)], [0, 1]),
    ],
)
def test_only_maps_that_overlap_are_read_the_slow_way(
    windows: list[Window], complex_ones: list[int]
) -> None:
    maps = [PlacedMap(f"{k}.tif", window) for k, window in enumerate(windows)]
    root = ET.fromstring(maps_xml(maps, grid_of(45, 55), NAMED, {}))
    found = [one.findtext("SourceFilename") for one in root.iter("ComplexSource")]
    assert found == [f"{k}.tif" for k in complex_ones]
    assert len(list(root.iter("SimpleSource"))) == len(windows) - len(complex_ones)


def test_overlaps_are_found_whatever_the_order() -> None:
    generator = np.random.default_rng(0)
    windows = [
        Window(*generator.integers(1, 40, 2), *generator.integers(1, 9, 2)) for _ in "x" * 99
    ]
    found = {tuple(sorted(pair)) for pair in overlaps(windows).tolist()}
    pairs = [(j, k) for k in range(99) for j in range(k)]
    assert found == {(j, k) for j, k in pairs if windows[j].intersection(windows[k])}
    assert overlaps(QUARTERS).shape == (0, 2)


def test_what_no_map_covers_is_nodata(tmp_path: Path) -> None:
    labels = labels_of()
    path = mosaic(tmp_path, labels, QUARTERS[:2])
    with rasterio.open(path) as dataset:
        assert (dataset.read(1)[20:] == NODATA).all()


@pytest.mark.parametrize(
    "names",
    ["ü/水 {}.tif", "a & b/<{}>'\".tif", "sub/dir/{}.tif", "%20#{}?.tif"],
)
def test_maps_may_have_any_name(tmp_path: Path, names: str) -> None:
    labels = labels_of()
    path = mosaic(tmp_path, labels, QUARTERS, names=names)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), labels)


def test_it_moves_with_its_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = labels_of()
    mosaic(tmp_path / "out", labels, QUARTERS)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    with rasterio.open("elsewhere/all.vrt") as dataset:
        np.testing.assert_array_equal(dataset.read(1), labels)


def test_opening_it_opens_no_map(tmp_path: Path) -> None:
    path = mosaic(tmp_path, labels_of(), QUARTERS)
    (tmp_path / "tile-3.tif").unlink()
    with rasterio.open(path) as dataset:
        assert dataset.read(1, window=((0, 20), (0, 55))).shape == (20, 55)


def test_ten_thousand_maps_open_quickly(tmp_path: Path) -> None:
    side, n = 8, 100
    grid = grid_of(n * side, n * side)
    windows = [Window(r * side, c * side, side, side) for r in range(n) for c in range(n)]
    maps = [PlacedMap(f"{k}.tif", window) for k, window in enumerate(windows)]
    write_map(tmp_path / "0.tif", np.ones((side, side), np.uint8), grid.crop(windows[0]))
    start = time.perf_counter()
    union, found = union_grid([grid.crop(window) for window in windows])
    (tmp_path / "all.vrt").write_bytes(maps_xml(maps, union, NAMED, {}))
    with rasterio.open(tmp_path / "all.vrt") as dataset:
        assert (dataset.read(1, window=((0, side), (0, side))) == 1).all()
    assert found == windows and union == grid
    assert time.perf_counter() - start < 5


def test_it_has_the_polygons_of_the_whole_raster(tmp_path: Path) -> None:
    labels = labels_of()
    whole = tmp_path / "whole.tif"
    write_map(whole, labels, grid_of(*labels.shape))
    path = mosaic(tmp_path, labels, QUARTERS)
    for raster in (whole, path):
        vectorize(raster, raster.with_suffix(".gpkg"))
    found, expected = (read_polygons(p.with_suffix(".gpkg")) for p in (path, whole))
    check_exact(whole, found)
    key = ["class", "class_id", "area_m2", "geometry"]
    rows = [sorted(map(str, frame[key].itertuples(index=False))) for frame in (found, expected)]
    assert rows[0] == rows[1]


def test_a_map_outside_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        maps_xml([PlacedMap("a.tif", Window(0, 50, 10, 10))], grid_of(45, 55), NAMED, {})


@pytest.mark.parametrize("place", PLACES)
def test_the_union_holds_all_grids(place: str) -> None:
    whole = grid_of(1000, 2000, PLACES[place])
    # They start neither with the upper left one nor at the corner.
    windows = [Window(300, 70, 10, 20), Window(5, 900, 7, 8), Window(990, 60, 2, 3)]
    union, found = union_grid([whole.crop(window) for window in windows])
    assert found == [Window(295, 10, 10, 20), Window(0, 840, 7, 8), Window(985, 0, 2, 3)]
    assert (union.height, union.width, union.crs) == (987, 848, whole.crs)
    assert union.transform.almost_equals(whole.crop(Window(5, 60, 1, 1)).transform, 1e-6)


def test_corners_may_be_off_by_three_hundredths_of_a_pixel() -> None:
    grid = grid_of(100, 100)
    near = Affine(0.5, 0, 500_050.01, 0, -0.5, 4_999_999.99)
    assert union_grid([grid, grid_of(10, 10, near)])[1][1] == Window(0, 100, 10, 10)
    # So may the last pixel of a grid whose pixels have a rounded size.
    longer = Affine(0.50001, 0, 500_050, 0, -0.5, 5_000_000)
    assert union_grid([grid, grid_of(10, 1000, longer)])[1][1] == Window(0, 100, 10, 1000)
    with pytest.raises(ValueError, match="not one lattice"):
        union_grid([grid, grid_of(10, 2000, longer)])


OTHERS: dict[str, Any] = {
    "shifted": Affine(0.5, 0, 500_000.25, 0, -0.5, 5_000_000),
    "larger pixels": Affine(1, 0, 500_000, 0, -1, 5_000_000),
    "turned": ROTATED,
    "flipped": SOUTH_UP,
    "without a place": Affine.identity(),
}


@pytest.mark.parametrize("other", OTHERS)
def test_grids_of_another_lattice_are_refused(other: str) -> None:
    with pytest.raises(ValueError, match="lattice"):
        union_grid([grid_of(10, 10), grid_of(10, 10, OTHERS[other])])


def test_more_grids_are_refused() -> None:
    grid = grid_of(10, 10)
    with pytest.raises(ValueError, match="not one lattice"):
        union_grid([grid, Grid(10, 10, NORTH_UP, "EPSG:3857")])
    with pytest.raises(ValueError, match="no raster"):
        union_grid([grid, grid_of(10, 10, Affine(0.5, 0, 3e9, 0, -0.5, 5e6))])
    with pytest.raises(ValueError, match="no size"):
        union_grid([grid_of(10, 10, Affine(0.5, 0, 0, 0, 0, 0))])


def test_one_grid_without_a_place_is_its_own_union() -> None:
    assert union_grid([Grid(3, 4)]) == (Grid(3, 4), [Window(0, 0, 3, 4)])


def test_the_unions_pixels_have_the_mean_area() -> None:
    grids = [Grid(10, 10, NORTH_UP, "EPSG:4326", 1.0), Grid(10, 30, NORTH_UP, "EPSG:4326", 2.0)]
    assert union_grid(grids)[0].pixel_area_m2 == pytest.approx(1.75)
    assert union_grid([grids[0], grids[0]])[0].pixel_area_m2 == 1.0
    assert union_grid([grids[0], Grid(1, 1, NORTH_UP, "EPSG:4326")])[0].pixel_area_m2 is None
