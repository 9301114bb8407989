"""Rasters of how sure a map is, written in step with it."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from glnet_geo.errors import OutputError
from glnet_geo.legend import DEEPGLOBE, DUBAI
from glnet_geo.outputs import work_folder
from glnet_geo.prediction import predict
from glnet_geo.qgis_style import shares_qml
from tests.models import small_model
from tests.rasters import noise, placed_tif

SIZE = (600, 500)  # three rows of two frames
LAYERS = ("probabilities", "confidence", "disagreement")


def paths_in(folder, layers=LAYERS):
    return {layer: folder / f"{layer}.tif" for layer in layers}


def options_of(paths):
    return [text for layer, path in paths.items() for text in (f"--{layer}", path)]


@pytest.fixture
def scene(tmp_path):
    pixels = noise(*SIZE)
    pixels[:, 100:180, 200:350] = 0
    return placed_tif(tmp_path / "scene.tif", pixels, nodata=0)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def hidden_in(folder):
    return [name for name in names(folder) if name.startswith(".")]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_layers_lie_on_the_scenes_grid(cli, tmp_path, model, scene):
    paths = paths_in(tmp_path)
    output = tmp_path / "map.tif"
    result = cli("predict", scene, "-o", output, "--model", model, *options_of(paths), "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)["layers"]
    labels = read(output)[0]
    for layer, path in paths.items():
        is_valid, errors, _ = cog_validate(path, strict=True)
        assert is_valid, errors
        with rasterio.open(scene) as theirs, rasterio.open(path) as ours:
            assert (ours.crs, ours.transform, ours.shape) == (
                theirs.crs,
                theirs.transform,
                theirs.shape,
            )
            assert set(ours.nodatavals) == {255} and set(ours.dtypes) == {"uint8"}
            assert ours.scales[0] == pytest.approx(1 / 254)
            assert ours.tags()["VALUES"] == told[layer]["values"]
            assert ours.tags()["MODEL"] == "small 0.1"
            expected = ("building", "land", "road", "vegetation", "water")
            assert ours.descriptions == (expected if layer == "probabilities" else (layer,))
        assert ((read(path) == 255) == (labels == 255)).all()
        assert told[layer]["output"] == str(path)
    shares = read(paths["probabilities"]).astype(int)
    is_data = labels != 255
    assert np.abs(shares[:, is_data].sum(0) - 254).max() <= 3
    # The class of the map is the likeliest, but for what rounding makes equal.
    for position, value in enumerate(DUBAI.ids):
        is_class = labels == value
        assert (shares[position] == shares.max(0))[is_class].all()
    ordered = np.sort(shares, 0)
    margin = (ordered[-1] - ordered[-2])[is_data]
    assert np.abs(read(paths["confidence"])[0][is_data] - margin).max() <= 1
    assert 0 < read(paths["disagreement"])[0][is_data].mean() < 254


def test_layers_have_a_style_that_takes_no_other_files_place(cli, tmp_path, model, scene, caplog):
    paths = paths_in(tmp_path, ("confidence",))
    style = tmp_path / "confidence.qml"
    style.write_text("of confidence.shp")
    words = ("predict", scene, "-o", tmp_path / "map.tif", "--model", model, *options_of(paths))
    assert cli(*words).code == 0
    assert style.read_text() == "of confidence.shp" and "confidence.qml stays" in caplog.text
    assert cli(*words, "--overwrite").code == 0
    assert style.read_text() == shares_qml()
    assert hidden_in(tmp_path) == []


def test_the_map_is_the_same_with_layers_as_without(tmp_path, model, scene):
    predict(scene, tmp_path / "a.tif", model=str(model))
    predict(scene, tmp_path / "b.tif", model=str(model), disagreement=tmp_path / "d.tif")
    # Sums in another order may turn what is all but equal.
    assert (read(tmp_path / "a.tif") == read(tmp_path / "b.tif")).mean() > 0.999


def test_a_calibrated_model_says_how_likely_it_is_right(cli, tmp_path, scene):
    model = small_model(tmp_path / "m.safetensors", temperature=1.5, legend=DEEPGLOBE)
    paths = paths_in(tmp_path, ("probabilities", "confidence"))
    result = cli("predict", scene, "-o", tmp_path / "map.tif", "--model", model, *options_of(paths))
    assert result.code == 0
    assert "probability that the class is right, calibrated with temperature 1.5" in result.err
    shares = read(paths["probabilities"])
    with rasterio.open(paths["probabilities"]) as dataset:
        assert "unknown" not in dataset.descriptions and dataset.count == 6
    is_data = shares[0] != 255
    assert (read(paths["confidence"])[0] == shares.max(0))[is_data].all()


def test_a_scene_at_another_resolution(tmp_path, scene):
    model = small_model(tmp_path / "m.safetensors", gsd=1.0)
    paths = paths_in(tmp_path)
    predict(scene, tmp_path / "map.tif", model=str(model), gsd=0.5, **paths)
    assert all(read(path).shape[1:] == SIZE for path in paths.values())
    assert ((read(paths["confidence"]) == 255) == (read(tmp_path / "map.tif") == 255)).all()


def interrupt_at(frame):
    def report(done, total):
        if done == frame:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("frame", [1, 4])
def test_a_resumed_run_gives_the_same_files(tmp_path, model, scene, frame):
    expected, paths = paths_in(tmp_path, LAYERS), paths_in(tmp_path)
    predict(scene, tmp_path / "map.tif", model=str(model), **expected)
    before = {name: path.read_bytes() for name, path in expected.items()}
    arguments = {"model": str(model), "overwrite": True, **paths}
    with pytest.raises(KeyboardInterrupt):
        predict(scene, tmp_path / "map.tif", report=interrupt_at(frame), **arguments)
    assert {name: path.read_bytes() for name, path in paths.items()} == before
    has_parts = frame >= 2
    assert work_folder(paths["confidence"]).exists() == has_parts
    predict(scene, tmp_path / "map.tif", resume=True, **arguments)
    assert {name: path.read_bytes() for name, path in paths.items()} == before
    assert not [name for name in names(tmp_path) if name.startswith(".") and "part" in name]


def test_a_run_whose_layers_are_gone_is_not_resumed(tmp_path, model, scene):
    arguments = {"model": str(model), **paths_in(tmp_path, ("confidence",))}
    with pytest.raises(KeyboardInterrupt):
        predict(scene, tmp_path / "map.tif", report=interrupt_at(4), **arguments)
    for part in work_folder(arguments["confidence"]).iterdir():
        part.unlink()
    with pytest.raises(OutputError, match=r"confidence.tif is incomplete. Leave --resume out"):
        predict(scene, tmp_path / "map.tif", resume=True, **arguments)


def test_a_run_is_not_resumed_with_other_layers(tmp_path, model, scene):
    arguments = {"model": str(model), **paths_in(tmp_path, ("confidence",))}
    with pytest.raises(KeyboardInterrupt):
        predict(scene, tmp_path / "map.tif", report=interrupt_at(4), **arguments)
    with pytest.raises(OutputError, match="it differs in: probabilities"):
        predict(
            scene,
            tmp_path / "map.tif",
            resume=True,
            **arguments,
            probabilities=tmp_path / "p.tif",
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"confidence": "map.tif"}, "map.tif is two outputs at once"),
        ({"confidence": "./c.tif", "disagreement": "c.tif"}, "c.tif is two outputs at once"),
        ({"probabilities": "scene.tif"}, "scene.tif is the input itself"),
        ({"probabilities": "there.tif"}, "there.tif exists. Use --overwrite"),
        ({"confidence": "nowhere/c.tif"}, "nowhere does not exist"),
    ],
)
def test_outputs_that_cannot_be(cli, tmp_path, model, scene, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.tif").write_bytes(b"old")
    before = names(tmp_path)
    result = cli("predict", scene, "-o", "map.tif", "--model", model, *options_of(changes))
    assert result.code == 1 and message in result.error
    assert names(tmp_path) == before and (tmp_path / "there.tif").read_bytes() == b"old"


def test_one_branch_cannot_disagree(cli, tmp_path, scene):
    arguments = ("-o", tmp_path / "map.tif", "--disagreement", tmp_path / "d.tif")
    result = cli("predict", scene, *arguments)
    assert result.code == 1
    assert re.search("'dubai-urban' has one branch only.* Leave --disagreement out", result.error)
    assert names(tmp_path) == ["scene.tif"]


def test_the_references_sums_are_not_compared(cli, tmp_path, model, scene):
    arguments = ("-o", tmp_path / "map.tif", "--disagreement", tmp_path / "d.tif", "--reference")
    result = cli("predict", scene, *arguments, "--model", model)
    assert result.code == 1 and "Leave --disagreement out" in result.error


def test_a_layer_that_cannot_be_placed_leaves_the_map_as_it_was(
    tmp_path, model, scene, monkeypatch
):
    """What is replaced last is the map, after all else is finished."""
    output, path = tmp_path / "map.tif", tmp_path / "c.tif"
    output.write_bytes(b"old")
    replace = os.replace

    def refuse(source, target):
        if target == path:
            raise PermissionError(13, "denied")
        replace(source, target)

    monkeypatch.setattr("glnet_geo.outputs.os.replace", refuse)
    with pytest.raises(OutputError, match=r"c\.tif cannot be replaced"):
        predict(scene, output, model=str(model), overwrite=True, confidence=path)
    assert output.read_bytes() == b"old" and not path.exists()
