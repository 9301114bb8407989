"""`glnet-geo report`: what it reads, writes and refuses."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.enums import ColorInterp

from glnet_geo.errors import GlnetGeoError
from glnet_geo.evaluation import evaluate
from glnet_geo.reporting import ReportSources, write_report
from tests.class_maps import named_map, patches, town
from tests.rasters import UTM, noise, placed_tif, write_tif


def views(page: Path) -> dict:
    """What a page's script is given."""
    text = page.read_text("utf-8")
    (data,) = re.findall(r'<script type="application/json" id="view">(.*?)</script>', text)
    return json.loads(data)


def leftovers(folder: Path, *known: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one not in known)


@pytest.fixture
def raster(tmp_path) -> Path:
    return named_map(
        tmp_path / "map.tif", np.array([0, 1, 4, 255], np.uint8)[patches(60, 90, classes=4)]
    )


def test_summary_and_figures(cli, tmp_path):
    page = tmp_path / "report.html"
    result = cli("report", town(tmp_path / "map.tif"), "-o", page, "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert found["bytes"] == page.stat().st_size
    classes = {one["name"]: (one["pixels"], one["area_m2"]) for one in found["classes"]}
    assert classes == {"building": (7, 1.75), "bare land": (7, 1.75), "Wald & Wiese": (4, 1.0)}
    assert found["nodata_pixels"] == 2
    assert sum(one["share"] for one in found["classes"]) == pytest.approx(1)
    assert "building" in result.err and "planar in EPSG:32633" in result.err
    text = page.read_text("utf-8")
    assert "Wald &amp; Wiese" in text and "Wald & Wiese" not in text.split('id="view"')[0]
    assert "dubai-urban 1.0" in text and "EPSG:32633" in text and "ab12" in text
    assert "http" not in re.sub(r"http-equiv", "", text)


def test_confidence_by_class_and_as_histogram(tmp_path, raster):
    with rasterio.open(raster) as dataset:
        labels = dataset.read(1)
    sure = np.choose(np.searchsorted([0, 1, 4, 255], labels), [250, 127, 50, 255]).astype(np.uint8)
    path = placed_tif(tmp_path / "sure.tif", sure, nodata=255)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales = (1 / 254,)
        dataset.update_tags(VALUES="how sure <it> is")
    page = tmp_path / "report.html"
    summary = write_report(raster, page, sources=ReportSources(confidence=path))
    found = {one.land_cover.id: one.confidence for one in summary.classes}
    assert found == pytest.approx({0: 250 / 254, 1: 127 / 254, 4: 50 / 254})
    has_class = labels != 255
    assert summary.mean_confidence == pytest.approx((sure[has_class] / 254).mean())
    text = page.read_text("utf-8")
    assert "how sure &lt;it&gt; is" in text
    counts = [int((labels == one).sum()) for one in (0, 1, 4)]
    listed = re.findall(r"<td>([0-9,]+) px</td>", text.split("The histogram in figures")[1])
    pixels = [int(one.replace(",", "")) for one in listed[:20]]
    assert sorted(one for one in pixels if one) == sorted(counts)


def test_scores_are_those_of_evaluate(cli, tmp_path, raster):
    with rasterio.open(raster) as dataset:
        labels = dataset.read(1)
    labels[:20] = np.where(labels[:20] == 255, 255, 1)
    truth = named_map(tmp_path / "truth.tif", labels)
    page = tmp_path / "report.html"
    result = cli("report", raster, "--reference", truth, "-o", page, "--json")
    scores = evaluate(raster, truth).scores
    found = json.loads(result.out)
    assert found["mean_iou"] == scores.mean_iou and found["accuracy"] == scores.accuracy
    text = page.read_text("utf-8")
    for value in (*scores.iou.values(), scores.kappa, scores.mean_f1):
        assert f"{value:.3f}" in text
    assert f"{scores.mean_iou:.3f}" in result.err


def test_areas_of_degrees_are_those_of_the_ellipsoid(tmp_path):
    labels = patches(40, 50)
    place = Affine(1e-3, 0, 10, 0, -1e-3, 60)
    raster = write_tif(tmp_path / "map.tif", labels, crs="EPSG:4326", transform=place)
    summary = write_report(raster, tmp_path / "report.html")
    assert summary.area_rule.startswith("equal-area (LAEA at 59.98 N")
    assert sum(one.area for one in summary.classes) == pytest.approx(40 * 50 * 111.4 * 55.9, 0.01)


def test_scene_of_16_bits_is_stretched_and_colours_are_found(tmp_path, raster):
    ramp = np.linspace(200, 3000, 60 * 90).astype(np.uint16).reshape(60, 90)
    bands = np.stack([np.full_like(ramp, 7), ramp, ramp[::-1], ramp[:, ::-1]])
    scene = placed_tif(tmp_path / "scene.tif", bands)
    with rasterio.open(scene, "r+") as dataset:
        dataset.descriptions = ("nir", "green", "red", "blue")
    page = tmp_path / "report.html"
    write_report(raster, page, sources=ReportSources(scene=scene))
    picture = scene_pixels(page)
    assert picture.shape == (60, 90, 3)
    red, green, _ = np.moveaxis(picture.astype(int), -1, 0)
    assert red[:5].mean() > 240 > 15 > red[-5:].mean()  # the third band
    assert green[:5].mean() < 15 < 240 < green[-5:].mean()
    write_report(raster, page, sources=ReportSources(scene=scene, bands=(2,)), overwrite=True)
    grey = scene_pixels(page).astype(int)
    assert np.ptp(grey, axis=2).max() < 8 and grey[-5:].mean() > 240


def scene_pixels(page: Path) -> np.ndarray:
    text = page.read_text("utf-8")
    (data,) = re.findall(r'id="picture-scene" src="data:image/webp;base64,([^"]*)"', text)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_scene_on_another_grid_is_brought_onto_the_map(tmp_path, raster):
    # Twice as fine, and larger by 10 m in all directions; red where the map is, blue around it.
    pixels = np.zeros((3, 200, 260), np.uint8)
    pixels[2] = 250
    pixels[:, 40:160, 40:220] = np.array([250, 0, 0], np.uint8)[:, None, None]
    place = UTM["transform"] @ Affine.translation(-20, -20) @ Affine.scale(0.5)
    scene = placed_tif(tmp_path / "scene.tif", pixels, transform=place)
    page = tmp_path / "report.html"
    write_report(raster, page, sources=ReportSources(scene=scene))
    found = scene_pixels(page).astype(int)
    assert found.shape == (60, 90, 3)
    assert np.abs(found - (250, 0, 0)).max() < 16
    assert "lies on another grid" in page.read_text("utf-8")


def test_ids_that_are_large_or_below_nothing(cli, tmp_path):
    path = tmp_path / "map.tif"
    placed_tif(
        path, np.kron(np.array([[-5, 300], [7, -9999]], np.int16), np.ones((2, 3), np.int16))
    )
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = -9999
    page = tmp_path / "report.html"
    result = cli("report", path, "-o", page, "--json")
    found = json.loads(result.out)
    assert {one["id"]: one["pixels"] for one in found["classes"]} == {-5: 6, 300: 6, 7: 6}
    assert found["nodata_pixels"] == 6
    data = re.findall(
        r'id="picture-map" src="data:image/png;base64,([^"]*)"', page.read_text("utf-8")
    )
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[0]))).convert("RGBA"))
    assert picture[..., 3].tolist() == [[255] * 6] * 2 + [[255] * 3 + [0] * 3] * 2
    assert len({tuple(one) for one in picture.reshape(-1, 4).tolist() if one[3]}) == 3


