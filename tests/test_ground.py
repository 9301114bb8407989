"""Areas and lengths on the ground against PROJ's geodesics, PROJ's LAEA, GDAL and shapely."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import Geod, Transformer
from rasterio.crs import CRS
from rasterio.features import shapes

from glnet_geo.georeference import ground_of
from glnet_geo.grid import Grid
from glnet_geo.ground import Ground
from glnet_geo.legend import DUBAI, NODATA
from glnet_geo.map_summary import MapSummary
from glnet_geo.raster_output import MapParts

WGS84 = Geod(ellps="WGS84")
CORNER = Affine.translation(500_000, 5_000_000)
NORTH_UP = CORNER @ Affine.scale(0.5, -0.5)
ROTATED = CORNER @ Affine.rotation(30) @ Affine.scale(0.5, -0.7)
SKEWED = CORNER @ Affine(0.5, 0.2, 0, -0.1, -0.6, 0)
SOUTH_UP = CORNER @ Affine.scale(0.5, 0.5)
FOOT = 1200 / 3937  # US survey
TALL = Grid(40, 30, Affine(0.5, 0, 10, 0, -0.5, 70), "EPSG:4326")
LOCAL = (
    'ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
    'LENGTHUNIT["metre",1]]'
)
MOVED_POLE = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +ellps=WGS84"


def outline(grid: Grid, row: int, points: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Many x and y along the border of the pixel in the first column of a row."""
    steps = np.linspace(0, 1, points, endpoint=False)
    zero, one = np.zeros(points), np.ones(points)
    columns = np.concatenate([steps, one, 1 - steps, zero])
    rows = np.concatenate([zero, steps, one, 1 - steps]) + row
    return grid.transform @ (columns, rows)


def geodesic_area(geod: Geod, grid: Grid, row: int) -> float:
    x, y = outline(grid, row)
    if "4326" not in grid.crs:
        x, y = Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(x, y)
    return abs(geod.geometry_area_perimeter(shapely.Polygon(list(zip(x, y, strict=True))))[0])


