"""Predictions against references: figures known by hand, grids, classes, polygons, folders."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pyproj import Transformer
from rasterio.enums import ColorInterp

import glnet_geo
from glnet_geo import label_sources
from glnet_geo.errors import GlnetGeoError
from glnet_geo.evaluation_result import Evaluation
from glnet_geo.legend import DEEPGLOBE, LandCover, Legend
from glnet_geo.units import Length
from tests.class_maps import NAMED, ids, named_map, patches
from tests.rasters import UTM, placed_tif, write_tif

RGB = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
X, Y = 500_000, 5_000_000  # upper left corner of `UTM`


def tif(folder: Path, name: str, labels: npt.NDArray[Any], **profile: Any) -> Path:
    return placed_tif(folder / f"{name}.tif", labels, **profile)


def numbers(found: Evaluation) -> dict[str, Any]:
    """What it says but for names, notes and time."""
    table = found.to_dict()
    return {k: v for k, v in table.items() if k not in ("pairs", "notes", "seconds", "peak_bytes")}


class TestFigures:
    """3 x 3 pixels: 0 0 0 / 0 1 1 / 1 1 2 against 0 0 1 / 0 1 1 / 0 2 2."""

    @pytest.fixture
    def found(self, tmp_path: Path) -> Evaluation:
        reference = tif(tmp_path, "ref", ids([0, 0, 0], [0, 1, 1], [1, 1, 2]))
        prediction = tif(tmp_path, "pred", ids([0, 0, 1], [0, 1, 1], [0, 2, 2]))
        return glnet_geo.evaluate(prediction, reference)

    def test_each_by_hand(self, found: Evaluation) -> None:
        assert found.table.tolist() == [[3, 1, 0, 0], [1, 2, 1, 0], [0, 0, 1, 0]]
        scores = found.scores
        assert scores.iou == {"0": 3 / 5, "1": 2 / 5, "2": 1 / 2}
        assert scores.precision == {"0": 3 / 4, "1": pytest.approx(2 / 3), "2": 1 / 2}
        assert scores.recall == {"0": 3 / 4, "1": 2 / 4, "2": 1}
        assert scores.f1 == {
            "0": pytest.approx(6 / 8),
            "1": pytest.approx(4 / 7),
            "2": pytest.approx(2 / 3),
        }
        assert scores.support == {"0": 4, "1": 4, "2": 1}
        assert scores.mean_iou == pytest.approx(0.5)
        assert scores.accuracy == pytest.approx(6 / 9)
        chance = (4 * 4 + 4 * 3 + 1 * 2) / 81
        assert scores.kappa == pytest.approx((6 / 9 - chance) / (1 - chance))

    def test_areas_are_those_of_the_crs(self, found: Evaluation) -> None:
        assert found.areas_ha is not None
        np.testing.assert_allclose(found.areas_ha, found.table * 0.25 / 1e4)
        assert found.area_rule == "planar in EPSG:32633"

    def test_the_json_form_says_the_same(self, found: Evaluation) -> None:
        table = json.loads(json.dumps(found.to_dict()))
        assert table["mean_iou"] == 0.5 and table["scored_classes"] == 3
        assert [one["iou"] for one in table["classes"]] == [0.6, 0.4, 0.5]
        assert [one["support"] for one in table["classes"]] == [4, 4, 1]
        assert table["confusion"]["pixels"] == found.table.tolist()


def test_paths_may_be_texts_and_ignored_ids_numbers(tmp_path: Path) -> None:
    prediction = tif(tmp_path, "pred", ids([0, 1, 1]))
    frame = geopandas.GeoDataFrame({"class": [1]}, geometry=[shapely.box(X, Y - 1, X + 1, Y)])
    frame.set_crs(32633).to_file(tmp_path / "ref.gpkg")
    found = glnet_geo.evaluate(str(prediction), str(tmp_path / "ref.gpkg"))
    assert found.table.tolist() == [[0, 0, 0], [1, 1, 0]]
    with pytest.raises(GlnetGeoError, match="nothing to compare"):
        glnet_geo.evaluate(prediction, tmp_path / "ref.gpkg", ignore=[1])


def test_one_pixel_leaves_what_is_undefined_open(tmp_path: Path) -> None:
    one = tif(tmp_path, "one", ids([7]))
    found = glnet_geo.evaluate(one, one)
    assert found.scores.iou == {"7": 1.0} and found.scores.accuracy == 1
    assert found.scores.kappa is None and found.boundary.f1 == {"7": None}
    assert found.boundary.mean is None


def test_a_prediction_without_data_is_all_wrong(tmp_path: Path) -> None:
    reference = tif(tmp_path, "ref", ids([0, 1], [1, 1]))
    prediction = tif(tmp_path, "pred", np.full((2, 2), 255, np.uint8), nodata=255)
    found = glnet_geo.evaluate(prediction, reference)
    assert found.scores.iou == {"0": 0.0, "1": 0.0} and found.scores.accuracy == 0
    assert found.nodata_pixels == 4 and found.scores.precision == {"0": None, "1": None}
    assert any("no data in 100.0 %" in note for note in found.notes)


def test_a_reference_without_data_is_an_error(tmp_path: Path) -> None:
    prediction = tif(tmp_path, "pred", ids([0, 1], [1, 1]))
    reference = tif(tmp_path, "ref", np.zeros((2, 2), np.uint8), nodata=0)
    with pytest.raises(GlnetGeoError, match="nothing to compare"):
        glnet_geo.evaluate(prediction, reference)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pair=st.integers(1, 12).flatmap(
        lambda height: st.tuples(
            *[arrays(np.int16, (height, 5), elements=st.sampled_from([-3, 1, 300, 9]))] * 2
        )
    ),
    strip=st.integers(1, 30),
)
def test_strips_and_ids_of_any_size_change_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    pair: tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]],
    strip: int,
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    prediction, reference = (
        tif(folder, name, labels, nodata=9, blockysize=1)
        for name, labels in zip(("pred", "ref"), pair, strict=True)
    )
    with pytest.MonkeyPatch.context() as patch:
        if (pair[1] == 9).all():
            return
        whole = glnet_geo.evaluate(prediction, reference)
        patch.setattr(label_sources, "_STRIP", strip)
        patch.setattr(label_sources, "_BLOCKS", 0)
        assert numbers(glnet_geo.evaluate(prediction, reference)) == numbers(whole)
    counts = pair[1] != 9
    for value in (-3, 1, 300):
        claimed, actual = counts & (pair[0] == value), pair[1] == value
        either = (claimed | actual).sum()
        found = whole.scores.iou.get(str(value))
        assert found == (pytest.approx((claimed & actual).sum() / either) if either else None)


class TestClasses:
    def test_names_come_from_the_prediction(self, tmp_path: Path) -> None:
        prediction = named_map(tmp_path / "pred.tif", ids([0, 1, 4]))
        reference = tif(tmp_path, "ref", ids([0, 1, 1]))
        found = glnet_geo.evaluate(prediction, reference)
        assert found.scores.iou == {"building": 1.0, "bare land": 0.5, "Wald & Wiese": 0.0}
        assert [one.rgb for one in found.classes] == [one.rgb for one in NAMED.classes]

    def test_the_same_names_with_other_ids_are_the_same_classes(self, tmp_path: Path) -> None:
        prediction = named_map(tmp_path / "pred.tif", ids([0, 1, 4]))
        other = Legend(
            "other",
            (
                LandCover(0, "wald & Wiese", (0, 1, 0)),
                LandCover(1, "building", (0, 2, 0)),
                LandCover(2, "Bare land", (0, 3, 0)),
            ),
        )
        reference = named_map(tmp_path / "ref.tif", ids([1, 2, 0]), other)
        found = glnet_geo.evaluate(prediction, reference)
        assert set(found.scores.iou.values()) == {1.0}
        assert any("matched by name" in note and "1 building is 0" in note for note in found.notes)

    def test_unknown_values_are_named(self, tmp_path: Path) -> None:
        prediction = named_map(tmp_path / "pred.tif", ids([0, 1, 4, 4]))
        reference = tif(tmp_path, "ref", ids([0, 7, 7, 9]))
        with pytest.raises(GlnetGeoError, match=r"7: 2 px, 9: 1 px.*0 building.*--ignore"):
            glnet_geo.evaluate(prediction, reference)
        found = glnet_geo.evaluate(prediction, reference, ignore=["7,9"])
        assert found.ignored == {"7": 2, "9": 1} and found.scores.pixels == 1

    @pytest.mark.parametrize("ignore", ["4", "wald & wiese"])
    def test_an_ignored_class_has_no_score_and_no_pixels(self, tmp_path: Path, ignore: str) -> None:
        prediction = named_map(tmp_path / "pred.tif", ids([0, 1, 4, 0]))
        reference = named_map(tmp_path / "ref.tif", ids([0, 1, 4, 4]))
        found = glnet_geo.evaluate(prediction, reference, ignore=[ignore])
        assert found.scores.iou == {"building": 1.0, "bare land": 1.0}
        assert found.ignored == {"4 (Wald & Wiese)": 2} and found.scores.pixels == 2

    def test_ids_without_names_may_be_ignored_too(self, tmp_path: Path) -> None:
        prediction = tif(tmp_path, "pred", ids([0, 1, 0, 2]))
        reference = tif(tmp_path, "ref", ids([0, 1, 1, 0]))
        found = glnet_geo.evaluate(prediction, reference, ignore=["0"])
        assert found.table.tolist() == [[1, 0, 1], [0, 0, 0]]
        assert [one.id for one in found.classes] == [1, 2]

    def test_predicted_values_that_are_no_class_are_errors(self, tmp_path: Path) -> None:
        prediction = named_map(tmp_path / "pred.tif", ids([0, 77, 1, 1]))
        found = glnet_geo.evaluate(prediction, tif(tmp_path, "ref", ids([0, 0, 1, 1])))
        assert found.scores.recall["building"] == 0.5
        assert any("(77) in 25.0 %" in note for note in found.notes)

    def test_names_only_of_the_reference_serve_both(self, tmp_path: Path) -> None:
        reference = named_map(tmp_path / "ref.tif", ids([0, 1, 4]))
        found = glnet_geo.evaluate(tif(tmp_path, "pred", ids([0, 1, 3])), reference)
        assert found.scores.iou == {"building": 1.0, "bare land": 1.0, "Wald & Wiese": 0.0}

    def test_a_given_legend_holds_for_files_with_other_names(self, tmp_path: Path) -> None:
        prediction = named_map(tmp_path / "pred.tif", ids([0, 1, 4]))
        names = ("building", "soil", "wood")
        legend = Legend(
            "own", tuple(LandCover(i, n, (i, 0, 0)) for i, n in zip((0, 1, 4), names, strict=True))
        )
        reference = named_map(tmp_path / "ref.tif", ids([0, 1, 1]), legend)
        with pytest.raises(GlnetGeoError, match=r"1 \(soil\)"):
            glnet_geo.evaluate(prediction, reference)
        found = glnet_geo.evaluate(prediction, reference, legend=legend)
        assert found.scores.iou == {"building": 1.0, "soil": 0.5, "wood": 0.0}
        assert any("1 bare land as soil" in note for note in found.notes)

    def test_very_many_values_are_no_classes(self, tmp_path: Path) -> None:
        one = tif(tmp_path, "one", np.arange(600, dtype=np.uint16)[None])
        with pytest.raises(GlnetGeoError, match="more than 254 classes"):
            glnet_geo.evaluate(one, one)


class TestColors:
    def mask(self, path: Path, labels: npt.NDArray[np.uint8], noise: int = 0) -> Path:
        table = DEEPGLOBE.rgb_table().astype(int)[labels].transpose(2, 0, 1)
        shifted = np.where(table > 128, table - noise, table + noise).astype(np.uint8)
        return write_tif(path, shifted, marks=RGB)

    def test_masks_in_the_legends_colours_count_and_unknown_does_not(self, tmp_path: Path) -> None:
        labels = ids([0, 1, 2], [3, 4, 5], [6, 6, 0])
        mask = self.mask(tmp_path / "mask.tif", labels, noise=40)
        prediction = write_tif(tmp_path / "pred.tif", np.where(labels == 6, 1, labels))
        found = glnet_geo.evaluate(prediction, mask, legend=DEEPGLOBE)
        assert found.scores.iou["barren"] == 0 and found.scores.iou["urban"] == pytest.approx(1 / 3)
        assert "unknown" not in found.scores.iou and found.ignored == {"0": 2}

    def test_without_a_legend_it_says_what_is_missing(self, tmp_path: Path) -> None:
        mask = self.mask(tmp_path / "mask.tif", ids([1, 2]))
        prediction = write_tif(tmp_path / "pred.tif", ids([1, 2]))
        with pytest.raises(GlnetGeoError, match="--legend"):
            glnet_geo.evaluate(prediction, mask)

    def test_a_colour_of_no_class_is_named(self, tmp_path: Path) -> None:
        legend = Legend("own", (LandCover(1, "a", (10, 20, 30)),))
        pixels = np.array([[[10, 10]], [[20, 21]], [[30, 30]]], np.uint8)
        mask = write_tif(tmp_path / "mask.tif", pixels, marks=RGB)
        prediction = write_tif(tmp_path / "pred.tif", ids([1, 1]))
        with pytest.raises(GlnetGeoError, match=r"#0a151e: 1 px"):
            glnet_geo.evaluate(prediction, mask, legend=legend)

    def test_masks_in_colours_are_aligned_as_ids_are(self, tmp_path: Path) -> None:
        labels = np.random.default_rng(4).integers(1, 7, (20, 24), np.uint8)
        place = Affine(0.7, 0, X + 1.1, 0, -0.7, Y - 0.9)
        table = DEEPGLOBE.rgb_table()[labels].transpose(2, 0, 1)
        mask = tif(tmp_path, "mask", table, transform=place, photometric="RGB")
        plain = tif(tmp_path, "plain", labels, transform=place)
        prediction = tif(tmp_path, "pred", np.full((20, 20), 3, np.uint8))
        with pytest.raises(GlnetGeoError, match="--align"):
            glnet_geo.evaluate(prediction, mask, legend=DEEPGLOBE)
        in_colors, in_ids = (
            glnet_geo.evaluate(prediction, one, legend=DEEPGLOBE, align=True)
            for one in (mask, plain)
        )
        assert numbers(in_colors) == numbers(in_ids) and in_colors.pairs[0].is_aligned
        assert 0 < in_colors.scores.pixels < 400  # what lies outside the mask does not count


def nearest(
    labels: npt.NDArray[np.uint8],
    place: Affine,
    crs: str,
    onto: Mapping[str, Any],
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Labels on another grid, worked out pixel by pixel; and where there are any."""
    to_crs = Transformer.from_crs(onto["crs"], crs, always_xy=True)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    x, y = onto["transform"] @ (columns.ravel() + 0.5, rows.ravel() + 0.5)
    column, row = ~place @ to_crs.transform(x, y)
    r, c = (np.floor(one).astype(int).reshape(shape) for one in (row, column))
    inside = (r >= 0) & (c >= 0) & (r < labels.shape[0]) & (c < labels.shape[1])
    return np.where(inside, labels[r * inside, c * inside], 0), inside