def test_palette_on_another_grid_keeps_its_colours(tmp_path, raster):
    indices = np.kron(np.array([[3, 200], [200, 3]], np.uint8), np.ones((60, 90), np.uint8))
    place = UTM["transform"] @ Affine.scale(0.5)
    scene = placed_tif(
        tmp_path / "scene.tif", indices, transform=place, marks=[ColorInterp.palette]
    )
    with rasterio.open(scene, "r+") as dataset:
        dataset.write_colormap(1, {3: (250, 0, 0, 255), 200: (0, 0, 250, 255)})
    page = tmp_path / "report.html"
    write_report(raster, page, sources=ReportSources(scene=scene))
    found = scene_pixels(page).astype(int)
    assert np.abs(found[5:25, 5:40] - (250, 0, 0)).max() < 16
    assert np.abs(found[5:25, 50:85] - (0, 0, 250)).max() < 16


def test_what_does_not_fit_into_the_page_is_left_out(tmp_path):
    labels = np.random.default_rng(0).integers(0, 9, (2600, 2400), np.uint8)
    raster = placed_tif(tmp_path / "map.tif", labels)
    scene = placed_tif(tmp_path / "scene.tif", noise(2600, 2400))
    confidence = placed_tif(tmp_path / "sure.tif", noise(2600, 2400, 1) / np.float32(255))
    page = tmp_path / "report.html"
    sources = ReportSources(scene=scene, confidence=confidence)
    summary = write_report(raster, page, sources=sources)
    assert summary.n_bytes < 5_000_000
    assert page.stat().st_size == summary.n_bytes
    levels = views(page)["layers"]["map"]
    assert (levels[0]["height"], levels[0]["width"]) == (1300, 1200)
    assert summary.shown == (levels[-1]["height"], levels[-1]["width"])
    assert summary.shown == (1300, 1200)
    assert "all figures are those of all pixels" in page.read_text("utf-8")


