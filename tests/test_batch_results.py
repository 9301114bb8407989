"""What describes and joins the maps of a batch."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
import rasterio
from affine import Affine

from glnet_geo.batch_record import SceneFacts, SceneRecord, State
from glnet_geo.batch_report import BatchOptions
from glnet_geo.batch_results import write_results
from glnet_geo.errors import BatchError, OutputError
from glnet_geo.grid import Grid
from glnet_geo.polygon_options import PolygonOptions
from glnet_geo.raster_output import write_map
from tests.class_maps import NAMED
from tests.models import small_card

SIDE = 20
CRS = rasterio.crs.CRS.from_epsg(32633).to_wkt()
Place = tuple[float, float]
"""Column and row of a map's corner, in pixels of the lattice."""


def grid_at(place: Place | None, pixel: float = 0.5) -> Grid:
    if place is None:
        return Grid(SIDE, SIDE)
    corner = Affine(pixel, 0, 500_000, 0, -pixel, 5_000_000) @ Affine.translation(*place)
    return Grid(SIDE, SIDE, corner, CRS, pixel**2)


def mapped(
    folder: Path,
    places: Mapping[str, Place | None],
    values: Mapping[str, int] | None = None,
    pixel: float = 0.5,
) -> list[SceneRecord]:
    """Maps of one class each, and what a batch knows of them."""
    records = []
    for name, place in places.items():
        grid = grid_at(place, pixel)
        labels = np.full((SIDE, SIDE), (values or {}).get(name, 1), np.uint8)
        path = folder / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_map(path, [(labels, grid.window)], grid, NAMED, {})
        facts = SceneFacts(grid, 3, "uint8")
        outputs = (f"{name}.tif",)
        records.append(
            SceneRecord(name, f"/in/{name}.tif", "", State.DONE, facts=facts, outputs=outputs)
        )
    return records


def results(folder: Path, records: list[SceneRecord], **options: Any) -> list[str]:
    """Names of the products but table and catalog."""
    model = folder.parent / "model"
    model.write_bytes(b"model")
    card = small_card(legend=NAMED)
    made = write_results(folder, records, card, model, BatchOptions(**options))
    assert [path.name for path in made[:2]] == ["scenes.csv", "collection.json"]
    assert not [*(folder / ".batch").glob("*")]
    return [path.name for path in made[2:]]


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    with rasterio.open(path) as dataset:
        found: npt.NDArray[np.uint8] = dataset.read(1)
    return found


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_maps_off_the_lattice_by_a_fiftieth_of_a_pixel_are_joined(out: Path) -> None:
    records = mapped(out, {"a": (0, 0), "b": (SIDE + 0.009, 0.009), "c": (0.007, SIDE - 0.009)})
    assert results(out, records) == ["landcover.vrt"]
    assert pixels(out / "landcover.vrt").shape == (2 * SIDE, 2 * SIDE)


