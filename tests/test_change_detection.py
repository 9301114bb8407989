"""From two class rasters to a map of changes, a matrix and polygons."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

import glnet_geo
from glnet_geo import change_source, label_sources
from glnet_geo.change_detection import ChangeRules, detect_change
from glnet_geo.change_matrix import ChangeMatrix
from glnet_geo.change_summary import ChangeSummary
from glnet_geo.class_raster import ClassRaster
from glnet_geo.class_rows import read_rows
from glnet_geo.errors import GlnetGeoError
from glnet_geo.georeference import ground_of
from glnet_geo.legend import LandCover, Legend
from glnet_geo.sample_drawing import measure_classes
from glnet_geo.sidecar import sidecar_path
from glnet_geo.units import Area, Length
from tests.class_maps import (
    NAMED,
    ids,
    layers_of,
    metadata_of,
    named_map,
    patches,
    read_polygons,
    style_of,
)
from tests.rasters import UTM, placed_tif, write_tif

LON_LAT: dict[str, Any] = {"crs": "EPSG:4326", "transform": Affine(0.01, 0, 20, 0, -0.01, 61)}
X, Y = UTM["transform"] @ (0, 0)
PIXEL = ChangeRules(tolerance=Length(1, "px"))


def pixels_of(path: Path) -> npt.NDArray[Any]:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def town(*rows: str) -> npt.NDArray[np.uint8]:
    """Ids of `NAMED`: b building, l bare land, w Wald, and . for no data."""
    table = {"b": 0, "l": 1, "w": 4, ".": 255}
    return ids(*[[table[one] for one in row] for row in rows])


OLD = town("bbllww", "bbllww", "llllww", "ll..ww")
NEW = town("bbllww", "bbbbww", "llbbll", "l...wb")


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    return named_map(tmp_path / "old.tif", OLD), named_map(tmp_path / "new.tif", NEW)


def test_what_became_what(maps: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "change.tif"
    found = glnet_geo.detect_change(*maps, output)
    assert [one.name for one in found.classes] == [one.name for one in NAMED.classes]
    assert [(one.id, one.name) for one in found.legend.transitions] == [
        (1, "bare land -> building"),
        (2, "Wald & Wiese -> building"),
        (3, "Wald & Wiese -> bare land"),
    ]
    expected = ids(
        [0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 3, 3], [0, 255, 255, 255, 0, 2]
    )
    np.testing.assert_array_equal(pixels_of(output), expected)
    assert found.kept.pixels.tolist() == [
        [4, 0, 0, 4],
        [4, 5, 0, 9],
        [1, 2, 5, 8],
        [9, 7, 5, 21],
    ]
    np.testing.assert_array_equal(found.kept.areas, found.kept.pixels * 0.25)
    assert found.mapped.pixels.tolist() == found.kept.pixels.tolist() and not found.suppressed
    assert (found.pixels, found.not_compared, found.area) == (21, 3, 5.25)
    with rasterio.open(output) as dataset, rasterio.open(maps[0]) as old:
        assert (dataset.transform, dataset.crs) == (old.transform, old.crs)
        assert (dataset.nodata, dataset.dtypes[0]) == (255, "uint8")
        tags = dataset.tags()
    assert tags["CLASS_2"] == "Wald & Wiese -> building"
    assert (tags["OLD"], tags["NEW"]) == ("old.tif", "new.tif")


def test_names_and_colours_survive(maps: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "change.tif"
    found = detect_change(*maps, output)
    with ClassRaster(output) as raster:
        known = raster.classes.known
    assert tuple(known.values()) == found.legend.classes
    band = ET.parse(sidecar_path(output)).find("PAMRasterBand")
    assert band is not None
    assert [one.text for one in band.iterfind("CategoryNames/Category")] == [
        one.name for one in found.legend.classes
    ]
    assert len(band.findall("ColorTable/Entry")) == 4
    assert len(band.findall("GDALRasterAttributeTable/Row")) == 4


def areas_of(path: Path, other: Path) -> dict[int, tuple[int, float]]:
    """Pixels and areas by class where another raster has data, from the rule of all commands."""
    with ClassRaster(path) as raster, ClassRaster(other) as mask:
        ground = ground_of(raster.grid)
        labels, valid = raster.read(raster.grid.window)
        has_data = mask.read(mask.grid.window)[1]
        for one in (valid, has_data):
            if one is not None:
                labels[~one] = 255
    rows = [one.runs for one in _read(path, labels)]
    found = measure_classes(rows, ground)
    return {one: (extent.pixels, extent.area) for one, extent in found.items()}


def _read(path: Path, labels: npt.NDArray[Any]) -> Any:
    with rasterio.open(path) as dataset:
        profile = {"crs": dataset.crs, "transform": dataset.transform}
    masked = write_tif(path.with_name(f"masked-{path.name}"), labels, nodata=255, **profile)
    with ClassRaster(masked) as raster:
        yield from read_rows(raster)


def sums_of(found: ChangeSummary, matrix: ChangeMatrix, axis: int) -> dict[int, tuple[int, float]]:
    pixels, areas = (
        one[:-1, -1] if axis else one[-1, :-1] for one in (matrix.pixels, matrix.areas)
    )
    table = zip(found.classes, pixels.tolist(), areas.tolist(), strict=True)
    return {one.id: (count, area) for one, count, area in table if count}


@pytest.mark.parametrize("place", [UTM, LON_LAT], ids=["UTM", "lon/lat"])
def test_sums_of_the_matrix_are_the_areas_of_the_maps(
    tmp_path: Path, place: dict[str, Any]
) -> None:
    old, new = (
        write_tif(tmp_path / f"{k}.tif", patches(300, 90, k, classes=6), nodata=0, **place)
        for k in range(2)
    )
    rules = ChangeRules(tolerance=Length(1, "px"), min_area=Area(9, "px"))
    found = detect_change(old, new, tmp_path / "change.tif", rules=rules)
    areas = areas_of(old, new), areas_of(new, old)
    is_exact = place is UTM

    def check(ours: dict[int, tuple[int, float]], theirs: dict[int, tuple[int, float]]) -> None:
        assert list(ours) == list(theirs)
        for one, (count, area) in ours.items():
            assert count == theirs[one][0]
            assert area == (theirs[one][1] if is_exact else pytest.approx(theirs[one][1], 1e-12))

    check(sums_of(found, found.mapped, 1), areas[0])
    check(sums_of(found, found.mapped, 0), areas[1])
    # What is suppressed is what it was.
    check(sums_of(found, found.kept, 1), areas[0])
    assert found.kept.changed[0] and found.kept.changed[0] < found.mapped.changed[0]
    left = found.mapped.changed[0] - sum(one.changed[0] for one in found.suppressed.values())
    assert left == found.kept.changed[0]
    # The map of changes has the same figures.
    counts = np.bincount(pixels_of(found.output).ravel(), minlength=256)
    assert counts[255] == found.not_compared
    for one in found.legend.transitions:
        assert counts[one.id] == found.extent_of(one)[0]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 30 * 7, 30 * 64]),
    st.sampled_from([30, 30 * 5]),
    st.sampled_from([0, 1, 2]),
)
def test_strips_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, strip: int, part: int, reach: int
) -> None:
    folder = tmp_path_factory.mktemp("maps")
    old = placed_tif(folder / "old.tif", patches(90, 30, seed, 4), nodata=0)
    new = placed_tif(folder / "new.tif", patches(90, 30, seed + 1, 4), nodata=0)
    rules = ChangeRules(
        tolerance=Length(reach, "px") if reach else None, min_area=Area(1.5, "m2"), connectivity=8
    )
    whole = detect_change(old, new, folder / "whole.tif", rules=rules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_sources, "_STRIP", strip)
        patch.setattr(label_sources, "_BLOCKS", 0)
        patch.setattr(change_source, "_PART", part)
        parts = detect_change(old, new, folder / "parts.tif", rules=rules)
    assert whole.output.read_bytes() == parts.output.read_bytes()
    for mine, theirs in zip(whole.files[1:], parts.files[1:], strict=True):
        assert mine.read_bytes() == theirs.read_bytes()
    np.testing.assert_array_equal(whole.kept.pixels, parts.kept.pixels)


class TestClasses:
    def test_they_are_matched_by_name_whatever_their_ids(self, tmp_path: Path) -> None:
        other = Legend(
            "town", tuple(LandCover(9 - one.id, one.name.upper(), one.rgb) for one in NAMED.classes)
        )
        old = named_map(tmp_path / "old.tif", OLD)
        moved = np.where(NEW == 255, 255, 9 - NEW).astype(np.uint8)
        new = named_map(tmp_path / "new.tif", moved, other)
        found = detect_change(old, new, tmp_path / "change.tif")
        assert found.kept.pixels[1].tolist() == [4, 5, 0, 9]
        assert "matched by name: 5 WALD & WIESE is 4" in found.notes[0]

    def test_by_id_where_one_has_no_names(self, tmp_path: Path) -> None:
        old = named_map(tmp_path / "old.tif", OLD)
        new = placed_tif(tmp_path / "new.tif", NEW, nodata=255)
        for pair in ((old, new), (new, old)):
            found = detect_change(*pair, tmp_path / "change.tif", overwrite=True)
            assert [one.name for one in found.classes] == [one.name for one in NAMED.classes]
            assert found.kept.changed[0] == 7

    def test_an_id_that_neither_map_names(self, tmp_path: Path) -> None:
        values = np.where(OLD == 4, 77, OLD)
        old = named_map(tmp_path / "old.tif", values)
        new = placed_tif(tmp_path / "new.tif", values, nodata=255)
        for pair in ((old, new), (new, old)):
            found = detect_change(*pair, tmp_path / "change.tif", overwrite=True)
            assert [one.name for one in found.classes] == ["building", "bare land", "77"]
            assert found.kept.changed[0] == 0

    def test_names_that_a_spreadsheet_would_run(self, tmp_path: Path) -> None:
        legend = Legend("risky", (LandCover(0, "=cmd()", (9, 9, 9)), *NAMED.classes[1:]))
        old, new = (
            named_map(tmp_path / name, one, legend)
            for name, one in (("old.tif", OLD), ("new.tif", NEW))
        )
        table = detect_change(old, new, tmp_path / "change.tif").files[1]
        rows = list(csv.reader(table.read_text("utf-8").splitlines()))
        assert rows[0][3] == rows[1][2] == "'=cmd()"

    def test_a_new_class_and_one_that_is_gone_are_classes(self, tmp_path: Path) -> None:
        legend = Legend("town", (*NAMED.classes[:2], LandCover(4, "solar park", (9, 9, 9))))
        old = named_map(tmp_path / "old.tif", OLD)
        new = named_map(tmp_path / "new.tif", NEW, legend)
        found = detect_change(old, new, tmp_path / "change.tif")
        assert [one.name for one in found.classes] == [
            "building",
            "bare land",
            "Wald & Wiese",
            "solar park",
        ]
        assert "Wald & Wiese -> solar park" in [one.name for one in found.legend.transitions]

    def test_a_legend_names_both(self, tmp_path: Path) -> None:
        old = placed_tif(tmp_path / "old.tif", OLD, nodata=255)
        new = placed_tif(tmp_path / "new.tif", NEW, nodata=255)
        found = detect_change(old, new, tmp_path / "change.tif", legend=NAMED)
        assert [one.name for one in found.classes] == [one.name for one in NAMED.classes]

    def test_what_a_legend_ignores_is_not_compared(self, tmp_path: Path) -> None:
        legend = Legend("town", NAMED.classes, frozenset({4}))
        old = placed_tif(tmp_path / "old.tif", OLD, nodata=255)
        new = placed_tif(tmp_path / "new.tif", NEW, nodata=255)
        found = detect_change(old, new, tmp_path / "change.tif", legend=legend)
        assert (found.pixels, found.not_compared) == (13, 11)

    @pytest.mark.parametrize(
        ("names", "values"), [(("sea", "ice"), (0, 1)), ((), (7, 8))], ids=["names", "ids"]
    )
    def test_maps_without_a_class_in_common_are_refused(
        self, tmp_path: Path, names: tuple[str, ...], values: tuple[int, int]
    ) -> None:
        labels = np.where(NEW == 0, values[0], values[1]).astype(np.uint8)
        if names:
            covers = (LandCover(k, name, (k, 0, 0)) for k, name in enumerate(names))
            legend = Legend("sea", tuple(covers))
            old = named_map(tmp_path / "old.tif", OLD)
            new = named_map(tmp_path / "new.tif", labels, legend)
        else:
            old = placed_tif(tmp_path / "old.tif", OLD, nodata=255)
            new = placed_tif(tmp_path / "new.tif", labels)
        with pytest.raises(GlnetGeoError, match=r"have no class in common.*--legend"):
            detect_change(old, new, tmp_path / "change.tif")

    def test_more_transitions_than_a_byte_holds(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0)
        old, new = (
            placed_tif(tmp_path / f"{k}.tif", noise.integers(0, 17, (90, 300), np.uint8))
            for k in range(2)
        )
        found = detect_change(old, new, tmp_path / "change.tif", polygons=tmp_path / "change.gpkg")
        assert len(found.legend.transitions) == 17 * 16
        with rasterio.open(found.output) as dataset:
            assert (dataset.dtypes[0], dataset.nodata) == ("uint16", 65535)
            assert dataset.colormap(1)[270][:3] == found.legend.classes[270].rgb
            pixels = dataset.read(1)
        pairs = {(one.old.id, one.new.id): one.id for one in found.legend.transitions}
        expected = [
            pairs.get(pair, 0)
            for pair in zip(pixels_of(old).ravel(), pixels_of(new).ravel(), strict=True)
        ]
        np.testing.assert_array_equal(pixels.ravel(), expected)
        with ClassRaster(found.output) as raster:
            assert raster.classes.of(272) == found.legend.classes[272]


class TestGrids:
    def test_another_grid_is_refused_and_aligned_on_request(self, tmp_path: Path) -> None:
        old = placed_tif(tmp_path / "old.tif", OLD, nodata=255)
        fine = np.kron(NEW, np.ones((2, 2), np.uint8))
        place = Affine(0.25, 0, X, 0, -0.25, Y)
        new = placed_tif(tmp_path / "new.tif", fine, nodata=255, transform=place)
        with pytest.raises(GlnetGeoError, match=r"12 x 8 px instead of 6 x 4.*--align.*old map"):
            detect_change(old, new, tmp_path / "change.tif")
        found = detect_change(old, new, tmp_path / "change.tif", align=True)
        assert found.is_aligned and found.kept.changed[0] == 7

    def test_beyond_the_new_map_nothing_is_compared(self, tmp_path: Path) -> None:
        old = placed_tif(tmp_path / "old.tif", OLD, nodata=255)
        new = placed_tif(
            tmp_path / "new.tif", NEW[:, 3:], transform=Affine(0.5, 0, X + 1.5, 0, -0.5, Y)
        )
        found = detect_change(old, new, tmp_path / "change.tif", align=True)
        assert found.not_compared == 3 * 4 + 1
        assert (pixels_of(found.output)[:, :3] == 255).all()

    def test_nothing_to_compare_is_one_line(self, tmp_path: Path) -> None:
        old = placed_tif(tmp_path / "old.tif", OLD, nodata=255)
        far = Affine(0.5, 0, X + 1000, 0, -0.5, Y)
        new = placed_tif(tmp_path / "new.tif", NEW, transform=far)
        with pytest.raises(GlnetGeoError, match="nothing to compare"):
            detect_change(old, new, tmp_path / "change.tif", align=True)
        assert {path.name for path in tmp_path.iterdir()} == {"old.tif", "new.tif"}

    def test_maps_without_a_place_are_counted_in_pixels(self, tmp_path: Path) -> None:
        old, new = write_tif(tmp_path / "o.tif", OLD), write_tif(tmp_path / "n.tif", NEW)
        found = detect_change(old, new, tmp_path / "change.tif")
        assert (found.unit, found.area_rule) == ("px", "pixels")
        table = found.to_dict()
        assert table["changed_area_ha"] is None and "area_ha" not in table["matrix"]
        with pytest.raises(GlnetGeoError, match="--tolerance in pixels"):
            detect_change(
                old,
                new,
                tmp_path / "change.tif",
                rules=ChangeRules(tolerance=Length(1, "m")),
                overwrite=True,
            )


class TestConfidence:
    @pytest.fixture
    def gauges(self, tmp_path: Path) -> tuple[Path, Path]:
        """0 to 254 for 0 to 1: the old map is unsure in row 1, the new one in row 3."""
        paths = []
        for k, row in enumerate((1, 3)):
            sure = np.full(OLD.shape, 254, np.uint8)
            sure[row] = 203  # 0.799
            sure[2, 4] = 255 if k else 254
            path = placed_tif(tmp_path / f"sure-{k}.tif", sure, nodata=255)
            with rasterio.open(path, "r+") as dataset:
                dataset.scales, dataset.offsets = (1 / 254,), (0,)
            paths.append(path)
        return paths[0], paths[1]

    def test_a_change_counts_where_both_maps_are_sure(
        self, maps: tuple[Path, Path], gauges: tuple[Path, Path], tmp_path: Path
    ) -> None:
        found = detect_change(
            *maps,
            tmp_path / "change.tif",
            rules=ChangeRules(min_confidence=0.8),
            old_confidence=gauges[0],
            new_confidence=gauges[1],
        )
        changed = pixels_of(found.output)
        assert changed[1].max() == 0 and changed[3, 5] == 0
        # Where confidence has no data nothing is known.
        assert (changed[2] > 0).tolist() == [False, False, True, True, False, True]
        assert found.suppressed["confidence"].changed[0] == 4 and found.kept.changed[0] == 3

    def test_either_may_be_given_alone_and_limits_are_met_exactly(
        self, maps: tuple[Path, Path], gauges: tuple[Path, Path], tmp_path: Path
    ) -> None:
        for least, suppressed in ((203 / 254, 0), (204 / 254, 2)):
            found = detect_change(
                *maps,
                tmp_path / "change.tif",
                rules=ChangeRules(min_confidence=least),
                old_confidence=gauges[0],
                overwrite=True,
            )
            assert found.suppressed["confidence"].changed[0] == suppressed

    def test_it_is_aligned_with_its_map(
        self, maps: tuple[Path, Path], gauges: tuple[Path, Path], tmp_path: Path
    ) -> None:
        with rasterio.open(gauges[1]) as dataset:
            fine = np.kron(dataset.read(1), np.ones((2, 2), np.uint8))
        place = Affine(0.25, 0, X, 0, -0.25, Y)
        path = placed_tif(tmp_path / "fine.tif", fine, nodata=255, transform=place)
        with rasterio.open(path, "r+") as dataset:
            dataset.scales = (1 / 254,)
        options: dict[str, Any] = {
            "rules": ChangeRules(min_confidence=0.8),
            "new_confidence": path,
        }
        with pytest.raises(GlnetGeoError, match="does not lie on the grid"):
            detect_change(*maps, tmp_path / "change.tif", **options)
        found = detect_change(*maps, tmp_path / "change.tif", align=True, **options)
        assert found.suppressed["confidence"].changed[0] == 2

    def test_whole_numbers_without_a_scale_are_refused(
        self, maps: tuple[Path, Path], tmp_path: Path
    ) -> None:
        percent = placed_tif(tmp_path / "percent.tif", np.full(OLD.shape, 90, np.uint8))
        for least, words in ((0.8, "no scale"), (95, None)):
            options: dict[str, Any] = {
                "rules": ChangeRules(min_confidence=least),
                "old_confidence": percent,
            }
            if words:
                with pytest.raises(GlnetGeoError, match=words):
                    detect_change(*maps, tmp_path / "change.tif", **options)
            else:
                found = detect_change(*maps, tmp_path / "change.tif", **options)
                assert found.kept.changed[0] == 0


def test_rules_come_one_after_the_other(tmp_path: Path) -> None:
    old = np.zeros((60, 60), np.uint8)
    old[:, 30:] = 1
    new = np.roll(old, 1, 1)
    new[:, 0] = 0
    new[5:25, 5:25] = 1
    new[40:42, 10:12] = 2
    sure = np.full(old.shape, 1.0, np.float32)
    sure[5, 5:25] = 0.5
    paths = [placed_tif(tmp_path / f"{k}.tif", one) for k, one in enumerate((old, new, sure))]
    rules = ChangeRules(0.8, Length(0.5, "m"), Area(2, "m2"))
    found = detect_change(*paths[:2], tmp_path / "c.tif", rules=rules, new_confidence=paths[2])
    assert {name: one.changed[0] for name, one in found.suppressed.items()} == {
        "confidence": 20,
        "tolerance": 60,
        "min_area": 4,
    }
    assert found.kept.changed == (380, 95.0) and found.mapped.changed[0] == 464
    assert found.rules == {"confidence": "0.8", "tolerance": "0.5 m", "min_area": "2 m2"}


def test_only_what_lies_in_the_aoi_is_compared(maps: tuple[Path, Path], tmp_path: Path) -> None:
    area = geopandas.GeoDataFrame(geometry=[shapely.box(X, Y - 2, X + 2, Y)], crs="EPSG:32633")
    area.to_file(tmp_path / "aoi.gpkg")
    found = detect_change(*maps, tmp_path / "change.tif", aoi=tmp_path / "aoi.gpkg")
    assert (found.pixels, found.kept.changed[0]) == (13, 4)
    assert (pixels_of(found.output)[:, 4:] == 255).all()


class TestPolygons:
    def test_they_say_what_became_what_in_the_colours_of_the_map(
        self, maps: tuple[Path, Path], tmp_path: Path
    ) -> None:
        output = tmp_path / "change.gpkg"
        found = detect_change(*maps, tmp_path / "change.tif", polygons=output)
        assert layers_of(output) == ["change"]
        table = read_polygons(output, "change").sort_values("class_id")
        rows = zip(table["old_class"], table["new_class"], table["class"], strict=True)
        assert list(rows) == [
            ("bare land", "building", "bare land -> building"),
            ("Wald & Wiese", "building", "Wald & Wiese -> building"),
            ("Wald & Wiese", "bare land", "Wald & Wiese -> bare land"),
        ]
        assert table["area_m2"].tolist() == [1.0, 0.25, 0.5]
        assert style_of(output, "change") == {one.name: one.rgb for one in found.legend.transitions}
        metadata = metadata_of(output, "change")
        assert (metadata["source"], metadata["old"]) == ("change.tif", "old.tif")
        assert found.polygons is not None and found.polygons.polygons == 3

    def test_without_a_change_the_layer_is_empty(
        self, maps: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        output = tmp_path / "change.gpkg"
        found = detect_change(maps[0], maps[0], tmp_path / "change.tif", polygons=output)
        assert found.legend.transitions == () and len(read_polygons(output, "change")) == 0
        assert caplog.messages == [
            "change.tif has nothing to make polygons of. The layer is empty."
        ]
        assert set(np.unique(pixels_of(found.output))) == {0, 255}

    def test_vectorize_makes_the_same_of_the_map(
        self, maps: tuple[Path, Path], tmp_path: Path
    ) -> None:
        detect_change(*maps, tmp_path / "change.tif", polygons=tmp_path / "change.gpkg")
        again = tmp_path / "again.gpkg"
        glnet_geo.vectorize(tmp_path / "change.tif", again, exclude=["no change"])
        ours, theirs = (
            read_polygons(tmp_path / "change.gpkg", "change"),
            read_polygons(again),
        )
        assert ours.geometry.to_wkb().equals(theirs.geometry.to_wkb())
        assert ours["class"].tolist() == theirs["class"].tolist()


def test_the_table_is_the_matrix_with_its_sums(maps: tuple[Path, Path], tmp_path: Path) -> None:
    found = detect_change(*maps, tmp_path / "change.tif", rules=PIXEL)
    rows = list(csv.reader(found.files[1].read_text("utf-8").splitlines()))
    assert rows[0] == ["matrix", "unit", "old", *(one.name for one in NAMED.classes), "(sum)"]
    titles = ["kept", "mapped", "suppressed by tolerance"]
    assert [row[0] for row in rows[1::4]] == titles
    assert rows[5:9] == [
        ["mapped", "ha", "building", "0.0001", "0", "0", "0.0001"],
        ["mapped", "ha", "bare land", "0.0001", "0.000125", "0", "0.000225"],
        ["mapped", "ha", "Wald & Wiese", "0.000025", "0.00005", "0.000125", "0.0002"],
        ["mapped", "ha", "(sum)", "0.000225", "0.000175", "0.000125", "0.000525"],
    ]
