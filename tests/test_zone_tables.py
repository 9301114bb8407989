"""What zones' files say comes through all formats, and CSV is safe and the same everywhere."""

from __future__ import annotations

import csv
import json
import locale
import math
from datetime import date

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from glnet_geo.csv_cells import text_cell
from glnet_geo.errors import FeaturesError, OutputError
from glnet_geo.feature_output import check_columns, write_geopackage, write_parquet
from glnet_geo.feature_table import FeatureTable, read_features
from glnet_geo.table_columns import TableColumn, distinct, write_csv
from glnet_geo.zone_names import zone_names

BIG = 2**53 + 1
SQUARE = shapely.box(0, 0, 1, 1)
COLUMNS = [
    TableColumn("Bezirk Ü", "text", ["Föhr", None, "=cmd"]),
    TableColumn("count", "int32", [1, None, -3]),
    TableColumn("big", "int64", [BIG, None, -1]),
    TableColumn("urban", "boolean", [True, None, False]),
    TableColumn("density", "float64", [0.1, None, -2.5]),
    TableColumn("since", "date", ["2024-02-29", None, "1931-01-01"]),
    TableColumn(
        "seen",
        "datetime",
        ["2024-02-29T12:30:00.500+04:00", None, "2024-02-29T12:30:00Z"],
    ),
    TableColumn("fid", "int32", [7, 7, 7]),
    TableColumn("geometry", "text", ["a", "b", "c"]),
    TableColumn("geom", "text", ["a", "b", "c"]),
]
FEATURES = FeatureTable(
    np.array([SQUARE, None, shapely.MultiPolygon([SQUARE])]), "EPSG:32633", COLUMNS
)


def written(folder, suffix):
    path = folder / f"table{suffix}"
    write = write_geopackage if suffix == ".gpkg" else write_parquet
    if suffix == ".gpkg":
        write_geopackage(path, path, "zones", FEATURES, COLUMNS, {"unit": "ha"})
    else:
        write(path, path, FEATURES, COLUMNS, {"unit": "ha"})
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet"])
def test_every_type_comes_through(tmp_path, suffix):
    path = written(tmp_path, suffix)
    found = read_features(path, "zones" if suffix == ".gpkg" else "table")
    kinds = {one.name: one.kind for one in found.columns}
    assert kinds == {one.name: one.kind for one in COLUMNS}
    for ours, given in zip(found.columns, COLUMNS, strict=True):
        if given.name == "seen":  # Parquet has one time zone for all
            first, none, last = (one and pd.Timestamp(one) for one in ours.values)
            assert first == pd.Timestamp(given.values[0]) and none is None
            assert last == pd.Timestamp(given.values[2])
        else:
            assert list(ours.values) == list(given.values), given.name
    assert [one is None for one in found.geometries] == [False, True, False]
    assert shapely.equals(found.geometries[0], SQUARE)


def test_other_programs_read_the_files(tmp_path):
    frame = geopandas.read_parquet(written(tmp_path, ".parquet"))
    assert frame.crs == "EPSG:32633" and frame.geometry.name == "geometry_2"
    assert frame["since"].tolist()[0] == date(2024, 2, 29)
    info = pyogrio.read_info(written(tmp_path, ".gpkg"))
    assert info["geometry_type"] == "MultiPolygon" and info["layer_metadata"] == {"unit": "ha"}
    assert (info["geometry_name"], info["fid_column"]) == ("geom_2", "fid_2")


def test_odd_values_become_texts(tmp_path):
    features = [
        {
            "type": "Feature",
            "geometry": json.loads(shapely.to_geojson(SQUARE)),
            "properties": {
                "open": "08:00:00",
                "tags": ["a", "ö"],
                "codes": [1, 2],
                "levels": [1.5, math.nan],
                "more": {"k": 1},
                "huge": big,
                "Name": "x",
                "name": "y",
            },
        }
        for big in (BIG, None)
    ]
    path = tmp_path / "z.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = {one.name: one.values[0] for one in read_features(path, "z").columns}
    assert found["open"] == "08:00:00" and json.loads(found["more"]) == {"k": 1}
    assert found["tags"] == '["a", "ö"]' and found["codes"] == "[1, 2]" and found["huge"] == BIG
    assert found["levels"] == "[1.5, null]"
    names = [one.name for one in distinct(read_features(path, "z").columns)]
    assert names[-2:] == ["Name", "name_2"]


