"""Counting in zones against shapely, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo import zone_coverage
from glnet_geo.errors import RasterError
from glnet_geo.features import mend
from glnet_geo.grid import Window
from glnet_geo.runs import NOTHING, Runs
from glnet_geo.zone_coverage import ClassStrip, ZoneTally

HEIGHT, WIDTH = 23, 37
UP = (1, -1)
EIGHTHS = st.integers(0, 8).map(lambda eighth: eighth / 8)


def measured(labels, polygons, zones, count, weights, heights, valid=None):
    """Amounts by class, NOTHING included, of a raster that comes in strips of these heights."""
    tally = ZoneTally(np.array(polygons), np.array(zones), count)
    top = 0
    for height in heights:
        here = slice(top, top + height)
        runs = Runs.of(labels[here], None if valid is None else valid[here], top)
        tally.add(ClassStrip.of("map.tif", runs, weights))
        top += height
    assert top == len(labels)
    return {**tally.by_class, int(NOTHING): tally.without_data}


def expected(labels, polygons, zones, count, weights, valid):
    """The same, a pixel at a time."""
    found: dict[int, np.ndarray] = {int(NOTHING): np.zeros(count)}
    for (row, column), label in np.ndenumerate(labels):
        pixel = shapely.box(column, -row - 1, column + 1, -row)
        parts = shapely.area(shapely.intersection(np.array(polygons), pixel)) * weights[row]
        key = int(label) if valid[row, column] else int(NOTHING)
        found.setdefault(key, np.zeros(count))
        found[key] += np.bincount(zones, parts, count)
    return found


@st.composite
def any_polygons(draw):
    """Valid polygons on and around the raster, some of them on the lines between pixels."""
    number = st.floats(-8, 45) | st.integers(-8, 45).map(float)
    points = st.lists(st.tuples(number, number), min_size=3, max_size=9)
    rings = draw(st.lists(points, min_size=1, max_size=4))
    polygons = np.array([shapely.Polygon(ring) for ring in rings])
    valid, zones = mend(polygons)
    return shapely.transform(valid, lambda xy: xy * UP), zones, len(rings)


@settings(max_examples=40, deadline=None)
@given(any_polygons(), st.sampled_from([(23,), (5, 18), (1, 9, 13)]), st.sampled_from([4, 64]))
def test_every_pixel_counts_by_the_part_inside(found, heights, tile):
    polygons, zones, count = found
    generator = np.random.default_rng(count)
    labels = generator.choice(np.array([-7, 3, 2**40]), (HEIGHT, WIDTH))
    valid = generator.random((HEIGHT, WIDTH)) < 0.8
    weights = 1 + 0.1 * np.arange(HEIGHT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zone_coverage, "_TILE", tile)
        ours = measured(labels, polygons, zones, count, weights, heights, valid)
    theirs = expected(labels, polygons, zones, count, weights, valid)
    for class_id, amounts in theirs.items():
        np.testing.assert_allclose(
            ours.get(class_id, np.zeros(count)), amounts, atol=1e-5, err_msg=str(class_id)
        )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=3, max_size=12, unique=True))
def test_zones_that_share_the_raster_out_add_up_to_it(points):
    raster = shapely.box(0, -HEIGHT, WIDTH, 0)
    places = shapely.MultiPoint([(WIDTH * x, -HEIGHT * y) for x, y in points])
    cells = shapely.get_parts(shapely.voronoi_polygons(places, extend_to=raster))
    polygons, zones = mend(shapely.intersection(cells, raster))
    labels = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 5
    ours = measured(labels, polygons, zones, len(cells), np.ones(HEIGHT), (10, 13))
    for class_id in range(5):
        assert ours[class_id].sum() == pytest.approx((labels == class_id).sum(), abs=1e-4)


def test_whole_tiles_are_exact():
    labels = np.random.default_rng(0).integers(0, 9, (200, 300)).astype(np.uint8)
    polygons = [shapely.box(0, -200, 300, 0), shapely.box(10, -190, 290, -10)]
    ours = measured(labels, polygons, [0, 1], 2, np.ones(200), (128, 72))
    for class_id in range(9):
        whole, inner = (labels == class_id).sum(), (labels[10:190, 10:290] == class_id).sum()
        assert ours[class_id].tolist() == [whole, inner]


def test_more_than_a_byte_of_classes():
    labels = (np.arange(600).reshape(20, 30) + 40_000).astype(np.int32)
    ours = measured(labels, [shapely.box(0, -20, 30, 0)], [0], 1, np.ones(20), (20,))
    assert len(ours) == 601 and all(ours[one] == 1 for one in range(40_000, 40_600))
    labels = np.arange(1200).reshape(30, 40)
    with pytest.raises(RasterError, match=r"map\.tif has more than 1,000 classes"):
        ClassStrip.of("map.tif", Runs.of(labels, None, 0), np.ones(30))


def test_zones_far_away_are_not_touched():
    tally = ZoneTally(np.array([shapely.box(0, -20, 5, -10)]), np.array([0]), 1)

    assert [tally.touches(Window(top, 0, 5, 30)) for top in (0, 12, 25)] == [False, True, False]


@pytest.mark.parametrize("scale", [1, 64])
def test_borders_through_the_corners_of_cells(scale):
    """exactextract leaves cells out that such a border meets in two corners: a pixel, or a tile."""
    ring = [
        (6, -0.1428571417927742),
        (6.857142858207226, -0.8571428582072258),
        (4.714285712689161, -3.7142857126891613),
        (3.428571429103613, -1.7142857126891613),
    ]
    polygon = shapely.Polygon(np.array(ring) * scale)
    height, width = 8 * scale, 8 * scale
    labels = np.zeros((height, width), np.uint8)
    ours = measured(labels, [polygon], [0], 1, np.ones(height), (height,))
    assert ours[0][0] == pytest.approx(shapely.area(polygon), abs=1e-4)


@pytest.mark.parametrize(
    "ring",
    [
        # Both crash exactextract 0.3 as they are.
        [(6.103515625e-5, -0.5), (-5e-324, -1), (0, -0.5015410906649578)],
        [(0.9999999999999999, -1e-61), (5.068965517241379, -1), (1.3749999999999998, -1)],
    ],
)
def test_coordinates_a_hair_apart(ring):
    polygons, zones = mend(np.array([shapely.Polygon(ring)]))
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    ours = measured(labels, polygons, zones, 1, np.ones(HEIGHT), (1, 22))
    assert ours[0][0] == pytest.approx(shapely.area(polygons).sum(), abs=1e-4)


def test_ragged_borders_take_their_length_in_time():
    # Walked round for each of its 460 tiles, this one took minutes.
    n, side = 40_000, 2000
    generator = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    reach = 900 + np.cumsum(generator.normal(0, 0.1, n))
    coast = shapely.Polygon(
        np.column_stack([1000 + reach * np.cos(angle), -1000 + reach * np.sin(angle)])
    )
    assert coast.is_valid
    labels = np.zeros((side, side), np.uint8)
    found = measured(labels, np.array([coast]), np.zeros(1, np.intp), 1, np.ones(side), (700, 1300))
    assert found[0][0] == pytest.approx(coast.area, rel=1e-8)


def test_an_edge_along_the_border_of_a_block(monkeypatch):
    monkeypatch.setattr(zone_coverage, "_TILE", 4)
    zone = shapely.union(shapely.box(2, -10, 16, -2), shapely.box(16, -6, 30, -3.5))
    labels = np.zeros((20, 48), np.uint8)
    found = measured(labels, np.array([zone]), np.zeros(1, np.intp), 1, np.ones(20), (20,))
    assert found[0][0] == pytest.approx(zone.area)
