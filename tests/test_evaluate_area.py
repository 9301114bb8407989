from __future__ import annotations

import json

import numpy as np
import pyogrio
import pytest

from glnet_geo.grid import Grid
from glnet_geo.legend import DUBAI
from glnet_geo.raster_output import class_map


@pytest.fixture
def labelled(cli, tmp_path):
    """A map, and a sample of it that agrees with it everywhere."""
    grid = Grid.north_up(200, 200, 330_000, 2_780_000, 1.0, "EPSG:32640")
    labels = np.full((200, 200), 2, np.uint8)
    labels[:50] = 5
    with class_map(tmp_path / "map.tif", grid, DUBAI, {}) as writer:
        writer.write(labels, grid.window)
    arguments = ("--size", "60", "--min-per-class", "20")
    result = cli("sample", tmp_path / "map.tif", "-o", tmp_path / "sample.gpkg", *arguments)
    assert result.code == 0, result.err
    points = pyogrio.read_dataframe(tmp_path / "sample.gpkg", layer="sample")
    points["reference"] = points["map_class"]
    points.to_file(tmp_path / "sample.gpkg", layer="sample")
    return tmp_path / "map.tif", tmp_path / "sample.gpkg"


def test_areas_of_a_labelled_sample(cli, labelled, tmp_path):
    result = cli("evaluate", *labelled, "--area", "-o", tmp_path / "areas.json")
    assert result.code == 0, result.err
    assert "adjusted" in result.out and "water" in result.out
    found = cli("evaluate", *labelled, "--area", "--json")
    assert json.loads(found.out) == json.loads((tmp_path / "areas.json").read_text())
    areas = {
        one["name"]: one["adjusted_area_m2"]["value"] for one in json.loads(found.out)["classes"]
    }
    assert areas["water"] == pytest.approx(50 * 200) and areas["land"] == pytest.approx(150 * 200)
    result = cli("evaluate", *labelled, "--area", "-o", tmp_path / "areas.json")
    assert result.code == 1 and "--overwrite" in result.error


def test_options_that_have_no_use_are_refused(cli, labelled):
    result = cli("evaluate", *labelled, "--area", "--boundary-tolerance", "2px")
    assert result.code == 2 and "--boundary-tolerance has no use" in result.err
    result = cli("evaluate", labelled[0], "--area")
    assert result.code == 2 and "labelled sample" in result.err
