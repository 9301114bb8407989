"""The sections of a report below the map: classes, confidence, accuracy, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from glnet_geo.evaluation_result import Evaluation, share_text
from glnet_geo.markup import Content, Markup, element
from glnet_geo.remote import scene_label
from glnet_geo.report_content import Certainty, ReportContent

NO_CLASS = "no class"
_CHART = "Chart"
_MOST_CROSSED = 60  # classes of a confusion matrix
_SHORT = 16  # rows that paper keeps together
_MOST_NAMED = 6  # columns of a confusion matrix that have room for names
_MOST_ABSENT = 12
_SHADES = 10
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


def section(identifier: str, title: str, *content: Content) -> Markup:
    """A part of the page with its heading."""
    heading = f"{identifier}-title"
    return element(
        "section",
        element("h2", title, id=heading),
        *content,
        id=identifier,
        aria_labelledby=heading,
    )


def swatch(color: str) -> Markup:
    """A patch of a class's colour."""
    fill = element("rect", width="100%", height="100%", fill=color)
    return element("svg", fill, class_="swatch", aria_hidden="true")


def shares_bar(shares: Iterable[tuple[str, float]], label: str) -> Markup:
    """Shares of 1 side by side, in colours."""
    parts, left = [], 0.0
    for color, share in shares:
        width = 100 * share
        parts.append(element("rect", x=f"{left:.3f}", width=f"{width:.3f}", height=10, fill=color))
        left += width
    return element(
        "svg",
        parts,
        class_="shares",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def table(
    caption: str, heads: Sequence[Content], rows: Iterable[Content], class_: str = ""
) -> Markup:
    """A table whose first column holds names; wide ones scroll by themselves."""
    rows = [*rows]
    head = element("tr", (_head(one) for one in heads))
    whole = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", rows),
        class_=class_ or None,
    )
    return element(
        "div",
        whole,
        class_="scroll short" if len(rows) <= _SHORT else "scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def row(name: Content, *cells: Content) -> Markup:
    """A row of a table; cells that are made already stay as they are."""
    made = (one if _is_cell(one) else element("td", one) for one in cells)
    return element("tr", element("th", name, scope="row"), made)


def _is_cell(content: Content) -> bool:
    return isinstance(content, Markup) and content.startswith("<td")


def _head(content: Content) -> Markup:
    return element("th", content, scope="col", class_="charted" if content == _CHART else None)


def class_section(content: ReportContent) -> Markup:
    """Areas and shares of the classes as a chart and a table."""
    about = [element("p", line, class_="note") for line in _about_areas(content)]
    if not content.classes:
        return section("classes", "Classes", element("p", "No pixel has a class."), *about)
    label = ", ".join(f"{one.land_cover.name} {_share(one.share)}" for one in content.classes)
    colored = [(_hex(one.land_cover.rgb), one.share) for one in content.classes]
    has_area = content.unit == "m"
    largest = max(one.share for one in content.classes)

    def cells(k: int) -> Iterator[Content]:
        one = content.classes[k]
        if has_area:
            yield content.area_text(one.area)
        yield _share(one.share)
        yield _bar(one.share / largest if largest else 0.0, colored[k][0])
        yield f"{one.pixels:,} px"

    rows = [
        row(_named(one.land_cover.name, colored[k][0]), *cells(k))
        for k, one in enumerate(content.classes)
    ]
    nodata = content.nodata_pixels
    total = [*((content.area_text(content.area),) if has_area else ())]
    pixels = sum(one.pixels for one in content.classes)
    rows.append(row("All classes", *total, "100 %", "", f"{pixels:,} px"))
    if nodata:
        whole = content.grid.height * content.grid.width
        missing = f"{share_text(nodata, whole)} of the map"
        rows.append(row("No data", *(("",) if has_area else ()), missing, "", f"{nodata:,} px"))
    heads = ["Class", *(("Area",) if has_area else ()), "Share", _CHART, "Pixels"]
    return section(
        "classes",
        "Classes",
        shares_bar(colored, f"Shares of the classes: {label}"),
        table("Area and share of each class, the largest first", heads, rows, "figures"),
        *about,
    )


def _about_areas(content: ReportContent) -> Iterator[str]:
    """How areas were measured, and which classes have none."""
    if content.unit == "px":
        yield "Areas are in pixels: the map has no place on the ground, or none that can be measured."
    else:
        yield f"Areas: {content.area_rule}."
    if content.absent:
        more = len(content.absent) - _MOST_ABSENT
        rest = f" and {more} more" if more > 0 else ""
        yield f"Not on this map: {', '.join(content.absent[:_MOST_ABSENT])}{rest}."


def certainty_section(content: ReportContent, found: Certainty) -> Markup:
    """How sure the map is, overall, by class and as a histogram."""
    meaning = found.meaning or "The file does not say what its values are."
    heads = ["Class", "Mean confidence", _CHART]
    rows = [
        row(
            _named(one.land_cover.name, _hex(one.land_cover.rgb)),
            number(one.confidence),
            _bar(one.confidence or 0.0, "currentColor"),
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
        element(
            "p", "Mean confidence ", element("strong", number(found.mean)), ", from 0 to 1."
        ),
        _histogram(found.counts),
        figures,
        table("Mean confidence by class", heads, rows, "figures") if rows else None,
    )


def accuracy_section(found: Evaluation) -> Markup:
    """How right the map is: scores, a table by class, the confusion matrix."""
    scores = found.scores
    tolerance = found.boundary.tolerance
    overall = {
        "Overall accuracy": number(scores.accuracy),
        f"Mean IoU of {scores.scored_classes} classes": number(scores.mean_iou),
        "Mean F1": number(scores.mean_f1),
        f"Mean boundary F1 within {tolerance}": number(found.boundary.mean),
        "Kappa": number(scores.kappa),
        "Pixels compared": share_text(scores.pixels, found.all_pixels),
    }
    columns = (scores.iou, scores.precision, scores.recall, scores.f1, found.boundary.f1)
    rows = [
        row(
            _named(one.name, _hex(one.rgb)),
            *(number(column[one.name]) for column in columns),
            f"{scores.support[one.name]:,} px",
        )
        for one in found.classes
    ]
    heads = ["Class", "IoU", "Precision", "Recall", "F1", "Boundary F1", "Reference"]
    pair = found.pairs[0]
    aligned = ", brought onto the grid of the map" if pair.is_aligned else ""
    notes = [element("li", note) for note in found.notes]
    return section(
        "accuracy",
        "How right the map is",
        element("p", f"Against {scene_label(pair.pair.reference)}{aligned}.", class_="note"),
        facts(overall),
        table("Scores by class", heads, rows, "figures"),
        _confusion(found),
        element("ul", notes, class_="note") if notes else None,
    )


def facts(values: dict[str, Content]) -> Markup:
    """Figures that stand out, with what they are."""
    pairs = (
        element("div", element("dt", name), element("dd", value)) for name, value in values.items()
    )
    return element("dl", pairs, class_="facts")


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


def number(value: float | None) -> str:
    """A score or share from 0 to 1."""
    return "–" if value is None else f"{value:.3f}"


def _rows(values: dict[str, Content]) -> list[Markup]:
    return [row(name, value) for name, value in values.items()]


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


def _confusion(found: Evaluation) -> Markup:
    """What became of the pixels of each class of the reference, in percent of it."""
    if len(found.classes) > _MOST_CROSSED:
        advice = "The confusion matrix of so many classes: glnet-geo evaluate, with -o."
        return element("p", advice, class_="note")
    counts, names = found.table, [one.name for one in found.classes]
    if not found.matrix.missed.any():
        counts = counts[:, :-1]
    columns = [*names, NO_CLASS][: counts.shape[1]]
    is_short = len(columns) > _MOST_NAMED
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)

    def cell(share: float, is_known: bool) -> Markup:
        if not is_known:
            return element("td", "–")
        shade = round(_SHADES * share)
        shown = f"{100 * share:.0f}" if is_short else f"{100 * share:.1f}"
        return element("td", shown if share else "", class_=f"s{shade}")

    def head(k: int) -> Content:
        if not is_short:
            return columns[k]
        hidden = element("span", columns[k], class_="hidden")
        return element("span", k + 1 if k < len(names) else "–", aria_hidden="true"), hidden

    rows = [
        element(
            "tr",
            element("th", f"{k + 1}  " if is_short else None, name, scope="row"),
            (cell(share, bool(total[k, 0])) for share in shares[k].tolist()),
        )
        for k, name in enumerate(names)
    ]
    key = " Columns bear the numbers of the rows." if is_short else ""
    caption = (
        "Confusion matrix: percent of a class of the reference (row) that the map shows as a "
        f"class (column).{key}"
    )
    kind = "matrix many" if is_short else "matrix"
    return table(caption, ["Reference", *map(head, range(len(columns)))], rows, kind)


def _named(name: str, color: str) -> Markup:
    return element("span", swatch(color), element("span", name), class_="named")


def _bar(share: float, color: str) -> Markup:
    bar = element("rect", width=f"{100 * share:.2f}", height=10, fill=color)
    chart = element(
        "svg",
        bar,
        class_="bar",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    return element("td", chart, class_="charted")


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _share(share: float) -> str:
    return share_text(share, 1.0)


def _cut(value: str) -> str:
    return value if len(value) <= _TAG_LENGTH else f"{value[:_TAG_LENGTH]}…"
