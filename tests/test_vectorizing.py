"""Class rasters of every kind to polygons: what comes out, and what it does not depend on."""

from __future__ import annotations

import logging
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import Geod
from rasterio.shutil import copy as copy_raster

from glnet_geo import class_rows
from glnet_geo.class_raster import ClassRaster
from glnet_geo.class_table import palette_color
from glnet_geo.errors import OutputError, RasterError
from glnet_geo.outputs import work_folder
from glnet_geo.units import Area, Length
from glnet_geo.vector_output import PolygonFile
from glnet_geo.vectorizing import Generalisation, vectorize
from tests.class_maps import (
    NAMED,
    check_exact,
    check_same,
    ids,
    metadata_of,
    patches,
    read_polygons,
    style_of,
    town,
)
from tests.rasters import UTM, noise, placed_tif, write_tif

PIXEL = 0.25  # square metres, as `UTM` has it


@pytest.fixture
def tif(tmp_path: Path) -> Path:
    return tmp_path / "map.tif"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "map.gpkg"


def made(raster: Path | str, output: Path | None = None, **options: Any) -> geopandas.GeoDataFrame:
    """The polygons of a raster, in a GeoPackage beside it unless `output` says otherwise."""
    output = output or Path(raster).with_suffix(".gpkg")
    vectorize(raster, output, overwrite=True, **options)
    return read_polygons(output)


def generalised(raster: Path, **values: Any) -> geopandas.GeoDataFrame:
    return made(raster, generalisation=Generalisation(**values))


def pixels_by_class(labels: npt.NDArray[Any]) -> dict[int, int]:
    values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def spiral(side: int) -> npt.NDArray[np.uint8]:
    """One region as long as can be, and another one beside it all the way."""
    labels = np.ones((side, side), np.uint8)
    row, column, step = 0, -1, (0, 1)
    for length in [side, *(k for k in range(side - 1, 1, -2) for _ in range(2))]:
        for _ in range(length):
            row, column = row + step[0], column + step[1]
            labels[row, column] = 2
        step = step[1], -step[0]
    return labels


KNOWN = {
    "one class": np.full((9, 11), 3, np.uint8),
    "around nodata": ids([1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 2, 1], [1, 1, 1, 1]),
    "two holes that touch": ids(
        [1, 1, 1, 1, 1], [1, 2, 1, 1, 1], [1, 1, 2, 1, 1], [1, 1, 1, 0, 1], [1, 1, 1, 1, 1]
    ),
    "spiral": spiral(23),
    "checkerboard": np.indices((21, 30)).sum(axis=0).astype(np.uint8) % 2 + 1,
    "one pixel": ids([7]),
    "one row": ids([1, 1, 0, 2, 1, 2, 2]),
    "one column": ids([1, 1, 0, 2, 1, 2, 2]).T,
}


