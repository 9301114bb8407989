from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import geopandas
import matplotlib.image
import numpy as np
import pyogrio
import pytest
import shapely

from glnet_geo.class_table import MapClass, palette_color
from glnet_geo.figures import save_png
from glnet_geo.grid import Grid
from glnet_geo.table_columns import TableColumn
from glnet_geo.zone_chart import draw_shares
from glnet_geo.zone_statistics import ZoneStatistics
from tests.class_maps import town
from tests.rasters import UTM, write_tif

X, Y = 500_000, 5_000_000


def box(left, top, right, bottom):
    """Columns and rows of 0.5 m."""
    return shapely.box(X + left / 2, Y - bottom / 2, X + right / 2, Y - top / 2)


@pytest.fixture
def zoned(tmp_path):
    """The town's map and two zones; a field bears the name of one of our columns."""
    zones = tmp_path / "zones.gpkg"
    geopandas.GeoDataFrame(
        {"name": ["West", "=East"], "Building_HA": [5, 6]},
        geometry=[box(0, 0, 2, 4), box(2, 0, 5, 4)],
        crs=UTM["crs"],
    ).to_file(zones)
    return town(tmp_path / "map.tif"), zones


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_a_zone(cli, zoned, tmp_path):
    raster, zones = zoned
    result = cli("stats", raster, "--zones", zones, "-o", tmp_path / "s.csv")
    assert result.code == 0 and result.out == "", result.err
    assert "2 zones of" in result.err and "West" in result.err and "planar in EPSG" in result.err
    west, east = rows_of(tmp_path / "s.csv")
    assert list(west) == [
        *("name", "Building_HA", "zone_ha", "mapped_ha", "nodata_ha", "outside_ha"),
        *("mapped_share", "building_ha_2", "building_share", "bare land_ha", "bare land_share"),
        *("Wald & Wiese_ha", "Wald & Wiese_share"),
    ]
    assert west["name"] == "West" and west["building_ha_2"] == "0.000100"
    assert west["building_share"] == "0.500000" and west["mapped_share"] == "1.000000"
    assert east["name"] == "'=East" and east["nodata_ha"] == "0.000050"
    assert float(east["mapped_share"]) == pytest.approx(10 / 12, abs=1e-6)


def test_long_and_whole(cli, zoned, tmp_path):
    raster, zones = zoned
    result = cli("stats", raster, "--zones", zones, "--long", "-o", tmp_path / "long.csv")
    assert result.code == 0, result.err
    rows = rows_of(tmp_path / "long.csv")
    assert list(rows[0]) == ["name", "Building_HA", "class_id", "class", "ha", "share"]
    assert [(row["name"], row["class_id"]) for row in rows[2:4]] == [("West", "4"), ("'=East", "0")]
    result = cli("stats", raster, "-o", tmp_path / "whole.csv", "--plot", tmp_path / "whole.png")
    assert result.code == 0 and "bare land" in result.err, result.err
    whole = rows_of(tmp_path / "whole.csv")
    assert list(whole[0]) == ["class_id", "class", "ha", "share"]
    assert [row["ha"] for row in whole] == ["0.000175", "0.000175", "0.000100"]
    assert matplotlib.image.imread(tmp_path / "whole.png").shape[1] > 1000


def test_geopackage_and_parquet_carry_everything(cli, zoned, tmp_path):
    raster, zones = zoned
    for suffix in (".gpkg", ".parquet"):
        output = tmp_path / f"s{suffix}"
        assert cli("stats", raster, "--zones", zones, "-o", output, "-q").code == 0
        is_database = suffix == ".gpkg"
        found = (
            pyogrio.read_dataframe(output, layer="zones")
            if is_database
            else geopandas.read_parquet(output)
        )
        assert found["name"].tolist() == ["West", "=East"] and found.crs == UTM["crs"]
        assert found["Building_HA"].tolist() == [5, 6]
        assert found["building_ha_2"].tolist() == pytest.approx([1e-4, 0.75e-4])
        assert found.geometry.area.tolist() == pytest.approx([2, 3])
    metadata = pyogrio.read_info(tmp_path / "s.gpkg")["layer_metadata"]
    assert metadata["areas"] == "planar in EPSG:32633" and metadata["unit"] == "ha"
    before = (tmp_path / "s.gpkg").read_bytes()
    refused = cli("stats", raster, "--zones", zones, "-o", tmp_path / "s.gpkg")
    assert refused.code == 1 and "--overwrite" in refused.error
    assert (tmp_path / "s.gpkg").read_bytes() == before
    again = cli("stats", raster, "--zones", zones, "-o", tmp_path / "s.gpkg", "--overwrite")
    assert again.code == 0, again.err


