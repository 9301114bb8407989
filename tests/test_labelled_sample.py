"""Labelled samples and maps: matching, weights that were lost, and what cannot be used."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyogrio
import pytest
import shapely
from geopandas import GeoDataFrame

from glnet_geo.area_estimates import AreaEstimates
from glnet_geo.errors import FeaturesError, GlnetGeoError
from glnet_geo.labelled_sample import assess_areas
from glnet_geo.legend import LandCover, Legend
from glnet_geo.sample_size import SampleSize
from glnet_geo.stratified_sampling import draw_sample
from tests.class_maps import NAMED, named_map
from tests.rasters import UTM, placed_tif, write_tif

NAMES = {one.id: one.name for one in NAMED.classes}
Labels = npt.NDArray[np.uint8]


def scene(height: int = 90, width: int = 120) -> tuple[Labels, Labels]:
    """A map and the truth, which differ in one pixel of ten."""
    generator = np.random.default_rng(4)
    truth = np.where(np.arange(width)[None] < 40, 1, 4).repeat(height, 0).astype(np.uint8)
    truth[20:40, 20:60] = 0
    mapped = truth.copy()
    is_wrong = generator.random(truth.shape) < 0.1
    mapped[is_wrong] = generator.choice(np.array([0, 1, 4], np.uint8), int(is_wrong.sum()))
    return mapped, truth


MAPPED, TRUTH = scene()


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return named_map(tmp_path / "map.tif", MAPPED)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample that is labelled with the truth; not to be changed."""
    folder = tmp_path_factory.mktemp("labelled")
    output = folder / "sample.gpkg"
    draw_sample(named_map(folder / "map.tif", MAPPED), output, size=SampleSize(400))
    label(output, TRUTH)
    return output


@pytest.fixture
def sample(labelled: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copy(labelled, tmp_path))


def area_of(labels: Labels, class_id: int) -> float:
    """In square metres."""
    return float(np.count_nonzero(labels == class_id) * 0.25)


def points_of(sample: Path) -> GeoDataFrame:
    return pyogrio.read_dataframe(sample, layer="sample")


def values_at(points: GeoDataFrame, labels: Labels) -> list[int]:
    columns, rows = ~UTM["transform"] @ (points.geometry.x, points.geometry.y)
    found: list[int] = labels[rows.astype(int), columns.astype(int)].tolist()
    return found


