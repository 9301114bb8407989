"""`glnet-geo batch` on real files: maps that meet, failures by themselves, runs that continue."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine

from glnet_geo.dask_engine import DaskEngine
from tests.batch_tiles import lively_model
from tests.rasters import UTM, noise, placed_tif, write_tif

SIDE = 150
ROWS, COLUMNS = 4, 5


@pytest.fixture(scope="module")
def fast_model(tmp_path_factory):
    """The fastest of models: what is tried here does not depend on the networks."""
    return lively_model(tmp_path_factory.mktemp("model") / "small.safetensors")


def place(column, row):
    return UTM["transform"] @ Affine.translation(column, row)


def cut(folder: Path, scene: np.ndarray, side=SIDE, **profile) -> Path:
    """A scene in tiles."""
    folder.mkdir(parents=True)
    for row in range(0, scene.shape[1], side):
        for column in range(0, scene.shape[2], side):
            part = scene[:, row : row + side, column : column + side]
            path = folder / f"t{row // side}{column // side}.tif"
            placed_tif(path, part, transform=place(column, row), **profile)
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Pixels of a scene: noise in which the networks see something."""
    pixels = noise(ROWS * SIDE, COLUMNS * SIDE).astype(np.int32)
    shade = np.add.outer(np.arange(ROWS * SIDE), np.arange(COLUMNS * SIDE)) // 8
    return (pixels // 2 + shade % 128).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory, scene):
    """The same in tiles; not to be changed."""
    return cut(tmp_path_factory.mktemp("scenes") / "tiles", scene)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, scene, fast_model):
    """The map of the undivided scene."""
    from glnet_geo.prediction import predict

    folder = tmp_path_factory.mktemp("whole")
    path = placed_tif(folder / "scene.tif", scene)
    predict(path, folder / "map.tif", model=str(fast_model))
    return read(folder / "map.tif")


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())["scenes"]


def states(folder: Path) -> dict:
    return {name: one["state"] for name, one in manifest(folder).items()}


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def hidden(folder: Path) -> list[str]:
    return [name for name in files(folder) if any(p.startswith(".") for p in Path(name).parts)]


@pytest.fixture
def batch(cli, fast_model):
    def run(*arguments):
        return cli("batch", *arguments, "--model", fast_model)

    return run