def planar_area(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x[0], y - y[0]
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def joined(rings: list[list[tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and offsets of closed rings."""
    vertices = np.array([vertex for ring in rings for vertex in ring], np.int32).reshape(-1, 2)
    return vertices[:, 0], vertices[:, 1], np.cumsum([0, *map(len, rings)])


class TestPlanar:
    @pytest.mark.parametrize("transform", [NORTH_UP, ROTATED, SKEWED, SOUTH_UP])
    def test_an_area_is_exactly_pixels_times_the_pixels_area(self, transform: Affine) -> None:
        ground = ground_of(Grid(7, 9, transform, "EPSG:32640"))
        area = abs(transform.determinant)
        assert (ground.rule, ground.unit, ground.is_uniform) == ("planar in EPSG:32640", "m", True)
        assert ground.row_area.tolist() == [area] * 7 and ground.mean_area == area
        counts = np.array([[3, 5, 0], [1_000_003, 2, 10]])
        assert ground.area_of(counts, top=2).tolist() == [8 * area, 1_000_015 * area]
        ring = [(0, 0), (7, 1), (3, 6), (0, 0)]
        assert ground.ring_areas(*joined([ring]))[0] == 39 / 2 * area

    @pytest.mark.parametrize("transform", [NORTH_UP, ROTATED, SKEWED, SOUTH_UP])
    def test_lengths_are_those_between_the_places(self, transform: Affine) -> None:
        ground = ground_of(Grid(9, 9, transform, "EPSG:32640"))
        ring = [(0, 0), (7, 1), (3, 6), (3, 5), (0, 5), (0, 0)]
        places = [transform @ vertex for vertex in ring]
        expected = sum(math.dist(*pair) for pair in pairwise(places))
        assert ground.ring_lengths(*joined([ring]))[0] == pytest.approx(expected, rel=1e-9)

    def test_us_survey_feet(self) -> None:
        ground = ground_of(Grid(4, 5, Affine(2, 0, 1e6, 0, -3, 2e5), "EPSG:2263"))
        assert ground.mean_area == pytest.approx(6 * FOOT**2, rel=1e-14)
        square = joined([[(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]])
        assert ground.ring_lengths(*square)[0] == pytest.approx(10 * FOOT, rel=1e-14)
        assert ground.rule == "planar in EPSG:2263"

    def test_a_crs_that_is_bound_to_another_one_goes_by_its_name(self) -> None:
        crs = CRS.from_string("+proj=utm +zone=33 +ellps=intl +towgs84=1,2,3")
        grid = Grid(4, 5, NORTH_UP, crs.to_wkt(version="WKT2_2019"))
        assert grid.crs.startswith("BOUNDCRS")
        assert ground_of(grid).rule == "planar in unknown"

    def test_other_mercator_maps_are_planar(self) -> None:
        ground = ground_of(Grid(4, 5, Affine(10, 0, 1e6, 0, -10, 8.4e6), "EPSG:3395"))
        assert ground.is_uniform and ground.mean_area == 100


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        (None, NORTH_UP),
        ("EPSG:32640", Affine.identity()),
        (LOCAL, NORTH_UP),
        (LOCAL.replace(',LENGTHUNIT["metre",1]', ""), NORTH_UP),
        ("EPSG:4978", NORTH_UP),
        ("EPSG:4326", NORTH_UP),
        (MOVED_POLE, Affine(0.1, 0, -20, 0, -0.1, 20)),
    ],
    ids=[
        "no CRS",
        "no transform",
        "local",
        "unreadable",
        "geocentric",
        "metres for degrees",
        "moved pole",
    ],
)
def test_pixels_without_a_place_on_the_globe(crs: str | None, transform: Affine) -> None:
    ground = ground_of(Grid(4, 5, transform, crs))
    assert (ground.rule, ground.unit, ground.is_uniform) == ("pixels", "px", True)
    assert ground.row_area.tolist() == [1.0] * 4
    ring = joined([[(0, 0), (4, 0), (4, 3), (0, 0)]])
    assert (ground.ring_areas(*ring)[0], ground.ring_lengths(*ring)[0]) == (6, 12)


class TestDegrees:
    @pytest.mark.parametrize("size", [1e-4, 1e-2, 1])
    @pytest.mark.parametrize("latitude", [0, 25.1, -47, 60, 89])
    @pytest.mark.parametrize("left", [55.3, 179.9])
    def test_pixels_have_their_geodesic_area(
        self, latitude: float, size: float, left: float
    ) -> None:
        grid = Grid(1, 2, Affine(size, 0, left, 0, -size, latitude + size), "EPSG:4326")
        # Geodesics between points of a parallel leave it by a hair; the outline has 400 points.
        tolerance = 1e-6 if latitude < 89 else 1e-5
        expected = geodesic_area(WGS84, grid, 0)
        assert ground_of(grid).row_area[0] == pytest.approx(expected, rel=tolerance)

    def test_rows_across_the_antimeridian(self) -> None:
        grid = Grid(100, 200, Affine(1e-3, 0, 179.9, 0, -1e-3, -16), "EPSG:4326")
        ground = ground_of(grid)
        assert ground.rule == "equal-area (LAEA at 16.05 S, 180.00 W)"
        here = ground_of(Grid(100, 200, Affine(1e-3, 0, 10, 0, -1e-3, -16), "EPSG:4326"))
        np.testing.assert_array_equal(ground.row_area, here.row_area)
        assert ground.row_area[99] == pytest.approx(geodesic_area(WGS84, grid, 99), rel=1e-8)
        assert ground.mean_area == pytest.approx(ground.row_area.mean(), rel=1e-15)

    @pytest.mark.parametrize(
        "grid",
        [
            Grid(40_000, 40_000, Affine(5e-6, 0, 55.2, 0, -5e-6, 25.2), "EPSG:4326"),
            Grid(300, 200, Affine(0.01, 0, 10, 0, 0.01, 60), "EPSG:4326"),
            Grid(300, 200, Affine(0.01, 0.004, 10, 0, -0.01, 60), "EPSG:4326"),
            Grid(300, 200, Affine(1000, 0, 1e6, 0, -1000, 8.4e6), "EPSG:3857"),
        ],
        ids=["north-up", "south-up", "skewed along the rows", "Web Mercator"],
    )
    @pytest.mark.parametrize("share", [0, 0.5, 1])
    def test_it_is_the_area_on_the_map_that_the_rule_names(self, grid: Grid, share: float) -> None:
        ground, row = ground_of(grid), round(share * (grid.height - 1))
        north, east = (
            ground.rule.removeprefix("equal-area (LAEA at ").removesuffix(" E)").split(" N, ")
        )
        laea = f"+proj=laea +lat_0={north} +lon_0={east} +datum=WGS84"
        onto = Transformer.from_crs(grid.crs, laea, always_xy=True)
        expected = planar_area(*onto.transform(*outline(grid, row)))
        assert ground.row_area[row] == pytest.approx(expected, rel=1e-7)

    @pytest.mark.parametrize(("rows", "top"), [(720, 90), (721, 90.125), (2, 90)])
    def test_the_globe(self, rows: int, top: float) -> None:
        step = 90 if rows == 2 else 0.25
        columns = 360 / step
        ground = ground_of(
            Grid(rows, int(columns), Affine(step, 0, -180, 0, -step, top), "EPSG:4326")
        )
        assert ground.rule == "equal-area (LAEA at 0.00 N, 0.00 E)"
        tolerance = 1e-7 if rows == 2 else 1e-12
        total = float(ground.row_area.sum() * columns)
        assert total == pytest.approx(510_065_621_724_088.4, rel=tolerance)
        np.testing.assert_allclose(ground.row_area, ground.row_area[::-1], rtol=1e-10)
        assert np.isfinite(ground.metric).all() and (ground.row_area > 0).all()

    @pytest.mark.parametrize(
        ("crs", "geod", "degree", "meridian"),
        [
            ("EPSG:4807", Geod(a=6378249.2, rf=293.466021293627), 0.9, 2.3372),
            ("EPSG:4267", Geod(ellps="clrk66"), 1, 0),
            ("EPSG:4293", Geod(a=6377397.155 * 1.0000135965, rf=299.1528128), 1, 0),
            ("+proj=longlat +R=1737400", Geod(a=1737400, b=1737400), 1, 0),
        ],
        ids=["grads from Paris", "NAD27", "German legal metres", "the moon"],
    )
    def test_other_ellipsoids_and_units(
        self, crs: str, geod: Geod, degree: float, meridian: float
    ) -> None:
        size = 0.01 / degree
        grid = Grid(2, 2, Affine(size, 0, 1 / degree, 0, -size, 50 / degree), crs)
        in_degrees = Grid(2, 2, Affine(0.01, 0, 1, 0, -0.01, 50), "EPSG:4326")
        ground = ground_of(grid)
        assert ground.row_area[1] == pytest.approx(geodesic_area(geod, in_degrees, 1), rel=1e-8)
        assert ground.rule == f"equal-area (LAEA at 49.99 N, {1.01 + meridian:.2f} E)"

    def test_rotated_rows_count_like_their_pixel_at_the_centre_column(self) -> None:
        turned = Affine.translation(10, 60) @ Affine.rotation(40) @ Affine.scale(0.01, -0.01)
        grid = Grid(60, 80, turned, "EPSG:4326")
        ground = ground_of(grid)
        assert ground.rule.endswith("(LAEA at 60.03 N, 10.50 E), rows as at the centre column")
        centred = Grid(60, 80, turned @ Affine.translation(39.5, 0), "EPSG:4326")
        for row in (0, 30, 59):
            assert ground.row_area[row] == pytest.approx(
                geodesic_area(WGS84, centred, row), rel=1e-7
            )

    def test_lengths_follow_the_latitude(self) -> None:
        rings = [[(3, 0), (8, 0), (3, 0)], [(3, 40), (8, 40), (3, 40)], [(3, 0), (3, 2), (3, 0)]]
        parallels = WGS84.line_length(np.linspace(0, 2.5, 300), np.full(300, 70.0))
        lower = WGS84.line_length(np.linspace(0, 2.5, 300), np.full(300, 50.0))
        meridian = WGS84.line_length([0, 0], [70, 69])
        found = ground_of(TALL).ring_lengths(*joined(rings)) / 2
        assert found == pytest.approx([parallels, lower, meridian], rel=1e-6)

    @pytest.mark.parametrize(
        ("crs", "place", "ends"),
        [
            # From the equator to 60 and 80 degrees north.
            ("EPSG:4326", Affine(0.1, 0, 0, 0, -0.1, 60), (60.0, 0.0)),
            ("EPSG:3857", Affine(1e4, 0, 0, 0, -1e4, 15.5e6), (15.5e6, 0.0)),
        ],
    )
    def test_edges_of_many_rows(self, crs: str, place: Affine, ends: tuple[float, float]) -> None:
        height = round((ends[0] - ends[1]) / -place.e)
        ground = ground_of(Grid(height, 50, place, crs))
        onto = Transformer.from_crs(crs, 4326, always_xy=True)
        y = np.linspace(*ends, 3000)
        for columns, precision in ((0, 1e-7), (50, 0.03)):
            found = ground.ring_lengths(*joined([[(0, 0), (columns, height), (0, 0)]]))[0] / 2
            x = place.c + np.linspace(0, columns * place.a, 3000)
            expected = WGS84.line_length(*onto.transform(x, y))
            assert found == pytest.approx(expected, rel=precision)

    def test_a_slanted_edge(self) -> None:
        found = ground_of(TALL).ring_lengths(*joined([[(0, 9), (4, 12), (0, 9)]]))[0]
        line = np.linspace(0, 1, 500)
        expected = WGS84.line_length(10 + 2 * line, 65.5 - 1.5 * line)
        assert found / 2 == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("crs", ["EPSG:3857", "ESRI:102100", "ESRI:102113", "+proj=webmerc"])
@pytest.mark.parametrize("top", [8_399_738, -8_399_738, 18_000_000])
def test_web_mercator(crs: str, top: float) -> None:
    grid = Grid(300, 200, Affine(10, 0, 1e6, 0, -10, top), crs)
    ground = ground_of(grid)
    meant = Grid(300, 200, grid.transform, "EPSG:3857")
    for row in (0, 299):
        expected = geodesic_area(WGS84, meant, row)
        assert ground.row_area[row] == pytest.approx(expected, rel=1e-7)
    onto = Transformer.from_crs(3857, 4326, always_xy=True)
    longitudes, latitudes = onto.transform([1e6, 1e6 + 10, 1e6, 1e6], [top, top, top, top - 10])
    sides = [[(0, 0), (1, 0), (0, 0)], [(0, 0), (0, 1), (0, 0)]]
    lengths = ground.ring_lengths(*joined(sides)) / 2
    for k in (0, 1):
        ends = slice(2 * k, 2 * k + 2)
        expected = WGS84.line_length(longitudes[ends], latitudes[ends])
        assert lengths[k] == pytest.approx(expected, rel=1e-6)


class TestRings:
    def test_clockwise_on_the_screen_is_positive(self) -> None:
        shell = [(1, 1), (4, 1), (4, 3), (1, 3), (1, 1)]
        hole = [(2, 1), (2, 2), (3, 2), (3, 1), (2, 1)]
        for ground in (Ground.uniform("pixels", "px", 40), ground_of(TALL)):
            areas = ground.ring_areas(*joined([shell, hole]))
            rows = ground.row_area
            assert areas == pytest.approx([3 * (rows[1] + rows[2]), -rows[1]], rel=1e-12)

    @given(mask=hnp.arrays(np.uint8, (40, 30), elements=st.integers(0, 1), fill=st.just(0)))
    def test_pixels_of_a_polygon_sum_to_its_area(self, mask: np.ndarray) -> None:
        ground = ground_of(TALL)
        total = 0.0
        for geometry, value in shapes(mask, mask=mask > 0):
            assert value == 1
            total += abs(ground.ring_areas(*joined(geometry["coordinates"])).sum())
        assert total == pytest.approx(ground.area_of(mask.sum(axis=1)), rel=1e-12)
        assert total == pytest.approx(ground.area_by_value(mask, 0)[1], rel=1e-12)

    @given(
        corners=st.lists(
            st.tuples(st.integers(0, 30), st.integers(0, 40)), min_size=3, max_size=3, unique=True
        )
    )
    def test_slanted_edges_cut_rows_into_parts(self, corners: list[tuple[int, int]]) -> None:
        ground, triangle = ground_of(TALL), shapely.Polygon(corners)
        strips = shapely.box(0, np.arange(40), 30, np.arange(1, 41))
        parts = shapely.area(shapely.intersection(strips, triangle))
        found = ground.ring_areas(*joined([[*corners, corners[0]]]))[0]
        expected = float(parts @ ground.row_area)
        assert abs(found) == pytest.approx(expected, rel=1e-9, abs=1e-9 * ground.row_area[0])
        clockwise = not shapely.is_ccw(triangle.exterior)
        assert not triangle.area or (found < 0) == clockwise  # shapely's y points up

    def test_a_pixel_far_down_a_large_scene_keeps_its_digits(self) -> None:
        ground = ground_of(Grid(40_000, 40_000, Affine(5e-6, 0, 55, 0, -5e-6, 25), "EPSG:4326"))
        square = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
        triangle = [(0, 0), (1, 1), (0, 1), (0, 0)]
        moved = [[(x + 39_998, y + 39_990) for x, y in ring] for ring in (square, triangle)]
        area = ground.row_area[39_990]
        assert ground.ring_areas(*joined(moved)) == pytest.approx([area, area / 2], rel=1e-9)

    @pytest.mark.parametrize("ground", [Ground.uniform("pixels", "px", 40), ground_of(TALL)])
    @pytest.mark.parametrize("sizes", [(90_000, 5, 70_000, 4), (7,) * 30_000, (4, 200_000)])
    def test_many_vertices_equal_rings_one_by_one(
        self, ground: Ground, sizes: tuple[int, ...]
    ) -> None:
        rng = np.random.default_rng(1)
        rings = [rng.integers(0, 31, (size, 2), np.int32) for size in sizes]
        for ring in rings:
            ring[-1] = ring[0]
        x, y, offsets = joined([ring.tolist() for ring in rings])
        areas, lengths = ground.ring_areas(x, y, offsets), ground.ring_lengths(x, y, offsets)
        for k in [*range(4), len(sizes) // 2, len(sizes) - 1]:
            if k < len(sizes):
                part = slice(offsets[k], offsets[k + 1])
                alone = x[part], y[part], np.array([0, sizes[k]])
                scale = ground.row_area[0] * sizes[k]
                assert areas[k] == pytest.approx(ground.ring_areas(*alone)[0], abs=1e-9 * scale)
                assert lengths[k] == pytest.approx(ground.ring_lengths(*alone)[0], rel=1e-12)
        # A part of the rings, without those before it.
        some = ground.ring_areas(x, y, offsets[1:3])
        assert some == pytest.approx(areas[1:2], abs=1e-9 * ground.row_area[0] * sizes[1])

    def test_no_rings(self) -> None:
        nothing = np.zeros(0, np.int32)
        assert ground_of(TALL).ring_areas(nothing, nothing, np.zeros(1, np.int64)).size == 0

    def test_a_ring_over_many_chunks_is_measured_once(self) -> None:
        ground = Ground.uniform("planar", "m", 200_000, 0.25, (0.25, 0, 0.25))
        there = [(0, row) for row in range(200_001)]
        ring = [*there, *((1, row) for row in range(200_000, -1, -1)), (0, 0)]
        arguments = joined([ring])
        assert ground.ring_areas(*arguments)[0] == -200_000 * 0.25
        assert ground.ring_lengths(*arguments)[0] == 400_002 * 0.5


class TestMap:
    def summary(self, folder: Path, grid: Grid, labels: np.ndarray) -> MapSummary:
        output = folder / "map.tif"
        parts = MapParts(folder, output, grid)
        for index, rows in enumerate(grid.window.rows(25)):
            with parts.part(index, rows) as writer:
                writer.write(labels[rows.slices[0]], rows)
        content = parts.publish(DUBAI, {})
        areas = content.areas_m2
        return MapSummary(
            output,
            grid,
            DUBAI,
            dict(enumerate(content.pixels.tolist())),
            None if areas is None else dict(enumerate(areas.tolist())),
            content.area_rule,
            "fake 0.1",
            1.0,
            None,
        )

    def halves(self, grid: Grid) -> np.ndarray:
        labels = np.full((grid.height, grid.width), DUBAI.classes[1].id, np.uint8)
        labels[: grid.height // 2] = DUBAI.classes[0].id
        labels[:, :3] = NODATA
        return labels

    def test_a_class_in_the_north_of_a_tall_scene_is_smaller(self, tmp_path: Path) -> None:
        grid = Grid(600, 520, Affine(0.02, 0, 20, 0, -0.02, 70), "EPSG:4326")
        labels = self.halves(grid)
        summary = self.summary(tmp_path, grid, labels)
        north, south = (summary.area_ha(one.id) for one in DUBAI.classes[:2])
        boxes = [shapely.box(20.06, 64, 30.4, 70), shapely.box(20.06, 58, 30.4, 64)]
        expected = [
            abs(WGS84.geometry_area_perimeter(shapely.segmentize(box, 0.002))[0]) / 1e4
            for box in boxes
        ]
        assert [north, south] == pytest.approx(expected, rel=1e-6)
        assert summary.share(DUBAI.classes[0].id) == 0.5 and south > 1.2 * north
        described = json.loads(json.dumps(summary.to_dict()))
        assert described["area_rule"] == "equal-area (LAEA at 64.00 N, 25.20 E)"
        assert described["classes"][0]["area_ha"] == north
        absent = described["classes"][2]
        assert (absent["pixels"], absent["area_ha"]) == (0, 0)

    def test_planar_areas_are_exactly_pixels_times_the_pixels_area(self, tmp_path: Path) -> None:
        grid = Grid(60, 50, ROTATED, "EPSG:32640")
        summary = self.summary(tmp_path, grid, self.halves(grid))
        area = abs(ROTATED.determinant)
        assert summary.areas_m2[DUBAI.classes[0].id] == 30 * 47 * area
        assert summary.areas_m2[NODATA] == 60 * 3 * area
        assert summary.to_dict()["area_rule"] == "planar in EPSG:32640"

    def test_pixels_without_a_place_have_no_hectares(self, tmp_path: Path) -> None:
        grid = Grid(60, 50)
        summary = self.summary(tmp_path, grid, self.halves(grid))
        described = summary.to_dict()
        assert summary.areas_m2 is None and described["area_rule"] == "pixels"
        assert described["classes"][0]["area_ha"] is None
