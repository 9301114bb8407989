"""The map of a report: what its script draws on, its controls, and still pictures of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from glnet_geo.evaluation_result import share_text
from glnet_geo.markup import Content, Markup, element
from glnet_geo.outline_drawing import OutlineDrawing
from glnet_geo.pyramids import Pyramid
from glnet_geo.report_content import ReportContent, area_text
from glnet_geo.report_layers import shade_colors
from glnet_geo.report_parts import counted, hex_color, key_list, number, section, swatch

_STRETCH = 20.0  # most times that a pixel is shown wider than high, or higher than wide
_NAMED_SHARES = 6  # classes that the text for the picture names
_MOST_KEYED = 12  # classes that a legend under the still picture has
_SHADE_WIDTH = 8
_KEYS = (
    "Arrow keys move the map, plus and minus zoom, 0 shows all of it. Or drag it, and zoom with "
    "the wheel or two fingers."
)


def map_section(content: ReportContent) -> Markup:
    """The map with its controls, and as still pictures."""
    return section(
        "map",
        "Map",
        element(
            "div",
            element("div", _stage(content), _readout(content)),
            _panel(content),
            class_="viewer",
            id="viewer",
            hidden=True,
        ),
        _overview(content),
        element("p", " ".join(_notes(content)), class_="note"),
    )


def _stage(content: ReportContent) -> Markup:
    """What the script draws on; it is a control of its own, with keys."""
    parts: list[Content] = []
    if content.scene:
        parts.append(element("div", class_="pane", id="pane-scene"))
    parts.append(element("div", class_="pane", id="pane-map"))
    if content.certainty:
        parts.append(element("div", class_="pane", id="pane-confidence"))
    if content.outlines:
        lines = element("path", id="outline", d=content.outlines.path)
        twice = (element("use", href="#outline", class_=one) for one in ("casing", "line"))
        parts.append(
            element(
                "svg",
                element("defs", lines),
                element("g", twice, id="outlines"),
                class_="outlines",
                id="pane-outlines",
                aria_hidden="true",
            )
        )
    if content.scene:
        parts.append(element("div", element("span"), id="handle", class_="handle"))
    buttons = (
        element("button", sign, type="button", id=name, aria_label=label, title=label)
        for name, sign, label in (
            ("zoom-in", "+", "Zoom in"),
            ("zoom-out", "\N{MINUS SIGN}", "Zoom out"),
            ("zoom-all", "⤢", "Show the whole map"),
        )
    )
    stage = element(
        "div",
        parts,
        id="stage",
        class_="stage",
        tabindex=0,
        role="application",
        aria_label=f"Map {content.label}",
        aria_describedby="keys",
    )
    return element(
        "div", stage, element("div", buttons, class_="zoom"), _north(content), class_="frame"
    )


def _north(content: ReportContent) -> Content:
    """An arrow to the north of the map's grid."""
    place = content.grid.transform
    if not content.grid.is_georeferenced or not place.determinant:
        return None
    # The step in pixels that leads north, y up.
    inverse = ~place
    angle = math.degrees(math.atan2(inverse.b, -inverse.e * pixel_aspect(content)))
    arrow = element("path", d="M12 2l6 18-6-4-6 4z", transform=f"rotate({angle:.2f} 12 12)")
    turn = "clockwise" if angle > 0 else "anticlockwise"
    label = f"Grid north is {abs(angle):.0f}° {turn} of up"
    if abs(angle) < 0.5:
        label = "Grid north is up"
    return element(
        "div",
        element("svg", arrow, viewBox="0 0 24 24", role="img", aria_label=label),
        element("span", "N", aria_hidden="true"),
        class_="north",
    )


def _readout(content: ReportContent) -> Markup:
    """Scale bar, place under the pointer, and what is said aloud."""
    return element(
        "div",
        element("p", element("span", id="bar"), element("span", id="bar-text"), class_="scale"),
        element("p", id="place", class_="place"),
        element("p", _KEYS, id="keys", class_="keys"),
        element("p", id="said", class_="hidden", role="status", aria_live="polite"),
        class_="readout",
    )


def _panel(content: ReportContent) -> Markup:
    """Sliders, layers, and the legend."""
    swipe = content.scene and _slider("swipe", "Swipe: scene | map", 50)
    layers = [_check("show-map", "Land cover", True)]
    if content.certainty:
        layers.append(_check("show-confidence", "Confidence", False))
        layers.append(_ramp())
    if content.outlines:
        layers.append(_check("show-outlines", "Polygon outlines", False))
    entries = (
        element(
            "li",
            element(
                "button",
                swatch(hex_color(one.land_cover.rgb)),
                element("bdi", one.land_cover.name, class_="name"),
                element("span", share_text(one.share, 1.0), class_="share"),
                type="button",
                aria_pressed="false",
                data_class=k,
            ),
        )
        for k, one in enumerate(content.classes)
    )
    legend = [
        element("h3", "Legend", id="legend-title"),
        element("p", "Choose classes to single them out.", class_="note"),
        element("ul", entries, class_="legend", aria_labelledby="legend-title"),
        element("button", "Show all classes", type="button", id="all", disabled=True),
    ]
    return element(
        "div",
        element(
            "div",
            swipe,
            _slider("opacity", "Opacity of the map", 100),
            element("fieldset", element("legend", "Layers"), layers),
            class_="controls",
        ),
        element("div", legend, class_="key") if content.classes else None,
        class_="panel",
    )


