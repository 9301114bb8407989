"""The grammar of the command line: messages, exit codes, and nothing left behind."""

from __future__ import annotations

import json
import sys

import pytest
import rasterio
import torch
from affine import Affine

from glnet_geo.cli.main import main
from glnet_geo.synthetic import make_scene
from tests.rasters import noise, placed_tif


@pytest.fixture
def folder(tmp_path):
    """A folder with a scene and with files that are none."""
    placed_tif(tmp_path / "scene.tif", noise(120, 150))
    placed_tif(tmp_path / "gray.tif", noise(120, 150, bands=1))
    (tmp_path / "text.tif").write_text("not a raster")
    (tmp_path / "old.tif").write_text("an older result")
    return tmp_path


@pytest.mark.parametrize(
    ("scene", "output", "message"),
    [
        ("missing.tif", "map.tif", "does not exist"),
        ("text.tif", "map.tif", "not a raster"),
        (".", "map.tif", "is a folder"),
        ("gray.tif", "map.tif", "has 1 band"),
        ("scene.tif", "nowhere/map.tif", "nowhere does not exist"),
        ("scene.tif", "old.tif", "old.tif exists. Use --overwrite"),
        ("scene.tif", "scene.tif", "is the input itself"),
        ("scene.tif", ".", "is a folder"),
    ],
)
def test_what_stands_in_the_way_is_said_in_one_line(cli, folder, model, scene, output, message):
    before = {p: p.read_bytes() for p in folder.iterdir()}
    result = cli("predict", folder / scene, "-o", folder / output, "--model", model)
    assert result.code == 1 and message in result.error
    assert {p: p.read_bytes() for p in folder.iterdir()} == before


def test_one_band_message_says_what_to_do(cli, folder, model):
    error = cli("predict", folder / "gray.tif", "-o", folder / "m.tif", "--model", model).error
    assert "3 are needed" in error and "--bands" in error and "glnet-geo models list" in error


def test_output_must_not_be_the_model(cli, folder, model, tmp_path):
    before = model.read_bytes()
    arguments = ("-o", model, "--model", model, "--overwrite")
    assert "is the input itself" in cli("predict", folder / "scene.tif", *arguments).error
    assert model.read_bytes() == before


@pytest.mark.parametrize("device", ["cuda:7", "meta", "toaster", "hpu"])
def test_devices_that_are_not_there(cli, folder, model, device):
    arguments = ("-o", folder / "m.tif", "--model", model, "--device", device)
    assert "cannot be used here" in cli("predict", folder / "scene.tif", *arguments).error


def test_output_with_a_name_too_long(cli, folder, model):
    output = folder / ("m" * 300 + ".tif")
    result = cli("predict", folder / "scene.tif", "-o", output, "--model", model)
    assert result.code == 1 and "cannot be written" in result.error


@pytest.mark.parametrize("bands", ["1,2,9", "1,2"])
def test_bands_that_do_not_fit(cli, folder, model, bands):
    result = cli(
        "predict", folder / "scene.tif", "-o", folder / "m.tif", "--model", model, "--bands", bands
    )
    assert result.code == 1 and "--bands" in result.error


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict",),
        ("predict", "scene.tif"),
        ("predict", "scene.tif", "-o", "m.tif", "--bands", "1,,2"),
        ("predict", "scene.tif", "-o", "m.tif", "--bands", "0,1,2"),
        ("predict", "scene.tif", "-o", "m.tif", "--scale", "3000,0"),
        ("predict", "scene.tif", "-o", "m.tif", "--scale", "3000"),
        ("predict", "scene.tif", "-o", "m.tif", "--scale", "0,inf"),
        ("predict", "scene.tif", "-o", "m.tif", "--gsd", "0m"),
        ("predict", "scene.tif", "-o", "m.tif", "--gsd", "1ft"),
        ("predict", "scene.tif", "-o", "m.tif", "--frame", "large"),
        ("predict", "scene.tif", "-o", "m.tif", "--frame", "0"),
        ("predict", "scene.tif", "-o", "m.tif", "--nodata-tolerance", "-1"),
        ("predict", "scene.tif", "-o", "m.tif", "--nodata-tolerance", "nan"),
        ("predict", "scene.tif", "-o", "m.tif", "--nodata", "inf"),
        ("predict", "scene.tif", "-o", "m.tif", "--precision", "fp8"),
        ("predict", "scene.tif", "-o", "m.tif", "--no-such-option"),
        ("batch", "tiles", "-o", "out", "--precision", "fp8"),
        ("fly",),
        ("train", "d.toml", "-o", "m.safetensors", "--iterations", "1,2"),
    ],
)
def test_usage_errors_exit_with_2(cli, arguments):
    result = cli(*arguments)
    assert result.code == 2 and "Error: " in result.err