GRIDS = {
    "shifted": (Affine(0.5, 0, X + 4.1, 0, -0.5, Y - 3.2), "EPSG:32633"),
    "coarser": (Affine(1.3, 0, X - 2, 0, -1.3, Y + 2), "EPSG:32633"),
    "rotated": (
        Affine.translation(X + 3, Y + 4) @ Affine.rotation(30) @ Affine.scale(0.7, -0.7),
        "EPSG:32633",
    ),
    "south-up": (Affine(0.5, 0, X, 0, 0.5, Y - 20), "EPSG:32633"),
    "degrees": (Affine(7e-6, 0, 14.99999, 0, -5e-6, 45.15352), "EPSG:4326"),
}


class TestGrids:
    @pytest.mark.parametrize("kind", GRIDS)
    def test_align_takes_the_nearest_pixel(self, tmp_path: Path, kind: str) -> None:
        place, crs = GRIDS[kind]
        claimed, actual = patches(40, 36, 1), patches(40, 40, 2)
        prediction = tif(tmp_path, "pred", claimed)
        if kind == "degrees":
            x, y = Transformer.from_crs(32633, 4326, always_xy=True).transform(X, Y)
            place = Affine(place.a, 0, x + 2e-5, 0, place.e, y - 2e-5)
        reference = tif(tmp_path, "ref", actual, transform=place, crs=crs)
        with pytest.raises(GlnetGeoError, match=r"does not lie on the grid.*--align"):
            glnet_geo.evaluate(prediction, reference)
        found = glnet_geo.evaluate(prediction, reference, align=True)
        moved, inside = nearest(actual, place, crs, UTM, claimed.shape)
        expected = np.zeros((5, 5), np.int64)
        np.add.at(expected, (moved[inside], claimed[inside]), 1)
        assert inside.all() == (kind in ("coarser", "south-up")) and inside.any()
        np.testing.assert_array_equal(found.matrix.counts, expected)
        assert found.pairs[0].is_aligned and found.scores.pixels == inside.sum()

    def test_nodata_and_what_lies_outside_do_not_count(self, tmp_path: Path) -> None:
        labels = patches(20, 20, 3)
        prediction = tif(tmp_path, "pred", labels)
        place = Affine(0.5, 0, X + 5, 0, -0.5, Y)
        reference = tif(tmp_path, "ref", labels, transform=place, nodata=2)
        found = glnet_geo.evaluate(prediction, reference, align=True)
        assert found.scores.pixels == (labels[:, :10] != 2).sum()

    def test_no_overlap_is_an_error(self, tmp_path: Path) -> None:
        one = tif(tmp_path, "one", patches(9, 9))
        far = tif(tmp_path, "far", patches(9, 9), transform=Affine(0.5, 0, X + 500, 0, -0.5, Y))
        with pytest.raises(GlnetGeoError, match="does not overlap"):
            glnet_geo.evaluate(one, far, align=True)

    @pytest.mark.parametrize(
        ("profile", "words"),
        [
            ({"transform": Affine(0.5, 0, X + 1, 0, -0.5, Y)}, "2 px off"),
            ({"transform": Affine(1, 0, X, 0, -1, Y)}, "pixels of 1 x 1 instead of 0.5 x 0.5"),
            ({"crs": "EPSG:32634"}, "EPSG:32634 instead of EPSG:32633"),
        ],
    )
    def test_differences_are_said(
        self, tmp_path: Path, profile: dict[str, Any], words: str
    ) -> None:
        one, other = tif(tmp_path, "a", patches(9, 9)), tif(tmp_path, "b", patches(9, 9), **profile)
        with pytest.raises(GlnetGeoError, match=words):
            glnet_geo.evaluate(one, other)

    def test_rounded_coordinates_are_the_same_grid(self, tmp_path: Path) -> None:
        one = tif(tmp_path, "a", patches(9, 9))
        place = Affine(0.5, 0, X + 0.004, 0, -0.5, Y)
        other = tif(tmp_path, "b", patches(9, 9), transform=place)
        assert glnet_geo.evaluate(one, other).scores.accuracy == 1

    def test_a_mask_without_a_place_is_taken_pixel_for_pixel(self, tmp_path: Path) -> None:
        labels = patches(9, 9)
        mask = write_tif(tmp_path / "mask.tif", labels)
        found = glnet_geo.evaluate(tif(tmp_path, "pred", labels), mask, align=True)
        assert found.scores.accuracy == 1 and not found.pairs[0].is_aligned
        (note,) = found.notes
        assert "pixel for pixel" in note and f"{mask} has no place" in note

    @pytest.mark.parametrize(
        ("profile", "words"),
        [
            ({"crs": 'LOCAL_CS["site",UNIT["metre",1]]'}, "cannot be aligned"),
            ({"transform": Affine(1, 0, X, 1, 0, Y)}, "has no place on the ground"),
            ({"crs": "EPSG:4326", "transform": Affine(1, 0, 500, 0, -1, 500)}, "not overlap"),
        ],
    )
    def test_places_that_are_none_are_one_line(
        self, tmp_path: Path, profile: dict[str, Any], words: str
    ) -> None:
        one, other = tif(tmp_path, "a", patches(9, 9)), tif(tmp_path, "b", patches(8, 9), **profile)
        for pair in ((one, other), (other, one)):
            with pytest.raises(GlnetGeoError, match=words):
                glnet_geo.evaluate(*pair, align=True)

    def test_a_mask_of_another_size_without_a_place_cannot_be_aligned(self, tmp_path: Path) -> None:
        mask = write_tif(tmp_path / "mask.tif", patches(9, 8))
        with pytest.raises(GlnetGeoError, match=r"8 x 9 px.*cannot be\s+aligned"):
            glnet_geo.evaluate(tif(tmp_path, "pred", patches(9, 9)), mask, align=True)


