"""Simplified coverages are coverages still, and as simple as the rule allows."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.runs import NOTHING
from glnet_geo.tracing import Tracer
from tests.lattices import (
    assert_same,
    assert_valid_coverage,
    blobs,
    connectivities,
    geometries,
    pixels_of,
    rasters,
    strip_heights,
    strips_of,
    trace,
    trace_by_push,
)

# Twice their squares are no whole numbers, as are twice the areas of triangles.
tolerances = st.sampled_from([0.9, 1.2, 1.6, 2.7, 50.0])
bands = st.sampled_from([2048, 1, 2, 4, 7])
band_runs = st.sampled_from([1 << 21, 1, 6, 17, 40])


def assert_simplified(pixels, connectivity, tolerance, band, runs=1 << 21):
    """Whether the polygons are those of the raster, somewhat changed; gives them back."""
    options = {"tolerance": tolerance, "band": band, "band_runs": runs}
    polygons = trace(pixels, None, connectivity, **options)
    assert_valid_coverage(geometries(polygons))
    exact = trace(pixels, None, connectivity)
    for name in ("value", "pixels", "area", "sums", "features", "parts"):
        np.testing.assert_array_equal(getattr(polygons, name), getattr(exact, name))
    return polygons


@settings(max_examples=80, deadline=None)
@given(rasters(), connectivities, tolerances, bands, band_runs)
def test_the_same_polygons_as_a_valid_coverage(pixels, connectivity, tolerance, band, runs):
    assert_simplified(pixels, connectivity, tolerance, band, runs)


@settings(max_examples=80, deadline=None)
@given(rasters(), connectivities, tolerances, bands, band_runs, strip_heights)
def test_strips_do_not_matter(pixels, connectivity, tolerance, band, runs, heights):
    options = {"tolerance": tolerance, "band": band, "band_runs": runs}
    whole = trace(pixels, None, connectivity, **options)
    assert_same(trace(pixels, heights, connectivity, **options), whole)


@settings(max_examples=40, deadline=None)
@given(rasters(nodata=False), connectivities, tolerances, bands)
def test_what_is_full_of_data_stays_full(pixels, connectivity, tolerance, band):
    height, width = pixels.shape
    shapes = geometries(trace(pixels, None, connectivity, tolerance=tolerance, band=band))
    assert shapely.area(shapes).sum() == height * width
    assert shapely.union_all(shapes).equals(shapely.box(0, 0, width, height))


def points_of(polygons):
    return set(zip(polygons.x.tolist(), polygons.y.tolist(), strict=True))


def junctions(pixels):
    """Lattice points where more than two borders meet, and the scene's corners with data."""
    around = np.pad(pixels, 1, constant_values=NOTHING)
    corners = [around[:-1, :-1], around[:-1, 1:], around[1:, 1:], around[1:, :-1]]
    is_fixed = sum(corners[k] != corners[k - 1] for k in range(4)) > 2
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        is_fixed[row, column] = pixels[row, column] != NOTHING
    return {(column, row) for row, column in np.argwhere(is_fixed).tolist()}


@settings(max_examples=60, deadline=None)
@given(rasters(), tolerances)
def test_vertices_go_but_none_comes_or_moves(pixels, tolerance):
    points = points_of(trace(pixels, tolerance=tolerance))
    assert junctions(pixels) <= points <= points_of(trace(pixels))


@settings(max_examples=40, deadline=None)
@given(rasters(), connectivities)
def test_no_triangle_is_smaller_than_half_a_pixel(pixels, connectivity):
    exact = trace(pixels, None, connectivity)
    assert_same(trace(pixels, None, connectivity, tolerance=0.7), exact)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(rasters(longest=40), connectivities, tolerances, bands, band_runs, strip_heights)
def test_long_form(pixels, connectivity, tolerance, band, runs, heights):
    polygons = assert_simplified(pixels, connectivity, tolerance, band, runs)
    options = {"tolerance": tolerance, "band": band, "band_runs": runs}
    assert_same(trace(pixels, heights, connectivity, **options), polygons)


def lies_in(point, triangle):
    (x, y), (a, b, c) = point, triangle
    sides = [
        (q[0] - p[0]) * (y - p[1]) - (x - p[0]) * (q[1] - p[1]) for p, q in ((a, b), (b, c), (c, a))
    ]
    is_near = min(a[0], b[0], c[0]) <= x <= max(a[0], b[0], c[0])
    is_near = is_near and min(a[1], b[1], c[1]) <= y <= max(a[1], b[1], c[1])
    return is_near and (min(sides) >= 0 or max(sides) <= 0)