def test_bands_are_taken_in_the_order_given(cli, tmp_path):
    pixels = make_scene(300, 300).pixels
    pixels[0] //= 2  # a reddish scene is another one when its bands are swapped
    placed_tif(tmp_path / "rgb.tif", pixels)
    placed_tif(tmp_path / "bgr.tif", pixels[::-1])
    maps = {}
    for name, bands in (("rgb", "1,2,3"), ("bgr", "3,2,1"), ("bgr", "1,2,3")):
        output = tmp_path / f"{name}{bands}.tif"
        assert cli("predict", tmp_path / f"{name}.tif", "-o", output, "--bands", bands).code == 0
        with rasterio.open(output) as dataset:
            maps[name, bands] = dataset.read(1)
            assert dataset.tags()["BANDS"] == bands
    assert (maps["rgb", "1,2,3"] == maps["bgr", "3,2,1"]).all()
    assert (maps["rgb", "1,2,3"] != maps["bgr", "1,2,3"]).mean() > 0.01


def test_summary_and_json(cli, folder, model):
    arguments = ("predict", folder / "scene.tif", "-o", folder / "m.tif", "--model", model)
    result = cli(*arguments, "--json")
    assert result.code == 0
    summary = json.loads(result.out)
    assert (summary["width"], summary["height"], summary["gsd_m"]) == (150, 120, 0.5)
    assert sum(c["pixels"] for c in summary["classes"]) == 120 * 150
    assert summary["area_rule"] == "planar in EPSG:32633"
    assert sum(c["area_ha"] for c in summary["classes"]) == pytest.approx(120 * 150 / 4 / 1e4)
    assert "150 x 120 px, 0.5 m, EPSG:32633, model small 0.1" in result.err
    assert " ha " in result.err and "Mpx/s" in result.err and "areas:" not in result.err
    quiet = cli(*arguments, "--overwrite", "-q")
    assert quiet.code == 0 and quiet.out == quiet.err == ""


def test_summary_says_where_areas_come_from_that_are_not_the_maps(cli, tmp_path, model):
    transform = Affine(5e-6, 0, 55.3, 0, -5e-6, 25.1)
    scene = placed_tif(tmp_path / "s.tif", noise(60, 80), crs="EPSG:4326", transform=transform)
    result = cli("predict", scene, "-o", tmp_path / "m.tif", "--model", model)
    assert result.code == 0
    assert "  areas: equal-area (LAEA at 25.10 N, 55.30 E)\n" in result.err


def test_overwrite_replaces_and_failure_does_not(cli, folder, model):
    arguments = ("-o", folder / "old.tif", "--model", model, "--overwrite")
    assert cli("predict", folder / "gray.tif", *arguments).code == 1
    assert (folder / "old.tif").read_text() == "an older result"
    assert cli("predict", folder / "scene.tif", *arguments).code == 0
    with rasterio.open(folder / "old.tif") as dataset:
        assert dataset.nodata == 255


def test_environment_sets_defaults(cli, folder, model, monkeypatch):
    monkeypatch.setenv("GLNET_GEO_PREDICT_MODEL", str(model))
    assert cli("predict", folder / "scene.tif", "-o", folder / "m.tif").code == 0


def test_unknown_model_lists_the_known_ones(cli, folder):
    result = cli("predict", folder / "scene.tif", "-o", folder / "m.tif", "--model", "nonsense")
    assert result.code == 1 and "glnet-geo models list" in result.error


def test_models_are_listed_and_shown(cli, model):
    listed = cli("models", "list")
    assert listed.code == 0 and "dubai-urban" in listed.out
    for name in ("dubai-urban", model):
        shown = cli("models", "show", name)
        assert shown.code == 0 and "licence" in shown.out
        card = json.loads(cli("models", "show", name, "--json").out)
        assert card["legend"]["classes"][0]["name"] == "building"


def test_cut_model_is_refused_before_anything_is_written(cli, folder, model):
    cut = folder / "cut.safetensors"
    cut.write_bytes(model.read_bytes()[:100_000])
    result = cli("predict", folder / "scene.tif", "-o", folder / "m.tif", "--model", cut)
    assert result.code == 1 and "safetensors" in result.error
    assert not (folder / "m.tif").exists()


@pytest.mark.parametrize(
    ("command", "function", "advice"),
    [
        ("predict", "glnet_geo.prediction.map_to_file", "Choose smaller frames"),
        ("vectorize", "glnet_geo.vectorizing.vectorize", "Merge small regions"),
    ],
)
@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 TiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
)
def test_too_little_memory_is_one_line(
    cli, tmp_path, monkeypatch, command, function, advice, error
):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(function, fail)
    result = cli(command, tmp_path / "a.tif", "-o", tmp_path / "b.gpkg", "-q")
    assert result.code == 1
    assert result.error.startswith(f"Error: There is not enough memory. {advice}")


def test_other_errors_of_pytorch_keep_their_traceback(cli, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("glnet_geo.prediction.map_to_file", fail)
    monkeypatch.setattr(sys, "argv", ["glnet-geo", "predict", "a.tif", "-o", "b.tif", "-q"])
    with pytest.raises(RuntimeError, match="shapes do not match"):
        main()


def test_version_and_help(cli):
    assert cli("--version").out.startswith("glnet-geo, version ")
    for arguments in ((), ("predict",), ("train",), ("models", "import"), ("demo",)):
        result = cli(*arguments, "--help")
        assert result.code == 0 and "Usage: glnet-geo" in result.out
