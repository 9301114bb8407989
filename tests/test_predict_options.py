"""What `predict` is told about a scene on the command line, on real files of every kind."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from glnet_geo.models.glnet import Form
from glnet_geo.synthetic import make_scene
from tests.models import small_model
from tests.rasters import UTM, noise, placed_tif, write_tif


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The fastest of models: what is tried here does not depend on the networks."""
    return small_model(tmp_path_factory.mktemp("model") / "small.safetensors", Form.GLOBAL)


@pytest.fixture
def predicted(cli, model, tmp_path):
    """Runs predict with some options and gives the labels."""

    def run(scene, *options):
        output = tmp_path / "map.tif"
        result = cli("predict", scene, "-o", output, "--model", model, "--overwrite", *options)
        assert result.code == 0, result.err
        with rasterio.open(output) as dataset:
            return dataset.read(1)

    return run


@pytest.fixture
def refused(cli, model, tmp_path):
    """Runs predict with some options and gives the one line of its error."""

    def run(scene, *options):
        result = cli("predict", scene, "-o", tmp_path / "refused.tif", "--model", model, *options)
        assert result.code == 1
        assert not list(tmp_path.glob("*refused.tif*")), "something is left behind"
        return result.error

    return run


@pytest.fixture
def refused_name(cli, model, tmp_path):
    """The one line about an output of some name."""

    def run(scene, name):
        result = cli("predict", scene, "-o", tmp_path / name, "--model", model)
        assert result.code == 1
        assert [path.name for path in tmp_path.iterdir()] == [scene.name]
        return result.error

    return run


def test_bands_are_found_by_colour_and_chosen_by_name(predicted, tmp_path):
    bundled = ("--model", "dubai-urban")  # random weights may not care about a band
    pixels = make_scene(200, 200).pixels
    pixels[0] //= 2
    expected = predicted(placed_tif(tmp_path / "rgb.tif", pixels), *bundled)
    four = np.stack([255 - pixels[0], pixels[2], pixels[1], pixels[0]])
    marks = (ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red)
    marked = placed_tif(tmp_path / "nbgr.tif", four, marks=marks, photometric="minisblack")
    np.testing.assert_array_equal(predicted(marked, *bundled), expected)
    described = placed_tif(tmp_path / "described.tif", four, photometric="minisblack")
    with rasterio.open(described, "r+") as dataset:
        dataset.descriptions = ("NIR", "B02", "B03", "B04")
    for bands in ("4,3,2", "b04,B03,2"):
        np.testing.assert_array_equal(predicted(described, "--bands", bands, *bundled), expected)
    assert (predicted(described, "--bands", "nir,B03,B02", *bundled) != expected).any()


def test_a_band_that_is_not_there_is_answered_with_those_that_are(refused, tmp_path):
    scene = placed_tif(tmp_path / "scene.tif", noise(60, 60), photometric="rgb")
    message = refused(scene, "--bands", "nir,green,blue")
    assert "nir" in message and "1 (red), 2 (green), 3 (blue)" in message


def test_a_pixel_counts_where_all_bands_do_or_where_any_does(predicted, tmp_path):
    pixels = np.maximum(noise(90, 80), 1)
    pixels[0, 10:20] = 0
    pixels[:, 40:50] = 0
    scene = placed_tif(tmp_path / "scene.tif", pixels, nodata=0)
    rows = np.flatnonzero((predicted(scene) == 255).all(axis=1))
    assert rows.tolist() == [*range(10, 20), *range(40, 50)]
    rows = np.flatnonzero((predicted(scene, "--any-valid") == 255).all(axis=1))
    assert rows.tolist() == list(range(40, 50))


def test_nodata_of_ones_own(predicted, tmp_path):
    pixels = np.clip(noise(90, 80), 1, 250)
    pixels[:, :30] = 255
    scene = placed_tif(tmp_path / "scene.tif", pixels)
    assert (predicted(scene) != 255).all()
    labels = predicted(scene, "--nodata", "255")
    assert (labels[:30] == 255).all() and (labels[30:] != 255).all()


