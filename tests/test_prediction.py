from __future__ import annotations

from importlib.metadata import version

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import torch
from affine import Affine
from PIL import Image
from pyproj import Geod
from rio_cogeo.cogeo import cog_validate

from glnet_geo.blending import best_class
from glnet_geo.checkpoint import model_hash
from glnet_geo.errors import GlnetGeoError, OutputError
from glnet_geo.grid import Grid
from glnet_geo.legend import DEEPGLOBE, DUBAI, NODATA
from glnet_geo.models.glnet import Form, GLNet
from glnet_geo.models.inference import InferenceNet
from glnet_geo.prediction import predict
from glnet_geo.radiometry import find_stretch
from glnet_geo.raster import Chip, SceneReader
from glnet_geo.segmenter import GLNetSegmenter
from glnet_geo.synthetic import make_scene
from glnet_geo.tiling import FrameExtent
from glnet_geo.validity import Validity
from tests.models import small_card, small_model
from tests.rasters import UTM, noise, placed_tif, write_tif

CPU = torch.device("cpu")


def segment(form=Form.BOTH_WAYS, size=(256, 256), reference=False, **changes):
    card = small_card(form, **changes)
    torch.manual_seed(1)
    net = GLNet(card.architecture).eval()
    chip = Chip(noise(*size), np.ones(size, bool), Grid(*size))
    bands = list(GLNetSegmenter(net, card, CPU, reference)(chip))
    assert all(band.dtype == np.float32 for band in bands)
    return np.concatenate(bands, axis=1)


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("size", [(1, 1), (30, 200), (256, 256), (130, 311)])
def test_scores_cover_frames_of_any_shape(form, size):
    scores = segment(form, size)
    assert scores.shape == (5, *size) and np.isfinite(scores).all()


def test_ignored_classes_are_predicted_under_reference_only():
    scores = segment(legend=DEEPGLOBE)
    assert (scores[0] == -np.inf).all() and np.isfinite(scores[1:]).all()
    assert np.isfinite(segment(legend=DEEPGLOBE, reference=True)).all()


def test_reference_frames_have_the_trained_extent():
    card = small_card()
    net = GLNet(card.architecture).eval()
    reads = [f.read for f in GLNetSegmenter(net, card, CPU, reference=True).frames(300, 700)]
    assert {(r.height, r.width) for r in reads} == {(256, 256)}


def test_map_lies_on_the_scenes_grid(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(301, 407))
    summary = predict(scene, tmp_path / "map.tif", model=str(model))
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert (dataset.height, dataset.width, dataset.count) == (301, 407, 1)
        assert dataset.transform == UTM["transform"] and dataset.crs == UTM["crs"]
        assert dataset.dtypes == ("uint8",) and dataset.nodata == NODATA
        assert dataset.tags()["MODEL"] == "small 0.1" and dataset.tags()["CLASS_5"] == "water"
        labels = dataset.read(1)
    assert set(np.unique(labels)) <= set(DUBAI.ids)
    assert summary.pixels == {int(v): int((labels == v).sum()) for v in np.unique(labels)}
    shares = [summary.share(c.id) for c in DUBAI.classes]
    assert sum(shares) == pytest.approx(1)
    assert sum(summary.area_ha(c.id) for c in DUBAI.classes) == pytest.approx(301 * 407 / 4 / 1e4)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "map.tif",
        "map.tif.aux.xml",
        "scene.tif",
    ]


def test_areas_of_a_tall_scene_in_degrees_weigh_its_rows(tmp_path, model):
    place = {"crs": "EPSG:4326", "transform": Affine(0.05, 0, 10, 0, -0.05, 75)}
    scene = write_tif(tmp_path / "scene.tif", noise(530, 300), **place)
    summary = predict(scene, tmp_path / "map.tif", model=str(model))
    with rasterio.open(tmp_path / "map.tif") as dataset:
        labels = dataset.read(1)
    tops = 75 - 0.05 * np.arange(530)
    rows = [
        Geod(ellps="WGS84").polygon_area_perimeter([0, 0.05, 0.05, 0], [top - 0.05] * 2 + [top] * 2)
        for top in tops
    ]
    areas = np.array([area for area, _ in rows])
    for class_id in np.unique(labels):
        expected = (labels == class_id).sum(axis=1) @ areas / 1e4
        assert summary.area_ha(class_id) == pytest.approx(expected, rel=1e-6)
    total = sum(summary.areas_m2.values())
    assert total == pytest.approx(summary.grid.pixel_area_m2 * 530 * 300, rel=1e-12)
    assert summary.area_rule == "equal-area (LAEA at 61.75 N, 17.50 E)"


