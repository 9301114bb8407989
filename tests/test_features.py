"""The area of interest: which pixels it covers, by hand, and what is refused."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from shapely import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box
from shapely.affinity import affine_transform

from glnet_geo.errors import FeaturesError
from glnet_geo.features import AreaOfInterest
from glnet_geo.grid import Grid, Window

UTM33 = "EPSG:32633"
LEFT, TOP = 500_000, 5_000_000
GRID = Grid.north_up(5, 8, LEFT, TOP, 2.0, UTM33)
ROTATED = Affine.translation(LEFT, TOP) @ Affine.rotation(30) @ Affine.scale(2, -2)
SOUTH_UP = Affine(2, 0, LEFT, 0, 2, TOP)
SHEARED = Affine(2, 0.7, LEFT, 0.4, -2, TOP)


def write(
    path: Path, *shapes: shapely.Geometry | None, crs: str | None = UTM33, **options: Any
) -> Path:
    """Writes features of one layer; a missing CRS is meant."""
    frame = geopandas.GeoDataFrame({"id": range(len(shapes))}, geometry=list(shapes), crs=crs)
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        frame.to_file(path, **options)
    return path


def pixel_box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """A box given in pixels of GRID, in its CRS."""
    return box(LEFT + 2 * left, TOP - 2 * bottom, LEFT + 2 * right, TOP - 2 * top)


def picture(mask: np.ndarray) -> list[str]:
    assert mask.dtype == np.bool_
    return ["".join(".#"[int(value)] for value in row) for row in mask]


def pictured(path: Path, grid: Grid = GRID) -> list[str]:
    return picture(AreaOfInterest.read(path, grid).mask(grid.window))


def centers(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixels' centres, H x W each."""
    rows, columns = np.indices((grid.height, grid.width)) + 0.5
    x, y = grid.transform @ (columns, rows)
    return x, y


def refusal(path: Path, grid: Grid = GRID) -> str:
    """The message with which a file is refused: one line that names it."""
    with pytest.raises(FeaturesError) as caught:
        AreaOfInterest.read(path, grid)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith((".", str(path)))
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "area.gpkg"


