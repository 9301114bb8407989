"""Labels of a scene: rasters on other grids and polygons, against pyproj and Shapely."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from shapely import MultiPolygon, Point, Polygon, box

from glnet_geo.datasets import LabelledScene
from glnet_geo.errors import DatasetError, FeaturesError, GlnetGeoError, RasterError
from glnet_geo.grid import Grid, Window
from glnet_geo.label_values import LabelValues
from glnet_geo.labels import open_labels, positions_of
from glnet_geo.legend import DEEPGLOBE, DUBAI, IGNORED, INRIA, LandCover, Legend
from glnet_geo.opening import quiet
from tests.rasters import placed_tif, write_tif

UTM33, WGS84 = "EPSG:32633", "EPSG:4326"
LEFT, TOP = 500_000, 5_000_000
IMAGE = Grid.north_up(40, 60, LEFT, TOP, 2.0, UTM33)
ROTATED = Grid(
    40, 60, Affine.translation(LEFT, TOP) @ Affine.rotation(30) @ Affine.scale(2, -2), UTM33, 4.0
)
PIXELS = Grid(40, 60)
WHOLE = IMAGE.window
BUILDING, LAND, ROAD, VEGETATION, WATER = range(5)


def scene_of(labels: Path, **options: Any) -> LabelledScene:
    return LabelledScene(labels.parent / "image.tif", labels, "train", **options)


def read(labels: Path, image: Grid = IMAGE, window: Window = WHOLE, **options: Any):
    """Positions and unknown values of a window."""
    opened = open_labels(scene_of(labels, **options), image, DUBAI)
    try:
        found = opened.read(window)
    finally:
        opened.close()
    assert found.positions.dtype == np.uint8
    assert found.positions.shape == (window.height, window.width)
    return found.positions, found.unknown


def notes(labels: Path, image: Grid = IMAGE, **options: Any) -> tuple[str, ...]:
    opened = open_labels(scene_of(labels, **options), image, DUBAI)
    opened.close()
    return opened.notes


def refusal(labels: Path, image: Grid = IMAGE, **options: Any) -> str:
    """The one line with which labels are refused; no file stays open."""
    before = open_files()
    with pytest.raises(GlnetGeoError) as caught:
        open_labels(scene_of(labels, **options), image, DUBAI)
    assert open_files() == before
    message = str(caught.value)
    assert "\n" not in message and str(labels) in message
    return message


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(os.listdir(folder)) if folder.exists() else 0


def centres(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices((grid.height, grid.width)) + 0.5
    return grid.transform @ (columns, rows)


def write_polygons(
    path: Path, shapes: list[Any], crs: str | None = UTM33, layer: str = "x", **columns: list[Any]
) -> Path:
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs=crs)
    options = {"layer": layer} if path.suffix == ".gpkg" else {}
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        frame.to_file(path, **options)
    return path


def pixel_box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return box(LEFT + 2 * left, TOP - 2 * bottom, LEFT + 2 * right, TOP - 2 * top)


def geographic_labels(path: Path, **profile: Any) -> tuple[Path, np.ndarray, Affine]:
    """Ids 1-5 in EPSG:4326 that cover the upper left part of the images, in pixels of 3 m."""
    lon, lat = Transformer.from_crs(UTM33, WGS84, always_xy=True).transform(LEFT, TOP)
    place = Affine.translation(lon - 2e-4, lat + 4e-4) @ Affine.scale(3.8e-5, -2.7e-5)
    ids = np.random.default_rng(3).integers(1, 6, (40, 36), np.uint8)
    write_tif(path, ids, crs=WGS84, transform=place, **profile)
    return path, ids, place


def nearest(ids: np.ndarray, place: Affine, image: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Positions by the pixels' centres, and how near each is to the border of a label's pixel."""
    x, y = Transformer.from_crs(UTM33, WGS84, always_xy=True).transform(*centres(image))
    columns, rows = ~place @ (x, y)
    inside = (columns >= 0) & (rows >= 0) & (columns < ids.shape[1]) & (rows < ids.shape[0])
    column = np.floor(np.where(inside, columns, 0)).astype(int)
    row = np.floor(np.where(inside, rows, 0)).astype(int)
    edge = np.minimum(abs(columns - np.rint(columns)), abs(rows - np.rint(rows)))
    return np.where(inside, ids[row, column] - 1, IGNORED), edge


