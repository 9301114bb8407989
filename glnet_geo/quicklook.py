"""Pictures for people: scenes and maps side by side, with the legend below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from glnet_geo.legend import NODATA, LandCover, Legend

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_MARGIN = 16
_TEXT = (34, 34, 34)
_OUTLINE = (150, 150, 150)
_WHITE = (255, 255, 255)
_NODATA_TONES = np.array([(236, 236, 236), (255, 255, 255)], np.uint8)
_HATCH_PX = 6


def quicklook(
    panels: Sequence[tuple[str, npt.NDArray[np.uint8]]], legend: Legend, panel_px: int = 720
) -> Image.Image:
    """Draws panels side by side under their titles, and the legend below them.

    Args:
        panels: Title and array of each, from left to right. An array is an image (uint8,
            3 x H x W, RGB) or a class raster (uint8, H x W, ids of the legend, 255 = nodata).
        legend: Names and colours of the classes.
        panel_px: The longer side of a panel, px. Larger arrays are shrunk to it, smaller ones
            enlarged.

    Returns:
        An RGB image on a white background; nodata is hatched in light grey.

    Raises:
        ValueError: There is no panel, or an array is neither an image nor a class raster.
    """
    if not panels:
        raise ValueError("a quicklook needs at least one panel.")
    pictures = [_picture(array, legend, panel_px) for _, array in panels]
    text_px = max(12, panel_px // 36)
    font, line = ImageFont.load_default(size=text_px), round(text_px * 1.6)
    width = sum(picture.width + _MARGIN for picture in pictures) + _MARGIN
    entries = _legend_entries(legend, font, text_px, width)
    bottom = _MARGIN + line + max(picture.height for picture in pictures) + _MARGIN
    rows = 1 + max(row for _, row, _ in entries)
    sheet = Image.new("RGB", (width, bottom + line * rows + _MARGIN // 2), _WHITE)
    draw, left = ImageDraw.Draw(sheet), _MARGIN
    for (title, _), picture in zip(panels, pictures, strict=True):
        draw.text((left, _MARGIN), _fit(title, font, picture.width), _TEXT, font)
        sheet.paste(picture, (left, _MARGIN + line))
        left += picture.width + _MARGIN
    for left, row, land_cover in entries:
        top = bottom + line * row
        swatch = (left, top, left + text_px, top + text_px)
        draw.rectangle(swatch, fill=land_cover.rgb, outline=_OUTLINE)
        name = _fit(land_cover.name, font, width - 2 * _MARGIN - 2 * text_px)
        draw.text((left + text_px * 1.4, top + text_px / 2), name, _TEXT, font, anchor="lm")
    return sheet


def _picture(array: npt.NDArray[np.uint8], legend: Legend, panel_px: int) -> Image.Image:
    """One panel, its longer side `panel_px`."""
    is_image = array.ndim == 3 and array.shape[0] == 3
    if array.dtype != np.uint8 or 0 in array.shape or not (is_image or array.ndim == 2):
        raise ValueError(
            f"a panel is uint8, 3 x H x W or H x W, not {array.dtype} of shape {array.shape}."
        )
    height, width = array.shape[-2:]
    scale = panel_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if is_image:
        image = Image.fromarray(np.ascontiguousarray(np.moveaxis(array, 0, -1)))
        return image.resize(size, Image.Resampling.BOX)
    # A mean of class ids would be the id of some third class.
    classes = np.asarray(Image.fromarray(array).resize(size, Image.Resampling.NEAREST))
    colours = legend.rgb_table()[classes]
    y, x = np.nonzero(classes == NODATA)
    colours[y, x] = _NODATA_TONES[(x + y) // _HATCH_PX % 2]
    return Image.fromarray(colours)


def _legend_entries(
    legend: Legend, font: _Font, text_px: int, width: int
) -> list[tuple[int, int, LandCover]]:
    """Where each class stands: its left edge in px, its row, and the class."""
    entries, left, row = [], _MARGIN, 0
    for land_cover in legend.classes:
        needed = round(text_px * 1.4 + font.getlength(land_cover.name))
        if left > _MARGIN and left + needed > width - _MARGIN:
            left, row = _MARGIN, row + 1
        entries.append((left, row, land_cover))
        left += needed + text_px
    return entries


def _fit(text: str, font: _Font, width: int) -> str:
    """The text, shortened with an ellipsis if it is wider than `width` px."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