class TestExactPolygons:
    @pytest.mark.parametrize("connectivity", [4, 8])
    @pytest.mark.parametrize("case", KNOWN)
    def test_known_cases(
        self, tif: Path, monkeypatch: pytest.MonkeyPatch, case: str, connectivity: int
    ) -> None:
        placed_tif(tif, KNOWN[case], nodata=0, blockysize=1)
        found = generalised(tif, connectivity=connectivity)
        check_exact(tif, found, connectivity)
        monkeypatch.setattr(class_rows, "_STRIP", 1)
        check_same(generalised(tif, connectivity=connectivity), found)

    @settings(max_examples=15, deadline=None)
    @given(
        labels=hnp.arrays(
            np.uint8,
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
            elements=st.integers(0, 3),
        ),
        connectivity=st.sampled_from([4, 8]),
        strip=st.integers(1, 40),
    )
    def test_random_rasters(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        labels: npt.NDArray[np.uint8],
        connectivity: int,
        strip: int,
    ) -> None:
        raster = tmp_path_factory.mktemp("random") / "map.tif"
        placed_tif(raster, labels, nodata=0, blockysize=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(class_rows, "_STRIP", strip)
            found = generalised(raster, connectivity=connectivity)
        check_exact(raster, found, connectivity)
        assert found.groupby("class_id").area_m2.sum().to_dict() == {
            one: count * PIXEL for one, count in pixels_by_class(labels[labels > 0]).items()
        }

    def test_a_map_with_everything(self, tif: Path) -> None:
        placed_tif(tif, patches(90, 100), nodata=0)
        found = made(tif)
        check_exact(tif, found)
        assert list(found.columns) == ["class_id", "class", "area_m2", "perimeter_m", "geometry"]
        assert found.crs == UTM["crs"] and set(found.geom_type) == {"Polygon"}
        assert (found.area_m2 == found.area).all()
        np.testing.assert_allclose(found.perimeter_m, found.length, rtol=1e-12)

    def test_areas_are_pixels_times_the_area_of_one(self, tif: Path) -> None:
        side = 0.3  # 0.09 has no end as a binary number
        transform = Affine(side, 0, 500_000, 0, -side, 5_000_000)
        placed_tif(tif, patches(80, 90), nodata=0, transform=transform)
        found = made(tif)
        with ClassRaster(tif) as raster:
            area = abs(raster.grid.transform.determinant)
        assert (found.area_m2 == np.rint(found.area / area) * area).all()

    def test_what_the_summary_says(self, tif: Path, output: Path) -> None:
        labels = patches(60, 70)
        placed_tif(tif, labels, nodata=0)
        rows = []
        summary = vectorize(tif, output, report=lambda done, total: rows.append((done, total)))
        found = read_polygons(output)
        assert rows[-1] == (60, 60)
        assert summary.polygons == len(found) and summary.layers == ("landcover",)
        counts = {one.land_cover.id: one.polygons for one in summary.totals}
        assert counts == found.class_id.value_counts().to_dict()
        areas = {one.land_cover.id: one.area / PIXEL for one in summary.totals}
        assert areas == pixels_by_class(labels[labels > 0])
        rings = shapely.get_num_interior_rings(found.geometry.values).sum() + len(found)
        assert summary.vertices == shapely.get_num_coordinates(found.geometry.values).sum() - rings
        assert (summary.unit, summary.area_rule) == ("m", "planar in EPSG:32633")


PLACES = {
    "rotated": Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(2, -2),
    "south-up": Affine(0.5, 0, 500_000, 0, 0.5, 5_000_000),
    "sheared": Affine(2, 0.7, 500_000, 0.3, -1, 5_000_000),
    "mirrored": Affine(-0.5, 0, 500_000, 0, -0.5, 5_000_000),
}


class TestGrids:
    @pytest.mark.parametrize("place", PLACES)
    def test_transforms_of_every_kind(self, tif: Path, place: str) -> None:
        labels = patches(40, 50)
        placed_tif(tif, labels, nodata=0, transform=PLACES[place])
        found = made(tif)
        check_exact(tif, found)
        assert found.geometry.apply(lambda one: one.exterior.is_ccw).all()
        np.testing.assert_allclose(found.area_m2, found.area, rtol=1e-7)
        np.testing.assert_allclose(found.perimeter_m, found.length, rtol=1e-7)
        area = abs(PLACES[place].determinant)
        for one, count in pixels_by_class(labels[labels > 0]).items():
            total = found.area_m2[found.class_id == one].sum()
            assert total == pytest.approx(count * area, rel=1e-13)

    def test_feet_are_not_metres(self, tif: Path) -> None:
        placed_tif(tif, ids([1, 1, 2]), crs="EPSG:2263", transform=Affine(10, 0, 9e5, 0, -10, 2e5))
        found, foot = made(tif).set_index("class_id"), 1200 / 3937
        np.testing.assert_allclose(found.area_m2.loc[[1, 2]], np.array([200, 100]) * foot**2)
        np.testing.assert_allclose(found.perimeter_m.loc[[1, 2]], np.array([60, 40]) * foot)

    @pytest.mark.parametrize("tolerance", [None, Length(1.5, "px")])
    @pytest.mark.parametrize(
        ("crs", "transform"),
        [
            ("EPSG:4326", Affine(2e-5, 0, 8.5, 0, -1e-5, 60.2)),
            ("EPSG:4326", Affine(1e-3, 0, -70.0, 0, 1e-3, -33.0)),
            ("EPSG:3857", Affine(2.0, 0, 950_000, 0, -2.0, 8_400_000)),
        ],
    )
    def test_areas_on_the_globe(
        self, tif: Path, output: Path, crs: str, transform: Affine, tolerance: Length | None
    ) -> None:
        placed_tif(tif, patches(60, 70), nodata=0, crs=crs, transform=transform)
        found = generalised(tif, simplify=tolerance)
        if tolerance is None:
            check_exact(tif, found)
        # Straight edges on the map are no geodesics, but short ones nearly are.
        degrees = found.segmentize(transform.a / 2).to_crs("EPSG:4326")
        geod, precision = Geod(ellps="WGS84"), {"rtol": 1e-5, "atol": 1e-4}
        areas = [abs(geod.geometry_area_perimeter(one)[0]) for one in degrees.geometry]
        lengths = [geod.geometry_length(one) for one in degrees.boundary]
        np.testing.assert_allclose(found.area_m2, areas, **precision)
        np.testing.assert_allclose(found.perimeter_m, lengths, **precision)
        middle = shapely.box(*degrees.total_bounds).centroid
        laea = f"+proj=laea +lat_0={middle.y} +lon_0={middle.x} +datum=WGS84"
        np.testing.assert_allclose(found.area_m2, degrees.to_crs(laea).area, **precision)
        rule = metadata_of(output)["areas"]
        place = f"{abs(middle.y):.2f} {'NS'[middle.y < 0]}, {abs(middle.x):.2f} "
        assert rule == f"equal-area (LAEA at {place}{'EW'[middle.x < 0]})"

    def test_without_a_crs_pixels_are_the_unit(self, tif: Path, output: Path) -> None:
        write_tif(tif, ids([1, 1, 2], [1, 2, 2]), nodata=0)
        found = generalised(tif, min_area=Area(2, "px"))
        assert list(found.columns) == ["class_id", "class", "area_px", "perimeter_px", "geometry"]
        assert found.crs is None and found.area_px.tolist() == [3, 3]
        assert found.perimeter_px.tolist() == [8, 8]
        assert metadata_of(output)["areas"] == "pixels"
        assert found.total_bounds.tolist() == [0, 0, 3, 2]

    def test_without_a_crs_the_transform_holds(self, tif: Path) -> None:
        write_tif(tif, ids([1, 2]), transform=Affine(3, 0, 100, 0, -3, 50))
        found = made(tif)
        assert found.crs is None and found.total_bounds.tolist() == [100, 47, 106, 50]
        assert found.area_px.tolist() == [1, 1]

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"min_area": Area(5, "m2")}, "Give --min-area in pixels, such as 100px"),
            ({"fill_holes": Area(5, "m2")}, "Give --fill-holes in pixels, such as 100px"),
            ({"simplify": Length(5, "m")}, "Give --simplify in pixels, such as 2px"),
        ],
    )
    def test_metres_of_pixels_without_a_size(
        self, tif: Path, values: dict[str, Any], message: str
    ) -> None:
        write_tif(tif, ids([1, 2]))
        with pytest.raises(RasterError, match=message):
            generalised(tif, **values)
        assert [*tif.parent.iterdir()] == [tif]