def test_the_speckled_collar_of_lossy_jpeg(predicted, refused, tmp_path):
    pixels = np.zeros((3, 160, 160), np.uint8)
    pixels[:, 40:, :] = make_scene(120, 160).pixels.clip(60)
    profile = {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "jpeg_quality": 60}
    place = {"blockxsize": 160, "blockysize": 160}
    scene = placed_tif(tmp_path / "scene.tif", pixels, **profile, **place, nodata=0)
    with rasterio.open(scene) as dataset:
        stored = dataset.read()
    collar = np.zeros((160, 160), bool)
    collar[:36] = True
    assert stored[:, collar].any(), "the collar of this file is clean"
    options = ("--nodata-tolerance", "25", "--any-valid")
    assert (predicted(scene, "--any-valid")[collar] != 255).any()
    assert (predicted(scene, *options)[:32] == 255).all()
    assert (predicted(scene, *options)[45:] != 255).mean() > 0.999
    without = placed_tif(tmp_path / "without.tif", pixels)
    assert "Give one with --nodata" in refused(without, "--nodata-tolerance", "5")


def test_masks_of_every_kind(predicted, tmp_path):
    pixels = np.maximum(noise(90, 80), 1)
    hole = np.full((90, 80), 255, np.uint8)
    hole[20:30, 5:60] = 0
    scenes = [placed_tif(tmp_path / "internal.tif", pixels, mask=hole)]
    rgba = np.concatenate([pixels, hole[None]])
    scenes.append(placed_tif(tmp_path / "alpha.tif", rgba, photometric="rgb", alpha="yes"))
    external = placed_tif(tmp_path / "external.tif", pixels)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(external, "r+") as dataset:
        dataset.write_mask(hole)
    assert (tmp_path / "external.tif.msk").exists()
    floats = np.where(hole > 0, pixels, np.nan).astype(np.float32)
    scenes += [external, placed_tif(tmp_path / "nan.tif", floats, nodata=np.nan)]
    scenes.append(placed_tif(tmp_path / "undeclared.tif", np.where(hole, pixels, np.inf)))
    for scene in scenes:
        np.testing.assert_array_equal(predicted(scene) == 255, hole == 0, str(scene))


def test_palettes_are_expanded(predicted, tmp_path):
    indices = noise(100, 120, bands=1)[0] % 4
    colors = {0: (0, 0, 0, 255), 1: (250, 10, 30, 255), 2: (0, 200, 90, 255), 3: (9, 9, 99, 255)}
    palette = placed_tif(tmp_path / "palette.tif", indices)
    with rasterio.open(palette, "r+") as dataset:
        dataset.write_colormap(1, colors)
    table = np.array([colors[k][:3] for k in range(4)], np.uint8)
    rgb = placed_tif(tmp_path / "rgb.tif", table[indices].transpose(2, 0, 1))
    np.testing.assert_array_equal(predicted(palette), predicted(rgb))


def test_area_of_interest(predicted, refused, tmp_path):
    scene = placed_tif(tmp_path / "scene.tif", noise(90, 80))
    area = tmp_path / "area.geojson"
    box = shapely.box(500_005, 4_999_965, 500_015, 4_999_990)  # rows 20-70, columns 10-30
    geopandas.GeoSeries([box], crs=UTM["crs"]).to_crs(4326).to_file(area)
    inside = predicted(scene, "--aoi", area) != 255
    expected = np.zeros((90, 80), bool)
    expected[20:70, 10:30] = True
    assert (inside != expected).sum() < 50 and inside.sum() > 900
    far = tmp_path / "far.geojson"
    geopandas.GeoSeries([shapely.box(1, 1, 2, 2)], crs=4326).to_file(far)
    assert "does not overlap" in refused(scene, "--aoi", far)
    assert "does not exist" in refused(scene, "--aoi", tmp_path / "none.gpkg")
    assert "cannot be read as a vector file" in refused(scene, "--aoi", scene)


