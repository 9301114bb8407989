"""Pictures at half the size, a quarter, and so on: what a page shows of a raster."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from glnet_geo.chip import Mask

Bytes = npt.NDArray[np.uint8]

TILE = 512
"""Pixels on a side of a tile."""

_ONE_TILE = 1536  # pixels on the longer side of the coarsest level, which is a single tile
_GROWTH = 1.6  # times as many bytes, at least, has a level of twice the size
_QUALITIES = (78, 60, 42)


@dataclass(frozen=True, slots=True)
class Level:
    """A picture in tiles.

    Attributes:
        height: Its rows.
        width: Its columns.
        tile: Pixels on a side of a tile; those at the right and lower border may be smaller.
        tiles: The tiles as `data:` URIs, row by row.
    """

    height: int
    width: int
    tile: int
    tiles: tuple[str, ...]


Pyramid = tuple[Level, ...]
"""The same picture at several sizes, from the coarsest, a single tile, to the finest."""


def n_bytes(levels: Iterable[Level]) -> int:
    """What levels take of a page."""
    return sum(len(tile) for level in levels for tile in level.tiles)


def level_sizes(height: int, width: int, most_pixels: int) -> list[tuple[int, int]]:
    """Sizes of the levels of a raster, from the coarsest, a pixel, to the finest.

    They are those of GDAL's overviews: half, rounded up, again and again.

    Args:
        height: The raster's rows.
        width: Its columns.
        most_pixels: Of the finest level.
    """
    sizes = [(height, width)]
    while max(sizes[-1]) > 1:
        factor = 2 ** len(sizes)
        sizes.append((-(-height // factor), -(-width // factor)))
    return [one for one in reversed(sizes) if one[0] * one[1] <= most_pixels]


def majorities(labels: Bytes) -> Bytes:
    """Class positions in half as many rows and columns: the commonest of each four.

    Args:
        labels: H x W.

    Returns:
        H / 2 x W / 2, rounded up.
    """
    even = np.pad(labels, [(0, side % 2) for side in labels.shape], mode="edge")
    a, b, c, d = even[::2, ::2], even[::2, 1::2], even[1::2, ::2], even[1::2, 1::2]
    return np.where((b == c) | (b == d), b, np.where(c == d, c, a))


def means(pixels: Bytes, valid: Mask) -> tuple[Bytes, Mask]:
    """Pixels in half as many rows and columns: the mean of the valid ones of each four.

    Args:
        pixels: C x H x W.
        valid: H x W.

    Returns:
        C x H / 2 x W / 2, rounded up, and which of them have any valid pixel.
    """
    pad = [(0, side % 2) for side in valid.shape]
    weights = np.pad(valid, pad, mode="edge").astype(np.uint16)
    weighted = np.pad(pixels, [(0, 0), *pad], mode="edge") * weights
    count = _fours(weights)
    mean = (_fours(weighted) + count // 2) // np.maximum(count, 1)
    return mean.astype(np.uint8), count > 0


def _fours(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    rows = values[..., ::2, :] + values[..., 1::2, :]
    total: npt.NDArray[np.uint16] = rows[..., ::2] + rows[..., 1::2]
    return total


def palette_pyramid(labels: Bytes, colors: Bytes, budget: int, is_nominal: bool = True) -> Pyramid:
    """Levels of positions in a palette as PNGs: exactly its colours, or transparent.

    Args:
        labels: H x W, positions in the palette; N for what is transparent.
        colors: N x 3, the palette.
        budget: Bytes that all levels may have as `data:` URIs; one level there is in any case.
        is_nominal: Whether positions are names, of which there is no mean.
    """
    levels = [labels]
    while max(levels[-1].shape) > 1:
        last = levels[-1]
        levels.append(majorities(last) if is_nominal else _mean_shades(last, len(colors)))

    def encode(part: Bytes, quality: int) -> str:
        return palette_uri(part, colors)

    return _within(levels[::-1], encode, budget, _QUALITIES[:1])


def palette_uri(positions: Bytes, colors: Bytes) -> str:
    """A PNG of positions in a palette, as a `data:` URI.

    Args:
        positions: H x W; N for what is transparent.
        colors: N x 3, the palette.
    """
    image = Image.fromarray(positions)
    image.putpalette(colors.astype(np.uint8).tobytes() + bytes(3))
    # The page changes the opacity of single classes: it finds an entry for each.
    alpha = bytes([255] * len(colors) + [0])
    return _uri(image, "png", transparency=alpha, optimize=False, compress_level=7)


def _mean_shades(shades: Bytes, transparent: int) -> Bytes:
    mean, valid = means(shades[None], shades != transparent)
    return np.where(valid, mean[0], np.uint8(transparent))


def photo_pyramid(pixels: Bytes, valid: Mask, budget: int) -> Pyramid:
    """Levels of an image as WebP, with what has no data transparent.

    Args:
        pixels: 3 x H x W, RGB.
        valid: H x W.
        budget: See `palette_pyramid`.
    """
    levels = [(pixels, valid)]
    while max(levels[-1][1].shape) > 1:
        levels.append(means(*levels[-1]))
    stacked = [_stacked(*level) for level in reversed(levels)]

    def encode(part: Bytes, quality: int) -> str:
        return _uri(Image.fromarray(part), "webp", quality=quality, method=3)

    return _within(stacked, encode, budget, _QUALITIES)


def _stacked(pixels: Bytes, valid: Mask) -> Bytes:
    """H x W x 3, or x 4 where anything is transparent."""
    bands = [*pixels]
    if not valid.all():
        bands.append(valid * np.uint8(255))
    return np.stack(bands, axis=-1)


def _within(
    levels: Sequence[Bytes],
    encode: Callable[[Bytes, int], str],
    budget: int,
    qualities: Sequence[int],
) -> Pyramid:
    """The levels that fit into a number of bytes, beginning with the largest single tile."""
    start = max(k for k, level in enumerate(levels) if k == 0 or max(level.shape[:2]) <= _ONE_TILE)
    # A map that is as fine as noise may take more than all of them in its first level.
    first = _level(levels[start], encode, qualities[0], whole=True)
    while start > 0 and n_bytes([first]) > budget:
        start -= 1
        first = _level(levels[start], encode, qualities[0], whole=True)
    chosen = [first]
    for pixels in levels[start + 1 :]:
        room = budget - n_bytes(chosen)
        if _GROWTH * n_bytes(chosen[-1:]) > room:
            break
        found = (_level(pixels, encode, quality, room=room) for quality in qualities)
        level = next((one for one in found if n_bytes([one]) <= room), None)
        if level is None:
            break
        chosen.append(level)
    return tuple(chosen)


def _level(
    pixels: Bytes,
    encode: Callable[[Bytes, int], str],
    quality: int,
    whole: bool = False,
    room: float = math.inf,
) -> Level:
    """A picture in tiles, or some of them where they take more than there is room."""
    height, width = pixels.shape[:2]
    tile = max(height, width) if whole else TILE
    tiles: list[str] = []
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            part = pixels[top : top + tile, left : left + tile]
            tiles.append(encode(np.ascontiguousarray(part), quality))
        if sum(map(len, tiles)) > room:
            break
    return Level(height, width, tile, tuple(tiles))


def _uri(image: Image.Image, kind: str, **options: object) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
