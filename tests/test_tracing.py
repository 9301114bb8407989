"""Polygons of class rasters as they are: what they cover, from any strips."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

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


def assert_partition(pixels, connectivity, heights=None):
    """Whether polygons are exactly the regions of the raster; gives them back."""
    polygons = trace(pixels, heights, connectivity)
    shapes = geometries(polygons)
    assert_valid_coverage(shapes)
    np.testing.assert_array_equal(rasterized(polygons, pixels.shape), pixels)
    np.testing.assert_array_equal(shapely.area(shapes), polygons.pixels)
    assert len(polygons) == count_regions(pixels, connectivity)
    return polygons


@settings(max_examples=80, deadline=None)
@given(rasters(), connectivities, strip_heights)
def test_rasterized_polygons_are_the_raster(pixels, connectivity, heights):
    polygons = assert_partition(pixels, connectivity, heights)
    of_pixel = owners(polygons, pixels.shape)
    counts = np.bincount(of_pixel[pixels != NOTHING], minlength=len(polygons))
    np.testing.assert_array_equal(polygons.pixels, counts)


@settings(max_examples=40, deadline=None)
@given(rasters(), connectivities)
def test_no_gaps_and_no_overlaps(pixels, connectivity):
    shapes = geometries(trace(pixels, None, connectivity))
    rows, columns = np.nonzero(pixels != NOTHING)
    covered = shapely.union_all(shapes)
    assert covered.equals(shapely.union_all(shapely.box(columns, rows, columns + 1, rows + 1)))
    # Interiors that overlapped would count twice.
    assert shapely.area(shapes).sum() == covered.area == len(rows)


@settings(max_examples=80, deadline=None)
@given(rasters(), connectivities, strip_heights)
def test_strips_do_not_matter(pixels, connectivity, heights):
    quantities = np.stack([np.ones(pixels.shape), np.indices(pixels.shape)[1]], axis=2)
    options = {"weights": 0.25 + np.arange(len(pixels)), "quantities": quantities}
    whole = trace(pixels, None, connectivity, **options)
    assert_same(trace(pixels, heights, connectivity, **options), whole)


@settings(max_examples=80, deadline=None)
@given(rasters(), connectivities, strip_heights)
def test_polygons_leave_with_the_row_below_them_by_their_first_pixel(pixels, connectivity, heights):
    pushes = trace_by_push(pixels, heights, connectivity)
    of_pixel = owners(trace(pixels, heights, connectivity), pixels.shape)
    places = [np.flatnonzero(of_pixel == k) for k in range(of_pixel.max() + 1)]
    ends = [(int(p[-1]) // pixels.shape[1], int(p[0])) for p in places]
    assert ends == sorted(ends)
    swept = np.cumsum([runs.height for runs in strips_of(pixels, heights)])
    swept[-1] += 1  # the row below the raster
    complete = [sum(last + 1 < bottom for last, _ in ends) for bottom in swept]
    assert np.cumsum([len(push) for push in pushes]).tolist() == complete


@settings(max_examples=60, deadline=None)
@given(rasters(), connectivities)
def test_vertices_lie_where_a_border_turns_or_others_meet_it(pixels, connectivity):
    polygons = trace(pixels, None, connectivity)
    around = np.pad(pixels, 1, constant_values=NOTHING)
    # Clockwise round each lattice point.
    corners = [around[:-1, :-1], around[:-1, 1:], around[1:, 1:], around[1:, :-1]]
    is_edge = np.array([corners[k] != corners[k - 1] for k in range(4)])
    is_straight = (is_edge == is_edge[[2, 3, 0, 1]]).all(axis=0) & (is_edge.sum(axis=0) == 2)
    is_vertex = is_edge.any(axis=0) & ~is_straight
    found = set(zip(polygons.y.tolist(), polygons.x.tolist(), strict=True))
    assert found == set(map(tuple, np.argwhere(is_vertex).tolist()))
    # As many as there are sectors with data, and each ring's first one again.
    n_sectors = sum(
        (is_vertex & edge & (corner != NOTHING)).sum()
        for edge, corner in zip(is_edge, corners, strict=True)
    )
    assert len(polygons.x) == n_sectors + len(polygons.rings) - 1


@settings(max_examples=60, deadline=None)
@given(rasters(), connectivities)
def test_rings_are_closed_and_keep_the_inside_on_their_left(pixels, connectivity):
    polygons = trace(pixels, None, connectivity)
    first, last = polygons.rings[:-1], polygons.rings[1:] - 1
    np.testing.assert_array_equal(polygons.x[first], polygons.x[last])
    np.testing.assert_array_equal(polygons.y[first], polygons.y[last])
    for part in shapely.get_parts(geometries(polygons)):
        assert not part.exterior.is_ccw  # counter-clockwise once y grows upwards
        assert all(ring.is_ccw for ring in part.interiors)


@settings(max_examples=60, deadline=None)
@given(rasters(), connectivities, strip_heights, st.integers(0, 2**32 - 1))
def test_weights_and_sums_are_added_up(pixels, connectivity, heights, seed):
    noise = np.random.default_rng(seed)
    weights = noise.integers(1, 9, len(pixels)) / 8
    quantities = noise.integers(-50, 50, (*pixels.shape, 2)).astype(float)
    polygons = trace(pixels, heights, connectivity, weights=weights, quantities=quantities)
    of_pixel = owners(polygons, pixels.shape)
    each = [of_pixel == feature for feature in range(len(polygons))]
    of_row = np.broadcast_to(weights[:, None], pixels.shape)
    np.testing.assert_array_equal(polygons.area, [of_row[own].sum() for own in each])
    expected = np.array([quantities[own].sum(axis=0) for own in each]).reshape(-1, 2)
    np.testing.assert_array_equal(polygons.sums, expected)


@settings(max_examples=40, deadline=None)
@given(rasters(), connectivities)
def test_features_are_what_a_flood_fill_finds(pixels, connectivity):
    polygons = trace(pixels, None, connectivity)
    of_pixel = owners(polygons, pixels.shape)
    found = [frozenset(np.flatnonzero(of_pixel == k).tolist()) for k in range(len(polygons))]
    assert set(found) == {
        frozenset(np.flatnonzero(component).tolist())
        for value in np.unique(pixels[pixels != NOTHING])
        for component in components(pixels == value, connectivity)
    }
    n_parts = np.diff(polygons.features)
    assert connectivity == 8 or (n_parts == 1).all()
    # The parts of a feature hang together by their edges.
    parts = [len(components(of_pixel == k, 4)) for k in range(len(polygons))]
    np.testing.assert_array_equal(n_parts, parts)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(rasters(longest=40), connectivities, strip_heights)
def test_long_form(pixels, connectivity, heights):
    whole = assert_partition(pixels, connectivity)
    assert_same(trace(pixels, heights, connectivity), whole)


def test_rings_come_in_the_same_order_from_any_strips():
    pixels = pixels_of("0000 1010 0000 0100 0000")
    assert_same(trace(pixels, [1]), trace(pixels))


@pytest.mark.parametrize("heights", [None, [1], [7]])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_a_larger_map(connectivity, heights):
    pixels = blobs(150, 130)
    pixels[40:90, 20:70] = NOTHING
    polygons = assert_partition(pixels, connectivity, heights)
    sizes = np.diff(polygons.first_vertices)
    assert len(sizes) > 50 and sizes.max() > 200


def test_by_hand():
    polygons = trace(pixels_of("112 .12"))
    assert [shape.wkt for shape in geometries(polygons)] == [
        "MULTIPOLYGON (((2 2, 2 0, 0 0, 0 1, 1 1, 1 2, 2 2)))",
        "MULTIPOLYGON (((3 2, 3 0, 2 0, 2 2, 3 2)))",
    ]
    assert polygons.value.tolist() == [1, 2]
    assert polygons.pixels.tolist() == [3, 2]
    assert polygons.area.tolist() == [3, 2]


def rings_of(text, connectivity=4):
    """For each feature its class, and for each part of it the number of holes."""
    pixels = pixels_of(text)
    polygons = assert_partition(pixels, connectivity, [1])
    shapes = geometries(polygons)
    return [
        (value, [len(part.interiors) for part in shape.geoms])
        for value, shape in zip(polygons.value.tolist(), shapes, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "four", "eight"),
    [
        # A class that encloses nodata.
        ("111 1.1 111", [(1, [1])], [(1, [1])]),
        # Two holes that touch in a vertex.
        ("1111 1211 1131 1111", [(2, [0]), (3, [0]), (1, [2])], [(2, [0]), (3, [0]), (1, [2])]),
        ("1111 1121 1211 1111", [(2, [0]), (2, [0]), (1, [2])], [(2, [0, 0]), (1, [2])]),
        ("1111 1.11 11.1 1111", [(1, [2])], [(1, [2])]),
        # Four holes round a pixel that hangs on nothing but corners.
        (
            "11111 11.11 1.1.1 11.11 11111",
            [(1, [0]), (1, [1])],
            [(1, [1, 0])],
        ),
        # A hole that touches the outside in a vertex, on either side.
        ("11. 1.1 111", [(1, [1])], [(1, [1])]),
        (".11 1.1 111", [(1, [1])], [(1, [1])]),
        ("111 1.1 11.", [(1, [1])], [(1, [1])]),
        ("111 1.1 .11", [(1, [1])], [(1, [1])]),
        # A ring that closes in nothing but a corner.
        (".1. 1.1 .1.", [(1, [0])] * 4, [(1, [0, 0, 0, 0])]),
        # An island in an island.
        (
            "11111 12221 12.21 12221 11111",
            [(2, [1]), (1, [1])],
            [(2, [1]), (1, [1])],
        ),
        # Parts that join in their last row, and such as don't.
        ("1.1 1.1 111", [(1, [0])], [(1, [0])]),
        ("1.1 1.1 .1.", [(1, [0])] * 3, [(1, [0, 0, 0])]),
    ],
)
def test_how_holes_and_corners_come_out(text, four, eight):
    assert rings_of(text) == four
    assert rings_of(text, 8) == eight


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 5)])
def test_one_class(shape, connectivity):
    polygons = trace(np.full(shape, 6), None, connectivity)
    assert shapely.equals_identical(
        shapely.normalize(geometries(polygons)),
        [shapely.normalize(shapely.multipolygons([shapely.box(0, 0, shape[1], shape[0])]))],
    )
    assert (polygons.value, polygons.pixels) == (6, shape[0] * shape[1])


@pytest.mark.parametrize("options", [{}, {"tolerance": 2.0}, {"hole_limits": np.full(9, 5.0)}])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_nodata_alone_makes_no_features(connectivity, options):
    pixels = np.full((9, 7), NOTHING)
    for heights in (None, [1], [4]):
        polygons = trace(pixels, heights, connectivity, quantities=np.ones((9, 7, 3)), **options)
        assert len(polygons) == len(polygons.x) == 0
        assert polygons.features.tolist() == polygons.rings.tolist() == [0]
        assert polygons.sums.shape == (0, 3)


@pytest.mark.parametrize("line", ["1", "1223.1..44", "1.1.1", "11111"])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_single_lines(line, connectivity):
    pixels = pixels_of(line)
    for one in (pixels, pixels.T):
        assert_partition(one, connectivity, [1])
        assert_partition(one, connectivity, [3])


def test_ids_as_large_as_they_get():
    ends = np.iinfo(np.int64)
    ids = [ends.max, ends.min + 1, -1, 0, ends.max - 1]
    labels = np.array([ids, ids])
    runs = Runs.of(labels, np.ones(labels.shape, np.bool_), 0)
    (polygons,) = Tracer(*labels.shape).push(runs)
    assert polygons.value.dtype == np.int64
    assert polygons.value.tolist() == ids


@pytest.mark.parametrize("heights", [None, [13]])
def test_checkerboards(heights):
    # More than the tables have room for at first.
    pixels = np.indices((80, 70)).sum(axis=0) % 2
    four = assert_partition(pixels, 4, heights)
    assert (four.pixels == 1).all() and len(four) == pixels.size
    eight = assert_partition(pixels, 8, heights)
    assert eight.pixels.tolist() == [pixels.size / 2] * 2
    pixels[pixels == 1] = NOTHING
    assert np.diff(assert_partition(pixels, 8, heights).features).tolist() == [pixels.size / 2]


def spiral(size):
    """A corridor of 1s, a pixel wide, that winds inwards between walls of 2s."""
    pixels = np.full((size, size), 2)
    row, column, down, right = 0, 0, 0, 1
    for length in [size - 1, *np.repeat(np.arange(size - 1, 0, -2), 2)]:
        for _ in range(length):
            pixels[row, column] = 1
            row, column = row + down, column + right
        down, right = right, -down
    return pixels


@pytest.mark.parametrize("heights", [None, [1], [5]])
def test_a_spiral_through_every_strip(heights):
    pixels = spiral(41)
    polygons = assert_partition(pixels, 4, heights)
    assert sorted(polygons.value.tolist()) == [1, 2]
    assert np.diff(polygons.parts).tolist() == [1, 1]
    pushes = trace_by_push(pixels, heights)
    assert len(pushes[-1]) == 2


@pytest.mark.parametrize("connectivity", [4, 8])
def test_tables_do_not_grow_with_the_rows(connectivity):
    pixels = np.random.default_rng(0).integers(0, 5, (2000, 60))
    tracer = Tracer(*pixels.shape, connectivity)
    sizes = []
    for runs in strips_of(pixels, [20]):
        list(tracer.push(runs))
        sizes.append((len(tracer._tables.vertices), len(tracer._tables.chains)))
    assert sizes[-1] == sizes[1]


@pytest.mark.parametrize("tops", [[1], [0, 0], [0, 3], [0, 2, 6]])
def test_rows_must_follow_each_other(tops):
    tracer = Tracer(8, 3)
    row = np.ones((2, 3), np.int64)
    for top in tops[:-1]:
        list(tracer.push(Runs.of(row, None, top)))
    with pytest.raises(ValueError, match=f"row {tops[-1]} came after row"):
        list(tracer.push(Runs.of(row, None, tops[-1])))
