"""What the commands write opens in a real QGIS in the classes' names and colours."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from affine import Affine
from PIL import Image, ImageFilter

from glnet_geo.change_legend import ChangeLegend
from glnet_geo.class_raster import ClassRaster
from glnet_geo.class_table import MapClass
from glnet_geo.cli.main import group
from glnet_geo.geopackage import layer_names
from glnet_geo.grid import Grid
from glnet_geo.legend import DUBAI, NODATA, LandCover, Legend
from glnet_geo.raster_output import class_map
from tests.batch_tiles import lively_model
from tests.class_maps import NAMED, named_map, patches
from tests.in_qgis import Look, Shown, call_qgis, look, needs_qgis
from tests.models import small_model
from tests.rasters import UTM, noise, placed_tif

pytestmark = needs_qgis

ROOT = Path(__file__).parents[1]

SHAPE = (60, 80)
ZOOM = 3.5  # at which polygons are drawn
TWO = Legend("two", (LandCover(0, "background", (9, 9, 9)), LandCover(1, "roof", (200, 0, 0))))
FORTY = Legend(
    "forty",
    tuple(
        LandCover(k, f"class {k}, whose name goes on ".ljust(100, "x"), (6 * k, 255 - 3 * k, k))
        for k in range(40)
    ),
)
AWKWARD = Legend(
    "awkward",
    (
        LandCover(0, "<b>Wald</b> & 'Wiese'", (0, 128, 0)),
        LandCover(1, 'Straße "Süd" 水', (255, 255, 0)),
        LandCover(2, "100 %, [x] {y} | 'z'", (254, 1, 2)),
    ),
)
LAYER_NAMES = layer_names({one.id: one.name for one in AWKWARD.classes})
GAPS = Legend(
    "gaps",
    (
        LandCover(7, "sieben", (7, 70, 170)),
        LandCover(2, "zwei", (2, 20, 220)),
        LandCover(40, "vierzig", (0, 0, 0)),
    ),
)
COLORS = {one.name: one.rgb for one in AWKWARD.classes}
LEGENDS = {one.name: one for one in (TWO, FORTY, AWKWARD, GAPS, NAMED, DUBAI)}
COUNTS = (4,)
PICTURE = (int(ZOOM * SHAPE[1]), int(ZOOM * SHAPE[0]))
LAYERS = ("probabilities", "confidence", "disagreement")
BATCH_MAPS = ("west.tif", "east.tif", "landcover.vrt")
SUFFIXES = (".gpkg", ".shp", ".fgb", ".geojson")


def labels_of(legend: Legend, shape: tuple[int, int] = SHAPE) -> npt.NDArray[np.uint8]:
    """All classes in patches, and nodata."""
    values = np.array([*legend.ids, NODATA], np.uint8)
    return values[patches(*shape, classes=len(values))]


def read(path: Path) -> npt.NDArray[np.uint8]:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


class Files:
    """Everything that this module looks at, opened in one start of QGIS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._looks: dict[str, Look] = {}
        self._shown: dict[str, Shown] = {}

    def raster(self, name: str) -> Path:
        """Where a raster goes that is to be opened."""
        self._looks[name] = Look(self.folder / name)
        return self.folder / name

    def vectors(self, name: str, layer: str | None = None) -> Path:
        """Where a vector file goes that is to be opened."""
        key = name if layer is None else f"{name}|{layer}"
        self._looks[key] = Look(self.folder / name, True, layer, PICTURE)
        return self.folder / name

    def open_all(self, folder: Path) -> None:
        answers = look([*self._looks.values()], folder)
        self._shown = dict(zip(self._looks, answers, strict=True))

    def __getitem__(self, name: str) -> Shown:
        return self._shown[name]

    def labels(self, name: str) -> npt.NDArray[np.uint8]:
        """The pixels of a class raster."""
        with rasterio.open(self.folder / name) as dataset:
            return dataset.read(1)


