"""The sieve: small maps by hand, and against the rule read literally, for any split into strips."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glnet_geo.runs import NOTHING, Runs
from glnet_geo.sieve import Sieve
from tests.lattices import strips_of

EDGES = ((-1, 0), (0, -1), (0, 1), (1, 0))
CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def sieve_all(pixels, least, connectivity=4, heights=(3,), weights=None):
    """Strips that come out, for each push and for the end."""
    weights = np.ones(len(pixels)) if weights is None else weights
    sieve = Sieve(pixels.shape[1], least, connectivity)
    out = [
        sieve.push(runs, weights[runs.top : runs.top + runs.height])
        for runs in strips_of(pixels, heights)
    ]
    return [*out, sieve.finish()]


def sieved(pixels, least, connectivity=4, heights=(3,), weights=None):
    """The same as an array; every row comes once, in its normal form."""
    rows = 0
    parts = [np.empty((0, pixels.shape[1]), np.int64)]
    for runs in chain.from_iterable(sieve_all(pixels, least, connectivity, heights, weights)):
        assert (runs.top, runs.width) == (rows, pixels.shape[1])
        assert 0 < runs.height <= max(heights)
        part = runs.to_array()
        normal = Runs.of(part, part != NOTHING, rows)
        for name in ("first", "start", "value"):
            mine, theirs = getattr(runs, name), getattr(normal, name)
            np.testing.assert_array_equal(mine, theirs)
            assert mine.dtype == theirs.dtype
        rows += runs.height
        parts.append(part)
    return np.concatenate(parts)


def around(pixels, place, steps):
    for step in steps:
        row, column = place[0] + step[0], place[1] + step[1]
        if 0 <= row < pixels.shape[0] and 0 <= column < pixels.shape[1]:
            yield row, column


def regions_of(pixels, connectivity):
    """Sets of places, by first pixel."""
    steps = EDGES + CORNERS if connectivity == 8 else EDGES
    left = {tuple(map(int, place)) for place in np.argwhere(pixels != NOTHING)}
    while left:
        first = min(left)
        left.remove(first)
        region, border = {first}, [first]
        while border:
            place = border.pop()
            for other in around(pixels, place, steps):
                if other in left and pixels[other] == pixels[place]:
                    left.remove(other)
                    region.add(other)
                    border.append(other)
        yield region


def touched(pixels, region, steps):
    """How often a region touches each other class with data."""
    others = [
        other for place in region for other in around(pixels, place, steps) if other not in region
    ]
    return Counter(int(pixels[other]) for other in others if pixels[other] != NOTHING)


def class_to_take(pixels, region, connectivity):
    border = touched(pixels, region, EDGES)
    if not border and connectivity == 8:
        border = touched(pixels, region, CORNERS)
    return min(border, key=lambda value: (-border[value], value), default=None)


def change_one(pixels, least, connectivity, weights):
    """Changes the smallest region that must; False if there is none."""
    regions = [
        (sum(weights[row] for row, _ in region), min(region), region)
        for region in regions_of(pixels, connectivity)
    ]
    for area, _, region in sorted(regions, key=lambda one: one[:2]):
        taken = class_to_take(pixels, region, connectivity)
        if area < least and taken is not None:
            for place in region:
                pixels[place] = taken
            return True
    return False


def by_the_rule(pixels, least, connectivity=4, weights=None):
    """The whole raster, smallest region first."""
    weights = [1] * len(pixels) if weights is None else weights
    pixels = pixels.copy()
    while change_one(pixels, least, connectivity, weights):
        pass
    return pixels


def pixels_of(text):
    rows = [[NOTHING if c == "." else int(c) for c in line] for line in text.split()]
    return np.array(rows, np.int64)


@st.composite
def rasters(draw, longest=12):
    shape = draw(st.tuples(st.integers(1, longest), st.integers(1, longest)))
    classes = draw(st.sampled_from([[0, 1], [3, 1, 2], [-2, 7, 2**40, 9]]))
    if draw(st.booleans()):
        classes = [*classes, NOTHING]
    # Uniform noise: hypothesis prefers arrays of one class, which say little here.
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return noise.choice(np.array(classes), shape)


strip_heights = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(rasters(), st.integers(1, 8), st.sampled_from([4, 8]), strip_heights)
def test_strips_give_what_the_rule_gives_on_the_whole(pixels, least, connectivity, heights):
    expected = by_the_rule(pixels, least, connectivity)
    np.testing.assert_array_equal(sieved(pixels, least, connectivity, heights), expected)


@settings(max_examples=100, deadline=None)
@given(rasters(), st.integers(2, 20), st.sampled_from([4, 8]), st.data())
def test_weights_of_rows_count(pixels, least, connectivity, data):
    weights = data.draw(hnp.arrays(np.int64, len(pixels), elements=st.integers(1, 5)))
    expected = by_the_rule(pixels, least, connectivity, weights)
    result = sieved(pixels, least / 8, connectivity, data.draw(strip_heights), weights / 8)
    np.testing.assert_array_equal(result, expected)


@settings(max_examples=100, deadline=None)
@given(rasters(), st.floats(0.5, 9), st.sampled_from([4, 8]), st.data())
def test_weights_that_do_not_add_up_exactly_give_the_same_for_any_split(
    pixels, least, connectivity, data
):
    # A third and its like: areas that are equal differ in their last bit if added the other way.
    weights = 1 / data.draw(hnp.arrays(np.int64, len(pixels), elements=st.integers(1, 7)))
    whole = sieved(pixels, least, connectivity, [len(pixels)], weights)
    split = sieved(pixels, least, connectivity, data.draw(strip_heights), weights)
    np.testing.assert_array_equal(split, whole)


@settings(max_examples=100, deadline=None)
@given(rasters(), st.integers(1, 30), st.sampled_from([4, 8]), strip_heights)
def test_no_small_region_is_left_but_those_in_nodata(pixels, least, connectivity, heights):
    result = sieved(pixels, least, connectivity, heights)
    np.testing.assert_array_equal(result == NOTHING, pixels == NOTHING)
    for region in regions_of(result, connectivity):
        assert len(region) >= least or class_to_take(result, region, connectivity) is None


@given(rasters(), st.floats(0, 1), st.sampled_from([4, 8]), strip_heights)
@settings(max_examples=50, deadline=None)
def test_a_limit_of_a_pixel_changes_nothing(pixels, least, connectivity, heights):
    np.testing.assert_array_equal(sieved(pixels, least, connectivity, heights), pixels)


@pytest.mark.parametrize("heights", [(1,), (2,), (9,)])
@pytest.mark.parametrize(
    ("connectivity", "least", "before", "after"),
    [
        # Borders are counted by class: each region of 2s alone shares no more than the 1s do.
        (4, 3, "1111111 2229222 3333333", "1111111 2222222 3333333"),
        # The lower class at a tie; the raster's edge is no neighbour.
        (4, 2, "5559222 8888888", "5552222 8888888"),
        # The smallest first: the 3s grow before it is their turn.
        (4, 3, "99995334444", "99993334444"),
        # Of two that are as small, that with the first pixel goes first.
        (4, 2, "4444562222", "4444422222"),
        (4, 2, "4 4 4 4 5 6 2 2 2 2", "4 4 4 4 4 2 2 2 2 2"),
        # What lies in nodata stays, however small.
        (4, 9, "11.. 1..2 1...", "11.. 1..2 1..."),
        (4, 3, "11. ..2 ..2", "11. ..2 ..2"),
        # Pixels that meet at a corner: of one region, or neighbours where there are no others.
        (8, 3, "122 212 221", "122 212 221"),
        (4, 3, "122 212 221", "222 222 222"),
        (8, 3, "11. ..2 ..2", "22. ..2 ..2"),
        (8, 2, "11.33 11.33 ..9.. 22.22 22.22", "11.33 11.33 ..2.. 22.22 22.22"),
        # The 2 in the middle changes with the upper 2s, before the 4s may take its class.
        (
            8,
            6,
            "33333...... 3221....... 3...2...... .....44444. .....222222",
            "33333...... 3333....... 3...3...... .....22222. .....222222",
        ),
        # What hangs on a large region that is out already stays.
        (4, 5, "1111 1111 2122 2122 2222", "1111 1111 2122 2122 2222"),
    ],
)
def test_by_hand(before, after, connectivity, least, heights):
    result = sieved(pixels_of(before), least, connectivity, heights)
    np.testing.assert_array_equal(result, pixels_of(after))


def test_strips_of_any_height_on_a_larger_map():
    noise = np.random.default_rng(0)
    pixels = np.kron(noise.integers(0, 5, (40, 30)), np.ones((4, 4), np.int64))
    is_salt = noise.random(pixels.shape) < 0.2
    pixels[is_salt] = noise.integers(0, 5, is_salt.sum())
    pixels[60:90, 20:70] = NOTHING
    for connectivity in (4, 8):
        whole = sieved(pixels, 40, connectivity, [1000])
        assert len(list(regions_of(whole, connectivity))) > 20
        for heights in ([1], [7], [64, 3]):
            np.testing.assert_array_equal(sieved(pixels, 40, connectivity, heights), whole)


def test_equal_areas_are_no_smaller_when_their_sums_are():
    pixels = pixels_of(" ".join(["1" * 10] * 10 + ["3" * 10] * 30))
    for size in (0.1, 0.3, 0.6, 0.7, 1.1, 2.4):
        least, weights = round(100 * size**2, 6), np.full(len(pixels), size**2)
        np.testing.assert_array_equal(sieved(pixels, least, weights=weights), pixels)
        assert (sieved(pixels, least * 1.00001, weights=weights) == 3).all()


def test_the_unit_of_areas_does_not_matter():
    pixels = np.random.default_rng(0).integers(0, 3, (300, 200))
    whole = sieved(pixels, 60, 4, [1000])
    for unit in (0.1, 1 / 7):
        weights = np.full(len(pixels), unit)
        for heights in ([1000], [5]):
            np.testing.assert_array_equal(sieved(pixels, 60 * unit, 4, heights, weights), whole)


def rows_that_wait(pixels, least, connectivity, height):
    """Rows that are in and not yet out, after each push."""
    out = [
        sum(runs.height for runs in part)
        for part in sieve_all(pixels, least, connectivity, [height])
    ]
    pushed = np.minimum(height * np.arange(1, len(out)), len(pixels))
    return pushed - np.cumsum(out[:-1])


@pytest.mark.parametrize("connectivity", [4, 8])
def test_rows_leave_soon(connectivity):
    noise = np.random.default_rng(0).integers(0, 7, (400, 300))
    assert rows_that_wait(noise, 10, connectivity, 8).max() < 40
    assert rows_that_wait(np.zeros((400, 300), np.int64), 1e4, connectivity, 8)[-1] == 0
    assert rows_that_wait(np.full((30, 9), NOTHING), 100, connectivity, 8).max() == 0


def test_rows_wait_for_a_small_region_that_may_still_grow():
    stripes = np.tile(np.arange(6), (60, 1))
    assert not rows_that_wait(stripes, 20, 4, 1)[40:].any()
    np.testing.assert_array_equal(sieved(stripes, 60, 4, [1]), stripes)
    assert rows_that_wait(stripes, 61, 4, 1).tolist() == list(range(1, 61))
    np.testing.assert_array_equal(sieved(stripes, 61, 4, [1]), by_the_rule(stripes, 61))


def test_nothing_in_nothing_out():
    assert Sieve(5, 10, 4).finish() == []
