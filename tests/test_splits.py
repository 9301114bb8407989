from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.errors import DatasetError
from glnet_geo.grid import Grid, Window
from glnet_geo.splits import SPLITS, BlockRegion, Blocks
from glnet_geo.units import Length

UTM = 'PROJCRS["WGS 84 / UTM zone 33N"]'


def grid(height=60, width=70, left=500_000.0, top=5_000_000.0, turn=0.0):
    place = Affine.translation(left, top) @ Affine.rotation(turn) @ Affine.scale(0.5, -0.5)
    return Grid(height, width, place, UTM, 0.25)


def masks(blocks, where, window=None):
    return [BlockRegion(blocks, split).mask(where, window or where.window) for split in SPLITS]


@settings(deadline=None)
@given(
    st.sampled_from([Length(5, "m"), Length(7, "px"), Length(3.3, "m")]),
    st.integers(0, 5),
    st.sampled_from([0.0, 30.0]),
)
def test_every_pixel_belongs_to_one_split(size, seed, turn):
    blocks = Blocks(size, val=0.3, test=0.2, seed=seed)
    assert (np.sum(masks(blocks, grid(turn=turn)), axis=0) == 1).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 50), st.sampled_from([0.0, 45.0]), st.sampled_from([1.0, 2.0]))
def test_nothing_is_learned_near_what_is_scored(seed, turn, buffer):
    where = grid(turn=turn)
    blocks = Blocks(Length(6, "m"), Length(buffer, "m"), val=0.2, test=0.1, seed=seed)
    train, val, test = masks(blocks, where)
    _, all_val, all_test = masks(Blocks(Length(6, "m"), val=0.2, test=0.1, seed=seed), where)
    np.testing.assert_array_equal(val, all_val)
    np.testing.assert_array_equal(test, all_test)
    rows, columns = np.nonzero(train)
    others = np.argwhere(val | test)
    if len(rows) and len(others):
        step = np.array([rows, columns]).T[:, None] - others[None]
        assert (
            0.5 * np.sqrt((step**2).sum(-1)).min() > buffer - 0.75
        )  # centres, and corners of them


def test_shares_hold_in_every_square_of_25_blocks():
    blocks = Blocks(Length(10, "px"), val=0.2, test=0.08, seed=3)
    for left in (0, 50):
        parts = masks(blocks, Grid(50, 100), Window(0, left, 50, 50))
        assert [part.sum() / 2500 for part in parts] == [0.72, 0.2, 0.08]
    one, other = (Blocks(Length(10, "px"), seed=seed) for seed in (0, 1))
    assert (masks(one, Grid(50, 50))[1] != masks(other, Grid(50, 50))[1]).any()


def test_scenes_that_overlap_agree_on_the_ground():
    blocks = Blocks(Length(4, "m"), Length(1, "m"))
    one, other = grid(), grid(left=500_010.0, top=4_999_995.0)
    for split in SPLITS[:2]:
        region = BlockRegion(blocks, split)
        here = region.mask(one, Window(10, 20, 50, 50))
        there = region.mask(other, Window(0, 0, 50, 50))
        np.testing.assert_array_equal(here, there)


def test_windows_make_up_the_whole():
    region = BlockRegion(Blocks(Length(4, "m"), Length(1, "m")), "train")
    whole, part = region.mask(grid(), grid().window), Window(7, 11, 20, 30)
    np.testing.assert_array_equal(region.mask(grid(), part), whole[part.slices])
    assert region.touches(grid(), part) == whole[part.slices].any()


def test_degrees_are_blocks_too():
    place = Affine(1e-5, 0, 16.0, 0, -1e-5, 48.0)
    where = Grid(100, 100, place, 'GEOGCRS["WGS 84"]', 1.0)
    train, val, _ = masks(Blocks(Length(20, "m"), val=0.4), where)
    assert train.any() and val.any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"buffer": Length(3, "m")}, "less than half"),
        ({"buffer": Length(1, "px")}, "same unit"),
        ({"val": 0.0}, "between 0 and 1"),
        ({"val": 0.7, "test": 0.3}, "between 0 and 1"),
        ({"test": 0.01}, "at least 0.02"),
    ],
)
def test_values_that_make_no_sense_are_refused(values, message):
    with pytest.raises(DatasetError, match=message):
        Blocks(**{"size": Length(5, "m"), **values})


def test_metres_need_a_crs():
    with pytest.raises(DatasetError, match="no CRS"):
        masks(Blocks(Length(5, "m")), Grid(10, 10))