class TestRasters:
    @pytest.mark.parametrize("image", [IMAGE, ROTATED], ids=["north-up", "rotated"])
    def test_other_grids_are_aligned_by_the_centres_of_pixels(self, tmp_path, image):
        path, ids, place = geographic_labels(tmp_path / "l.tif")
        expected, edge = nearest(ids, place, image)
        found, unknown = read(path, image)
        assert unknown == {}
        assert set(np.unique(expected)) == {0, 1, 2, 3, 4, IGNORED}
        np.testing.assert_array_equal(found[edge > 1e-3], expected[edge > 1e-3])

    def test_a_window_of_aligned_labels_is_a_part_of_the_whole(self, tmp_path):
        path, _, _ = geographic_labels(tmp_path / "l.tif")
        opened = open_labels(scene_of(path), ROTATED, DUBAI)
        whole = opened.read(WHOLE).positions
        for window in (Window(0, 0, 1, 1), Window(7, 11, 20, 30), Window(39, 59, 1, 1)):
            part = opened.read(window).positions
            np.testing.assert_array_equal(part, whole[window.slices])
            assert opened.touches(window) or (part == IGNORED).all()
        opened.close()

    def test_a_class_0_is_no_nodata(self, tmp_path):
        ids = np.zeros((20, 20), np.uint8)
        place = Affine(3, 0, LEFT, 0, -3, TOP)
        path = write_tif(tmp_path / "l.tif", ids, crs=UTM33, transform=place)
        opened = open_labels(scene_of(path), IMAGE, INRIA)
        found = opened.read(WHOLE).positions
        opened.close()
        assert (found[:30, :30] == 0).all() and (found == IGNORED).sum() == 2400 - 900

    def test_coarse_labels_are_never_missed(self, tmp_path):
        ids = np.full((3, 3), 4, np.uint8)
        place = (
            Affine.translation(LEFT + 41, TOP + 30) @ Affine.rotation(20) @ Affine.scale(30, -30)
        )
        path = write_tif(tmp_path / "l.tif", ids, crs=UTM33, transform=place)
        opened = open_labels(scene_of(path), IMAGE, DUBAI)
        whole = opened.read(WHOLE).positions
        assert set(np.unique(whole)) == {VEGETATION, IGNORED}
        for top, left in np.ndindex(40, 60):
            if whole[top, left] != IGNORED:
                assert opened.touches(Window(top, left, 1, 1))
        assert not opened.touches(Window(35, 0, 2, 2))
        opened.close()

    def test_the_corner_of_a_huge_label_pixel_is_an_overlap_and_a_border_is_none(self, tmp_path):
        ids = np.full((1, 1), 4, np.uint8)
        corner = Affine(1000, 0, LEFT - 990, 0, -1000, TOP + 990)
        found, _ = read(write_tif(tmp_path / "l.tif", ids, crs=UTM33, transform=corner))
        assert np.argwhere(found != IGNORED).max() == 4 and (found[:5, :5] == VEGETATION).all()
        beside = Affine(1000, 0, LEFT - 1000, 0, -1000, TOP)
        path = write_tif(tmp_path / "m.tif", ids, crs=UTM33, transform=beside)
        assert "does not overlap" in refusal(path)

    def test_surplus_bands_are_told(self, tmp_path):
        path = write_tif(tmp_path / "l.tif", np.ones((3, 40, 60), np.uint8))
        assert notes(path, PIXELS) == ("l.tif has 3 bands, of which these are read: 1.",)

    def test_nodata_is_ignored_aligned_or_not(self, tmp_path):
        path, ids, place = geographic_labels(tmp_path / "l.tif", nodata=3)
        expected, edge = nearest(np.where(ids == 3, 0, ids).astype(np.uint8), place, IMAGE)
        found, unknown = read(path)
        np.testing.assert_array_equal(found[edge > 1e-3], expected[edge > 1e-3])
        assert unknown == {}
        same = placed_tif(tmp_path / "s.tif", ids[:, :20], nodata=3)
        with rasterio.open(same) as dataset:
            image = Grid(40, 20, dataset.transform, dataset.crs.to_wkt(version="WKT2_2019"))
        found, _ = read(same, image, Window(0, 0, 40, 20))
        np.testing.assert_array_equal(found, np.where(ids == 3, IGNORED, ids - 1)[:, :20])
        assert notes(same, image) == (
            "s.tif has 3, the class 'road', as its nodata value: these pixels are ignored.",
        )

    def test_a_finer_grid_in_the_same_crs_is_aligned(self, tmp_path):
        ids = np.random.default_rng(0).integers(1, 6, (80, 120), np.uint8)
        path = write_tif(
            tmp_path / "l.tif", ids, crs=UTM33, transform=Affine(1, 0, LEFT + 0.5, 0, -1, TOP)
        )
        # A centre at 2c + 1 m lies in the column 2c of labels that start half a metre later.
        found, _ = read(path)
        np.testing.assert_array_equal(found[:, 0], ids[1::2, 0] - 1)
        np.testing.assert_array_equal(found[:, 1:], ids[1::2, 2:-1:2] - 1)
        (note,) = notes(path)
        assert note.startswith("l.tif has another grid than image.tif (")
        assert note.endswith(" and is aligned by nearest neighbour.")

    def test_colours_are_aligned_as_well(self, tmp_path):
        path, ids, place = geographic_labels(tmp_path / "ids.tif")
        colors = DUBAI.rgb_table()[ids].transpose(2, 0, 1)
        write_tif(tmp_path / "rgb.tif", colors, crs=WGS84, transform=place)
        expected, _ = read(path)
        found, unknown = read(tmp_path / "rgb.tif", palette=True)
        np.testing.assert_array_equal(found, expected)
        assert unknown == {}

    @pytest.mark.parametrize("palette", [False, True])
    @pytest.mark.parametrize("crs", [WGS84, None], ids=["aligned", "pixel for pixel"])
    def test_a_palette_is_read_as_ids_or_colours(self, tmp_path, crs, palette):
        path, ids, place = geographic_labels(tmp_path / "ids.tif")
        # As ids the indices are one class, as colours the next one.
        colors = {k: (*DUBAI.classes[k % 5].rgb, 255) for k in range(1, 6)}
        other = tmp_path / "palette.tif"
        where = {"crs": crs, "transform": place} if crs else {}
        write_tif(other, ids, photometric="palette", **where)
        with quiet(), rasterio.open(other, "r+") as dataset:
            dataset.write_colormap(1, colors)
        image = IMAGE if crs else Grid(40, 36)
        expected = read(path)[0] if crs else ids - 1
        if palette:
            expected = np.where(expected == IGNORED, IGNORED, (expected + 1) % 5)
        found, unknown = read(other, image, image.window, palette=palette)
        np.testing.assert_array_equal(found, expected)
        assert unknown == {}

    def test_colours_of_0_and_255_are_thresholded(self, tmp_path):
        colors = np.array([[[127, 0, 130, 255]], [[200, 254, 128, 1]], [[0, 129, 255, 250]]])
        path = write_tif(tmp_path / "l.tif", colors.astype(np.uint8))
        opened = open_labels(scene_of(path, palette=True), Grid(1, 4), DEEPGLOBE)
        found = opened.read(Window(0, 0, 1, 4))
        opened.close()
        assert [DEEPGLOBE.classes[k].name for k in found.positions[0]] == [
            "forest",
            "urban",
            "barren",
            "rangeland",
        ]

    def test_unknown_values_are_counted_and_ignored(self, tmp_path):
        ids = np.full((40, 60), 1, np.float32)
        ids[0, :4] = (77, 77, 700, 2.5)
        ids[1, :3] = (-1, np.nan, 0)
        found, unknown = read(write_tif(tmp_path / "l.tif", ids))
        assert unknown == {"77": 2, "700": 1, "2.5": 1, "-1": 1}
        assert (found[0, :4] == IGNORED).all() and (found[1, :3] == IGNORED).all()
        assert (found == BUILDING).sum() == 40 * 60 - 7
        colors = np.full((3, 40, 60), 9, np.uint8)
        _, unknown = read(write_tif(tmp_path / "c.tif", colors), palette=True)
        assert unknown == {"#090909": 2400}

    def test_the_map_takes_ids_and_colours(self, tmp_path):
        ids = np.array([[1, 2, 77, 0]], np.uint8)
        image, window = Grid(1, 4), Window(0, 0, 1, 4)
        path = write_tif(tmp_path / "l.tif", ids)
        found, _ = read(path, image, window, labels_map={1: 2, 2: 1, "77": 5, 0: 3})
        assert found.tolist() == [[LAND, BUILDING, WATER, ROAD]]
        assert read(path, image, window, labels_map={77: 0})[0][0, 2] == IGNORED
        colors = np.full((3, 1, 4), 9, np.uint8)
        colors[:, 0, 1] = DUBAI.classes[0].rgb
        path = write_tif(tmp_path / "c.tif", colors)
        found, _ = read(path, image, window, palette=True, labels_map={"#090909": 5, 1: 4})
        assert found.tolist() == [[WATER, VEGETATION, WATER, WATER]]

    def test_labels_without_a_place_are_taken_pixel_for_pixel(self, tmp_path):
        ids = np.random.default_rng(0).integers(1, 6, (40, 60), np.uint8)
        path = write_tif(tmp_path / "l.tif", ids)
        np.testing.assert_array_equal(read(path)[0], ids - 1)
        assert notes(path) == (
            "l.tif has no place on the ground: labels are taken pixel for pixel.",
        )
        assert notes(path, PIXELS) == ()
        placed = placed_tif(tmp_path / "p.tif", ids)
        np.testing.assert_array_equal(read(placed, PIXELS)[0], ids - 1)
        assert notes(placed, PIXELS)[0].startswith("image.tif has no place")

    def test_what_is_wrong_is_named(self, tmp_path):
        ids = np.ones((40, 61), np.uint8)
        bare = write_tif(tmp_path / "bare.tif", ids)
        assert refusal(bare).endswith(
            f"image.tif is 60 x 40 px, its labels {bare} 61 x 40. They must be equal."
        )
        cut = write_tif(tmp_path / "cut.tif", ids, crs=UTM33, transform=IMAGE.transform)
        assert refusal(cut).endswith("They must be equal.")
        far = placed_tif(tmp_path / "far.tif", ids, crs="EPSG:32634")
        message = refusal(far)
        assert "image.tif (x 500000 to 500120, y 4999920 to 5000000 in EPSG:32633)" in message
        assert f"{far} (x 500000 to 500030.5, y 4999980 to 5000000 in EPSG:32634)" in message
        assert "x.tif does not exist" in refusal(tmp_path / "x.tif")
        (tmp_path / "t.tif").write_text("no raster")
        assert "not a raster" in refusal(tmp_path / "t.tif")
        assert "true" in refusal(write_tif(tmp_path / "two.tif", ids[None, :, :60]), palette=True)
        wrong = write_tif(tmp_path / "one.tif", ids[:, :60])
        assert "labels_map turns 3 into 99" in refusal(wrong, labels_map={3: 99})
        deep = write_tif(tmp_path / "deep.tif", np.ones((3, 40, 60), np.uint16))
        assert "colours of the type uint16" in refusal(deep, palette=True)
        with pytest.raises(RasterError):
            read(far, Grid(40, 60, Affine.scale(2, -2), 'LOCAL_CS["site",UNIT["metre",1]]'))

    def test_damaged_labels_are_named_when_they_are_read(self, tmp_path):
        path, _, _ = geographic_labels(tmp_path / "l.tif", compress="deflate")
        data = bytearray(path.read_bytes())
        with rasterio.open(path) as dataset:
            offset = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
        data[offset : offset + 40] = bytes(40)
        path.write_bytes(data)
        with pytest.raises(RasterError, match=r"l\.tif cannot be read"):
            read(path)

    def test_half_a_globe_of_labels_is_aligned(self, tmp_path):
        ids = np.full((180, 360), 4, np.uint8)
        place = Affine(1, 0, -180, 0, -1, 90)
        path = write_tif(tmp_path / "l.tif", ids, crs=WGS84, transform=place)
        assert (read(path)[0] == VEGETATION).all()


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Overlapping triangles of all classes and an unknown one on a rotated grid."""
    rng = np.random.default_rng(5)
    corners = rng.uniform((LEFT, TOP - 70), (LEFT + 110, TOP + 40), (15, 3, 2))
    names = [DUBAI.classes[k % 5].name for k in range(15)]
    names[4] = "lake"
    path = tmp_path_factory.mktemp("crowd") / "l.gpkg"
    write_polygons(path, list(map(Polygon, corners)), **{"class": names})
    return open_labels(scene_of(path, attribute="class"), ROTATED, DUBAI)


class TestPolygons:
    def test_polygons_in_another_crs_against_shapely(self, tmp_path):
        shapes = [
            Polygon([(LEFT + 5.3, TOP - 9.1), (LEFT + 80.7, TOP - 20.2), (LEFT + 30, TOP - 70.4)]),
            pixel_box(30.3, 5.2, 52.8, 33.7).difference(pixel_box(35.4, 10.2, 40.6, 20.1)),
        ]
        frame = geopandas.GeoSeries(shapes, crs=UTM33).to_crs(WGS84)
        path = write_polygons(
            tmp_path / "l.gpkg", list(frame), WGS84, **{"class": ["water", "road"]}
        )
        for image in (IMAGE, ROTATED):
            x, y = centres(image)
            points = shapely.points(x, y)
            expected = np.full((40, 60), IGNORED)
            for shape, position in zip(shapes, (WATER, ROAD), strict=True):
                expected[shapely.contains(shape, points)] = position
            found, unknown = read(path, image)
            np.testing.assert_array_equal(found, expected)
            assert unknown == {} and {WATER, ROAD, IGNORED} == set(np.unique(found))

    @settings(max_examples=25, deadline=None)
    @given(
        top=st.integers(0, 39),
        left=st.integers(0, 59),
        height=st.integers(1, 40),
        width=st.integers(1, 60),
    )
    def test_a_window_is_a_part_of_the_whole(self, crowd, top, left, height, width):
        window = Window(top, left, min(height, 40 - top), min(width, 60 - left))
        part = crowd.read(window)
        np.testing.assert_array_equal(part.positions, crowd.read(WHOLE).positions[window.slices])
        if not crowd.touches(window):
            assert (part.positions == IGNORED).all() and not part.unknown

    def test_later_features_win_and_nulls_are_ignored(self, tmp_path):
        shapes = [
            pixel_box(0, 0, 9, 3),
            pixel_box(3, 0, 9, 3),
            pixel_box(6, 0, 9, 3),
            pixel_box(8, 0, 12, 3),
        ]
        path = write_polygons(tmp_path / "l.gpkg", shapes, kind=["water", " Road ", None, "land"])
        found, _ = read(path, attribute="KIND", unlabelled="Building")
        row = [WATER] * 3 + [ROAD] * 3 + [IGNORED] * 2 + [LAND] * 4 + [BUILDING] * 48
        assert found[0].tolist() == row
        assert notes(path, attribute="kind", unlabelled="building") == (
            "l.gpkg: the column 'kind' names the classes.",
            "Features of l.gpkg without a class are ignored: 1.",
            "What lies outside the polygons of l.gpkg is 'building'.",
        )
        assert notes(path, attribute="kind")[-1] == (
            "What lies outside the polygons of l.gpkg is ignored."
        )

    def test_ids_names_and_the_map(self, tmp_path):
        shapes = [pixel_box(k, 0, k + 1, 1) for k in range(4)]
        path = write_polygons(tmp_path / "l.gpkg", shapes, code=[5, 7, None, 0])
        window = Window(0, 0, 1, 4)
        found, unknown = read(path, window=window, attribute="code")
        assert found.tolist() == [[WATER, IGNORED, IGNORED, IGNORED]] and unknown == {"7": 1}
        found, unknown = read(path, window=window, attribute="code", labels_map={7: 2, "5": 1})
        assert found.tolist() == [[BUILDING, LAND, IGNORED, IGNORED]] and unknown == {}
        texts = ["Pond", "pond", "road", "3"]
        path = write_polygons(tmp_path / "t.geojson", shapes, crs=UTM33, use=texts)
        found, unknown = read(
            path, window=window, attribute="use", labels_map={"pond": 5, "road": 0}
        )
        assert found.tolist() == [[WATER, WATER, IGNORED, ROAD]] and unknown == {}
        assert read(path, window=window, attribute="use")[1] == {"Pond": 1, "pond": 1}

    def test_the_column_is_found(self, tmp_path):
        shapes = [pixel_box(0, 0, 4, 4), pixel_box(8, 8, 12, 12)]
        path = write_polygons(
            tmp_path / "l.gpkg",
            shapes,
            **{"class": ["a", "b"], "CLASS_ID": [9, 2], "Name": ["road", None], "type": [1, 2]},
        )
        assert notes(path)[0] == "l.gpkg: the column 'Name' names the classes."
        assert notes(path, attribute="type")[0] == "l.gpkg: the column 'type' names the classes."
        shp = write_polygons(tmp_path / "s.shp", shapes, **{"class_id": [3, 5]})
        assert set(np.unique(read(shp)[0])) == {ROAD, WATER, IGNORED}

    @pytest.mark.parametrize("name", ["l.fgb", "l.GeoJSON", "l.json", "l.shp", "l.kml", "l.sqlite"])
    def test_formats(self, tmp_path, name):
        frame = geopandas.GeoSeries([pixel_box(2, 2, 9, 9)], crs=UTM33).to_crs(WGS84)
        drivers = {".json": "GeoJSON", ".kml": "KML", ".sqlite": "SQLite"}
        driver = drivers.get(Path(name).suffix)
        options = {"driver": driver} if driver else {}
        geopandas.GeoDataFrame({"name": ["Road"]}, geometry=frame).to_file(
            tmp_path / name, **options
        )
        found, unknown = read(tmp_path / name)
        assert (found[2:9, 2:9] == ROAD).all() and (found == ROAD).sum() == 49
        assert unknown == {}

    def test_geoparquet(self, tmp_path):
        shapes = [pixel_box(2, 2, 9, 9), Point(LEFT, TOP), None, pixel_box(9, 9, 11, 11)]
        table = {"land_cover": ["Road", "x", "y", None], "class_id": [3, 1, 1, 1]}
        pytest.importorskip("pyarrow")
        frame = geopandas.GeoDataFrame(table, geometry=shapes, crs=UTM33).to_crs(WGS84)
        path = tmp_path / "l.parquet"
        frame.to_parquet(path)
        assert notes(path)[0] == "l.parquet: the column 'class_id' names the classes."
        found, unknown = read(path, attribute="land_cover")
        assert (found[2:9, 2:9] == ROAD).all() and (found != IGNORED).sum() == 49
        assert unknown == {}
        frame.drop(columns="geometry").to_parquet(tmp_path / "table.parquet")
        assert "cannot be read as GeoParquet" in refusal(tmp_path / "table.parquet")
        (tmp_path / "x.parquet").write_bytes(b"PAR1")
        assert "cannot be read as GeoParquet" in refusal(tmp_path / "x.parquet")

    def test_an_image_of_one_pixel(self, tmp_path):
        path = write_polygons(tmp_path / "l.gpkg", [pixel_box(0, 0, 4, 4)], class_id=[1])
        image = Grid.north_up(1, 1, LEFT, TOP, 2.0, UTM33)
        assert read(path, image, image.window)[0].tolist() == [[BUILDING]]
        south_up = Grid(40, 60, Affine(2, 0, LEFT, 0, 2, TOP - 80), UTM33, 4.0)
        found, _ = read(path, south_up)
        assert (found[36:, :4] == BUILDING).all() and (found == BUILDING).sum() == 16

    def test_layers(self, tmp_path):
        path = tmp_path / "l.gpkg"
        write_polygons(path, [pixel_box(0, 0, 4, 4)], layer="old", class_id=[1])
        write_polygons(path, [pixel_box(0, 0, 4, 4)], layer="new", class_id=[2])
        write_polygons(path, [Point(LEFT, TOP)], layer="points", class_id=[2])
        assert "several layers with polygons: old, new. Name the one" in refusal(path)
        assert "no layer 'none'. It has old, new, points." in refusal(path, layer="none")
        assert "layer 'points', has no polygons" in refusal(path, layer="points")
        assert read(path, layer="new")[0][0, 0] == LAND

    def test_broken_and_nested_polygons(self, tmp_path):
        bow_tie = [(0, 0), (8, 8), (8, 0), (0, 8)]
        shapes = [
            Polygon([(LEFT + 2 * x, TOP - 2 * y) for x, y in bow_tie]),
            MultiPolygon([pixel_box(20, 0, 22, 2), pixel_box(30, 0, 32, 2)]),
        ]
        found, _ = read(write_polygons(tmp_path / "l.gpkg", shapes, class_id=[1, 2]))
        assert (found[4, :2] == BUILDING).all() and (found[4, 6:8] == BUILDING).all()
        assert (found[:2, [20, 21, 30, 31]] == LAND).all() and found[0, 25] == IGNORED
        assert (found == LAND).sum() == 8

    def test_what_is_hidden_or_far_is_not_counted(self, tmp_path):
        shapes = [pixel_box(0, 0, 4, 4), pixel_box(0, 0, 4, 4), pixel_box(20, 20, 24, 24)]
        path = write_polygons(tmp_path / "l.gpkg", shapes, a=["x", "road", "y"])
        assert read(path, attribute="a")[1] == {"y": 1}
        assert read(path, attribute="a", window=Window(0, 0, 10, 10))[1] == {}

    def test_touches(self, tmp_path):
        shapes = [pixel_box(0, 0, 4, 4), pixel_box(20, 20, 24, 24), pixel_box(40, 0, 44, 4)]
        path = write_polygons(tmp_path / "l.gpkg", shapes, a=["road", None, "moor"])
        near, null, unknown, far = (
            Window(3, 3, 5, 5),
            Window(19, 19, 5, 5),
            Window(0, 38, 3, 3),
            Window(30, 50, 5, 5),
        )
        opened = open_labels(scene_of(path, attribute="a"), IMAGE, DUBAI)
        touched = [opened.touches(window) for window in (near, null, unknown, far)]
        assert touched == [True, False, True, False]
        all_labelled = scene_of(path, attribute="a", unlabelled="land")
        assert open_labels(all_labelled, IMAGE, DUBAI).touches(far)

    def test_pixels_without_a_crs(self, tmp_path):
        path = write_polygons(tmp_path / "l.gpkg", [box(2, 1, 5, 3)], crs=None, class_id=[4])
        found, _ = read(path, PIXELS)
        assert np.argwhere(found == VEGETATION).tolist() == [
            [row, column] for row in (1, 2) for column in (2, 3, 4)
        ]
        assert "has no CRS" in refusal(path)
        placed = write_polygons(tmp_path / "p.gpkg", [pixel_box(2, 1, 5, 3)], class_id=[4])
        assert "The scene has no CRS" in refusal(placed, PIXELS)

    def test_what_is_wrong_is_named(self, tmp_path):
        shapes = [pixel_box(0, 0, 4, 4)]
        path = write_polygons(
            tmp_path / "l.gpkg", shapes, use=["field"], note=["road"], class_id=[99]
        )
        assert (
            "has no column of which every value is a class of 'dubai'. Its columns are: use, note, "
            "class_id. Name the one" in refusal(path)
        )
        assert "has no column 'kind'. Its columns are: use, note, class_id." in refusal(
            path, attribute="kind"
        )
        assert (
            "'meadow', which is no class of 'dubai'. It is 'ignore' or one of: building, land, "
            "road, vegetation, water." in refusal(path, attribute="note", unlabelled="meadow")
        )
        far = write_polygons(tmp_path / "far.gpkg", [box(0, 0, 1, 1)], WGS84, class_id=[1])
        assert f"{far} (EPSG:4326) does not overlap {tmp_path}/image.tif (EPSG" in refusal(far)
        empty = write_polygons(tmp_path / "empty.gpkg", shapes, class_id=[None], a=[""])
        assert "no values in the column 'a'" in refusal(empty, attribute="a")
        assert "no column of which" in refusal(empty)
        assert "does not exist" in refusal(tmp_path / "none.gpkg")
        (tmp_path / "x.geojson").write_text("{")
        assert "cannot be read as a vector file" in refusal(tmp_path / "x.geojson")
        points = write_polygons(tmp_path / "p.gpkg", [Point(LEFT, TOP)], class_id=[1])
        assert "has no polygons" in refusal(points)


class TestArea:
    def test_outside_of_the_area_all_is_ignored(self, tmp_path):
        area = write_polygons(tmp_path / "area.gpkg", [pixel_box(10, 10, 20, 20)], class_id=[1])
        ids = np.full((40, 60), 77, np.uint8)
        ids[10:20, 10:20] = 5
        raster = write_tif(tmp_path / "l.tif", ids)
        shapes = [pixel_box(0, 0, 15, 15), pixel_box(20, 20, 30, 30)]
        vector = write_polygons(tmp_path / "l.gpkg", shapes, a=["road", "moor"])
        inside = np.zeros((40, 60), np.bool_)
        inside[10:20, 10:20] = True
        for path, options in (
            (raster, {}),
            (vector, {"attribute": "a", "unlabelled": "water"}),
        ):
            found, unknown = read(path, aoi=area, **options)
            assert unknown == {} and (found[~inside] == IGNORED).all()
            assert (found[inside] != IGNORED).all() and found[19, 19] == WATER
            opened = open_labels(scene_of(path, aoi=area, **options), IMAGE, DUBAI)
            assert opened.touches(Window(0, 0, 12, 12))
            assert not opened.touches(Window(25, 25, 10, 10))
            opened.close()

    def test_an_area_elsewhere_is_refused(self, tmp_path):
        area = write_polygons(tmp_path / "area.gpkg", [box(0, 0, 1, 1)], WGS84, class_id=[1])
        path = write_tif(tmp_path / "l.tif", np.ones((40, 60), np.uint8))
        with pytest.raises(FeaturesError, match=r"area\.gpkg .* does not overlap"):
            open_labels(scene_of(path, aoi=area), IMAGE, DUBAI)


def test_the_first_unknown_value_is_an_error_where_positions_are_asked_for(tmp_path):
    def message(path: Path, **options: Any) -> str:
        scene = scene_of(path, **options)
        opened = open_labels(scene, IMAGE, DUBAI)
        with pytest.raises(DatasetError) as caught:
            positions_of(opened, WHOLE, scene, DUBAI)
        opened.close()
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    ids = np.full((40, 60), 77, np.uint16)
    path = write_tif(tmp_path / "l.tif", ids)
    assert "has the value 77, which is neither a class of 'dubai' nor ignored" in message(path)
    assert "outside 0-255" in message(write_tif(tmp_path / "m.tif", ids + 700))
    colors = np.full((3, 40, 60), 9, np.uint8)
    assert "colour #090909" in message(write_tif(tmp_path / "c.tif", colors), palette=True)
    vector = write_polygons(tmp_path / "l.gpkg", [pixel_box(0, 0, 4, 4)], a=["moor"])
    assert "has the class 'moor', which is no class of 'dubai'" in message(vector, attribute="a")
    scene = scene_of(path, labels_map={77: 1})
    opened = open_labels(scene, IMAGE, DUBAI)
    assert (positions_of(opened, WHOLE, scene, DUBAI) == BUILDING).all()
    opened.close()


def test_ignored_wins_over_the_class_of_the_same_id():
    values = LabelValues(DEEPGLOBE, {})
    assert values.of_text("0") == values.of_text("Unknown") == IGNORED
    assert values.of_text(" FOREST ") == values.of_text("4") == 4


def test_a_class_whose_name_is_a_number_is_no_id():
    classes = (LandCover(3, "77", (1, 2, 3)), LandCover(4, "b", (4, 5, 6)))
    values = LabelValues(Legend("numbers", classes), {})
    assert values.of_text("77") == 0
    found = values.of_ids(np.array([[77, 3]], np.uint8), np.ones((1, 2), np.bool_))
    assert found.positions.tolist() == [[IGNORED, 0]] and found.unknown == {"77": 1}


def test_mapped_colours_are_not_thresholded_away():
    values = LabelValues(DEEPGLOBE, {"#090909": 5})
    rgb = np.array([[[9, 0, 1]], [[9, 0, 1]], [[9, 255, 1]]], np.uint8)
    found = values.of_colors(rgb, np.ones((1, 3), np.bool_))
    assert found.positions.tolist() == [[5, 5, IGNORED]] and found.unknown == {"#010101": 1}