def by_the_rule(line, tolerance):
    """Visvalingam's and Whyatt's method read literally: the smallest triangle first.

    Where a vertex lies in a triangle, that one waits until its own corners change.
    """
    line, waiting = list(line), set()
    while True:
        triangles = [tuple(line[k - 1 : k + 2]) for k in range(1, len(line) - 1)]
        areas = [abs(shapely.Polygon(triangle).area) for triangle in triangles]
        candidates = [
            (area, k)
            for k, area in enumerate(areas)
            if area < tolerance**2 and triangles[k] not in waiting
        ]
        if not candidates:
            return line
        _, k = min(candidates)
        if any(lies_in(point, triangles[k]) for point in set(line) - set(triangles[k])):
            waiting.add(triangles[k])
        else:
            del line[k + 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=25), tolerances)
def test_a_border_against_the_method_read_literally(columns, tolerance):
    # 1s to the left of the border and 2s to its right.
    pixels = np.where(np.arange(10) < np.array(columns)[:, None], 1, 2)
    line = [(columns[0], 0)]
    for row in np.flatnonzero(np.diff(columns)).tolist():
        line += [(columns[row], row + 1), (columns[row + 1], row + 1)]
    line.append((columns[-1], len(columns)))
    expected = by_the_rule(line, tolerance)
    polygons = trace(pixels, tolerance=tolerance)
    for value in (1, 2):
        points = points_of(polygons.select(polygons.value == value))
        found = {(x, y) for x, y in points if 0 < x < 10}
        if len(expected) > 2:
            assert found == set(expected)
        else:
            # Of arcs that share both ends just one may become straight: one vertex may be left.
            assert set(expected) <= found and len(found) <= 3


@pytest.mark.parametrize("mirror", [(1, 1), (1, -1), (-1, 1)])
@pytest.mark.parametrize("slope", [(1, 1), (1, 2), (2, 3), (1, 5), (3, 1), (7, 4)])
def test_staircases_become_straight(slope, mirror):
    row, column = np.indices((120, 120)) + 0.5
    pixels = (slope[0] * row + slope[1] * column < 60 * sum(slope)).astype(int)
    pixels = pixels[:: mirror[0], :: mirror[1]]
    exact, simple = (geometries(trace(pixels, tolerance=tolerance)) for tolerance in (0, 3.0))
    assert shapely.get_num_coordinates(exact).min() > 40
    assert shapely.get_num_coordinates(simple).max() <= 8
    assert shapely.hausdorff_distance(exact, simple).max() < 1.5
    np.testing.assert_allclose(shapely.area(simple), shapely.area(exact), atol=60)


@pytest.mark.parametrize("tolerance", [0.9, 1.3, 1.6, 2.7, 4.1])
def test_as_far_as_geos_does(tolerance):
    pixels = blobs(200, 240)
    simple = geometries(trace(pixels, tolerance=tolerance))
    theirs = shapely.coverage_simplify(geometries(trace(pixels)), tolerance)
    n_vertices, expected = (shapely.get_num_coordinates(one).sum() for one in (simple, theirs))
    assert 0.9 < n_vertices / expected < 1.15


@pytest.mark.parametrize("tolerance", [2.7, 9.0])
def test_narrow_shapes_close_to_each_other(tolerance):
    # Here vertices of other arcs keep many triangles from going.
    polygons = assert_simplified(blobs(100, 120, scale=2, seed=1), 4, tolerance, 2048)
    assert len(polygons) > 500


def test_classes_keep_their_areas():
    pixels = blobs(200, 240)
    pixels[50:80, 100:150] = NOTHING
    polygons = trace(pixels, tolerance=2.0)
    areas = np.bincount(polygons.value, shapely.area(geometries(polygons)))
    pixels_of_class = np.bincount(polygons.value, polygons.pixels)
    np.testing.assert_allclose(areas, pixels_of_class, rtol=0.01)


