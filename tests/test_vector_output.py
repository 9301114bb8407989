"""Polygons in files of every format, read back."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
import shapely
from pyogrio.errors import DataLayerError
from pyproj import Transformer

from glnet_geo import arrow_stream, vector_formats, vector_output
from glnet_geo.arrow_stream import Blobs, Field
from glnet_geo.class_table import MapClass
from glnet_geo.errors import OutputError
from glnet_geo.geopackage import copy_geopackage, layer_names
from glnet_geo.outputs import working_folder
from glnet_geo.qgis_style import categorized_qml
from glnet_geo.vector_formats import check_size, format_of
from glnet_geo.vector_layer import DISK_HINT, Layer, writing
from glnet_geo.vector_output import PolygonFile

UTM = "EPSG:32633"
CLASSES = (MapClass(0, "forest <&> 'x'", (0, 128, 7)), MapClass(3, 'Weiß "y"', (200, 10, 3)))
FIELDS = (
    Field("class_id", "integer"),
    Field("class", "text"),
    Field("area_m2", "real"),
    Field("perimeter_m", "real"),
    Field("confidence", "real"),
)
METADATA = {
    "source": "a 'map' <ü>.tif",
    "model": 'x="1"',
    "parameters": "a=1; b",
    "areas": "planar",
}
OTHERS = (".fgb", ".geojson", ".geojsonl", ".geojsons", ".parquet", ".geoparquet", ".shp")
Columns = list[npt.NDArray[Any]]


@lru_cache
def squares(count: int) -> list[shapely.Polygon]:
    """Pixels of 0.5 m in rows of a hundred, every third one with a hole."""
    corners = [(500_000 + k % 100 / 2, 5_000_000 + k // 100 / 2) for k in range(count)]
    outlines = [shapely.box(x, y, x + 0.5, y + 0.5) for x, y in corners]
    return [
        one.difference(one.centroid.buffer(0.1, 1)) if k % 3 == 0 else one
        for k, one in enumerate(outlines)
    ]


def wkb(polygons: Sequence[shapely.Geometry]) -> npt.NDArray[np.object_]:
    return np.array([*shapely.to_wkb(polygons), None], np.object_)[:-1]


def columns(count: int) -> Columns:
    numbers = np.arange(count)
    classes = [CLASSES[k % 2] for k in numbers]
    return [
        np.array([one.id for one in classes], np.int64),
        np.array([one.name for one in classes], np.object_),
        numbers * 0.25,
        numbers + 0.5,
        np.where(numbers % 2, 0.75, np.nan),
    ]


def write(
    output: Path,
    count: int = 5,
    layers: Sequence[str] = ("landcover",),
    batch: int = 3,
    crs: str | None = UTM,
    **choice: Any,
) -> list[shapely.Polygon]:
    """Makes a file, batch by batch."""
    polygons = squares(count)
    if choice.get("is_multi"):
        polygons = [shapely.MultiPolygon([one]) for one in polygons]
    geometries, values = wkb(polygons), columns(count)
    styles = (
        {layers[0]: CLASSES}
        if len(layers) == 1
        else dict(zip(layers, [[one] for one in CLASSES], strict=True))
    )
    with (
        working_folder(output) as folder,
        PolygonFile(folder, output, layers, FIELDS, crs, METADATA, **choice) as file,
    ):
        for start in range(0, count, batch):
            rows = slice(start, start + batch)
            file.write(geometries[rows], [column[rows] for column in values])
        file.finish(styles)
        file.publish()
    assert not [path for path in output.parent.iterdir() if path.name.startswith(".")]
    return polygons


def refusal(output: Path, **choice: Any) -> str:
    """The message with which an output is refused: one line, and nothing is left behind."""
    before = {path: path.read_bytes() for path in output.parent.iterdir() if path.is_file()}
    with pytest.raises(OutputError) as caught:
        write(output, **choice)
    after = {path: path.read_bytes() for path in output.parent.iterdir()}
    assert after == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(path: Path, layer: str | None = None) -> tuple[dict[str, Any], list[Any], Columns]:
    """What pyogrio says about it, geometries and values."""
    meta, _, geometries, values = pyogrio.raw.read(path, layer=layer)
    info = pyogrio.read_info(path, layer=layer, force_feature_count=True)
    return {**info, **meta}, list(shapely.from_wkb(geometries)), values


def query(path: Path, sql: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(path)) as database, database:
        return database.execute(sql, values).fetchall()


def check_columns(found: Columns, count: int) -> None:
    for column, expected in zip(found, columns(count), strict=True):
        np.testing.assert_array_equal(column, expected)


class TestGeoPackage:
    def test_it_holds_what_was_written(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        polygons = write(output, 5)
        info, found, values = read(output, "landcover")
        assert [path.name for path in tmp_path.iterdir()] == ["map.gpkg"]
        assert [one.wkb for one in found] == [one.wkb for one in polygons]
        assert list(info["fields"]) == [field.name for field in FIELDS]
        assert info["ogr_types"] == ["OFTInteger64", "OFTString", "OFTReal", "OFTReal", "OFTReal"]
        check_columns(values, 5)
        assert (info["crs"], info["geometry_type"], info["features"]) == (UTM, "Polygon", 5)
        assert info["layer_metadata"] == METADATA
        assert tuple(info["total_bounds"]) == tuple(shapely.total_bounds(polygons))
        assert query(output, "PRAGMA user_version") == [(10300,)]
        assert query(output, "PRAGMA integrity_check") == [("ok",)]

    def test_the_spatial_index_finds_the_few_near_a_place(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        polygons = write(output, 4000, batch=1500)
        assert query(output, "SELECT count(*) FROM rtree_landcover_geom") == [(4000,)]
        box = (500_010.1, 5_000_003.1, 500_010.9, 5_000_003.4)
        _, _, found, _ = pyogrio.raw.read(output, layer="landcover", bbox=box)
        expected = [one for one in polygons if one.intersects(shapely.box(*box))]
        assert set(found) == {one.wkb for one in expected} and len(found) == 2

    @pytest.mark.parametrize("batch", [1, 999, 1000, 1001, 2500])
    def test_batches_of_any_size_make_the_same_file(self, tmp_path: Path, batch: int) -> None:
        output = tmp_path / "map.gpkg"
        polygons = write(output, 60 if batch == 1 else 2500, batch=batch)
        info, found, values = read(output, "landcover")
        assert info["features"] == len(polygons)
        assert [one.wkb for one in found] == [one.wkb for one in polygons]
        check_columns(values, len(polygons))

    def test_geometries_may_come_in_one_buffer(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        polygons = squares(6)
        packed = Blobs.of([one.wkb for one in polygons])
        # The two in the middle of a buffer, as a slice of a larger batch has them.
        with (
            working_folder(output) as folder,
            PolygonFile(folder, output, ["landcover"], FIELDS, UTM, {}) as file,
        ):
            file.write(packed[2:4], columns(2))
            file.finish({"landcover": CLASSES})
            file.publish()
        info, found, _ = read(output, "landcover")
        assert [one.wkb for one in found] == [one.wkb for one in polygons[2:4]]
        assert info["layer_metadata"] is None

    def test_multipolygons(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        polygons = write(output, is_multi=True)
        info, found, _ = read(output, "landcover")
        assert info["geometry_type"] == "MultiPolygon"
        assert [one.wkb for one in found] == [one.wkb for one in polygons]

    def test_without_polygons_the_layer_is_there(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        write(output, 0)
        info, found, _ = read(output, "landcover")
        assert not found
        assert list(info["fields"]) == [field.name for field in FIELDS]
        assert (info["crs"], info["geometry_type"]) == (UTM, "Polygon")
        assert info["layer_metadata"] == METADATA

    def test_without_a_crs_it_has_none(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        polygons = write(output, crs=None)
        info, found, _ = read(output, "landcover")
        assert info["crs"] is None
        assert [one.wkb for one in found] == [one.wkb for one in polygons]

    def test_a_crs_that_gdal_does_not_read_is_left_out(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        output = tmp_path / "map.gpkg"
        write(output, crs='ENGCRS["nowhere"]')
        assert read(output, "landcover")[0]["crs"] is None
        assert 'ENGCRS["nowhere"]' in caplog.text

    def test_qgis_finds_the_style(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        write(output)
        columns = "f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleQML"
        styles = query(output, f"SELECT {columns}, useAsDefault, update_time FROM layer_styles")
        ((*found, time),) = styles
        assert found == ["", "", "landcover", "geom", categorized_qml(CLASSES), 1]
        assert time.endswith("Z")
        contents = "SELECT data_type FROM gpkg_contents WHERE table_name = 'layer_styles'"
        assert query(output, contents) == [("attributes",)]

    @pytest.mark.parametrize(
        "name", ["a b", 'quo"te', "apo's", "ü日本", "select", "a;b--", "a%41/\\"]
    )
    def test_layers_may_have_any_name(self, tmp_path: Path, name: str) -> None:
        output = tmp_path / "map.gpkg"
        write(output, layers=[name])
        info, found, _ = read(output, name)
        assert info["layer_name"] == name and len(found) == 5
        assert info["layer_metadata"] == METADATA
        assert query(output, "SELECT f_table_name FROM layer_styles") == [(name,)]

    @pytest.mark.parametrize(
        "name", ["(x)", "?", "gpkg_x", "GPKG", "rtree_x", "sqlite_x", "layer_styles"]
    )
    def test_names_that_cannot_be_are_refused_before_work(self, tmp_path: Path, name: str) -> None:
        message = refusal(tmp_path / "map.gpkg", layers=[name])
        assert "name" in message
        write(tmp_path / "map.gpkg", layers=[*layer_names({1: name}).values()])

    def test_layers_by_class(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        names = [one.name for one in CLASSES]
        polygons = write(output, 2501, layers=names, batch=600)
        expected = columns(2501)
        for k, name in enumerate(names):
            info, found, values = read(output, name)
            assert [one.wkb for one in found] == [one.wkb for one in polygons[k::2]]
            for column, all_values in zip(values, expected, strict=True):
                np.testing.assert_array_equal(column, all_values[k::2])
            assert info["layer_metadata"] == METADATA and info["crs"] == UTM
        styles = query(output, "SELECT f_table_name, styleQML FROM layer_styles ORDER BY id")
        assert styles == [(one.name, categorized_qml([one])) for one in CLASSES]
        assert query(output, "PRAGMA user_version") == [(10300,)]
        assert set(pyogrio.list_layers(output)[:, 0]) == {*names, "layer_styles"}

    def test_what_sqlite_left_beside_an_old_file_does_not_get_into_the_new_one(
        self, tmp_path: Path
    ) -> None:
        output = tmp_path / "map.gpkg"
        write(output, 3)
        leave_wal(output, "CREATE INDEX old ON landcover (class)")
        polygons = write(output, 4)
        assert [path.name for path in tmp_path.iterdir()] == ["map.gpkg"]
        assert [one.wkb for one in read(output, "landcover")[1]] == [one.wkb for one in polygons]
        assert query(output, "PRAGMA integrity_check") == [("ok",)]
        assert not query(output, "SELECT * FROM sqlite_master WHERE name = 'old'")


def leave_wal(path: Path, sql: str) -> None:
    """Changes a database as a program that dies before it cleans up: the change is in the -wal."""
    code = (
        "import os, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1])\n"
        "database.execute('PRAGMA journal_mode = WAL')\n"
        "database.execute(sys.argv[2])\n"
        "database.commit()\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, path, sql], check=True)
    assert path.with_name(f"{path.name}-wal").stat().st_size


class TestAppend:
    @pytest.fixture
    def output(self, tmp_path: Path) -> Path:
        """A GeoPackage with two layers of other people's, one of them styled by QGIS."""
        output = tmp_path / "map.gpkg"
        for name in ("roads", "Fields"):
            frame = geopandas.GeoDataFrame({"n": [1, 2]}, geometry=squares(2), crs="EPSG:4326")
            frame.to_file(output, layer=name)
        write(output, 2, layers=["mine"], append=True)
        query(output, "UPDATE layer_styles SET f_table_name = 'roads', styleQML = 'theirs'")
        return output

    def layer(self, output: Path, name: str) -> list[Any]:
        quoted = '"' + name + '"'
        return [
            query(output, f"SELECT * FROM {table} ORDER BY 1")
            for table in (quoted, f"rtree_{name}_geom")
        ]

    def test_the_other_layers_stay_as_they_are(self, output: Path) -> None:
        before = [self.layer(output, name) for name in ("roads", "Fields", "mine")]
        polygons = write(output, 5, layers=["landcover"], append=True)
        assert [self.layer(output, name) for name in ("roads", "Fields", "mine")] == before
        info, found, values = read(output, "landcover")
        assert [one.wkb for one in found] == [one.wkb for one in polygons]
        check_columns(values, 5)
        assert info["crs"] == UTM and info["layer_metadata"] == METADATA
        styles = query(output, "SELECT f_table_name, styleQML FROM layer_styles ORDER BY id")
        assert styles == [("roads", "theirs"), ("landcover", categorized_qml(CLASSES))]
        assert query(output, "PRAGMA integrity_check") == [("ok",)]
        assert query(output, "SELECT count(*) FROM rtree_landcover_geom") == [(5,)]

    def test_what_is_in_the_wal_counts(self, output: Path) -> None:
        leave_wal(
            output, "UPDATE gpkg_contents SET description = 'late' WHERE identifier = 'roads'"
        )
        write(output, layers=["landcover"], append=True)
        late = query(output, "SELECT table_name FROM gpkg_contents WHERE description = 'late'")
        assert late == [("roads",)]
        assert query(output, "PRAGMA journal_mode") == [("delete",)]
        assert [path.name for path in output.parent.iterdir()] == ["map.gpkg"]

    def test_while_another_program_has_it_open(self, output: Path) -> None:
        with closing(sqlite3.connect(output, isolation_level=None)) as other:
            other.execute("PRAGMA journal_mode = WAL")
            other.execute("UPDATE gpkg_contents SET description = 'late'")
            rows = other.execute("SELECT n FROM roads")
            next(rows)
            write(output, layers=["landcover"], append=True)
            assert len(rows.fetchall()) == 1
        assert len(read(output, "landcover")[1]) == 5
        late = query(output, "SELECT count(*) FROM gpkg_contents WHERE description = 'late'")
        assert late == [(4,)]
        assert query(output, "PRAGMA integrity_check") == [("ok",)]

    @pytest.mark.parametrize("name", ["Fields", "FIELDS"])
    def test_a_layer_is_replaced_with_overwrite_only(self, output: Path, name: str) -> None:
        message = refusal(output, layers=[name], append=True)
        assert "has a layer 'Fields'" in message and "--overwrite" in message
        query(output, "INSERT INTO layer_styles (f_table_name, styleQML) VALUES ('Fields', 'old')")
        others = [self.layer(output, other) for other in ("roads", "mine")]
        write(output, layers=[name], append=True, overwrite=True)
        assert [self.layer(output, other) for other in ("roads", "mine")] == others
        info, found, _ = read(output, name)
        assert len(found) == 5 and list(info["fields"]) == [field.name for field in FIELDS]
        assert set(pyogrio.list_layers(output)[:, 0]) == {"roads", "mine", name, "layer_styles"}
        styles = query(output, "SELECT f_table_name, styleQML FROM layer_styles ORDER BY id")
        assert styles == [("roads", "theirs"), (name, categorized_qml(CLASSES))]

    def test_a_replaced_layer_gets_new_metadata(self, output: Path) -> None:
        before = len(query(output, "SELECT * FROM gpkg_metadata"))
        write(output, layers=["mine"], append=True, overwrite=True)
        assert read(output, "mine")[0]["layer_metadata"] == METADATA
        assert len(query(output, "SELECT * FROM gpkg_metadata")) == before

    def test_layers_by_class_are_added_together(self, output: Path) -> None:
        write(output, 7, layers=["even", "odd"], append=True)
        assert len(read(output, "even")[1]) == 4 and len(read(output, "odd")[1]) == 3
        assert len(read(output, "roads")[1]) == 2

    def test_a_file_that_is_not_there_is_made(self, tmp_path: Path) -> None:
        write(tmp_path / "new.gpkg", append=True)
        assert len(read(tmp_path / "new.gpkg", "landcover")[1]) == 5

    @pytest.mark.parametrize("content", [b"", b"some text, not a database at all", None])
    def test_what_is_no_geopackage_is_refused(self, tmp_path: Path, content: bytes | None) -> None:
        output = tmp_path / "map.gpkg"
        if content is None:
            query(output, "CREATE TABLE x (y)")
        else:
            output.write_bytes(content)
        assert "is no GeoPackage" in refusal(output, append=True)

    @pytest.mark.parametrize("begin", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
    def test_a_locked_file_is_told(
        self, output: Path, monkeypatch: pytest.MonkeyPatch, begin: str
    ) -> None:
        connect = sqlite3.connect

        def impatient(path: Path, timeout: float = 0.0, **options: Any) -> sqlite3.Connection:
            return connect(path, timeout=0.01, **options)

        with closing(connect(output)) as other:
            other.execute(begin)
            monkeypatch.setattr(sqlite3, "connect", impatient)
            assert "locked" in refusal(output, layers=["landcover"], append=True)

    @pytest.mark.parametrize("mode", ["delete", "wal"])
    def test_nobody_writes_between_the_copy_and_the_end(
        self, output: Path, monkeypatch: pytest.MonkeyPatch, mode: str
    ) -> None:
        query(output, f"PRAGMA journal_mode = {mode}")
        told = []

        def spied(function: Any) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                told.append(try_to_write(output))
                return function(*arguments, **options)

            return call

        # While the layers are made, and right before the file is replaced.
        for name in ("check_layers", "copy_layer", "add_styles", "publish", "remove_journals"):
            monkeypatch.setattr(vector_output, name, spied(getattr(vector_output, name)))
        write(output, layers=["even", "odd"], append=True)
        # Before the work that is no harm, and it is kept.
        assert told == ["written"] + ["database is locked"] * 6
        assert query(output, "SELECT n FROM late") == [(3,)]
        assert try_to_write(output) == "written"
        assert query(output, "PRAGMA integrity_check") == [("ok",)]

    def test_a_layer_that_another_program_adds_meanwhile_is_not_replaced(
        self, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def late(source: Path, target: Path) -> None:
            copy_geopackage(source, target)
            query(target, "CREATE TABLE landcover (x)")

        monkeypatch.setattr(vector_output, "copy_geopackage", late)
        message = refusal(output, layers=["landcover"], append=True)
        assert message.startswith(f"{output} has a layer 'landcover'")
        assert try_to_write(output) == "written", "the lock is gone"


def try_to_write(path: Path) -> str:
    """Adds a row in another process; what that is told."""
    code = (
        "import sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1], timeout=0)\n"
        "try:\n"
        "    database.execute('CREATE TABLE IF NOT EXISTS late (n)')\n"
        "    database.execute('INSERT INTO late VALUES (3)')\n"
        "    database.commit()\n"
        "    print('written')\n"
        "except sqlite3.OperationalError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


class TestOtherFormats:
    @pytest.mark.parametrize("suffix", OTHERS)
    @pytest.mark.parametrize("is_multi", [False, True])
    def test_they_hold_what_was_written(self, tmp_path: Path, suffix: str, is_multi: bool) -> None:
        output = tmp_path / f"map.v1{suffix}"
        polygons = write(output, 2345, batch=1100, is_multi=is_multi)
        frame = read_any(output).to_crs(UTM)
        assert len(frame) == 2345
        # FlatGeobuf sorts them along a curve.
        frame = frame.sort_values("area_m2", ignore_index=True)
        found = frame.geometry.to_numpy()
        precision = 0.01 if "geojson" in suffix else 0
        assert shapely.hausdorff_distance(found, np.array(polygons)).max() <= precision
        assert (
            shapely.get_num_coordinates(found).sum() == shapely.get_num_coordinates(polygons).sum()
        )
        kind = "Polygon" if suffix == ".shp" or not is_multi else "MultiPolygon"
        assert set(frame.geom_type) == {kind}
        check_columns([frame.iloc[:, k].to_numpy() for k in range(5)], 2345)
        style = tmp_path / "map.v1.qml"
        assert style.read_text("utf-8") == categorized_qml(CLASSES)
        others = {path.name for path in tmp_path.iterdir()} - {style.name, output.name}
        parts = {f"map.v1.{part}" for part in ("shx", "dbf", "prj", "cpg")}
        assert others == (parts if suffix == ".shp" else set())

    @pytest.mark.parametrize("suffix", OTHERS)
    def test_without_a_crs_coordinates_are_as_they_are(self, tmp_path: Path, suffix: str) -> None:
        output = tmp_path / f"map{suffix}"
        polygons = write(output, 4, crs=None)
        frame = read_any(output).sort_values("area_m2")
        assert shapely.equals(frame.geometry.to_numpy(), np.array(polygons)).all()
        # GDAL takes every GeoJSON for one in WGS 84.
        assert "geojson" in suffix or frame.crs is None

    @pytest.mark.parametrize("suffix", OTHERS)
    def test_without_polygons_the_fields_are_there(self, tmp_path: Path, suffix: str) -> None:
        output = tmp_path / f"map{suffix}"
        write(output, 0)
        if "geojson" in suffix:
            assert output.exists()
        else:
            frame = read_any(output)
            assert len(frame) == 0 and len(frame.columns) == 6 and frame.crs == UTM

    @pytest.mark.parametrize("suffix", OTHERS)
    def test_they_take_one_layer_only(self, tmp_path: Path, suffix: str) -> None:
        output = tmp_path / f"map{suffix}"
        assert "one layer only" in refusal(output, layers=["even", "odd"])
        assert "is no GeoPackage" in refusal(output, append=True)

    @pytest.mark.parametrize("name", ["map.gml", "map", "map.shp.zip"])
    def test_an_unknown_extension_is_told_the_known_ones(self, tmp_path: Path, name: str) -> None:
        message = refusal(tmp_path / name)
        assert all(suffix in message for suffix in (".gpkg", *OTHERS))

    def test_capital_letters_make_no_difference(self, tmp_path: Path) -> None:
        write(tmp_path / "map.SHP")
        assert len(read(tmp_path / "map.SHP")[1]) == 5
        assert format_of(Path("map.GeoJSON")) == "GeoJSON"

    def test_a_style_of_another_file_is_left_alone(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        style = tmp_path / "map.qml"
        style.write_text("of map.tif")
        with caplog.at_level(logging.WARNING):
            write(tmp_path / "map.fgb")
        assert style.read_text() == "of map.tif" and "stays as it is" in caplog.text
        # The next one belongs to it.
        write(tmp_path / "map.fgb")
        assert style.read_text("utf-8") == categorized_qml(CLASSES)

    def test_they_do_without_pyarrow(self, tmp_path: Path) -> None:
        code = (
            "import sys; sys.modules['pyarrow'] = None\n"
            "from pathlib import Path\n"
            "from tests.test_vector_output import write\n"
            "for suffix in ('.gpkg', '.fgb', '.shp', '.geojsonl'):\n"
            "    write(Path(sys.argv[1]) / f'map{suffix}')\n"
        )
        root = Path(__file__).parent.parent
        subprocess.run([sys.executable, "-c", code, tmp_path], check=True, cwd=root)
        assert len(read(tmp_path / "map.fgb")[1]) == 5


def read_any(path: Path) -> geopandas.GeoDataFrame:
    if "parquet" in path.suffix:
        return geopandas.read_parquet(path)
    return geopandas.read_file(path)


class TestGeoJSON:
    @pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
    def test_it_is_in_longitudes_and_latitudes(self, tmp_path: Path, suffix: str) -> None:
        output = tmp_path / f"map{suffix}"
        (polygon,) = write(output, 1)
        text = output.read_text("utf-8")
        assert "crs" not in text
        feature = json.loads(text)["features"][0] if suffix == ".geojson" else json.loads(text)
        to_wgs84 = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
        expected = shapely.transform(polygon, to_wgs84.transform, interleaved=False)
        found = shapely.geometry.shape(feature["geometry"])
        assert shapely.hausdorff_distance(found, expected) < 1e-7
        assert found.exterior.is_ccw and not found.interiors[0].is_ccw
        assert feature["properties"]["confidence"] is None

    def test_a_local_crs_has_no_way_there(self, tmp_path: Path) -> None:
        output = tmp_path / "map.geojson"
        (polygon,) = write(output, 1, crs='LOCAL_CS["site",UNIT["metre",1]]')
        (feature,) = json.loads(output.read_text("utf-8"))["features"]
        assert shapely.geometry.shape(feature["geometry"]).equals(polygon)

    def test_sequences_end_with_separators_where_the_extension_says_so(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path / "map.geojsons", 3)
        write(tmp_path / "map.geojsonl", 3)
        assert (tmp_path / "map.geojsons").read_bytes().count(b"\x1e") == 3
        lines = (tmp_path / "map.geojsonl").read_text("utf-8").splitlines()
        assert [json.loads(line)["properties"]["area_m2"] for line in lines] == [0, 0.25, 0.5]


class TestGeoParquet:
    def test_its_metadata_are_those_of_version_1_1(self, tmp_path: Path) -> None:
        parquet = pytest.importorskip("pyarrow.parquet")
        output = tmp_path / "map.parquet"
        polygons = write(output, 5)
        metadata = parquet.read_schema(output).metadata
        geo = json.loads(metadata[b"geo"])
        assert geo["version"] == "1.1.0" and geo["primary_column"] == "geometry"
        (column,) = geo["columns"].values()
        assert column["encoding"] == "WKB" and column["geometry_types"] == ["Polygon"]
        assert column["crs"]["id"] == {"authority": "EPSG", "code": 32633}
        assert column["bbox"] == list(shapely.total_bounds(polygons))
        assert metadata[b"model"].decode() == METADATA["model"]
        names = [*[field.name for field in FIELDS], "geometry"]
        assert sorted(parquet.read_schema(output).names) == sorted(names)

    def test_row_groups_are_of_a_size_that_readers_like(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parquet = pytest.importorskip("pyarrow.parquet")
        monkeypatch.setattr(vector_formats, "_ROW_GROUP", 200_000)
        write(tmp_path / "map.parquet", 5500, batch=5500)
        file = parquet.ParquetFile(tmp_path / "map.parquet")
        groups = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
        assert sum(groups) == 5500 and 1 < len(groups) < 6

    def test_without_pyarrow_it_is_told_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(vector_formats, "find_spec", lambda name: None)
        message = refusal(tmp_path / "map.parquet")
        assert "pip install glnet-geo[parquet]" in message


class TestShapefile:
    def test_names_of_fields_are_short_and_its_text_is_utf8(self, tmp_path: Path) -> None:
        output = tmp_path / "map.shp"
        write(output)
        info, _, values = read(output)
        names = ["class_id", "class", "area_m2", "perim_m", "confidence"]
        assert list(info["fields"]) == names
        assert (tmp_path / "map.cpg").read_text() == "UTF-8"
        assert list(values[1][:2]) == [one.name for one in CLASSES]

    def test_what_belongs_to_an_old_one_goes(self, tmp_path: Path) -> None:
        output = tmp_path / "map.shp"
        write(output, 3)
        for part in ("sbn", "qix", "shp.xml", "prj"):
            (tmp_path / f"map.{part}").write_bytes(b"of the old one")
        (tmp_path / "map.txt").write_bytes(b"notes")
        write(output, 4, crs=None)
        kept = {path.suffix for path in tmp_path.iterdir()}
        assert kept == {".shp", ".shx", ".dbf", ".cpg", ".qml", ".txt"}
        assert len(read(output)[1]) == 4

    def test_large_areas_keep_their_digits(self, tmp_path: Path) -> None:
        output = tmp_path / "map.shp"
        areas = np.array([123456789012.25, 1e-3, 98765432.1875])
        with (
            working_folder(output) as folder,
            PolygonFile(folder, output, ["landcover"], FIELDS, UTM, {}) as file,
        ):
            numbers = columns(3)
            file.write(wkb(squares(3)), [*numbers[:2], areas, *numbers[3:]])
            file.finish({"landcover": CLASSES})
            file.publish()
        np.testing.assert_array_equal(read(output)[2][2], areas)

    def test_two_gigabytes_are_the_limit(self, tmp_path: Path) -> None:
        output = tmp_path / "map.shp"
        polygons = write(output, 500)
        size = sum(len(one.wkb) for one in polygons)
        # What is taken for the size of the file is not less than it, and hardly more.
        assert (
            0
            <= size + 500 * vector_formats._SHAPEFILE_HEADERS - (output.stat().st_size - 100)
            < 600
        )
        check_size(output, 10, 2**31 - 2000, 100)
        with pytest.raises(OutputError, match="larger than 2 GB"):
            check_size(output, 10, 2**31 - 100, 100)
        check_size(output.with_suffix(".gpkg"), 10, 2**40, 100)


class TestFailures:
    @pytest.mark.parametrize(
        ("words", "is_hinted"),
        [
            ("Cannot write feature", True),
            ("sqlite3_exec(...) failed: disk I/O error", True),
            ("Layer 'x' already exists", False),
            ("sqlite3_exec(...) failed: database is locked", False),
        ],
    )
    def test_a_full_disk_is_supposed_where_it_can_be(self, words: str, is_hinted: bool) -> None:
        with pytest.raises(OutputError) as caught, writing(Path("map.fgb"), DISK_HINT):
            raise DataLayerError(words)
        assert ("(is the disk full?)" in str(caught.value)) == is_hinted

    def test_more_classes_than_a_style_can_show(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outputs = (tmp_path / "map.gpkg", tmp_path / "map.fgb")
        for output in outputs:
            write(output)
        monkeypatch.setattr(vector_output, "MOST_CLASSES", 1)
        for output in outputs:
            write(output, append=output.suffix == ".gpkg", overwrite=True)
            assert pyogrio.read_info(output, layer=0)["features"] == 5
        assert not query(outputs[0], "SELECT * FROM layer_styles")
        # That of the file before would have the wrong classes.
        assert not (tmp_path / "map.qml").exists()

    def test_layers_of_classes_whose_names_are_alike(self) -> None:
        names = {1: "-x", 2: "CLASS -X", 3: "class -x (2)", 4: "y"}
        found = layer_names(names)
        assert found == {1: "class -x", 2: "CLASS -X (2)", 3: "class -x (2) (3)", 4: "y"}

    def test_layers_of_classes_get_names_that_qgis_can_open(self) -> None:
        found = layer_names({1: "a/b", 2: "a|b", 3: "a\\b", 4: "|c"})
        assert found == {1: "a/b", 2: "a/b (2)", 3: "a/b (3)", 4: "class /c"}

    def test_a_polygon_that_no_row_can_hold_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(vector_formats, "_GEOPACKAGE_BYTES", 150)
        assert "--simplify" in refusal(tmp_path / "map.gpkg")
        with pytest.raises(OutputError, match="of 100 million vertices"):
            check_size(tmp_path / "map.gpkg", 1, 1_600_000_013, 1_600_000_013)

    def test_an_error_between_batches_leaves_nothing(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        write(output, 3)
        before, n_threads = output.read_bytes(), threading.active_count()
        with (
            pytest.raises(KeyboardInterrupt),
            working_folder(output) as folder,
            PolygonFile(folder, output, ["landcover"], FIELDS, UTM, METADATA) as file,
        ):
            file.write(wkb(squares(4)), columns(4))
            raise KeyboardInterrupt
        assert [path.name for path in tmp_path.iterdir()] == ["map.gpkg"]
        assert output.read_bytes() == before
        assert threading.active_count() == n_threads
        assert not arrow_stream._lent

    def test_a_vanished_folder_is_told(self, tmp_path: Path) -> None:
        output = tmp_path / "map.fgb"
        with (
            pytest.raises(OutputError, match="cannot be written"),
            working_folder(output) as folder,
            PolygonFile(folder, output, ["landcover"], FIELDS, UTM, METADATA) as file,
        ):
            shutil.rmtree(folder)
            file.write(wkb(squares(4)), columns(4))
            file.finish({"landcover": CLASSES})
            file.publish()

    def test_a_mistake_in_the_columns_is_no_message(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        with (
            pytest.raises(ValueError, match="different lengths"),
            working_folder(output) as folder,
            PolygonFile(folder, output, ["landcover"], FIELDS, UTM, METADATA) as file,
        ):
            file.write(wkb(squares(4)), columns(3))
            file.finish({"landcover": CLASSES})
        assert not list(tmp_path.iterdir())

    def test_memory_is_given_back_batch_by_batch(self, tmp_path: Path) -> None:
        output = tmp_path / "map.gpkg"
        lent = []
        with (
            working_folder(output) as folder,
            PolygonFile(folder, output, ["landcover"], FIELDS, UTM, METADATA) as file,
        ):
            for _ in range(50):
                file.write(wkb(squares(10)), columns(10))
                lent.append(len(arrow_stream._lent))
            file.finish({"landcover": CLASSES})
        # One table with its six columns, and the schema.
        assert max(lent) <= 14
        assert not arrow_stream._lent


FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
from glnet_geo.errors import OutputError
from glnet_geo.vector_formats import convert
from tests.test_vector_output import FULL_DISK_SUFFIXES, landcover, write

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

def limited(limit, work):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    message = None
    try:
        work()
    except OutputError as error:
        message = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(json.dumps([message, sorted(path.name for path in folder.iterdir())]))

def report(suffix):
    roomy, old = folder / f"roomy{suffix}", folder / f"old{suffix}"
    write(roomy, 1500)
    size = roomy.stat().st_size
    for limit in (1, 5000, size // 2, size * 85 // 100, size - 1):
        limited(limit, lambda: write(old, 1500))
    # The GeoPackage that it is made of is larger: the disk is full when that is finished.
    if suffix != ".gpkg":
        source = landcover(folder / "roomy.gpkg")
        for limit in (size // 2, size - 1):
            limited(limit, lambda: convert(source, 1500, old, folder / "work"))

folder = Path(sys.argv[1])
(folder / "work").mkdir()
for suffix in FULL_DISK_SUFFIXES:
    report(suffix)
"""
FULL_DISK_SUFFIXES = (".gpkg", ".fgb", ".geojson", ".geojsonl", ".shp", ".parquet")


def landcover(path: Path) -> Layer:
    return Layer(path, "landcover", UTM, "Polygon", FIELDS, METADATA)


def test_a_full_disk_is_one_line_and_spares_the_old_file(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="file size limits are POSIX")
    old = [tmp_path / f"old{suffix}" for suffix in FULL_DISK_SUFFIXES]
    for path in old:
        path.write_bytes(b"the old polygons")
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert run.returncode == 0, run.stderr
    reports = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(reports) == 5 + 7 * 5
    for message, files in reports:
        assert "cannot be written" in message and "\n" not in message
        assert not any(word in message for word in ("sqlite3", "INSERT", "CREATE"))
        kept = [name for name in files if not name.startswith(("roomy", "work"))]
        assert kept == sorted(path.name for path in old)
    assert {path.read_bytes() for path in old} == {b"the old polygons"}
    lines = run.stderr.splitlines()
    assert all("stays as it is" in line for line in lines)
