"""The `.aux.xml`: what it holds, and that GDAL reads it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.shutil import copy as copy_raster

from glnet_geo.legend import LandCover, Legend
from glnet_geo.sidecar import sidecar_path, sidecar_xml
from tests.rasters import UTM, write_tif

AWKWARD = 'a<b>&"ü'
# Not in order of the ids, and with a gap at 2.
LEGEND = Legend(
    "odd",
    (
        LandCover(3, "it's ]]> 水", (255, 0, 128)),
        LandCover(0, AWKWARD, (1, 2, 3)),
        LandCover(1, "plain", (10, 20, 30)),
    ),
)
NAMES = [AWKWARD, "plain", "", "it's ]]> 水"]


def band() -> ET.Element:
    found = ET.fromstring(sidecar_xml(LEGEND)).find("PAMRasterBand[@band='1']")
    assert found is not None
    return found


def texts(parent: ET.Element, path: str) -> list[str]:
    return [element.text or "" for element in parent.findall(path)]


def assert_table_holds_the_legend(parent: ET.Element) -> None:
    rows = parent.findall("GDALRasterAttributeTable/Row")
    assert [texts(row, "F") for row in rows] == [
        ["0", AWKWARD, "1", "2", "3"],
        ["1", "plain", "10", "20", "30"],
        ["3", "it's ]]> 水", "255", "0", "128"],
    ]
    fields = parent.findall("GDALRasterAttributeTable/FieldDefn")
    assert [(*texts(field, "Name"), *texts(field, "Usage")) for field in fields] == [
        ("Value", "5"),
        ("Class", "2"),
        ("Red", "6"),
        ("Green", "7"),
        ("Blue", "8"),
    ]


def raster_with_sidecar(folder: Path) -> Path:
    path = write_tif(folder / "map.tif", np.zeros((2, 3), np.uint8), **UTM)
    sidecar_path(path).write_bytes(sidecar_xml(LEGEND))
    return path


def test_it_stands_beside_the_raster() -> None:
    assert sidecar_path(Path("maps/a.b.tif")) == Path("maps/a.b.tif.aux.xml")


def test_names_stand_at_their_ids() -> None:
    assert texts(band(), "CategoryNames/Category") == NAMES


def test_names_are_escaped() -> None:
    xml = sidecar_xml(LEGEND).decode("utf-8")
    assert '<Category>a&lt;b&gt;&amp;"ü</Category>' in xml
    assert AWKWARD not in xml


def test_colours_stand_at_their_ids_and_fillers_are_transparent() -> None:
    entries = [tuple(map(int, e.attrib.values())) for e in band().findall("ColorTable/Entry")]
    assert entries == [(1, 2, 3, 255), (10, 20, 30, 255), (0, 0, 0, 0), (255, 0, 128, 255)]


def test_the_attribute_table_has_a_row_for_each_class_and_none_for_the_gap() -> None:
    assert_table_holds_the_legend(band())


def test_gdal_takes_colours_and_description(tmp_path: Path) -> None:
    with rasterio.open(raster_with_sidecar(tmp_path)) as dataset:
        colors = dataset.colormap(1)
        assert dataset.colorinterp == (ColorInterp.palette,)
        assert dataset.descriptions == ("land cover",)
    assert colors == {
        0: (1, 2, 3, 255),
        1: (10, 20, 30, 255),
        2: (0, 0, 0, 0),
        3: (255, 0, 128, 255),
    }


def test_gdal_takes_names_and_the_attribute_table(tmp_path: Path) -> None:
    # rasterio cannot ask for them, but a VRT writes down what GDAL has understood.
    vrt = tmp_path / "map.vrt"
    copy_raster(raster_with_sidecar(tmp_path), vrt, driver="VRT")
    understood = ET.parse(vrt).find("VRTRasterBand")
    assert understood is not None
    assert texts(understood, "CategoryNames/Category") == NAMES
    assert_table_holds_the_legend(understood)
