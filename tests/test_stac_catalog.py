"""The STAC collection of a batch: valid, relocatable, and written only where it changes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from shapely.geometry import shape

from glnet_geo.batch_record import SceneFacts, SceneRecord, State
from glnet_geo.errors import OutputError
from glnet_geo.grid import Grid
from glnet_geo.legend import NODATA, LandCover, Legend
from glnet_geo.raster_output import class_map
from glnet_geo.stac_catalog import write_catalog
from glnet_geo.stac_fields import ModelFacts, extent_of, pixel_fields
from tests.class_maps import NAMED
from tests.rasters import UTM
from tests.stac_rules import check_valid

MODEL = ModelFacts("dubai-urban", "1.0", "CC-BY-4.0", "ab" * 32)
WKT = rasterio.crs.CRS.from_epsg(32633).to_wkt(version="WKT2_2019")
GRID = Grid(20, 30, UTM["transform"], WKT, 0.25)


def scene(folder: Path, name: str, grid: Grid = GRID, **values: Any) -> SceneRecord:
    """A scene that is done, with its files."""
    output, source = folder / "out" / f"{name}.tif", folder / "tiles" / f"{name}.tif"
    for path in (output, source):
        path.parent.mkdir(parents=True, exist_ok=True)
    with class_map(output, grid, NAMED, {}) as writer:
        writer.write(np.ones((grid.height, grid.width), np.uint8), grid.window)
    source.touch()
    os.utime(source, (1_500_000_000.5, 1_500_000_000.5))
    outputs: tuple[str, ...] = (f"{name}.tif",)
    if values.pop("polygons", None):
        outputs += (f"{name}.gpkg",)
        (folder / "out" / outputs[1]).touch()
    record = SceneRecord(
        name,
        str(source),
        "1 2",
        State.DONE,
        facts=SceneFacts(grid, 3, "uint8"),
        outputs=outputs,
        pixels={1: 600, NODATA: 0},
    )
    return replace(record, **values)


def write(folder: Path, *records: SceneRecord, model: ModelFacts = MODEL) -> pystac.Collection:
    write_catalog(folder / "out", records, NAMED, model, "Wald in Dubai & Oman")
    return pystac.Collection.from_file(str(folder / "out" / "stac" / "collection.json"))


def item_of(folder: Path, record: SceneRecord) -> dict[str, Any]:
    """The item of the only scene, as it is in the file."""
    write(folder, record)
    (path,) = (folder / "out" / "stac" / "items").rglob("*.json")
    item: dict[str, Any] = json.loads(path.read_bytes())
    return item


@pytest.fixture
def two(tmp_path: Path) -> list[SceneRecord]:
    east = replace(GRID, transform=Affine(0.5, 0, 500_015, 0, -0.5, 5_000_000))
    return [
        scene(tmp_path, "a", acquired="2020-05-06T07:08:09+02:00", polygons=True),
        scene(tmp_path, "sub/ü b", east),
    ]


def files_of(folder: Path) -> Iterator[Path]:
    return (folder / "out" / "stac").rglob("*.json")


def test_collection_and_items_are_valid(
    tmp_path: Path, two: list[SceneRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, *two)
    paths = list(files_of(tmp_path))
    assert len(paths) == 3
    for path in paths:
        check_valid(json.loads(path.read_bytes()), monkeypatch)


def test_an_item_tells_grid_time_and_model(tmp_path: Path, two: list[SceneRecord]) -> None:
    item = item_of(tmp_path, two[0])
    properties = item["properties"]
    assert item["id"] == properties["title"] == "a"
    assert properties["datetime"] == "2020-05-06T05:08:09Z"
    assert properties["glnet_geo:datetime_source"] == "item"
    assert properties["gsd"] == 0.5 and properties["proj:code"] == "EPSG:32633"
    assert properties["processing:software"] == {"dubai-urban": "1.0"}
    assert properties["glnet_geo:model_sha256"] == MODEL.sha256
    assert shape(item["geometry"]).bounds == pytest.approx(item["bbox"])
    assert item["bbox"] == pytest.approx([15, 45.15339, 15.00019, 45.15348], abs=1e-5)
    asset = item["assets"]["map"]
    assert asset["proj:shape"] == [20, 30]
    assert Affine(*asset["proj:transform"]) == GRID.transform
    assert asset["type"] == pystac.MediaType.COG and asset["roles"] == ["data"]
    assert item["assets"]["polygons"]["type"] == pystac.MediaType.GEOPACKAGE
    assert item["assets"]["source"]["roles"] == ["source"]


def test_pystac_reads_grid_and_classes(tmp_path: Path, two: list[SceneRecord]) -> None:
    item = next(iter(write(tmp_path, *two).get_items()))
    grid = ProjectionExtension.ext(item.assets["map"])
    assert grid.shape == [20, 30] and grid.code == "EPSG:32633"
    classes = ClassificationExtension.ext(item.assets["map"]).classes
    assert classes is not None
    found = [(one.value, one.name, one.title, one.color_hint, one.nodata) for one in classes]
    assert found == [
        (0, "building", "building", "3C1098", None),
        (1, "bare_land", "bare land", "8429F6", None),
        (4, "Wald_Wiese", "Wald & Wiese", "008000", None),
        (NODATA, "nodata", "No data", None, True),
    ]
    assert [one.count for one in classes] == [0, 600, 0, 0]


def test_the_collection_sums_up(tmp_path: Path, two: list[SceneRecord]) -> None:
    collection = write(tmp_path, *two)
    assert collection.id == "Wald_in_Dubai_Oman" and collection.license == "CC-BY-4.0"
    assert collection.title == "Wald in Dubai & Oman"
    (bbox,) = collection.extent.spatial.bboxes
    assert bbox == [
        min(item.bbox[0] for item in collection.get_items() if item.bbox),
        min(item.bbox[1] for item in collection.get_items() if item.bbox),
        max(item.bbox[2] for item in collection.get_items() if item.bbox),
        max(item.bbox[3] for item in collection.get_items() if item.bbox),
    ]
    (interval,) = collection.extent.temporal.intervals
    assert [moment and moment.year for moment in interval] == [2017, 2020]
    assert collection.summaries.get_list("proj:code") == ["EPSG:32633"]
    assert collection.item_assets["map"].media_type == pystac.MediaType.COG
    assert set(collection.item_assets) == {"map", "polygons", "source"}


@pytest.mark.parametrize("licence", ["none", "proprietary data", "CC BY 4.0", ""])
def test_a_licence_that_is_no_spdx_id_is_another_one(tmp_path: Path, licence: str) -> None:
    collection = write(tmp_path, scene(tmp_path, "a"), model=replace(MODEL, licence=licence))
    assert collection.license == "other" and licence in collection.description


def test_the_folder_may_move(
    tmp_path: Path, two: list[SceneRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, *two)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").rename(tmp_path / "elsewhere" / "maps")
    monkeypatch.chdir(tmp_path / "elsewhere")
    collection = pystac.Collection.from_file("maps/stac/collection.json")
    items = list(collection.get_items())
    assert [item.id for item in items] == ["a", "sub~2fü b"]
    for item in items:
        assert item.get_collection() is not None
        for asset in item.assets.values():
            href = asset.get_absolute_href()
            assert href is not None and Path(href).is_file()
    with rasterio.open(items[1].assets["map"].get_absolute_href()) as dataset:
        assert dataset.shape == (20, 30)


@pytest.mark.parametrize(
    "name", ["a b#1", "50%20", "what?", "a~b", "水/ü#/x", "it's & <x>", "a.b.c"]
)
def test_scenes_may_have_any_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = write(tmp_path, scene(tmp_path, name), scene(tmp_path, "other"))
    item = next(iter(collection.get_items()))
    assert item.properties["title"] == name and not re.search("[/#?%]", item.id)
    # What would end a URL's path is written as in URLs.
    href = re.sub("%(23|3f)", lambda found: chr(int(found[1], 16)), item.assets["map"].href)
    assert (tmp_path / "out" / "stac" / "items" / Path(item.self_href).parent / href).is_file()
    check_valid(item.to_dict(), monkeypatch)


def test_names_that_look_alike_stay_apart(tmp_path: Path) -> None:
    names = ["a/b", "a~2fb", "a#b", "a~23b"]
    collection = write(tmp_path, *(scene(tmp_path, name) for name in names))
    items = list(collection.get_items())
    assert [item.properties["title"] for item in items] == names
    assert len({item.id for item in items}) == len(list(files_of(tmp_path))) - 1 == 4


def test_only_finished_scenes_are_in_it(tmp_path: Path) -> None:
    records = [scene(tmp_path, name) for name in "abcd"]
    records[1] = replace(records[1], state=State.FAILED)
    records[2] = replace(records[2], state=State.PENDING, facts=None, outputs=())
    (tmp_path / "out" / "d.tif").unlink()
    assert [item.id for item in write(tmp_path, *records).get_items()] == ["a"]


def test_no_scene_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    collection = write(tmp_path)
    assert collection.extent.spatial.bboxes == [[-180, -90, 180, 90]]
    check_valid(json.loads(next(files_of(tmp_path)).read_bytes()), monkeypatch)


def test_items_of_scenes_that_are_no_longer_done_go(tmp_path: Path, two: list[SceneRecord]) -> None:
    write(tmp_path, *two)
    items = tmp_path / "out" / "stac" / "items"
    (items / "sub" / "mine.json").write_text('{"type": "Feature", "properties": {}}')
    (items / "notes.json").write_text("not even JSON")
    write(tmp_path, two[0])
    assert {path.name for path in files_of(tmp_path)} == {
        "collection.json",
        "a.json",
        "mine.json",
        "notes.json",
    }
    (items / "sub" / "mine.json").unlink()
    write(tmp_path, two[0])
    assert not (items / "sub").exists()


def test_what_stays_is_not_written(tmp_path: Path, two: list[SceneRecord]) -> None:
    write(tmp_path, *two)
    for path in files_of(tmp_path):
        os.utime(path, (1, 1))
    write(tmp_path, *two)
    assert {path.stat().st_mtime for path in files_of(tmp_path)} == {1}
    write(tmp_path, two[0], replace(two[1], pixels={1: 1}))
    assert {path.name for path in files_of(tmp_path) if path.stat().st_mtime > 1} == {"ü b.json"}
    assert {
        path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")
    } == set()


def test_time_comes_from_the_scenes_file_or_the_run(tmp_path: Path) -> None:
    record = scene(tmp_path, "a")
    properties = item_of(tmp_path, record)["properties"]
    assert properties["datetime"] == "2017-07-14T02:40:00Z"
    assert properties["glnet_geo:datetime_source"] == "file time"
    os.utime(tmp_path / "out" / "a.tif", (1_600_000_000, 1_600_000_000))
    for remote in ("https://example.org/a.tif?key=1", str(tmp_path / "missing.jp2")):
        item = item_of(tmp_path, replace(record, scene=remote))
        assert item["properties"]["datetime"] == "2020-09-13T12:26:40Z"
        assert item["properties"]["glnet_geo:datetime_source"] == "run"
        assert item["assets"]["source"]["href"] == remote
    assert item["assets"]["source"]["type"] == "image/jp2"


@pytest.mark.parametrize(
    ("acquired", "expected"),
    [
        ("2020-05-06T07:08:09.5Z", "2020-05-06T07:08:09.500000Z"),
        ("2020-05-06", "2020-05-06T00:00:00Z"),
        ("last summer", "2017-07-14T02:40:00Z"),
        ("0001-01-01T00:00:00+14:00", "2017-07-14T02:40:00Z"),
    ],
)
def test_times_of_any_kind_are_utc(
    tmp_path: Path, acquired: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = item_of(tmp_path, scene(tmp_path, "a", acquired=acquired))
    assert item["properties"]["datetime"] == expected
    check_valid(item, monkeypatch)


def test_a_scene_without_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = item_of(tmp_path, scene(tmp_path, "a", Grid(20, 30)))
    assert item["geometry"] is None and "bbox" not in item
    assert item["properties"]["proj:code"] is None and "gsd" not in item["properties"]
    assert item["assets"]["map"]["proj:shape"] == [20, 30]
    assert "proj:transform" not in item["assets"]["map"]
    check_valid(item, monkeypatch)


def test_a_crs_without_a_code_is_spelt_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crs = rasterio.crs.CRS.from_string("+proj=laea +lat_0=12.3 +lon_0=4.5 +ellps=GRS80")
    grid = replace(GRID, transform=UTM["transform"], crs=crs.to_wkt(version="WKT2_2019"))
    item = item_of(tmp_path, scene(tmp_path, "a", grid))
    assert item["properties"]["proj:code"] is None
    assert item["properties"]["proj:wkt2"].startswith("PROJCRS[")
    check_valid(item, monkeypatch)


def test_a_scene_across_the_antimeridian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(20, 30, Affine(0.1, 0, 178.5, 0, -0.1, -17), "EPSG:4326", 1.2e8)
    records = [scene(tmp_path, "fiji", grid), scene(tmp_path, "a")]
    collection = write(tmp_path, *records)
    item = next(iter(collection.get_items()))
    assert item.bbox == [178.5, -19, -178.5, -17]
    assert item.geometry is not None and item.geometry["type"] == "MultiPolygon"
    check_valid(item.to_dict(), monkeypatch)
    (bbox,) = collection.extent.spatial.bboxes
    assert bbox[0] == pytest.approx(15, abs=0.1) and bbox[2] == -178.5


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], [-180, -90, 180, 90]),
        ([[1, 2, 3, 4], [-5, 0, -4, 3]], [-5, 0, 3, 4]),
        ([[170, 0, -170, 1]], [170, 0, -170, 1]),
        ([[170, 0, -170, 1], [-175, -1, -150, 0]], [170, -1, -150, 1]),
        ([[170, 0, -170, 1], [160, 0, 165, 1]], [160, 0, -170, 1]),
        ([[170, 0, -170, 1], [10, 0, 20, 1]], [10, 0, -170, 1]),
        ([[170, 0, -170, 1], [-10, 0, 20, 1]], [-180, 0, 180, 1]),
        ([[170, 0, -170, 1], [-180, 0, 180, 2]], [-180, 0, 180, 2]),
    ],
)
def test_the_extent_holds_all_boxes(boxes: list[list[float]], expected: list[float]) -> None:
    assert extent_of(boxes) == expected


def test_names_of_classes_are_plain_and_stay_apart() -> None:
    names = ["Wald & Wiese", "Wald / Wiese", "水", "nodata", "Öde"]
    legend = Legend("odd", tuple(LandCover(k, name, (0, 0, 0)) for k, name in enumerate(names)))
    classes = pixel_fields(legend)["classification:classes"]
    found = ["Wald_Wiese", "Wald_Wiese_1", "class_2", "nodata_3", "Ode", "nodata"]
    assert [one["name"] for one in classes] == found
    assert [one["title"] for one in classes[:-1]] == names


def test_polygons_in_geojson_have_the_crs_of_geojson(tmp_path: Path) -> None:
    record = scene(tmp_path, "a")
    (tmp_path / "out" / "a.geojson").touch()
    item = item_of(tmp_path, replace(record, outputs=("a.tif", "a.geojson")))
    polygons = item["assets"]["polygons"]
    assert polygons["proj:code"] == "OGC:CRS84" and polygons["type"] == "application/geo+json"


def test_a_file_in_its_way_is_one_line(tmp_path: Path) -> None:
    record = scene(tmp_path, "a")
    (tmp_path / "out" / "stac").write_text("mine")
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path, record)
    assert (tmp_path / "out" / "stac").read_text() == "mine"