def test_a_zone_without_any_area(cli, zoned, tmp_path):
    raster, _ = zoned
    boxes = [box(0, 0, 2, 4), box(0, 0, 1e-9, 1e-9)]
    frame = geopandas.GeoDataFrame({"name": ["West", "dot"]}, geometry=boxes, crs=UTM["crs"])
    frame.to_file(tmp_path / "dot.gpkg")
    result = cli("stats", raster, "--zones", tmp_path / "dot.gpkg", "--json")
    assert re.search(r"\n  dot +0\.000000 ha\n", result.err)
    assert json.loads(result.out)["zones"][1]["mapped_share"] is None
    frame[:1].to_file(tmp_path / "one.gpkg")
    assert ", 1 zone of " in cli("stats", raster, "--zones", tmp_path / "one.gpkg").err


def test_json_is_the_whole_table(cli, zoned):
    raster, zones = zoned
    found = json.loads(cli("stats", raster, "--zones", zones, "--json").out)
    assert found["unit"] == "ha" and found["output"] is None
    assert found["classes"][0] == {"id": 0, "name": "building", "color": "#3c1098"}
    east = found["zones"][1]
    assert east["attributes"] == {"name": "=East", "Building_HA": 6}
    assert sum(one["share"] for one in east["classes"]) == pytest.approx(1)
    assert east["area"] == pytest.approx(east["mapped"] + east["nodata"])
    whole = json.loads(cli("stats", raster, "--json", "-q").out)
    assert [one["id"] for one in whole["zones"][0]["classes"]] == [0, 1, 4]


def test_outputs_that_are_refused(cli, zoned, tmp_path):
    raster, zones = zoned
    (tmp_path / "there.csv").write_text("mine")
    for arguments, message in (
        (("-o", tmp_path / "s.xlsx", "--zones", zones), "none of the extensions of tables"),
        (("-o", tmp_path / "s.gpkg"), "no geometries"),
        (("-o", tmp_path / "s.gpkg", "--zones", zones, "--long"), "once for each class"),
        (("-o", tmp_path / "there.csv", "--zones", zones), "Use --overwrite"),
        (("-o", zones, "--zones", zones, "--overwrite"), "is the input itself"),
        (("-o", raster, "--zones", zones, "--overwrite"), "is the input itself"),
        (("--plot", tmp_path / "s.jpg"), "no name of a picture"),
        (("--plot", tmp_path / "a.png", "-o", tmp_path / "a.png"), "two outputs at once"),
        (("--zones", zones, "--name", "size"), "no field 'size'. It has name, Building_HA."),
        (("--classes", "sea"), "has no class 'sea'"),
    ):
        result = cli("stats", raster, *arguments)
        assert result.code == 1 and message in result.error, result.err
    assert (tmp_path / "there.csv").read_text() == "mine"
    left = {path.name for path in tmp_path.iterdir()} - {"map.tif.aux.xml"}
    assert left == {"map.tif", "zones.gpkg", "there.csv"}


def test_a_picture_is_refused(cli, tmp_path):
    photo = write_tif(tmp_path / "photo.tif", np.zeros((3, 4, 4), np.uint8), **UTM)
    result = cli("stats", photo)
    assert result.code == 1 and "class" in result.error


def statistics(zones: int, classes: int) -> ZoneStatistics:
    generator = np.random.default_rng(0)
    areas = generator.random((zones, classes)) ** 4
    areas[0] = np.nan
    table = [
        MapClass(one, f"土地 a class of $ {one}, " * 4, palette_color(one))
        for one in range(classes)
    ]
    return ZoneStatistics(
        raster="map.tif",
        grid=Grid(4, 4),
        area_rule="pixels",
        unit="px",
        zone_file=None if zones == 1 else Path("zones.gpkg"),
        names=tuple(f"{one} of the districts with long names" for one in range(zones)),
        attributes=(TableColumn("n", "int32", range(zones)),),
        has_place=np.arange(zones) > 0,
        classes=tuple(table),
        areas=areas,
        mapped=areas.sum(axis=1),
        nodata=np.zeros(zones),
        outside=np.zeros(zones),
    )


@pytest.mark.parametrize(
    ("zones", "classes", "bars", "entries", "title"),
    [
        (3, 2, 2, 2, "2 of 3 zones"),
        (61, 40, 60, 40, "60 of 61 zones"),
        (200, 45, 60, 40, "the 60 largest of 200 zones"),
    ],
)
def test_charts(tmp_path, zones, classes, bars, entries, title):
    figure = draw_shares(statistics(zones, classes))
    (axes,) = figure.axes
    assert len(axes.get_yticks()) == bars and title in axes.get_title()
    assert len(axes.get_legend().get_texts()) == entries
    ends = [patch.get_x() + patch.get_width() for patch in axes.containers[-1].patches]
    assert ends == pytest.approx([1] * bars)
    save_png(figure, tmp_path / "chart.png")
    # Nothing sticks out: the outermost pixels are white.
    picture = matplotlib.image.imread(tmp_path / "chart.png")[..., :3]
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (border == 1).all()
