"""A report as one page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version

from glnet_geo.evaluation_result import share_text
from glnet_geo.markup import Content, Markup, asset, data_block, element, join, page
from glnet_geo.report_accuracy import accuracy_section
from glnet_geo.report_content import ReportContent
from glnet_geo.report_map import map_section, view_data
from glnet_geo.report_parts import facts, number
from glnet_geo.report_sections import certainty_section, class_section, provenance_section


def report_page(content: ReportContent) -> Markup:
    """The whole page."""
    found, certainty = content.evaluation, content.certainty
    main = element(
        "main",
        map_section(content),
        class_section(content),
        certainty and certainty_section(content, certainty),
        found and accuracy_section(found),
        provenance_section(content),
    )
    return page(
        f"{content.label}: land cover",
        asset("page.css"),
        asset("viewer.js"),
        element("a", "Skip to the classes", class_="skip", href="#classes"),
        _header(content),
        main,
        footer(),
        data_block("view", view_data(content)),
    )


def footer() -> Markup:
    """Who made the page, and when."""
    today = datetime.now(UTC).date().isoformat()
    made = f"Made by glnet-geo {version('glnet-geo')} on {today}. "
    promise = "All of it is in this file; nothing is loaded from the network."
    return element("footer", element("p", made, promise))


def _header(content: ReportContent) -> Markup:
    grid = content.grid
    parts = [f"{grid.width:,} x {grid.height:,} px"]
    parts += [f"{grid.gsd_m:.4g} m"] if grid.gsd_m else []
    parts.append(grid.crs_label or "no CRS")
    parts += [f"model {content.tags['MODEL']}"] if content.tags.get("MODEL") else []
    return element(
        "header",
        element("p", "Land cover", class_="kicker"),
        element("h1", content.label),
        element("p", " · ".join(parts), class_="lead"),
        facts(dict(_headlines(content))),
    )


def _headlines(content: ReportContent) -> Iterator[tuple[str, Content]]:
    yield "Mapped area", content.area_text(content.area)
    if content.classes:
        first = content.classes[0]
        label = join(["Largest class: ", element("bdi", first.land_cover.name)])
        yield label, share_text(first.share, 1.0)
    else:
        yield "Largest class", "-"
    yield "Classes", len(content.classes)
    if content.certainty:
        yield "Mean confidence", number(content.certainty.mean)
    if content.evaluation:
        yield "Mean IoU", number(content.evaluation.scores.mean_iou)
        yield "Overall accuracy", number(content.evaluation.scores.accuracy)
