"""Outlines of grids on the globe, against Shapely and pyproj."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS, Transformer
from shapely.geometry import shape

from glnet_geo.footprint import Footprint, crs_names, footprint_of
from glnet_geo.grid import Grid


def place(crs: str, transform: Affine, height: int = 1000, width: int = 2000) -> Footprint:
    found = footprint_of(Grid(height, width, transform, CRS(crs).to_wkt()))
    assert found is not None
    polygon = shape(found.geometry)
    assert polygon.is_valid and polygon.area > 0
    for part in getattr(polygon, "geoms", [polygon]):
        assert part.exterior.is_ccw
    assert polygon.bounds[0] >= -180 and polygon.bounds[2] <= 180
    return found


UTM_GRID = Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)


def test_a_small_tile_has_its_four_corners() -> None:
    found = place("EPSG:32633", UTM_GRID, 200, 200)
    ring = np.array(found.geometry["coordinates"][0])
    assert ring.shape == (5, 2) and (ring[0] == ring[-1]).all()
    to_wgs84 = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    corners = {to_wgs84.transform(5e5 + x, 5e6 - y) for x in (0, 100) for y in (0, 100)}
    assert {tuple(c) for c in ring.tolist()} == {tuple(np.round(c, 7).tolist()) for c in corners}
    assert found.bbox == [*ring.min(0).tolist(), *ring.max(0).tolist()]


@pytest.mark.parametrize(
    "transform",
    [
        Affine(50, 0, 400_000, 0, -50, 7_000_000),
        Affine(50, 0, 400_000, 0, 50, 6_900_000),
        Affine.translation(400_000, 7_000_000) @ Affine.rotation(30) @ Affine.scale(50, -50),
    ],
    ids=["north up", "south up", "rotated"],
)
def test_edges_follow_the_grid_to_a_tenth_of_a_metre(transform: Affine) -> None:
    grid = Grid(1000, 2000, transform, "EPSG:32633")
    found = shape(place("EPSG:32633", transform).geometry)
    to_wgs84 = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    t = np.linspace(0, 1, 999)
    for columns, rows in ((t, 0 * t), (t, 0 * t + 1), (0 * t, t), (0 * t + 1, t)):
        x, y = columns * grid.width, rows * grid.height
        ground = transform.a * x + transform.b * y + transform.c
        edge = to_wgs84.transform(ground, transform.d * x + transform.e * y + transform.f)
        assert shapely.distance(found.exterior, shapely.points(*edge)).max() < 2e-6


def test_what_crosses_the_antimeridian_is_cut() -> None:
    found = place("EPSG:32601", Affine(10, 0, 150_000, 0, -10, 500_000), 5000, 5000)
    assert found.geometry["type"] == "MultiPolygon"
    (a, b) = (shape({"type": "Polygon", "coordinates": c}) for c in found.geometry["coordinates"])
    west, east = sorted((a, b), key=lambda one: -one.bounds[0])
    assert west.bounds[2] == 180 and east.bounds[0] == -180
    assert found.west == pytest.approx(west.bounds[0]) and found.east == east.bounds[2]
    assert found.west > found.east
    whole = shape(place("EPSG:32602", Affine(10, 0, 150_000, 0, -10, 500_000), 5000, 5000).geometry)
    assert a.area + b.area == pytest.approx(whole.area, rel=1e-6)


@pytest.mark.parametrize(
    ("left", "west", "east"), [(179, 179, 180), (-180, -180, -179), (190, -170, -169)]
)
def test_what_only_touches_it_is_not(left: float, west: float, east: float) -> None:
    found = place("EPSG:4326", Affine(0.001, 0, left, 0, -0.001, 10), 1000, 1000)
    assert found.geometry["type"] == "Polygon"
    assert found.bbox == [west, 9, east, 10]


def test_the_whole_globe() -> None:
    found = place("EPSG:4326", Affine(0.1, 0, -180, 0, -0.1, 90), 1800, 3600)
    assert found.bbox == [-180, -90, 180, 90]
    assert shape(found.geometry).area == pytest.approx(360 * 180)


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90), ("EPSG:3031", -90)])
def test_a_pole_lies_inside(crs: str, pole: float) -> None:
    found = place(crs, Affine(1000, 0, -1e6, 0, -1000, 5e5))
    assert found.west == -180 and found.east == 180
    assert pole in (found.north, found.south)
    polygon = shape(found.geometry)
    for longitude in (-179, -90, 1, 45, 179):
        assert polygon.contains(shapely.Point(longitude, pole * 0.995))
        assert not polygon.contains(shapely.Point(longitude, pole * 0.8))


@pytest.mark.parametrize(
    "grid",
    [
        Grid(10, 10),
        Grid(10, 10, UTM_GRID),
        Grid(10, 10, crs="EPSG:32633"),
        Grid(10, 10, UTM_GRID, 'ENGCRS["site",EDATUM["x"],CS[Cartesian,2],AXIS["x",east],'
             'AXIS["y",north],LENGTHUNIT["metre",1]]'),
        Grid(10, 10, UTM_GRID, "nonsense"),
        Grid(10, 10, Affine(1e6, 0, 1e9, 0, -1e6, 1e9), "EPSG:3031"),
        Grid(10, 10, Affine(0, 0, 5e5, 0, 0, 5e6), "EPSG:32633"),
    ],
    ids=["nowhere", "no CRS", "no transform", "local", "nonsense", "beyond", "no size"],
)  # fmt: skip
def test_some_grids_have_no_place(grid: Grid) -> None:
    found = footprint_of(grid)
    if grid.crs == "EPSG:3031":  # PROJ may well tell something; never what is no geometry
        assert found is None or shape(found.geometry).is_valid
    else:
        assert found is None


def test_a_crs_has_a_code_or_wkt() -> None:
    assert crs_names(CRS("EPSG:32640").to_wkt()) == ("EPSG:32640", None)
    custom = "+proj=laea +lat_0=12.3 +lon_0=4.5 +ellps=GRS80"
    code, wkt = crs_names(custom)
    assert code is None and wkt is not None and wkt.startswith("PROJCRS[")
    assert crs_names("nonsense") == (None, "nonsense")
