"""`glnet-geo vectorize`: options, files, messages, exit codes, and runs that are cut short."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from geopandas import GeoDataFrame
from rasterio.shutil import copy as copy_raster

from glnet_geo.legend import LandCover, Legend
from glnet_geo.outputs import work_folder
from glnet_geo.qgis_style import style_path
from tests.class_maps import (
    NAMED,
    check_exact,
    check_same,
    ids,
    layers_of,
    metadata_of,
    named_map,
    patches,
    read_polygons,
    style_of,
    town,
)
from tests.conftest import CliResult
from tests.rasters import noise, placed_tif, write_tif

OLD = b"an older result"
LAND = shapely.box(500_000, 4_999_990, 500_010, 5_000_000)
Run = Callable[..., CliResult]


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    """A map with names."""
    return town(tmp_path / "map.tif")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "map.gpkg"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class TestSummary:
    def test_it_can_be_pasted_into_a_mail(self, cli: Run, raster: Path, output: Path) -> None:
        result = cli("vectorize", raster, "-o", output)
        assert result.code == 0 and result.out == ""
        head, *classes, areas, foot = result.err.splitlines()
        assert head == f"{output}   layer landcover"
        assert classes == [
            "  building             0.0 ha    38.9 %           2 polygons",
            "  bare land            0.0 ha    38.9 %           3 polygons",
            "  Wald & Wiese         0.0 ha    22.2 %           2 polygons",
        ]
        assert areas == "  areas: planar in EPSG:32633"
        assert re.fullmatch(r"  \d+ polygons, \d+ vertices in \d\.\d s, peak \d\.\d GB", foot)

    def test_an_id_and_a_large_area_stay_apart(
        self, cli: Run, tmp_path: Path, output: Path
    ) -> None:
        place = Affine(100_000, 0, 0, 0, -100_000, 0)
        raster = placed_tif(tmp_path / "plain.tif", np.full((4, 4), 3, np.uint8), transform=place)
        (line,) = cli("vectorize", raster, "-o", output).err.splitlines()[1:-2]
        assert line.split()[:2] == ["3", "16,000,000.0"]

    def test_of_very_many_classes_it_shows_the_largest(
        self, cli: Run, tmp_path: Path, output: Path
    ) -> None:
        labels = np.repeat(np.arange(700, dtype=np.uint16), np.arange(700) % 40 + 1)[None]
        raster = placed_tif(tmp_path / "parcels.tif", labels)
        result = cli("vectorize", raster, "-o", output, "--json")
        lines = result.err.splitlines()
        assert len(lines) == 1 + 31 + 2 and lines[31] == "  ... and 670 more"
        assert len(json.loads(result.out)["classes"]) == 700
        assert len(read_polygons(output)) == 700

    def test_json_is_one_object(self, cli: Run, raster: Path, output: Path) -> None:
        result = cli("vectorize", raster, "-o", output, "--json")
        summary = json.loads(result.out)
        found = read_polygons(output)
        assert result.out.count("\n") == 1
        assert (summary["output"], summary["layers"]) == (str(output), ["landcover"])
        assert (summary["crs"], summary["area_rule"]) == ("EPSG:32633", "planar in EPSG:32633")
        assert summary["polygons"] == len(found)
        by_class = found.groupby("class_id").area_m2
        assert summary["classes"] == [
            {
                "id": one.id,
                "name": one.name,
                "polygons": int(by_class.count()[one.id]),
                "area_m2": by_class.sum()[one.id],
            }
            for one in NAMED.classes
        ]
        assert summary["seconds"] > 0 and "Wald & Wiese" in result.err

    def test_quiet_is_quiet(self, cli: Run, raster: Path, output: Path) -> None:
        result = cli("vectorize", raster, "-o", output, "-q")
        assert (result.code, result.out, result.err) == (0, "", "")
        result = cli("vectorize", raster, "-o", output, "-q", "--json", "--overwrite")
        assert json.loads(result.out)["polygons"] > 0 and result.err == ""

    def test_pixels_where_there_is_no_crs(self, cli: Run, tmp_path: Path, output: Path) -> None:
        raster = write_tif(tmp_path / "plain.tif", ids([1] * 3000, [2] * 3000))
        result = cli("vectorize", raster, "-o", output, "--json")
        assert "       3,000 px    50.0 %           1 polygons" in result.err
        assert "  areas: pixels\n" in result.err
        summary = json.loads(result.out)
        assert summary["crs"] is None and summary["classes"][0]["area_px"] == 3000

    def test_where_areas_come_from_is_said(self, cli: Run, tmp_path: Path, output: Path) -> None:
        place = {"crs": "EPSG:4326", "transform": Affine(5e-6, 0, 55.3, 0, -5e-6, 25.1)}
        raster = placed_tif(tmp_path / "globe.tif", patches(20, 20), **place)
        result = cli("vectorize", raster, "-o", output)
        assert "  areas: equal-area (LAEA at 25.10 N, 55.30 E)\n" in result.err

    def test_all_nodata_is_said_and_is_no_error(
        self, cli: Run, tmp_path: Path, output: Path
    ) -> None:
        raster = placed_tif(tmp_path / "empty.tif", np.zeros((4, 5), np.uint8), nodata=0)
        result = cli("vectorize", raster, "-o", output, "--json")
        assert result.code == 0 and json.loads(result.out)["classes"] == []
        warning, _, _, foot = result.err.splitlines()
        assert warning == (
            f"Warning: {raster} has nothing to make polygons of. The layer is empty."
        )
        assert foot.startswith("  0 polygons, 0 vertices in")
        assert len(read_polygons(output)) == 0


class TestOptions:
    def test_generalisation(self, cli: Run, tmp_path: Path, output: Path) -> None:
        raster = placed_tif(tmp_path / "patches.tif", patches(60, 70), nodata=0)
        words = ("--min-area", "0.0005ha", "--fill-holes", "9 m2", "--simplify", "50cm")
        result = cli("vectorize", raster, "-o", output, *words, "--connectivity", "8")
        assert result.code == 0
        said = metadata_of(output)
        assert (said["min_area"], said["fill_holes"]) == ("5 m2", "9 m2")
        assert (said["simplify"], said["connectivity"]) == ("0.5 m", "8")
        found = read_polygons(output)
        assert set(found.geom_type) == {"MultiPolygon"}
        assert shapely.coverage_is_valid(found.geometry.values)

    def test_classes_may_be_given_in_several_ways(
        self, cli: Run, raster: Path, output: Path
    ) -> None:
        options = (("--classes", "building,4"), ("--classes", "0", "--classes", "wald & wiese"))
        for words in (*options, ("--exclude", "Bare Land")):
            assert cli("vectorize", raster, "-o", output, "--overwrite", *words).code == 0
            assert set(read_polygons(output).class_id) == {0, 4}
        error = cli("vectorize", raster, "-o", output, "--overwrite", "--classes", "lake").error
        assert f"{raster} has no class 'lake'. It has building; bare land; Wald & Wiese." in error

    @pytest.mark.parametrize("digits", [25, 300, 400])
    @pytest.mark.parametrize("option", ["--min-area", "--fill-holes", "--simplify"])
    def test_absurd_sizes(
        self, cli: Run, raster: Path, output: Path, option: str, digits: int
    ) -> None:
        for unit in ("px", "m" if option == "--simplify" else "m2"):
            words = (option, f"1{'0' * digits}{unit}")
            result = cli("vectorize", raster, "-o", output, "--overwrite", *words)
            assert result.code == (0 if digits < 309 else 1), result.err
            if result.code:
                assert "Give a number above 0" in result.error

    def test_the_id_that_stands_for_none(self, cli: Run, tmp_path: Path, output: Path) -> None:
        labels = np.array([[1, -(2**63)]], np.int64)
        raster = placed_tif(tmp_path / "odd.tif", labels)
        assert "has the class id -9223372036854775808" in (
            cli("vectorize", raster, "-o", output).error
        )
        raster = write_tif(tmp_path / "masked.tif", labels, mask=ids([255, 0]))
        assert cli("vectorize", raster, "-o", output).code == 0
        words = ("--overwrite", "--exclude", "9" * 19)
        assert cli("vectorize", raster, "-o", output, *words).code == 0

    def test_confidence(self, cli: Run, raster: Path, output: Path, tmp_path: Path) -> None:
        confidence = placed_tif(tmp_path / "c.tif", np.full((4, 5), 0.75, np.float32))
        assert cli("vectorize", raster, "-o", output, "--confidence", confidence).code == 0
        assert (read_polygons(output).confidence == 0.75).all()
        wrong = placed_tif(tmp_path / "wrong.tif", np.ones((5, 5), np.uint8))
        words = ("-o", output, "--overwrite", "--confidence", wrong)
        assert "They must lie on the same grid" in cli("vectorize", raster, *words).error
        words = ("-o", output, "--overwrite", "--confidence", tmp_path / "missing.tif")
        assert "missing.tif does not exist" in cli("vectorize", raster, *words).error

    def test_confidence_as_predict_writes_it(self, cli, raster, output, tmp_path) -> None:
        values = np.array([[254, 254, 127, 255, 0]] * 4, np.uint8)
        confidence = placed_tif(tmp_path / "c.tif", values, nodata=255)
        with rasterio.open(confidence, "r+") as dataset:
            dataset.scales = (1 / 254,)
        assert cli("vectorize", raster, "-o", output, "--confidence", confidence).code == 0
        found = read_polygons(output)
        with rasterio.open(raster) as dataset:
            labels = dataset.read(1)
        expected = {
            int(value): (values[(labels == value) & (values < 255)] / 254).mean()
            for value in np.unique(labels)
        }
        for value, polygons in found.groupby("class_id"):
            if len(polygons) == 1:
                assert polygons.confidence.iloc[0] == pytest.approx(expected[value])
        assert found.confidence.between(0, 1).all()

    def test_dissolve_and_band(self, cli: Run, tmp_path: Path, output: Path) -> None:
        bands = np.stack([patches(30, 30), patches(30, 30, seed=1)])
        raster = placed_tif(tmp_path / "bands.tif", bands, photometric="minisblack", nodata=0)
        assert "Choose the one that holds the class ids with --band" in (
            cli("vectorize", raster, "-o", output).error
        )
        assert cli("vectorize", raster, "-o", output, "--band", "2", "--dissolve").code == 0
        areas = read_polygons(output).set_index("class_id").area_m2
        assert areas.to_dict() == {k: (bands[1] == k).sum() * 0.25 for k in (1, 2, 3, 4)}

    def test_defaults_may_come_from_the_environment(
        self, cli: Run, raster: Path, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GLNET_GEO_VECTORIZE_MIN_AREA", "3px")
        assert cli("vectorize", raster, "-o", output).code == 0
        assert metadata_of(output)["min_area"] == "3 px"

    @pytest.mark.parametrize(
        "words",
        [
            (),
            ("map.tif",),
            ("map.tif", "other.tif", "-o", "map.gpkg"),
            ("map.tif", "-o", "map.gpkg", "--min-area", "50"),
            ("map.tif", "-o", "map.gpkg", "--min-area", "50m"),
            ("map.tif", "-o", "map.gpkg", "--fill-holes", "0m2"),
            ("map.tif", "-o", "map.gpkg", "--fill-holes", "-3px"),
            ("map.tif", "-o", "map.gpkg", "--simplify", "1"),
            ("map.tif", "-o", "map.gpkg", "--simplify", "1m2"),
            ("map.tif", "-o", "map.gpkg", "--connectivity", "6"),
            ("map.tif", "-o", "map.gpkg", "--band", "0"),
            ("map.tif", "-o", "map.gpkg", "--layer", "x", "--layer-per-class"),
            ("map.tif", "-o", "map.gpkg", "--smooth"),
        ],
    )
    def test_usage_errors_exit_with_2(self, cli: Run, words: tuple[str, ...]) -> None:
        result = cli("vectorize", *words)
        assert result.code == 2 and "Error: " in result.err


class TestLayers:
    def test_a_name_of_ones_own(self, cli: Run, raster: Path, output: Path) -> None:
        assert cli("vectorize", raster, "-o", output, "--layer", "Städte 2024").code == 0
        assert layers_of(output) == ["Städte 2024"]
        assert len(style_of(output, "Städte 2024")) == 3

    def test_one_for_each_class(self, cli: Run, raster: Path, output: Path) -> None:
        cli("vectorize", raster, "-o", output, "-q")
        everything = read_polygons(output)
        output = output.with_name("classes.gpkg")
        result = cli("vectorize", raster, "-o", output, "--layer-per-class")
        names = [one.name for one in NAMED.classes]
        assert layers_of(output) == names
        assert f"layers {', '.join(names)}\n" in result.err
        for one in NAMED.classes:
            chosen = everything[everything.class_id == one.id].reset_index(drop=True)
            check_same(read_polygons(output, one.name), chosen)
            assert style_of(output, one.name) == {one.name: one.rgb}
            assert metadata_of(output, one.name)["source"] == "map.tif"

    def test_no_more_than_256(self, cli: Run, tmp_path: Path, output: Path) -> None:
        raster = placed_tif(tmp_path / "parcels.tif", np.arange(257, dtype=np.uint16)[None])
        error = cli("vectorize", raster, "-o", output, "--layer-per-class").error
        assert error == (
            f"Error: {raster} has 257 classes, and --layer-per-class makes at most 256 layers. "
            "Choose some with --classes, or leave it out."
        )
        assert not output.exists()
        words = ("--layer-per-class", "--exclude", ",".join(map(str, range(200))))
        result = cli("vectorize", raster, "-o", output, *words)
        assert result.code == 0 and "229, ... and 27 more\n" in result.err
        assert len(layers_of(output)) == 57

    def test_of_the_chosen_ones_only(self, cli: Run, raster: Path, output: Path) -> None:
        words = ("--layer-per-class", "--exclude", "building")
        assert cli("vectorize", raster, "-o", output, *words).code == 0
        assert layers_of(output) == ["bare land", "Wald & Wiese"]

    def test_names_that_no_layer_may_have(self, cli: Run, tmp_path: Path, output: Path) -> None:
        covers = [
            LandCover(k, name, (k, 0, 0))
            for k, name in enumerate(("gpkg_thing", "-", "rtree_x", "Layer_Styles", "a/b"))
        ]
        legend = Legend("odd", tuple(covers))
        raster = named_map(tmp_path / "odd.tif", ids([0, 1, 2, 3, 4]), legend)
        assert cli("vectorize", raster, "-o", output, "--layer-per-class").code == 0
        expected = ["class gpkg_thing", "class -", "class rtree_x", "class Layer_Styles", "a/b"]
        assert layers_of(output) == expected
        found = [read_polygons(output, name)["class"].tolist() for name in expected]
        assert found == [[one.name] for one in covers]

    def test_appending_leaves_the_others_alone(
        self, cli: Run, raster: Path, output: Path, tmp_path: Path
    ) -> None:
        parcels = GeoDataFrame({"owner": ["A", "B"]}, geometry=[LAND, LAND], crs="EPSG:32633")
        pyogrio.write_dataframe(parcels, output, layer="parcels")
        for words in ((), ("--layer", "second", "--classes", "1")):
            assert cli("vectorize", raster, "-o", output, "--append", *words).code == 0
        assert layers_of(output) == ["parcels", "landcover", "second"]
        check_same(read_polygons(output, "parcels"), parcels)
        assert set(read_polygons(output, "second").class_id) == {1}
        assert set(style_of(output)) == {one.name for one in NAMED.classes}
        before = files(tmp_path)
        error = cli("vectorize", raster, "-o", output, "--append").error
        assert error == (
            f"Error: {output} has a layer 'landcover'. Use --overwrite to replace it, or another "
            "name."
        )
        assert files(tmp_path) == before
        words = ("--append", "--overwrite", "--exclude", "1")
        assert cli("vectorize", raster, "-o", output, *words).code == 0
        assert {*layers_of(output)} == {"parcels", "landcover", "second"}
        assert set(read_polygons(output).class_id) == {0, 4}
        check_same(read_polygons(output, "parcels"), parcels)

    def test_appending_to_what_is_not_there_makes_it(
        self, cli: Run, raster: Path, output: Path
    ) -> None:
        assert cli("vectorize", raster, "-o", output, "--append").code == 0
        assert layers_of(output) == ["landcover"]

    def test_appending_to_other_files(self, cli: Run, raster: Path, tmp_path: Path) -> None:
        for name, content in (("old.gpkg", OLD), ("old.fgb", OLD)):
            (tmp_path / name).write_bytes(content)
            error = cli("vectorize", raster, "-o", tmp_path / name, "--append").error
            assert f"{name} is no GeoPackage. --append adds layers to GeoPackages only" in error
            assert (tmp_path / name).read_bytes() == content


def sorted_features(found: GeoDataFrame, crs: Any) -> GeoDataFrame:
    """The features in an order that does not depend on the file."""
    places = found.to_crs(crs).geometry.representative_point()
    placed = found.assign(x=places.x.round(1), y=places.y.round(1))
    keys = ["class_id", "area_m2", "perimeter_m", "x", "y"]
    return placed.sort_values(keys, ignore_index=True)


class TestFormats:
    @pytest.mark.parametrize(
        ("suffix", "connectivity"),
        [
            *((one, "4") for one in (".fgb", ".parquet", ".shp", ".geojsonl", ".geojson")),
            *((one, "8") for one in (".parquet", ".shp", ".geojsonl")),
        ],
    )
    def test_they_hold_the_same(
        self, cli: Run, tmp_path: Path, output: Path, suffix: str, connectivity: str
    ) -> None:
        raster = placed_tif(tmp_path / "patches.tif", patches(40, 50), nodata=0)
        confidence = placed_tif(tmp_path / "c.tif", noise(40, 50, bands=1), nodata=255)
        words = ("--confidence", confidence, "--connectivity", connectivity)
        for target in (output, output.with_suffix(suffix)):
            assert cli("vectorize", raster, "-o", target, *words).code == 0
        found, expected = read_polygons(output.with_suffix(suffix)), read_polygons(output)
        crs, is_json = expected.crs, "json" in suffix
        assert found.crs == ("EPSG:4326" if is_json else crs)
        if suffix == ".shp":
            found = found.rename(columns={"perim_m": "perimeter_m"})
        # FlatGeobuf has an order of its own.
        found, expected = (sorted_features(one, crs) for one in (found, expected))
        for name in ("class_id", "class", "area_m2", "perimeter_m", "confidence"):
            np.testing.assert_array_equal(found[name], expected[name])
        assert found.geometry.is_valid.all()
        shapes = expected.to_crs(found.crs).geometry.to_numpy()
        apart = shapely.hausdorff_distance(found.geometry.to_numpy(), shapes)
        assert apart.max() <= (1e-6 if is_json else 0)
        style = style_path(output.with_suffix(suffix)).read_text("utf-8")
        assert '"categorizedSymbol"' in style

    @pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
    @pytest.mark.parametrize(("pixel", "decimals"), [(0.5, 7), (0.01, 9)])
    def test_geojson_keeps_the_shapes_of_small_pixels(
        self, cli: Run, tmp_path: Path, suffix: str, pixel: float, decimals: int
    ) -> None:
        place = Affine(pixel, 0, 400_000, 0, -pixel, 5_500_000)
        raster = placed_tif(tmp_path / "fine.tif", patches(40, 50), nodata=0, transform=place)
        output = tmp_path / f"map{suffix}"
        assert cli("vectorize", raster, "-o", output).code == 0
        found = read_polygons(output)
        assert found.geometry.is_valid.all()
        assert shapely.coverage_is_valid(found.geometry.values)
        areas = found.to_crs("EPSG:32633").area
        np.testing.assert_allclose(areas, found.area_m2, rtol=0.05)
        numbers = re.findall(r"\.(\d+)[, \]]", output.read_text().partition("coordinates")[2])
        assert max(map(len, numbers)) == decimals

    def test_unknown_ones_are_answered_with_those_there_are(
        self, cli: Run, raster: Path, tmp_path: Path
    ) -> None:
        before = files(tmp_path)
        for name in ("map.kml", "map", "map.tif.zip"):
            error = cli("vectorize", raster, "-o", tmp_path / name).error
            assert ".gpkg, .fgb, .geojson, .geojsonl, .geojsons, .parquet" in error
        error = cli("vectorize", raster, "-o", tmp_path / "m.shp", "--layer-per-class").error
        assert "m.shp can hold one layer only. Name a GeoPackage (.gpkg)." in error
        assert files(tmp_path) == before


class TestRefusals:
    @pytest.fixture
    def folder(self, tmp_path: Path, raster: Path) -> Path:
        """Rasters that are none of classes, and an older result."""
        placed_tif(tmp_path / "float.tif", np.ones((4, 5), np.float32))
        placed_tif(tmp_path / "rgb.tif", noise(4, 5), photometric="rgb")
        (tmp_path / "text.tif").write_text("not a raster")
        (tmp_path / "old.gpkg").write_bytes(OLD)
        return tmp_path

    @pytest.mark.parametrize(
        ("raster_name", "output_name", "message"),
        [
            ("missing.tif", "new.gpkg", "missing.tif does not exist"),
            ("text.tif", "new.gpkg", "text.tif is not a raster"),
            (".", "new.gpkg", "is a folder"),
            ("float.tif", "new.gpkg", "float32 pixels, not class ids"),
            ("rgb.tif", "new.gpkg", "is a picture (red, green, blue), not a class raster"),
            ("map.tif", "new.kml", "none of the extensions of vector files"),
            ("map.tif", "old.gpkg", "old.gpkg exists. Use --overwrite to replace it."),
            ("map.tif", "map.tif", "is the input itself"),
            ("map.tif", "nowhere/new.gpkg", "nowhere does not exist. Create it"),
            ("map.tif", ".", "is a folder"),
        ],
    )
    def test_one_line_and_nothing_left_behind(
        self, cli: Run, folder: Path, raster_name: str, output_name: str, message: str
    ) -> None:
        before = files(folder)
        result = cli("vectorize", folder / raster_name, "-o", folder / output_name)
        assert result.code == 1 and message in result.error and result.out == ""
        assert files(folder) == before
        assert not [path for path in folder.iterdir() if path.is_dir()]

    @pytest.mark.parametrize("raster_name", ["missing.tif", "float.tif", "rgb.tif", "damaged.tif"])
    def test_overwriting_needs_something_to_write(
        self, cli: Run, folder: Path, raster_name: str
    ) -> None:
        placed_tif(folder / "damaged.tif", noise(90, 90, bands=1), compress="deflate")
        content = bytearray((folder / "damaged.tif").read_bytes())
        content[4000:5000] = bytes(1000)
        (folder / "damaged.tif").write_bytes(content)
        before = files(folder)
        words = ("-o", folder / "old.gpkg", "--overwrite")
        result = cli("vectorize", folder / raster_name, *words)
        assert result.code == 1 and raster_name in result.error
        assert files(folder) == before and len([*folder.iterdir()]) == len(before)

    def test_overwriting(self, cli: Run, folder: Path) -> None:
        output = folder / "old.gpkg"
        assert cli("vectorize", folder / "map.tif", "-o", output, "--overwrite").code == 0
        check_exact(folder / "map.tif", read_polygons(output))
        before = output.read_bytes()
        assert cli("vectorize", folder / "map.tif", "-o", output).code == 1
        assert output.read_bytes() == before
        result = cli(
            "vectorize", folder / "map.tif", "-o", output, "--overwrite", "--layer", "other"
        )
        assert result.code == 1 and "also has 'landcover'" in result.error
        assert output.read_bytes() == before
        assert cli("vectorize", folder / "map.tif", "-o", output, "--overwrite").code == 0
        assert layers_of(output) == ["landcover"]
        assert not work_folder(output).exists()

    def test_a_virtual_raster_is_not_replaced_by_its_polygons(self, cli: Run, folder: Path) -> None:
        """Nor is a part of it, which only GDAL knows of."""
        part = placed_tif(folder / "part.gpkg", patches(9, 9))
        copy_raster(part, folder / "virtual.vrt", driver="VRT")
        before = part.read_bytes()
        words = ("-o", part, "--overwrite")
        assert "is the input itself" in cli("vectorize", folder / "virtual.vrt", *words).error
        assert part.read_bytes() == before


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "glnet_geo", "vectorize", *map(str, words)]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map that takes so long that a signal finds it at work."""
    labels = noise(1500, 1500, bands=1) % 5
    return placed_tif(tmp_path_factory.mktemp("long") / "long.tif", labels)