class TestMask:
    def test_a_pixel_belongs_to_the_area_when_its_centre_does(self, path: Path) -> None:
        write(path, pixel_box(1.4, 0.6, 4.6, 3.4))
        assert pictured(path) == [
            "........",
            ".####...",
            ".####...",
            "........",
            "........",
        ]

    def test_a_window_starts_at_its_own_corner(self, path: Path) -> None:
        area = AreaOfInterest.read(write(path, pixel_box(1, 1, 5, 3)), GRID)
        assert picture(area.mask(Window(2, 3, 3, 4))) == ["##..", "....", "...."]
        assert picture(area.mask(Window(3, 0, 2, 3))) == ["...", "..."]

    def test_features_holes_and_overlaps(self, path: Path) -> None:
        ring = pixel_box(0, 0, 5, 5).difference(pixel_box(1, 1, 4, 4))
        write(path, ring, pixel_box(4, 2, 7, 4), pixel_box(6, 3, 8, 5))
        assert pictured(path) == [
            "#####...",
            "#...#...",
            "#...###.",
            "#...####",
            "#####.##",
        ]

    def test_polygons_count_however_deep_they_lie(self, path: Path) -> None:
        pair = MultiPolygon([pixel_box(0, 0, 2, 1), pixel_box(6, 4, 8, 5)])
        nested = GeometryCollection([Point(LEFT, TOP), GeometryCollection([pair])])
        line = LineString([(LEFT, TOP - 5), (LEFT + 16, TOP - 5)])
        write(path, nested, line, Point(LEFT + 9, TOP - 5), Polygon())
        assert pictured(path) == ["##......", *["........"] * 3, "......##"]

    def test_overlapping_parts_of_one_feature_are_united(self, path: Path) -> None:
        write(path, MultiPolygon([pixel_box(0, 0, 4, 1), pixel_box(2, 0, 6, 1)]))
        assert pictured(path)[0] == "######.."

    def test_a_bow_tie_covers_both_its_wings(self, path: Path) -> None:
        corners = [(0, 0), (8, 5), (8, 0), (0, 5)]
        write(path, Polygon([(LEFT + 2 * x, TOP - 2 * y) for x, y in corners]))
        assert pictured(path) == [
            "#......#",
            "##....##",
            "########",
            "##....##",
            "#......#",
        ]

    def test_a_loop_of_the_ring_leaves_no_hole(self, path: Path) -> None:
        corners = [(1, 5), (1, 0), (7, 0), (7, 4), (0, 4), (0, 2), (4, 2), (4, 5)]
        write(path, Polygon([(LEFT + 2 * x, TOP - 2 * y) for x, y in corners]))
        assert pictured(path) == [
            ".######.",
            ".######.",
            "#######.",
            "#######.",
            ".###....",
        ]

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("area.shp", {}),
            ("area.fgb", {}),
            ("area.geojson", {}),
            ("area.gml", {"driver": "GML"}),
            ("area.gdb", {}),
            ("with space.gpkg", {"layer": "ä b"}),
        ],
    )
    def test_formats(self, tmp_path: Path, name: str, options: dict[str, Any]) -> None:
        write(tmp_path / name, pixel_box(2, 1, 4, 3), **options)
        assert pictured(tmp_path / name)[:2] == ["........", "..##...."]

    @pytest.mark.parametrize(
        "grid",
        [
            Grid(40, 50, ROTATED, UTM33),
            Grid(40, 50, SOUTH_UP, UTM33),
            Grid(40, 50, SHEARED, UTM33),
            Grid(40, 50, SOUTH_UP),
            Grid(40, 50),
        ],
        ids=["rotated", "south-up", "sheared", "without CRS", "identity"],
    )
    def test_any_transform(self, path: Path, grid: Grid) -> None:
        corners = [(-3.1, 4), (30, -7.3), (47.3, 20), (25, 12.2), (20.1, 55), (11, 22.7)]
        outline = Polygon([grid.transform @ corner for corner in corners])
        area = AreaOfInterest.read(write(path, outline, crs=grid.crs), grid)
        expected = shapely.contains_xy(outline, *centers(grid))
        assert 0.2 < expected.mean() < 0.8
        np.testing.assert_array_equal(area.mask(grid.window), expected)
        window = Window(11, 17, 13, 19)
        np.testing.assert_array_equal(area.mask(window), expected[window.slices])

    def test_a_ring_that_is_not_closed_is_read_quietly(self, tmp_path: Path) -> None:
        degrees = Grid(2, 3, Affine(1, 0, 10, 0, -1, 50), "EPSG:4326")
        ring = [[10, 50], [12, 50], [12, 49], [10, 49]]
        path = tmp_path / "open.geojson"
        path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
        assert pictured(path, degrees) == ["##.", "..."]