def run(*words: object) -> None:
    """`glnet-geo` in this process."""
    group.main([*map(str, words), "-q"], standalone_mode=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    made = Files(tmp_path_factory.mktemp("files"))
    for name, legend in LEGENDS.items():
        named_map(made.raster(f"{name}.tif"), labels_of(legend), legend)
    write_odd_maps(made)
    write_predictions(made)
    write_batch(made)
    write_polygons(made)
    write_sample(made)
    write_change(made)
    made.open_all(tmp_path_factory.mktemp("pictures"))
    return made


def write_odd_maps(made: Files) -> None:
    named_map(made.raster("one_pixel.tif"), np.full((1, 1), 4, np.uint8))
    named_map(made.raster("no_data.tif"), np.full((5, 6), NODATA, np.uint8))
    grid = Grid(*SHAPE)
    with class_map(made.raster("nowhere.tif"), grid, DUBAI, {}) as writer:
        writer.write(labels_of(DUBAI), grid.window)


def write_predictions(made: Files) -> None:
    """A map of 4 classes: GDAL takes so many bands for colours and opacity."""
    pixels = noise(70, 90)
    pixels[:, :20, :30] = 0
    scene = placed_tif(made.folder / "scene.tif", pixels, nodata=0)
    for count in COUNTS:
        legend = Legend("few", FORTY.classes[:count])
        model = small_model(made.folder / f"{count}.safetensors", legend=legend)
        layers = [
            word for one in LAYERS for word in (f"--{one}", made.raster(f"{count}_{one}.tif"))
        ]
        run("predict", scene, "-o", made.raster(f"{count}.tif"), "--model", model, *layers)


def write_batch(made: Files) -> None:
    tiles = made.folder / "tiles"
    tiles.mkdir()
    for name, column in (("west", 0), ("east", 64)):
        place = UTM["transform"] @ Affine.translation(column, 0)
        placed_tif(tiles / f"{name}.tif", noise(64, 64, seed=column), transform=place)
    model = lively_model(made.folder / "batch.safetensors")
    run("batch", tiles, "-o", made.folder / "out", "--model", model, "--vectorize", "--merge")
    for name in BATCH_MAPS:
        made.raster(f"out/{name}")
    made.vectors("out/landcover.gpkg")


def write_polygons(made: Files) -> None:
    awkward = made.folder / "awkward.tif"
    for suffix in SUFFIXES:
        run("vectorize", awkward, "-o", made.vectors(f"awkward{suffix}"))
    run("vectorize", awkward, "-o", made.vectors("smooth.gpkg"), "--simplify", "1m")
    run("vectorize", awkward, "-o", made.vectors("one.gpkg"), "--classes", AWKWARD.classes[1].name)
    for layer in LAYER_NAMES.values():
        layers = made.vectors("layers.gpkg", layer)
    run("vectorize", awkward, "-o", layers, "--layer-per-class")
    run("vectorize", made.folder / "forty.tif", "-o", made.vectors("forty.gpkg"))
    run("vectorize", made.folder / "nowhere.tif", "-o", made.vectors("nowhere.gpkg"))
    run("vectorize", made.folder / "no_data.tif", "-o", made.vectors("no_data.gpkg"))


def write_sample(made: Files) -> None:
    run("sample", made.folder / "awkward.tif", "-o", made.vectors("sample.gpkg"), "--size", 30)


def write_change(made: Files) -> None:
    """Into the classes themselves, and into others."""
    old = made.folder / "awkward.tif"
    labels = labels_of(AWKWARD)
    labels[:20] = labels[::-1][:20]
    named_map(made.folder / "later.tif", labels, AWKWARD)
    change = made.raster("change.tif")
    run("change", old, made.folder / "later.tif", "-o", change)
    run("vectorize", change, "-o", made.vectors("change.gpkg"), "--exclude", "no change")


@pytest.mark.parametrize("name", LEGENDS)
def test_a_class_raster_has_its_names_and_colours(files, name):
    files[f"{name}.tif"].check_classes(LEGENDS[name])
    files[f"{name}.tif"].check_drawn(labels_of(LEGENDS[name]), LEGENDS[name])


def test_maps_of_one_pixel_and_of_none(files):
    for name in ("one_pixel.tif", "no_data.tif"):
        files[name].check_classes(NAMED)
        files[name].check_drawn(files.labels(name), NAMED)


def test_a_map_without_a_place(files):
    shown = files["nowhere.tif"]
    shown.check_classes(DUBAI)
    shown.check_drawn(labels_of(DUBAI), DUBAI)
    assert shown.answer["crs"] == ""


@pytest.mark.parametrize("count", COUNTS)
def test_a_prediction_and_how_sure_it_is(files, count):
    legend = Legend("few", FORTY.classes[:count])
    labels = files.labels(f"{count}.tif")
    assert (labels == NODATA).any()
    files[f"{count}.tif"].check_classes(legend)
    files[f"{count}.tif"].check_drawn(labels, legend)
    for layer in LAYERS:
        name = f"{count}_{layer}.tif"
        check_shares(files[name], files.labels(name))
    bands = [f"Band {k + 1}: {one.name}" for k, one in enumerate(legend.classes)]
    assert files[f"{count}_probabilities.tif"].answer["bands"] == bands
    assert files[f"{count}_confidence.tif"].answer["bands"] == ["Band 1: confidence"]


def check_shares(shown: Shown, shares: npt.NDArray[np.uint8]) -> None:
    """The first band from black for 0 to white for 254, and where no data is nothing is drawn."""
    assert shown.answer["renderer"] == "singlebandgray"
    assert shown.answer["messages"] == []
    is_data = shares != NODATA
    assert shown.pixels is not None
    assert (shown.pixels[..., 3] == np.where(is_data, 255, 0)).all()
    drawn = shown.pixels[is_data, :3].astype(int)
    assert np.abs(drawn - shares[is_data][:, None] * (255 / 254)).max() <= 1


@pytest.mark.parametrize("name", BATCH_MAPS)
def test_maps_of_a_batch(files, name):
    labels = files.labels(f"out/{name}")
    assert len(np.unique(labels)) > 1
    files[f"out/{name}"].check_classes(DUBAI)
    files[f"out/{name}"].check_drawn(labels, DUBAI)


def test_polygons_of_a_batch(files):
    labels = files.labels("out/landcover.vrt")
    names = [one.name for one in DUBAI.classes if (labels == one.id).any()]
    files["out/landcover.gpkg"].check_polygons(DUBAI, names)
    assert files["out/landcover.gpkg"].answer["sublayers"] == ["landcover"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_polygons_have_the_classes_colours(files, suffix):
    shown = files[f"awkward{suffix}"]
    shown.check_polygons(AWKWARD, [one.name for one in AWKWARD.classes])
    assert shown.pixels is not None
    is_opaque = shown.pixels[..., 3] == 255
    colors = {tuple(one) for one in shown.pixels[is_opaque, :3].tolist()}
    assert colors >= {one.rgb for one in AWKWARD.classes}


@pytest.mark.parametrize(("name", "reach"), [("awkward.gpkg", 1), ("smooth.gpkg", 4)])
def test_nothing_shines_through_between_polygons(files, name, reach):
    pixels = files[name].pixels
    assert pixels is not None
    # Where the picture's pixel lies in the raster.
    row, column = (((np.arange(side) + 0.5) / ZOOM).astype(int) for side in pixels.shape[:2])
    is_data = labels_of(AWKWARD)[np.ix_(row, column)] != NODATA
    is_inside = shrunk(is_data, reach)
    assert is_inside.mean() > 0.4
    # Corners of smooth lines let a hundredth through; without outlines it would be a quarter.
    assert pixels[is_inside, 3].min() >= 245


def shrunk(mask: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.bool_]:
    """Without what is nearer than so many pixels to where it is not, or to the edge."""
    padded = Image.fromarray(np.pad(mask, 1).astype(np.uint8))
    return np.asarray(padded.filter(ImageFilter.MinFilter(2 * reach + 1)))[1:-1, 1:-1] > 0


def test_the_classes_chosen_are_those_of_the_legend(files):
    files["one.gpkg"].check_polygons(AWKWARD, [AWKWARD.classes[1].name])
    files["forty.gpkg"].check_polygons(FORTY, [one.name for one in FORTY.classes])
    assert files["no_data.gpkg"].answer["features"] == 0
    files["no_data.gpkg"].check_polygons(NAMED, [])


def test_a_layer_for_each_class(files):
    for one in AWKWARD.classes:
        shown = files[f"layers.gpkg|{LAYER_NAMES[one.id]}"]
        shown.check_polygons(AWKWARD, [one.name])
        assert shown.answer["features"] > 0
        assert shown.answer["sublayers"] == sorted(LAYER_NAMES.values())


def test_polygons_without_a_place(files):
    shown = files["nowhere.gpkg"]
    assert shown.entries == [(one.name, "#" + bytes(one.rgb).hex()) for one in DUBAI.classes]
    # QGIS knows no other way to look at coordinates that lie nowhere.
    assert all("Cannot create transform" in text for text, *_ in shown.answer["messages"])


def test_a_map_of_changes(files):
    with ClassRaster(files.folder / "change.tif") as raster:
        known = [*raster.classes.known.values()]
    assert known[0].name == "no change" and len(known) == 7
    names = [one.name for one in AWKWARD.classes]
    pairs = [(a, b) for a in names for b in names if a != b]
    assert [one.name for one in known[1:]] == [f"{a} -> {b}" for a, b in pairs]
    legend = ChangeLegend.of(
        [(MapClass(0, a, (0, 0, 0)), MapClass(0, b, COLORS[b])) for a, b in pairs]
    )
    files["change.tif"].check_classes(legend)
    assert files["change.gpkg"].entries == [
        (one.name, "#" + bytes(one.rgb).hex()) for one in known[1:]
    ]


def test_points_to_be_labelled(files):
    shown = files["sample.gpkg"]
    assert shown.answer["renderer"] == "singleSymbol"
    assert shown.answer["features"] == 30
    assert shown.answer["messages"] == []
    choices = shown.answer["choices"]["reference"]
    assert choices == ["", *(one.name for one in AWKWARD.classes)]
    assert shown.answer["hidden"] == ["stratum", "map_class"]


def test_the_picture_of_the_documentation_is_drawn(files, tmp_path):
    for name, made in (("scene.tif", "awkward.tif"), ("landcover.tif", "awkward.tif")):
        shutil.copy(files.folder / made, tmp_path / name)
    shutil.copy(files.folder / "awkward.gpkg", tmp_path / "landcover.gpkg")
    picture = tmp_path / "qgis.png"
    call_qgis(ROOT / "docs" / "qgis" / "picture.py", tmp_path, picture, home=tmp_path)
    drawn = {color for _, color in Image.open(picture).getcolors(1 << 20)}
    assert {one.rgb for one in AWKWARD.classes} <= drawn
