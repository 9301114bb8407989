"""The styles in which QGIS opens polygons, points to be labelled, and rasters of shares."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from glnet_geo.class_table import Color, MapClass

MOST_CLASSES = 500
"""Beyond so many, which nobody can tell apart, a style only makes programs slow."""

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
_RING = {
    "name": "circle",
    "color": "255,255,255,0",
    "outline_color": "255,0,255,255",
    "outline_style": "solid",
    "outline_width": "0.6",
    "outline_width_unit": "MM",
    "size": "4",
    "size_unit": "MM",
}

_log = logging.getLogger(__name__)


def style_path(output: Path) -> Path:
    """Where QGIS looks for the style of a file that cannot hold it (`QgsMapLayer::styleURI`)."""
    return output.with_suffix(".qml")


def own_style_path(output: Path) -> Path | None:
    """The same; None where the style of another file of that name is there, which is logged."""
    place = style_path(output)
    if place.exists() and not output.exists():
        _log.warning("%s stays as it is, so %s may open with it.", place, output)
        return None
    return place


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
    return _document(root)


def labelling_qml(names: Sequence[str], attribute: str, hidden: Sequence[str]) -> str:
    """A layer style of QGIS (QML) for points whose class somebody fills in.

    All points look alike, so that nothing sways who looks at them.

    Args:
        names: The classes that QGIS offers, after an empty one.
        attribute: The field that is filled in.
        hidden: Fields that neither form nor table show.
    """
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology|Fields|Forms")
    renderer = ET.SubElement(root, "renderer-v2", type="singleSymbol")
    symbol = ET.SubElement(
        ET.SubElement(renderer, "symbols"), "symbol", type="marker", name="0", alpha="1"
    )
    # A ring, so that the pixel under it stays visible.
    _add_layer(symbol, "SimpleMarker", _RING)
    fields = ET.SubElement(root, "fieldConfiguration")
    choices = [{"": ""}, *({name: name} for name in names)]
    _add_widget(fields, attribute, "ValueMap", choices)
    table = ET.SubElement(ET.SubElement(root, "attributetableconfig"), "columns")
    for name in hidden:
        _add_widget(fields, name, "Hidden", [])
        ET.SubElement(table, "column", name=name, type="field", hidden="1")
    return _document(root)


def shares_qml() -> str:
    """A raster style of QGIS (QML): the first band from black for 0 to white for 1.

    QGIS itself shows several bands as red, green and blue, and those that bytes with a scale make
    up as black (`QgsRasterLayer::setDefaultContrastEnhancement` goes by the type before scaling).
    """
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology")
    kind = {"type": "singlebandgray", "grayBand": "1", "gradient": "BlackToWhite"}
    renderer = ET.SubElement(
        ET.SubElement(root, "pipe"), "rasterrenderer", kind, opacity="1", alphaBand="-1"
    )
    # These limits, not those of what is on the screen.
    ET.SubElement(ET.SubElement(renderer, "minMaxOrigin"), "limits").text = "None"
    stretch = ET.SubElement(renderer, "contrastEnhancement")
    ET.SubElement(stretch, "minValue").text = "0"
    ET.SubElement(stretch, "maxValue").text = "1"
    ET.SubElement(stretch, "algorithm").text = "StretchToMinimumMaximum"
    return _document(root)


def _document(root: ET.Element) -> str:
    ET.indent(root)
    return f"{_DOCTYPE}\n{ET.tostring(root, encoding='unicode')}\n"


def _add_widget(
    fields: ET.Element, attribute: str, kind: str, choices: Sequence[Mapping[str, str]]
) -> None:
    """How a field is edited; choices are as `QgsValueMapFieldFormatter` reads them."""
    field = ET.SubElement(fields, "field", name=attribute)
    widget = ET.SubElement(field, "editWidget", type=kind)
    config = ET.SubElement(ET.SubElement(widget, "config"), "Option", type="Map")
    if choices:
        items = ET.SubElement(config, "Option", name="map", type="List")
    for choice in choices:
        _add_options(items, choice)


def _add_symbol(symbols: ET.Element, name: str, rgb: Color) -> None:
    symbol = ET.SubElement(symbols, "symbol", type="fill", name=name, alpha="1")
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
    _add_layer(symbol, "SimpleFill", options)


def _add_layer(symbol: ET.Element, kind: str, options: Mapping[str, str]) -> None:
    layer = ET.SubElement(symbol, "layer", {"class": kind}, enabled="1")
    _add_options(layer, options)


def _add_options(parent: ET.Element, options: Mapping[str, str]) -> None:
    table = ET.SubElement(parent, "Option", type="Map")
    for key, value in options.items():
        ET.SubElement(table, "Option", name=key, type="QString", value=value)
