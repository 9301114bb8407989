"""The `.aux.xml` that gives a class raster its names and colours in QGIS and GDAL.

A TIFF can hold neither category names nor an attribute table, and its colour table always has 256
entries; GDAL keeps them beside the file (https://gdal.org/drivers/raster/gtiff.html, "PAM"). With
exactly these parts, and one colour entry a class, QGIS shows exactly the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree as ET

# Name, GFT type (0 integer, 2 string) and GFU usage, as gdal.h numbers them.
_COLUMNS = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))


class NamedColor(Protocol):
    """A class as a raster shows it."""

    @property
    def id(self) -> int:
        """Its value in the raster."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Its colour, 0-255 each."""


class ClassSet(Protocol):
    """The classes of a raster: a `Legend`, or what is like one."""

    @property
    def classes(self) -> Sequence[NamedColor]:
        """The classes; no two have the same id or name."""

    @property
    def theme(self) -> str:
        """What they are classes of, which the raster's band is called."""


def sidecar_path(raster: Path) -> Path:
    """Where GDAL looks for the side file of a raster."""
    return raster.with_name(f"{raster.name}.aux.xml")


def sidecar_xml(legend: ClassSet) -> bytes:
    """The side file of a class raster, UTF-8."""
    root = ET.Element("PAMDataset")
    describe_classes(ET.SubElement(root, "PAMRasterBand", band="1"), legend)
    ET.indent(root)
    return f"{ET.tostring(root, encoding='unicode')}\n".encode()


def describe_classes(band: ET.Element, legend: ClassSet) -> None:
    """Adds names and colours to a band, which may be one of a virtual raster as well."""
    ET.SubElement(band, "Description").text = legend.theme
    ET.SubElement(band, "ColorInterp").text = "Palette"
    by_id = {land_cover.id: land_cover for land_cover in legend.classes}
    names, colors = ET.SubElement(band, "CategoryNames"), ET.SubElement(band, "ColorTable")
    # Both lists are positional: ids that are no class need a filler up to the last one.
    for value in range(max(by_id) + 1):
        known = by_id.get(value)
        ET.SubElement(names, "Category").text = known.name if known else ""
        red, green, blue = known.rgb if known else (0, 0, 0)
        entry = {"c1": str(red), "c2": str(green), "c3": str(blue), "c4": "255" if known else "0"}
        ET.SubElement(colors, "Entry", entry)
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(column, "Name").text = name
        ET.SubElement(column, "Type").text = str(kind)
        ET.SubElement(column, "Usage").text = str(usage)
    for index, land_cover in enumerate(sorted(legend.classes, key=lambda one: one.id)):
        _add_row(table, index, land_cover)


def _add_row(table: ET.Element, index: int, land_cover: NamedColor) -> None:
    row = ET.SubElement(table, "Row", index=str(index))
    for value in (land_cover.id, land_cover.name, *land_cover.rgb):
        ET.SubElement(row, "F").text = str(value)
