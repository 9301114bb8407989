"""Striped scenes in tiles.

A window of a file in strips (most plain GeoTIFFs, PNG, JPEG) costs as much as all rows that it
touches, in full width. So a row of windows is read once, in bands of its width, and put down in
tiles; memory stays that of a band.
"""

from __future__ import annotations

from pathlib import Path

import rasterio

from glnet_geo.grid import Window
from glnet_geo.raster import box_of, quiet
from glnet_geo.raster_output import placed, writing
from glnet_geo.scene import Scene

_BLOCK = 256  # pixels on a side of a tile
_BAND_BYTES = 1 << 24  # of pixels that are held at a time, where a row is no more


def spool_window(scene: Scene, window: Window, path: Path) -> None:
    """Writes a window of a scene as a sparse, tiled GeoTIFF of the scene's size.

    Only the chosen bands are written; what is invalid is so in the file's mask.

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
        "count": scene.n_bands,
        "dtype": scene.dtype,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "sparse_ok": True,
        "bigtiff": "yes",
        "photometric": "minisblack",
    }
    row_bytes = window.width * scene.n_bands * scene.dtype.itemsize
    step = max(_BAND_BYTES // row_bytes, 1)
    if step > _BLOCK:
        step -= step % _BLOCK
    with (
        writing(path),
        quiet(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile) as tiles,
    ):
        for band in window.rows(step):
            chip = scene.read(band)
            tiles.write(chip.pixels, window=box_of(band))
            tiles.write_mask(chip.valid, window=box_of(band))
