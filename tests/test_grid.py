"""Pixel and ground arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from glnet_geo.grid import Grid, Window

ROTATED = Affine.translation(500, 900) @ Affine.rotation(30) @ Affine.scale(2, -2)
SOUTH_UP = Affine(2, 0, 500, 0, 2, 900)
NORTH_UP = Affine(2, 0, 500, 0, -2, 900)


def test_a_window_ends_before_its_bottom_and_right() -> None:
    window = Window(2, 3, 4, 5)
    assert (window.bottom, window.right) == (6, 8)
    array = np.arange(80).reshape(8, 10)
    np.testing.assert_array_equal(array[window.slices], array[2:6, 3:8])
    assert array[None][..., *window.slices].shape == (1, 4, 5)


@pytest.mark.parametrize(("height", "width"), [(0, 1), (1, 0), (-3, 2)])
def test_nothing_has_no_pixels(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"window .* got {height}x{width}"):
        Window(0, 0, height, width)
    with pytest.raises(ValueError, match=f"grid .* got {height}x{width}"):
        Grid(height, width)


@pytest.mark.parametrize(
    "other",
    [Window(1, 3, 4, 5), Window(2, 2, 4, 5), Window(2, 3, 5, 5), Window(2, 3, 4, 6)],
)
def test_a_window_does_not_contain_what_sticks_out_on_one_side(other: Window) -> None:
    window = Window(2, 3, 4, 5)
    assert not window.contains(other)
    assert window.contains(window)
    assert window.contains(Window(3, 4, 2, 3))


def test_relative_to_starts_at_the_outer_corner() -> None:
    array = np.arange(300).reshape(15, 20)
    outer, inner = Window(4, 7, 10, 12), Window(6, 8, 3, 2)
    relative = inner.relative_to(outer)
    assert relative == Window(2, 1, 3, 2)
    np.testing.assert_array_equal(array[outer.slices][relative.slices], array[inner.slices])


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED])
def test_a_crop_keeps_every_pixel_in_its_place(transform: Affine) -> None:
    grid = Grid(50, 60, transform, "EPSG:32633", 4.0)
    cropped = grid.crop(Window(10, 20, 5, 6))
    assert (cropped.height, cropped.width) == (5, 6)
    assert (cropped.crs, cropped.pixel_area_m2) == ("EPSG:32633", 4.0)
    for row, column in [(0, 0), (5, 0), (0, 6), (2.5, 3.5)]:
        assert cropped.transform @ (column, row) == pytest.approx(
            transform @ (20 + column, 10 + row)
        )


def test_crops_of_crops_add_up() -> None:
    grid = Grid(50, 60, ROTATED)
    twice = grid.crop(Window(10, 20, 30, 30)).crop(Window(3, 4, 5, 6))
    once = grid.crop(Window(13, 24, 5, 6))
    assert twice.transform.almost_equals(once.transform)
    assert (twice.height, twice.width) == (once.height, once.width)


def test_the_crop_to_the_whole_window_is_the_grid() -> None:
    grid = Grid(50, 60, NORTH_UP, "EPSG:32633", 4.0)
    assert grid.window == Window(0, 0, 50, 60)
    assert grid.crop(grid.window) == grid


@pytest.mark.parametrize("step", [1, 7, 20, 21, 1000])
def test_rows_cover_every_row_once_from_the_top(step: int) -> None:
    windows = list(Grid(20, 3).window.rows(step))
    rows = [row for window in windows for row in range(window.top, window.bottom)]
    assert rows == list(range(20))
    assert all(window.height <= step for window in windows)
    assert {(window.left, window.width) for window in windows} == {(0, 3)}


def test_north_up_places_the_upper_left_corner() -> None:
    grid = Grid.north_up(10, 20, left=500, top=900, pixel_m=0.5, crs="EPSG:32633")
    assert grid.transform @ (0, 0) == (500, 900)
    assert grid.transform @ (20, 10) == (510, 895)
    assert (grid.height, grid.width, grid.crs) == (10, 20, "EPSG:32633")
    assert grid.pixel_area_m2 == 0.25
    assert grid.gsd_m == 0.5
    assert grid.is_georeferenced


def test_a_plain_image_has_no_place_and_no_area() -> None:
    grid = Grid(10, 20)
    assert not grid.is_georeferenced
    assert grid.gsd_m is None
    assert grid.transform.is_identity


@pytest.mark.parametrize(
    ("crs", "label"),
    [
        (None, None),
        ('PROJCRS["WGS 84 / UTM zone 40N",BASEGEOGCRS["x"],ID["EPSG",32640]]', "EPSG:32640"),
        ('ENGCRS["our yard",EDATUM["x"]]', "our yard"),
    ],
)
def test_a_crs_is_named_as_people_name_it(crs: str | None, label: str | None) -> None:
    assert Grid(1, 1, crs=crs).crs_label == label
