"""How many bytes of a file hold the pixels that are to be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from rasterio.enums import Interleaving

from glnet_geo.grid import Window
from glnet_geo.opening import open_raster
from glnet_geo.raster import SceneReader


class Measure(StrEnum):
    """Where a number of bytes comes from."""

    BLOCKS = "compressed blocks"
    FILES = "whole files"
    PIXELS = "pixels, uncompressed"


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """Bytes of a scene.

    Attributes:
        stored: What has to be read, each block once.
        measure: Where this comes from.
        decoded: The same as pixels of all bands.
    """

    stored: int
    measure: Measure
    decoded: int


def stored_bytes(reader: SceneReader, windows: Iterable[Window], factor: int) -> StoredBytes:
    """Counts the blocks of a scene that windows touch.

    Sizes of compressed blocks are known of TIFF (GDAL's metadata domain "TIFF",
    https://gdal.org/drivers/raster/gtiff.html); of all else the local files are counted, and of
    what is neither the pixels. Masks beside the bands do not count.

    Args:
        reader: The open scene.
        windows: What is read, in its own pixels.
        factor: The overview that is read, see `SceneReader.overview_for`.
    """
    with open_raster(reader.path, reader.is_safe) as dataset:
        level = None if factor == 1 else dataset.overviews(reader.bands[0]).index(factor)
    with open_raster(reader.path, reader.is_safe, level) as dataset:
        size = dataset.block_shapes[reader.bands[0] - 1]
        touched = _touched(windows, factor, size, (dataset.height, dataset.width))
        pixel = sum(np.dtype(one).itemsize for one in dataset.dtypes)
        decoded = len(touched) * size[0] * size[1] * pixel
        # Blocks of interleaved pixels hold all bands and are told of the first.
        is_apart = dataset.interleaving == Interleaving.band
        bands = reader.bands if is_apart else (1,)
        blocks = [_stored(dataset, band, *block) for band in bands for block in touched]
    if any(blocks):
        return StoredBytes(sum(blocks), Measure.BLOCKS, decoded)
    if reader.files:
        files = sum(file.stat().st_size for file in reader.files)
        return StoredBytes(files, Measure.FILES, decoded)
    return StoredBytes(decoded, Measure.PIXELS, decoded)


def _touched(
    windows: Iterable[Window], factor: int, size: tuple[int, int], shape: tuple[int, int]
) -> list[tuple[int, int]]:
    """Row and column of the blocks that windows touch, each once."""
    counts = [-(-length // side) for length, side in zip(shape, size, strict=True)]
    found = np.zeros(counts, np.bool_)
    height, width = (side * factor for side in size)
    for window in windows:
        rows = slice(window.top // height, -(-window.bottom // height))
        found[rows, window.left // width : -(-window.right // width)] = True
    return [(int(row), int(column)) for row, column in np.argwhere(found)]


def _stored(dataset: Any, band: int, row: int, column: int) -> int:
    """Bytes of a block in a TIFF; 0 where it is left out, or the file is of another kind."""
    return int(dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=band) or 0)
