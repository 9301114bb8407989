"""A scene in pixels of another size, read window by window.

GDAL resamples too, and was measured (3.10, means to a half up to a fifth of 8000 x 8000 pixels):
the same pixels without nodata, but one to three times slower on tiles, three to fifteen on strips
and up to a hundred on PNG; other pixels in windows of one or two; and where there is nodata, no
notion of the share of a pixel that is valid, nor of values that are only near it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.chip import Chip, Mask, Pixels
from glnet_geo.grid import Grid, Window

_CHUNK = 1 << 22  # source pixels that are resampled at a time
_LEAST_SHARE = 1e-6  # less is the rounding of float32


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The pixels that a view is made of.

    Attributes:
        read: Reads a window of them.
        window: All of them.
        n_bands: Bands of what is read.
        dtype: Its type.
        is_nominal: Whether values are names, not quantities, of which there is no mean.
    """

    read: Callable[[Window], tuple[Pixels, Mask]]
    window: Window
    n_bands: int
    dtype: np.dtype[Any]
    is_nominal: bool


class SceneView:
    """A scene in pixels of another size; made by `SceneReader.view`.

    A pixel is the mean of the valid pixels under it, weighted with the area that they share with
    it; where pixels become smaller it is interpolated bilinearly between valid ones. It is valid
    where any of them is. Windows do not show in the result: a pixel is the same
    whichever window it is read with.

    Args:
        source: The pixels that are resampled.
        grid: The grid of the view.

    Attributes:
        grid: The extent of the scene in the view's pixels.
    """

    def __init__(self, source: Source, grid: Grid) -> None:
        self._source = source
        self.grid = grid

    def read(self, window: Window) -> Chip:
        """Reads a window of the view's pixels; memory follows its size, not the scene's.

        Where no valid pixel lies under a pixel of the view it is 0.

        Raises:
            RasterError: The file is damaged or has vanished.
            ValueError: The window reaches outside the grid.
        """
        if not self.grid.window.contains(window):
            raise ValueError(f"{window} reaches outside {self.grid.window}")
        grid = self.grid.crop(window)
        if self._source.window == self.grid.window:
            return Chip(*self._source.read(window), grid)
        size = (window.height, window.width)
        pixels = np.empty((self._source.n_bands, *size), self._source.dtype)
        valid = np.empty(size, np.bool_)
        for block in self._blocks(window):
            place = block.relative_to(window).slices
            pixels[:, *place], valid[place] = self._resample(block)
        return Chip(pixels, valid, grid)

    def _blocks(self, window: Window) -> Iterator[Window]:
        """Parts of a window under which no more than a chunk of source pixels lies."""
        source, grid = self._source.window, self.grid
        area = max(source.height * source.width / (grid.height * grid.width), 1.0)
        width = min(window.width, max(int(_CHUNK / area), 1))
        height = max(int(_CHUNK / (area * width)), 1)
        for top in range(window.top, window.bottom, height):
            for left in range(window.left, window.right, width):
                yield Window(
                    top, left, min(height, window.bottom - top), min(width, window.right - left)
                )

    def _resample(self, block: Window) -> tuple[Pixels, Mask]:
        find_taps = nearest_taps if self._source.is_nominal else mean_taps
        size = self._source.window
        rows = find_taps(block.top, block.height, size.height, self.grid.height)
        columns = find_taps(block.left, block.width, size.width, self.grid.width)
        pixels, valid = self._source.read(
            Window(rows.first, columns.first, rows.span, columns.span)
        )
        kept = pixels if valid.all() else np.where(valid, pixels, pixels.dtype.type(0))
        # A pixel that is valid through one band may be infinite in another, and stays so.
        with np.errstate(invalid="ignore", over="ignore"):
            total = columns.apply(rows.apply(kept, axis=1), axis=2)
            share = columns.apply(rows.apply(valid[None], axis=1), axis=2)
            mean = total / np.where(share > 0, share, 1)
        if np.issubdtype(pixels.dtype, np.integer):
            mean = np.floor(mean + 0.5)
        return mean.astype(pixels.dtype), share[0] > _LEAST_SHARE


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """Which source pixels the pixels of a view are made of, along one axis.

    Attributes:
        index: N x T, source pixels.
        weight: N x T, their shares; the T of a pixel add up to 1.
    """

    index: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]

    @property
    def first(self) -> int:
        """The first source pixel."""
        return int(self.index.min())

    @property
    def span(self) -> int:
        """Source pixels from the first to the last."""
        return int(self.index.max()) - self.first + 1

    def apply(self, values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
        """Weighted sums along an axis.

        Args:
            values: C x H x W, whose `axis` begins at the first source pixel.
            axis: 1 for rows, 2 for columns.

        Returns:
            The same with N pixels along `axis`, in float32, or in float64 where that is too coarse.
        """
        precise = np.promote_types(values.dtype, np.float32)
        shape = (-1, 1) if axis == 1 else (-1,)
        terms = zip(self.index.T - self.first, self.weight.T.astype(precise), strict=True)
        index, weight = next(terms)
        total: npt.NDArray[Any] = values.take(index, axis) * weight.reshape(shape)
        for index, weight in terms:
            total += values.take(index, axis) * weight.reshape(shape)
        return total


def mean_taps(first: int, count: int, source: int, size: int) -> Taps:
    """Means by shared length where pixels become larger, else linear interpolation.

    Args:
        first: First pixel of the view.
        count: How many.
        source: Source pixels on the whole axis.
        size: Pixels of the view on the whole axis.
    """
    position = np.arange(first, first + count, dtype=np.int64)
    if size >= source:
        center = (position + 0.5) * (source / size) - 0.5
        left = np.floor(center).astype(np.int64)
        share = center - left
        index = left[:, None] + np.arange(2)
        return Taps(index.clip(0, source - 1), np.stack([1 - share, share], axis=1))
    # Both ends in units of 1 / size source pixels: integers, so that no rounding adds a pixel.
    start, stop = position * source, (position + 1) * source
    index = (start // size)[:, None] + np.arange(-(-source // size) + 1)
    begin, end = index * size, (index + 1) * size
    shared = np.minimum(end, stop[:, None]) - np.maximum(begin, start[:, None])
    last = (stop - 1) // size
    return Taps(np.minimum(index, last[:, None]), shared.clip(0) / source)


def nearest_taps(first: int, count: int, source: int, size: int) -> Taps:
    """The source pixel under the centre of each pixel; arguments as of `mean_taps`."""
    position = np.arange(first, first + count, dtype=np.int64)
    index = (2 * position + 1) * source // (2 * size)
    return Taps(index[:, None], np.ones((count, 1)))


def scaled(grid: Grid, height: int, width: int) -> Grid:
    """The same extent in another number of pixels."""
    transform, area = grid.transform, grid.pixel_area_m2
    rows, columns = grid.height / height, grid.width / width
    # The identity says that pixels have no place; it must not become one.
    if not transform.is_identity:
        transform = transform @ type(transform).scale(columns, rows)
    area = None if area is None else area * rows * columns
    return Grid(height, width, transform, grid.crs, area)
