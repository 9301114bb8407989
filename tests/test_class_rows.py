"""Strips of class rasters: whole blocks, sums by run, and what is read ahead."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
from affine import Affine
from geopandas import GeoSeries
from rasterio.shutil import copy as copy_raster

from glnet_geo import class_rows
from glnet_geo.class_raster import ClassRaster
from glnet_geo.class_rows import ClassRows, read_rows
from glnet_geo.errors import RasterError
from glnet_geo.features import AreaOfInterest
from glnet_geo.raster import SceneReader
from glnet_geo.runs import NOTHING
from tests.class_maps import ids, patches
from tests.rasters import UTM, noise, placed_tif


@pytest.fixture
def tif(tmp_path: Path) -> Path:
    return tmp_path / "map.tif"


def strips_of(raster: Path) -> list[ClassRows]:
    with ClassRaster(raster) as reader:
        return [*read_rows(reader)]


def heights_of(raster: Path) -> list[int]:
    return [strip.runs.height for strip in strips_of(raster)]


def joined(strips: list[ClassRows]) -> npt.NDArray[np.int64]:
    return np.concatenate([strip.runs.to_array() for strip in strips])


def measured_strips(raster: Path, measured: Path) -> list[ClassRows]:
    with ClassRaster(raster) as reader, SceneReader(measured) as other:
        return [*read_rows(reader, other)]


@pytest.mark.parametrize(
    ("pixels", "layout", "expected"),
    [
        (10_000, {"blockysize": 1}, [100]),
        (1000, {"blockysize": 1}, [20] * 5),
        (1000, {"blockysize": 8}, [16] * 6 + [4]),
        (10, {"blockysize": 1}, [1] * 100),
        (10, {"blockysize": 30}, [30, 30, 30, 10]),
        (1000, {"tiled": True, "blockxsize": 16, "blockysize": 48}, [48, 48, 4]),
    ],
)
def test_strips_are_whole_blocks(
    tif: Path,
    monkeypatch: pytest.MonkeyPatch,
    pixels: int,
    layout: dict[str, Any],
    expected: list[int],
) -> None:
    labels = patches(100, 50)
    placed_tif(tif, labels, nodata=0, **layout)
    monkeypatch.setattr(class_rows, "_STRIP", pixels)
    strips = strips_of(tif)
    assert [strip.runs.height for strip in strips] == expected
    assert [strip.runs.top for strip in strips] == [*np.cumsum([0, *expected[:-1]])]
    np.testing.assert_array_equal(joined(strips), np.where(labels > 0, labels.astype(int), NOTHING))
    assert all(strip.sums is None for strip in strips)


def test_blocks_that_are_too_high_are_cut(tif: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed_tif(tif, patches(100, 50), blockysize=100, compress="deflate")
    monkeypatch.setattr(class_rows, "_STRIP", 1000)
    assert heights_of(tif) == [100]
    monkeypatch.setattr(class_rows, "_BLOCKS", 100 * 50 - 1)
    assert heights_of(tif) == [20] * 5


def test_rows_of_many_runs_come_in_parts(tif: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.ones((20, 10), np.uint8)
    labels[5:9] = np.arange(10) % 3
    placed_tif(tif, labels)
    monkeypatch.setattr(class_rows, "_RUNS", 12)
    assert heights_of(tif) == [5, 1, 1, 1, 3, 9]
    strips = strips_of(tif)
    np.testing.assert_array_equal(joined(strips), labels)
    assert all(len(strip.runs.start) <= 12 for strip in strips)
    monkeypatch.setattr(class_rows, "_RUNS", 3)
    strips = strips_of(tif)
    np.testing.assert_array_equal(joined(strips), labels)
    assert {len(strip.runs.start) for strip in strips if len(strip.runs.start) > 3} == {10}


def test_sums_by_hand(tif: Path, tmp_path: Path) -> None:
    placed_tif(tif, ids([1, 1, 2, 0], [3, 3, 3, 3]), nodata=0)
    values = np.array([[5, 9, 255, 7], [1, 255, 3, 200]], np.uint8)
    (strip,) = measured_strips(tif, placed_tif(tmp_path / "c.tif", values, nodata=255))
    assert strip.runs.value.tolist() == [1, 2, NOTHING, 3]
    assert strip.sums is not None
    assert strip.sums.tolist() == [[14, 2], [0, 0], [7, 1], [204, 3]]


@pytest.mark.parametrize("runs", [3, 1 << 17])
def test_sums_of_every_strip(
    tif: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int
) -> None:
    monkeypatch.setattr(class_rows, "_STRIP", 70)
    monkeypatch.setattr(class_rows, "_RUNS", runs)
    labels, values = patches(50, 10), noise(50, 10, bands=1)[0] * 1.5
    placed_tif(tif, labels, nodata=0, blockysize=1)
    values[values > 300] = np.nan
    other = placed_tif(tmp_path / "c.tif", values, blockysize=16, nodata=np.nan)
    for strip in measured_strips(tif, other):
        rows = slice(strip.runs.top, strip.runs.top + strip.runs.height)
        starts = strip.runs.places - strip.runs.top * 10
        has_value = np.isfinite(values[rows])
        sums = np.add.reduceat(np.nan_to_num(values[rows]).ravel(), starts)
        assert strip.sums is not None
        np.testing.assert_array_equal(strip.sums[:, 0], sums)
        np.testing.assert_array_equal(
            strip.sums[:, 1], np.add.reduceat(has_value.ravel(), starts, dtype=int)
        )


def test_large_values_do_not_overflow(tif: Path, tmp_path: Path) -> None:
    placed_tif(tif, np.ones((3, 100), np.uint8))
    values = np.full((3, 100), 2**31 - 1, np.int32)
    (strip,) = measured_strips(tif, placed_tif(tmp_path / "c.tif", values))
    assert strip.sums is not None and strip.sums[:, 0].tolist() == [100 * (2**31 - 1)] * 3


@pytest.mark.parametrize(
    "place",
    [
        {"transform": Affine(0.5, 0, 500_000.004, 0, -0.5, 5_000_000)},
        {"crs": rasterio.CRS.from_epsg(32633).to_wkt()},
    ],
)
def test_a_grid_that_is_all_but_the_same_will_do(
    tif: Path, tmp_path: Path, place: dict[str, Any]
) -> None:
    placed_tif(tif, patches(9, 8))
    other = placed_tif(tmp_path / "c.tif", patches(9, 8), **{**UTM, **place})
    assert len(measured_strips(tif, other)) == 1


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0.5, 0, 500_000.006, 0, -0.5, 5_000_000),
        Affine(0.5, 0, 500_000, 0, -0.51, 5_000_000),
        Affine(0.5, 0.1, 500_000, 0, -0.5, 5_000_000),
    ],
)
def test_a_grid_a_little_off_will_not(tif: Path, tmp_path: Path, transform: Affine) -> None:
    placed_tif(tif, patches(9, 8))
    other = placed_tif(tmp_path / "c.tif", patches(9, 8), transform=transform)
    with pytest.raises(RasterError, match=r"c\.tif does not lie on the grid of .*map\.tif"):
        measured_strips(tif, other)


def test_one_strip_is_read_ahead(tif: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed_tif(tif, patches(50, 10), blockysize=1)
    monkeypatch.setattr(class_rows, "_STRIP", 100)
    before, tops = {*threading.enumerate()}, list[int]()
    has_read = threading.Semaphore(0)
    read = ClassRaster.read

    def noted_read(self: ClassRaster, window: Any) -> Any:
        tops.append(window.top)
        result = read(self, window)
        has_read.release()
        return result

    monkeypatch.setattr(ClassRaster, "read", noted_read)
    with ClassRaster(tif) as reader:
        strips = read_rows(reader)
        for expected in ([0, 10], [0, 10, 20], [0, 10, 20, 30]):
            next(strips)
            while tops != expected:
                assert has_read.acquire(timeout=10)
        strips.close()
    assert {*threading.enumerate()} == before, "the reading goes on"


def test_an_error_comes_with_the_strip_that_has_it(
    tif: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed_tif(tif, noise(60, 100, bands=1), blockysize=1, compress="deflate")
    content = bytearray(tif.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    tif.write_bytes(content)
    monkeypatch.setattr(class_rows, "_STRIP", 1000)
    tops = []
    with ClassRaster(tif) as reader, pytest.raises(RasterError, match="cannot be read"):
        tops.extend(strip.runs.top for strip in read_rows(reader))
    assert tops == [0, 10]


def test_a_mosaic_is_read_over_its_tiles(tif: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = patches(60, 30)
    placed_tif(tif, labels, blockysize=7)
    copy_raster(tif, tif.with_suffix(".vrt"), driver="VRT")
    monkeypatch.setattr(class_rows, "_STRIP", 100)
    np.testing.assert_array_equal(joined(strips_of(tif.with_suffix(".vrt"))), labels)


def test_outside_an_area_of_interest_there_is_no_data(
    tmp_path: Path, tif: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_rows, "_STRIP", 120)
    labels = patches(40, 30)
    labels[6, 5:9] = 0
    placed_tif(tif, labels, blockysize=4, nodata=0)
    # Columns 5 to 14 of rows 6 to 19; most strips do not touch them.
    box = shapely.box(500_002.5, 4_999_990, 500_007.5, 4_999_997)
    GeoSeries([box], crs="EPSG:32633").to_file(tmp_path / "aoi.gpkg")
    with ClassRaster(tif) as reader:
        aoi = AreaOfInterest.read(tmp_path / "aoi.gpkg", reader.grid)
        found = joined([*read_rows(reader, aoi=aoi)])
    expected = np.full(labels.shape, NOTHING)
    expected[6:20, 5:15] = np.where(labels == 0, NOTHING, labels.astype(np.int64))[6:20, 5:15]
    np.testing.assert_array_equal(found, expected)
