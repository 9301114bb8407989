"""Sections of a report below the map: classes, confidence, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from glnet_geo.evaluation_result import share_text
from glnet_geo.markup import Content, Markup, element, join
from glnet_geo.report_content import Certainty, ReportContent
from glnet_geo.report_parts import (
    CHART,
    bar,
    hex_color,
    named,
    number,
    row,
    section,
    shares_bar,
    table,
)

_MOST_ABSENT = 12
_MOST_TAGS = 60
_TAG_LENGTH = 400
_TAGS = {
    "SCENE": "Scene",
    "SOURCE": "Source",
    "MODEL": "Model",
    "MODEL_SHA256": "Model's SHA-256",
    "MODEL_LICENCE": "Model's licence",
    "TIFFTAG_SOFTWARE": "Software",
    "TIFFTAG_DATETIME": "Made",
    "BANDS": "Bands of the scene",
    "SCALE": "Values stretched",
    "SCALE_SOURCE": "Stretch taken from",
    "VALID_WHERE": "A pixel is valid where",
    "SCENE_NODATA": "Scene's nodata",
    "SCENE_NODATA_TOLERANCE": "Tolerance of nodata",
    "AOI": "Area of interest",
    "AOI_SHA256": "Area's SHA-256",
    "NETWORK_PIXELS": "Pixels for the network",
    "FRAME": "Frame",
    "VIEWS": "Views of each frame",
    "REFERENCE_ARITHMETIC": "Reference arithmetic",
}
"""What `predict` writes, in the order in which people ask."""


def class_section(content: ReportContent) -> Markup:
    """Areas and shares of the classes as a chart and a table."""
    about = [element("p", line, class_="note") for line in _about_areas(content)]
    if not content.classes:
        return section("classes", "Classes", element("p", "No pixel has a class."), *about)
    label = ", ".join(f"{one.land_cover.name} {_share(one.share)}" for one in content.classes)
    colored = [(hex_color(one.land_cover.rgb), one.share) for one in content.classes]
    has_area = content.unit == "m"
    largest = max(one.share for one in content.classes)

    def cells(k: int) -> Iterator[Content]:
        one = content.classes[k]
        if has_area:
            yield content.area_text(one.area)
        yield _share(one.share)
        yield bar(one.share / largest if largest else 0.0, colored[k][0])
        yield f"{one.pixels:,} px"

    rows = [
        row(named(one.land_cover.name, colored[k][0]), *cells(k))
        for k, one in enumerate(content.classes)
    ]
    nodata = content.nodata_pixels
    total = [*((content.area_text(content.area),) if has_area else ())]
    pixels = sum(one.pixels for one in content.classes)
    rows.append(row("All classes", *total, _share(1.0), "", f"{pixels:,} px"))
    if nodata:
        whole = content.grid.height * content.grid.width
        missing = f"{share_text(nodata, whole)} of the map"
        rows.append(row("No data", *(("",) if has_area else ()), missing, "", f"{nodata:,} px"))
    heads = ["Class", *(("Area",) if has_area else ()), "Share", CHART, "Pixels"]
    return section(
        "classes",
        "Classes",
        shares_bar(colored, f"Shares of the classes: {label}"),
        table("Area and share of each class, the largest first", heads, rows, "figures"),
        *about,
    )


def _about_areas(content: ReportContent) -> Iterator[Content]:
    """How areas were measured, and which classes have none."""
    if content.unit == "px":
        yield "Areas are in pixels: the map has no place on the ground."
    else:
        yield f"Areas: {content.area_rule}."
    if content.absent:
        more = len(content.absent) - _MOST_ABSENT
        rest = f" and {more} more" if more > 0 else ""
        listed = join([element("bdi", one), ", "] for one in content.absent[:_MOST_ABSENT])
        yield Markup(f"Not on this map: {listed.removesuffix(', ')}{rest}.")


def certainty_section(content: ReportContent, found: Certainty) -> Markup:
    """How sure the map is, overall, by class and as a histogram."""
    meaning = found.meaning or "The file does not say what its values are."
    heads = ["Class", "Mean confidence", CHART]
    rows = [
        row(
            named(one.land_cover.name, hex_color(one.land_cover.rgb)),
            number(one.confidence),
            bar(one.confidence or 0.0, "currentColor"),
        )
        for one in content.classes
    ]
    bins = len(found.counts)
    total = sum(found.counts)
    ranges = [f"{k / bins:.2f} to {(k + 1) / bins:.2f}" for k in range(bins)]
    listed = [
        row(name, f"{count:,} px", share_text(count, total))
        for name, count in zip(ranges, found.counts, strict=True)
    ]
    figures = element(
        "details",
        element("summary", "The histogram in figures"),
        table("Pixels by confidence", ["Confidence", "Pixels", "Share"], listed, "figures"),
    )
    return section(
        "confidence",
        "How sure the map is",
        element("p", f"{found.label}: {meaning}", class_="note"),
        element("p", "Mean confidence ", element("strong", number(found.mean)), ", from 0 to 1."),
        _histogram(found.counts),
        figures,
        table("Mean confidence by class", heads, rows, "figures") if rows else None,
    )


def provenance_section(content: ReportContent) -> Markup:
    """Where the map comes from: its file, its place, and what its tags tell."""
    grid, sides = content.grid, content.grid.pixel_sides_m
    size = f"{grid.width:,} x {grid.height:,} px"
    rows: dict[str, Content] = {"Map": content.label, **content.file_facts, "Size": size}
    if sides and grid.gsd_m:
        square = f"{grid.gsd_m:.4g} m"
        is_square = abs(sides[0] - sides[1]) < 1e-3 * max(sides)
        rows["Pixel"] = square if is_square else f"{sides[1]:.4g} m wide, {sides[0]:.4g} m high"
    rows["CRS"] = grid.crs_label or "none"
    if grid.is_georeferenced:
        corner = grid.transform @ (0, 0)
        rows["Upper left corner"] = f"{corner[0]:.10g}, {corner[1]:.10g}"
    known = {name: content.tags[key] for key, name in _TAGS.items() if content.tags.get(key)}
    others = {
        key: value
        for key, value in sorted(content.tags.items())
        if key not in _TAGS and not key.startswith("CLASS_")
    }
    rows |= {name: _cut(value) for name, value in known.items()}
    more = [row(key, _cut(others[key])) for key in [*others][:_MOST_TAGS]]
    return section(
        "provenance",
        "Where it comes from",
        table("The map, its place and how it was made", ["What", "Value"], _rows(rows), "words"),
        element(
            "details",
            element("summary", f"Other tags of the file ({len(others)})"),
            table("Other tags of the file", ["Tag", "Value"], more, "words"),
        )
        if others
        else None,
    )


def _histogram(counts: Sequence[int]) -> Markup:
    highest, total, n = max(counts, default=0), sum(counts), len(counts)
    bars = []
    for k, count in enumerate(counts):
        height = 100 * count / highest if highest else 0.0
        bars.append(
            element(
                "rect",
                x=f"{(k + 0.08) * 100 / n:.2f}",
                y=f"{100 - height:.2f}",
                width=f"{0.84 * 100 / n:.2f}",
                height=f"{height:.2f}",
            )
        )
    sure = sum(counts[n // 2 :])
    label = (
        f"Histogram of confidence: {share_text(sure, total)} of the pixels have 0.5 or more, "
        f"{share_text(total - sure, total)} less"
    )
    chart = element(
        "svg",
        bars,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )
    axis = (element("span", mark) for mark in ("0 unsure", "0.5", "1 sure"))
    return element(
        "figure",
        chart,
        element("p", axis, class_="axis", aria_hidden="true"),
        element("figcaption", "Pixels of the map by confidence"),
        class_="histogram",
    )


def _rows(values: dict[str, Content]) -> list[Markup]:
    return [row(name, value) for name, value in values.items()]


def _share(share: float) -> str:
    return share_text(share, 1.0)


def _cut(value: str) -> str:
    return value if len(value) <= _TAG_LENGTH else f"{value[:_TAG_LENGTH]}…"
