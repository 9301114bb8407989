from __future__ import annotations

import math
import re

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS

from glnet_geo.errors import DatasetError, GlnetGeoError
from glnet_geo.grid import Grid, Window
from glnet_geo.splits import BlockPlan
from glnet_geo.units import Length, parse_length

UTM = CRS("EPSG:32633").to_wkt()
LONLAT = CRS("EPSG:4326").to_wkt()
FEET = CRS("EPSG:2263").to_wkt()  # New York, US survey feet
PLAN = {"size": "40m", "val": 0.2, "test": 0.15}


def grid(height=120, width=150, transform=None, crs=UTM):
    return Grid(height, width, transform or Affine(2, 0, 500_003, 0, -2, 5_000_009), crs)


def masks(plan, where, window=None, image="a.tif"):
    regions = BlockPlan.from_dict(plan).regions(image)
    return {split: one.mask(where, window or where.window) for split, one in regions.items()}


PLACES = st.sampled_from(
    [
        grid(),
        grid(transform=Affine(2, 0, -70, 0, -2, 55)),  # across the origin
        grid(transform=Affine(1.5, 1, 500_000, 1, -1.5, 5_000_000)),
        grid(transform=Affine(2e-5, 0, 14, 0, -2e-5, 60), crs=LONLAT),
        grid(transform=Affine(2e-5, 0, -0.001, 0, -2e-5, 0.001), crs=LONLAT),
    ]
)


@settings(max_examples=30, deadline=None)
@given(PLACES, st.floats(0, 0.49), st.floats(0.01, 0.5), st.integers(-9, 9), st.floats(5, 90))
def test_every_pixel_is_of_one_split(where, val, test, seed, size):
    plan = {"size": f"{size}m", "val": val, "test": test, "seed": seed}
    assert (np.sum(list(masks(plan, where).values()), axis=0) == 1).all()


@settings(max_examples=20, deadline=None)
@given(PLACES, st.integers(0, 9), st.floats(20, 90), st.floats(0.02, 0.49))
def test_training_keeps_away_from_the_other_splits(where, seed, size, part):
    where = where.crop(Window(0, 0, 50, 60))
    plan = {**PLAN, "size": f"{size}m", "seed": seed}
    loose = masks(plan, where)
    tight = masks({**plan, "buffer": f"{size * part}m"}, where)
    for split in ("val", "test"):
        np.testing.assert_array_equal(tight[split], loose[split])
    assert not (tight["train"] & ~loose["train"]).any()
    rows, columns = np.mgrid[:50, :60] + 0.5
    x, y = where.transform @ (columns, rows)
    # Degrees become metres where the pixel lies; a hair of slack for what rounding does.
    scale = 111_320 if where.crs == LONLAT else 1
    stretch = np.cos(np.radians(y)) if where.crs == LONLAT else np.ones_like(x)
    held_out = loose["val"] | loose["test"]
    for row, column in np.argwhere(tight["train"])[::7]:
        dx = abs(x - x[row, column]) * scale * stretch[row, column]
        dy = abs(y - y[row, column]) * scale
        near = np.maximum(dx, dy) < size * part - 1e-6
        assert not (near & held_out).any()


def test_buffer_drops_no_more_than_it_must():
    where = Grid(200, 200)
    plan = {"size": "20px", "val": 0.2, "test": 0.1}
    loose, tight = masks(plan, where), masks({**plan, "buffer": "3px"}, where)
    padded = np.pad(~loose["train"], 3, constant_values=False)
    near = np.lib.stride_tricks.sliding_window_view(padded, (7, 7)).any((2, 3))
    inner = np.s_[3:-3, 3:-3]  # blocks beyond the border count as well
    np.testing.assert_array_equal(tight["train"][inner], (loose["train"] & ~near)[inner])


@pytest.mark.parametrize("unit", ["m", "px"])
def test_windows_are_parts_of_the_whole(unit):
    plan = {"size": f"37{unit}", "buffer": f"9{unit}", "val": 0.3, "test": 0.1}
    where = grid(transform=Affine(1.5, 1, 500_000, 1, -1.5, 5_000_000))
    whole = masks(plan, where)
    for window in (Window(0, 0, 1, 1), Window(17, 33, 40, 50), Window(119, 149, 1, 1)):
        for split, mask in masks(plan, where, window).items():
            np.testing.assert_array_equal(mask, whole[split][window.slices])


def test_overlapping_scenes_agree():
    plan = {**PLAN, "buffer": "6m"}
    first = masks(plan, grid(), image="a.tif")
    moved = grid().transform @ Affine.translation(30, 20)
    second = masks(plan, grid(transform=moved), image="b.tif")
    for split, mask in first.items():
        np.testing.assert_array_equal(mask[20:, 30:], second[split][:-20, :-30])


def test_blocks_in_pixels_differ_from_scene_to_scene_and_by_seed():
    plan, where = {"size": "32px", "val": 0.3}, Grid(64, 64)
    found = {masks(plan, where, image=f"{n}.png")["val"].tobytes() for n in range(20)}
    assert len(found) > 3
    seeds = {masks({**plan, "seed": n}, where)["val"].tobytes() for n in range(20)}
    assert len(seeds) > 3


