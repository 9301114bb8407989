"""A page with a card for each scene of a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from glnet_geo.batch_record import SceneRecord, State
from glnet_geo.class_raster import ClassRaster
from glnet_geo.errors import RasterError
from glnet_geo.evaluation_result import share_text
from glnet_geo.grid import Window
from glnet_geo.legend import NODATA, LandCover, Legend
from glnet_geo.markup import Content, Markup, asset, element, is_our_page, page
from glnet_geo.opening import gdal_environment
from glnet_geo.outputs import write_whole
from glnet_geo.pyramids import palette_uri
from glnet_geo.remote import without_secrets
from glnet_geo.report_content import area_text
from glnet_geo.report_page import footer
from glnet_geo.report_parts import counted, facts, key_list, shares_bar

INDEX = "index.html"

_THUMBNAIL = 224  # pixels on the longer side
_LEAST_THUMBNAIL = 48
_LARGE = 200  # scenes up to which thumbnails have all of these
_NAMED = 4  # classes that the text for a thumbnail names
_WORDS = {
    State.DONE: "mapped",
    State.FAILED: "failed",
    State.PENDING: "not begun",
    State.RUNNING: "not finished",
}


def is_our_index(path: Path) -> bool:
    """Whether a file is a page that this program has written, or there is none."""
    return not path.exists() or (path.is_file() and is_our_page(path))


def write_index(
    path: Path, records: Sequence[SceneRecord], legend: Legend, title: str, model: str
) -> None:
    """Writes the page, whole or not at all. It loads nothing; its links lead to files beside it.

    Thumbnails come from the maps' overviews, and the more scenes there are the smaller they are.

    Args:
        path: The HTML file, in the batch's folder; an existing one is replaced.
        records: The scenes.
        legend: The classes of their maps.
        title: What the page is called.
        model: Name and version of the model.

    Raises:
        OutputError: The disk is full, or it cannot be replaced.
    """
    ordered = sorted(records, key=lambda one: one.state is not State.FAILED)
    side = round(_THUMBNAIL * min(math.sqrt(_LARGE / max(len(records), 1)), 1.0))
    with gdal_environment():
        cards = [_card(path.parent, one, legend, max(side, _LEAST_THUMBNAIL)) for one in ordered]
    header = element(
        "header",
        element("p", "Land cover", class_="kicker"),
        element("h1", title),
        element("p", f"{counted(len(records), 'scene')} · model {model}", class_="lead"),
        facts(dict(_totals(records))),
    )
    main = element(
        "main",
        element(
            "section",
            element("h2", "Scenes", id="scenes-title"),
            _filter(),
            key_list((one.name, one.color) for one in _counted(legend)),
            element("p", id="said", class_="note", role="status", aria_live="polite"),
            element("ul", cards, class_="cards", id="cards"),
            aria_labelledby="scenes-title",
        ),
    )
    whole = page(title, asset("page.css"), asset("index.js"), header, main, footer())
    write_whole(path, whole.encode())


def _totals(records: Sequence[SceneRecord]) -> Iterator[tuple[str, Content]]:
    for state in State:
        count = sum(one.state is state for one in records)
        if count or state is State.DONE:
            yield _WORDS[state].capitalize(), f"{count:,}"
    done = [one for one in records if one.state is State.DONE]
    areas = [one.areas_m2 for one in done if one.areas_m2 is not None]
    if areas:
        area = sum(sum(_of_classes(one).values()) for one in areas)
        yield "Area of all maps, overlaps counted in each", area_text(area, "m", area)


def _of_classes(values: Mapping[int, float]) -> dict[int, float]:
    return {key: value for key, value in values.items() if key != NODATA}


def _filter() -> Markup:
    states = (element("option", word, value=str(state)) for state, word in _WORDS.items())
    return element(
        "div",
        element(
            "label",
            element("span", "Name contains"),
            element("input", type="search", id="name", autocomplete="off", spellcheck="false"),
        ),
        element(
            "label",
            element("span", "State"),
            element(
                "select", element("option", "all", value=""), states, id="state", autocomplete="off"
            ),
        ),
        class_="filter",
    )


def _counted(legend: Legend) -> Iterator[LandCover]:
    return (legend.classes[position] for position in legend.counted)


def _card(folder: Path, record: SceneRecord, legend: Legend, side: int) -> Markup:
    """One scene."""
    counts = _of_classes(record.pixels)
    total = sum(counts.values())
    classes = sorted(
        (one for one in legend.classes if counts.get(one.id)), key=lambda one: -counts[one.id]
    )
    shares = [(one, counts[one.id] / total) for one in classes]
    is_failed = record.state is State.FAILED
    content: list[Content] = [
        element("h3", record.name),
        element("p", _WORDS[record.state], class_="status"),
    ]
    if record.state is State.DONE and record.outputs:
        content += _shown(folder / record.outputs[0], record, legend, shares, side)
    if record.error:
        content.append(element("p", without_secrets(record.error)))
    content.append(element("p", _links(record), class_="links") if record.outputs else None)
    return element(
        "li",
        element("article", content, class_=f"card{' failed' if is_failed else ''}"),
        data_name=record.name,
        data_state=str(record.state),
    )


def _shown(
    path: Path,
    record: SceneRecord,
    legend: Legend,
    shares: Sequence[tuple[LandCover, float]],
    side: int,
) -> Iterator[Content]:
    """Thumbnail, shares and size of a map."""
    told = ", ".join(f"{one.name} {share_text(share, 1.0)}" for one, share in shares[:_NAMED])
    source = _thumbnail(path, legend, side)
    if source:
        alt = f"Map of {record.name}: {told or 'no data'}"
        yield element("img", src=source, alt=alt, decoding="async")
    if shares:
        yield shares_bar([(one.color, share) for one, share in shares], f"Shares: {told}")
        first, share = shares[0]
        yield element("p", f"{first.name} {share_text(share, 1.0)}")
    if record.facts:
        grid = record.facts.grid
        size = f"{grid.width:,} x {grid.height:,} px"
        gsd = f", {grid.gsd_m:.4g} m" if grid.gsd_m else ""
        yield element("p", f"{size}{gsd}, {grid.crs_label or 'no CRS'}", class_="note")


def _links(record: SceneRecord) -> Iterator[Content]:
    for output, word in zip(record.outputs, ("Map", "Polygons"), strict=False):
        hidden = element("span", f" of {record.name}", class_="hidden")
        yield element("a", word, hidden, href=quote(f"./{output}"))
    if record.polygons is not None:
        yield element("span", counted(record.polygons, "polygon"), class_="note")


def _thumbnail(path: Path, legend: Legend, side: int) -> str:
    """The map as a PNG of few pixels; "" where it cannot be read."""
    try:
        with ClassRaster(path) as reader:
            grid = reader.grid
            shrinkage = max(max(grid.height, grid.width) / side, 1)
            height = max(round(grid.height / shrinkage), 1)
            level = Window(0, 0, height, max(round(grid.width / shrinkage), 1))
            labels, valid = reader.read_reduced(level, level)
    except RasterError:
        return ""
    positions = np.full(256, len(legend), np.uint8)
    positions[legend.ids] = np.arange(len(legend))
    found = positions[labels.astype(np.uint8)]
    if valid is not None:
        found[~valid] = len(legend)
    colors = np.array([one.rgb for one in legend.classes], np.uint8)
    return palette_uri(found, colors)
