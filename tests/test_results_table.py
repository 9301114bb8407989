"""The CSV of a batch."""

from __future__ import annotations

import csv
import locale
from dataclasses import replace
from pathlib import Path

import pytest

from glnet_geo.batch_record import SceneFacts, SceneRecord, State
from glnet_geo.errors import OutputError
from glnet_geo.grid import Grid
from glnet_geo.legend import NODATA, LandCover, Legend
from glnet_geo.results_table import write_table
from tests.class_maps import NAMED

GRID = Grid.north_up(30, 40, 5e5, 5e6, 0.5, 'PROJCRS["UTM",ID["EPSG",32633]]')
DONE = SceneRecord(
    "sub/tile",
    "/data/sub/tile.tif",
    "12 34",
    State.DONE,
    facts=SceneFacts(GRID, 3, "uint8"),
    outputs=("sub/tile.tif", "sub/tile.gpkg"),
    attempts=2,
    seconds=1.23456,
    pixels={0: 600, 1: 300, NODATA: 300},
    areas_m2={0: 150.0, 1: 75.0, NODATA: 75.0},
    polygons=7,
)
FAILED = SceneRecord(
    "bad", "bad.tif", "0 0", State.FAILED, error="bad.tif, line one", attempts=3, seconds=0.5
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def written(folder: Path, *records: SceneRecord, legend: Legend = NAMED) -> list[dict[str, str]]:
    path = folder / "results.csv"
    write_table(path, records, legend)
    return rows_of(path)


def test_a_scene_that_is_done(tmp_path: Path) -> None:
    (row,) = written(tmp_path, DONE)
    assert list(row)[13:16] == ["building_ha", "building_share", "bare land_ha"]
    assert row == {
        "name": "sub/tile",
        "scene": "/data/sub/tile.tif",
        "state": "done",
        "output": "sub/tile.tif",
        "polygons_file": "sub/tile.gpkg",
        "width": "40",
        "height": "30",
        "crs": "EPSG:32633",
        "gsd_m": "0.500000",
        "seconds": "1.235",
        "attempts": "2",
        "error": "",
        "nodata_share": "0.250000",
        "building_ha": "0.015000",
        "bare land_ha": "0.007500",
        "Wald & Wiese_ha": "0.000000",
        "building_share": "0.666667",
        "bare land_share": "0.333333",
        "Wald & Wiese_share": "0.000000",
        "polygons": "7",
    }


def test_a_scene_that_failed_has_no_figures(tmp_path: Path) -> None:
    (row,) = written(tmp_path, FAILED)
    told = {key: value for key, value in row.items() if value}
    assert told == {
        "name": "bad",
        "scene": "bad.tif",
        "state": "failed",
        "seconds": "0.500",
        "attempts": "3",
        "error": "bad.tif, line one",
    }


def test_rows_stand_in_order(tmp_path: Path) -> None:
    rows = written(tmp_path, FAILED, DONE, replace(FAILED, name="a"))
    assert [row["name"] for row in rows] == ["bad", "sub/tile", "a"]


def test_without_a_place_there_are_shares_but_no_areas(tmp_path: Path) -> None:
    nowhere = replace(DONE, facts=SceneFacts(Grid(30, 40), 3, "uint8"), areas_m2=None)
    (row,) = written(tmp_path, nowhere)
    assert row["building_ha"] == row["crs"] == row["gsd_m"] == ""
    assert row["building_share"] == "0.666667"


def test_a_map_of_nodata_has_no_shares(tmp_path: Path) -> None:
    (row,) = written(tmp_path, replace(DONE, pixels={NODATA: 1200}))
    assert row["nodata_share"] == "1.000000" and row["building_share"] == ""


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_names_are_no_formulas(tmp_path: Path, sign: str) -> None:
    name = f'{sign}HYPERLINK("x")'
    legend = Legend("odd", (LandCover(0, f"{sign}1".strip() or "1", (0, 0, 0)),))
    record = replace(DONE, name=name, scene=name, outputs=(name, name), error=name)
    (row,) = written(tmp_path, record, legend=legend)
    fields = [row[key] for key in ("name", "scene", "output", "polygons_file", "error")]
    assert fields == [f"'{name}"] * 5
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in (*row, *row.values()))


def test_names_of_any_kind_keep_the_table_utf8(tmp_path: Path) -> None:
    odd = 'ü,"水"\n\udcff'
    (row,) = written(tmp_path, replace(DONE, name=odd))
    assert row["name"] == 'ü,"水"\n\\udcff'


def test_a_class_called_nodata_has_columns_of_its_own(tmp_path: Path) -> None:
    legend = Legend("odd", (LandCover(0, "nodata", (0, 0, 0)), LandCover(1, "b", (0, 0, 0))))
    (row,) = written(tmp_path, DONE, legend=legend)
    assert row["nodata_share"] == "0.250000" and row["nodata_0_share"] == "0.666667"


def test_lines_end_with_a_newline_and_numbers_have_a_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locale, "localeconv", lambda: {"decimal_point": ","})
    path = tmp_path / "results.csv"
    write_table(path, [DONE, FAILED], NAMED)
    text = path.read_bytes()
    assert text.count(b"\n") == 3 and b"\r" not in text and not text.startswith(b"\xef\xbb\xbf")
    assert b",0.015000," in text


def test_it_replaces_a_table_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_table(path, [DONE], NAMED)
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        write_table(path, [DONE, None], NAMED)  # type: ignore[list-item]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="cannot be written"):
        write_table(tmp_path / "missing" / "results.csv", [DONE], NAMED)
