"""From polygons that somebody drew to a map and its scores, with a crash on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import geopandas
import numpy as np
import pytest

from glnet_geo import vectorize
from glnet_geo.checkpoint import read_card
from glnet_geo.grid import Grid
from glnet_geo.legend import DUBAI
from glnet_geo.raster_output import class_map, write_scene
from glnet_geo.synthetic import make_scene
from tests.rasters import placed_tif

SIDE = 300
TOML = """
name = "made"
legend = "dubai"
{scenes}
[blocks]
size = "40m"
buffer = "5m"
val = 0.32
[model]
gsd = 1.0
frame = 128
patch_size = 64
global_size = 64
widths = [8, 4]
"""
SCENE = """
[[scenes]]
image = "{name}.tif"
labels = "{name}.gpkg"
split = "blocks"
"""


@pytest.fixture
def town(tmp_path):
    """Two scenes at 0.5 m in UTM, their labels as polygons in degrees."""
    for seed, name in enumerate(("east", "west")):
        made = make_scene(SIDE, SIDE, seed)
        grid = Grid.north_up(SIDE, SIDE, 330_000 + 200 * seed, 2_780_000, 0.5, "EPSG:32640")
        write_scene(tmp_path / f"{name}.tif", made.pixels, grid)
        with class_map(tmp_path / f"{name}_truth.tif", grid, DUBAI, {}) as writer:
            writer.write(made.labels, grid.window)
        vectorize(tmp_path / f"{name}_truth.tif", tmp_path / "utm.gpkg", overwrite=True)
        polygons = geopandas.read_file(tmp_path / "utm.gpkg", layer="landcover")
        polygons[["class", "geometry"]].to_crs("EPSG:4326").to_file(tmp_path / f"{name}.gpkg")
    path = tmp_path / "town.toml"
    scenes = "".join(SCENE.format(name=name) for name in ("east", "west"))
    path.write_text(TOML.format(scenes=scenes))
    return path


def test_polygons_become_a_scored_map_over_a_crash(cli, town, tmp_path):
    model = tmp_path / "town.safetensors"
    result = cli("train", town, "--check")
    assert result.code == 0, result.out
    assert (tmp_path / "town.check.png").exists()

    arguments = ("train", town, "-o", model, "--iterations", "3,3,2", "--device", "cpu")
    command = [sys.executable, "-m", "glnet_geo", *map(str, arguments)]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    state = tmp_path / ".town.safetensors.part" / "state"
    while run.poll() is None and not state.exists():
        time.sleep(0.01)
    run.kill()
    assert run.wait() != 0 and not model.exists()
    result = cli(*arguments, "--resume")
    assert result.code == 0, result.err
    card = read_card(model)
    assert card.gsd == 1.0 and 0 < card.scores["pixels"] < SIDE * SIDE
    names = {path.name for path in (tmp_path / "town.train").iterdir()}
    assert {"metrics.csv", "curves.png"} <= names
    assert {
        f"validation-{stage}.png" for stage in ("global", "global-to-local", "both-ways")
    } <= names

    result = cli("predict", tmp_path / "west.tif", "-o", tmp_path / "map.tif", "--model", model)
    assert result.code == 0, result.err
    result = cli("evaluate", tmp_path / "map.tif", tmp_path / "west.gpkg", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    # Borders that are bent by reprojection lose some pixels' centres.
    assert found["pixels"] == pytest.approx(SIDE * SIDE, rel=0.01)
    assert {one["name"] for one in found["classes"]} <= {one.name for one in DUBAI.classes}


def test_what_is_wrong_is_one_line_and_nothing_is_left(cli, town, tmp_path):
    original = town.read_text()
    placed_tif(tmp_path / "far.tif", np.ones((1, 50, 50), np.uint8))  # in another UTM zone
    placed_tif(tmp_path / "none.tif", np.zeros((1, SIDE, SIDE), np.uint8), crs="EPSG:32640")
    before = set(os.listdir(tmp_path))
    for old, new, message in (
        ("east.tif", "nowhere.tif", "does not exist"),
        ("east.gpkg", "far.tif", "does not overlap"),
        ('legend = "dubai"', 'legend = "inria"', "column"),
        ("val = 0.32", "val = 0", "both 0"),
        ("gsd = 1.0", "gsd = 0", "gsd"),
    ):
        town.write_text(original.replace(old, new))
        result = cli("train", town, "-o", tmp_path / "m.safetensors")
        assert result.code == 1 and message in result.error, result.err
        assert set(os.listdir(tmp_path)) == before
    town.write_text(original)
    result = cli("train", town, "-o", tmp_path / "m.safetensors", "--batch-size", "1,1")
    assert result.code == 2
    result = cli("train", town)
    assert result.code == 2 and "--output" in result.err