def test_existing_page_is_kept_unless_it_may_be_replaced(cli, tmp_path, raster):
    page = tmp_path / "report.html"
    page.write_text("mine")
    assert "exists. Use --overwrite" in cli("report", raster, "-o", page).error
    missing = tmp_path / "missing.tif"
    again = cli("report", raster, "--scene", missing, "-o", page, "--overwrite")
    assert again.error == f"Error: {missing} does not exist."
    assert page.read_text() == "mine"
    assert cli("report", raster, "-o", page, "--overwrite", "-q").code == 0
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert leftovers(tmp_path, raster, page) == ["map.tif.aux.xml"]


# Arguments, and what is said of them; the files are made in the test's folder.
WRONG = [
    (["missing.tif"], "missing.tif does not exist"),
    (["scene.tif"], "is a picture (red, green, blue), not a class raster"),
    (["map.tif", "--scene", "far.tif"], "does not overlap the map"),
    (["map.tif", "--scene", "placeless.tif"], "does not lie on the grid of the map"),
    (["map.tif", "--scene", "scene.tif", "--bands", "1,9,2"], "has no band 9"),
    (["map.tif", "--scene", "scene.tif", "--bands", "1,2"], "Choose three, or one in grey"),
    (["map.tif", "--confidence", "far.tif"], "bands; one is needed"),
    (["map.tif", "--confidence", "beyond.tif"], "has values beyond 0 to 1"),
    (["map.tif", "--polygons", "none.gpkg"], "none.gpkg does not exist"),
    (["map.tif", "--polygons", "map.tif"], "cannot be read as a vector file"),
    (["map.tif", "--reference", "beyond.tif"], "has float32 pixels"),
    (["many.tif"], "has 300 different values; a report shows 254 classes at most"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=lambda one: str(one)[-40:])
def test_what_is_wrong_is_said_in_a_line(cli, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    town(Path("map.tif"))
    write_tif(Path("placeless.tif"), noise(9, 9))
    placed_tif(Path("scene.tif"), noise(4, 5), photometric="RGB")
    placed_tif(Path("far.tif"), noise(4, 5), transform=UTM["transform"] @ Affine.translation(99, 0))
    placed_tif(Path("beyond.tif"), np.full((4, 5), 3.5, np.float32))
    placed_tif(Path("many.tif"), np.arange(300, dtype=np.uint16).reshape(15, 20))
    before = leftovers(Path())
    result = cli("report", *arguments, "-o", "report.html")
    assert result.code == 1
    assert said in result.error
    assert leftovers(Path()) == before


@pytest.mark.parametrize(
    ("option", "value", "needed"),
    [("--bands", "1,2,3", "scene"), ("--layer", "a", "polygons"), ("--align", None, "reference")],
)
def test_options_without_their_file_are_a_usage_error(cli, tmp_path, option, value, needed):
    words = [option] if value is None else [option, value]
    result = cli("report", "map.tif", "-o", tmp_path / "report.html", *words)
    assert result.code == 2 and f"Add --{needed}" in result.err


def test_the_page_is_no_input(tmp_path, raster):
    with pytest.raises(GlnetGeoError, match="is no name of an HTML page"):
        write_report(raster, raster, overwrite=True)
    page = raster.rename(tmp_path / "map.html")  # GDAL does not look at names
    with pytest.raises(GlnetGeoError, match="is the input itself"):
        write_report(page, page, overwrite=True)


def test_files_of_strangers(cli, tmp_path, raster):
    scene = placed_tif(tmp_path / "scene.tif", noise(60, 90))
    page = tmp_path / "report.html"
    assert cli("report", raster, "--scene", scene, "-o", page, "--safe").code == 0
    virtual = tmp_path / "scene.vrt"
    virtual.write_text("<VRTDataset rasterXSize='90' rasterYSize='60'/>")
    result = cli("report", raster, "--scene", virtual, "-o", page, "--safe", "--overwrite")
    assert result.code == 1 and "scene.vrt" in result.error


def test_report_does_without_torch(tmp_path, raster):
    code = (
        "import sys; from glnet_geo import write_report; "
        f"write_report({str(raster)!r}, __import__('pathlib').Path({str(tmp_path / 'a.html')!r})); "
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