def test_tiles_of_one_scene_have_its_map(tmp_path, batch, tiles, whole):
    result = batch(tiles, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    out = tmp_path / "out"
    assert (read(out / "landcover.vrt") == whole).all()
    for tile in tiles.glob("*.tif"):
        with rasterio.open(tile) as a, rasterio.open(out / tile.name) as b:
            assert (a.shape, a.transform, a.crs) == (b.shape, b.transform, b.crs)
            assert b.tags()["SCENE"] == tile.name and b.nodata == 255
    assert hidden(out) == []
    with (out / "scenes.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == ROWS * COLUMNS and {row["state"] for row in rows} == {"done"}
    assert json.loads((out / "stac" / "collection.json").read_text())["type"] == "Collection"
    assert f"{ROWS * COLUMNS} mapped" in result.err and "landcover.vrt" in result.err


def test_without_neighbours_every_tile_is_a_scene(tmp_path, batch, cli, tiles, whole, fast_model):
    assert batch(tiles, "-o", tmp_path / "out", "--no-neighbours").code == 0
    tile = tiles / "t12.tif"
    cli("predict", tile, "-o", tmp_path / "alone.tif", "--model", fast_model)
    alone = read(tmp_path / "out" / "t12.tif")
    assert (alone == read(tmp_path / "alone.tif")).all()
    assert (read(tmp_path / "out" / "landcover.vrt") != whole).any()


def test_workers_give_the_same_maps(tmp_path, batch, tiles, whole):
    result = batch(tiles, "-o", tmp_path / "out", "--workers", 2, "--device", "cpu")
    assert result.code == 0, result.err
    assert "2 local workers" in result.err
    assert (read(tmp_path / "out" / "landcover.vrt") == whole).all()
    assert hidden(tmp_path / "out") == []


def test_a_second_run_does_nothing(tmp_path, batch, tiles):
    out = tmp_path / "out"
    batch(tiles, "-o", out)
    before = {name: (out / name).stat().st_mtime_ns for name in files(out) if "t" in name[:1]}
    result = batch(tiles, "-o", out)
    assert result.code == 0 and f"{ROWS * COLUMNS} done before" in result.err
    assert before == {name: (out / name).stat().st_mtime_ns for name in before}


def test_what_changed_or_is_gone_is_done_again(tmp_path, batch, scene):
    tiles, out = cut(tmp_path / "tiles", scene[:, :300, :450]), tmp_path / "out"
    batch(tiles, "-o", out)
    placed_tif(tiles / "t01.tif", noise(SIDE, SIDE, seed=9), transform=place(SIDE, 0))
    (out / "t12.tif").unlink()
    result = batch(tiles, "-o", out, "--json")
    assert json.loads(result.out)["done"] == 2
    assert batch(tiles, "-o", out, "--scale", "0,200", "--dry-run").out.count("map ") == 6
    assert batch(tiles, "-o", out, "--dry-run").out.count("done") == 6


def test_a_broken_tile_fails_by_itself(tmp_path, batch, scene):
    tiles, out = cut(tmp_path / "tiles", scene, tiled=True, blockxsize=64, blockysize=64,
                     compress="deflate"), tmp_path / "out"  # fmt: skip
    data = (tiles / "t11.tif").read_bytes()
    (tiles / "t11.tif").write_bytes(data[: len(data) // 2])
    (tiles / "t99.tif").write_text("no raster")
    result = batch(tiles, "-o", out)
    assert result.code == 1
    failed = {name for name, state in states(out).items() if state == "failed"}
    assert failed == {"t11", "t99"}
    assert "Failed:" in result.err and "no raster" not in result.err
    assert not (out / "t11.tif").exists() and (out / "t12.tif").exists()
    assert (read(out / "landcover.vrt")[SIDE : 2 * SIDE, SIDE : 2 * SIDE] == 255).all()
    # Once it is mended it is all that is done.
    placed_tif(tiles / "t11.tif", scene[:, SIDE : 2 * SIDE, SIDE : 2 * SIDE],
               transform=place(SIDE, SIDE))  # fmt: skip
    (tiles / "t99.tif").unlink()
    result = batch(tiles, "-o", out, "--json")
    assert result.code == 0 and json.loads(result.out)["done"] == 1
    assert hidden(out) == []


def test_scenes_of_all_kinds(tmp_path, batch):
    """No place, one pixel, no data at all, striped, of another type, with an alpha band."""
    scenes, out = tmp_path / "scenes", tmp_path / "out"
    (scenes / "sub").mkdir(parents=True)
    write_tif(scenes / "nowhere.tif", noise(90, 110))
    placed_tif(scenes / "pixel.tif", noise(1, 1))
    placed_tif(scenes / "empty.tif", np.zeros((3, 70, 80), np.uint8), nodata=0,
               transform=place(2000, 0))  # fmt: skip
    placed_tif(scenes / "sub" / "sixteen.tif", noise(120, 600).astype(np.uint16) * 40,
               transform=place(0, 3000))  # fmt: skip
    result = batch(scenes, "-o", out)
    assert result.code == 0, result.err
    assert (read(out / "empty.tif") == 255).all()
    assert read(out / "pixel.tif").shape == (1, 1)
    assert read(out / "sub" / "sixteen.tif").shape == (120, 600)
    assert "nowhere.tif has no CRS" in result.err


def test_maps_of_scenes_by_themselves_are_those_of_predict(tmp_path, batch, cli, fast_model):
    scenes, out = tmp_path / "scenes", tmp_path / "out"
    scenes.mkdir()
    values = noise(700, 600).astype(np.uint16) * 9 + 300
    values[:, 100:150, 40:90] = 0
    placed_tif(scenes / "large.tif", values, nodata=0)
    options = ("--nodata-tolerance", "5")
    batch(scenes, "-o", out, *options)
    cli("predict", scenes / "large.tif", "-o", tmp_path / "map.tif", "--model", fast_model,
        *options)  # fmt: skip
    assert (read(out / "large.tif") == read(tmp_path / "map.tif")).all()
    with rasterio.open(out / "large.tif") as a, rasterio.open(tmp_path / "map.tif") as b:
        assert a.tags() == b.tags()


def test_polygons_and_their_file_for_all(tmp_path, batch, tiles):
    out = tmp_path / "out"
    batch(tiles, "-o", out)
    maps = {path.name: path.stat().st_mtime_ns for path in out.glob("t*.tif")}
    result = batch(tiles, "-o", out, "--vectorize", "--min-area", "9px")
    assert result.code == 0, result.err
    assert maps == {path.name: path.stat().st_mtime_ns for path in out.glob("t*.tif")}
    assert len([*out.glob("t*.gpkg")]) == ROWS * COLUMNS
    assert manifest(out)["t00"]["outputs"] == ["t00.tif", "t00.gpkg"]
    result = batch(tiles, "-o", out, "--vectorize", "--merge")
    assert result.code == 0, result.err
    merged = pyogrio.read_dataframe(out / "landcover.gpkg", layer="landcover")
    pixels = read(out / "landcover.vrt")
    areas = merged.groupby("class_id")["area_m2"].sum()
    for value, count in zip(*np.unique(pixels, return_counts=True), strict=True):
        assert areas[value] == count * 0.25
    edge = UTM["transform"].c + SIDE * 0.5
    crossing = (merged.bounds.minx < edge) & (merged.bounds.maxx > edge)
    assert crossing.any(), "polygons are cut at the edges of tiles"
    assert hidden(out) == []


def test_an_area_of_interest_is_cut_from_all_tiles(tmp_path, batch, tiles, whole):
    import geopandas
    import shapely

    left, top = UTM["transform"] @ (100, 100)
    right, bottom = UTM["transform"] @ (400, 250)
    area = geopandas.GeoSeries([shapely.box(left, bottom, right, top)], crs="EPSG:32633")
    area.to_file(tmp_path / "area.gpkg")
    result = batch(tiles, "-o", tmp_path / "out", "--aoi", tmp_path / "area.gpkg")
    assert result.code == 0, result.err
    labels = read(tmp_path / "out" / "landcover.vrt")
    assert (labels[100:250, 100:400] != 255).all()
    assert (labels != 255).sum() == 150 * 300


def test_an_area_elsewhere_is_a_warning(tmp_path, batch, tiles):
    import geopandas
    import shapely

    paris = geopandas.GeoSeries([shapely.box(2.3, 48.8, 2.4, 48.9)], crs="EPSG:4326")
    paris.to_file(tmp_path / "paris.gpkg")
    result = batch(tiles, "-o", tmp_path / "out", "--aoi", tmp_path / "paris.gpkg")
    assert result.code == 0
    assert "Warning: No scene has data in" in result.err and "paris.gpkg. Check its" in result.err


def test_foreign_files_stay(tmp_path, batch, tiles):
    out = tmp_path / "out"
    out.mkdir()
    (out / "t00.tif").write_text("mine")
    result = batch(tiles, "-o", out)
    assert result.code == 1 and "no batch has written it" in result.err
    assert (out / "t00.tif").read_text() == "mine"
    assert batch(tiles, "-o", out, "--overwrite").code == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "scenes.csv").write_text("mine")
    refused = batch(tiles, "-o", tmp_path / "other")
    assert refused.code == 1 and "scenes.csv exists" in refused.error
    assert files(tmp_path / "other") == ["scenes.csv"]


def test_fail_fast_leaves_the_rest(tmp_path, batch, tiles):
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    (scenes / "a.tif").write_text("no raster")
    for k in range(3):
        placed_tif(scenes / f"b{k}.tif", noise(60, 60), transform=place(1000 * k, 0))
    result = batch(scenes, "-o", tmp_path / "out", "--fail-fast", "--no-neighbours")
    assert result.code == 1
    assert states(tmp_path / "out")["a"] == "failed"
    assert "not begun" in result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere", "-o", "out"), "nowhere"),
        (("{tiles}", "-o", "out", "--scheduler", "tcp://127.0.0.1:9"), "127.0.0.1:9"),
        (("{tiles}", "-o", "out", "--aoi", "none.gpkg"), "none.gpkg does not exist"),
        (("{tiles}", "-o", "out", "--gsd", "1m"), "leave --gsd out"),
        (("{tiles}", "-o", "out", "--frame", "10"), "too small"),
        (("{tiles}", "-o", "{tiles}/t00.tif/out"), "cannot be made"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, monkeypatch, batch, tiles, words, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DaskEngine, "connect", partial(DaskEngine.connect, timeout=0.5))
    result = batch(*(word.format(tiles=tiles) for word in words))
    assert result.code == 1 and said in result.error
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--workers", "2", "--scheduler", "tcp://a:1"),
        ("--min-area", "5px"),
        ("--merge",),
        ("--layer", "a"),
    ],
)
def test_usage(batch, tiles, words):
    assert batch(tiles, "-o", "out", *words).code == 2


def test_logs_for_programs(tmp_path, batch, tiles):
    result = batch(tiles, "-o", tmp_path / "out", "--json-log", "--json")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert [line["event"] for line in lines].count("scene") == ROWS * COLUMNS
    assert json.loads(result.out)["done"] == ROWS * COLUMNS
    assert batch(tiles, "-o", tmp_path / "quiet", "-q").err == ""


def test_two_batches_on_one_folder(tmp_path, batch, tiles):
    from glnet_geo.run_lock import run_lock

    out = tmp_path / "out"
    out.mkdir()
    with run_lock(out / ".batch.lock"):
        result = batch(tiles, "-o", out)
    assert result.code == 1 and "another batch" in result.error


def test_a_damaged_manifest_is_told(tmp_path, batch, tiles):
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text("{")
    result = batch(tiles, "-o", out)
    assert result.code == 1 and "manifest.json is damaged" in result.error