class TestPolygons:
    """Building in columns 0-3, land in 4-7 of 10 columns of 0.5 m; the rest is not labelled."""

    @pytest.fixture
    def prediction(self, tmp_path: Path) -> Path:
        labels = np.ones((6, 10), np.uint8)
        labels[:, :5] = 0
        return named_map(tmp_path / "pred.tif", labels)

    def frame(self, classes: list[Any], field: str = "class") -> geopandas.GeoDataFrame:
        boxes = [shapely.box(X, Y - 3, X + 2, Y), shapely.box(X + 2, Y - 3, X + 4, Y)]
        return geopandas.GeoDataFrame({field: classes}, geometry=boxes, crs="EPSG:32633")

    def write(self, frame: geopandas.GeoDataFrame, path: Path, **options: Any) -> Path:
        frame.to_file(path, **options)
        return path

    @pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:3857"])
    @pytest.mark.parametrize("classes", [["building", "Bare Land"], [0, 1], ["0", "1"]])
    def test_names_and_ids_in_any_crs(
        self, tmp_path: Path, prediction: Path, crs: str, classes: list[Any]
    ) -> None:
        path = self.write(self.frame(classes).to_crs(crs), tmp_path / "ref.gpkg")
        found = glnet_geo.evaluate(prediction, path)
        assert found.matrix.counts.tolist() == [[24, 0, 0], [6, 18, 0], [0, 0, 0]]

    def test_a_field_and_a_layer_may_be_chosen(self, tmp_path: Path, prediction: Path) -> None:
        path, frame = tmp_path / "ref.gpkg", self.frame([0, 1], "lc").assign(note="x")
        self.write(frame, path, layer="labels")
        self.write(frame, path, layer="others")
        with pytest.raises(GlnetGeoError, match=r"labels, others.*--layer"):
            glnet_geo.evaluate(prediction, path)
        with pytest.raises(GlnetGeoError, match=r"lc, note.*--attribute"):
            glnet_geo.evaluate(prediction, path, layer="labels")
        found = glnet_geo.evaluate(prediction, path, layer="labels", attribute="lc")
        assert found.scores.pixels == 48
        with pytest.raises(GlnetGeoError, match="no field 'height'"):
            glnet_geo.evaluate(prediction, path, layer="labels", attribute="height")

    def test_of_several_fields_a_usual_one_with_nothing_but_classes_is_taken(
        self, tmp_path: Path, prediction: Path
    ) -> None:
        frame = self.frame(["building", "Bare  land"], "Label").assign(id=[7, 8], note="x")
        path = self.write(frame, tmp_path / "ref.gpkg")
        found = glnet_geo.evaluate(prediction, path)
        assert found.matrix.counts.tolist() == [[24, 0, 0], [6, 18, 0], [0, 0, 0]]
        assert f"{path}: the field 'Label' says the classes" in found.notes
        assert (
            found.table.tolist()
            == glnet_geo.evaluate(prediction, path, attribute="label").table.tolist()
        )
        other = self.write(frame.replace("building", "hut"), tmp_path / "other.gpkg")
        with pytest.raises(GlnetGeoError, match=r"Label, id, note.*--attribute"):
            glnet_geo.evaluate(prediction, other)

    def test_a_class_between_two_polygons_of_another_is_seen(
        self, tmp_path: Path, prediction: Path
    ) -> None:
        frame = self.frame(["building", "bare land"])
        frame.loc[1, "geometry"] = shapely.box(X + 1, Y - 3, X + 2, Y)
        frame.loc[2] = ["building", shapely.box(X, Y - 3, X + 4, Y)]
        found = glnet_geo.evaluate(prediction, self.write(frame, tmp_path / "ref.gpkg"))
        assert found.matrix.counts[0].tolist() == [18, 18, 0] and found.scores.pixels == 36

    def test_unknown_names_are_said_and_may_be_ignored(
        self, tmp_path: Path, prediction: Path
    ) -> None:
        path = self.write(self.frame(["building", "Teich"]), tmp_path / "ref.geojson")
        with pytest.raises(GlnetGeoError, match="Teich: 24 px"):
            glnet_geo.evaluate(prediction, path)
        found = glnet_geo.evaluate(prediction, path, ignore=["teich"])
        assert found.scores.pixels == 24 and found.ignored == {"Teich": 24}

    def test_names_need_a_prediction_that_has_some(self, tmp_path: Path) -> None:
        plain = tif(tmp_path, "plain", np.zeros((6, 10), np.uint8))
        path = self.write(self.frame(["building", "bare land"]), tmp_path / "ref.gpkg")
        with pytest.raises(GlnetGeoError, match=r"by name, and .*plain.tif has no names.*--legend"):
            glnet_geo.evaluate(plain, path)
        found = glnet_geo.evaluate(plain, path, legend=NAMED)
        assert found.matrix.counts.tolist() == [[24, 0, 0], [24, 0, 0], [0, 0, 0]]

    def test_ids_may_come_as_floats(self, tmp_path: Path, prediction: Path) -> None:
        frame = self.frame([0.0, None])
        found = glnet_geo.evaluate(prediction, self.write(frame, tmp_path / "ref.gpkg"))
        assert found.scores.pixels == 24

    def test_where_classes_overlap_nobody_is_right(self, tmp_path: Path, prediction: Path) -> None:
        frame = self.frame(["building", "bare land"])
        frame.loc[1, "geometry"] = shapely.box(X + 1, Y - 3, X + 4, Y)
        found = glnet_geo.evaluate(prediction, self.write(frame, tmp_path / "ref.gpkg"))
        assert found.scores.pixels == 36
        assert any("12 px in polygons of several classes" in note for note in found.notes)

    def test_multipolygons_count_and_rows_without_class_or_shape_do_not(
        self, tmp_path: Path, prediction: Path
    ) -> None:
        frame = self.frame(["building", "bare land"])
        frame.loc[0, "geometry"] = shapely.MultiPolygon(
            [shapely.box(X, Y - 3, X + 1, Y), shapely.box(X + 1, Y - 3, X + 2, Y)]
        )
        frame.loc[2] = [None, shapely.box(X + 4, Y - 3, X + 5, Y)]
        frame.loc[3] = ["building", None]
        found = glnet_geo.evaluate(prediction, self.write(frame, tmp_path / "ref.gpkg"))
        assert found.matrix.counts.tolist() == [[24, 0, 0], [6, 18, 0], [0, 0, 0]]

    def test_polygons_elsewhere_and_empty_layers_are_errors(
        self, tmp_path: Path, prediction: Path
    ) -> None:
        far = self.frame([0, 1])
        far.geometry = far.translate(1000)
        with pytest.raises(GlnetGeoError, match="overlap"):
            glnet_geo.evaluate(prediction, self.write(far, tmp_path / "far.gpkg"))
        with pytest.raises(GlnetGeoError, match=r"empty\.gpkg has no polygons"):
            glnet_geo.evaluate(prediction, self.write(far[:0], tmp_path / "empty.gpkg"))

    def test_a_raster_has_no_fields(self, prediction: Path) -> None:
        with pytest.raises(GlnetGeoError, match="--attribute"):
            glnet_geo.evaluate(prediction, prediction, attribute="class")


