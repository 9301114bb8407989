"""Figures by zone, worked out by hand."""

from __future__ import annotations

import logging
import math
import warnings

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Geod, Transformer

from glnet_geo import class_rows, measure_zones
from glnet_geo.errors import FeaturesError, GlnetGeoError, RasterError
from tests.rasters import UTM, write_tif

PLACE = UTM["transform"]  # pixels of 0.5 m, 0.25 m2
PIXEL_HA = 0.25e-4


def at(geometry, transform=PLACE):
    """A geometry in columns and rows, on the ground."""
    return shapely.transform(geometry, lambda xy: np.column_stack(transform @ (xy[:, 0], xy[:, 1])))


def write_zones(path, geometries, crs="EPSG:32633", transform=PLACE, **columns):
    placed = [None if one is None else at(one, transform) for one in geometries]
    geopandas.GeoDataFrame(columns, geometry=placed, crs=crs).to_file(path)
    return path


def write_placeless(path, geometry):
    """A file without a CRS."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        geopandas.GeoDataFrame(geometry=[geometry]).to_file(path)
    return path


def pixels(found, class_id, size=PIXEL_HA):
    """Pixels of a class by zone."""
    place = [one.id for one in found.classes].index(class_id)
    return np.round(found.areas[:, place] / size, 8).tolist()


@pytest.fixture
def quarters(tmp_path):
    """Classes 1 and 2 over 3 and 4, each in 4 x 4 pixels; no data in the last column."""
    labels = np.kron(np.array([[1, 2], [3, 4]], np.uint8), np.ones((4, 4), np.uint8))
    labels[:, 7] = 255
    return write_tif(tmp_path / "map.tif", labels, nodata=255, **UTM)


def test_whole_pixels_nested_and_overlapping(quarters, tmp_path):
    boxes = [shapely.box(0, 0, 8, 8), shapely.box(2, 2, 6, 6), shapely.box(3, 3, 7, 5)]
    found = measure_zones(quarters, write_zones(tmp_path / "z.gpkg", boxes))
    assert pixels(found, 1) == [16, 4, 1] and pixels(found, 2) == [12, 4, 3]
    assert pixels(found, 3) == [16, 4, 1] and pixels(found, 4) == [12, 4, 3]
    assert found.nodata / PIXEL_HA == pytest.approx([8, 0, 0]) and not found.outside.any()
    assert found.mapped_shares.tolist() == [56 / 64, 1, 1]
    assert found.shares[2].tolist() == pytest.approx([1 / 8, 3 / 8, 1 / 8, 3 / 8])
    assert found.zone_areas / PIXEL_HA == pytest.approx([64, 16, 8])
    assert found.unit == "ha" and found.area_rule == "planar in EPSG:32633"


def test_parts_of_pixels(quarters, tmp_path):
    quarter = shapely.box(3.5, 3.5, 4.5, 4.5)  # a quarter of four pixels
    triangle = shapely.Polygon([(0, 0), (2, 0), (0, 2)])  # one pixel and two halves
    speck = shapely.box(5.25, 1.5, 5.5, 1.75)
    found = measure_zones(quarters, write_zones(tmp_path / "z.gpkg", [quarter, triangle, speck]))
    assert pixels(found, 1) == pytest.approx([0.25, 2, 0])
    assert pixels(found, 2) == pytest.approx([0.25, 0, 1 / 16])
    assert pixels(found, 4) == pytest.approx([0.25, 0, 0])


def test_zones_that_leave_the_map(quarters, tmp_path, caplog):
    boxes = [
        shapely.box(-4, -4, 4, 4),
        shapely.box(100, 0, 110, 10),
        None,
        shapely.Point(1, 1),
        shapely.box(8, 0, 9, 8),  # shares a border with the map
    ]
    zones = write_zones(tmp_path / "z.gpkg", boxes, name=["half", "far", "none", "dot", "near"])
    with caplog.at_level(logging.WARNING):
        found = measure_zones(quarters, zones)
    assert pixels(found, 1)[:2] == [16, 0] and math.isnan(pixels(found, 1)[2])
    assert found.mapped_shares[:2].tolist() == pytest.approx([0.25, 0])
    assert found.outside[[0, 1, 4]] / PIXEL_HA == pytest.approx([48, 100, 8])
    assert found.is_outside.tolist() == [False, True, False, False, True]
    assert [record.message for record in caplog.records] == [
        f"{zones}: 2 of 5 zones have no polygon: their figures are empty (none, dot).",
        f"{zones}: 2 of 5 zones have no part on {quarters}: their figures are 0 (far, near).",
    ]
    rows = found.to_dict()["zones"]
    assert rows[1]["classes"][0] == {"id": 1, "class": "1", "area": 0.0, "share": None}
    assert rows[2]["area"] is None and rows[2]["classes"][0]["area"] is None


def test_broken_zones_are_mended(quarters, tmp_path):
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    twice = shapely.MultiPolygon([shapely.box(0, 0, 3, 1), shapely.box(1, 0, 4, 1)])
    apart = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(6, 6, 7, 7)])
    ring = shapely.Polygon(shapely.box(0, 0, 4, 4).exterior, [shapely.box(1, 1, 3, 3).exterior])
    found = measure_zones(quarters, write_zones(tmp_path / "z.gpkg", [bow, twice, apart, ring]))
    assert pixels(found, 1) == pytest.approx([2, 4, 1, 12])
    assert pixels(found, 4) == [0, 0, 1, 0]


def test_a_rotated_grid(tmp_path):
    turned = PLACE @ Affine.rotation(30) @ Affine.scale(1, 2)
    labels = np.arange(36, dtype=np.uint8).reshape(6, 6) % 2 + 1
    path = write_tif(tmp_path / "map.tif", labels, crs=UTM["crs"], transform=turned)
    zone = shapely.box(1, 1, 3.5, 5)
    found = measure_zones(path, write_zones(tmp_path / "z.gpkg", [zone], transform=turned))
    assert pixels(found, 1, 2 * PIXEL_HA) == pytest.approx([4])
    assert pixels(found, 2, 2 * PIXEL_HA) == pytest.approx([6])
    assert found.mapped.sum() == pytest.approx(10 * 2 * PIXEL_HA)


def test_degrees_against_geodesics(tmp_path):
    """Half a map, zones across its rows, and zones that leave it, on the ellipsoid."""
    place = Affine(0.01, 0, 10, 0, -0.01, 60)
    labels = np.repeat([1, 2], 100).astype(np.uint8)[:, None] * np.ones((1, 50), np.uint8)
    path = write_tif(tmp_path / "map.tif", labels, crs="EPSG:4326", transform=place)
    boxes = [(0, 0, 50, 200), (10, 50, 20.5, 150.25), (40, 150, 60, 260), (-30, -90, 0, 20)]
    zones = [shapely.box(*one) for one in boxes]
    found = measure_zones(
        path, write_zones(tmp_path / "z.gpkg", zones, "EPSG:4326", transform=place)
    )

    def hectares(left, top, right, bottom):
        # Sides along parallels are no geodesics: many short ones.
        dense = at(shapely.segmentize(shapely.box(left, top, right, bottom), 0.5), place)
        return abs(Geod(ellps="WGS84").geometry_area_perimeter(dense)[0]) / 1e4

    assert found.areas[0].tolist() == pytest.approx(
        [hectares(0, 0, 50, 100), hectares(0, 100, 50, 200)], rel=1e-7
    )
    assert found.areas[1].tolist() == pytest.approx(
        [hectares(10, 50, 20.5, 100), hectares(10, 100, 20.5, 150.25)], rel=1e-5
    )
    assert found.outside[:2].tolist() == [0, 0]
    assert found.zone_areas[2:] == pytest.approx([hectares(*one) for one in boxes[2:]], rel=1e-6)
    assert found.mapped[3] == 0 and found.area_rule.startswith("equal-area")


def test_web_mercator_has_areas_on_the_ellipsoid(tmp_path):
    side = 100.0
    place = Affine(side, 0, 1_000_000, 0, -side, 8_000_000)
    path = write_tif(
        tmp_path / "map.tif", np.ones((20, 20), np.uint8), crs="EPSG:3857", transform=place
    )
    zones = write_zones(
        tmp_path / "z.gpkg", [shapely.box(10, 0, 40, 20)], "EPSG:3857", transform=place
    )
    found = measure_zones(path, zones)
    true = geopandas.read_file(zones).to_crs("EPSG:6933").area[0] / 1e4
    assert found.zone_areas[0] == pytest.approx(true, rel=1e-6)
    assert found.mapped_shares[0] == pytest.approx(1 / 3, rel=1e-6)


def test_zones_in_another_crs(quarters, tmp_path):
    geographic = geopandas.GeoSeries([at(shapely.box(1, 1, 6, 6))], crs="EPSG:32633").to_crs(4326)
    geopandas.GeoDataFrame(geometry=geographic).to_file(tmp_path / "z.geojson")
    found = measure_zones(quarters, tmp_path / "z.geojson")
    assert pixels(found, 1) == pytest.approx([9], abs=1e-3)
    assert found.mapped.sum() == pytest.approx(25 * PIXEL_HA, rel=1e-4)


def test_a_file_that_spans_the_globe(tmp_path):
    """Along 49 degrees north a chord of 0.36 degrees strays by 20 m from the parallel."""
    x, y = Transformer.from_crs(4326, 32614, always_xy=True).transform(-99.1, 49)
    place = {"crs": "EPSG:32614", "transform": Affine(1, 0, x - 50, 0, -1, y + 50)}
    raster = write_tif(tmp_path / "map.tif", np.ones((100, 100), np.uint8), **place)
    zones = [shapely.box(-104, 46, -97, 49), shapely.box(-180, -60, -179, -59)]
    zones.append(shapely.box(179, 51, 180, 52))
    geopandas.GeoDataFrame(geometry=zones, crs=4326).to_file(tmp_path / "z.gpkg")
    dense = shapely.segmentize(zones[0], 1e-4)
    geopandas.GeoDataFrame(geometry=[dense], crs=4326).to_file(tmp_path / "dense.gpkg")
    found = measure_zones(raster, tmp_path / "z.gpkg").mapped
    true = measure_zones(raster, tmp_path / "dense.gpkg").mapped[0]
    # 2 cm along 100 m are 2e-4 ha.
    assert found == pytest.approx([true, 0, 0], abs=2e-4) and 0.4 < true < 0.6


def test_rings_that_rounding_made_points(quarters, tmp_path):
    dot = [[15, 45]] * 4
    there = geopandas.GeoSeries([at(shapely.box(1, 1, 6, 6))], crs="EPSG:32633").to_crs(4326)[0]
    inside = [list(there.representative_point().coords[0])] * 4
    shapes = [there, shapely.Polygon(there.exterior, [inside]), shapely.Polygon(dot)]
    geopandas.GeoDataFrame(geometry=shapes, crs=4326).to_file(tmp_path / "z.gpkg")
    found = measure_zones(quarters, tmp_path / "z.gpkg")
    assert pixels(found, 1)[:2] == pytest.approx([9, 9], abs=1e-3)


def test_strips_make_no_difference(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, (150, 90)).astype(np.int16) - 2
    path = write_tif(tmp_path / "map.tif", labels, nodata=1, **UTM)
    rings = generator.uniform((-10, -10), (100, 160), (12, 7, 2))
    zones = write_zones(tmp_path / "z.gpkg", [shapely.Polygon(ring) for ring in rings])
    whole = measure_zones(path, zones)
    monkeypatch.setattr(class_rows, "_STRIP", 700)
    seen = []
    parts = measure_zones(path, zones, report=lambda done, total: seen.append(done))
    assert len(seen) > 3 and seen[-1] == 150
    np.testing.assert_allclose(parts.areas, whole.areas, rtol=1e-6)
    np.testing.assert_allclose(parts.nodata, whole.nodata, rtol=1e-6)
    assert [one.id for one in whole.classes] == [-2, -1, 0]


def test_the_whole_map(quarters):
    found = measure_zones(quarters)
    assert pixels(found, 1) == [16] and pixels(found, 4) == [12]
    assert found.nodata / PIXEL_HA == pytest.approx([8]) and found.mapped_shares == 56 / 64
    assert found.names == ("map.tif",) and found.zone_file is None


def test_pixels_without_a_place(tmp_path):
    path = write_tif(tmp_path / "map.tif", np.array([[1, 1, 2]], np.uint8))
    zones = write_placeless(tmp_path / "z.gpkg", shapely.box(0.5, 0, 3, 1))
    found = measure_zones(path, zones)
    assert found.unit == "px" and found.areas.tolist() == [[1.5, 1]]
    names = [one.name for one in found.wide_table()]
    assert names[:5] == ["zone_px", "mapped_px", "nodata_px", "outside_px", "mapped_share"]


def test_large_and_negative_ids(tmp_path):
    labels = np.array([[-(2**40), 7], [2**40, 7]], np.int64)
    path = write_tif(tmp_path / "map.tif", labels, **UTM)
    zones = write_zones(tmp_path / "z.gpkg", [shapely.box(0, 0, 2, 2)])
    found = measure_zones(path, zones)
    assert [one.id for one in found.classes] == [-(2**40), 7, 2**40]
    assert found.areas[0].tolist() == [PIXEL_HA, 2 * PIXEL_HA, PIXEL_HA]
    heights = write_tif(tmp_path / "dem.tif", np.arange(1200, dtype=np.int16)[None], **UTM)
    for given in (zones, None):
        with pytest.raises(RasterError, match="more than 1,000 classes"):
            measure_zones(heights, given)


def test_chosen_classes(quarters, tmp_path):
    zones = write_zones(tmp_path / "z.gpkg", [shapely.box(0, 0, 7, 8)])
    found = measure_zones(quarters, zones, classes=["2,9"])
    assert [one.id for one in found.classes] == [2, 9]
    assert pixels(found, 2) == [12] and pixels(found, 9) == [0]
    assert found.shares[0, 0] == pytest.approx(12 / 56)
    assert [one.id for one in measure_zones(quarters, zones, exclude=["1"]).classes] == [2, 3, 4]
    with pytest.raises(RasterError, match="none of the chosen classes"):
        measure_zones(quarters, zones, classes=["1"], exclude=["1"])


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (shapely.box(1000, 0, 1010, 10), "does not overlap"),
        (shapely.Point(0, 0), "has no polygons"),
        (shapely.box(7, 0, 8, 8), "has nothing but nodata in"),
    ],
)
def test_zones_that_cannot_be_measured(quarters, tmp_path, geometry, message):
    with pytest.raises(GlnetGeoError, match=message) as caught:
        measure_zones(quarters, write_zones(tmp_path / "z.gpkg", [geometry]))
    assert "\n" not in str(caught.value)


def test_zones_without_crs(quarters, tmp_path):
    with pytest.raises(FeaturesError, match="has no CRS"):
        measure_zones(quarters, write_placeless(tmp_path / "z.gpkg", at(shapely.box(0, 0, 4, 4))))


def test_rasters_that_cannot_be_measured(quarters, tmp_path):
    zones = write_zones(tmp_path / "z.gpkg", [shapely.box(0, 0, 4, 4)])
    nowhere = write_tif(tmp_path / "nowhere.tif", np.ones((4, 4), np.uint8))
    with pytest.raises(FeaturesError, match="has no CRS"):
        measure_zones(nowhere, zones)
    empty = write_tif(tmp_path / "empty.tif", np.full((4, 4), 9, np.uint8), nodata=9, **UTM)
    for given in (zones, None):
        with pytest.raises(RasterError, match="nothing but nodata"):
            measure_zones(empty, given)
    flat = {**UTM, "transform": Affine(0, 0, 5, 0, 0, 5)}
    with pytest.raises(FeaturesError, match="no extent on the ground"):
        measure_zones(write_tif(tmp_path / "flat.tif", np.ones((4, 4), np.uint8), **flat), zones)
    photo = write_tif(tmp_path / "photo.tif", np.ones((4, 4), np.float32), **UTM)
    with pytest.raises(RasterError, match="not class ids"):
        measure_zones(photo, zones)
    with pytest.raises(FeaturesError, match=r"none\.gpkg does not exist"):
        measure_zones(quarters, tmp_path / "none.gpkg")


def test_layers(quarters, tmp_path):
    path = tmp_path / "z.gpkg"
    for layer, right in (("old", 2), ("new", 4)):
        frame = geopandas.GeoDataFrame(geometry=[at(shapely.box(0, 0, right, 1))], crs=UTM["crs"])
        frame.to_file(path, layer=layer)
    with pytest.raises(FeaturesError, match=r"several layers with polygons: .*--layer"):
        measure_zones(quarters, path)
    assert pixels(measure_zones(quarters, path, layer="new"), 1) == [4]
    with pytest.raises(FeaturesError, match="has no layer 'next'"):
        measure_zones(quarters, path, layer="next")