def test_maps_of_no_grid_do_not_end_the_batch(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    records = mapped(
        out, {"a": (0, 0), "b": (SIDE, 0), "c": (0.25, 0.25), "d": (SIDE + 0.25, 0.25)}
    )

    def misfits(facts: Mapping[str, SceneFacts]) -> list[list[str]]:
        return [["a", "c"], ["b", "d"]]

    monkeypatch.setattr("glnet_geo.batch_results.lattices", misfits)
    assert results(out, records) == []
    assert len(caplog.messages) == 2
    assert "a and 1 more maps are in no virtual raster" in caplog.messages[0]


def test_years_of_one_place_are_rasters_of_their_own(out: Path) -> None:
    years = {f"{year}/{k}": (SIDE * k, 0.0) for year in (2020, 2021) for k in range(3)}
    # An island that one year lacks, which comes first.
    places = {"2021/island": (200.0, 0.0), **years}
    values = {name: 4 if name.startswith("2021") else 1 for name in places}
    records = mapped(out, places, values)
    assert results(out, records) == ["landcover.vrt", "landcover-2.vrt"]
    first, second = (pixels(out / name) for name in ("landcover.vrt", "landcover-2.vrt"))
    assert (first == 4).sum() == 4 * SIDE**2 and not (first == 1).any()
    assert (second == 1).sum() == 3 * SIDE**2 and not (second == 4).any()


def test_islands_are_one_raster(out: Path) -> None:
    records = mapped(out, {"a/1": (0, 0), "a/2": (SIDE, 0), "b/1": (90, 70), "b/2": (90, 300)})
    assert results(out, records) == ["landcover.vrt"]
    assert (pixels(out / "landcover.vrt") == 1).sum() == 4 * SIDE**2


def test_a_second_date_of_one_tile_hides_nothing(out: Path) -> None:
    places = {"a": (0.0, 0.0), "b": (50.0, 0.0), "b2": (52.0, 0.0), "c": (100.0, 0.0)}
    records = mapped(out, places, {"b2": 4})
    assert results(out, records) == ["landcover.vrt"]
    assert not (pixels(out / "landcover.vrt") == 4).any()
    assert (pixels(out / "landcover.vrt") == 1).sum() == 3 * SIDE**2


def test_rasters_are_numbered_by_their_first_scenes(out: Path) -> None:
    fine = mapped(out, {"b": (0, 0), "c": (SIDE, 0)})
    coarse = mapped(out, {"a": (0, 0), "d": (SIDE, 0)}, pixel=2.0)
    records = [coarse[0], *fine, coarse[1]]
    assert results(out, records) == ["landcover.vrt", "landcover-2.vrt"]
    with rasterio.open(out / "landcover.vrt") as dataset:
        assert dataset.res == (2.0, 2.0)


def test_rasters_that_are_not_made_any_more_go(out: Path) -> None:
    records = mapped(out, {"1/a": (0, 0), "1/b": (SIDE, 0), "2/a": (0, 0), "2/b": (SIDE, 0)})
    results(out, records)
    shutil.copy(out / "landcover-2.vrt", out / "landcover-old.vrt")
    (out / "landcover-7.vrt").write_text("<VRTDataset/>")
    assert results(out, records[:2]) == ["landcover.vrt"]
    left = {path.name for path in out.glob("*.vrt")}
    assert left == {"landcover.vrt", "landcover-7.vrt", "landcover-old.vrt"}
    assert results(out, records[:1]) == []
    assert not (out / "landcover.vrt").exists()


def test_a_raster_of_somebody_else_stays(out: Path) -> None:
    records = mapped(out, {"a": (0, 0), "b": (SIDE, 0)})
    (out / "landcover.vrt").write_text("<VRTDataset/>")
    with pytest.raises(OutputError, match="no batch has written"):
        results(out, records)
    assert (out / "landcover.vrt").read_text() == "<VRTDataset/>"
    assert len((out / "scenes.csv").read_text().splitlines()) == 3
    assert (out / "stac" / "collection.json").exists()
    assert results(out, records, overwrite=True) == ["landcover.vrt"]


def layers(path: Path) -> dict[str, int]:
    """Pixels that the polygons of each layer cover."""
    names = [name for name, _ in pyogrio.list_layers(path) if name != "layer_styles"]
    return {name: round(pyogrio.read_dataframe(path, layer=name).area.sum() * 4) for name in names}


def merged(folder: Path, records: list[SceneRecord], overwrite: bool = False, **how: Any) -> Any:
    return results(folder, records, merge=True, polygons=PolygonOptions(**how), overwrite=overwrite)


YEARS = {"1/a": (0.0, 0.0), "1/b": (20.0, 0.0), "2/a": (0.0, 0.0), "2/b": (20.0, 0.0)}
ALL = 2 * SIDE**2


def test_merged_polygons_hold_both_years(out: Path) -> None:
    records = mapped(out, YEARS, {"1/b": 4})
    assert merged(out, records)[2:] == ["landcover.gpkg"]
    assert layers(out / "landcover.gpkg") == {"landcover": ALL, "landcover_2": ALL}
    assert merged(out, records[:2])[1:] == ["landcover.gpkg"]
    assert layers(out / "landcover.gpkg") == {"landcover": ALL}


def test_layers_of_classes_hold_both_years(out: Path) -> None:
    records = mapped(out, YEARS, {"1/b": 4})
    merged(out, records, layer_per_class=True)
    half = ALL // 2
    expected = {"bare land": half, "Wald & Wiese": half, "bare land_2": ALL}
    assert layers(out / "landcover.gpkg") == expected


@pytest.mark.parametrize("suffix", [".fgb", ".shp", ".geojson", ".geojsonl", ".parquet"])
def test_other_formats_hold_one_raster(out: Path, suffix: str) -> None:
    records = mapped(out, YEARS)
    with pytest.raises(BatchError, match="Merge into a GeoPackage"):
        merged(out, records, suffix=suffix)
    assert (out / "landcover-2.vrt").exists() and not (out / f"landcover{suffix}").exists()
    for _ in range(2):
        assert merged(out, records[:2], suffix=suffix)[-1] == f"landcover{suffix}"
    (out / f"landcover{suffix}").with_suffix(".dbf").write_text("mine")
    (out / f"landcover{suffix}").write_text("mine")
    with pytest.raises(OutputError, match="no batch has written"):
        merged(out, records[:2], suffix=suffix)


def test_too_many_rasters_are_refused(out: Path) -> None:
    records = mapped(out, {f"{k}": (0.0, 0.0) for k in range(51)})
    with pytest.raises(BatchError, match="51 rasters, too many"):
        merged(out, records)


def test_what_an_interrupted_merge_left_is_in_nobodys_way(out: Path) -> None:
    records = mapped(out, YEARS)
    (out / ".batch" / "results").mkdir(parents=True)
    (out / ".batch" / "results" / "landcover.gpkg").write_text("half of it")
    merged(out, records)
    assert layers(out / "landcover.gpkg") == {"landcover": ALL, "landcover_2": ALL}


def test_nothing_stays_beside_a_database_that_is_replaced(out: Path) -> None:
    records = mapped(out, YEARS)[:2]
    merged(out, records)
    with closing(sqlite3.connect(out / "landcover.gpkg")) as viewer:
        viewer.execute("PRAGMA journal_mode = WAL")
        viewer.execute("DELETE FROM landcover WHERE 0")
        viewer.execute("UPDATE layer_styles SET owner = 'me'")
        viewer.commit()
        assert (out / "landcover.gpkg-wal").stat().st_size
        merged(out, records)
        assert not (out / "landcover.gpkg-wal").exists()
    assert layers(out / "landcover.gpkg") == {"landcover": ALL}


def test_nothing_stays_beside_a_shapefile_that_is_replaced(out: Path) -> None:
    records = mapped(out, YEARS)[:2]
    merged(out, records, suffix=".shp")
    for leftover in (".qix", ".sbn"):
        (out / f"landcover{leftover}").write_text("old")
    merged(out, records, suffix=".shp")
    assert not [*out.glob("landcover.qix"), *out.glob("landcover.sbn")]


def test_maps_without_a_place_are_counted(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = mapped(out, {"a": (0.0, 0.0), "b": None, "c": None})
    assert merged(out, records) == ["landcover.gpkg"]
    assert caplog.messages == [
        "2 maps have no place on the ground (no CRS) and no merged polygons."
    ]
    assert layers(out / "landcover.gpkg") == {"landcover": SIDE**2}
    assert merged(out, records[1:]) == []


def test_polygons_of_somebody_else_stay(out: Path) -> None:
    records = mapped(out, {"a": (0.0, 0.0)})
    mine = out / "landcover.gpkg"
    PolygonOptions(layer="mine").make(out / "a.tif", mine)
    with pytest.raises(OutputError, match="no batch has written"):
        merged(out, records)
    merged(out, records, overwrite=True)
    # A layer that was added is somebody else's, too.
    PolygonOptions(layer="mine").make(out / "a.tif", mine, append=True)
    with pytest.raises(OutputError, match="no batch has written"):
        merged(out, records)
    assert set(layers(mine)) == {"landcover", "mine"}
    mine.write_text("no database")
    with pytest.raises(OutputError, match="no batch has written"):
        merged(out, records)
