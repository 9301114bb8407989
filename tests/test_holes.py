"""Small holes are filled, and nothing else: against a flood fill, whatever the strips."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.lattice import LatticePolygons
from glnet_geo.runs import NOTHING, Runs
from glnet_geo.tracing import Tracer
from tests.lattices import (
    assert_same,
    assert_valid_coverage,
    blobs,
    components,
    connectivities,
    count_regions,
    geometries,
    owners,
    pixels_of,
    rasterized,
    rasters,
    strip_heights,
    strips_of,
    trace,
    trace_by_push,
)

limits = st.sampled_from([0.0, 1.0, 2.0, 3.5, 5.0, 9.0, 30.0, 1e9])


def holes_of(region):
    """What a region encloses; pixels that touch in a corner are in one hole."""
    rows, columns = np.nonzero(region)
    # All that is beyond this box hangs together.
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    for component in components(np.pad(~region[box], 1, constant_values=True), 8):
        if not component[0, 0]:
            hole = np.zeros_like(region)
            hole[box] = component[1:-1, 1:-1]
            yield hole


def filled(pixels, limits):
    """The raster with all holes below the limit of their first row filled."""
    holes = [
        (hole.sum(), value, hole)
        for value in np.unique(pixels[pixels != NOTHING])
        for region in components(pixels == value, 4)
        for hole in holes_of(region)
        if hole.sum() < limits[hole.any(axis=1).argmax()]
    ]
    pixels = pixels.copy()
    # What encloses others is larger than they are, and so comes last.
    for _, value, hole in sorted(holes, key=lambda one: one[:2]):
        pixels[hole] = value
    return pixels


def assert_filled(pixels, limits, connectivity, heights=None):
    """Whether the polygons are those of the filled raster; gives them back."""
    expected = filled(pixels, limits)
    polygons = trace(pixels, heights, connectivity, hole_limits=limits)
    shapes = geometries(polygons)
    assert_valid_coverage(shapes)
    np.testing.assert_array_equal(rasterized(polygons, pixels.shape), expected)
    assert len(polygons) == count_regions(expected, connectivity)
    np.testing.assert_array_equal(shapely.area(shapes), polygons.pixels)
    np.testing.assert_array_equal(polygons.area, polygons.pixels)
    return polygons


@settings(max_examples=80, deadline=None)
@given(rasters(), limits, connectivities, strip_heights)
def test_holes_below_the_limit_are_filled(pixels, limit, connectivity, heights):
    assert_filled(pixels, np.full(len(pixels), limit), connectivity, heights)


@settings(max_examples=60, deadline=None)
@given(rasters(), connectivities, strip_heights, st.data())
def test_each_row_has_its_limit(pixels, connectivity, heights, data):
    one_each = st.lists(limits, min_size=len(pixels), max_size=len(pixels))
    assert_filled(pixels, np.array(data.draw(one_each)), connectivity, heights)


@settings(max_examples=60, deadline=None)
@given(rasters(), limits, connectivities, strip_heights, st.sampled_from([0, 0.9, 1.6, 50.0]))
def test_strips_do_not_matter(pixels, limit, connectivity, heights, tolerance):
    options = {"hole_limits": np.full(len(pixels), limit), "tolerance": tolerance, "band": 4}
    whole = trace(pixels, None, connectivity, **options)
    assert_same(trace(pixels, heights, connectivity, **options), whole)


@settings(max_examples=60, deadline=None)
@given(rasters(), limits, connectivities, st.sampled_from([0.9, 1.6, 50.0]))
def test_simplified_borders_stay_a_coverage(pixels, limit, connectivity, tolerance):
    hole_limits = np.full(len(pixels), limit)
    exact = trace(pixels, None, connectivity, hole_limits=hole_limits)
    for band in (3, 2048):
        options = {"hole_limits": hole_limits, "tolerance": tolerance, "band": band}
        polygons = trace(pixels, None, connectivity, **options)
        assert_valid_coverage(geometries(polygons))
        kinds, expected = (
            sorted(zip(one.value, one.pixels, np.diff(one.parts).tolist(), strict=False))
            for one in (polygons, exact)
        )
        assert kinds == expected


@settings(max_examples=60, deadline=None)
@given(rasters(), limits, connectivities, strip_heights, st.integers(0, 2**32 - 1))
def test_sums_of_what_is_filled_go_to_what_is_around(pixels, limit, connectivity, heights, seed):
    noise = np.random.default_rng(seed)
    quantities = noise.integers(-50, 50, (*pixels.shape, 2)).astype(float)
    options = {"hole_limits": np.full(len(pixels), limit), "weights": np.full(len(pixels), 0.25)}
    polygons = trace(pixels, heights, connectivity, quantities=quantities, **options)
    of_pixel = owners(polygons, pixels.shape)
    np.testing.assert_array_equal(polygons.area, 0.25 * polygons.pixels)
    # There is nothing to add up where there was no data.
    quantities[pixels == NOTHING] = 0
    for feature, sums in enumerate(polygons.sums):
        np.testing.assert_array_equal(sums, quantities[of_pixel == feature].sum(axis=0))


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(rasters(longest=35), limits, connectivities, strip_heights)
def test_long_form(pixels, limit, connectivity, heights):
    hole_limits = np.full(len(pixels), limit)
    whole = assert_filled(pixels, hole_limits, connectivity)
    strips = trace(pixels, heights, connectivity, hole_limits=hole_limits)
    assert_same(strips, whole)


def test_features_come_in_the_same_order_from_any_strips():
    # The 2 may lie in a hole of the 1s while the 4s are complete.
    pixels = pixels_of("41111 41331 41231 41331 51331 51331")
    limits = np.full(len(pixels), 100.0)
    whole = trace(pixels, hole_limits=limits)
    assert whole.value.tolist() == [2, 4, 1, 3, 5]
    assert_same(trace(pixels, [1], hole_limits=limits), whole)


def test_what_comes_into_a_hole_from_below():
    # The 0 below the 1 is no part of the hole, as the last row shows; with it there are 5 pixels.
    pixels = pixels_of("000.. 0.00. 00100 0.0.0 00000")
    limits = np.full(len(pixels), 5.0)
    assert assert_filled(pixels, limits, 4).value.tolist() == [0]
    assert_filled(pixels, limits, 4, [1])


@pytest.mark.parametrize("connectivity", [4, 8])
def test_holes_of_winding_regions(connectivity):
    pixels = (np.random.default_rng(0).random((90, 80)) < 0.35).astype(np.int64)
    for limit in (5.0, 20.0, 100.0):
        options = {"hole_limits": np.full(len(pixels), limit)}
        whole = trace(pixels, None, connectivity, **options)
        for heights in ([1], [7]):
            assert_same(trace(pixels, heights, connectivity, **options), whole)


@pytest.mark.parametrize("heights", [None, [1], [4]])
@pytest.mark.parametrize("seed", range(4))
def test_sums_of_islands_in_islands(seed, heights):
    # Ragged rings, one in the other, of which the innermost ones vanish together.
    noise = np.random.default_rng(48 + seed)
    distance = np.hypot(*np.indices((25, 25)) - 12) + 2 * noise.random((25, 25))
    pixels = distance.astype(np.int64) // 3
    quantities = noise.integers(0, 9, (25, 25, 1)).astype(float)
    options = {"hole_limits": np.full(25, 400.0), "quantities": quantities}
    polygons = trace(pixels, heights, **options)
    assert len(polygons) < count_regions(pixels, 4) - 5
    of_pixel = owners(polygons, pixels.shape)
    expected = [quantities[of_pixel == feature].sum() for feature in range(len(polygons))]
    assert polygons.sums.ravel().tolist() == expected


def uniform(top, height, width):
    first, zeros = np.arange(height + 1), np.zeros(height)
    return Runs(top, width, first, zeros.astype(np.int32), zeros.astype(np.int64))


# The second place is such that x y passes 2**31 within the hole.
@pytest.mark.parametrize("place", [(10, 10), (2_001_380, 1070), (2_090_000, 1070)])
def test_holes_far_from_the_corner(place):
    hole = pixels_of("33333 23333 33333 33333")
    left, top = place
    height, width = 1080, 2_100_000
    tracer = Tracer(height, width, hole_limits=np.full(height, 25.0))
    pieces = list(tracer.push(uniform(0, top, width)))
    for row, runs in enumerate(strips_of(np.pad(hole, ((0, 0), (1, 1))), [1])):
        start = np.where(runs.start > 0, runs.start + left - 1, 0).astype(np.int32)
        pieces += tracer.push(Runs(top + row, width, runs.first, start, runs.value))
    bottom = top + len(hole)
    pieces += tracer.push(uniform(bottom, height - bottom, width))
    polygons = LatticePolygons.joined(pieces)
    assert (polygons.value.tolist(), polygons.pixels.tolist()) == ([0], [height * width])


@pytest.mark.parametrize("heights", [None, [1], [2]])
@pytest.mark.parametrize(
    ("limit", "before", "after"),
    [
        # A hole as large as the limit stays.
        (1, "111 121 111", "111 121 111"),
        (1.001, "111 121 111", "111 111 111"),
        (3, "1111 1231 1441 1111", "1111 1231 1441 1111"),
        (4, "1111 1231 1441 1111", "1111 1231 1441 1111"),
        (5, "1111 1231 1441 1111", "1111 1111 1111 1111"),
        # Nodata is no matter what.
        (2, "111 1.1 111", "111 111 111"),
        (5, "1111 1.31 12.1 1111", "1111 1111 1111 1111"),
        # Holes that touch in a corner are one.
        (2, "1111 1211 1131 1111", "1111 1211 1131 1111"),
        (3, "1111 1211 1131 1111", "1111 1111 1111 1111"),
        # What touches the outside in a corner is none, on any side.
        (9, "112 121 111", "112 121 111"),
        (9, ".11 121 111", ".11 121 111"),
        (9, "111 121 211", "111 121 211"),
        (9, "111 121 11.", "111 121 11."),
        (9, "11112 11121 12311 11111", "11112 11121 12311 11111"),
        # Nor is what touches the raster's edge, or hangs together with nodata that does.
        (9, "111 111 121", "111 111 121"),
        (9, "111 12. 111", "111 12. 111"),
        # Islands in holes go with them, and holes in those.
        (26, "1111111 1222221 1233321 1234321 1233321 1222221 1111111", "1111111 " * 7),
        (
            10,
            "1111111 1222221 1233321 1234321 1233321 1222221 1111111",
            "1111111 1222221 1222221 1222221 1222221 1222221 1111111",
        ),
        (
            2,
            "1111111 1222221 1233321 1234321 1233321 1222221 1111111",
            "1111111 1222221 1233321 1233321 1233321 1222221 1111111",
        ),
        # The same class within becomes one with that around.
        (10, "11111 12221 12121 12221 11111", "11111 " * 5),
        (10, "11111 1.2.1 12122 1.2.1 11111", "11111 1.2.1 12122 1.2.1 11111"),
        # A ring that hangs on corners encloses nothing.
        (9, ".1. 121 .1.", ".1. 121 .1."),
        # A bay and an arm in it.
        (7, "1111111 1222221 1211121 1222121 1111111", "1111111 1222221 1211121 1222121 1111111"),
        (9, "111111 122221 121121 111111", "111111 111111 111111 111111"),
    ],
)
def test_by_hand(limit, before, after, heights):
    pixels = pixels_of(before)
    limits = np.full(len(pixels), float(limit))
    np.testing.assert_array_equal(filled(pixels, limits), pixels_of(after))
    for turned in (pixels, pixels[::-1], pixels[:, ::-1], pixels[::-1, ::-1]):
        for connectivity in (4, 8):
            assert_filled(turned, limits, connectivity, heights)


def test_the_limit_is_that_of_the_row_where_a_hole_begins():
    pixels = pixels_of("11111 12111 12131 11131 11111")
    limits = np.array([0.0, 3.0, 0.0, 0.0, 0.0])
    polygons = assert_filled(pixels, limits, 4)
    assert polygons.value.tolist() == [3, 1]
    polygons = assert_filled(pixels, limits[[0, 0, 1, 0, 0]], 4)
    assert polygons.value.tolist() == [2, 1]


def test_quotients_of_areas_as_limits():
    # 0.3 square metres at 0.1 square metres a pixel come out as 2.9999999999999996 or a bit more.
    pixels = pixels_of("11111 12221 11111")
    for quotient in (0.3 / 0.1, 3 * (1 + 1e-12)):
        assert len(trace(pixels, hole_limits=np.full(3, quotient))) == 2
    assert len(trace(pixels, hole_limits=np.full(3, 3.0001))) == 1


def released(text, limit):
    """How many features are out after each row."""
    pixels = pixels_of(text)
    pushes = trace_by_push(pixels, [1], hole_limits=np.full(len(pixels), float(limit)))
    return np.cumsum([len(push) for push in pushes]).tolist()


@pytest.mark.parametrize(
    ("text", "limit", "counts"),
    [
        # Held back until the ring round it closes: then it is gone.
        ("1111111 1333331 1233331 1333331 1333331 1111111 1111111", 21, [0] * 6 + [1]),
        # Until the pocket is too large.
        ("1111111 1333331 1233331 1333331 1333331 1111111 1111111", 15, [0, 0, 0, 1, 1, 2, 3]),
        ("1111111 1333331 1233331 1333331 1333331 1111111 1111111", 16, [0, 0, 0, 0, 1, 2, 3]),
        # At once where it is too large beforehand, and where nothing is around it.
        ("1111111 1333331 1233331 1333331 1333331 1111111 1111111", 5, [0, 0, 0, 1, 1, 2, 3]),
        ("333333 323333 333333 333333 333333", 1, [0, 0, 1, 1, 2]),
        ("1.1 ... 2.2 ...", 100, [0, 2, 2, 4]),
        # Until the pocket opens to the outside.
        ("1111 1331 1231 1331 ..31 ..31 1111", 20, [0, 0, 0, 0, 1, 1, 3]),
    ],
)
def test_features_leave_once_they_are_certain(text, limit, counts):
    assert released(text, limit) == counts


@pytest.mark.parametrize("connectivity", [4, 8])
def test_a_larger_map(connectivity):
    pixels = blobs(150, 130, 4, 5)
    pixels[40:90, 20:70] = NOTHING
    limits = np.where(np.arange(150) < 60, 40.0, 5.0)
    whole = assert_filled(pixels, limits, connectivity)
    assert len(whole) < 0.9 * len(trace(pixels, None, connectivity))
    for heights in ([1], [7], [64]):
        strips = trace(pixels, heights, connectivity, hole_limits=limits)
        assert_same(strips, whole)


def test_a_limit_of_a_pixel_changes_nothing():
    pixels = np.random.default_rng(0).integers(0, 3, (30, 40))
    assert_same(trace(pixels, hole_limits=np.ones(30)), trace(pixels))


def test_what_waits_does_not_add_up():
    noise = np.random.default_rng(0)
    pixels = noise.choice(4, (600, 60), p=[0.7, 0.1, 0.1, 0.1])
    filling, plain = (
        np.cumsum([len(push) for push in trace_by_push(pixels, [4], **options)])
        for options in ({"hole_limits": np.full(600, 9.0)}, {})
    )
    assert filling[-1] < 0.8 * plain[-1]
    # As many as there would be if holes were filled in all rows alike.
    behind = plain * filling[-1] / plain[-1] - filling
    assert behind.max() < 0.03 * filling[-1]


def test_a_frame_round_noise_takes_no_cubic_time():
    """Each of a hundred thousand regions lies in the frame's hole; its ring has 1600 vertices."""
    pixels = np.pad(np.random.default_rng(0).integers(2, 10, (400, 400)), 2, constant_values=1)
    polygons = trace(pixels, [64], hole_limits=np.full(404, 1e12))
    assert polygons.pixels.tolist() == [404 * 404]


def test_a_ring_that_winds_tells_what_it_holds():
    """A hole in the shape of a comb, with teeth of the region round it, and regions in both."""
    pixels = np.ones((21, 40), np.int64)
    pixels[2:18, 2:38] = 2
    pixels[2:15, 5:38:6] = pixels[2:15, 6:38:6] = 1
    pixels[4:13:3, 3:38:6] = 3
    pixels[5:14:3, 5:38:6] = 4
    for limit, mirrored in ((1e9, pixels), (1e9, pixels[::-1]), (1.5, pixels)):
        assert_filled(mirrored, np.full(21, limit), 4)