def test_parquet_with_unusual_types(tmp_path):
    frame = geopandas.GeoDataFrame(
        {
            "kind": pd.Categorical(["a", "b"]),
            "small": np.array([1, 2], np.uint8),
            "large": pd.array([BIG, None], "Int64"),
            "part": np.array([0.5, np.inf], np.float32),
            "count": np.array([7, 0], np.uint64),
            "cell": np.array([2**64 - 1, 0], np.uint64),
            "raw": [b"\x01\xff", None],
            "tags": [[1, 2], None],
        },
        geometry=[SQUARE, SQUARE],
        crs=4326,
    )
    frame.to_parquet(tmp_path / "z.parquet")
    found = {one.name: one for one in read_features(tmp_path / "z.parquet", "z").columns}
    assert {name: one.kind for name, one in found.items()} == {
        **{"kind": "text", "small": "int32", "large": "int64", "part": "float32"},
        **{"raw": "text", "tags": "text", "count": "int64", "cell": "text"},
    }
    assert found["count"].values == [7, 0]
    assert found["cell"].values == ["18446744073709551615", "0"]
    assert found["large"].values == [BIG, None] and found["part"].values == [0.5, None]
    assert found["raw"].values == ["01ff", None] and found["tags"].values == ["[1, 2]", None]


def test_texts_in_another_encoding(tmp_path):
    frame = geopandas.GeoDataFrame({"name": ["Föhr"]}, geometry=[SQUARE], crs=4326)
    frame.to_file(tmp_path / "z.shp")
    table = (tmp_path / "z.dbf").read_bytes()
    (tmp_path / "z.dbf").write_bytes(table.replace("Föhr".encode(), "Föhr ".encode("latin-1")))
    with pytest.raises(FeaturesError, match=r"not in utf-?8, as it says .* \.cpg"):
        read_features(tmp_path / "z.shp", "z")
    (tmp_path / "z.cpg").write_text("ISO-8859-1")
    assert read_features(tmp_path / "z.shp", "z").columns[0].values == ["Föhr"]


def test_csv_is_safe_and_has_dots_in_every_locale(tmp_path):
    figures = TableColumn("=a", "figure", [1234.5, None, 1e-6])
    before = locale.setlocale(locale.LC_ALL)
    try:
        for name in ("de_DE.UTF-8", "C.UTF-8"):
            try:
                locale.setlocale(locale.LC_ALL, name)
            except locale.Error:
                continue
            write_csv(tmp_path / "t.csv", [*COLUMNS, figures])
            with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
                head, *rows = csv.reader(file)
            assert head[0] == "Bezirk Ü" and head[-1] == "'=a"
            assert [row[0] for row in rows] == ["Föhr", "", "'=cmd"]
            assert [row[1] for row in rows] == ["1", "", "-3"]
            assert [row[3] for row in rows] == ["true", "", "false"]
            assert [row[4] for row in rows] == ["0.1", "", "-2.5"]
            assert [row[-1] for row in rows] == ["1234.500000", "", "0.000001"]
    finally:
        locale.setlocale(locale.LC_ALL, before)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        *(("-5", "-5"), ("+4.5", "+4.5"), ("a=b", "a=b"), ("=1", "'=1"), ("-1+1", "'-1+1")),
        *(("-", "'-"), ("@A1", "'@A1"), ("-5\n", "'-5\n"), ("\t-5", "'\t-5")),
    ],
)
def test_formulas_are_texts_and_numbers_are_numbers(text, cell):
    assert text_cell(text) == cell


def test_names_that_clash():
    columns = [TableColumn(name, "text", []) for name in ("a", "A_2", "A", "a", "b")]
    assert [one.name for one in distinct(columns)] == ["a", "A_2", "A_3", "a_4", "b"]


def test_names_of_zones(tmp_path):
    path = tmp_path / "z.gpkg"
    code = TableColumn("code", "text", ["k1", "k2"])
    kind = TableColumn("kind", "text", ["x", "x"])
    name = TableColumn("DISTRICT_NAME", "text", [" Am\nHang ", None])
    number = TableColumn("name", "int32", [4, 5])
    assert zone_names(path, [kind, code, name, number], 2, None) == ["Am Hang", "zone 2"]
    assert zone_names(path, [kind, code], 2, None) == ["k1", "k2"]
    assert zone_names(path, [kind], 2, None) == ["zone 1", "zone 2"]
    assert zone_names(path, [kind, number], 2, "NAME") == ["4", "5"]
    with pytest.raises(FeaturesError, match=r"has no field 'size'\. It has kind, name\."):
        zone_names(path, [kind, number], 2, "size")


def test_too_many_columns_for_a_geopackage(tmp_path):
    with pytest.raises(OutputError, match=r"2,000 columns, and a GeoPackage has 1,990 at most"):
        check_columns(tmp_path / "t.gpkg", COLUMNS * 200)
