"""Pictures for people: scenes and maps side by side, with the legend below."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

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
_VERDICTS = np.array([(205, 205, 205), (214, 40, 40), (255, 255, 255)], np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A picture with a title.

    Attributes:
        title: What stands above it.
        array: An image (uint8, 3 x H x W, RGB) or a class raster (uint8, H x W, ids of the legend,
            255 = nodata).

    Raises:
        ValueError: The array is neither.
    """

    title: str
    array: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        array = self.array
        is_image = array.ndim == 3 and array.shape[0] == 3
        if array.dtype != np.uint8 or 0 in array.shape or not (is_image or array.ndim == 2):
            raise ValueError(
                f"a panel is uint8, 3 x H x W or H x W, not {array.dtype} of shape {array.shape}."
            )


def quicklook(panels: Sequence[Panel], legend: Legend, panel_px: int = 720) -> Image.Image:
    """Draws panels side by side under their titles, and the legend below them.

    Args:
        panels: From left to right.
        legend: Names and colours of the classes.
        panel_px: The longer side of a panel, px. Larger arrays are shrunk to it, smaller ones
            enlarged.

    Returns:
        An RGB image on a white background; nodata is hatched in light grey.

    Raises:
        ValueError: There is no panel.
    """
    return contact_sheet([panels], legend, panel_px)


def contact_sheet(
    rows: Sequence[Sequence[Panel]], legend: Legend, panel_px: int = 320
) -> Image.Image:
    """Draws rows of panels, and one legend below them; else as `quicklook`."""
    if not rows or not all(rows):
        raise ValueError("a picture needs at least one panel.")
    text_px = max(12, panel_px // 36)
    strips = [_row(panels, legend, panel_px, text_px) for panels in rows]
    width = max(strip.width for strip in strips)
    strips.append(_legend_strip(legend, width, text_px))
    sheet = Image.new("RGB", (width, sum(strip.height for strip in strips)), _WHITE)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def difference(
    truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Where a class raster is right (grey), wrong (red), or nobody knows (white).

    Args:
        truth: Class ids, H x W; 255 where nobody knows.
        predicted: Class ids, H x W.

    Returns:
        RGB, 3 x H x W.
    """
    verdict = np.where(truth == NODATA, 2, truth != predicted)
    return np.moveaxis(_VERDICTS[verdict], -1, 0)


def as_rgb(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The first three of C x H x W bands, or the first one in grey where there are fewer."""
    return pixels[:3] if len(pixels) >= 3 else np.repeat(pixels[:1], 3, 0)


def png_bytes(image: Image.Image) -> bytes:
    """The image as a PNG file holds it."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _row(panels: Sequence[Panel], legend: Legend, panel_px: int, text_px: int) -> Image.Image:
    """Panels side by side under their titles."""
    pictures = [_picture(panel.array, legend, panel_px) for panel in panels]
    font, line = ImageFont.load_default(size=text_px), round(text_px * 1.6)
    width = sum(picture.width + _MARGIN for picture in pictures) + _MARGIN
    height = _MARGIN + line + max(picture.height for picture in pictures)
    strip = Image.new("RGB", (width, height), _WHITE)
    draw, left = ImageDraw.Draw(strip), _MARGIN
    for panel, picture in zip(panels, pictures, strict=True):
        draw.text((left, _MARGIN), _fit(panel.title, font, picture.width), _TEXT, font)
        strip.paste(picture, (left, _MARGIN + line))
        left += picture.width + _MARGIN
    return strip


def _legend_strip(legend: Legend, width: int, text_px: int) -> Image.Image:
    """Names and colours of the classes."""
    font, line = ImageFont.load_default(size=text_px), round(text_px * 1.6)
    entries = _legend_entries(legend, font, text_px, width)
    rows = 1 + max(row for _, row, _ in entries)
    strip = Image.new("RGB", (width, _MARGIN + line * rows + _MARGIN // 2), _WHITE)
    draw = ImageDraw.Draw(strip)
    for left, row, land_cover in entries:
        top = _MARGIN + line * row
        swatch = (left, top, left + text_px, top + text_px)
        draw.rectangle(swatch, fill=land_cover.rgb, outline=_OUTLINE)
        name = _fit(land_cover.name, font, width - 2 * _MARGIN - 2 * text_px)
        draw.text((left + text_px * 1.4, top + text_px / 2), name, _TEXT, font, anchor="lm")
    return strip


def _picture(array: npt.NDArray[np.uint8], legend: Legend, panel_px: int) -> Image.Image:
    """One panel, its longer side `panel_px`."""
    height, width = array.shape[-2:]
    scale = panel_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if array.ndim == 3:
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
