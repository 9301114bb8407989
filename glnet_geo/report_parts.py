"""What the sections of a page are made of: tables, charts, figures that stand out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from glnet_geo.markup import Content, Markup, element

CHART = "Chart"
"""The head of a column of bars."""

_SHORT = 16  # rows that paper keeps together


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


def table(
    caption: str, heads: Sequence[Content], rows: Iterable[Content], class_: str = ""
) -> Markup:
    """A table whose first column holds names; wide ones scroll by themselves."""
    rows = [*rows]
    head = element("tr", (_head(one) for one in heads))
    whole = element(
        "table",
        element("caption", element("span", caption)),
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
    """A row of a table; what is a cell already, such as a bar, stays as it is."""
    made = (one if _is_cell(one) else element("td", one) for one in cells)
    return element("tr", element("th", name, scope="row"), made)


def _is_cell(content: Content) -> bool:
    return isinstance(content, Markup) and content.startswith("<td")


def _head(content: Content) -> Markup:
    return element("th", content, scope="col", class_="charted" if content == CHART else None)


def facts(values: Mapping[str, Content]) -> Markup:
    """Figures that stand out, with what they are."""
    pairs = (
        element("div", element("dt", name), element("dd", value)) for name, value in values.items()
    )
    return element("dl", pairs, class_="facts")


def swatch(color: str) -> Markup:
    """A patch of a class's colour."""
    fill = element("rect", width="100%", height="100%", fill=color)
    return element("svg", fill, class_="swatch", aria_hidden="true")


def named(name: str, color: str) -> Markup:
    """A class's name beside its colour; `bdi` keeps the order of right-to-left names."""
    return element("span", swatch(color), element("bdi", name), class_="named")


def key_list(classes: Iterable[tuple[str, str]]) -> Markup:
    """Names and colours in lines."""
    entries = (element("li", named(name, color)) for name, color in classes)
    return element("ul", entries, class_="key-list", aria_label="Legend")


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


def bar(share: float, color: str) -> Markup:
    """A cell with a bar."""
    filled = element("rect", width=f"{100 * share:.2f}", height=10, fill=color)
    chart = element(
        "svg",
        filled,
        class_="bar",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    return element("td", chart, class_="charted")


def counted(count: int, word: str) -> str:
    """A number of things."""
    return f"{count:,} {word}{'s' * (count != 1)}"


def number(value: float | None) -> str:
    """A score or share from 0 to 1."""
    return "-" if value is None else f"{value:.3f}"


def hex_color(rgb: Iterable[int]) -> str:
    """A colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)