def _slider(identifier: str, label: str, value: int) -> Markup:
    """A range of 0 to 100 with its value in words."""
    return element(
        "p",
        element("label", label, for_=identifier),
        element(
            "input", type="range", id=identifier, min=0, max=100, value=value, autocomplete="off"
        ),
        # The slider tells its value itself.
        element("output", f"{value} %", id=f"{identifier}-value", for_=identifier, aria_live="off"),
        class_="slider",
    )


def _check(identifier: str, label: str, is_on: bool) -> Markup:
    box = element("input", type="checkbox", id=identifier, checked=is_on, autocomplete="off")
    return element("label", box, element("span", label), class_="check")


def _ramp() -> Markup:
    shades = shade_colors().tolist()
    bars = (
        element(
            "rect",
            x=k * _SHADE_WIDTH,
            width=_SHADE_WIDTH + 1,
            height=10,
            fill=hex_color(shade),
        )
        for k, shade in enumerate(shades)
    )
    chart = element(
        "svg",
        bars,
        viewBox=f"0 0 {_SHADE_WIDTH * len(shades)} 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    ends = element("span", element("span", "unsure"), element("span", "sure"), class_="ends")
    return element("span", chart, ends, class_="ramp")


def _overview(content: ReportContent) -> Markup:
    """Still pictures: for paper, and for browsers that run no script."""
    shares = [
        f"{one.land_cover.name} {share_text(one.share, 1.0)}"
        for one in content.classes[:_NAMED_SHARES]
    ]
    more = len(content.classes) - len(shares)
    listed = ", ".join(shares) + (f" and {more} more classes" if more > 0 else "")
    pictures = [("map", content.picture, "Land cover", f"Land cover: {listed or 'no data'}")]
    if content.scene:
        pictures.insert(0, ("scene", content.scene.picture, "Scene", f"{content.scene.label}"))
    if content.certainty:
        pictures.append(
            (
                "confidence",
                content.certainty.picture,
                "Confidence, the lighter the surer",
                f"Confidence, {number(content.certainty.mean)} in the mean",
            )
        )
    colors = [(one.land_cover.name, hex_color(one.land_cover.rgb)) for one in content.classes]
    key = key_list(colors) if 0 < len(colors) <= _MOST_KEYED else None
    aspect = pixel_aspect(content)
    figures = (
        element(
            "figure",
            element(
                "img",
                id=f"picture-{name}",
                src=picture[0].tiles[0],
                alt=alt,
                width=picture[0].width,
                height=max(round(picture[0].height * aspect), 1),
            ),
            element("figcaption", caption),
            key if name == "map" else None,
            class_="main" if name == "map" else None,
        )
        for name, picture, caption, alt in pictures
    )
    return element("div", figures, class_="overview", id="overview")


def _notes(content: ReportContent) -> Iterator[str]:
    """What to know about the pictures."""
    grid, finest = content.grid, content.picture[-1]
    if finest.width < grid.width or finest.height < grid.height:
        yield (
            f"The picture of the map has {finest.width:,} x {finest.height:,} px of its "
            f"{grid.width:,} x {grid.height:,} px; all figures are those of all pixels."
        )
    if content.scene and content.scene.is_aligned:
        yield f"{content.scene.label} lies on another grid and was brought onto the map's."
    if content.outlines:
        yield _polygon_line(content.outlines)


def _polygon_line(outlines: OutlineDrawing) -> str:
    """How many polygons there are, and how they are drawn."""
    line = f"{outlines.label}: {counted(outlines.features, 'polygon')}"
    if outlines.area is not None:
        line += f", {area_text(outlines.area, outlines.unit, outlines.area)}"
    drawn = "Their outlines are drawn to the pixel."
    if outlines.unit_px > 1:
        drawn = (
            f"Their outlines are simplified for this page by {outlines.unit_px} px of the map; "
            "smaller ones are left out."
        )
    return f"{line}. {drawn}"


def view_data(content: ReportContent) -> dict[str, Any]:
    """What the script needs."""
    grid = content.grid
    sides = grid.pixel_sides_m
    layers = {"map": content.picture}
    if content.scene:
        layers["scene"] = content.scene.picture
    if content.certainty:
        layers["confidence"] = content.certainty.picture
    place = grid.transform
    step = max(math.hypot(place.a, place.d), math.hypot(place.b, place.e))
    return {
        "width": grid.width,
        "height": grid.height,
        "aspect": pixel_aspect(content),
        "pixel": sides[1] if sides else None,
        "place": list(place)[:6] if grid.is_georeferenced else None,
        # As many digits as tell a tenth of a pixel.
        "digits": min(max(1 - math.floor(math.log10(step)), 0), 9) if step else 0,
        "crs": grid.crs_label,
        "outline": content.outlines and content.outlines.unit_px,
        "classes": [
            {"name": one.land_cover.name, "rgb": list(one.land_cover.rgb)}
            for one in content.classes
        ],
        "layers": {name: _levels(pyramid) for name, pyramid in layers.items()},
    }


def _levels(pyramid: Pyramid) -> list[dict[str, Any]]:
    """The tiles; the coarsest level is the still picture."""
    return [
        {
            "width": level.width,
            "height": level.height,
            "tile": level.tile,
            "tiles": list(level.tiles) if k else None,
        }
        for k, level in enumerate(pyramid)
    ]


def pixel_aspect(content: ReportContent) -> float:
    """How many times higher than wide a pixel is on the ground."""
    sides = content.grid.pixel_sides_m
    if sides is None or not all(sides):
        return 1.0
    return min(max(sides[0] / sides[1], 1 / _STRETCH), _STRETCH)