class TestClasses:
    def test_a_foreign_raster_is_called_by_its_ids(self, tif: Path, output: Path) -> None:
        placed_tif(tif, ids([-5, -5, 300], [-9999, 0, 300], dtype="int16"), nodata=-9999)
        found = made(tif).set_index("class_id")
        assert found["class"].to_dict() == {-5: "-5", 0: "0", 300: "300"}
        assert found.area_m2.to_dict() == {-5: 0.5, 0: 0.25, 300: 0.5}
        assert style_of(output) == {str(one): palette_color(one) for one in (-5, 0, 300)}

    @pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint32", "int64"])
    def test_ids_of_every_type(self, tif: Path, dtype: str) -> None:
        largest = int(np.iinfo(dtype).max)
        placed_tif(tif, np.array([[1, largest - 1, largest]], dtype), nodata=1)
        assert made(tif).class_id.tolist() == [largest - 1, largest]

    def test_colours_of_the_table(self, tif: Path, output: Path) -> None:
        placed_tif(tif, ids([1, 2]))
        with rasterio.open(tif, "r+") as dataset:
            dataset.write_colormap(1, {1: (9, 8, 7, 255), 2: (200, 100, 50, 255)})
        made(tif)
        assert style_of(output) == {"1": (9, 8, 7), "2": (200, 100, 50)}

    def test_a_map_of_our_own_keeps_names_and_colours(self, tif: Path, output: Path) -> None:
        found = made(town(tif))
        check_exact(tif, found)
        pairs = set(zip(found.class_id, found["class"], strict=True))
        assert pairs == {(one.id, one.name) for one in NAMED.classes}
        assert style_of(output) == {one.name: one.rgb for one in NAMED.classes}
        known = {"source": "map.tif", "scene": "scene.tif", "model": "dubai-urban 1.0"}
        assert metadata_of(output).items() >= {**known, "model_sha256": "ab12"}.items()
        assert "bands" not in metadata_of(output)

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"classes": ["building"]}, {0}),
            ({"classes": ["BUILDING, 4"]}, {0, 4}),
            ({"classes": ["wald & wiese", "1"]}, {1, 4}),
            ({"exclude": ["building,bare  land"]}, {4}),
            ({"classes": ["0,1"], "exclude": ["1"]}, {0}),
            ({"exclude": ["77", "-3"]}, {0, 1, 4}),
        ],
    )
    def test_some_of_them(
        self, tif: Path, output: Path, options: dict[str, list[str]], expected: set[int]
    ) -> None:
        everything = made(town(tif))
        found = made(tif, **options)
        chosen = everything[everything.class_id.isin(expected)].reset_index(drop=True)
        check_same(found, chosen)
        assert set(style_of(output)) == set(chosen["class"])

    def test_classes_that_are_left_out_still_take_in_small_regions(self, tif: Path) -> None:
        placed_tif(tif, ids([1, 1, 1], [1, 2, 3], [1, 1, 3]))
        found = made(tif, exclude=["1"], generalisation=Generalisation(min_area=Area(2, "px")))
        assert found[["class_id", "area_m2"]].to_numpy().tolist() == [[3, 2 * PIXEL]]

    @pytest.mark.parametrize("option", ["classes", "exclude"])
    def test_an_unknown_one_is_answered_with_those_there_are(self, tif: Path, option: str) -> None:
        expected = r"no class 'lake'\. It has building; bare land; Wald & Wiese\. Ids are"
        with pytest.raises(RasterError, match=expected):
            made(town(tif), **{option: ["building,lake"]})
        with pytest.raises(RasterError, match="have no names: give their ids"):
            made(placed_tif(tif, ids([1, 2])), **{option: ["lake"]})

    def test_the_band_that_is_asked_for(self, tif: Path) -> None:
        placed_tif(tif, np.stack([ids([1, 1]), ids([2, 3])]), photometric="minisblack")
        assert made(tif, band=2).class_id.tolist() == [2, 3]

    @pytest.mark.parametrize("generalisation", [Generalisation(), Generalisation(8, Area(3, "px"))])
    def test_dissolved_ones_are_one_multipolygon_each(
        self, tif: Path, generalisation: Generalisation
    ) -> None:
        placed_tif(tif, patches(60, 70), nodata=0)
        parts = made(tif, generalisation=generalisation)
        found = made(tif, dissolve=True, generalisation=generalisation).set_index("class_id")
        assert found.index.tolist() == [1, 2, 3, 4]
        assert set(found.geom_type) == {"MultiPolygon"} and found.geometry.is_valid.all()
        assert shapely.coverage_is_valid(found.geometry.values)
        by_class = parts.groupby("class_id")
        assert found.area_m2.equals(by_class.area_m2.sum()) and (found.area_m2 == found.area).all()
        np.testing.assert_allclose(found.perimeter_m, by_class.perimeter_m.sum())
        for one, geometry in found.geometry.items():
            pieces = parts.geometry[parts.class_id == one]
            assert geometry.equals(shapely.union_all(pieces.to_numpy()))

    def test_all_nodata_is_an_empty_layer(
        self, tif: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        placed_tif(tif, np.zeros((5, 7), np.uint8), nodata=0)
        everything = Generalisation(8, Area(5, "px"), Area(5, "px"), Length(1, "px"))
        for options in ({}, {"dissolve": True, "generalisation": everything}):
            caplog.clear()
            found = made(tif, **options)
            assert len(found) == 0 and found.crs == UTM["crs"] and "area_m2" in found
            assert [one.message for one in caplog.records if one.levelno == logging.WARNING] == [
                f"{tif} has nothing to make polygons of. The layer is empty."
            ]


class TestGeneralisation:
    @pytest.mark.parametrize("connectivity", [4, 8])
    def test_no_region_is_smaller_but_those_in_nodata(self, tif: Path, connectivity: int) -> None:
        labels = patches(90, 100)
        labels[:, 40:50] = labels[:, 60:70] = 0
        labels[10:80:9, 45] = 2
        placed_tif(tif, labels, nodata=0)
        exact = generalised(tif, connectivity=connectivity)
        found = generalised(tif, connectivity=connectivity, min_area=Area(20, "px"))
        assert shapely.coverage_is_valid(found.geometry.values) and found.geometry.is_valid.all()
        assert found.area_m2.sum() == exact.area_m2.sum(), "nodata stays nodata"
        is_small = found.area_m2 < 20 * PIXEL
        assert is_small.any() and len(found) < len(exact) / 2
        reach = 0.1 if connectivity == 8 else 0.0
        for one in found.geometry[is_small]:
            around = found.geometry.intersection(one.buffer(reach, join_style="mitre"))
            assert (around.length > 0).sum() == 1, "it has a neighbour"

    def test_by_hand(self, tif: Path) -> None:
        placed_tif(tif, ids([1, 1, 1, 2], [1, 3, 2, 2], [4, 4, 2, 2]), nodata=0)
        found = generalised(tif, min_area=Area(3, "px"))
        # The 3 goes to class 1 with two edges of four; then the 4s, smaller than 3, do.
        assert found.groupby("class_id").area_m2.sum().to_dict() == {1: 7 * PIXEL, 2: 5 * PIXEL}

    def test_the_units_are_of_one_mind(self, tif: Path, output: Path) -> None:
        placed_tif(tif, patches(60, 70), nodata=0)
        found = generalised(tif, min_area=Area(20, "px"), fill_holes=Area(40, "px"))
        check_same(generalised(tif, min_area=Area(5, "m2"), fill_holes=Area(10, "m2")), found)
        assert metadata_of(output)["min_area"] == "5 m2"
        check_same(
            generalised(tif, simplify=Length(1, "m")), generalised(tif, simplify=Length(2, "px"))
        )
        assert metadata_of(output)["simplify"] == "2 px"

    def test_exactly_as_large_is_large_enough(self, tif: Path) -> None:
        side = 0.6
        transform = Affine(side, 0, 500_000, 0, -side, 5_000_000)
        labels = np.ones((30, 30), np.uint8)
        labels[5:15, 5:15] = 2
        placed_tif(tif, labels, transform=transform)
        for limit, expected in ((Area(36, "m2"), 2), (Area(36.01, "m2"), 1)):
            assert len(generalised(tif, min_area=limit)) == expected
            assert len(generalised(tif, fill_holes=limit)) == expected

    def test_square_metres_on_the_globe(self, tif: Path) -> None:
        transform = Affine(1e-3, 0, 10.0, 0, -1e-1, 85.0)  # pixels grow fourfold to the south
        placed_tif(tif, patches(100, 90), nodata=0, crs="EPSG:4326", transform=transform)
        exact = made(tif)
        limit = float(exact.area_m2.quantile(0.9))
        found = generalised(tif, min_area=Area(limit, "m2"))
        assert found.area_m2.sum() == pytest.approx(exact.area_m2.sum(), rel=1e-12)
        assert shapely.coverage_is_valid(found.geometry.values)
        assert len(found) < 0.3 * len(exact)
        everything = found.geometry.to_numpy()
        for one in found.geometry[found.area_m2 < limit]:
            touching = shapely.length(shapely.intersection(everything, one)) > 0
            assert touching.sum() == 1, "it has a neighbour"

    def test_holes_go_with_all_that_is_in_them(self, tif: Path) -> None:
        labels = ids(
            [1, 1, 1, 1, 1, 1, 2],
            [1, 0, 2, 1, 3, 1, 2],
            [1, 2, 2, 1, 1, 0, 2],
            [1, 1, 1, 1, 1, 1, 2],
            [0, 0, 1, 1, 1, 1, 2],
        )
        placed_tif(tif, labels, nodata=0)
        exact = made(tif)
        check_same(generalised(tif, fill_holes=Area(4, "px")), exact)
        # The 3 lies in no hole: it touches what is outside in a corner.
        found = generalised(tif, fill_holes=Area(5, "px")).set_index("class_id")
        assert (found.area_m2 / PIXEL).to_dict() == {1: 22 + 4, 2: 5, 3: 1}
        assert (found.area_m2 == found.area).all()

    def test_holes_that_touch_are_one(self, tif: Path) -> None:
        placed_tif(tif, KNOWN["two holes that touch"], nodata=0)
        check_same(generalised(tif, fill_holes=Area(3, "px")), made(tif))
        found = generalised(tif, fill_holes=Area(4, "px"))
        assert found.area_m2.tolist() == [25 * PIXEL] and found.geometry[0].length == 10

    @pytest.mark.parametrize("connectivity", [4, 8])
    def test_simplified_borders_leave_no_gaps(self, tif: Path, connectivity: int) -> None:
        labels = patches(120, 130, classes=4) + 1
        placed_tif(tif, labels)
        exact = generalised(tif, connectivity=connectivity)
        found = generalised(tif, connectivity=connectivity, simplify=Length(1.5, "px"))
        assert len(found) == len(exact) and found.class_id.equals(exact.class_id)
        assert found.geometry.is_valid.all() and (found.area > 0).all()
        assert shapely.coverage_is_valid(found.geometry.values)
        assert found.area.sum() == exact.area.sum() == labels.size * PIXEL
        coordinates = [shapely.get_num_coordinates(one.geometry).sum() for one in (found, exact)]
        assert coordinates[0] < 0.8 * coordinates[1]
        np.testing.assert_allclose(found.area_m2, found.area, rtol=1e-12)
        np.testing.assert_allclose(found.perimeter_m, found.length, rtol=1e-12)

    def test_parts_that_touch_in_corners_are_one_feature_on_request(self, tif: Path) -> None:
        placed_tif(tif, patches(60, 70), nodata=0)
        found = generalised(tif, connectivity=8)
        check_exact(tif, found, connectivity=8)
        assert set(found.geom_type) == {"MultiPolygon"}
        counts = shapely.get_num_geometries(found.geometry.values)
        assert counts.max() > 1 and counts.sum() == len(made(tif))

    def test_the_layer_says_what_was_done(self, tif: Path, output: Path) -> None:
        placed_tif(tif, ids([1, 2, 3]))
        limit, hole, tolerance = Area(1_234_567.0, "m2"), Area(0.5, "px"), Length(0.1, "m")
        made(
            tif,
            generalisation=Generalisation(8, limit, hole, tolerance),
            classes=["3,2"],
            exclude=["1"],
        )
        metadata = metadata_of(output)
        assert re.fullmatch(r"glnet-geo \d.*", metadata.pop("software"))
        assert metadata == {
            "source": "map.tif",
            "areas": "planar in EPSG:32633",
            "connectivity": "8",
            "min_area": "1234567 m2",
            "fill_holes": "0.5 px",
            "simplify": "0.1 m",
            "classes": "2,3",
            "exclude": "1",
        }


class TestConfidence:
    def test_means_by_hand(self, tif: Path, tmp_path: Path) -> None:
        placed_tif(tif, ids([1, 1, 2, 3], [1, 2, 2, 0]), nodata=0)
        values = np.array([[10, 20, 30, 255], [60, 40, 255, 99]], np.uint8)
        confidence = placed_tif(tmp_path / "c.tif", values, nodata=255)
        found = made(tif, confidence=confidence).set_index("class_id").confidence
        assert found.loc[1] == 30 and found.loc[2] == 35
        assert np.isnan(found.loc[3]), "none of its pixels has a value"

    def test_floats_with_nan(self, tif: Path, tmp_path: Path) -> None:
        placed_tif(tif, ids([1, 1, 2]))
        values = np.array([[0.5, np.nan, np.nan]], np.float32)
        confidence = placed_tif(tmp_path / "c.tif", values, nodata=np.nan)
        assert made(tif, confidence=confidence).confidence.tolist()[0] == 0.5

    @pytest.mark.parametrize("strip", [1, 10_000_000])
    def test_it_goes_where_the_pixels_go(
        self, tif: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip: int
    ) -> None:
        monkeypatch.setattr(class_rows, "_STRIP", strip)
        labels = ids([1, 1, 2, 1], [3, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1])
        values = np.arange(16.0).reshape(4, 4)
        placed_tif(tif, labels, nodata=0, blockysize=1)
        confidence = placed_tif(tmp_path / "c.tif", values)
        sieved = generalised_with(tif, confidence, min_area=Area(2, "px"))
        assert sieved.confidence.tolist() == [values[labels > 0].mean()]
        filled = generalised_with(tif, confidence, fill_holes=Area(2, "px"))
        # Pixels without a class do not count, although the hole is the polygon's now.
        assert filled.set_index("class_id").confidence.to_dict() == {
            1: values[labels == 1].mean(),
            2: 2,
            3: 4,
        }

    def test_of_features_in_several_parts(self, tif: Path, tmp_path: Path) -> None:
        labels = patches(60, 70)
        values = np.random.default_rng(1).integers(0, 200, labels.shape, np.uint8)
        placed_tif(tif, labels, nodata=0)
        confidence = placed_tif(tmp_path / "c.tif", values)
        found = made(tif, confidence=confidence, dissolve=True).set_index("class_id")
        expected = {one: values[labels == one].mean() for one in (1, 2, 3, 4)}
        assert found.confidence.to_dict() == pytest.approx(expected, rel=1e-14)

    @pytest.mark.parametrize(
        ("shape", "change", "message"),
        [
            ((4, 5), {}, "has 5 x 4 px, .* 4 x 4 px. They must lie on the same grid"),
            ((2, 4, 4), {"photometric": "minisblack"}, "has 2 bands; one is needed"),
            ((4, 4), {"crs": "EPSG:32634"}, "does not lie on the grid of"),
            ((4, 4), {"transform": Affine(0.5, 0, 500_001, 0, -0.5, 5e6)}, "does not lie on"),
            ((4, 4), {"transform": Affine(0.5, 0, 500_000, 0, 0.5, 5e6)}, "does not lie on"),
        ],
    )
    def test_another_grid_is_refused(
        self, tif: Path, tmp_path: Path, shape: tuple[int, ...], change: Any, message: str
    ) -> None:
        placed_tif(tif, np.ones((4, 4), np.uint8))
        confidence = placed_tif(tmp_path / "c.tif", np.ones(shape, np.uint8), **change)
        with pytest.raises(RasterError, match=f"c.tif {message}"):
            made(tif, confidence=confidence)
        assert len([*tmp_path.iterdir()]) == 2

    def test_the_output_must_not_be_it(self, tif: Path, output: Path) -> None:
        placed_tif(tif, ids([1, 2]))
        placed_tif(output, ids([1, 2]))
        before = output.read_bytes()
        with pytest.raises(OutputError, match="is the input itself"):
            made(tif, confidence=output)
        assert output.read_bytes() == before


def generalised_with(tif: Path, confidence: Path, **values: Any) -> geopandas.GeoDataFrame:
    return made(tif, confidence=confidence, generalisation=Generalisation(**values))


MEANS = {
    "exact": Generalisation(),
    "corners": Generalisation(8),
    "sieved": Generalisation(min_area=Area(20, "px")),
    "sieved by corners": Generalisation(8, Area(20, "px")),
    "filled": Generalisation(fill_holes=Area(30, "px")),
    "simplified": Generalisation(simplify=Length(1.5, "px")),
    "all": Generalisation(4, Area(9, "px"), Area(40, "px"), Length(2, "px")),
    "all by corners": Generalisation(8, Area(9, "px"), Area(40, "px"), Length(2, "px")),
}


class TestIndependence:
    """The same file, feature by feature and bit by bit, however the raster is read."""

    @pytest.mark.parametrize("means", MEANS)
    def test_of_strips(
        self, tif: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, means: str
    ) -> None:
        labels = patches(60, 50)
        labels[20:40, 20:35] = 0
        placed_tif(tif, labels, nodata=0, blockysize=1)
        options = {
            "generalisation": MEANS[means],
            "confidence": placed_tif(tmp_path / "c.tif", noise(60, 50, bands=1)),
        }
        expected = made(tif, **options)
        for rows in (1, 23):
            monkeypatch.setattr(class_rows, "_STRIP", rows * 50)
            check_same(made(tif, **options), expected)

    def test_of_strips_where_rows_differ_in_size(
        self, tif: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        transform = Affine(1e-3, 0, 10.0, 0, -1e-1, 85.0)
        place = {"crs": "EPSG:4326", "transform": transform}
        placed_tif(tif, patches(100, 90), nodata=0, blockysize=1, **place)
        generalisation = Generalisation(4, Area(3e7, "m2"), Area(1e8, "m2"))
        expected = made(tif, generalisation=generalisation)
        monkeypatch.setattr(class_rows, "_STRIP", 5 * 90)
        found = made(tif, generalisation=generalisation)
        np.testing.assert_allclose(found.pop("area_m2"), expected.pop("area_m2"), rtol=1e-13)
        check_same(found, expected)

    @settings(max_examples=10, deadline=None)
    @given(
        labels=hnp.arrays(
            np.uint8,
            hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
            elements=st.integers(0, 3),
        ),
        generalisation=st.builds(
            Generalisation,
            st.sampled_from([4, 8]),
            st.none() | st.builds(Area, st.floats(0.5, 12), st.just("px")),
            st.none() | st.builds(Area, st.floats(0.5, 20), st.just("px")),
            st.none() | st.builds(Length, st.floats(0.1, 3), st.just("px")),
        ),
        strip=st.integers(1, 40),
        runs=st.integers(1, 20),
    )
    def test_of_all_that_is_random(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        labels: npt.NDArray[np.uint8],
        generalisation: Generalisation,
        strip: int,
        runs: int,
    ) -> None:
        raster = tmp_path_factory.mktemp("random") / "map.tif"
        placed_tif(raster, labels, nodata=0, blockysize=1)
        expected = made(raster, generalisation=generalisation)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(class_rows, "_STRIP", strip)
            patch.setattr(class_rows, "_RUNS", runs)
            check_same(made(raster, generalisation=generalisation), expected)
        assert expected.geometry.is_valid.all()
        assert shapely.coverage_is_valid(expected.geometry.values)
        np.testing.assert_allclose(expected.area_m2, expected.area, rtol=1e-9)
        np.testing.assert_allclose(expected.perimeter_m, expected.length, rtol=1e-9)

    def test_of_the_bands_of_simplification(
        self, tif: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        placed_tif(tif, patches(4500, 20), nodata=0, blockysize=1)
        expected = made(tif, generalisation=MEANS["all"])
        assert shapely.coverage_is_valid(expected.geometry.values)
        monkeypatch.setattr(class_rows, "_STRIP", 700 * 20)
        check_same(made(tif, generalisation=MEANS["all"]), expected)

    def test_of_how_many_runs_are_handed_over(
        self, tif: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        placed_tif(tif, patches(60, 70), nodata=0)
        expected = made(tif, generalisation=MEANS["all"])
        monkeypatch.setattr(class_rows, "_RUNS", 50)
        check_same(made(tif, generalisation=MEANS["all"]), expected)

    @pytest.mark.parametrize(
        "layout",
        [
            {"tiled": True, "blockxsize": 64, "blockysize": 48},
            {"blockysize": 1},
            {"blockysize": 200, "compress": "deflate"},
            {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": "band"},
        ],
    )
    def test_of_blocks(
        self, tif: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: dict[str, Any]
    ) -> None:
        labels = patches(200, 150)
        expected = made(placed_tif(tif, labels, nodata=0))
        monkeypatch.setattr(class_rows, "_STRIP", 30 * 150)
        monkeypatch.setattr(class_rows, "_BLOCKS", 100 * 150)
        raster = placed_tif(tmp_path / "other.tif", labels, nodata=0, **layout)
        check_same(made(raster), expected)

    def test_of_the_format(self, tif: Path, tmp_path: Path) -> None:
        labels = patches(80, 90)
        expected = made(placed_tif(tif, labels, nodata=0))
        for name, driver in (("map.vrt", "VRT"), ("map.png", "PNG"), ("map.img", "HFA")):
            copy_raster(tif, tmp_path / name, driver=driver)
            check_same(made(tmp_path / name), expected)
        with zipfile.ZipFile(tmp_path / "map.zip", "w") as archive:
            archive.write(tif, "map.tif")
        inside = f"/vsizip/{tmp_path}/map.zip/map.tif"
        check_same(made(inside, tmp_path / "zipped.gpkg"), expected)

    def test_a_mask_is_as_good_as_nodata(self, tif: Path, tmp_path: Path) -> None:
        labels = patches(80, 90)
        expected = made(placed_tif(tif, labels, nodata=0))
        mask = (labels > 0).astype(np.uint8) * 255
        labels[labels == 0] = np.random.default_rng(2).integers(1, 5, (labels == 0).sum())
        masked = placed_tif(tmp_path / "masked.tif", labels, mask=mask)
        check_same(made(masked), expected)
        alpha = np.stack([labels, mask])
        check_same(made(placed_tif(tmp_path / "a.tif", alpha, alpha="yes")), expected)


class TestFailures:
    @pytest.fixture
    def before(self, tif: Path, output: Path) -> bytes:
        """A map that is read row by row, and an older result."""
        placed_tif(tif, noise(300, 90, bands=1) % 4, blockysize=1, compress="deflate")
        output.write_bytes(b"an older result")
        return output.read_bytes()

    @pytest.fixture(autouse=True)
    def small_strips(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(class_rows, "_STRIP", 10 * 90)

    @pytest.mark.parametrize("is_confidence", [False, True])
    def test_a_file_that_is_damaged_in_the_middle(
        self, tif: Path, output: Path, before: bytes, is_confidence: bool
    ) -> None:
        damaged = tif
        options: dict[str, Any] = {"report": lambda done, total: rows.append(done)}
        if is_confidence:
            damaged = tif.with_name("confidence.tif")
            options["confidence"] = damaged
            damaged.write_bytes(tif.read_bytes())
        content = bytearray(damaged.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 500] = bytes(500)
        damaged.write_bytes(content)
        rows: list[int] = []
        files = {*tif.parent.iterdir()}
        with pytest.raises(RasterError, match=f"{damaged.name} cannot be read") as caught:
            made(tif, **options)
        assert "\n" not in str(caught.value)
        assert rows and rows[-1] < 300, "it was read before work began"
        assert output.read_bytes() == before and {*tif.parent.iterdir()} == files

    @pytest.mark.parametrize("options", [{}, {"dissolve": True}, {"layer_per_class": True}])
    def test_an_interruption(
        self, tif: Path, output: Path, before: bytes, options: dict[str, bool]
    ) -> None:
        def report(done: int, total: int) -> None:
            assert work_folder(output).exists()
            if done > 100:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            made(tif, report=report, **options)
        assert output.read_bytes() == before and len([*tif.parent.iterdir()]) == 2

    def test_the_raster_stays_open_until_the_last_read_has_ended(
        self, tif: Path, before: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """GDAL crashes where a file is closed while another thread reads from it."""
        events = []
        read, close = ClassRaster.read, ClassRaster.close

        def slow_read(self: ClassRaster, window: Any) -> Any:
            events.append("begin")
            time.sleep(0.05)
            try:
                return read(self, window)
            finally:
                events.append("end")

        def noted_close(self: ClassRaster) -> None:
            events.append("close")
            close(self)

        def fail(*_: Any) -> None:
            raise OutputError("The disk is full.")

        monkeypatch.setattr(ClassRaster, "read", slow_read)
        monkeypatch.setattr(ClassRaster, "close", noted_close)
        monkeypatch.setattr(PolygonFile, "write", fail)
        with pytest.raises(OutputError):
            made(tif)
        assert events == ["begin", "end", "begin", "end", "close"]

    def test_a_tile_that_vanishes(self, tif: Path, tmp_path: Path, before: bytes) -> None:
        mosaic = tmp_path / "mosaic.vrt"
        copy_raster(tif, mosaic, driver="VRT")
        tif.unlink()
        with pytest.raises(RasterError, match=r"mosaic\.vrt cannot be read"):
            made(mosaic)
        assert not mosaic.with_suffix(".gpkg").exists() and not work_folder(mosaic).exists()

    @pytest.mark.parametrize("simplify", [None, Length(0.1, "px")])
    def test_filled_holes_have_the_area_of_their_rows(
        self, tif: Path, simplify: Length | None
    ) -> None:
        # Rows of one degree: the holes' pixels are much larger in the south than in the north.
        labels = np.ones((80, 60), np.uint8)
        labels[5:60, 10:30] = 2
        labels[20:75, 35:50] = 0
        place = {"crs": "EPSG:4326", "transform": Affine(1, 0, 0, 0, -1, 85)}
        placed_tif(tif, labels, nodata=0, **place)
        (area,) = generalised(tif, fill_holes=Area(9000, "px"), simplify=simplify).area_m2
        placed_tif(tif, np.ones_like(labels), nodata=0, **place)
        assert area == pytest.approx(made(tif).area_m2.sum(), rel=1e-12)

    def test_no_class_is_an_empty_layer(self, tif: Path, output: Path) -> None:
        placed_tif(tif, np.zeros((3, 3), np.uint8), nodata=0)
        assert made(tif, layer_per_class=True).empty and output.exists()

    def test_other_layers_are_not_deleted(self, tif: Path, output: Path) -> None:
        placed_tif(tif, ids([1, 2]))
        made(tif)
        vectorize(tif, output, layer="mine", append=True)
        before = output.read_bytes()
        with pytest.raises(OutputError, match=r"also has 'mine', which --overwrite would delete"):
            made(tif)
        assert output.read_bytes() == before
        vectorize(tif, output, append=True, overwrite=True)
        assert len(read_polygons(output, "mine")) == 2
