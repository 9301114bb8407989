"""Outlines of polygons as SVG paths."""

from __future__ import annotations

import re
from pathlib import Path

import geopandas
import pytest
import shapely

from glnet_geo.class_raster import ClassRaster
from glnet_geo.errors import FeaturesError
from glnet_geo.grid import Grid
from glnet_geo.outline_drawing import draw_outlines
from glnet_geo.vectorizing import vectorize
from tests.class_maps import named_map, patches, town
from tests.rasters import UTM

GRID = Grid(40, 60, UTM["transform"], UTM["crs"])


def written(path: Path, *polygons: shapely.Geometry, crs: str | None = UTM["crs"]) -> Path:
    """A layer of polygons that are given in pixels of the grid."""

    def moved(places):
        return [GRID.transform @ tuple(one) for one in places]

    placed = [shapely.transform(one, moved) for one in polygons]
    geopandas.GeoDataFrame({"a": [1] * len(placed)}, geometry=placed, crs=crs).to_file(path)
    return path


def rings(path: str) -> list[list[tuple[int, int]]]:
    """Vertices of the subpaths of an SVG path."""
    found = []
    for subpath in re.findall(r"M([^Mz]*)z", path):
        start, _, moves = subpath.partition("l")
        x, y = map(int, start.split())
        vertices = [(x, y)]
        numbers = [int(one) for one in moves.split()]
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            x, y = x + dx, y + dy
            vertices.append((x, y))
        found.append(vertices)
    return found


def test_polygons_are_drawn_in_pixels_of_the_map(tmp_path):
    hole = [(12, 12), (12, 14), (15, 14)]
    path = written(
        tmp_path / "a.gpkg", shapely.Polygon([(10, 10), (20, 10), (20, 30), (10, 30)], [hole])
    )
    drawing = draw_outlines(path, None, GRID, 1000)
    outer, inner = rings(drawing.path)
    assert set(outer) == {(10, 10), (20, 10), (20, 30), (10, 30)} and len(outer) == 4
    assert set(inner) == set(hole)
    assert (drawing.features, drawing.area, drawing.unit_px) == (1, None, 1)
    assert drawing.label == "a.gpkg"


def test_what_vectorize_wrote_is_counted_and_measured(tmp_path):
    raster = town(tmp_path / "map.tif")
    vectors = tmp_path / "map.gpkg"
    summary = vectorize(raster, vectors)
    with ClassRaster(raster) as reader:
        drawing = draw_outlines(vectors, None, reader.grid, 10_000)
    assert drawing.features == summary.polygons
    assert drawing.area == pytest.approx(18 * 0.25)
    assert drawing.unit == "m"


def test_drawing_becomes_simpler_until_it_fits(tmp_path):
    raster = named_map(tmp_path / "map.tif", patches(300, 300, classes=3))
    vectors = tmp_path / "map.gpkg"
    vectorize(raster, vectors)
    with ClassRaster(raster) as reader:
        exact, simple, nothing = (
            draw_outlines(vectors, None, reader.grid, budget) for budget in (10**7, 5000, 1)
        )
    assert exact.unit_px == 1
    assert simple.unit_px > 1 and 0 < len(simple.path) <= 5000 < len(exact.path)
    assert nothing.path == ""
    limit = 300 / simple.unit_px + 1
    assert all(0 <= value <= limit for one in rings(simple.path) for at in one for value in at)


def test_other_crs_is_brought_onto_the_map(tmp_path):
    path = written(tmp_path / "a.gpkg", shapely.box(10, 10, 30, 20))
    elsewhere = tmp_path / "b.gpkg"
    geopandas.read_file(path).to_crs("EPSG:4326").to_file(elsewhere)
    (ring,) = rings(draw_outlines(elsewhere, None, GRID, 100_000).path)
    columns, rows = zip(*ring, strict=True)
    assert (min(columns), max(columns), min(rows), max(rows)) == (10, 30, 10, 20)


@pytest.mark.parametrize("left", [60, 1000])
def test_no_overlap_is_said(tmp_path, left):
    path = written(tmp_path / "a.gpkg", shapely.box(left, 10, left + 20, 20))
    with pytest.raises(FeaturesError, match="does not overlap the map"):
        draw_outlines(path, None, GRID, 1000)


def test_several_layers_need_a_choice(tmp_path):
    path = tmp_path / "map.gpkg"
    raster = town(tmp_path / "map.tif")
    vectorize(raster, path, layer_per_class=True)
    with pytest.raises(FeaturesError, match="Choose one with --layer"):
        draw_outlines(path, None, GRID, 1000)
    assert draw_outlines(path, "building", GRID, 1000).features == 2
