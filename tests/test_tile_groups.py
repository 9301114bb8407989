"""Which scenes are tiles of one mosaic."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.batch_record import SceneFacts
from glnet_geo.grid import Grid, Window
from glnet_geo.tile_groups import group_tiles

UTM = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)


def facts(column, row, width=100, height=80, place=UTM, crs="EPSG:32633", **more):
    transform = place @ Affine.translation(column, row)
    grid = Grid(height, width, transform, crs, 0.25)
    return SceneFacts(grid, more.get("n_bands", 3), more.get("dtype", "uint8"))


def names(mosaics):
    return sorted(sorted(mosaic.places) for mosaic in mosaics)


def test_tiles_that_meet_are_one_mosaic():
    tiles = {"a": facts(0, 0), "b": facts(100, 0), "c": facts(100, 80, 50, 40)}
    (mosaic,) = group_tiles(tiles)
    assert (mosaic.grid.height, mosaic.grid.width) == (120, 200)
    assert mosaic.grid.transform == UTM
    assert mosaic.places == {
        "a": Window(0, 0, 80, 100),
        "b": Window(0, 100, 80, 100),
        "c": Window(80, 100, 40, 50),
    }


def test_the_mosaic_begins_where_the_first_tile_does_not():
    mosaic = group_tiles({"a": facts(100, 80), "b": facts(0, 80), "c": facts(100, 0)})[0]
    assert mosaic.places["a"] == Window(80, 100, 80, 100)
    assert mosaic.grid.transform.almost_equals(UTM)


@pytest.mark.parametrize(
    "other",
    [
        facts(101, 0),  # a gap
        facts(100, 80),  # a corner alone
        facts(100.3, 0),  # another lattice
        facts(100, 0, crs="EPSG:32634"),
        facts(100, 0, n_bands=4),
        facts(100, 0, dtype="uint16"),
        facts(100, 0, place=Affine(0.6, 0, 499_990, 0, -0.6, 5_000_000)),
        facts(0, 0),  # the same place at another time
        facts(80, 0),  # a flight that overlaps by more than a border
    ],
)
def test_others_are_scenes_by_themselves(other):
    assert names(group_tiles({"a": facts(0, 0), "b": other})) == [["a"], ["b"]]


def test_a_border_may_overlap():
    assert names(group_tiles({"a": facts(0, 0), "b": facts(95, 0)})) == [["a", "b"]]


def test_rounding_of_corners_is_no_gap():
    shifted = facts(100, 0)
    place = shifted.grid.transform @ Affine.translation(0.004, -0.003)
    other = replace(shifted, grid=replace(shifted.grid, transform=place))
    assert names(group_tiles({"a": facts(0, 0), "b": other})) == [["a", "b"]]


def test_any_lattice_will_do():
    """Rounding must not tear tiles apart, wherever in a pixel of the first their corners lie."""
    rng = np.random.default_rng(0)
    tiles = {"first": facts(-5000, 0)}
    for k in range(20):
        noise = rng.uniform(-0.002, 0.002, 2)
        tiles[f"half{k}"] = facts(0.5 + 100 * k + noise[0], 0.125 + noise[1])
    groups = names(group_tiles(tiles))
    assert [len(group) for group in groups] == [1, 20]


def test_stacks_of_dates_take_no_time():
    tiles = {f"{k}": facts(0, 0) for k in range(20_000)}
    started = time.perf_counter()
    assert len(group_tiles(tiles)) == 20_000
    assert time.perf_counter() - started < 10


def test_rotated_and_south_up_tiles():
    for turned in (UTM @ Affine.rotation(30), Affine(0.5, 0, 0, 0, 0.5, 0)):
        tiles = {"a": facts(0, 0, place=turned), "b": facts(100, 0, place=turned)}
        (mosaic,) = group_tiles(tiles)
        assert mosaic.places["b"] == Window(0, 100, 80, 100)


def test_scenes_without_a_place_have_no_neighbours():
    nowhere = SceneFacts(Grid(80, 100), 3, "uint8")
    assert names(group_tiles({"a": nowhere, "b": nowhere})) == [["a"], ["b"]]


def test_years_in_folders_are_mosaics_each():
    tiles = {
        f"{year}/{name}": facts(column, 0)
        for year in (2020, 2024)
        for name, column in (("a", 0), ("b", 100))
    }
    assert names(group_tiles(tiles)) == [["2020/a", "2020/b"], ["2024/a", "2024/b"]]


def test_what_lies_over_another_does_not_tie_its_neighbours():
    tiles = {"a": facts(0, 0), "again": facts(0, 0), "b": facts(100, 0), "c": facts(200, 0)}
    assert names(group_tiles(tiles)) == [["a"], ["again"], ["b", "c"]]


@settings(max_examples=50, deadline=None)
@given(
    cells=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1),
    order=st.randoms(use_true_random=False),
)
def test_mosaics_are_the_connected_sets_of_tiles(cells, order):
    keys = sorted(cells)
    order.shuffle(keys)
    tiles = {f"{row}-{column}": facts(column * 100, row * 80) for row, column in keys}
    expected, left = [], set(cells)
    while left:
        reached, edge = set(), [left.pop()]
        while edge:
            row, column = edge.pop()
            reached.add((row, column))
            for near in (
                (row + 1, column),
                (row - 1, column),
                (row, column + 1),
                (row, column - 1),
            ):
                if near in left:
                    left.remove(near)
                    edge.append(near)
        expected.append(sorted(f"{row}-{column}" for row, column in reached))
    mosaics = group_tiles(tiles)
    assert names(mosaics) == sorted(expected)
    for mosaic in mosaics:
        covered = np.zeros((mosaic.grid.height, mosaic.grid.width), int)
        for name, place in mosaic.places.items():
            covered[place.slices] += 1
            inner = mosaic.grid.crop(place).transform
            assert inner.almost_equals(tiles[name].grid.transform, 1e-6)
        assert covered.max() == 1


def test_many_tiles_are_grouped_in_no_time():
    tiles = {f"{k}": facts(k % 100 * 100, k // 100 * 80) for k in range(10_000)}
    started = time.perf_counter()
    (mosaic,) = group_tiles(tiles)
    assert len(mosaic.places) == 10_000
    assert time.perf_counter() - started < 10
