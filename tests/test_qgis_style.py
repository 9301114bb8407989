"""Styles in which QGIS opens polygons."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glnet_geo.class_table import MapClass
from glnet_geo.qgis_style import categorized_qml, style_path

NAMES = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp")), min_size=1, max_size=20
)
COLORS = st.tuples(*[st.integers(0, 255)] * 3)


def parsed(classes: list[MapClass], attribute: str = "class") -> ET.Element:
    qml = categorized_qml(classes, attribute)
    assert qml.startswith("<!DOCTYPE qgis ")
    renderer = ET.fromstring(qml).find("renderer-v2")
    assert renderer is not None
    assert renderer.get("type") == "categorizedSymbol"
    assert renderer.get("attr") == attribute
    return renderer


def fill_of(renderer: ET.Element, symbol: str) -> dict[str | None, str | None]:
    layer = renderer.find(f"symbols/symbol[@name='{symbol}']/layer")
    assert layer is not None and layer.get("class") == "SimpleFill"
    options = layer.find("Option")
    assert options is not None and options.get("type") == "Map"
    return {option.get("name"): option.get("value") for option in options}


@given(st.lists(st.builds(MapClass, st.integers(), NAMES, COLORS), unique_by=lambda one: one.name))
def test_each_class_has_a_category_with_its_name_and_colour(classes: list[MapClass]) -> None:
    renderer = parsed(classes)
    categories = renderer.findall("categories/category")
    assert [one.get("value") for one in categories] == [one.name for one in classes]
    assert [one.get("label") for one in categories] == [one.name for one in classes]
    for category, one in zip(categories, classes, strict=True):
        assert category.get("render") == "true"
        fill = fill_of(renderer, category.get("symbol") or "")
        assert fill["color"] == ",".join(map(str, one.rgb)) + ",255"


def test_outlines_hide_the_seams_between_neighbours() -> None:
    fill = fill_of(parsed([MapClass(3, "forest", (0, 128, 7))]), "0")
    assert fill["style"] == fill["outline_style"] == "solid"
    assert fill["outline_color"] == fill["color"] == "0,128,7,255"
    assert (fill["outline_width"], fill["outline_width_unit"]) == ("0", "Pixel")


def test_another_field_may_hold_the_names() -> None:
    parsed([MapClass(3, "forest", (0, 128, 7))], 'the "class"')


@pytest.mark.parametrize(
    ("vectors", "style"),
    [("a/map.shp", "a/map.qml"), ("map.v1.geojson", "map.v1.qml"), ("map.FGB", "map.qml")],
)
def test_qgis_looks_for_the_base_name(vectors: str, style: str) -> None:
    assert style_path(Path(vectors)) == Path(style)
