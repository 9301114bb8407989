"""The toolbox runs `glnet-geo` from the Processing framework of a real QGIS."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from glnet_geo.legend import DUBAI, NODATA
from tests.class_maps import named_map, patches, read_polygons
from tests.in_qgis import ask_qgis, needs_qgis
from tests.models import small_model
from tests.rasters import UTM, noise, placed_tif

pytestmark = needs_qgis

ROOT = Path(__file__).parents[1]
TOOLBOX = ROOT / "docs" / "qgis"
# The square in the middle of the scene of 80 x 80 pixels of 0.5 m, in longitude and latitude.
_CORNERS = ((10, 10), (30, 10), (30, 30), (10, 30), (10, 10))


def write_script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toolbox")
    placed_tif(folder / "scene.tif", noise(80, 80))
    placed_tif(folder / "grey.tif", noise(80, 80, bands=1))
    named_map(folder / "town.tif", patches(40, 40, classes=2))
    small_model(folder / "small.safetensors")
    write_script(
        folder / "glnet-geo", f"cd '{ROOT}'", f"exec '{sys.executable}' -m glnet_geo \"$@\""
    )
    (folder / "a place").mkdir()
    placed_tif(folder / "a place" / "my scene.tif", noise(8, 8))
    write_script(folder / "a place" / "echo", 'for one; do echo "<$one>"; done', "exit 3")
    slow = "echo 'Predicting: 1 of 4 frames' >&2"
    write_script(folder / "slow", f"echo $$ > '{folder}/pid'", slow, "exec sleep 60")
    to_degrees = Transformer.from_crs(UTM["crs"], "EPSG:4326", always_xy=True)
    ring = [to_degrees.transform(500_000 + x, 5_000_000 - y) for x, y in _CORNERS]
    square = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {}, "geometry": square}
    (folder / "aoi.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": [feature]})
    )
    return folder


@pytest.fixture(scope="module")
def answers(folder, tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What comes of all runs, in one start of QGIS."""
    program = {"PROGRAM": str(folder / "glnet-geo")}
    model = {"MODEL": str(folder / "small.safetensors"), **program}

    def predict(output: str, scene: str = "scene.tif", **more: Any) -> dict[str, Any]:
        places = {"INPUT": str(folder / scene), "OUTPUT": str(folder / output)}
        return {"algorithm": "glnetgeo:predict", "parameters": {**places, **more}}

    def vectorize(output: str, **more: Any) -> dict[str, Any]:
        places = {"INPUT": str(folder / "town.tif"), "OUTPUT": str(folder / output)}
        parameters = {**places, **program, **more}
        return {"algorithm": "glnetgeo:vectorize", "parameters": parameters}

    aoi = {"AOI": str(folder / "aoi.geojson"), "CONFIDENCE": str(folder / "sure.tif")}
    files = {"INPUT": "town.tif", "SCENE": "scene.tif", "POLYGONS": "town.gpkg"}
    page = {key: str(folder / name) for key, name in {**files, "OUTPUT": "town.html"}.items()}
    runs = {
        "predict": predict("map.tif", **model, **aoi),
        "no program": predict("none.tif", PROGRAM="glnet-geo-nowhere"),
        "one band": predict("none.tif", "grey.tif", **model),
        "bad extra": predict("none.tif", **model, EXTRA="--nonsense 'a b'"),
        "open quote": predict("none.tif", **model, EXTRA="--bands '1,2"),
        "words": predict(
            "a place/none 1.tif",
            "a place/my scene.tif",
            PROGRAM=f'"{folder}/a place/echo"',
            MODEL="  my model.safetensors ",
            BANDS="-x; $HOME \xe4 100% 'b\"",
            EXTRA="--gsd '0.3 m' --nodata=-1 \"it's\"",
        ),
        "cancelled": {**predict("none.tif", PROGRAM=str(folder / "slow")), "cancel_after": 0.5},
        "vectorize": vectorize("town.gpkg", CLASSES="Wald & Wiese, building", MIN_AREA="2px"),
        "report": {"algorithm": "glnetgeo:report", "parameters": {**page, **program}},
        "bad area": vectorize("none.gpkg", MIN_AREA="12 parsecs"),
    }
    request = {"folder": str(TOOLBOX), "runs": [*runs.values()]}
    script = Path(__file__).with_name("qgis_processing_session.py")
    # Such as a QGIS on Windows has for its own Python: no other one starts with them.
    variables = {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"}
    told = ask_qgis(script, request, tmp_path_factory.mktemp("profile"), **variables)
    return dict(zip(runs, told["answers"], strict=True))


def map_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_a_scene_is_mapped_in_an_area_and_its_map_opens_styled(answers, folder):
    found = answers["predict"]
    assert found["error"] is None
    inside = np.zeros((80, 80), bool)
    inside[20:60, 20:60] = True
    np.testing.assert_array_equal(map_of(folder / "map.tif") != NODATA, inside)
    np.testing.assert_array_equal(map_of(folder / "sure.tif") != NODATA, inside)
    names = [one.name for one in DUBAI.classes]
    assert found["layers"] == [{"Land cover": names}, {"How sure it is": ["singlebandgray"]}]
    command, said, *_ = found["lines"]
    assert command.startswith("command ") and " predict " in command
    assert said.startswith(f"{folder / 'map.tif'}   80 x 80 px, 0.5 m, EPSG:32633, model small")


def test_polygons_of_a_map_open_styled(answers, folder):
    found = answers["vectorize"]
    assert found["error"] is None
    polygons = read_polygons(folder / "town.gpkg")
    assert {"building", "bare land"} >= set(polygons["class"]) and polygons.area_m2.min() > 0.25
    assert found["layers"] == [{"Polygons": ["building"]}]


def test_a_page_of_a_map(answers, folder):
    found = answers["report"]
    assert found["error"] is None and found["layers"] == []
    assert found["results"]["OUTPUT"] == str(folder / "town.html")
    text = (folder / "town.html").read_text("utf-8")
    assert "bare land" in text and 'id="pane-scene"' in text and 'id="pane-outlines"' in text
    assert "pane-confidence" not in text


@pytest.mark.parametrize(
    ("run", "error"),
    [
        ("one band", "Error: .*grey.tif has 1 band; 3 are needed.*"),
        ("bad extra", "Error: No such option '--nonsense'.*"),
        ("bad area", "Error: .*'12 parsecs' is not an area such as .*"),
        ("open quote", "More options cannot be read: No closing quotation."),
        ("no program", "There is no program 'glnet-geo-nowhere'. Install glnet-geo, .*"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(answers, folder, run, error):
    found = answers[run]
    assert re.fullmatch(error, found["error"])
    assert found["layers"] == []
    assert not [*folder.glob("none*")]


def test_words_arrive_as_they_are(answers, folder):
    found = answers["words"]
    place = folder / "a place"
    assert found["lines"][1:] == [
        f"<{word}>"
        for word in (
            *("predict", f"{place}/my scene.tif", "-o", f"{place}/none 1.tif"),
            *("--model", "my model.safetensors", "--bands", "-x; $HOME \xe4 100% 'b\""),
            *("--overwrite", "--gsd", "0.3 m", "--nodata=-1", "it's"),
        )
    ]
    assert found["error"] == "glnet-geo ended with code 3."
    typed = found["lines"][0].removeprefix("command ")
    assert shlex.split(typed)[1:5] == [
        "predict",
        f"{place}/my scene.tif",
        "-o",
        f"{place}/none 1.tif",
    ]


def test_a_run_that_is_cancelled_ends_the_program(answers, folder):
    found = answers["cancelled"]
    assert found["seconds"] < 30
    assert found["progress"] == 25 and "Predicting: 1 of 4 frames" in found["lines"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)