def test_scenes_that_only_points_or_polynomials_place(refused, tmp_path):
    points = [rasterio.control.GroundControlPoint(0, 0, 9.0, 45.0)]
    gcps = write_tif(tmp_path / "gcps.tif", noise(60, 60), gcps=points, crs="EPSG:4326")
    message = refused(gcps)
    assert f"gdalwarp {gcps} rectified.tif" in message
    terms = [1.0] + [0.0] * 19
    polynomials = RPC(0, 500, 45, 1, terms, terms, 30, 60, 9, 1, terms, terms, 30, 60)
    rpcs = write_tif(tmp_path / "rpcs.tif", noise(60, 60), rpcs=polynomials)
    assert "gdalwarp -rpc" in refused(rpcs)


def test_half_precision_gives_nearly_the_same_map(predicted, tmp_path):
    options = ("--model", "dubai-urban", "--device", "cpu", "--precision")
    scene, maps = placed_tif(tmp_path / "scene.tif", make_scene(300, 320).pixels), {}
    for precision in ("fp32", "bf16", "auto"):
        maps[precision] = predicted(scene, *options, precision)
        with rasterio.open(tmp_path / "map.tif") as dataset:
            used = "fp32" if precision == "auto" else precision
            assert dataset.tags()["PRECISION"] == used
    assert len(np.unique(maps["fp32"])) > 2
    assert 0.95 < (maps["bf16"] == maps["fp32"]).mean() < 1
    np.testing.assert_array_equal(maps["auto"], maps["fp32"])


def test_a_precision_that_is_slow_here_is_warned_of_once(cli, model, tmp_path):
    scene = placed_tif(tmp_path / "scene.tif", noise(300, 60))  # two frames
    words = ("predict", scene, "-o", tmp_path / "map.tif", "--model", model, "--overwrite")
    warned = {}
    for precision in ("fp16", "bf16"):
        result = cli(*words, "--device", "cpu", "--precision", precision)
        assert result.code == 0
        warned[precision] = [one for one in result.err.splitlines() if "Warning: " in one]
    assert not warned["bf16"]
    (line,) = warned["fp16"]
    assert "fp16" in line and "Take bf16 or fp32" in line


@pytest.mark.parametrize(
    "options", [("--frame", "50"), ("--gsd", "0.5m"), ("--bands", "1,2"), ("--scale", "0,1") * 2]
)
def test_options_that_do_not_fit_are_one_line(refused, tmp_path, options):
    assert refused(placed_tif(tmp_path / "scene.tif", noise(60, 60)), *options)


def test_an_url_that_leads_nowhere(refused, monkeypatch):
    monkeypatch.setattr("glnet_geo.remote._WAITS", (0.0, 0.0, 0.0))
    message = refused("http://127.0.0.1:9/scene.tif")
    assert "http://127.0.0.1:9/scene.tif" in message


def test_the_input_under_another_name_is_still_the_input(cli, model, tmp_path):
    scene = placed_tif(tmp_path / "scene.tif", noise(60, 60))
    before = scene.read_bytes()
    mosaic = tmp_path / "mosaic.vrt"
    with rasterio.open(scene) as dataset:
        rasterio.shutil.copy(dataset, mosaic, driver="VRT")
    for name in (f"file://{scene}", mosaic):
        result = cli("predict", name, "-o", scene, "--model", model, "--overwrite")
        assert result.code == 1 and "is the input itself" in result.error
    assert scene.read_bytes() == before


def test_a_mosaic_without_one_of_its_tiles_names_it(refused, tmp_path):
    tile = placed_tif(tmp_path / "tile.tif", noise(60, 60))
    mosaic = tmp_path / "mosaic.vrt"
    with rasterio.open(tile) as dataset:
        rasterio.shutil.copy(dataset, mosaic, driver="VRT")
    tile.unlink()
    assert "tile.tif" in refused(mosaic)


def test_bad_input_without_a_place_is_one_line_too(refused, tmp_path):
    scene = write_tif(tmp_path / "scene.tif", noise(60, 60))
    assert "--scale" in refused(scene, "--scale", "0,1", "--scale", "0,2")
    assert "does not exist" in refused(scene, "--aoi", tmp_path / "none.gpkg")


def test_names_that_are_too_long_are_known_before_the_work(refused_name, tmp_path):
    scene = placed_tif(tmp_path / "scene.tif", noise(60, 60))
    for length in (248, 252, 300):
        assert "cannot be written" in refused_name(scene, "m" * (length - 4) + ".tif")
