"""Striped scenes in tiles.

A window of a file in strips (most plain GeoTIFFs, PNG, JPEG) costs as much as all rows that it
touches, in full width. So a row of windows is read once, in bands of its width, and put down in
tiles; memory stays that of a band.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp

from glnet_geo.grid import Window
from glnet_geo.opening import quiet
from glnet_geo.raster import box_of
from glnet_geo.raster_output import placed
from glnet_geo.raster_parts import writing
from glnet_geo.scene import Scene

_BLOCK = 256  # pixels on a side of a tile
_BAND_BYTES = 1 << 24  # of pixels that are held at a time, where a row is no more


def spool_window(scene: Scene, window: Window, path: Path) -> None:
    """Writes a window of a scene as a sparse, tiled GeoTIFF of the scene's size.

    Only the chosen bands are written, and one more that says what is valid: an alpha band. (An
    internal mask is an image of its own in the file. Written by turns with the bands while another
    thread wrote another file, it did not always read back.)

    Args:
        scene: The scene.
        window: Which pixels.
        path: The file; it needs no disk for the others.

    Raises:
        OutputError: The disk is full.
        RasterError: The scene is damaged or has vanished.
    """
    profile = {
        **placed(scene.grid),
        "driver": "GTiff",
        "count": scene.n_bands + 1,
        "dtype": scene.dtype,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "sparse_ok": True,
        "bigtiff": "yes",
        "photometric": "minisblack",
    }
    is_whole = np.issubdtype(scene.dtype, np.integer)
    opaque = scene.dtype.type(np.iinfo(scene.dtype).max if is_whole else 1)
    row_bytes = window.width * scene.n_bands * scene.dtype.itemsize
    step = max(_BAND_BYTES // row_bytes, 1)
    if step > _BLOCK:
        step -= step % _BLOCK
    with (
        writing(path),
        quiet(),
        rasterio.open(path, "w", **profile) as tiles,
    ):
        tiles.colorinterp = [ColorInterp.gray] * scene.n_bands + [ColorInterp.alpha]
        for band in window.rows(step):
            chip = scene.read(band)
            alpha = chip.valid * opaque
            tiles.write(np.concatenate([chip.pixels, alpha[None]]), window=box_of(band))
