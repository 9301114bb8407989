"""The style with which QGIS opens polygons in the colours of their classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from glnet_geo.class_table import Color, MapClass

MOST_CLASSES = 500
"""Beyond so many, which nobody can tell apart, a style only makes programs slow."""

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"


def style_path(vectors: Path) -> Path:
    """Where QGIS looks for the style of a file that cannot hold it (`QgsMapLayer::styleURI`)."""
    return vectors.with_suffix(".qml")


def categorized_qml(classes: Sequence[MapClass], attribute: str = "class") -> str:
    """A layer style of QGIS (QML) with one filled symbol a class, in the order given.

    Args:
        classes: The classes; no two have the same name.
        attribute: The field that holds the name of a polygon's class.
    """
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology")
    renderer = ET.SubElement(root, "renderer-v2", type="categorizedSymbol", attr=attribute)
    categories, symbols = (ET.SubElement(renderer, name) for name in ("categories", "symbols"))
    for index, one in enumerate(classes):
        category = {"value": one.name, "label": one.name, "symbol": str(index)}
        ET.SubElement(categories, "category", category, render="true", type="string")
        _add_symbol(symbols, str(index), one.rgb)
    ET.indent(root)
    return f"{_DOCTYPE}\n{ET.tostring(root, encoding='unicode')}\n"


def _add_symbol(symbols: ET.Element, name: str, rgb: Color) -> None:
    symbol = ET.SubElement(symbols, "symbol", type="fill", name=name, alpha="1")
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill"}, enabled="1")
    color = ",".join(map(str, (*rgb, 255)))
    options = {
        "color": color,
        "style": "solid",
        # Without an outline the background shines through between neighbours of one colour.
        "outline_color": color,
        "outline_style": "solid",
        "outline_width": "0",
        "outline_width_unit": "Pixel",
    }
    table = ET.SubElement(layer, "Option", type="Map")
    for key, value in options.items():
        ET.SubElement(table, "Option", name=key, type="QString", value=value)