class TestInterruption:
    def start(self, raster: Path, output: Path) -> subprocess.Popen[str]:
        """A run that has written some polygons."""
        words = command(raster, "-o", output, "-q", "--overwrite")
        run = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        made = work_folder(output) / "polygons.gpkg"
        while run.poll() is None and (not made.exists() or made.stat().st_size < 1 << 20):
            time.sleep(0.005)
        assert run.poll() is None, "it was too fast for this test"
        return run

    def test_by_a_signal(self, output: Path, long: Path) -> None:
        output.write_bytes(OLD)
        run = self.start(long, output)
        run.send_signal(signal.SIGINT)
        _, messages = run.communicate(timeout=60)
        assert run.returncode == 130 and messages.strip() == "Interrupted."
        assert files(output.parent) == {"map.gpkg": OLD} and not work_folder(output).exists()

    def test_killed_and_run_once_more(
        self, cli: Run, raster: Path, output: Path, long: Path
    ) -> None:
        output.write_bytes(OLD)
        run = self.start(long, output)
        run.kill()
        run.communicate()
        assert run.returncode == -signal.SIGKILL and output.read_bytes() == OLD
        visible = [path.name for path in output.parent.iterdir() if path.name[0] != "."]
        assert sorted(visible) == ["map.gpkg", "map.tif", "map.tif.aux.xml"]
        result = cli("vectorize", raster, "-o", output, "--overwrite")
        assert result.code == 0 and not work_folder(output).exists()
        check_exact(raster, read_polygons(output))

    def test_a_second_run_waits_its_turn(
        self, cli: Run, raster: Path, output: Path, long: Path
    ) -> None:
        first = self.start(long, output)
        error = cli("vectorize", raster, "-o", output, "--overwrite").error
        assert error == (
            f"Error: {output} is being written by another run. Wait for it, or choose another "
            "output."
        )
        first.send_signal(signal.SIGINT)
        _, messages = first.communicate(timeout=60)
        assert first.returncode == 130 and messages.strip() == "Interrupted."
        assert sorted(path.name for path in output.parent.iterdir()) == [
            "map.tif",
            "map.tif.aux.xml",
        ]
        assert cli("vectorize", raster, "-o", output).code == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("moment", range(8))
    def test_at_any_moment(self, output: Path, long: Path, moment: int) -> None:
        output.write_bytes(OLD)
        run = self.start(long, output)
        time.sleep(moment * 1.3)
        run.send_signal(signal.SIGINT)
        _, messages = run.communicate(timeout=60)
        assert "Traceback" not in messages and not work_folder(output).exists()
        # The signal itself ends a run that is done, while Python puts itself away.
        if run.returncode in (0, -signal.SIGINT):
            assert pyogrio.read_info(output, layer="landcover")["features"] > 1_000_000
        else:
            assert run.returncode == 130 and output.read_bytes() == OLD


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))
sys.argv = ["glnet-geo", *sys.argv[2:]]
from glnet_geo.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (300_000, ()),
        pytest.param(1, (), marks=pytest.mark.slow),
        pytest.param(300_000, ("--append", "--layer", "new"), marks=pytest.mark.slow),
        pytest.param(300_000, ("--append", "--layer-per-class"), marks=pytest.mark.slow),
        pytest.param(100_000, ("--dissolve",), marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_one_line_and_spares_the_old_file(
    cli: Run, tmp_path: Path, output: Path, limit: int, words: tuple[str, ...]
) -> None:
    pytest.importorskip("resource", reason="file size limits are POSIX")
    small = placed_tif(tmp_path / "small.tif", patches(9, 9))
    cli("vectorize", small, "-o", output)
    raster = placed_tif(tmp_path / "patches.tif", patches(300, 300), nodata=0)
    before = files(tmp_path)
    arguments = [str(limit), "vectorize", raster, "-o", output, "-q", "--overwrite", *words]
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1 and "Traceback" not in run.stderr
    (error,) = (line for line in run.stderr.splitlines() if line.startswith("Error: "))
    assert f"{output} cannot be written" in error
    assert files(tmp_path) == before and not work_folder(output).exists()


# getrusage() starts with the peak of the process that started this one.
WITH_ITS_PEAK = """
import atexit, pathlib, sys
from glnet_geo.cli.main import main
def tell():
    status = pathlib.Path("/proc/self/status").read_text()
    print(status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
atexit.register(tell)
main()
"""


def summary_and_peak(raster: Path, output: Path, *words: str) -> tuple[dict[str, Any], float]:
    """What a run of its own says, and the gigabytes that it took."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux to know the peak of memory")
    options = ["-o", output, "-q", "--json", "--overwrite", *words]
    run = subprocess.run(
        [sys.executable, "-c", WITH_ITS_PEAK, "vectorize", raster, *options],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout), int(run.stderr) * 1024 / 1e9


@pytest.mark.slow
def test_a_checkerboard_stays_within_memory(tmp_path: Path, output: Path) -> None:
    labels = np.indices((2000, 2000)).sum(axis=0).astype(np.uint8) % 2
    raster = placed_tif(tmp_path / "board.tif", labels)
    summary, peak = summary_and_peak(raster, output)
    counts = [(one["polygons"], one["area_m2"]) for one in summary["classes"]]
    assert counts == [(2_000_000, 500_000.0)] * 2
    assert peak < 1
    whole, _ = summary_and_peak(raster, output, "--connectivity", "8")
    assert [one["polygons"] for one in whole["classes"]] == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "limit", "words"),
    [
        (4000, 1.0, ()),
        (4000, 1.0, ("--min-area", "20px")),
        (4000, 1.0, ("--fill-holes", "9px")),
        # All of a band is in memory while it is simplified.
        (1000, 1.4, ("--fill-holes", "9px", "--simplify", "1m")),
        (4000, 2.5, ("--simplify", "1m")),
    ],
)
def test_noise_stays_within_memory(
    tmp_path: Path, output: Path, width: int, limit: float, words: tuple[str, ...]
) -> None:
    labels = noise(3000, width, bands=1)[0] % 8
    raster = placed_tif(tmp_path / "noise.tif", labels, nodata=0)
    summary, peak = summary_and_peak(raster, output, *words)
    assert peak < limit
    if not {"--fill-holes", "--simplify"} & {*words}:
        areas = [one["area_m2"] for one in summary["classes"]]
        assert sum(areas) == (labels > 0).sum() * 0.25, "nodata stays nodata"
    found = pyogrio.read_dataframe(output, layer="landcover", max_features=40_000)
    assert found.geometry.is_valid.all() and (found.area > 0).all()
    np.testing.assert_allclose(found.area_m2, found.area, rtol=1e-9)
    assert shapely.coverage_is_valid(found.geometry.values)