class TestReprojection:
    def test_geojson_in_degrees_over_utm(self, tmp_path: Path) -> None:
        to_degrees = Transformer.from_crs(UTM33, "EPSG:4326", always_xy=True)
        ring = pixel_box(1.3, 0.7, 5.2, 3.9).exterior.coords
        corners = [to_degrees.transform(x, y) for x, y in ring]
        path = tmp_path / "area.geojson"
        path.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
        assert pictured(path) == ["........", *[".####..."] * 3, "........"]

    def test_a_placemark_of_google_earth(self, tmp_path: Path) -> None:
        outline = geopandas.GeoSeries([pixel_box(2, 1, 4, 3)], crs=UTM33).to_crs(4326)[0]
        path = write(tmp_path / "area.kml", outline, crs="EPSG:4326", driver="LIBKML")
        assert pictured(path)[:2] == ["........", "..##...."]

    def test_long_edges_follow_the_parallel(self, path: Path) -> None:
        """The chord between the ends of this edge runs 11 km off the parallel in UTM."""
        to_utm = Transformer.from_crs("EPSG:4326", UTM33, always_xy=True)
        x, y = to_utm.transform(16.255, 45)
        grid = Grid.north_up(60, 80, round(x) - 40, round(y) + 30, 1.0, UTM33)
        write(path, box(10, 40, 20, 45), crs="EPSG:4326")
        found = AreaOfInterest.read(path, grid).mask(grid.window)
        _, latitude = to_utm.transform(*centers(grid), direction="INVERSE")
        is_clear = np.abs(latitude - 45) > 0.1 / 111_000
        assert is_clear.mean() > 0.95
        np.testing.assert_array_equal(found[is_clear], (latitude < 45)[is_clear])
        assert 0.3 < found.mean() < 0.7

    def test_the_same_crs_in_other_words_changes_nothing(self, path: Path) -> None:
        wkt = CRS(UTM33).to_wkt()
        same = Grid(GRID.height, GRID.width, GRID.transform, wkt)
        write(path, pixel_box(2, 1, 4, 3))
        digests = {AreaOfInterest.read(path, grid).digest for grid in (GRID, same)}
        assert len(digests) == 1

    def test_a_local_crs_is_its_own(self, path: Path) -> None:
        local = 'ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],'
        local += 'LENGTHUNIT["metre",1]]'
        grid = Grid(GRID.height, GRID.width, GRID.transform, local)
        write(path, pixel_box(2, 1, 4, 3), crs=local)
        assert pictured(path, grid)[1] == "..##...."
        message = refusal(write(path, pixel_box(2, 1, 4, 3)), grid)
        assert "from EPSG:32633 to site" in message


class TestTouches:
    def test_what_lies_in_the_bend_of_the_area_is_skipped(self, path: Path) -> None:
        bend = pixel_box(0, 0, 8, 5).difference(pixel_box(2, 0, 8, 4))
        area = AreaOfInterest.read(write(path, bend), GRID)
        assert not area.touches(Window(0, 3, 3, 5))
        assert area.touches(Window(0, 1, 3, 5))
        assert area.touches(Window(0, 3, 5, 5))

    def test_a_neighbour_is_not_touched(self, path: Path) -> None:
        area = AreaOfInterest.read(write(path, pixel_box(2, 1, 4, 3)), GRID)
        assert area.touches(Window(1, 2, 1, 1))
        assert not area.touches(Window(0, 0, 5, 2))
        assert not area.touches(Window(0, 4, 5, 4))
        assert not area.touches(Window(3, 0, 2, 8))


CORNER = st.tuples(st.floats(-8, 40, width=32), st.floats(-8, 30, width=32))


@st.composite
def windows(draw: st.DrawFn, grid: Grid) -> Window:
    top, left = draw(st.integers(0, grid.height - 1)), draw(st.integers(0, grid.width - 1))
    height = draw(st.integers(1, grid.height - top))
    return Window(top, left, height, draw(st.integers(1, grid.width - left)))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("areas") / "area.fgb"


