"""Classes by zone as a picture: stacked bars of shares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glnet_geo.class_table import MapClass
from glnet_geo.figures import new_figure, short
from glnet_geo.ground import Floats
from glnet_geo.zone_statistics import ZoneStatistics

_MOST_ZONES = 60
_MOST_CLASSES = 40  # that have a colour each; the smallest of more are one
_WIDTH_IN = 11.0
_BAR_IN = 0.26  # inches that a zone takes
_ENTRY_IN = 0.2  # that a class takes in the legend
_MARGIN_IN = 1.5
_LEAST_IN = 3.0
_NAME_LENGTH = 32
_CLASS_LENGTH = 28
_TITLE_LENGTH = 60
_WRITTEN = 0.06  # share from which a bar's part has room for a figure
_DARK = 0.5  # luminance below which figures are white
_OTHERS = (0.7, 0.7, 0.7)

_Color = tuple[float, float, float]


def draw_shares(found: ZoneStatistics) -> Figure:
    """Bars of the classes' shares in what is mapped of each zone, the largest classes first.

    Zones come in the order of their file. Those of which nothing is mapped have no bar. Of more
    than 60 zones those with the largest mapped areas are shown, and the title says so; of more than
    40 classes the smallest ones are taken together.
    """
    zones = _shown(found)
    order = np.argsort(-np.nansum(found.areas, axis=0), kind="stable")
    n_colored = len(order) if len(order) <= _MOST_CLASSES else _MOST_CLASSES - 1
    shares = np.nan_to_num(found.shares[zones])
    parts = [shares[:, one] for one in order[:n_colored]]
    colors = [_color(found.classes[one]) for one in order[:n_colored]]
    labels = [short(found.classes[one].name, _CLASS_LENGTH) for one in order[:n_colored]]
    if n_colored < len(order):
        parts.append(shares[:, order[n_colored:]].sum(axis=1))
        colors.append(_OTHERS)
        labels.append(f"{len(order) - n_colored} smaller classes")
    height = max(_BAR_IN * len(zones), _ENTRY_IN * len(labels), _LEAST_IN) + _MARGIN_IN
    figure = new_figure(_WIDTH_IN, height)
    axes = figure.add_subplot()
    left = np.zeros(len(zones))
    for part, color, label in zip(parts, colors, labels, strict=True):
        bars = axes.barh(range(len(zones)), part, left=left, color=color, label=label)
        for bar in bars:  # neighbours may have colours alike
            bar.set(edgecolor="white", linewidth=0.4)
        _write_figures(axes, part, left, color)
        left += part
    names = [short(found.names[one], _NAME_LENGTH) for one in zones]
    axes.set_yticks(range(len(zones)), names)
    axes.set_ylim(len(zones) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set_xlabel("share of the mapped area")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small")
    axes.set_title(_title(found, len(zones)), fontsize="medium")
    return figure


def _shown(found: ZoneStatistics) -> npt.NDArray[np.intp]:
    """The zones that have a bar."""
    mapped = np.nan_to_num(found.mapped)
    largest = np.argsort(-mapped, kind="stable")[:_MOST_ZONES]
    return np.sort(largest[mapped[largest] > 0])


def _write_figures(axes: Axes, part: Floats, left: Floats, color: _Color) -> None:
    """Percentages in the parts that have room for them."""
    red, green, blue = color
    is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < _DARK  # luma, ITU-R BT.601
    for row, (share, start) in enumerate(zip(part, left, strict=True)):
        if share >= _WRITTEN:
            axes.text(
                start + share / 2,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if is_dark else "black",
            )


def _title(found: ZoneStatistics, shown: int) -> str:
    if found.zone_file is None:
        return short(found.names[0], _TITLE_LENGTH)
    total = len(found.names)
    counted = f"{total:,} zone{'s' if total > 1 else ''}"
    if shown < total:
        is_chosen = (np.nan_to_num(found.mapped) > 0).sum() > shown
        counted = f"the {shown} largest of {counted}" if is_chosen else f"{shown} of {counted}"
    return f"{short(found.zone_file.name, _TITLE_LENGTH)}: {counted}"


def _color(one: MapClass) -> _Color:
    red, green, blue = (part / 255 for part in one.rgb)
    return red, green, blue