def test_second_run_gives_the_same_map(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(260, 300))
    maps = []
    for _ in range(2):
        predict(scene, tmp_path / "map.tif", model=str(model), overwrite=True)
        maps.append((tmp_path / "map.tif").read_bytes())
    assert maps[0] == maps[1]


def test_float_scene_is_stretched_over_the_whole_scene(tmp_path, model):
    pixels = noise(260, 300)
    scaled = (pixels * 12.5 - 300).astype(np.float32)
    scaled[:, :20] = np.nan
    predict(placed_tif(tmp_path / "f.tif", scaled), tmp_path / "f_map.tif", model=str(model))
    with rasterio.open(tmp_path / "f_map.tif") as dataset:
        labels = dataset.read(1)
    assert (labels[:20] == NODATA).all() and (labels[20:] != NODATA).all()


def test_coarse_pixels_are_a_warning_where_the_card_knows_none(tmp_path, model, caplog):
    place = {"transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    scene = placed_tif(tmp_path / "scene.tif", noise(40, 40), **place)
    predict(scene, tmp_path / "map.tif", model=str(model))
    assert "has 10 m pixels; the card of the model 'small' does not say" in caplog.text
    caplog.clear()
    predict(placed_tif(tmp_path / "fine.tif", noise(40, 40)), tmp_path / "f.tif", model=str(model))
    assert "pixels" not in caplog.text


@pytest.mark.parametrize("name", ["map.png", "map"])
def test_a_map_has_the_name_of_a_geotiff(tmp_path, model, name):
    scene = placed_tif(tmp_path / "scene.tif", noise(40, 40))
    with pytest.raises(OutputError, match=r"is no name of a GeoTIFF\. Name one, such as map\.tif"):
        predict(scene, tmp_path / name, model=str(model))
    with pytest.raises(OutputError, match="is no name of a GeoTIFF"):
        predict(scene, tmp_path / "map.tif", model=str(model), confidence=tmp_path / name)
    assert [one.name for one in tmp_path.iterdir()] == ["scene.tif"]


def test_scene_without_data_gives_a_map_without_data(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", np.zeros((3, 300, 280), np.uint8), nodata=0)
    summary = predict(scene, tmp_path / "map.tif", model=str(model))
    assert summary.pixels == {NODATA: 300 * 280}
    assert summary.share(1) is None


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_picture_without_place_keeps_its_pixels(tmp_path, model, caplog, suffix):
    path = tmp_path / f"scene{suffix}"
    Image.fromarray(noise(120, 200).transpose(1, 2, 0)).save(path)
    summary = predict(path, tmp_path / "map.tif", model=str(model))
    with rasterio.open(path) as source, rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.crs is None and dataset.transform == source.transform
        assert (dataset.height, dataset.width) == (120, 200)
    assert summary.area_ha(1) is None
    assert "has no CRS or no transform" in caplog.text


def tags_of(path):
    with rasterio.open(path) as dataset:
        return dataset.tags()


def labels_of(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_a_coarser_scene_is_warned_of(tmp_path, caplog):
    model = small_model(tmp_path / "m.safetensors", Form.GLOBAL, gsd=0.1)
    scene = placed_tif(tmp_path / "scene.tif", noise(100, 100))
    predict(scene, tmp_path / "map.tif", model=str(model))
    assert "0.5 m pixels" in caplog.text and "trained at 0.1 m" in caplog.text
    assert tags_of(tmp_path / "map.tif")["NETWORK_PIXELS"] == "500 x 500"


def test_the_network_sees_pixels_of_the_ground_size_that_it_knows(tmp_path, caplog):
    model = small_model(tmp_path / "m.safetensors", gsd=1.0)
    scene = placed_tif(tmp_path / "scene.tif", noise(301, 200))
    predict(scene, tmp_path / "map.tif", model=str(model))
    assert tags_of(tmp_path / "map.tif")["NETWORK_PIXELS"] == "100 x 150"
    assert labels_of(tmp_path / "map.tif").shape == (301, 200)
    assert caplog.text == ""


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_gsd_given_overrides_the_crs_and_serves_scenes_without(tmp_path, caplog):
    model = small_model(tmp_path / "m.safetensors", gsd=1.0)
    scene = placed_tif(tmp_path / "scene.tif", noise(120, 200))
    predict(scene, tmp_path / "same.tif", model=str(model), gsd=1.05)
    assert tags_of(tmp_path / "same.tif")["NETWORK_PIXELS"] == "200 x 120", "nearly the same"
    bare = write_tif(tmp_path / "bare.tif", noise(120, 200))
    predict(bare, tmp_path / "quarter.tif", model=str(model), gsd=0.25)
    assert tags_of(tmp_path / "quarter.tif")["NETWORK_PIXELS"] == "50 x 30"


def test_degrees_are_metres_at_the_scenes_latitude(tmp_path):
    model = small_model(tmp_path / "m.safetensors", gsd=1.0)
    # 0.5 m north to south and, at 60 degrees, 0.5 m west to east.
    step = 0.5 / 111_412
    place = {"crs": "EPSG:4326", "transform": Affine(2 * step, 0, 25.0, 0, -step, 60.0)}
    scene = write_tif(tmp_path / "scene.tif", noise(120, 200), **place)
    predict(scene, tmp_path / "map.tif", model=str(model))
    assert tags_of(tmp_path / "map.tif")["NETWORK_PIXELS"] == "100 x 60"


def test_pixels_that_are_no_squares_on_the_ground_become_squares(tmp_path):
    model = small_model(tmp_path / "m.safetensors", gsd=1.0)
    step = 0.5 / 111_412  # square in degrees: at 60 degrees half as wide as high
    place = {"crs": "EPSG:4326", "transform": Affine(step, 0, 25.0, 0, -step, 60.0)}
    scene = write_tif(tmp_path / "scene.tif", noise(120, 200), **place)
    predict(scene, tmp_path / "map.tif", model=str(model))
    assert tags_of(tmp_path / "map.tif")["NETWORK_PIXELS"] == "50 x 60"


def test_frames_that_finish_no_pixel_of_a_coarse_scene(tmp_path):
    model = small_model(tmp_path / "m.safetensors", Form.GLOBAL, gsd=0.1)
    scene = placed_tif(tmp_path / "scene.tif", noise(43, 52))  # 215 x 260 pixels of the view
    whole, cut = tmp_path / "whole.tif", tmp_path / "cut.tif"
    for output, frame in ((whole, FrameExtent.SCENE), (cut, 214)):
        predict(scene, output, model=str(model), frame=frame)
        assert labels_of(output).shape == (43, 52) and (labels_of(output) != NODATA).all()


def test_overviews_made_by_another_rule_do_not_spoil_the_stretch(tmp_path, model):
    pixels = np.random.default_rng(0).integers(1000, 1100, (3, 2200, 2200)).astype(np.uint16)
    pixels[:, np.random.default_rng(1).random((2200, 2200)) < 0.4] = 0
    scene = placed_tif(tmp_path / "scene.tif", pixels, tiled=True)
    with rasterio.open(scene, "r+") as dataset:
        dataset.build_overviews([2, 4], rasterio.enums.Resampling.average)
    with SceneReader(scene, validity=Validity(nodata=0)) as reader:
        stretch = find_stretch(reader)
    np.testing.assert_allclose(stretch.low, 1001, atol=1)
    np.testing.assert_allclose(stretch.high, 1098, atol=1)


def test_reference_and_models_without_gsd_work_in_pixels(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(120, 200))
    for name, options in (
        ("a", {"model": str(model)}),
        ("b", {"model": str(small_model(tmp_path / "m.safetensors", gsd=5.0)), "reference": True}),
    ):
        predict(scene, tmp_path / f"{name}.tif", **options)
        assert tags_of(tmp_path / f"{name}.tif")["NETWORK_PIXELS"] == "200 x 120"
    with pytest.raises(GlnetGeoError, match="leave --gsd out"):
        predict(scene, tmp_path / "c.tif", model=str(model), gsd=0.3)


def test_pixels_far_too_coarse_are_refused(tmp_path):
    model = small_model(tmp_path / "m.safetensors", gsd=0.001)
    scene = placed_tif(tmp_path / "scene.tif", noise(20, 20))
    with pytest.raises(GlnetGeoError, match="sees nothing in them"):
        predict(scene, tmp_path / "map.tif", model=str(model))


@pytest.mark.parametrize(
    ("frame", "sides"),
    [(100, {(100, 100)}), (FrameExtent.SCENE, {(300, 640)}), (FrameExtent.CARD, {(300, 235)})],
)
def test_frames_of_the_size_asked_for(frame, sides):
    card = small_card()
    segmenter = GLNetSegmenter(GLNet(card.architecture), card, CPU, frame=frame)
    reads = [one.read for one in segmenter.frames(300, 640)]
    assert {(read.height, read.width) for read in reads} == sides


def test_a_frame_smaller_than_its_overlaps_is_refused():
    card = small_card()
    with pytest.raises(GlnetGeoError, match="Take more than 64"):
        GLNetSegmenter(GLNet(card.architecture), card, CPU, frame=64)


def test_a_whole_scene_as_one_frame_is_seen_as_small_as_in_the_paper(monkeypatch):
    sizes = []

    segment_as_ever = InferenceNet.segment

    def recording(net, view, *others):
        sizes.append(view.shape[-2:])
        return segment_as_ever(net, view, *others)

    monkeypatch.setattr(InferenceNet, "segment", recording)
    for size in ((256, 256), (1280, 640), (130, 200)):
        segment(size=size, global_size=128)
    assert sizes == [(128, 128), (128, 64), (65, 100)]


def test_sixteen_bits_are_stretched_by_what_is_recorded(tmp_path, model):
    pixels = (noise(260, 300).astype(np.uint16) + 100) * 11
    scene = placed_tif(tmp_path / "scene.tif", pixels)
    predict(scene, tmp_path / "found.tif", model=str(model))
    tags = tags_of(tmp_path / "found.tif")
    assert "percentiles 1 and 99" in tags["SCALE_SOURCE"]
    scale = [tuple(map(float, pair.split(","))) for pair in tags["SCALE"].split()]
    np.testing.assert_allclose(scale[0], np.percentile(pixels[0], [1, 99]), rtol=0.01)
    predict(scene, tmp_path / "given.tif", model=str(model), scale=scale)
    found, given = (labels_of(tmp_path / name) for name in ("found.tif", "given.tif"))
    np.testing.assert_array_equal(given, found)
    predict(scene, tmp_path / "other.tif", model=str(model), scale=[(0, 10_000)])
    assert (labels_of(tmp_path / "other.tif") != found).any()
    assert tags_of(tmp_path / "other.tif")["SCALE_SOURCE"] == "given"


def test_scale_of_another_number_of_bands(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(60, 60))
    with pytest.raises(GlnetGeoError, match=r"given 2 times; .* 3 bands"):
        predict(scene, tmp_path / "map.tif", model=str(model), scale=[(0, 1), (0, 2)])


def test_bands_that_are_a_guess_are_said_to_be(tmp_path, model, caplog):
    scene = placed_tif(tmp_path / "scene.tif", noise(100, 100, bands=4), photometric="minisblack")
    predict(scene, tmp_path / "map.tif", model=str(model))
    assert "does not say which of its bands show red, green, blue" in caplog.text
    assert "Bands 1, 2, 3 are taken" in caplog.text


def test_a_map_is_a_valid_cloud_optimized_geotiff(tmp_path, model):
    predict(placed_tif(tmp_path / "s.tif", noise(700, 1100)), tmp_path / "m.tif", model=str(model))
    is_valid, errors, warnings = cog_validate(tmp_path / "m.tif", strict=True)
    assert is_valid and not errors and not warnings
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert dataset.overviews(1) and dataset.compression.name == "deflate"


def test_tags_say_what_one_needs_to_repeat_the_run(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(100, 100))
    area = tmp_path / "area.geojson"
    box = shapely.box(500_000, 4_999_980, 500_030, 5_000_000)
    geopandas.GeoSeries([box], crs="EPSG:32633").to_crs(4326).to_file(area)
    validity = Validity(any_valid=True, nodata=3.0, tolerance=1.0)
    options = {"bands": [3, 2, 1], "validity": validity, "aoi": area, "frame": 80}
    predict(scene, tmp_path / "map.tif", model=str(model), **options)
    tags = tags_of(tmp_path / "map.tif")
    expected = {
        "MODEL": "small 0.1",
        "MODEL_SHA256": model_hash(model),
        "MODEL_LICENCE": "none",
        "TIFFTAG_SOFTWARE": f"glnet-geo {version('glnet-geo')}",
        "SCENE": "scene.tif",
        "BANDS": "3,2,1",
        "SCALE": "none",
        "VALID_WHERE": "any band is",
        "SCENE_NODATA": "3.0",
        "SCENE_NODATA_TOLERANCE": "1.0",
        "AOI": "area.geojson",
        "NETWORK_PIXELS": "100 x 100",
        "FRAME": "80",
        "PRECISION": "fp32",
        "REFERENCE_ARITHMETIC": "false",
    }
    assert {key: tags.get(key) for key in expected} == expected
    assert len(tags["AOI_SHA256"]) == 64


def test_threads_and_batches_hardly_change_the_map():
    """Of a model with both branches: it has patches, and maps that are merged in some order."""
    card = small_card(frame=700, patch_size=256, global_size=256)
    torch.manual_seed(3)
    net = GLNet(card.architecture).eval()
    chip = Chip(make_scene(600, 700).pixels, np.ones((600, 700), bool), Grid(600, 700))
    threads = torch.get_num_threads()
    maps = []
    try:
        for count, batch_size in ((2, 1), (1, 1), (2, 3)):
            torch.set_num_threads(count)
            segmenter = GLNetSegmenter(net, card, CPU, batch_size=batch_size)
            maps.append(best_class(np.concatenate(list(segmenter(chip)), axis=1)))
    finally:
        torch.set_num_threads(threads)
    assert len(np.unique(maps[0])) > 2
    assert all((one == maps[0]).mean() >= 0.99999 for one in maps[1:])