class TestProperties:
    @settings(max_examples=60, deadline=None)
    @given(
        rings=st.lists(st.lists(CORNER, min_size=3, max_size=9), min_size=1, max_size=3),
        chosen=st.lists(windows(Grid(23, 31)), min_size=1, max_size=6),
        transform=st.sampled_from([ROTATED, SOUTH_UP, GRID.transform]),
    )
    def test_windows_are_slices_of_the_whole(
        self,
        scratch: Path,
        rings: list[list[tuple[float, float]]],
        chosen: list[Window],
        transform: Affine,
    ) -> None:
        grid = Grid(23, 31, transform, UTM33)
        shapes = [Polygon(ring).buffer(0) for ring in rings]
        outlines = [affine_transform(s, transform.to_shapely()) for s in shapes if not s.is_empty]
        assume(outlines)
        points = shapely.points(*centers(grid))
        inside = np.any([shapely.contains(outline, points) for outline in outlines], axis=0)
        # A centre on an edge may fall on either side.
        clear = np.min([shapely.distance(o.boundary, points) for o in outlines], axis=0) > 1e-6
        assume((inside & clear).any())
        area = AreaOfInterest.read(write(scratch, *outlines), grid)
        whole = area.mask(grid.window)
        np.testing.assert_array_equal(whole[clear], inside[clear])
        for window in chosen:
            part, compared = area.mask(window), clear[window.slices]
            np.testing.assert_array_equal(part[compared], whole[window.slices][compared])
            assert area.touches(window) or not part.any()


class TestDigest:
    def test_it_is_that_of_the_outlines(self, tmp_path: Path) -> None:
        outlines = pixel_box(2, 1, 4, 3), pixel_box(5, 1, 6, 3)
        moved = shapely.transform(outlines[1], lambda corners: corners + 0.001)
        files = {
            "same.gpkg": outlines,
            "same.fgb": outlines,
            "parts.gpkg": (MultiPolygon(outlines),),
            "moved.gpkg": (outlines[0], moved),
            "fewer.gpkg": outlines[:1],
        }
        options = {"same.fgb": {"SPATIAL_INDEX": "NO"}}
        digests = [
            AreaOfInterest.read(
                write(tmp_path / name, *shapes, **options.get(name, {})), GRID
            ).digest
            for name, shapes in files.items()
        ]
        assert len(digests[0]) == 64 and set(digests[0]) <= set("0123456789abcdef")
        assert digests[0] == digests[1] == digests[2]
        assert len(set(digests)) == 3


