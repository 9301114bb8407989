"""Writing rasters: whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio._err import CPLE_BaseError  # GDAL's own errors have no public base class
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.shutil import copy as copy_raster

from glnet_geo.errors import OutputError
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import NODATA, Legend
from glnet_geo.outputs import publish, working_folder
from glnet_geo.raster import box_of, quiet, reason_of
from glnet_geo.sidecar import sidecar_path, sidecar_xml

_BLOCK = 512  # pixels on a side of a tile of the output


def write_scene(path: Path, pixels: npt.NDArray[np.uint8], grid: Grid) -> None:
    """Writes an RGB scene as a tiled GeoTIFF, whole or not at all.

    Args:
        path: The output; an existing file is replaced.
        pixels: 3 x H x W.
        grid: Its grid.

    Raises:
        OutputError: The disk is full or the output cannot be replaced.
    """
    profile = {**_profile(grid), "count": 3, "photometric": "RGB", "predictor": 2}
    with working_folder(path) as folder:
        finished = folder / "finished"
        with _writing(path), quiet():
            with rasterio.open(finished, "w", **profile) as dataset:
                dataset.write(pixels)
            with rasterio.open(finished) as dataset:
                _check_read_back(np.array_equal(dataset.read(), pixels))
        # That of another raster of this name would colour this one.
        sidecar_path(path).unlink(missing_ok=True)
        publish(finished, path)


class ClassMapWriter:
    """A class raster in the making; made by `class_map`.

    Args:
        path: The file in the making.
        output: What it will be, for messages.
        grid: Its grid.
        legend: Its classes.
        tags: More tags for the file.

    Attributes:
        counts: Pixels written so far by class id, 256 of them; `NODATA` is the last.
    """

    def __init__(
        self, path: Path, output: Path, grid: Grid, legend: Legend, tags: Mapping[str, str]
    ) -> None:
        self._output = output
        self.counts: npt.NDArray[np.int64] = np.zeros(256, np.int64)
        colors = {c.id: (*c.rgb, 255) for c in legend.classes}
        with _writing(output), quiet():
            self._dataset = rasterio.open(path, "w", **_profile(grid), nodata=NODATA)
            self._dataset.write_colormap(1, {**colors, NODATA: (255, 255, 255, 0)})
            self._dataset.set_band_description(1, "land cover")
            names = {f"CLASS_{c.id}": c.name for c in legend.classes}
            self._dataset.update_tags(**{**tags, **names})

    def write(self, labels: npt.NDArray[np.uint8], window: Window) -> None:
        """Writes H x W class ids (`NODATA` where there is nothing) into a window.

        Raises:
            OutputError: The disk is full.
        """
        box = box_of(window)
        with _writing(self._output):
            self._dataset.write(labels, 1, window=box)
        self.counts += np.bincount(labels.ravel(), minlength=256)

    def close(self) -> None:
        """Flushes what is written.

        Raises:
            OutputError: The disk is full.
        """
        with _writing(self._output):
            self._dataset.close()


@contextmanager
def class_map(
    path: Path, grid: Grid, legend: Legend, tags: Mapping[str, str]
) -> Iterator[ClassMapWriter]:
    """Writes a class raster as a cloud-optimized GeoTIFF, whole or not at all.

    The raster has nodata 255, a colour table, the classes' names in its tags and, for GDAL and
    QGIS, in an `.aux.xml` beside it. The block writes every pixel exactly once; when it ends
    without an error the file takes its place, and an existing one is replaced.

    Args:
        path: The output.
        grid: Its grid.
        legend: Its classes.
        tags: More tags for the file.

    Raises:
        OutputError: The disk is full or the output cannot be replaced.
    """
    with working_folder(path) as folder:
        strips, finished, side = folder / "strips", folder / "finished", folder / "side"
        writer = ClassMapWriter(strips, path, grid, legend, tags)
        try:
            yield writer
        finally:
            writer.close()
        with _writing(path), quiet():
            copy_raster(
                strips,
                finished,
                driver="COG",
                compress="deflate",
                blocksize=_BLOCK,
                overview_resampling="mode",
                bigtiff="if_safer",
            )
            _check_read_back(np.array_equal(_count_classes(finished, grid), writer.counts))
        side.write_bytes(sidecar_xml(legend))
        publish(side, sidecar_path(path))
        publish(finished, path)


def _profile(grid: Grid) -> dict[str, Any]:
    profile = {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": 1,
        "dtype": "uint8",
        "crs": grid.crs,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "deflate",
        "bigtiff": "if_safer",
    }
    # An identity transform would pass for a place on the ground.
    if not grid.transform.is_identity:
        profile["transform"] = grid.transform
    return profile


def _count_classes(path: Path, grid: Grid) -> npt.NDArray[np.int64]:
    counts: npt.NDArray[np.int64] = np.zeros(256, np.int64)
    with rasterio.open(path) as dataset:
        for window in grid.rows(_BLOCK):
            box = box_of(window)
            counts += np.bincount(dataset.read(1, window=box).ravel(), minlength=256)
    return counts


def _check_read_back(is_equal: bool) -> None:
    """GDAL may close a file on a full disk without a word: what is finished is read once more."""
    if not is_equal:
        raise RasterioIOError("what was written does not read back (is the disk full?)")


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    """Turns GDAL's errors into one line about the output."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise OutputError(f"{output} cannot be written: {reason_of(error)}.") from error
