"""What Python programs call: strings for paths, arrays for pixels."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

import glnet_geo
from tests.models import small_model
from tests.rasters import noise, placed_tif, write_tif


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture
def scene(tmp_path):
    pixels = noise(300, 420)
    valid = np.ones((300, 420), np.bool_)
    valid[20:60, 100:] = False
    return pixels, valid, placed_tif(tmp_path / "s.tif", pixels, mask=valid.astype(np.uint8) * 255)


def test_arrays_are_mapped_as_files_are(scene, model, tmp_path):
    pixels, valid, path = scene
    glnet_geo.predict(path, tmp_path / "m.tif", model=model, probabilities=tmp_path / "p.tif")
    loaded = glnet_geo.load_model(model, device="cpu")
    assert len(loaded.segmenter.frames(300, 420)) > 1
    before = pixels.copy()
    with rasterio.open(tmp_path / "m.tif") as there, rasterio.open(tmp_path / "p.tif") as shares:
        np.testing.assert_array_equal(loaded.classify(pixels, valid), there.read(1))
        ours, theirs = loaded.probabilities(pixels, valid), shares.read()
    np.testing.assert_array_equal(pixels, before)
    assert np.isnan(ours[:, ~valid]).all()
    np.testing.assert_array_equal(np.rint(ours * 254)[:, valid], theirs[:, valid])
    counted = loaded.legend.ids[list(loaded.legend.counted)]
    # Where rounding makes two equal, the first need not be the likelier.
    best = np.sort(ours[:, valid], axis=0)
    clear = best[-1] > best[-2]
    chosen = counted[ours[:, valid].argmax(0)]
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(chosen[clear], loaded.classify(pixels, valid)[valid][clear])


@pytest.mark.parametrize("size", [(1, 1), (3, 500)])
def test_arrays_of_any_size(model, size):
    loaded = glnet_geo.load_model(str(model))
    labels = loaded.classify(noise(*size))
    assert labels.shape == size and set(np.unique(labels)) <= set(loaded.legend.ids)


def test_what_is_no_picture_for_the_model_is_refused(model):
    loaded = glnet_geo.load_model(model)
    for pixels, words in (
        (noise(5, 5).astype(np.uint16), "type uint16"),
        (noise(5, 5)[0], r"shape \(5, 5\)"),
        (noise(5, 5)[:2], "has 2 bands"),
        (noise(5, 5)[:, :0], "at least one pixel"),
    ):
        with pytest.raises(glnet_geo.GlnetGeoError, match=words):
            loaded.classify(pixels)
    with pytest.raises(glnet_geo.GlnetGeoError, match="its mask"):
        loaded.classify(noise(5, 5), np.ones((4, 5), np.bool_))
    with pytest.raises(glnet_geo.GlnetGeoError, match="no model 'nonsense'"):
        glnet_geo.load_model("nonsense")


def test_paths_may_be_strings(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    placed_tif(tmp_path / "scene.tif", noise(60, 80))
    mapped = glnet_geo.predict("scene.tif", "map.tif", model=str(model), confidence="sure.tif")
    assert mapped.output.is_file() and mapped.grid.gsd_m == 0.5
    polygons = glnet_geo.vectorize("map.tif", "map.gpkg", confidence="sure.tif")
    scores = glnet_geo.evaluate("map.tif", "map.gpkg", output="scores.json")
    assert scores.scores.accuracy == 1 and (tmp_path / "scores.png").is_file()
    areas = {one.land_cover.id: one.area for one in polygons.totals}
    assert mapped.areas_m2 is not None
    assert areas == {key: area for key, area in mapped.areas_m2.items() if key in areas}
    points = glnet_geo.draw_sample("map.tif", "points.gpkg", aoi="map.gpkg")
    assert points.output.is_file()
    change = glnet_geo.detect_change("map.tif", "map.tif", "change.tif", aoi="map.gpkg")
    assert change.legend.transitions == () and change.files[1].is_file()
    report = glnet_geo.batch(
        ["scene.tif"], "out", maps=glnet_geo.MapOptions(model=str(model), device="cpu")
    )
    assert report.exit_code == 0 and (tmp_path / "out" / "scene.tif").is_file()


def test_no_place_is_no_obstacle(model, tmp_path):
    write_tif(tmp_path / "plain.tif", noise(40, 40))
    summary = glnet_geo.predict(str(tmp_path / "plain.tif"), str(tmp_path / "m.tif"), model=model)
    assert summary.areas_m2 is None