class TestLayers:
    def test_the_only_layer_with_polygons_is_taken(self, path: Path) -> None:
        write(path, Point(LEFT, TOP), layer="samples")
        write(path, Point(LEFT, TOP), LineString([(0, 0), (1, 1)]), layer="notes")
        write(path, pixel_box(2, 1, 4, 3), layer="area")
        write(path, Polygon(), layer="nothing")
        pyogrio.raw.write(
            path, None, [np.array(["x"])], fields=["style"], layer="styles", append=True
        )
        assert len(pyogrio.list_layers(path)) == 5
        assert pictured(path)[1] == "..##...."

    def test_several_are_named(self, path: Path) -> None:
        write(path, pixel_box(2, 1, 4, 3), layer="fields")
        write(path, pixel_box(2, 1, 4, 3), layer="woods")
        write(path, Point(LEFT, TOP), layer="samples")
        message = refusal(path)
        assert "several layers with polygons: fields, woods." in message
        assert "Export" in message

    def test_features_without_a_geometry_are_reported(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(path, pixel_box(2, 1, 4, 3), None, None)
        with caplog.at_level(logging.WARNING):
            assert pictured(path)[1] == "..##...."
        (record,) = caplog.records
        assert f"{path} has 2 of 3 features without a usable geometry." in record.getMessage()


class TestRefusals:
    def test_a_missing_file(self, path: Path) -> None:
        assert refusal(path) == f"{path} does not exist."

    def test_a_folder(self, tmp_path: Path) -> None:
        write(tmp_path / "area.shp", pixel_box(2, 1, 4, 3))
        assert "is a folder" in refusal(tmp_path)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("area.gpkg", b""),
            ("area.geojson", b'{"type": "FeatureColl'),
            ("area.txt", b"two\nlines of text"),
            ("area.kml", b"<kml><unclosed></kml>"),
            ("area.shp", b"\x00\x00\x27\x0a"),
        ],
    )
    def test_no_vector_file(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        message = refusal(tmp_path / name)
        assert "cannot be read as a vector file: " in message
        assert "DRIVER" not in message

    def test_an_empty_geodatabase_folder(self, tmp_path: Path) -> None:
        (tmp_path / "area.gdb").mkdir()
        assert "cannot be read as a vector file" in refusal(tmp_path / "area.gdb")

    def test_a_truncated_geopackage(self, path: Path) -> None:
        content = write(path, pixel_box(2, 1, 4, 3)).read_bytes()
        path.write_bytes(content[: len(content) // 2])
        assert "cannot be read as a vector file" in refusal(path)

    @pytest.mark.parametrize(
        "shapes",
        [
            [],
            [None],
            [Polygon()],
            [Point(LEFT, TOP), LineString([(LEFT, TOP), (LEFT + 9, TOP - 9)])],
            [GeometryCollection([Point(LEFT, TOP)])],
        ],
        ids=["no feature", "no geometry", "empty polygon", "points and lines", "collection"],
    )
    def test_no_polygons(self, path: Path, shapes: list[shapely.Geometry | None]) -> None:
        assert "has no polygons" in refusal(write(path, *shapes))

    def test_a_table(self, tmp_path: Path) -> None:
        (tmp_path / "area.csv").write_text("a,b\n1,2\n")
        assert "has no polygons" in refusal(tmp_path / "area.csv")

    @pytest.mark.parametrize("number", ["NaN", "1e999", "-1.7e38"])
    def test_coordinates_that_are_not_finite(self, tmp_path: Path, number: str) -> None:
        path = tmp_path / "area.geojson"
        ring = f"[[0,0],[4,{number}],[4,4],[0,4],[0,0]]"
        path.write_text(f'{{"type": "Polygon", "coordinates": [{ring}]}}')
        assert "not finite" in refusal(path)

    @pytest.mark.parametrize("name", ["area.gpkg", "area.shp"])
    def test_a_file_without_a_crs(self, tmp_path: Path, name: str) -> None:
        path = write(tmp_path / name, pixel_box(2, 1, 4, 3), crs=None)
        message = refusal(path)
        assert "has no CRS" in message
        assert message.endswith(f"ogr2ogr -a_srs EPSG:32633 area.gpkg {path}")

    def test_a_scene_without_a_crs(self, tmp_path: Path) -> None:
        path = write(tmp_path / "area.geojson", box(1, 1, 3, 3), crs=None)
        message = refusal(path, Grid(5, 8))
        assert message.startswith(f"The scene has no CRS, so {path} (EPSG:4326)")
        assert "gdal_translate -a_srs" in message

    def test_metres_that_pass_for_degrees(self, tmp_path: Path) -> None:
        path = write(tmp_path / "area.geojson", pixel_box(2, 1, 4, 3), crs=None)
        message = refusal(path)
        assert f"{path} (EPSG:4326) reaches where EPSG:32633" in message

    @pytest.mark.parametrize("place", [pixel_box(9, 1, 12, 3), pixel_box(8, 0, 9, 5)])
    def test_an_area_beside_the_scene(self, path: Path, place: Polygon) -> None:
        message = refusal(write(path, place))
        assert "(EPSG:32633) does not overlap the scene (EPSG:32633)" in message

    def test_an_area_elsewhere_on_earth(self, path: Path) -> None:
        message = refusal(write(path, box(10, 40, 11, 41), crs="EPSG:4326"))
        assert "(EPSG:4326) does not overlap the scene (EPSG:32633)" in message
        assert "Check the CRS" in message

    def test_rows_of_a_plain_image_are_counted_down(self, path: Path) -> None:
        message = refusal(write(path, box(1, -3, 4, -1), crs=None), Grid(5, 8))
        assert "(no CRS) does not overlap the scene (no CRS)" in message
        assert "y the row, counted down" in message

    def test_a_polygon_without_an_area(self, path: Path) -> None:
        point = [(LEFT + 3, TOP - 3)] * 4
        write(path, Polygon(point), crs="EPSG:32634")
        assert "does not overlap" in refusal(path)