class TestSeveral:
    def test_folders_are_pooled(self, tmp_path: Path) -> None:
        here, there = tmp_path / "pred", tmp_path / "ref"
        here.mkdir(), there.mkdir()
        claims, truths = [], []
        for k in range(3):
            claims.append(patches(20 + k, 15, k))
            truths.append(patches(20 + k, 15, k + 9))
            place = Affine(0.5, 0, X + 100 * k, 0, -0.5, Y)
            tif(here, f"{k}", claims[-1], transform=place)
            tif(there, f"{k}_gt", truths[-1], transform=place)
        tif(here, "lonely", claims[0])
        found = glnet_geo.evaluate(here, there)
        expected = np.zeros((5, 5), np.int64)
        for claimed, actual in zip(claims, truths, strict=True):
            np.add.at(expected, (actual, claimed), 1)
        np.testing.assert_array_equal(found.matrix.counts, expected)
        assert [one.pixels for one in found.pairs] == [300, 315, 330]
        assert found.all_pixels == found.scores.pixels == 945
        assert any("Without a partner" in note and "lonely" in note for note in found.notes)
        one = glnet_geo.evaluate(here / "1.tif", there / "1_gt.tif")
        assert found.pairs[1].mean_iou == one.scores.mean_iou

    def test_ground_that_counts_twice_is_said(self, tmp_path: Path) -> None:
        table = ["prediction,reference"]
        for k in range(2):
            place = Affine(0.5, 0, X + 2 * k, 0, -0.5, Y)
            tif(tmp_path, str(k), patches(10, 10, k), transform=place)
            table.append(f"{k}.tif,{k}.tif")
        (tmp_path / "pairs.csv").write_text("\n".join(table))
        found = glnet_geo.evaluate(tmp_path / "pairs.csv")
        assert found.scores.accuracy == 1 and len(found.pairs) == 2
        assert any("overlap in about 60 px" in note for note in found.notes)

    def test_turned_neighbours_do_not_overlap(self, tmp_path: Path) -> None:
        turned = Affine.translation(X, Y) @ Affine.rotation(30) @ Affine.scale(0.5, -0.5)
        table = ["prediction,reference"]
        for name, place in (("a", turned), ("b", turned @ Affine.translation(10, 0))):
            tif(tmp_path, name, patches(10, 10), transform=place)
            table.append(f"{name}.tif,{name}.tif")
        (tmp_path / "pairs.csv").write_text("\n".join(table))
        assert glnet_geo.evaluate(tmp_path / "pairs.csv").notes == ()

    def test_maps_that_number_their_classes_differently_need_a_legend(self, tmp_path: Path) -> None:
        other = Legend("other", (LandCover(0, "water", (0, 0, 1)),))
        named_map(tmp_path / "a.tif", ids([0]))
        named_map(tmp_path / "b.tif", ids([0]), other)
        (tmp_path / "pairs.csv").write_text("prediction,reference\na.tif,a.tif\nb.tif,b.tif\n")
        with pytest.raises(GlnetGeoError, match=r"0 building.*0 water.*--legend"):
            glnet_geo.evaluate(tmp_path / "pairs.csv")