def test_blocks_stay_as_they_are_in_later_releases():
    val = masks({"size": "1px", "val": 0.3}, Grid(3, 6), image="a.tif")["val"]
    drawn = ["".join(".#"[one] for one in row) for row in val.tolist()]
    assert drawn == ["..#...", "#...#.", "..##.."]


@pytest.mark.parametrize(("val", "test"), [(0.2, 0.0), (0.1, 0.1), (0.25, 0.25), (0.0, 0.4)])
def test_shares_hold_near_and_far(val, test):
    plan = {"size": "1px", "val": val, "test": test}
    found = masks(plan, Grid(300, 300))
    for split, share in (("val", val), ("test", test), ("train", 1 - val - test)):
        assert (split in found) == (share > 0)
        if share:
            assert found[split].mean() == pytest.approx(share, abs=0.003)
            near = np.lib.stride_tricks.sliding_window_view(found[split], (10, 10)).sum((2, 3))
            assert abs(near - 100 * share).max() <= 5


def test_a_fifth_is_in_every_three_by_three_blocks():
    val = masks({"size": "1px", "val": 0.2}, Grid(300, 300))["val"]
    near = np.lib.stride_tricks.sliding_window_view(val, (3, 3)).sum((2, 3))
    assert near.min() == 1 and near.max() == 3


def test_metres_of_a_crs_in_feet():
    foot = 1200 / 3937
    where = Grid(40, 40, Affine(1 / foot, 0, 0, 0, -1 / foot, 0), FEET)  # 1 m pixels at the origin
    np.testing.assert_array_equal(
        masks({"size": "10m", "val": 0.5}, where)["val"],
        masks({"size": "10m", "val": 0.5}, Grid.north_up(40, 40, 0, 0, 1, UTM))["val"],
    )


def test_touches_says_whether_there_is_anything():
    plan = BlockPlan.from_dict({"size": "50px", "val": 0.2})
    where = Grid(600, 100)
    for region in plan.regions("a.tif").values():
        for window in (Window(0, 0, 50, 50), Window(120, 0, 1, 1), Window(0, 0, 600, 100)):
            assert region.touches(where, window) == region.mask(where, window).any()


def test_metres_need_a_crs():
    region = BlockPlan.from_dict(PLAN).regions("b/a.png")["val"]
    for where in (Grid(9, 9), Grid(9, 9, Affine(2, 0, 5, 0, -2, 5)), Grid(9, 9, crs=UTM)):
        with pytest.raises(DatasetError, match=r"b/a.png has no CRS.*in pixels"):
            region.mask(where, where.window)
    pixels = BlockPlan.from_dict({"size": "4px"}).regions("b/a.png")["train"]
    assert pixels.mask(Grid(9, 9), Window(0, 0, 9, 9)).any()


@pytest.mark.parametrize("latitude", [90, 89.9999, -90])
def test_poles(latitude):
    where = Grid(20, 20, Affine(1e-3, 0, 0, 0, -1e-5, latitude), LONLAT)
    found = masks({**PLAN, "buffer": "9m"}, where)
    assert not (found["train"] & found["val"]).any() and found["val"].any()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (3, "[blocks] is not a table"),
        ({"size": "9m", "seeds": 1}, "unknown key 'seeds'"),
        ({}, "needs a size"),
        ({"size": "0m"}, "size of [blocks]: '0m' is not a length such as 500m"),
        ({"size": "-5m"}, "is not a length"),
        ({"size": 500}, "500 is not a length"),
        ({"size": "9m", "buffer": "wide"}, "buffer of [blocks]: 'wide'"),
        ({"size": "9m", "buffer": "2px"}, "different units"),
        ({"size": "9m", "buffer": "4.5m"}, "not below half"),
        ({"size": "9m", "val": 1}, "val of [blocks] is not a share"),
        ({"size": "9m", "test": -0.1}, "test of [blocks] is not a share"),
        ({"size": "9m", "val": math.nan}, "val of [blocks]"),
        ({"size": "9m", "val": True}, "val of [blocks]"),
        ({"size": "9m", "val": "0.2"}, "val of [blocks]"),
        ({"size": "9m", "val": 0.5, "test": 0.5}, "leave nothing for training"),
        ({"size": "9m", "val": 0, "test": 0}, "are both 0"),
        ({"size": "9m", "seed": 1.5}, "seed of [blocks]"),
    ],
)
def test_what_is_wrong_with_blocks_is_named(table, message):
    with pytest.raises(DatasetError, match=re.escape(message)):
        BlockPlan.from_dict(table)


def test_lengths_as_text():
    assert parse_length("500m") == Length(500, "m") and parse_length(" .5 km ") == Length(500, "m")
    assert parse_length("64px") == Length(64, "px") and parse_length("50cm") == Length(0.5, "m")
    for text in ("5", "m", "1e3m", "5 miles", "nanm", "", None, "٣m", "0m"):
        assert parse_length(text) is None
    with pytest.raises(GlnetGeoError, match="inf is no length"):
        parse_length("9" * 400 + "m")
