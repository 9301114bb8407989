"""`glnet-geo sample`: the points, what the layer says of itself, messages and exit codes."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from geopandas import GeoDataFrame

from glnet_geo.sample_design import SampleDesign
from glnet_geo.sample_size import SampleSize
from glnet_geo.stratified_sampling import draw_sample
from tests.class_maps import NAMED, layers_of, metadata_of, named_map
from tests.conftest import CliResult
from tests.rasters import UTM, placed_tif, write_tif

Run = Callable[..., CliResult]


def striped(height: int = 60, width: int = 80) -> npt.NDArray[np.uint8]:
    """Building in 5 %, bare land in 45 %, Wald in 50 % of a map whose first rows are nodata."""
    labels = np.full((height, width), 4, np.uint8)
    labels[:, : width // 2] = 1
    labels[:, : width // 20] = 0
    labels[:5] = 255
    return labels


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return named_map(tmp_path / "map.tif", striped())


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "sample.gpkg"


def points_of(output: Path) -> GeoDataFrame:
    return pyogrio.read_dataframe(output, layer="sample")


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class TestPoints:
    def test_they_lie_at_centres_of_pixels_of_their_stratum(
        self, raster: Path, output: Path
    ) -> None:
        summary = draw_sample(raster, output, size=SampleSize(300))
        points = points_of(output)
        assert list(points.columns) == ["id", "stratum", "map_class", "reference", "geometry"]
        assert points.id.tolist() == [*range(1, 301)] and summary.design.points == 300
        assert points.crs.to_epsg() == 32633
        columns, rows = ~UTM["transform"] @ (points.geometry.x, points.geometry.y)
        np.testing.assert_allclose((columns % 1, rows % 1), 0.5, atol=1e-6)
        with rasterio.open(raster) as dataset:
            labels = dataset.read(1)
        np.testing.assert_array_equal(labels[rows.astype(int), columns.astype(int)], points.stratum)
        names = {one.id: one.name for one in NAMED.classes}
        assert [names[one] for one in points.stratum] == points.map_class.tolist()
        assert set(points.reference) == {""}
        assert len({(point.x, point.y) for point in points.geometry}) == 300

    def test_a_seed_says_it_all(self, raster: Path, tmp_path: Path) -> None:
        size = SampleSize(200)
        drawn = []
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            draw_sample(raster, tmp_path / f"{name}.gpkg", size=size, seed=seed)
            drawn.append(points_of(tmp_path / f"{name}.gpkg"))
        assert drawn[0].equals(drawn[1])
        assert not drawn[0].geometry.equals(drawn[2].geometry)

    def test_the_first_ones_are_a_sample_as_well(self, raster: Path, output: Path) -> None:
        draw_sample(raster, output, size=SampleSize(1000))
        points = points_of(output)
        shares = points.map_class.value_counts(normalize=True)
        first = points.map_class[:200].value_counts(normalize=True)
        assert np.abs(first - shares).max() < 0.1

    def test_only_the_area_of_interest_is_drawn_from(
        self, cli: Run, raster: Path, output: Path, tmp_path: Path
    ) -> None:
        # 20 x 20 pixels half of which are Wald; in degrees, so that edges are bent as well.
        box = shapely.box(500_015, 4_999_980, 500_025, 4_999_990)
        area = geopandas.GeoSeries([box], crs="EPSG:32633")
        area.to_crs("EPSG:4326").to_file(tmp_path / "aoi.gpkg")
        result = cli("sample", raster, "-o", output, "--aoi", tmp_path / "aoi.gpkg", "--size", 90)
        assert result.code == 0, result.err
        points = points_of(output)
        assert points.within(box).all()
        strata = SampleDesign.from_metadata(metadata_of(output, "sample")).strata
        assert [(one.id, one.pixels, one.area) for one in strata] == [(1, 200, 50), (4, 200, 50)]
        assert metadata_of(output, "sample")["aoi"] == "aoi.gpkg"

    def test_classes_can_be_chosen(self, raster: Path, output: Path) -> None:
        draw_sample(raster, output, classes=["building, bare land"], exclude=["0"])
        assert set(points_of(output).map_class) == {"bare land"}

    def test_a_rare_class_gives_all_its_pixels(self, tmp_path: Path, output: Path) -> None:
        labels = striped()
        labels[10, 60:63] = 0
        labels[:, :4] = 1
        draw_sample(named_map(tmp_path / "rare.tif", labels), output)
        points = points_of(output)
        counts = Counter(points.map_class)
        assert counts["building"] == 3 and sum(counts.values()) == 367
        is_building = points.map_class == "building"
        assert sorted(points.geometry.x[is_building]) == [500_030.25, 500_030.75, 500_031.25]

    def test_one_pixel_is_a_map(self, tmp_path: Path, output: Path) -> None:
        draw_sample(placed_tif(tmp_path / "one.tif", np.full((1, 1), 7, np.uint8)), output)
        (point,) = points_of(output).itertuples()
        assert (point.stratum, point.map_class) == (7, "7")
        assert (point.geometry.x, point.geometry.y) == (500_000.25, 4_999_999.75)

    def test_where_pixels_differ_weights_are_areas(self, tmp_path: Path, output: Path) -> None:
        # Pixels of 1 degree from pole to pole: half of a hemisphere's area lies below 30 degrees.
        labels = np.repeat([[1], [2]], 90, axis=0).repeat(360, axis=1).astype(np.uint8)
        place = Affine(1, 0, -180, 0, -1, 90)
        raster = placed_tif(tmp_path / "globe.tif", labels, crs="EPSG:4326", transform=place)
        draw_sample(raster, output, size=SampleSize(2000))
        points = points_of(output)
        assert (np.abs(points.geometry.y) < 30).mean() == pytest.approx(0.5, abs=0.04)
        design = SampleDesign.from_metadata(metadata_of(output, "sample"))
        # Of the ellipsoid, in square metres.
        assert design.area == pytest.approx(510_065_621_724_089, rel=1e-9)
        assert design.strata[0].area == pytest.approx(design.area / 2, rel=1e-9)
        assert design.area_rule.startswith("equal-area")

    def test_without_a_crs_points_lie_in_pixels(self, tmp_path: Path, output: Path) -> None:
        raster = write_tif(tmp_path / "plain.tif", striped(), nodata=255)
        summary = draw_sample(raster, output, size=SampleSize(200))
        points = points_of(output)
        assert points.crs is None and summary.design.unit == "px"
        rows, columns = points.geometry.y.astype(int), points.geometry.x.astype(int)
        np.testing.assert_array_equal(striped()[rows, columns], points.stratum)
        assert [one.area for one in summary.design.strata] == [220, 1980, 2200]

    def test_a_rotated_grid(self, tmp_path: Path, output: Path) -> None:
        place = Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -3)
        raster = placed_tif(tmp_path / "turned.tif", striped(), nodata=255, transform=place)
        summary = draw_sample(raster, output, size=SampleSize(200))
        points = points_of(output)
        columns, rows = ~place @ (points.geometry.x, points.geometry.y)
        np.testing.assert_allclose((columns % 1, rows % 1), 0.5, atol=1e-6)
        np.testing.assert_array_equal(
            striped()[rows.astype(int), columns.astype(int)], points.stratum
        )
        assert summary.design.area == pytest.approx(6 * 55 * 80)


class TestLayer:
    def test_its_metadata_are_where_the_standard_puts_them(
        self, raster: Path, output: Path
    ) -> None:
        design = draw_sample(raster, output, seed=5).design
        with closing(sqlite3.connect(output)) as database:
            ((text,),) = database.execute(
                "SELECT metadata FROM gpkg_metadata JOIN gpkg_metadata_reference AS place "
                "ON place.md_file_id = gpkg_metadata.id WHERE place.table_name = 'sample'"
            ).fetchall()
        entries = {one.get("key", ""): one.text or "" for one in ET.fromstring(text).iter("MDI")}
        assert SampleDesign.from_metadata(entries) == design
        assert entries["source"] == "map.tif" and entries["seed"] == "5"
        assert entries["source_sha256"] == hashlib.sha256(raster.read_bytes()).hexdigest()
        (building, *_) = json.loads(entries["strata"])
        assert building["share"] == 0.05 and building["area"] == 55
        assert (building["pixels"], building["points"]) == (220, 50)
        assert entries["areas"] == "planar in EPSG:32633"

    def test_qgis_offers_the_classes_and_hides_the_maps(self, raster: Path, output: Path) -> None:
        draw_sample(raster, output)
        with closing(sqlite3.connect(output)) as database:
            ((qml,),) = database.execute(
                "SELECT styleQML FROM layer_styles WHERE f_table_name = 'sample' "
                "AND f_geometry_column = 'geom' AND useAsDefault = 1"
            ).fetchall()
        root = ET.fromstring(qml)
        widgets = {field.attrib["name"]: field.find("editWidget") for field in root.iter("field")}
        kinds = {name: one.attrib["type"] for name, one in widgets.items() if one is not None}
        assert kinds == {"reference": "ValueMap", "stratum": "Hidden", "map_class": "Hidden"}
        choices = root.findall(".//field[@name='reference']//Option[@name='map']/Option/Option")
        values = [(one.attrib["name"], one.attrib["value"]) for one in choices]
        assert values == [("", ""), *((one.name, one.name) for one in NAMED.classes)]
        hidden = [one.attrib["name"] for one in root.iter("column") if one.get("hidden") == "1"]
        assert hidden == ["stratum", "map_class"]


class TestCommand:
    def test_the_summary_can_be_pasted_into_a_mail(
        self, cli: Run, raster: Path, output: Path
    ) -> None:
        result = cli("sample", raster, "-o", output, "--json")
        lines = result.err.splitlines()
        assert lines[:-1] == [
            f"{output}   layer sample, 367 points, seed 0",
            "  Wald & Wiese         0.1 ha    50.0 %       167 points",
            "  bare land            0.0 ha    45.0 %       150 points",
            "  building             0.0 ha     5.0 %        50 points",
            "  areas: planar in EPSG:32633",
        ]
        summary = json.loads(result.out)
        assert (summary["points"], summary["unit"], summary["layer"]) == (367, "m", "sample")
        assert [one["points"] for one in summary["strata"]] == [50, 150, 167]
        assert layers_of(output) == ["sample"]

    def test_quiet_is_quiet(self, cli: Run, raster: Path, output: Path) -> None:
        result = cli("sample", raster, "-o", output, "-q")
        assert (result.code, result.out, result.err) == (0, "", "")

    def test_the_rule_follows_its_options(self, cli: Run, raster: Path, output: Path) -> None:
        options = ("--standard-error", 0.05, "--expected-accuracy", 0.9, "--min-per-class", 5)
        result = cli("sample", raster, "-o", output, "--json", *options)
        # 0.09 / (0.0025 + 0.09 / 4400)
        assert json.loads(result.out)["points"] == 36

    def test_an_existing_output_stays(self, cli: Run, raster: Path, output: Path) -> None:
        output.write_bytes(b"labels of a week")
        result = cli("sample", raster, "-o", output)
        assert result.code == 1 and "Use --overwrite" in result.error
        assert output.read_bytes() == b"labels of a week"
        assert cli("sample", raster, "-o", output, "--overwrite").code == 0
        assert cli("sample", raster, "-o", output, "--overwrite", "--seed", 1).code == 0
        assert len(points_of(output)) == 367
        assert files(output.parent) == {"map.tif", "map.tif.aux.xml", "sample.gpkg"}

    def test_another_layer_is_not_deleted(self, cli: Run, raster: Path, output: Path) -> None:
        GeoDataFrame(geometry=[shapely.Point(0, 0)], crs="EPSG:32633").to_file(
            output, layer="own work"
        )
        result = cli("sample", raster, "-o", output, "--overwrite")
        assert result.code == 1 and "'own work'" in result.error
        assert layers_of(output) == ["own work"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--classes", "glacier"), "no class 'glacier'"),
            (("--classes", "77"), "no pixels of the chosen classes"),
            (("--exclude", "0,1,4"), "no pixels of the chosen classes"),
            (("--size", 5), "5 points are too few for 3 classes"),
            (("--band", 2), "no band 2"),
            (("--aoi", "nowhere.gpkg"), "nowhere.gpkg does not exist"),
        ],
    )
    def test_what_cannot_be_drawn_is_said_in_one_line(
        self,
        cli: Run,
        raster: Path,
        output: Path,
        options: tuple[object, ...],
        message: str,
    ) -> None:
        result = cli("sample", raster, "-o", output, *options)
        assert result.code == 1 and message in result.error
        assert files(output.parent) == {"map.tif", "map.tif.aux.xml"}

    def test_nothing_but_nodata(self, cli: Run, tmp_path: Path, output: Path) -> None:
        empty = placed_tif(tmp_path / "empty.tif", np.full((9, 9), 255, np.uint8), nodata=255)
        result = cli("sample", empty, "-o", output)
        assert result.code == 1 and "nothing but nodata" in result.error
        assert files(tmp_path) == {"empty.tif"}

    def test_wrong_outputs(self, cli: Run, raster: Path, tmp_path: Path) -> None:
        for name in ("sample.shp", "sample.csv", "no/folder.gpkg"):
            result = cli("sample", raster, "-o", tmp_path / name)
            assert result.code == 1 and result.error
        assert "a .gpkg file" in cli("sample", raster, "-o", tmp_path / "sample.shp").error

    @pytest.mark.parametrize(
        "options",
        [
            ("--size", 50, "--standard-error", 0.1),
            ("--size", 1),
            ("--expected-accuracy", 1),
            ("--min-per-class", 1),
            ("--seed", -1),
        ],
    )
    def test_wrong_usage(
        self, cli: Run, raster: Path, output: Path, options: tuple[object, ...]
    ) -> None:
        assert cli("sample", raster, "-o", output, *options).code == 2
        assert not output.exists()