def test_the_tolerance_may_be_on_the_ground(tmp_path: Path) -> None:
    actual = np.repeat([[0, 1]], 5, axis=1).repeat(10, axis=0).astype(np.uint8)
    claimed = np.roll(actual, 2, axis=1)
    claimed[:, :2] = 0
    pair = tif(tmp_path, "pred", claimed), tif(tmp_path, "ref", actual)
    within = {
        text: glnet_geo.evaluate(*pair, boundary_tolerance=length).boundary.mean
        for text, length in {"1m": Length(1, "m"), "90cm": Length(0.9, "m")}.items()
    }
    assert within == {"1m": 1.0, "90cm": 0.0}


def test_a_long_list_of_classes_still_makes_a_picture(tmp_path: Path) -> None:
    one = tif(tmp_path, "one", np.arange(26, dtype=np.uint8)[None])
    glnet_geo.evaluate(one, one, output=tmp_path / "scores.json")
    with Image.open(tmp_path / "scores.png") as picture:
        assert max(picture.size) < 10_000


@pytest.mark.slow
def test_memory_follows_a_strip(tmp_path: Path) -> None:
    profile = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    labels = np.kron(patches(1250, 1250), np.ones((8, 8), np.uint8))
    prediction = tif(tmp_path, "pred", labels, **profile)
    reference = tif(tmp_path, "ref", np.roll(labels, 3, axis=1), **profile)
    command = [sys.executable, "-m", "glnet_geo", "evaluate", str(prediction), str(reference)]
    result = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    found = json.loads(result.stdout)
    assert found["pixels"] == 10**8 and found["seconds"] < 60
    assert found["peak_bytes"] < 10**9