def edit(sample: Path, sql: str) -> None:
    """Changes the layer in place, as QGIS does."""
    with closing(sqlite3.connect(sample)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        # The spatial index's triggers call functions that only GDAL has.
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute(sql)


def label(sample: Path, truth: Labels) -> None:
    points = points_of(sample)
    values = values_at(points, truth)
    for value, name in NAMES.items():
        ids = [str(k) for k, one in zip(points.id, values, strict=True) if one == value]
        edit(sample, f"UPDATE sample SET reference = '{name}' WHERE id IN ({','.join(ids)})")


def figures(found: AreaEstimates) -> list[float]:
    return [
        figure
        for one in found.classes
        for figure in (one.mapped_area, one.area.value, one.area.standard_error)
    ]


class TestTheMapThatWasDrawnFrom:
    def test_intervals_cover_what_is_true(self, raster: Path, sample: Path) -> None:
        found = assess_areas(raster, sample)
        assert [one.name for one in found.classes] == [*NAMES.values()]
        assert found.points == 400 and found.is_mapped_area_known
        for class_id, one in zip(NAMES, found.classes, strict=True):
            assert one.mapped_area == area_of(MAPPED, class_id)
            assert abs(one.area.value - area_of(TRUTH, class_id)) < one.area.margin
            assert one.users_accuracy and one.producers_accuracy
        accuracy = found.overall_accuracy
        assert abs(accuracy.value - (MAPPED == TRUTH).mean()) < accuracy.margin

    def test_labels_are_names_or_ids_in_any_case(self, raster: Path, sample: Path) -> None:
        expected = assess_areas(raster, sample)
        edit(sample, "UPDATE sample SET reference = ' BARE  Land ' WHERE reference = 'bare land'")
        edit(sample, "UPDATE sample SET reference = '4' WHERE reference = 'Wald & Wiese'")
        assert assess_areas(raster, sample).to_dict() == expected.to_dict()

    def test_a_copy_is_known_by_its_classes(
        self, raster: Path, sample: Path, tmp_path: Path
    ) -> None:
        copy = placed_tif(tmp_path / "copy.tif", MAPPED, compress="deflate", nodata=255)
        expected = assess_areas(raster, sample)
        assert assess_areas(copy, sample).to_dict() == expected.to_dict()

    def test_it_may_have_been_renamed(self, sample: Path, raster: Path, tmp_path: Path) -> None:
        german = Legend(
            "Stadt",
            tuple(LandCover(k, f"Klasse {chr(65 + k)}", (9 * k, 0, 0)) for k in (0, 1, 4)),
        )
        renamed = named_map(tmp_path / "renamed.tif", MAPPED, german)
        expected = assess_areas(raster, sample)
        assert assess_areas(renamed, sample).to_dict() == expected.to_dict()

    def test_unlabelled_points_are_left_out(
        self, raster: Path, sample: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        edit(sample, "UPDATE sample SET reference = NULL WHERE id <= 30")
        edit(sample, "UPDATE sample SET reference = '  ' WHERE id BETWEEN 31 AND 40")
        with caplog.at_level(logging.WARNING):
            found = assess_areas(raster, sample)
        counts = points_of(sample)[:40].map_class.value_counts()
        listed = ", ".join(f"{name} {counts[name]}" for name in NAMES.values())
        assert caplog.messages == [
            f"{sample}: 40 of 400 points have no reference and are left out: {listed}."
        ]
        assert found.points == 360

    def test_a_stratum_with_one_label_is_named(self, raster: Path, sample: Path) -> None:
        edit(sample, "UPDATE sample SET reference = '' WHERE stratum = 0")
        edit(
            sample,
            "UPDATE sample SET reference = 'building' WHERE id = "
            "(SELECT min(id) FROM sample WHERE stratum = 0)",
        )
        message = "too few labelled points of the stratum 'building': 1 of [0-9]+. Label at least 2"
        with pytest.raises(FeaturesError, match=message):
            assess_areas(raster, sample)

    def test_unknown_labels_are_named(self, raster: Path, sample: Path) -> None:
        edit(sample, "UPDATE sample SET reference = 'fog' WHERE id = 3")
        edit(sample, "UPDATE sample SET reference = '99' WHERE id = 4")
        message = "no classes: '99', 'fog'. The classes are building; bare land; Wald & Wiese"
        with pytest.raises(FeaturesError, match=message):
            assess_areas(raster, sample)

    def test_a_class_that_the_map_never_predicts(self, tmp_path: Path) -> None:
        raster = named_map(tmp_path / "map.tif", np.where(MAPPED == 0, 1, MAPPED).astype(np.uint8))
        sample = tmp_path / "sample.gpkg"
        draw_sample(raster, sample, size=SampleSize(400))
        label(sample, TRUTH)
        found = assess_areas(raster, sample)
        building = found.classes[0]
        assert (building.name, building.mapped_area) == ("building", 0)
        assert abs(building.area.value - area_of(TRUTH, 0)) < building.area.margin
        assert building.users_accuracy is None and building.producers_accuracy is not None

    def test_moved_points_are_named(self, raster: Path, sample: Path) -> None:
        points = points_of(sample)
        here, there = (int(points.index[points.stratum == k][0]) for k in (0, 4))
        shift = f"(SELECT geom FROM sample WHERE id = {there + 1})"
        edit(sample, f"UPDATE sample SET geom = {shift} WHERE id = {here + 1}")
        with pytest.raises(FeaturesError, match=rf"\(id {max(here, there) + 1}\) .* where others"):
            assess_areas(raster, sample)
        edit(sample, f"DELETE FROM sample WHERE id = {there + 1}")
        with pytest.raises(FeaturesError, match=rf"\(id {here + 1}\) that are of another class"):
            assess_areas(raster, sample)


class TestAnotherMap:
    def test_strata_still_weigh_the_points(
        self, raster: Path, sample: Path, tmp_path: Path
    ) -> None:
        better = named_map(tmp_path / "better.tif", TRUTH)
        found = assess_areas(better, sample)
        expected = assess_areas(raster, sample)
        assert [one.area for one in found.classes] == [one.area for one in expected.classes]
        assert (found.overall_accuracy.value, found.overall_accuracy.standard_error) == (
            pytest.approx(1),
            pytest.approx(0),
        )
        assert not found.is_mapped_area_known
        assert [one.mapped_area for one in found.classes] == pytest.approx(
            [one.area.value for one in found.classes]
        )

    def test_classes_are_matched_by_name(self, sample: Path, tmp_path: Path) -> None:
        legend = Legend(
            "other",
            (
                LandCover(0, "BARE LAND", (1, 1, 1)),
                LandCover(1, "building", (2, 2, 2)),
                LandCover(2, "wald & wiese", (3, 3, 3)),
            ),
        )
        numbers = np.zeros(5, np.uint8)
        numbers[[1, 0, 4]] = 0, 1, 2
        other = named_map(tmp_path / "other.tif", numbers[TRUTH], legend)
        found = assess_areas(other, sample)
        assert found.overall_accuracy.value == pytest.approx(1)
        assert [one.name for one in found.classes] == [*NAMES.values()]

    def test_it_must_cover_the_sample(self, sample: Path, tmp_path: Path) -> None:
        small = named_map(tmp_path / "small.tif", TRUTH[:50])
        with pytest.raises(FeaturesError, match=r"\(id .* and \d+ more\) that lie outside the map"):
            assess_areas(small, sample)
        holed = TRUTH.copy()
        holed[70:] = 255
        clouds = named_map(tmp_path / "clouds.tif", holed)
        with pytest.raises(FeaturesError, match=r"lie on nodata of .*clouds.tif\. Empty their ref"):
            assess_areas(clouds, sample)


class TestSavedElsewhere:
    @pytest.mark.parametrize("suffix", [".geojson", ".shp", ".fgb", ".gpkg"])
    def test_weights_are_counted_anew(
        self,
        raster: Path,
        sample: Path,
        tmp_path: Path,
        suffix: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        points = points_of(sample).rename(columns={"reference": "Reference"})
        if suffix == ".geojson":
            points = points.to_crs("EPSG:4326")
        saved = tmp_path / f"saved{suffix}"
        pyogrio.write_dataframe(points, saved)
        with caplog.at_level(logging.WARNING):
            found = assess_areas(raster, saved)
        assert len(caplog.messages) == 1
        assert "lost the strata's weights" in caplog.messages[0] and "--aoi" in caplog.messages[0]
        assert figures(found) == pytest.approx(figures(assess_areas(raster, sample)))

    def test_another_map_cannot_give_the_weights(self, sample: Path, tmp_path: Path) -> None:
        pyogrio.write_dataframe(points_of(sample), tmp_path / "saved.fgb")
        better = named_map(tmp_path / "better.tif", TRUTH)
        with pytest.raises(FeaturesError, match=r"weights are lost\. Give the map that the sample"):
            assess_areas(better, tmp_path / "saved.fgb")

    def test_classes_that_were_not_drawn_from_count_nowhere(
        self, raster: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        sample, saved = tmp_path / "sample.gpkg", tmp_path / "saved.fgb"
        draw_sample(raster, sample, exclude=["building"])
        label(sample, TRUTH)
        expected = assess_areas(raster, sample)
        assert expected.design.area == (MAPPED != 0).sum() * 0.25
        pyogrio.write_dataframe(points_of(sample), saved)
        with caplog.at_level(logging.WARNING):
            found = assess_areas(raster, saved)
        assert caplog.messages[1] == "Classes without points count nowhere: building."
        assert figures(found) == pytest.approx(figures(expected))

    def test_a_renamed_layer_among_others(self, raster: Path, sample: Path, tmp_path: Path) -> None:
        expected = assess_areas(raster, sample)
        boxes = GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:32633")
        pyogrio.write_dataframe(boxes, sample, layer="aoi", append=True)
        assert assess_areas(raster, sample).to_dict() == expected.to_dict()
        pyogrio.write_dataframe(points_of(sample), sample, layer="copy", append=True)
        with pytest.raises(FeaturesError, match="several samples: sample, copy"):
            assess_areas(raster, sample)
        assert figures(assess_areas(raster, sample, layer="copy")) == pytest.approx(
            figures(expected)
        )
        with pytest.raises(FeaturesError, match=r"no layer 'none'\. It has sample, "):
            assess_areas(raster, sample, layer="none")

    def test_without_a_crs(self, tmp_path: Path) -> None:
        raster, sample = tmp_path / "plain.tif", tmp_path / "sample.gpkg"
        write_tif(raster, MAPPED)
        draw_sample(raster, sample)
        edit(sample, "UPDATE sample SET reference = map_class")
        found = assess_areas(raster, sample)
        assert found.unit == "px" and found.overall_accuracy.value == pytest.approx(1)
        assert [one.area.value for one in found.classes] == pytest.approx(
            [area_of(MAPPED, one) * 4 for one in (0, 1, 4)]
        )
        placed = placed_tif(tmp_path / "placed.tif", MAPPED)
        with pytest.raises(FeaturesError, match="has no CRS, unlike the map"):
            assess_areas(placed, sample)


def change(points: GeoDataFrame, how: str) -> GeoDataFrame:
    match how:
        case "no stratum":
            points["stratum"] = points.stratum.astype(float).where(points.id != 2)
        case "empty":
            points["reference"] = None
        case "doubled":
            points = GeoDataFrame(pd.concat([points, points[:1]]), crs=points.crs)
        case "no column":
            points = points.drop(columns="reference")
        case "polygons":
            points["geometry"] = points.geometry.buffer(1)
        case "nowhere":
            points.loc[0, "geometry"] = None
        case "foreign stratum":
            points.loc[0, "stratum"] = 3
    return points


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no stratum", r"\(id 2\) that have no stratum. Remove them"),
        ("empty", "no labelled points. Fill in its column 'reference'"),
        ("doubled", r"\(id 1\) that lie where others do. Keep one of each"),
        ("no column", "no layer with the columns 'stratum' and 'reference'"),
        ("polygons", "does not consist of points"),
        ("nowhere", "has 1 points without a place"),
        ("foreign stratum", r"\(id 1\) that are of "),
    ],
)
def test_files_that_cannot_be_used(
    raster: Path, sample: Path, tmp_path: Path, how: str, message: str
) -> None:
    pyogrio.write_dataframe(change(points_of(sample), how), tmp_path / "changed.gpkg")
    with pytest.raises(FeaturesError, match=message):
        assess_areas(raster, tmp_path / "changed.gpkg")


def test_missing_and_broken_files(raster: Path, sample: Path, tmp_path: Path) -> None:
    with pytest.raises(FeaturesError, match=r"none\.gpkg does not exist"):
        assess_areas(raster, tmp_path / "none.gpkg")
    broken = tmp_path / "broken.gpkg"
    broken.write_bytes(sample.read_bytes()[:5000])
    with pytest.raises(FeaturesError, match="cannot be read as a vector file"):
        assess_areas(raster, broken)
    with pytest.raises(GlnetGeoError, match=r"none\.tif"):
        assess_areas(tmp_path / "none.tif", sample)
    shutil.copy(raster, tmp_path / "sample.tif")
    with pytest.raises(FeaturesError):
        assess_areas(raster, tmp_path / "sample.tif")