@pytest.mark.parametrize("heights", [None, [1], [3], [64]])
def test_borders_keep_a_vertex_where_bands_end(heights):
    # Two classes beside a diagonal.
    pixels = np.triu(np.ones((64, 64), np.int64))
    for band in (4, 16):
        polygons = trace(pixels, heights, tolerance=2.0, band=band)
        crossings = {y for x, y in points_of(polygons) if 0 < x < 64 and 0 < y < 64}
        assert crossings >= set(range(band - 1, 64, band))
        assert len(crossings) < 64
    assert_valid_coverage(geometries(polygons))
    assert len(points_of(trace(pixels, heights, tolerance=2.0))) < 10


@pytest.mark.parametrize("heights", [None, [1], [3], [64]])
def test_bands_end_earlier_where_rows_have_many_runs(heights):
    pixels = np.triu(np.ones((64, 64), np.int64))
    # Two runs a row; in these rows many more.
    pixels[20:24, ::2] += 2
    options = {"tolerance": 2.0, "band": 16, "band_runs": 60}
    polygons = trace(pixels, heights, **options)
    n_runs = 1 + (pixels[:, 1:] != pixels[:, :-1]).sum(axis=1)
    lines, rows, runs = [], 0, 0
    for row, count in enumerate(n_runs.tolist()):
        rows, runs = rows + 1, runs + count
        if rows == 16 or runs >= 60:
            lines.append(row)
            rows = runs = 0
    assert {20, 21, 22, 23} & set(lines) and lines != list(range(15, 64, 16))
    crossings = {y for x, y in points_of(polygons) if 0 < x < 64 and 0 < y < 64}
    assert crossings >= set(lines)
    assert_valid_coverage(geometries(polygons))
    assert_same(polygons, trace(pixels, [5], **options))


def test_polygons_leave_when_their_band_ends():
    pixels = pixels_of("1.1.1.1. ........ " * 10)
    pushes = trace_by_push(pixels, [1], tolerance=2.0, band=8)
    assert [len(push) for push in pushes] == [0] * 7 + [16] + [0] * 7 + [16] + [0] * 3 + [8]
    pushes = trace_by_push(pixels, [9], tolerance=2.0, band=8)
    assert [len(push) for push in pushes] == [16, 16, 8]
    # Eight runs in one row and one in the next: bands of five rows, six and six.
    pushes = trace_by_push(pixels, [1], tolerance=2.0, band_runs=24)
    assert [len(push) for push in pushes] == [0] * 4 + [8, *[0] * 5, 12, *[0] * 5, 12, 0, 0, 8]


@pytest.mark.parametrize("heights", [None, [7], [40]])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_a_larger_map_across_bands(connectivity, heights):
    pixels = blobs(150, 130)
    pixels[40:90, 20:70] = NOTHING
    whole = assert_simplified(pixels, connectivity, 2.0, 2048)
    banded = assert_simplified(pixels, connectivity, 2.0, 32)
    assert len(whole.x) < len(banded.x) < 1.2 * len(whole.x)
    options = {"tolerance": 2.0, "band": 32}
    assert_same(trace(pixels, heights, connectivity, **options), banded)


def test_a_large_tolerance_leaves_everyone_something():
    noise = np.random.default_rng(0).integers(0, 3, (60, 60))
    shapes = geometries(assert_simplified(noise, 4, 1e6, 2048))
    assert shapely.area(shapes).min() == 0.5


@pytest.mark.parametrize(
    "text",
    [
        # An island, and a lens between two classes: each is more than one line.
        "1111111 1122211 1122211 1111111",
        "1111111 1122211 2222222 2332233 3333333",
        "1112 1132 1132 2222",
        # Arcs that share both their ends, three of them, and more.
        "11111 12223 14443 15553 33333",
        "1111111 1123411 1123411 1111111",
    ],
)
def test_islands_and_lenses_stay(text):
    pixels = pixels_of(text)
    for one in (pixels, pixels.T, pixels[::-1], pixels[:, ::-1]):
        for connectivity in (4, 8):
            shapes = geometries(assert_simplified(one, connectivity, 100.0, 2048))
            assert shapely.area(shapes).sum() == pixels.size


def test_tables_do_not_grow_with_the_rows():
    pixels = np.random.default_rng(0).integers(0, 5, (2000, 60))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glnet_geo.tracing._BAND", 64)
        tracer = Tracer(*pixels.shape, tolerance=1.5)
        sizes = []
        for runs in strips_of(pixels, [20]):
            list(tracer.push(runs))
            sizes.append((len(tracer._tables.vertices), len(tracer._tables.chains)))
    assert sizes[-1] == sizes[12]
