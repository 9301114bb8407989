"""Figures of matplotlib, without its global state, whatever alphabet their texts are in."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import BinaryIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

_DPI = 120
_OWN_FONT = "DejaVu Sans"  # which comes with matplotlib: Latin, Greek, Cyrillic, Arabic, Hebrew
_OTHER_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans Devanagari"),
    *("Noto Sans Bengali", "Noto Sans Thai", "Droid Sans Fallback", "WenQuanYi Zen Hei"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Nirmala UI", "Leelawadee UI"),
    *("PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS"),
)
"""What Linux, Windows and macOS have for other alphabets."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)  # which becomes the figure's own
    return figure


def save_png(figure: Figure, target: Path | BinaryIO) -> None:
    """Writes a figure as a PNG; a letter that no font of the machine has becomes a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.draw_without_rendering()  # which makes the ticks
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_fontfamily(list(_families()))
        figure.savefig(target, format="png")


def short(name: str, length: int) -> str:
    """A name in at most so many letters, none of which begins a formula."""
    text = name if len(name) <= length else f"{name[: length - 1]}…"
    return text.replace("$", r"\$")


@cache
def _families() -> tuple[str, ...]:
    """Fonts that are here; the first that has a letter draws it."""
    installed = {font.name for font in fontManager.ttflist}
    return _OWN_FONT, *(name for name in _OTHER_FONTS if name in installed)
